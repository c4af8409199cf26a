"""Making and opening an atlas folder."""

import errno
import os
import pickle
from pathlib import Path

import pytest

from dynatlas.atlas.atlas import Atlas, Problem
from dynatlas.errors import AtlasError, DamagedAtlasError, DifferentStudyError
from dynatlas.study.study import Study
from support.atlas_contents import study_with, write_all
from support.processes import Crash, failing_after, run_python


def test_create_makes_missing_parents_and_reopens_the_same_study(tmp_path: Path, study: Study) -> None:
    first = Atlas.create(tmp_path / "a/b/atlas", study)
    first.enter(first.write_text("report/index.html", "x"))
    renamed = study_with(name="renamed")
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
    other = study_with(
        population={"seeds": 3, "architectures": ["gru"]},
        tasks=[{"kind": "flip_flop", "steps": 30, "channels": 1}],
        overrides=[{"units": 4, "training": {"momentum": 0.5}}],
        analysis={"measures": ["cka"]},
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
        "tasks.flip_flop.steps: 6 → 30",
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
    assert 3 < len(lines) < 12
    assert len(str(refused.value)) < 500
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


def test_a_path_that_is_no_text_is_refused_before_anything_is_trained(tmp_path: Path, study: Study) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")  # a name in Latin-1
    with pytest.raises(AtlasError, match=r"caf\\udce9' is no Unicode text, in which no tables can be written; choose"):
        Atlas.create(folder, study)
    assert not folder.exists()


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
        b'{"format": true}',
        b"[" * 200_000,
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
    with pytest.raises(DamagedAtlasError, match=r"manifest.json is damaged .*restore it from a copy") as caught:
        Atlas.open(atlas.path)
    assert caught.value.__cause__ is None  # of another cause the command line shows the traceback, as of a bug
    assert "is damaged" in repr(atlas)


@pytest.mark.parametrize("content", [b"", b"name = ", b"\xff", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000])
def test_a_damaged_study_file(atlas: Atlas, content: bytes) -> None:
    (atlas.path / "study.toml").write_bytes(content)
    with pytest.raises(
        DamagedAtlasError, match=r"(?s)study file of the atlas .* is damaged.*Put its study.toml back"
    ) as caught:
        Atlas.open(atlas.path)
    assert caught.value.__cause__ is None
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
        Atlas.create(atlas.path, study_with(population={"seeds": 3}))
    assert Atlas.create(atlas.path, atlas.study).verify() == []
    assert len(atlas.entries) == 4


def test_repr_says_how_far_it_is(atlas: Atlas) -> None:
    def rows() -> dict[str, str]:
        return dict(atlas._summary().rows)

    assert rows()["folder"] == str(atlas.path)
    assert (rows()["networks"], rows()["done"]) == ("0 of 4 trained", "nothing yet")
    write_all(atlas)
    assert rows()["networks"] == "1 of 2 learned their task"
    assert rows()["done"] == "training (1 of 2), distances (1 of 6), tables (1 of 3), report"
    assert f'next: dynatlas.run("{atlas.path}/study.toml", "{atlas.path}") resumes' in " ".join(repr(atlas).split())
    atlas.discard("tables/networks.parquet")
    assert rows()["networks"] == "2 of 4 trained"


@pytest.mark.parametrize("step", range(3))
def test_a_making_that_was_interrupted_is_made_again(
    tmp_path: Path, study: Study, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing_after(step, Crash()))
        with pytest.raises(Crash):
            Atlas.create(tmp_path, study_with(population={"seeds": 3}))
    with pytest.raises(AtlasError):
        Atlas.open(tmp_path)
    assert Atlas.create(tmp_path, study).verify() == []


@pytest.mark.usefixtures("processes")
def test_importing_and_writing_start_no_backend() -> None:
    run_python(
        "import dynatlas.atlas.atlas\nfrom jax._src import xla_bridge\nassert not xla_bridge.backends_are_initialized()"
    )
