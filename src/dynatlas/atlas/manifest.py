"""The manifest of an atlas: which study it is of, and what in it is complete, with hashes and byte counts."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

from dynatlas._io.atomic import fingerprint, write_bytes
from dynatlas.errors import AtlasError, DamagedAtlasError

MANIFEST: Final = "manifest.json"


STUDY: Final = "study.toml"


FORMAT: Final = 1  # raised when an older dynatlas could no longer read what this one writes


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
        """How what is on the disk differs: "missing", "truncated", "changed", "unreadable", or None."""
        if not (folder / self.name).exists():
            return "missing"
        try:
            seen = self.of(folder, self.name)
        except OSError:
            return "unreadable"
        if seen == self:
            return None
        return "truncated" if seen.bytes < self.bytes else "changed"


class Manifest(NamedTuple):
    """What ``manifest.json`` holds."""

    study_hash: str  # of the settings, so that two files that mean the same are the same study
    study: Entry  # of the file
    entries: Mapping[str, Entry]

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read the manifest of an atlas.

        Raises:
            AtlasError: there is none, or it is of a newer format.
            DamagedAtlasError: it does not parse.
        """
        path = folder / MANIFEST
        try:
            content = json.loads(path.read_bytes())
            version = content["format"]
            if version == FORMAT:
                study = content["study"]
                return cls(
                    study["hash"],
                    _entry(STUDY, study),
                    {name: _entry(check_name(name), entry) for name, entry in content["entries"].items()},
                )
            newer = version > FORMAT
        except FileNotFoundError:
            what = f"the folder has no {MANIFEST}" if folder.is_dir() else "no such folder"
            raise AtlasError(f"no atlas at {folder}: {what}. `dynatlas run` makes one") from None
        except NotADirectoryError:
            raise AtlasError(f"no atlas at {folder}: it is a file; an atlas is a folder") from None
        except OSError as error:
            raise AtlasError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(path, f"{type(error).__name__}: {error}") from error
        if not newer:
            raise _damaged(path, f"it names the format {version!r}")
        raise AtlasError(
            f"{folder} was written by a newer dynatlas (format {version}; this one reads {FORMAT}): upgrade dynatlas"
        )

    def write(self, folder: Path) -> None:
        """Replace the manifest of an atlas."""
        content = {
            "format": FORMAT,
            "study": {"hash": self.study_hash, "sha256": self.study.sha256, "bytes": self.study.bytes},
            "entries": {entry.name: {"sha256": entry.sha256, "bytes": entry.bytes} for entry in self.entries.values()},
        }
        write_bytes(folder / MANIFEST, json.dumps(content, indent=1, sort_keys=True).encode() + b"\n")


def check_name(name: str) -> str:
    """A relative path in its plainest form, which cannot leave the atlas; it is given back.

    Raises:
        ValueError: it is anything else.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.as_posix() != name or name == "." or "\0" in name:
        raise ValueError(
            f"{name!r} is not a name inside an atlas; expected a plain relative path such as 'report/a.svg'"
        )
    return name


def reason(error: Exception) -> str:
    """What the operating system says is wrong, without its number and the path."""
    return getattr(error, "strerror", None) or str(error)


def _entry(name: str, content: Mapping[str, Any]) -> Entry:
    sha256, size = content["sha256"], content["bytes"]
    if not isinstance(sha256, str) or not isinstance(size, int):
        raise TypeError(f"the entry {name!r} is {dict(content)!r}")
    return Entry(name, sha256, size)


def _damaged(path: Path, why: str) -> DamagedAtlasError:
    return DamagedAtlasError(
        f"{path} is damaged ({why}): restore it from a copy of the atlas, or run the study again into a new folder"
    )
