"""The journal: what was appended comes back; a torn end is no line; any other change of any bit is found."""

import errno
import json
import os
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynatlas._io import journal
from dynatlas._io.journal import JournalDamagedError, JournalReplacedError, Place

VALUES: list[Any] = [{}, {"a": ["é", 1]}, [1, 2.5, None, "tab\tnewline\n"], "x" * 300, {"b": None}]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def filled(path: Path, values: list[Any] = VALUES) -> list[Place]:
    """A journal whose first value is written and the others are appended; the places between its lines."""
    places = [journal.write(path, values[:1])]
    for value in values[1:]:
        journal.append(path, places[-1], value)
        places.append(journal.read(path).end)
    return places


@given(values=st.lists(JSON, min_size=1, max_size=6))
def test_what_is_appended_is_read_from_any_place_on(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    places = filled(path, values)
    assert journal.read(path) == (values, places[-1], False)
    for count, place in enumerate(places, start=1):
        assert journal.read(path, place) == (values[count:], places[-1], False)
    together = path.with_name("together")
    assert journal.write(together, values) == places[-1]
    assert together.read_bytes() == path.read_bytes()


def test_a_line_can_be_read_with_other_tools(path: Path) -> None:
    filled(path)
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    assert [json.loads(text) for text, _ in lines] == VALUES
    every_value = "".join(text for text, _ in lines)
    assert int(lines[-1][1], 16) == zlib.crc32(every_value.encode())


def test_cut_anywhere_it_reads_as_the_lines_before_the_cut(path: Path) -> None:
    places = filled(path)
    whole = path.read_bytes()
    for cut in range(places[0].offset, len(whole) + 1):
        path.write_bytes(whole[:cut])
        lines = sum(place.offset <= cut for place in places)
        assert journal.read(path) == (VALUES[:lines], places[lines - 1], cut != places[lines - 1].offset)
        if places[1].offset <= cut:
            assert journal.read(path, places[1]).values == VALUES[2:lines]
        else:
            with pytest.raises(JournalReplacedError):
                journal.read(path, places[1])


def test_every_flipped_bit_is_found(path: Path) -> None:
    places = filled(path)
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[position] ^= 1 << bit
            path.write_bytes(changed)
            if position == len(whole) - 1:  # its newline is what says that the last line is whole
                assert journal.read(path) == (VALUES[:-1], places[-2], True)
            else:
                with pytest.raises(JournalDamagedError, match=r"the line at byte \d+ does not match its checksum"):
                    journal.read(path)


def test_a_line_that_is_lost_or_repeated_or_moved_is_found(path: Path) -> None:
    filled(path)
    first, second, third, *rest = path.read_bytes().splitlines(keepends=True)
    for lines in ([first, third, *rest], [first, second, second, third, *rest], [first, third, second, *rest]):
        path.write_bytes(b"".join(lines))
        with pytest.raises(JournalDamagedError):
            journal.read(path)


def test_zeros_of_a_power_failure_are_a_torn_end_in_the_last_line_alone(path: Path) -> None:
    places = filled(path)
    whole = path.read_bytes()

    def zeroed(start: int, end: int) -> None:
        path.write_bytes(whole[:start] + bytes(end - start) + whole[end:])

    zeroed(places[-2].offset, places[-1].offset - 1)
    assert journal.read(path) == (VALUES[:-1], places[-2], True)
    zeroed(places[-2].offset + 2, len(whole))
    assert journal.read(path) == (VALUES[:-1], places[-2], True)
    zeroed(places[-3].offset + 2, places[-2].offset - 5)
    with pytest.raises(JournalDamagedError):
        journal.read(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\n", b"{}\n", b"{\t9fc9d6e6\n", b"{}\t00000000\n"])
def test_what_is_no_journal(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalDamagedError):
        journal.read(path)


def test_a_value_that_is_no_json_is_damage_though_its_checksum_is_right(path: Path) -> None:
    for text in (b"{", b"[" * 100_000):
        path.write_bytes(text + b"\t%08x\n" % zlib.crc32(text))
        with pytest.raises(JournalDamagedError, match="the line at byte 0 is not JSON"):
            journal.read(path)


def test_another_file_in_its_place_is_noticed_even_with_the_same_size_and_times(path: Path) -> None:
    places = filled(path, [{}, {"a": 1}, {"b": 2}])
    status = path.stat()
    filled(path, [{}, {"a": 2}, {"b": 2}])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    for place in places[1:]:
        with pytest.raises(JournalReplacedError):
            journal.read(path, place)


@pytest.mark.parametrize("call", ["write", "half a write", "fsync"])
def test_a_line_that_cannot_be_written_is_withdrawn(path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    places = filled(path)
    whole, write = path.read_bytes(), os.write
    full = OSError(errno.ENOSPC, "No space left on device")

    def failing(descriptor: int, data: bytes = b"") -> int:
        if call != "half a write" or len(data) < 20:
            raise full
        return write(descriptor, data[: len(data) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync" if call == "fsync" else "write", failing)
        with pytest.raises(OSError, match="No space left"):
            journal.append(path, places[-1], {"c": "x" * 100})
    assert path.read_bytes() == whole
    journal.append(path, places[-1], {"d": 1})
    assert journal.read(path).values == [*VALUES, {"d": 1}]


def test_a_line_is_on_the_disk_when_appending_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = filled(path)
    fsync, seen = os.fsync, []

    def recording(descriptor: int) -> None:
        fsync(descriptor)
        seen.append((os.fstat(descriptor).st_ino, path.read_bytes()))

    monkeypatch.setattr(os, "fsync", recording)
    journal.append(path, places[-1], {"c": 3})
    assert seen == [(path.stat().st_ino, path.read_bytes())]


def test_a_write_in_pieces_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = filled(path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    journal.append(path, places[-1], {"c": "x" * 100})
    assert journal.read(path).values == [*VALUES, {"c": "x" * 100}]
