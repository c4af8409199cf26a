"""An atlas that the dynatlas before ``manifest.log`` made: it opens, verifies, and is gone on with to the same tables.

``data/format_1.zip`` holds ``study.toml``; the ``atlas`` that commit e73d08c made of it with ``dynatlas run study.toml
atlas --workers 1 --until "fixed points"``; and the ``tables`` that the same commit made when it resumed a copy of this
atlas with ``--until maps``.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dynatlas
from dynatlas.atlas.atlas import Atlas
from dynatlas.atlas.manifest import Entry, Manifest
from dynatlas.atlas.schema import TABLES
from support.processes import Crash, failing_after

DATA = Path(__file__).parents[1] / "data" / "format_1.zip"
NEW = Entry("report/index.html", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.unpack_archive(DATA, tmp_path)
    return tmp_path / "atlas"


def old_entries(folder: Path) -> dict[str, Entry]:
    """What the old manifest says, read by hand."""
    entries = json.loads((folder / "manifest.json").read_text())["entries"]
    return {name: Entry(name, entry["sha256"], entry["bytes"]) for name, entry in entries.items()}


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_opens_and_verifies_and_is_left_as_it_is(folder: Path) -> None:
    before = files(folder)
    atlas = Atlas.open(folder)
    assert dict(atlas.entries) == old_entries(folder)
    assert len(atlas.entries) == 26
    assert atlas.verify() == []
    assert atlas.network("flip_flop-ugrnn-tanh-4-l2_1e-06-seed1").units == 4
    with atlas.lock():
        assert atlas.has("parts/searches/flip_flop-ugrnn-tanh-4.parquet")
    (folder / ".lock").unlink()
    assert files(folder) == before


@pytest.mark.parametrize("change", ["enter", "discard"])
def test_the_first_change_brings_it_to_the_new_format(folder: Path, change: str) -> None:
    old, before = old_entries(folder), json.loads((folder / "manifest.json").read_text())
    atlas, elsewhere = Atlas.open(folder), Manifest(folder)
    assert elsewhere.entries() == old
    if change == "enter":
        (folder / "report").mkdir()
        (folder / "report/index.html").write_text("abc")
        atlas.enter(NEW)
        expected = old | {NEW.name: NEW}
    else:
        name = next(iter(old))
        atlas.discard(name)
        expected = {other: entry for other, entry in old.items() if other != name}
    assert json.loads((folder / "manifest.json").read_text()) == {"format": 2, "study": before["study"]}
    assert dict(atlas.entries) == elsewhere.entries() == Manifest(folder).entries() == expected
    assert [problem for problem in Atlas.open(folder).verify() if problem.what != "unknown"] == []


@pytest.mark.parametrize("step", range(2))
def test_a_crash_between_the_steps_leaves_the_old_atlas(
    folder: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, old, atlas = files(folder), old_entries(folder), Atlas.open(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing_after(step, Crash()))
        with pytest.raises(Crash):
            atlas.enter(NEW)
    left = files(folder)
    for name in (".lock", "manifest.log"):
        left.pop(folder / name, None)
    assert left == before  # so that an older dynatlas still reads it, too
    assert dict(atlas.entries) == Manifest(folder).entries() == old
    assert atlas.verify() == []
    atlas.discard(next(iter(old)))
    atlas.enter(NEW)
    assert set(Manifest(folder).entries()) == {*list(old)[1:], NEW.name}


def test_a_lost_study_file_is_written_again(folder: Path) -> None:
    study, old = Atlas.open(folder).study, old_entries(folder)
    (folder / "study.toml").unlink()
    atlas = Atlas.create(folder, study)
    assert dict(atlas.entries) == old
    assert atlas.verify() == []


@pytest.mark.usefixtures("processes")
def test_it_is_gone_on_with_to_the_tables_that_it_would_have_had(folder: Path) -> None:
    old = old_entries(folder)
    atlas = dynatlas.run(folder / "study.toml", folder, workers=1, until="maps")
    assert old.items() <= atlas.entries.items()
    assert atlas.verify() == []
    tables = sorted((folder.parent / "tables").glob("*.parquet"))
    added = {f"tables/{name}.parquet" for name in ("spread", "behavior", "activity")}
    expected = {f"tables/{path.name}" for path in tables} | added
    assert expected == {name for name in atlas.entries if name.startswith("tables/")}
    for path in tables:
        if path.stem in ("claims", "effects", "headline", "controls"):  # the statistics of the version that runs
            continue
        added = [column for column, declared in TABLES[path.stem].items() if declared.before is not None]
        seen, expected = atlas.table(path.stem).drop(columns=added), pd.read_parquet(path)
        if "measure" in expected:  # later versions compare by more measures, and by two of them otherwise
            expected = expected[~expected.measure.isin(["spectrum", "fused_transition_graph"])]
            seen = seen[seen.measure.isin(expected.measure)]
        assert_same_table(seen, expected)


def assert_same_table(seen: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The same, but for the last digits of numbers, which differ between processors, and the words of claims."""
    assert set(seen.columns) == set(expected.columns)
    for column in expected.columns.difference(["statement", "quantity", "note"]):
        if expected[column].dtype.kind == "f":
            np.testing.assert_allclose(seen[column], expected[column], rtol=1e-6, atol=1e-6, err_msg=column)
        elif column == "readout":
            np.testing.assert_allclose(np.stack(seen[column]), np.stack(expected[column]), rtol=1e-6)
        else:
            assert seen[column].tolist() == expected[column].tolist(), column
