"""Failed writes and kills leave nothing half-written."""

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.errors import AtlasError
from support.atlas_contents import GROUP, block_of, distances, frame_of, write_all
from support.processes import Crash, failing_after, started_python

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


KILLED = """
from support.atlas_contents import *
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
        code = KILLED.format(path=str(atlas.path), group=GROUP, start=start * 1000)
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


def test_a_folder_without_flush_is_no_error(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def files_only(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    write_all(atlas)
    assert atlas.verify() == []
