r"""A journal: a file of JSON lines that is only appended to, and reads correctly after a crash at any byte.

A line is a JSON value, a tab, a checksum and a newline. The checksum is the CRC-32 of all values from the first to this
one, in 8 hexadecimal digits. It covers every earlier line, and so detects lines that were lost, repeated or moved.

A writer that is killed can leave an incomplete line at the end of the file. Readers ignore such a *torn* end:

- it has no newline; or
- it is the last line and holds zero bytes, as does a block that had not reached the disk at a power failure.

Any other line that does not match its checksum is damage. A journal without a first line is damaged too, so ``write``
needs at least one value.

Bytes that a reader may have read are never changed in place: a journal with a torn end is replaced as a whole. A reader
that resumes at a place compares the checksum before it, and so detects that the file was replaced.
"""

import json
import os
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dynatlas._io.atomic import open_regular, write_bytes

_MARK = 9  # bytes at the end of a line: the checksum and the newline


class Place(NamedTuple):
    """A place between two lines of a journal."""

    offset: int = 0  # bytes before it
    checksum: int = 0  # of the values before it


class Reading(NamedTuple):
    """Values read from a journal, and the place after them."""

    values: list[Any]
    end: Place
    is_torn: bool  # an incomplete line follows


class JournalDamagedError(ValueError):
    """A line differs from what was written."""


class JournalReplacedError(Exception):
    """The file is not the one that was read earlier."""


def write(path: Path, values: Iterable[object]) -> Place:
    """Replace a journal atomically by one with these values, at least one, and return its end."""
    end, lines = Place(), []
    for value in values:
        line, end = _line(value, end)
        lines.append(line)
    write_bytes(path, b"".join(lines))
    return end


def append(path: Path, end: Place, value: object) -> None:
    """Append a line to a journal that is not torn, and flush it to disk.

    Only one process may append at a time. If appending fails, the line is removed.
    """
    line, _ = _line(value, end)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        while line:
            line = line[os.write(descriptor, line) :]
        os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):  # if this fails too, the end is torn
            os.ftruncate(descriptor, end.offset)
        raise
    finally:
        os.close(descriptor)


def read(path: Path, since: Place = Place()) -> Reading:  # noqa: B008 - immutable
    """Read the complete lines after a place.

    The file is opened each time, so that a network filesystem asks its server for new lines.

    Raises:
        JournalReplacedError: the place is not in this file.
        JournalDamagedError: a line does not match its checksum, or there is no line.
        OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        start = _MARK if since.offset else 0
        file.seek(since.offset - start)
        content = file.read()
    if start and content[:start] != _mark(since.checksum):
        raise JournalReplacedError
    values, end = [], since
    while (newline := content.find(b"\n", start)) >= 0:
        line = content[start : newline + 1]
        value = line[: -_MARK - 1]
        checksum = zlib.crc32(value, end.checksum)
        if line[-_MARK - 1 :] != b"\t" + _mark(checksum):
            if b"\0" in line and newline + 1 == len(content):
                break
            raise JournalDamagedError(f"the line at byte {end.offset} does not match its checksum")
        values.append(_parsed(value, end.offset))
        end = Place(end.offset + len(line), checksum)
        start = newline + 1
    if not end.offset:
        raise JournalDamagedError("it has no first line")
    return Reading(values, end, is_torn=start < len(content))


def _line(value: object, after: Place) -> tuple[bytes, Place]:
    """Return a line and the place after it."""
    text = json.dumps(value, separators=(",", ":")).encode()
    checksum = zlib.crc32(text, after.checksum)
    line = text + b"\t" + _mark(checksum)
    return line, Place(after.offset + len(line), checksum)


def _mark(checksum: int) -> bytes:
    return b"%08x\n" % checksum


def _parsed(text: bytes, offset: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JournalDamagedError(f"the line at byte {offset} is not JSON: {type(error).__name__}") from error
