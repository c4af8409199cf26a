"""One writer at a time."""

import errno
import fcntl
import json
import os

import pytest

from dynatlas.atlas.atlas import Atlas
from dynatlas.errors import AtlasError
from support.atlas_contents import another_run, write_all


@pytest.mark.usefixtures("processes")
def test_one_writer_at_a_time_and_a_killed_one_lets_go(atlas: Atlas) -> None:
    with (
        another_run(atlas) as process,
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
