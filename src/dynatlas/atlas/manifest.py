"""The manifest of an atlas: which study it is of, and what in it is complete, with hashes and byte counts.

``manifest.json`` names the format and the study. ``manifest.log`` is a journal with a line for each call of ``enter``
or ``discard``: a JSON object of names, each with its [SHA-256, bytes], or null if it was discarded. All lines merged,
from the first to the last, are the entries. The first line is empty, so that a log that was emptied is damaged.

Only the holder of the atlas's lock writes. It replaces the log by a new file with one line for each entry when most
updates in it have been superseded, or when a writer that was killed has left a torn end. Each of the two files is
replaced in one step, and ``manifest.json`` does not change with the entries, so that the two cannot disagree.

Format 1 has all entries in ``manifest.json``. It is read as it is. The first change writes the log and then the new
``manifest.json``; until that is there, the log does not count. An older dynatlas refuses the new format as newer.
"""

import json
import os
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from dynatlas._io import journal
from dynatlas._io.atomic import fingerprint, open_regular, write_bytes
from dynatlas._io.links import link_outside
from dynatlas._util.json import Json
from dynatlas.atlas.lock import as_writer
from dynatlas.errors import AtlasError, DamagedAtlasError
from dynatlas.study.study import MANIFEST

LOG: Final = "manifest.log"
STUDY: Final = "study.toml"
FORMAT: Final = 2  # raised when an older dynatlas could no longer read what this one writes
SUPERSEDED: Final = 1000  # updates in the log that no longer count, from which on it is compacted, if they are most
# Seconds to wait before a line is called damaged: of two pages of a file, a network filesystem may have an older one.
PATIENCE: Final = (0.02, 0.2)
LINK: Final = "a link out of the atlas"
_MALFORMED: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_UNPLAIN: Final = frozenset(["", ".", ".."])  # parts of a path that is not in its plainest form
_one_thread = threading.RLock()


class Entry(NamedTuple):
    """A complete file, or a complete group of arrays, of an atlas."""

    name: str
    sha256: str
    bytes: int

    @classmethod
    def of(cls, folder: Path, name: str, at: Path | None = None) -> "Entry":
        """The entry of ``folder / name`` as it is on the disk now; ``at`` is where it stands meanwhile."""
        return cls(name, *fingerprint(at or folder / name))

    def damage(self, folder: Path) -> str | None:
        """How what is on the disk differs: "missing", "truncated", "changed", "unreadable", a link, or None."""
        if link_outside(folder, self.name):
            return LINK
        if not (folder / self.name).exists():
            return "missing"
        try:
            seen = self.of(folder, self.name)
        except OSError:
            return "unreadable"
        if seen == self:
            return None
        return "truncated" if seen.bytes < self.bytes else "changed"


class Head(NamedTuple):
    """What ``manifest.json`` holds."""

    format: int
    study_hash: str  # of the settings, so that two files that mean the same are the same study
    study: Entry  # of the file


class Manifest:
    """The manifest of one atlas: what this process has read of it, brought up to date at every question.

    Raises, whatever is asked:
        AtlasError: there is no atlas, it is of a newer format, or it cannot be read.
        DamagedAtlasError: a file of the manifest is not what was written.
        BusyError: another process is the writer; when something is to be written.
        OSError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._log = folder, folder / LOG
        self._forget()

    def head(self) -> Head:
        """The study."""
        with _one_thread:
            return self._current()

    def get(self, name: str) -> Entry | None:
        """The entry of this name, if it is complete."""
        with _one_thread:
            self._current()
            return self._entries.get(name)

    def entries(self) -> Mapping[str, Entry]:
        """What is complete now, by name; it does not change later."""
        with _one_thread:
            self._current()
            self._is_shared = True
            return MappingProxyType(self._entries)

    def enter(self, *entries: Entry) -> None:
        """Declare entries complete: after a crash all of them are, or none."""
        self._update({check_name(entry.name): entry for entry in entries})

    def discard(self, *names: str) -> None:
        """Declare entries incomplete; other names are no error."""
        self._update(dict.fromkeys(names))

    def begin(self, study_hash: str, study: Entry) -> None:
        """Write the manifest of a new atlas, or of one that has lost its study; it keeps its entries."""
        with _one_thread, as_writer(self._folder):
            self._forget()
            if (self._folder / MANIFEST).exists():
                self._current()
            self._write_log()
            self._write_head(study_hash, study)

    def _write_log(self) -> None:
        """Replace the log by one in which every entry stands once."""
        lines = [_line({name: self._entries[name]}) for name in sorted(self._entries)]
        self._end = journal.write(self._log, [{}, *lines])
        self._updates, self._is_torn = len(lines), False

    def _write_head(self, study_hash: str, study: Entry) -> None:
        """Replace ``manifest.json``."""
        content = {
            "format": FORMAT,
            "study": {"hash": study_hash, "sha256": study.sha256, "bytes": study.bytes},
        }
        write_bytes(self._folder / MANIFEST, json.dumps(content, indent=1, sort_keys=True).encode() + b"\n")

    def _update(self, update: Mapping[str, Entry | None]) -> None:
        with _one_thread, as_writer(self._folder):
            head = self._current()
            changes = {name: entry for name, entry in update.items() if self._entries.get(name) != entry}
            if not changes:
                return
            if head.format < FORMAT:
                self._write_log()
                self._write_head(head.study_hash, head.study)
            elif self._is_torn or self._updates > 2 * len(self._entries) + SUPERSEDED:
                self._write_log()
            journal.append(self._log, self._end, _line(changes))

    def _current(self) -> Head:
        """Read what was written since the last time."""
        try:
            head = self._read_head()
            if head.format == FORMAT:
                self._read_log()
        except BaseException:
            self._forget()
            raise
        return head

    def _forget(self) -> None:
        self._head: Head | None = None
        self._identity: tuple[int, int, int] | None = None  # of the file that it was read from
        self._restart()

    def _restart(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._is_shared = False  # somebody has been given these entries, and expects that they do not change
        self._end = journal.Place()  # of what was read of the log
        self._updates = 0  # in the log, of single names
        self._is_torn = False

    def _read_head(self) -> Head:
        path = self._folder / MANIFEST
        try:
            with open_regular(path) as file:
                status = os.fstat(file.fileno())
                identity = status.st_ino, status.st_size, status.st_mtime_ns
                if self._head and identity == self._identity:
                    return self._head
                content = json.loads(file.read())
            version = content["format"]
            if type(version) is not int:
                raise TypeError(f"the format is {version!r}")
            if version in (1, FORMAT):
                self._forget()
                self._head, self._entries = _parsed(content)
                self._identity = identity
                return self._head
            is_newer = version > FORMAT
        except FileNotFoundError:
            what = f"the folder has no {MANIFEST}" if self._folder.is_dir() else "no such folder"
            raise AtlasError(f"no atlas at {self._folder}: {what}. `dynatlas run` makes one") from None
        except NotADirectoryError:
            raise AtlasError(f"no atlas at {self._folder}: it is a file; an atlas is a folder") from None
        except OSError as error:
            raise AtlasError(f"cannot read {path}: {error.strerror}") from error
        except _MALFORMED as error:
            raise _damaged(path, f"{type(error).__name__}: {error}") from None
        if not is_newer:
            raise _damaged(path, f"it names the format {version!r}")
        raise AtlasError(
            f"{self._folder} was written by a newer dynatlas (format {version}; this one reads {FORMAT}): "
            "upgrade dynatlas"
        )

    def _read_log(self) -> None:
        try:
            reading = self._read_on()
            changes = {name: _changed(name, facts) for line in reading.values for name, facts in line.items()}
        except FileNotFoundError:
            raise _damaged(self._log, "it is missing") from None
        except OSError as error:
            raise AtlasError(f"cannot read {self._log}: {error.strerror}") from error
        except journal.JournalDamagedError as error:
            raise _damaged(self._log, str(error)) from None
        except _MALFORMED as error:
            raise _damaged(self._log, f"{type(error).__name__}: {error}") from None
        self._end, self._is_torn = reading.end, reading.is_torn
        self._updates += sum(map(len, reading.values))
        self._apply(changes)

    def _read_on(self) -> journal.Reading:
        """Read the log from where this process has come to, or from its start if it is another one."""
        for pause in PATIENCE:
            try:
                return journal.read(self._log, self._end)
            except journal.JournalReplacedError:
                self._restart()
            except (journal.JournalDamagedError, OSError):
                self._restart()
                time.sleep(pause)
        return journal.read(self._log)

    def _apply(self, changes: Mapping[str, Entry | None]) -> None:
        if changes and self._is_shared:
            self._entries, self._is_shared = dict(self._entries), False
        for name, entry in changes.items():
            if entry is None:
                self._entries.pop(name, None)
            else:
                self._entries[name] = entry


@lru_cache(maxsize=8)
def manifest_of(folder: Path) -> Manifest:
    """The manifest of an atlas folder, one for all who ask in this process."""
    return Manifest(folder)


def is_empty_log(file: Path) -> bool:
    """Whether a file is the log of an atlas in which nothing is complete yet."""
    try:
        return journal.read(file).values == [{}]
    except (journal.JournalDamagedError, OSError):
        return False


def check_name(name: str) -> str:
    """A relative path in its plainest form, which cannot leave the atlas; it is given back.

    Raises:
        ValueError: it is anything else.
    """
    if not name.isprintable() or not _UNPLAIN.isdisjoint(name.split("/")):
        raise ValueError(
            f"{name!r} is not a name inside an atlas; expected a plain relative path such as 'report/a.svg'"
        )
    return name


def reason(error: Exception) -> str:
    """What the operating system says is wrong, without its number and the path."""
    return getattr(error, "strerror", None) or str(error)


def _parsed(content: Mapping[str, Any]) -> tuple[Head, dict[str, Entry]]:
    """What ``manifest.json`` holds; only format 1 has entries there."""
    study = content["study"]
    entries = content["entries"].items() if content["format"] == 1 else ()
    return (
        Head(content["format"], study["hash"], _entry(STUDY, study["sha256"], study["bytes"])),
        {name: _entry(name, entry["sha256"], entry["bytes"]) for name, entry in entries},
    )


def _changed(name: str, facts: Any) -> Entry | None:
    """What a line of the log makes of a name."""
    return None if facts is None else _entry(name, *facts)


def _line(update: Mapping[str, Entry | None]) -> Json:
    """An update as the log has it."""
    return {name: entry and [entry.sha256, entry.bytes] for name, entry in update.items()}


def _entry(name: str, sha256: Any, size: Any) -> Entry:
    """An entry that was read, and may be anything."""
    if not isinstance(sha256, str) or type(size) is not int or size < 0:
        raise TypeError(f"the entry {name!r} has the SHA-256 {sha256!r} and the size {size!r}")
    return Entry(check_name(name), sha256, size)


def _damaged(path: Path, why: str) -> DamagedAtlasError:
    return DamagedAtlasError(
        f"{path} is damaged ({why}): restore it from a copy of the atlas, or run the study again into a new folder"
    )
