"""The manifest: every process sees the same, whole after a crash anywhere; damage is named; one process writes."""

import errno
import fcntl
import itertools
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from dynatlas._io import journal
from dynatlas.atlas import manifest
from dynatlas.atlas.atlas import Atlas
from dynatlas.atlas.manifest import Entry, Manifest, manifest_of
from dynatlas.errors import AtlasError, DamagedAtlasError
from support.atlas_contents import another_run, entry, study_with
from support.processes import Crash, failing_after, run_python, started_python


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage is believed at once."""
    monkeypatch.setattr(manifest, "PATIENCE", ())


def log_of(atlas: Atlas) -> Path:
    return atlas.path / "manifest.log"


def entered(atlas: Atlas, *calls: list[Entry]) -> list[tuple[int, dict[str, Entry]]]:
    """Enter what each call has; (size of the log, entries) at first and after each."""
    states = [(log_of(atlas).stat().st_size, dict(atlas.entries))]
    for call in calls:
        atlas.enter(*call)
        states.append((log_of(atlas).stat().st_size, states[-1][1] | {one.name: one for one in call}))
    return states


def as_others_see(atlas: Atlas) -> dict[str, Entry]:
    """The entries as a process reads them that has read nothing before."""
    return dict(Manifest(atlas.path).entries())


# ── Crashes and damage ──


def test_a_log_cut_at_any_byte_is_a_prefix_and_a_writer_goes_on(atlas: Atlas) -> None:
    states = entered(atlas, [entry(0)], [entry(1), entry(2)], [entry(3)], [entry(0, 1)], [entry(4), entry(5)])
    whole = log_of(atlas).read_bytes()
    for cut in range(len(whole) - 200, len(whole) + 1):
        log_of(atlas).write_bytes(whole[:cut])
        expected = [entries for size, entries in states if size <= cut][-1]
        assert dict(atlas.entries) == as_others_see(atlas) == expected
        assert log_of(atlas).read_bytes() == whole[:cut]  # a reader changes nothing
        atlas.enter(entry(6), entry(7))
        atlas.discard(entry(6).name)
        assert dict(atlas.entries) == as_others_see(atlas) == expected | {entry(7).name: entry(7)}
        assert atlas.verify() == [(name, "missing") for name in sorted([*expected, entry(7).name])]


@pytest.mark.usefixtures("impatient")
def test_a_flipped_bit_is_damage_and_not_dropped(atlas: Atlas) -> None:
    states = entered(atlas, [entry(0)], [entry(1), entry(2)], [entry(3)])
    whole = log_of(atlas).read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        log_of(atlas).write_bytes(changed)
        if position == len(whole) - 1:
            assert as_others_see(atlas) == states[-2][1]
            continue
        with pytest.raises(
            DamagedAtlasError, match=r"manifest.log is damaged \(the line at byte .*\): restore it from"
        ):
            as_others_see(atlas)
        with pytest.raises(DamagedAtlasError):
            atlas.enter(entry(9))
        assert log_of(atlas).read_bytes() == changed
    log_of(atlas).write_bytes(whole)
    assert as_others_see(atlas) == dict(atlas.entries) == states[-1][1]


@pytest.mark.usefixtures("impatient")
def test_cut_where_the_error_says_a_damaged_log_is_an_earlier_state(atlas: Atlas) -> None:
    states = entered(atlas, [entry(0)], [entry(1)], [entry(2)])
    (size, entries), whole = states[1], bytearray(log_of(atlas).read_bytes())
    whole[size + 5] ^= 1
    log_of(atlas).write_bytes(whole)
    with pytest.raises(DamagedAtlasError, match=f"the line at byte {size} does not match its checksum"):
        Atlas.open(atlas.path)
    os.truncate(log_of(atlas), size)
    assert dict(Atlas.open(atlas.path).entries) == entries


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "line",
    [
        {"../x": ["", 0]},
        {"/etc/x": ["", 0]},
        {"a//b": ["", 0]},
        {"x": [1, 0]},
        {"x": ["", "0"]},
        {"x": [""]},
        {"x": ["", 0, 0]},
        {"x": 5},
        {"": ["", 0]},
        ["x"],
        7,
    ],
)
def test_a_hostile_line_is_refused(atlas: Atlas, line: object) -> None:
    journal.write(log_of(atlas), [{}, line])
    with pytest.raises(DamagedAtlasError, match=r"manifest.log is damaged"):
        Atlas.open(atlas.path)
    assert "is damaged" in repr(atlas)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("content", "why"), [(None, "it is missing"), (b"", "it has no first line"), (b"x\n", "byte 0")]
)
def test_a_log_that_is_none(atlas: Atlas, content: bytes | None, why: str) -> None:
    if content is None:
        log_of(atlas).unlink()
    else:
        log_of(atlas).write_bytes(content)
    with pytest.raises(DamagedAtlasError, match=rf"manifest.log is damaged \(.*{why}"):
        Atlas.open(atlas.path)


def test_a_log_that_cannot_be_read(atlas: Atlas) -> None:
    log_of(atlas).unlink()
    log_of(atlas).mkdir()
    with pytest.raises(AtlasError, match=r"cannot read .*manifest.log: Is a directory"):
        Atlas.open(atlas.path)


def test_damage_that_passes_is_none(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a network filesystem shows one page of the file older than the next."""
    entered(atlas, [entry(0)], [entry(1)])
    whole = log_of(atlas).read_bytes()
    log_of(atlas).write_bytes(whole.replace(b"00000", b"0\0\0\0\0"))
    monkeypatch.setattr(time, "sleep", lambda _: log_of(atlas).write_bytes(whole))
    assert set(Manifest(atlas.path).entries()) == {entry(0).name, entry(1).name}


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_what_cannot_be_written_is_not_entered(atlas: Atlas, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    states = entered(atlas, [entry(0)], [entry(1)])
    before = log_of(atlas).read_bytes()

    def failing(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for change in (lambda: atlas.enter(entry(2)), lambda: atlas.discard(entry(0).name)):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            with pytest.raises(AtlasError, match=r"cannot write .*manifest.log: No space left on device"):
                change()
        assert dict(atlas.entries) == as_others_see(atlas) == states[-1][1]
        assert log_of(atlas).read_bytes() == before
    atlas.enter(entry(2))
    assert as_others_see(atlas) == states[-1][1] | {entry(2).name: entry(2)}


def test_a_line_that_could_not_be_withdrawn_is_a_torn_end(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    states = entered(atlas, [entry(0)])
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 60:
            raise OSError(errno.EIO, "Input/output error")
        return write(descriptor, data[:50])

    def failing(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with atlas.lock():
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            patch.setattr(os, "ftruncate", failing)
            with pytest.raises(AtlasError, match="Input/output error"):
                atlas.enter(entry(1))
        assert dict(atlas.entries) == as_others_see(atlas) == states[-1][1]
        atlas.enter(entry(2))
    assert as_others_see(atlas) == states[-1][1] | {entry(2).name: entry(2)}


# ── One state for all ──


def test_entries_do_not_change_under_who_has_them(atlas: Atlas) -> None:
    entered(atlas, [entry(0)], [entry(1)])
    before = atlas.entries
    for name in before:
        atlas.discard(name)
    atlas.enter(entry(2))
    assert dict(before) == {one.name: one for one in (entry(0), entry(1))}
    assert dict(atlas.entries) == {entry(2).name: entry(2)}
    assert atlas.entries == Atlas.open(atlas.path).entries


def test_an_entry_that_is_there_already_costs_no_line(atlas: Atlas) -> None:
    states = entered(atlas, [entry(0)])
    atlas.enter(entry(0))
    atlas.enter()
    atlas.discard("report/other.txt")
    assert log_of(atlas).stat().st_size == states[-1][0]


def test_names_that_leave_the_folder_are_not_entered(atlas: Atlas) -> None:
    with pytest.raises(ValueError, match="not a name inside an atlas"):
        atlas.enter(Entry("../x", "", 0))
    assert as_others_see(atlas) == {}


def test_an_atlas_made_again_at_the_same_place_is_another_one(atlas: Atlas) -> None:
    entered(atlas, [entry(0)])
    shutil.rmtree(atlas.path)
    with pytest.raises(AtlasError, match="no such folder"):
        _ = atlas.entries
    other = study_with(population={"seeds": 3})
    assert Atlas.create(atlas.path, other).study.hash == other.hash
    assert not atlas.entries


def test_superseded_lines_are_compacted(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "SUPERSEDED", 20)
    reader = Manifest(atlas.path)
    sizes = []
    for version in range(200):
        atlas.enter(entry(version % 3, version))
        if version % 3:
            atlas.discard(entry(0).name)
        assert reader.entries() == atlas.entries == as_others_see(atlas)
        sizes.append(log_of(atlas).stat().st_size)
    assert max(sizes) < 40 * max(sizes[:2])
    assert sum(after < before for before, after in itertools.pairwise(sizes)) > 3
    assert atlas.entries.keys() == {entry(1).name, entry(2).name}


def test_compaction_keeps_the_entries_in_one_line_each(atlas: Atlas) -> None:
    states = entered(atlas, [entry(2)], [entry(0), entry(1)], [entry(2, 1)])
    manifest = manifest_of(atlas.path)
    assert manifest.entries() == states[-1][1]
    manifest._write_log()
    assert as_others_see(atlas) == dict(atlas.entries) == states[-1][1]
    names = [name for line in log_of(atlas).read_text().splitlines() for name in json.loads(line.split("\t")[0])]
    assert names == [entry(0).name, entry(1).name, entry(2).name]
    atlas.enter(entry(3))
    assert as_others_see(atlas) == states[-1][1] | {entry(3).name: entry(3)}


def test_a_crash_while_compacting_loses_nothing(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    states = entered(atlas, [entry(0)], [entry(1)])
    with log_of(atlas).open("ab") as file:
        file.write(b'{"report/')
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing_after(0, Crash()))
        with pytest.raises(Crash):
            atlas.enter(entry(2))
    assert dict(atlas.entries) == as_others_see(atlas) == states[-1][1]
    atlas.enter(entry(2))
    assert dict(atlas.entries) == as_others_see(atlas) == states[-1][1] | {entry(2).name: entry(2)}


WRITING = """
from support.atlas_contents import *
from dynatlas.atlas.manifest import manifest_of
atlas = Atlas.open({path!r})
with atlas.lock():
    print("writing", flush=True)
    for number in range({count}):
        atlas.enter(entry(number))
        if {compacts} and number % 7 == 0:
            manifest_of(atlas.path).get("")
            manifest_of(atlas.path)._write_log()
"""


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("compacts", [False, True])
def test_a_reader_sees_a_prefix_that_only_grows(atlas: Atlas, compacts: bool) -> None:
    count = 400
    code = WRITING.format(path=str(atlas.path), count=count, compacts=compacts)
    seen = [0]
    with started_python(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        while seen[-1] < count:
            for entries in (dict(atlas.entries), as_others_see(atlas)):
                assert list(entries.values()) == [entry(number) for number in range(len(entries))]
                assert len(entries) >= seen[-1]
                seen.append(len(entries))
            assert process.poll() in (None, 0)
    assert len(set(seen)) > 5  # it has looked on


# ── One process writes ──


@pytest.mark.usefixtures("processes")
def test_who_has_not_the_lock_writes_files_but_not_the_manifest(atlas: Atlas) -> None:
    """As a worker does; what is complete is not replaced by the late result of a job that was done elsewhere."""
    first = atlas.write_text("report/first.txt", "first")
    damaged = atlas.write_text("report/damaged.txt", "damaged")
    atlas.enter(first, damaged)
    (atlas.path / damaged.name).write_text("DAMAGED")
    before = log_of(atlas).read_bytes()
    with another_run(atlas):
        for change in (lambda: atlas.enter(entry(0)), lambda: atlas.discard(first.name)):
            with pytest.raises(AtlasError, match=r"another run \(process .*\) is writing"):
                change()
        assert atlas.write_text("report/first.txt", "late, and different") == first
        assert (atlas.path / first.name).read_text() == "first"
        with pytest.raises(DamagedAtlasError, match=r"damaged.txt is changed: `dynatlas verify --repair"):
            atlas.write_text("report/damaged.txt", "different")
        assert atlas.write_text("report/damaged.txt", "damaged") == damaged
        assert (atlas.path / damaged.name).read_text() == "damaged"
        new = atlas.write_text("report/new.txt", "new")
        assert log_of(atlas).read_bytes() == before
    atlas.enter(new)
    assert atlas.verify() == []


def test_without_locks_only_who_says_so_writes(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(_: int, operation: int) -> None:
        if operation != fcntl.LOCK_UN:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with (
        pytest.warns(UserWarning, match="has no locks"),
        pytest.raises(AtlasError, match=r"take `atlas.lock\(\)` first"),
    ):
        atlas.enter(entry(0))
    with pytest.warns(UserWarning, match="has no locks"), atlas.lock():
        atlas.enter(entry(0))
    assert as_others_see(atlas) == {entry(0).name: entry(0)}


FORKING = """
import os
from dynatlas.errors import AtlasError
from dynatlas.atlas.atlas import Atlas, Entry
atlas = Atlas.open({path!r})
with atlas.lock():
    child = os.fork()
    if not child:
        try:
            atlas.enter(Entry("report/child.txt", "", 0))
        except AtlasError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    atlas.enter(Entry("report/parent.txt", "", 0))
"""


@pytest.mark.usefixtures("processes")
def test_a_forked_child_does_not_hold_its_parents_lock(atlas: Atlas) -> None:
    run_python(FORKING.format(path=str(atlas.path)))
    assert as_others_see(atlas).keys() == {"report/parent.txt"}
