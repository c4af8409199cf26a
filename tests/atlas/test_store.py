"""The atlas folder: what is written comes back, nothing half-written is believed, damage is found and named."""

import errno
import fcntl
import json
import os
import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from dynatlas.atlas import schema
from dynatlas.atlas.atlas import Atlas, Entry, Problem
from dynatlas.errors import AtlasError, DamagedAtlasError, DifferentStudyError
from dynatlas.study.members import Block
from dynatlas.study.study import Study
from support.processes import Crash, failing_after, run_python, started_python

TESTS = [str(Path(__file__).parent), str(Path(__file__).parents[1])]  # for processes that import this file

STUDY = """
name = "tiny"
tasks = [{ kind = "flip_flop", steps = 20 }]
training = { iterations = 10 }
population = { architectures = ["vanilla", "gru"], activations = ["tanh"], units = [4], l2 = [1e-5], seeds = 2 }
"""
GROUP = "distances/flip_flop/svcca"
VALUES = {
    "string": ["é", ""],
    "int64": [1, -2],
    "float64": [0.5, float("nan")],
    "bool": [True, False],
    "list<float64>": [[1.0, 2.0], []],
}


@pytest.fixture
def study() -> Study:
    return Study.parse(STUDY)


@pytest.fixture
def atlas(tmp_path: Path, study: Study) -> Atlas:
    return Atlas.create(tmp_path / "atlas", study)


def block_of(study: Study, architecture: str = "gru") -> Block:
    return next(block for block in study.blocks if block.architecture == architecture)


def stacked_cells(study: Study, block: Block) -> dict[str, np.ndarray]:
    cells = [study.cell(block, member.key("weights")) for member in study.blocks[block]]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *cells)
    return {f"cell/{path[-1].name}": leaf for path, leaf in jax.tree_util.tree_leaves_with_path(stacked)}


def write_cells(atlas: Atlas, block: Block) -> dict[str, np.ndarray]:
    arrays = stacked_cells(atlas.study, block)
    atlas.enter(atlas.write_block(block, atlas.study.blocks[block], arrays))
    return arrays


def frame_of(table: str) -> pd.DataFrame:
    return pd.DataFrame({name: VALUES[column.type] for name, column in schema.TABLES[table].items()})


def distances(values: np.ndarray | None = None) -> xr.Dataset:
    ids = np.array(["aa", "bé", "c"])
    values = np.arange(9.0).reshape(3, 3) if values is None else values
    return xr.Dataset(
        {"distance": (("network", "other_network"), values, {"unit": "1 − correlation"})},
        {"network": ids, "other_network": ids},
        {"variance": 0.95},
    )


def fixed_points(rows: int) -> xr.Dataset:
    points = np.arange(rows)
    return xr.Dataset(
        {
            "states": (("row", "state"), np.ones((rows, 2))),
            "eigenvalues": (("row", "state"), np.full((rows, 2), 0.5 - 2j)),
            "network": (("row",), np.full(rows, "0123456789abcdef")),
            "condition": (("row",), points),
            "point": (("row",), points),
        }
    )


def write_all(atlas: Atlas) -> dict[str, Entry]:
    """One entry of each kind."""
    block = block_of(atlas.study)
    entries = [
        atlas.write_block(block, atlas.study.blocks[block], stacked_cells(atlas.study, block)),
        atlas.write_table("networks", frame_of("networks")),
        atlas.write_arrays(GROUP, distances()),
        atlas.write_text("report/index.html", "<h1>é</h1>"),
    ]
    atlas.enter(*entries)
    return {entry.name: entry for entry in entries}


READERS: dict[str, Callable[[Atlas], object]] = {
    "networks/flip_flop-gru-tanh-4.safetensors": lambda atlas: atlas.read_block(block_of(atlas.study)),
    "tables/networks.parquet": lambda atlas: atlas.table("networks"),
    f"arrays.zarr/{GROUP}": lambda atlas: atlas.arrays(GROUP),
}


def victim(atlas: Atlas, name: str) -> Path:
    """The file to damage: itself, or a chunk of a group."""
    path = atlas.path / name
    return path / "distance/c/0/0" if path.is_dir() else path


# ── Making and opening ──


def test_create_makes_missing_parents_and_reopens_the_same_study(tmp_path: Path, study: Study) -> None:
    first = Atlas.create(tmp_path / "a/b/atlas", study)
    first.enter(first.write_text("report/index.html", "x"))
    renamed = Study.parse(STUDY.replace("tiny", "renamed"))
    again = Atlas.create(tmp_path / "a/b/atlas", renamed)
    assert again.has("report/index.html")
    assert again.study.name == "tiny"
    assert Atlas.open(first.path).study == study


def test_the_study_file_is_the_resolved_study(atlas: Atlas) -> None:
    assert Study.load(atlas.path / "study.toml") == atlas.study
    assert "momentum" in (atlas.path / "study.toml").read_text()


def test_a_relative_path_means_the_same_elsewhere(
    tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(Atlas.create("atlas", study))
    monkeypatch.chdir("/")
    # Dask sends an atlas to a worker this way: what arrives has to be the path alone. The bytes are our own.
    assert pickle.loads(pickled).study == study  # noqa: S301
    assert len(pickled) < 500


def test_another_study_is_refused_with_the_difference(atlas: Atlas) -> None:
    other = Study.parse(
        STUDY.replace("seeds = 2", "seeds = 3")
        .replace("steps = 20", "steps = 30")
        .replace('"vanilla", ', "")
        .replace("[training]", "")
        + '[[overrides]]\nunits = 4\ntraining = { momentum = 0.5 }\n[analysis]\nmeasures = ["cka"]\n'
    )
    with pytest.raises(DifferentStudyError) as refused:
        Atlas.create(atlas.path, other)
    lines = [line.strip() for line in str(refused.value).splitlines()[1:]]
    assert sorted(lines) == [
        'analysis.measures: ["svcca", "cka"] → ["cka"]',
        "overrides.0.training.momentum: absent → 0.5",
        "overrides.0.units: absent → 4",
        'population.architectures: ["vanilla", "gru"] → ["gru"]',
        "population.seeds: 2 → 3",
        "tasks.flip_flop.steps: 20 → 30",
    ]
    assert "'tiny'" in str(refused.value)
    assert str(atlas.path) in str(refused.value)
    assert Atlas.open(atlas.path).study == atlas.study


def test_a_long_difference_is_cut(atlas: Atlas) -> None:
    other = Study.parse(
        """name = "far"
        tasks = [{ kind = "sine_wave" }, { kind = "context_integration" }]
        training = { optimizer = "adam", batch_size = 2, learning_rate = 0.1, decay_rate = 0.9, clip_norm = 2 }
        population = { units = [8], seeds = 9 }"""
    )
    with pytest.raises(DifferentStudyError) as refused:
        Atlas.create(atlas.path, other)
    lines = str(refused.value).splitlines()[1:]
    assert len(lines) == 11
    assert lines[-1].strip().startswith("and ")
    assert lines[-1].endswith(" more")


def test_a_folder_of_the_users_is_left_alone(tmp_path: Path, study: Study) -> None:
    (tmp_path / "study.toml").write_text("mine")
    with pytest.raises(AtlasError, match=r"not empty: it holds 'study.toml'. Give a new or an empty folder"):
        Atlas.create(tmp_path, study)
    assert [file.name for file in tmp_path.iterdir()] == ["study.toml"]
    assert (tmp_path / "study.toml").read_text() == "mine"
    (tmp_path / "study.toml").rename(tmp_path / "manifest.log")
    with pytest.raises(AtlasError, match=r"not empty: it holds 'manifest.log'"):
        Atlas.create(tmp_path, study)
    assert (tmp_path / "manifest.log").read_text() == "mine"


def test_no_folder_can_be_made(tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AtlasError, match="it is a file; an atlas is a folder"):
        Atlas.create(tmp_path / "file", study)
    with pytest.raises(AtlasError, match=r"cannot make an atlas at .*file/below: Not a directory"):
        Atlas.create(tmp_path / "file/below", study)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(AtlasError, match="Permission denied"):
        Atlas.create(tmp_path / "new", study)
    monkeypatch.undo()
    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(AtlasError, match=r"cannot write in .*new: Permission denied"):
        Atlas.create(tmp_path / "new", study)


def test_what_is_no_atlas_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AtlasError, match=r"no such folder. `dynatlas run` makes one"):
        Atlas.open(tmp_path / "missing")
    with pytest.raises(AtlasError, match=r"the folder has no manifest.json"):
        Atlas.open(tmp_path)
    with pytest.raises(AtlasError, match="it is a file"):
        Atlas.open(tmp_path / "file")
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(AtlasError, match=r"cannot read .*manifest.json: Is a directory"):
        Atlas.open(tmp_path)


def test_a_newer_format_is_named(atlas: Atlas) -> None:
    (atlas.path / "manifest.json").write_text('{"format": 99, "surprise": []}')
    with pytest.raises(AtlasError, match=r"newer dynatlas \(format 99; this one reads 2\): upgrade dynatlas"):
        Atlas.open(atlas.path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"format": 0}',
        b'{"format": "1"}',
        b'{"format": 2}',
        b'{"format": 2, "study": {"hash": "", "sha256": "", "bytes": "0"}}',
        b'{"format": 1, "study": {}, "entries": {}}',
        b'{"format": 1, "study": STUDY, "entries": []}',
        b'{"format": 1, "study": STUDY, "entries": {"x": {"sha256": 1, "bytes": 0}}}',
        b'{"format": 1, "study": STUDY, "entries": {"../x": {"sha256": "", "bytes": 0}}}',
    ],
)
def test_a_damaged_manifest(atlas: Atlas, content: bytes) -> None:
    study = b'{"hash": "", "sha256": "", "bytes": 0}'
    (atlas.path / "manifest.json").write_bytes(content.replace(b"STUDY", study))
    with pytest.raises(DamagedAtlasError, match=r"manifest.json is damaged .*restore it from a copy of the atlas"):
        Atlas.open(atlas.path)
    assert "is damaged" in repr(atlas)


@pytest.mark.parametrize("content", [b"", b"name = ", b"\xff"])
def test_a_damaged_study_file(atlas: Atlas, content: bytes) -> None:
    (atlas.path / "study.toml").write_bytes(content)
    with pytest.raises(DamagedAtlasError, match=r"(?s)study file of the atlas .* is damaged.*Put its study.toml back"):
        Atlas.open(atlas.path)
    assert [problem.name for problem in atlas.verify()] == ["study.toml"]


def test_an_edited_study_file(atlas: Atlas) -> None:
    file = atlas.path / "study.toml"
    text = file.read_text()
    file.write_text(text + "# a comment\n")
    assert Atlas.open(atlas.path).verify() == [Problem("study.toml", "changed")]
    file.write_text(text.replace("seeds = 2", "seeds = 3"))
    with pytest.raises(DamagedAtlasError, match="edited after the atlas was made"):
        Atlas.open(atlas.path)


def test_a_lost_study_file_is_written_anew_by_the_same_study(atlas: Atlas) -> None:
    write_all(atlas)
    (atlas.path / "study.toml").unlink()
    with pytest.raises(DamagedAtlasError, match="No such file"):
        Atlas.open(atlas.path)
    with pytest.raises(DamagedAtlasError, match="No such file"):
        Atlas.create(atlas.path, Study.parse(STUDY.replace("seeds = 2", "seeds = 3")))
    assert Atlas.create(atlas.path, atlas.study).verify() == []
    assert len(atlas.entries) == 4


# ── What is written comes back ──


def test_entries_are_what_was_entered(atlas: Atlas) -> None:
    entry = atlas.write_text("report/index.html", "abc")
    assert entry == Entry("report/index.html", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)
    assert not atlas.has("report/index.html")
    atlas.enter(entry)
    assert dict(Atlas.open(atlas.path).entries) == {"report/index.html": entry}
    with pytest.raises(TypeError):
        atlas.entries["x"] = entry  # type: ignore[index]


def test_a_block_comes_back(atlas: Atlas) -> None:
    block = block_of(atlas.study)
    arrays = {
        "cell/bias": np.arange(6, dtype=np.float32).reshape(3, 2).T,  # not contiguous
        "losses/iteration": np.array([[1, 2], [3, 4]]),
        "passed": np.array([True, False]),
    }
    atlas.enter(atlas.write_block(block, atlas.study.blocks[block], arrays))
    back = atlas.read_block(block)
    assert back.keys() == arrays.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(back[key], array)
        assert back[key].dtype == array.dtype


def test_a_block_is_refused(atlas: Atlas) -> None:
    block = block_of(atlas.study)
    members = atlas.study.blocks[block]
    with pytest.raises(ValueError, match=r"1 members for the block .*; expected the study's 2, in its order"):
        atlas.write_block(block, members[:1], {})
    with pytest.raises(ValueError, match="expected the study's 2"):
        atlas.write_block(block, members[::-1], {})
    with pytest.raises(ValueError, match="expected the study's 0"):
        atlas.write_block(block._replace(units=5), members, {})
    with pytest.raises(ValueError, match=r"'x' has shape \(3,\); its first axis is over 2 members"):
        atlas.write_block(block, members, {"x": np.zeros(3)})
    with pytest.raises(ValueError, match=r"cannot be stored.*'x': 'complex128'"):
        atlas.write_block(block, members, {"x": np.zeros(2, complex)})
    write_cells(atlas, block)
    with pytest.raises(AtlasError, match=r"is complete in .*; discard it before"):
        atlas.write_block(block, members, {"x": np.zeros(2)})
    assert atlas.verify() == []


def test_cells_and_networks_are_rebuilt(atlas: Atlas) -> None:
    study = atlas.study
    for block in study.blocks:
        write_cells(atlas, block)
    for member in study.members:
        block = study.block_of(member)
        expected = study.cell(block, member.key("weights"))
        stacked = atlas.cells(block)
        index = study.blocks[block].index(member)
        assert eqx.tree_equal(jax.tree.map(lambda leaf, i=index: leaf[i], stacked), expected)
        for label in (member.id, member.name, member.id[:8]):
            assert eqx.tree_equal(atlas.network(label), expected)


def test_an_unknown_network(atlas: Atlas) -> None:
    name = atlas.study.members[0].name
    for label in (name[:-1] + "9", "", atlas.study.members[0].id[:3]):
        with pytest.raises(AtlasError, match=f"no network '{label}' in the study 'tiny'; the nearest is"):
            atlas.network(label)
    with pytest.raises(AtlasError, match=f"nearest is '{name[:-1]}"):
        atlas.network(name[:-1] + "9")
    with pytest.raises(AtlasError, match=r"networks/.*safetensors is not in the atlas .*`dynatlas run`"):
        atlas.network(name)


def test_an_ambiguous_network(atlas: Atlas) -> None:
    first, second, *_ = atlas.study.members
    twins = (first._replace(id="abcd" + "0" * 12), second._replace(id="abcd" + "1" * 12))
    atlas.study.__dict__["members"] = twins
    with pytest.raises(AtlasError, match=r"'abcd' begins the ids of 2 networks: abcd0.*, abcd1"):
        atlas.network("abcd")


def test_cells_of_another_shape_are_refused(atlas: Atlas) -> None:
    block = block_of(atlas.study)
    arrays = stacked_cells(atlas.study, block) | {"cell/bias": np.zeros((2, 3), np.float32)}
    atlas.enter(atlas.write_block(block, atlas.study.blocks[block], arrays))
    with pytest.raises(DamagedAtlasError, match=r"'cell/bias' has shape \(2, 3\); expected \(2, 12\)"):
        atlas.cells(block)
    atlas.discard(*atlas.entries)
    del arrays["cell/bias"]
    atlas.enter(atlas.write_block(block, atlas.study.blocks[block], arrays))
    with pytest.raises(DamagedAtlasError, match="'cell/bias' has shape None"):
        atlas.cells(block)


@pytest.mark.parametrize("table", schema.TABLES)
def test_a_table_comes_back(atlas: Atlas, table: str) -> None:
    frame = frame_of(table)
    atlas.enter(atlas.write_table(table, frame[frame.columns[::-1]]))
    back = atlas.table(table)
    assert list(back.columns) == list(schema.TABLES[table])
    for name, column in schema.TABLES[table].items():
        if column.type == "list<float64>":
            assert [list(item) for item in back[name]] == VALUES[column.type]
        else:
            np.testing.assert_array_equal(back[name].to_numpy(), frame[name].to_numpy())


def test_a_table_without_rows_keeps_its_types(atlas: Atlas) -> None:
    atlas.enter(atlas.write_table("fixed_points", pd.DataFrame(columns=list(schema.TABLES["fixed_points"]))))
    back = atlas.table("fixed_points")
    assert len(back) == 0
    assert back["q"].dtype == np.float64
    assert back["point"].dtype == np.int64


def test_a_table_below_a_folder_that_looks_like_a_partition(tmp_path: Path, study: Study) -> None:
    atlas = Atlas.create(tmp_path / "seed=7" / "atlas", study)
    atlas.enter(atlas.write_table("losses", frame_of("losses")))
    assert list(atlas.table("losses").columns) == list(schema.TABLES["losses"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="q"), "'fixed_points' lacks the column 'q'"),
        (lambda f: f.assign(extra=1), "has the undeclared column 'extra'"),
        (lambda f: pd.concat([f, f[["q"]]], axis=1), "has twice the column 'q'"),
        (lambda f: f.assign(q=["a", "b"]), "column 'q' .* is large_string; expected double"),
        (lambda f: f.assign(q=[1, 2]), "column 'q' .* is int64; expected double"),
        (lambda f: f.assign(point=[1.0, 2.0]), "column 'point' .* is double; expected int64"),
        (lambda f: f.assign(point=np.array([1, 2**63], np.uint64)), "column 'point' .* is not int64"),
        (lambda f: f.assign(is_slow=[0, 1]), "column 'is_slow' .* is int64; expected bool"),
        (lambda f: f.assign(task=["a", None]), "column 'task' .* has 1 missing values"),
        (lambda f: f.assign(task=pd.Series(["a", 1.0], dtype=object)), "column 'task' .* is not string"),
        (lambda f: f.assign(readout=[1.0, 2.0]), "column 'readout' .* is double; expected list"),
        (lambda f: f.assign(readout=[["a"], []]), "column 'readout' .* is list<item: string>"),
    ],
)
def test_a_table_is_refused(atlas: Atlas, change: Callable[[pd.DataFrame], pd.DataFrame], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        atlas.write_table("fixed_points", change(frame_of("fixed_points")))
    assert atlas.verify() == []


def test_an_unknown_table(atlas: Atlas) -> None:
    with pytest.raises(ValueError, match="no table 'network' in the schema; did you mean 'networks'"):
        atlas.write_table("network", frame_of("networks"))
    with pytest.raises(ValueError, match="no table 'zzz' in the schema; expected one of networks, "):
        atlas.write_table("zzz", frame_of("networks"))
    with pytest.raises(ValueError, match="not a name inside an atlas"):
        atlas.write_table("../networks", frame_of("networks"))
    with pytest.raises(AtlasError, match=r"tables/losses.parquet is not in the atlas .* \(yet\)"):
        atlas.table("losses")


def test_narrower_numbers_are_widened(atlas: Atlas) -> None:
    frame = frame_of("fixed_points").astype({"q": np.float32, "point": np.int32})
    frame["readout"] = [np.array([1, 2], np.float32), np.array([], np.float32)]
    atlas.enter(atlas.write_table("fixed_points", frame))
    assert atlas.table("fixed_points")["point"].tolist() == [1, -2]
    assert atlas.table("fixed_points")["readout"][0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("rows", [0, 3])
def test_arrays_come_back(atlas: Atlas, rows: int) -> None:
    atlas.enter(atlas.write_arrays(GROUP, distances()))
    xr.testing.assert_identical(atlas.arrays(GROUP), distances())
    group, dataset = "fixed_points/flip_flop-gru-tanh-4", fixed_points(rows)
    atlas.enter(atlas.write_arrays(group, dataset))
    back = atlas.arrays(group)
    xr.testing.assert_identical(back, dataset)
    assert list(back) == list(dataset)
    assert {name: back[name].dtype.kind for name in back} == {name: dataset[name].dtype.kind for name in back}


def test_auxiliary_coordinates_stay_coordinates(atlas: Atlas) -> None:
    group, dataset = "fixed_points/flip_flop-gru-tanh-4", fixed_points(2).set_coords(["network", "point"])
    atlas.enter(atlas.write_arrays(group, dataset))
    xr.testing.assert_identical(atlas.arrays(group), dataset)


def test_other_tools_can_browse_the_arrays(atlas: Atlas) -> None:
    atlas.enter(atlas.write_arrays(GROUP, distances()))
    with xr.open_datatree(atlas.path / "arrays.zarr", engine="zarr", consolidated=False) as tree:
        assert tree[GROUP]["distance"].sel(network="bé", other_network="c").item() == 5.0


def test_zarr_itself_detects_a_flipped_bit(atlas: Atlas) -> None:
    entry = atlas.write_arrays(GROUP, distances())
    chunk = victim(atlas, entry.name)
    content = bytearray(chunk.read_bytes())
    content[-10] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(ValueError, match="checksum do not match"):
        xr.load_dataset(atlas.path / entry.name, engine="zarr", consolidated=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop_vars("distance"), f"the group '{GROUP}' lacks the variable 'distance'"),
        (lambda d: d.assign(other=1.0), "has the undeclared variable 'other'"),
        (lambda d: d.assign_coords(task=("network", ["a"] * 3)), "has the undeclared variable 'task'"),
        (
            lambda d: d.transpose(),
            r"over \('other_network', 'network'\); expected \('network', 'other_network'\)",
        ),
        (
            lambda d: d.assign(distance=d.distance.astype(object)),
            "'distance' .* holds objects that are not strings",
        ),
    ],
)
def test_arrays_are_refused(atlas: Atlas, change: Callable[[xr.Dataset], xr.Dataset], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        atlas.write_arrays(GROUP, change(distances()))
    assert not atlas.has(f"arrays.zarr/{GROUP}")


@pytest.mark.parametrize("group", ["", "distances", "distances/flip_flop", "distances//x", f"{GROUP}/more", "x/y/z"])
def test_an_unknown_group(atlas: Atlas, group: str) -> None:
    with pytest.raises(ValueError, match=f"no arrays '{group}' in the schema; expected one of distances/"):
        atlas.write_arrays(group, distances())


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/x",
        "report/../../x",
        "report//x",
        "report/./x",
        "",
        "report",
        "manifest.json",
        "report/\0",
    ],
)
def test_report_files_stay_in_the_report(atlas: Atlas, name: str) -> None:
    before = sorted(atlas.path.parent.rglob("*"))
    with pytest.raises(ValueError, match="expected"):
        atlas.write_text(name, "x")
    with pytest.raises(ValueError, match="expected"):
        atlas.write_bytes(name, b"x")
    assert sorted(atlas.path.parent.rglob("*")) == before


def test_arrays_cannot_leave_the_atlas(atlas: Atlas) -> None:
    with pytest.raises(ValueError, match="not a name inside an atlas"):
        atlas.write_arrays("distances/../x", distances())


@pytest.mark.usefixtures("processes")
def test_the_same_content_has_the_same_bytes_in_every_process(atlas: Atlas, tmp_path: Path) -> None:
    write_all(atlas)
    atlas.enter(atlas.write_table("fixed_points", frame_of("fixed_points")))
    code = f"""
import sys; sys.path[:0] = {TESTS!r}
from test_store import *
atlas = Atlas.create({str(tmp_path / "other")!r}, Study.parse(STUDY))
write_all(atlas)
frame = frame_of("fixed_points")
atlas.enter(atlas.write_table("fixed_points", pd.concat([frame[:1], frame[1:]])))
"""
    optimised = not jax.config.values["jax_disable_most_optimizations"]  # both processes must round alike
    run_python(code, PYTHONHASHSEED="1", JAX_DISABLE_MOST_OPTIMIZATIONS=str(int(not optimised)))
    other = Atlas.open(tmp_path / "other")
    assert other.entries == atlas.entries
    for name in ("manifest.json", "manifest.log"):
        assert (other.path / name).read_bytes() == (atlas.path / name).read_bytes()


def test_a_rewrite_in_another_order_has_the_same_bytes(atlas: Atlas) -> None:
    entries = write_all(atlas)
    block = block_of(atlas.study)
    atlas.discard(*entries)
    arrays = dict(reversed(stacked_cells(atlas.study, block).items()))
    assert atlas.write_block(block, atlas.study.blocks[block], arrays) in entries.values()
    chunked = distances().assign_coords(network=distances()["network"].astype(object))
    chunked["distance"].encoding["chunks"] = (1, 1)
    assert atlas.write_arrays(GROUP, chunked) in entries.values()


def test_provenance_is_merged(atlas: Atlas) -> None:
    assert atlas.provenance == {}
    atlas.write_provenance({"versions": {"jax": "1"}, "runs": {"a": {"host": "x"}}})
    atlas.write_provenance({"versions": {"jax": "2"}, "runs": {"b": {"host": "y"}}, "flags": ["-q"]})
    expected = {"versions": {"jax": "2"}, "runs": {"a": {"host": "x"}, "b": {"host": "y"}}, "flags": ["-q"]}
    assert Atlas.open(atlas.path).provenance == expected
    assert atlas.verify() == []
    (atlas.path / "provenance.json").write_text("{")
    with pytest.raises(DamagedAtlasError, match=r"provenance.json is damaged: .* Delete it: a run rewrites it"):
        _ = atlas.provenance


def test_repr_says_how_far_it_is(atlas: Atlas) -> None:
    def rows() -> dict[str, str]:
        return dict(atlas._summary().rows)

    assert rows()["folder"] == str(atlas.path)
    assert (rows()["networks"], rows()["done"]) == ("0 of 4 trained", "nothing yet")
    write_all(atlas)
    assert rows()["networks"] == "1 of 2 learned their task"
    assert rows()["done"] == "training (1 of 2), distances (1 of 5), tables (1 of 3), report"
    assert f'next: dynatlas.run("{atlas.path}/study.toml", "{atlas.path}") resumes' in " ".join(repr(atlas).split())
    atlas.discard("tables/networks.parquet")
    assert rows()["networks"] == "2 of 4 trained"


# ── Damage ──


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "changed": flip,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", [*DAMAGES, "garbage"])
def test_damage_is_found_by_readers_and_by_verify_and_can_be_healed(atlas: Atlas, name: str, damage: str) -> None:
    entries = write_all(atlas)
    path = victim(atlas, name)
    if damage == "garbage":
        path.write_bytes(b"garbage" * 10_000)
    else:
        DAMAGES[damage](path)
    what = {"garbage": "changed", "missing": "truncated" if path.parent.name == "0" else "missing"}.get(damage, damage)
    with pytest.raises(DamagedAtlasError, match=f"{name} is {what}: `dynatlas verify` finds .* and a run redoes it"):
        READERS[name](atlas)
    assert atlas.verify() == [Problem(name, what)]
    atlas.discard(*(problem.name for problem in atlas.verify()))
    assert not atlas.has(name)
    assert [problem.what for problem in atlas.verify()] in ([], ["unknown"])
    atlas.discard(*entries)
    assert write_all(atlas) == entries
    READERS[name](atlas)
    assert atlas.verify() == []


def test_a_renamed_chunk_is_a_change(atlas: Atlas) -> None:
    """Zarr itself would read zeros where a chunk is not found."""
    write_all(atlas)
    chunk = victim(atlas, f"arrays.zarr/{GROUP}")
    chunk.rename(chunk.with_name("1"))
    with pytest.raises(DamagedAtlasError, match="is changed"):
        atlas.arrays(GROUP)


def test_a_lost_group_is_missing(atlas: Atlas) -> None:
    write_all(atlas)
    (atlas.path / "arrays.zarr").rename(atlas.path.parent / "elsewhere")
    with pytest.raises(DamagedAtlasError, match="is missing"):
        atlas.arrays(GROUP)


def test_an_unreadable_file(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(atlas)
    original = Path.open

    def failing(self: Path, *args: object, **kwargs: object) -> object:
        if self.suffix == ".parquet":
            raise OSError(errno.EIO, "Input/output error")
        return original(self, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(DamagedAtlasError, match="is unreadable"):
        atlas.table("networks")
    assert atlas.verify() == [Problem("tables/networks.parquet", "unreadable")]


def test_a_block_of_other_networks_is_refused(atlas: Atlas) -> None:
    gru, vanilla = block_of(atlas.study), block_of(atlas.study, "vanilla")
    entry = atlas.write_block(vanilla, atlas.study.blocks[vanilla], {"x": np.zeros(2)})
    name = f"networks/{gru.name}.safetensors"
    (atlas.path / entry.name).rename(atlas.path / name)
    atlas.enter(entry._replace(name=name))
    with pytest.raises(DamagedAtlasError, match="holds other networks than the study has"):
        atlas.read_block(gru)


def test_verify_reports_what_the_manifest_does_not_know(atlas: Atlas) -> None:
    write_all(atlas)
    (atlas.path / "report/notes.txt").write_text("mine")
    (atlas.path / "mine").mkdir()
    (atlas.path / "mine/too.txt").write_text("")
    atlas.write_arrays("distances/flip_flop/cka", distances())
    atlas.write_table("losses", frame_of("losses"))
    assert atlas.verify() == [
        Problem(name, "unknown")
        for name in (
            "arrays.zarr/distances/flip_flop/cka",
            "mine/too.txt",
            "report/notes.txt",
            "tables/losses.parquet",
        )
    ]


def test_what_is_not_in_the_manifest_is_overwritten(atlas: Atlas) -> None:
    entries = write_all(atlas)
    atlas.discard(*entries)
    for name in entries:
        victim(atlas, name).write_bytes(b"half-writ")
    (atlas.path / GROUP).mkdir(parents=True)
    with pytest.raises(AtlasError, match="not in the atlas"):
        atlas.table("networks")
    assert write_all(atlas) == entries
    assert atlas.arrays(GROUP).equals(distances())


@pytest.mark.parametrize("kind", ["file for group", "group for file"])
def test_something_of_another_kind_in_the_way(atlas: Atlas, kind: str) -> None:
    path = atlas.path / ("report/index.html" if kind == "group for file" else f"arrays.zarr/{GROUP}")
    path.parent.mkdir(parents=True)
    if kind == "group for file":
        path.mkdir()
        (path / "x").write_text("")
    else:
        path.write_text("")
    write_all(atlas)
    assert atlas.verify() == []


# ── Crashes ──

WRITERS: dict[str, Callable[[Atlas], Entry]] = {
    "block": lambda atlas: atlas.write_block(
        block_of(atlas.study), atlas.study.blocks[block_of(atlas.study)], {"x": np.zeros(2)}
    ),
    "table": lambda atlas: atlas.write_table("networks", frame_of("networks")),
    "arrays": lambda atlas: atlas.write_arrays(GROUP, distances()),
    "text": lambda atlas: atlas.write_text("report/index.html", "x"),
}


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_failed_write_leaves_nothing(atlas: Atlas, kind: str, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write = WRITERS[kind]
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing_after(0, OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(AtlasError, match=r"cannot write .*atlas.*: No space left on device"):
            write(atlas)
        patch.setattr(os, "fsync", failing_after(0, OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(AtlasError, match=r"cannot write .*manifest.log: No space left on device"):
            atlas.enter(Entry("x", "", 0))
    atlas = Atlas.open(atlas.path)
    assert not atlas.entries
    assert atlas.verify() == []
    assert not list(atlas.path.rglob("*.tmp"))
    entry = write(atlas)
    atlas.enter(entry)
    assert atlas.verify() == []


@pytest.mark.parametrize("kind", ["table", "arrays", "same arrays", "text"])
@pytest.mark.parametrize("step", range(4))
def test_a_crash_while_a_complete_entry_is_replaced(
    atlas: Atlas, kind: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever renaming is the last, the manifest vouches for nothing that is not there."""
    atlas.enter(WRITERS[kind.removeprefix("same ")](atlas))
    changed: dict[str, Callable[[], Entry]] = {
        "table": lambda: atlas.write_table("networks", frame_of("networks")[:1]),
        "arrays": lambda: atlas.write_arrays(GROUP, distances(np.zeros((3, 3)))),
        "same arrays": lambda: atlas.write_arrays(GROUP, distances()),
        "text": lambda: atlas.write_text("report/index.html", "y"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing_after(step, Crash()))
        with suppress(Crash):
            atlas.enter(changed[kind]())
    assert [problem for problem in atlas.verify() if problem.what != "unknown"] == []
    atlas.enter(changed[kind]())
    assert atlas.verify() == []


@pytest.mark.parametrize("kind", WRITERS)
def test_content_is_on_the_disk_before_its_name_and_both_before_the_manifest(
    atlas: Atlas, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, replace = os.fsync, os.replace
    flushed: set[int] = set()
    named: list[str] = []
    log = atlas.path / "manifest.log"

    def recording_fsync(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)
        if os.fstat(descriptor).st_ino == log.stat().st_ino:
            assert entry.name in log.read_text()
            named.append(log.name)

    def recording_replace(source: Path, target: Path) -> None:
        if not str(source).endswith(".partial"):  # zarr's own
            assert {path.stat().st_ino for path in (source, *source.rglob("*"))} <= flushed
            named.append(target.name)
            flushed.discard(target.parent.stat().st_ino)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    entry = WRITERS[kind](atlas)
    assert (atlas.path / entry.name).parent.stat().st_ino in flushed
    assert entry.name not in log.read_text()
    atlas.enter(entry)
    assert named[0] == Path(entry.name).name
    assert named[-1] == "manifest.log"
    assert set(named[1:-1]) <= {"zarr.json"}


def test_rewriting_the_same_file_keeps_its_entry(atlas: Atlas) -> None:
    atlas.enter(atlas.write_text("report/index.html", "x"))
    atlas.write_text("report/index.html", "x")
    assert atlas.has("report/index.html")
    atlas.write_text("report/index.html", "y")
    assert not atlas.has("report/index.html")


@pytest.mark.parametrize("step", range(3))
def test_a_making_that_was_interrupted_is_made_again(
    tmp_path: Path, study: Study, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing_after(step, Crash()))
        with pytest.raises(Crash):
            Atlas.create(tmp_path, Study.parse(STUDY.replace("seeds = 2", "seeds = 3")))
    with pytest.raises(AtlasError):
        Atlas.open(tmp_path)
    assert Atlas.create(tmp_path, study).verify() == []


KILLED = """
import sys; sys.path[:0] = {tests!r}
from test_store import *
atlas = Atlas.open({path!r})
with atlas.lock():
    print("writing", flush=True)
    i = int({start})
    while True:
        i += 1
        atlas.enter(atlas.write_text(f"report/{{i % 3}}.txt", str(i) * 1000))
        atlas.enter(atlas.write_arrays({group!r}, distances(np.full((3, 3), float(i)))))
        atlas.enter(atlas.write_table("losses", frame_of("losses").assign(iteration=[i, i])))
"""


@pytest.mark.usefixtures("processes")
def test_a_kill_at_any_moment_leaves_a_manifest_that_tells_the_truth(atlas: Atlas) -> None:
    random = np.random.default_rng(0)
    for start in range(4):
        code = KILLED.format(tests=TESTS, path=str(atlas.path), group=GROUP, start=start * 1000)
        with started_python(code) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
            for _ in range(8):
                # Looking on while it writes: a reader sees whole entries or none, though it may look between two.
                time.sleep(random.uniform(0.002, 0.05))
                assert Atlas.open(atlas.path).study == atlas.study
        atlas = Atlas.open(atlas.path)
        assert [problem for problem in atlas.verify() if problem.what != "unknown"] == []
        with atlas.lock():
            assert not list(atlas.path.rglob("*.tmp"))
            atlas.enter(atlas.write_arrays(GROUP, distances()))
        assert atlas.has(f"arrays.zarr/{GROUP}")
    write_all(atlas)
    assert [problem for problem in atlas.verify() if problem.what != "unknown"] == []


# ── One writer ──


@pytest.mark.usefixtures("processes")
def test_one_writer_at_a_time_and_a_killed_one_lets_go(atlas: Atlas) -> None:
    code = f"""
from dynatlas.atlas.atlas import Atlas
import time
with Atlas.open({str(atlas.path)!r}).lock():
    print("locked", flush=True)
    time.sleep(60)
"""
    with started_python(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with (
            pytest.raises(AtlasError, match=rf"another run \(process {process.pid} on host .+\) is writing"),
            atlas.lock(),
        ):
            pytest.fail("two writers")
    with atlas.lock():
        holder = json.loads((atlas.path / ".lock").read_text())
        assert holder["pid"] == os.getpid()


def test_the_lock_is_released_after_an_error_and_can_be_taken_again(atlas: Atlas) -> None:
    with pytest.raises(KeyError), atlas.lock():
        raise KeyError
    with atlas.lock(), pytest.raises(AtlasError, match=f"process {os.getpid()} on host"), atlas.lock():
        pytest.fail("two writers")


def test_a_lock_whose_holder_has_not_yet_signed(atlas: Atlas) -> None:
    (atlas.path / ".lock").write_text("")
    with (atlas.path / ".lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(AtlasError, match=r"another run \(just started\) is writing"), atlas.lock():
            pytest.fail("two writers")


def test_the_lock_removes_what_dead_runs_left(atlas: Atlas) -> None:
    write_all(atlas)
    stale = [
        atlas.path / ".manifest.json.1-0123abcd.tmp",
        atlas.path / "arrays.zarr/distances/.x.99-0123abcd.tmp",
    ]
    stale[0].write_text("{")
    stale[1].mkdir()
    (stale[1] / "zarr.json").write_text("{")
    assert atlas.verify() == []
    mine = atlas.path / "report/.mine.tmp"
    mine.write_text("")
    with atlas.lock():
        assert not any(path.exists() for path in stale)
    assert mine.exists()


def test_a_filesystem_without_locks_is_warned_about(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = atlas.path / ".manifest.json.1-0123abcd.tmp"
    stale.write_text("{")

    def unsupported(_: int, operation: int) -> None:
        if operation != fcntl.LOCK_UN:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with (
        pytest.warns(UserWarning, match=r"has no locks \(Operation not supported\): make sure"),
        atlas.lock(),
    ):
        assert stale.exists()  # whoever writes it may be alive


def test_a_lock_that_fails_otherwise(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", failing)
    with pytest.raises(AtlasError, match=r"cannot lock .*: Input/output error"), atlas.lock():
        pytest.fail("locked")


def test_a_folder_without_flush_is_no_error(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def files_only(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    write_all(atlas)
    assert atlas.verify() == []


@pytest.mark.usefixtures("processes")
def test_importing_and_writing_start_no_backend() -> None:
    run_python(
        "import dynatlas.atlas.atlas\nfrom jax._src import xla_bridge\nassert not xla_bridge.backends_are_initialized()"
    )
