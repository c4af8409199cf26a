"""Tables, arrays, report files and provenance: what is written comes back."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from dynatlas.atlas import schema
from dynatlas.atlas.atlas import Atlas
from dynatlas.errors import AtlasError, DamagedAtlasError
from dynatlas.study.study import Study
from support.atlas_contents import (
    GROUP,
    VALUES,
    block_of,
    distances,
    file_to_damage,
    frame_of,
    stacked_cells,
    write_all,
)
from support.processes import run_python


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


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("behaviour", "there is no table 'behaviour'; did you mean 'behavior'"),
        ("snapshots", "makes no table 'snapshots'; it would with snapshots = 12"),
        ("samples", r"makes no table 'samples'; it would with a table \[search\]"),
        ("networks", r"is not in the atlas .* \(yet\)"),
    ],
)
def test_a_table_that_is_not_there_is_explained(atlas: Atlas, table: str, message: str) -> None:
    with pytest.raises(AtlasError, match=message):
        atlas.table(table)


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
    chunk = file_to_damage(atlas, entry.name)
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
from support.atlas_contents import *
atlas = Atlas.create({str(tmp_path / "other")!r}, study_with())
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
