"""Damage is found by readers and by `verify`, and healed."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dynatlas.atlas.atlas import Atlas, Problem
from dynatlas.errors import AtlasError, DamagedAtlasError
from support.atlas_contents import GROUP, block_of, distances, file_to_damage, frame_of, write_all

READERS: dict[str, Callable[[Atlas], object]] = {
    "networks/flip_flop-gru-tanh-4.safetensors": lambda atlas: atlas.read_block(block_of(atlas.study)),
    "tables/networks.parquet": lambda atlas: atlas.table("networks"),
    f"arrays.zarr/{GROUP}": lambda atlas: atlas.arrays(GROUP),
}


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
    path = file_to_damage(atlas, name)
    if damage == "garbage":
        path.write_bytes(b"garbage" * 10_000)
    else:
        DAMAGES[damage](path)
    what = {"garbage": "changed", "missing": "truncated" if path.parent.name == "0" else "missing"}.get(damage, damage)
    with pytest.raises(DamagedAtlasError, match=f"{name} is {what}: `dynatlas verify --repair .* run redoes it"):
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
    chunk = file_to_damage(atlas, f"arrays.zarr/{GROUP}")
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
        file_to_damage(atlas, name).write_bytes(b"half-writ")
    (atlas.path / GROUP).mkdir(parents=True)
    with pytest.raises(AtlasError, match="not in the atlas"):
        atlas.table("networks")
    assert write_all(atlas) == entries
    assert atlas.arrays(GROUP).equals(distances())


@pytest.mark.parametrize("kind", ["file for group", "group for file"])
def test_something_of_another_kind_in_the_way(atlas: Atlas, kind: str, tmp_path: Path) -> None:
    path = atlas.path / ("report/index.html" if kind == "group for file" else f"arrays.zarr/{GROUP}")
    path.parent.mkdir(parents=True)
    if kind == "group for file":
        path.mkdir()
        other = path / "x"
        what = "a folder that is not empty"
    else:
        other = path
        what = "a file that is not empty"
    other.write_text("somebody's notes")
    with pytest.raises(AtlasError, match=f"cannot write .*{path.name}: {what} is in its place; move it away"):
        write_all(atlas)
    assert other.read_text() == "somebody's notes"
    other.rename(tmp_path / "notes")
    if kind == "file for group":
        path.touch()
    write_all(atlas)  # what is empty is replaced
    assert atlas.verify() == []
