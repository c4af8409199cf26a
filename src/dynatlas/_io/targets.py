"""Files and folders that users name as targets: nothing that dynatlas did not write is replaced or removed.

A folder of results has a record, a JSON file with the SHA-256 of each file that was written. A file is ours while it
has that hash; a file that a user added or edited is kept.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dynatlas._io.atomic import fingerprint, open_regular, publish, publish_new, temporary_beside, write_bytes
from dynatlas.errors import DynatlasError

T = TypeVar("T")
MAX_RECORD_BYTES = 1_000_000
SHOWN = 120  # characters of a text from a record in a message


class Results(NamedTuple):
    """A folder of results of one kind."""

    kind: str  # "analysis"; its record is analysis.json
    subject: Mapping[str, Any]  # what it is of
    error: type[DynatlasError] = DynatlasError

    @property
    def record(self) -> str:
        """Name of the record."""
        return f"{self.kind}.json"


def write_file(
    target: Path, write: Callable[[Path], T], *, force: bool = False, error: type[DynatlasError] = DynatlasError
) -> T:
    """Write a new file atomically and return what ``write`` returns.

    Args:
        target: the file.
        write: writes the content to the path that it is given.
        force: replace an existing file or link; a folder is never replaced.
        error: class of the errors.

    Raises:
        DynatlasError: the target exists and differs, or cannot be written.
    """
    try:
        refuse_odd_target(target, force=force, error=error)
        with temporary_beside(target) as temporary:
            result = write(temporary)
            if force:
                publish(temporary, target)
            elif not _same(temporary, target):
                publish_new(temporary, target)
    except FileExistsError as reason:
        if not os.path.lexists(target):
            raise error(f"cannot write {target}: {reason.strerror}") from reason
        raise error(taken(target)) from None
    except OSError as reason:
        raise error(f"cannot write {target}: {reason.strerror or reason}") from reason
    return result


def refuse_odd_target(target: Path, *, force: bool = False, error: type[DynatlasError] = DynatlasError) -> None:
    """Refuse a target that ``write_file`` would refuse whatever its content.

    Raises:
        DynatlasError: it is a folder, or without ``force`` a link or another special file.
    """
    if target.is_dir() and not target.is_symlink():
        raise error(f"{target} is a folder; name a file to write, such as {target / 'NAME'}")
    if os.path.lexists(target) and not force and (target.is_symlink() or not target.is_file()):
        raise error(taken(target))


def write_files(
    files: Mapping[Path, bytes], *, force: bool = False, error: type[DynatlasError] = DynatlasError
) -> None:
    """Write several files with ``write_file``, or none if one of them is refused.

    Raises:
        DynatlasError: a target exists and differs, or cannot be written.
    """
    for target, content in files.items():
        refuse_odd_target(target, force=force, error=error)
        if target.is_file() and not force and target.read_bytes() != content:
            raise error(taken(target))
    for target, content in files.items():
        write_file(target, lambda path, content=content: path.write_bytes(content), force=force, error=error)  # type: ignore[misc]


def refuse_bytes(folder: Path, error: type[DynatlasError] = DynatlasError) -> None:
    """Refuse a path that is no Unicode text: Parquet files cannot be written there.

    Raises:
        DynatlasError: it is not, as a name that was written in another encoding.
    """
    try:
        f"{folder.absolute()}".encode()
    except UnicodeEncodeError:
        raise error(
            f"the path {str(folder)!a} is no Unicode text, in which no tables can be written; choose another folder"
        ) from None


def check_folder(folder: Path, results: Results, *, replaces_any: bool = True) -> None:
    """Check that results may be written to a folder: it is missing, empty, or has an earlier record of this kind.

    Args:
        folder: the folder.
        results: what is to be written.
        replaces_any: also replace results of another subject.

    Raises:
        DynatlasError: they may not.
    """
    _earlier(folder, results, replaces_any=replaces_any)


def write_folder(folder: Path, results: Results, write: Callable[[Path], Any], *, replaces_any: bool = True) -> Path:
    """Write a folder of results, in place of those that an earlier call wrote there.

    Args:
        folder: the folder.
        results: its kind, its subject and the class of the errors.
        write: writes all files into the empty folder that it is given.
        replaces_any: also replace results of another subject.

    Returns:
        The folder.

    Raises:
        DynatlasError: the folder holds something else; one of our files has been edited, or one of the user's has a
            name that is needed; or the folder cannot be written.
    """
    try:
        earlier = _earlier(folder, results, replaces_any=replaces_any)
        with temporary_beside(folder) as stage:
            stage.mkdir()
            write(stage)
            new = {path.name: fingerprint(path)[0] for path in stage.iterdir()}
            if earlier is None:
                write_bytes(stage / results.record, _record(results, new))
                publish(stage, folder)
            else:
                _replace(folder, stage, results, earlier, new)
    except OSError as reason:
        raise results.error(f"cannot write {folder}: {reason.strerror or reason}") from reason
    return folder


def _replace(
    folder: Path, stage: Path, results: Results, earlier: Mapping[str, list[str]], new: Mapping[str, str]
) -> None:
    """Move the staged files into an existing folder, and remove those of ours that are no longer written."""
    ours = {name: _is_ours(folder / name, hashes) for name, hashes in earlier.items()}
    for name, digest in new.items():
        if os.path.lexists(folder / name) and not ours.get(name) and not _is_ours(folder / name, [digest]):
            raise results.error(
                f"{folder / name} was not written by dynatlas, or has been edited since; move it, or choose another "
                "folder with --out"
            )
    # If the process dies while files are moved, both the old and the new ones are known as ours.
    write_bytes(folder / results.record, _record(results, earlier, {name: [digest] for name, digest in new.items()}))
    for name in new:
        os.replace(stage / name, folder / name)
    for name in earlier.keys() - new.keys():
        if ours[name]:
            (folder / name).unlink()
    write_bytes(folder / results.record, _record(results, new))


def _earlier(folder: Path, results: Results, *, replaces_any: bool) -> dict[str, list[str]] | None:
    """Return the hashes of the files that were written to a folder; None if the folder does not exist."""
    refuse_bytes(folder, results.error)
    if not os.path.lexists(folder):
        return None
    other = results.error(f"{folder} exists and is no earlier {results.kind}; choose another folder with --out")
    if not folder.is_dir():
        raise other
    names = os.listdir(folder)
    if not names:
        return {}
    record = read_record(folder / results.record) if results.record in names else None
    if record is None:
        raise other
    seen, wanted = (json.dumps(dict(subject), sort_keys=True) for subject in (record["subject"], results.subject))
    if not replaces_any and seen != wanted:
        raise results.error(
            f"{folder} is the {results.kind} of {seen[:SHOWN]}, and this one is of {wanted[:SHOWN]}; choose another "
            "folder with --out"
        )
    return {str(name): list(hashes) for name, hashes in record["files"].items()}


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the record of a folder, {"subject": …, "files": {name: [SHA-256, …]}}; None if it is none of ours."""
    try:
        with open_regular(path) as file:
            content = json.loads(file.read(MAX_RECORD_BYTES))
        files = content["files"]
        plain = all(name and Path(name).name == name and isinstance(hashes, list) for name, hashes in files.items())
        return content if plain and isinstance(content["subject"], dict) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _record(results: Results, *written: Mapping[str, str] | Mapping[str, list[str]]) -> bytes:
    files: dict[str, list[str]] = {}
    for each in written:
        for name, hashes in each.items():
            files.setdefault(name, []).extend([hashes] if isinstance(hashes, str) else hashes)
    return json.dumps({"subject": dict(results.subject), "files": files}, indent=1, sort_keys=True).encode() + b"\n"


def _is_ours(path: Path, hashes: Iterable[str]) -> bool:
    """Whether a regular file has one of these hashes."""
    return not path.is_symlink() and path.is_file() and fingerprint(path)[0] in hashes


def _same(one: Path, other: Path) -> bool:
    return _is_ours(other, [fingerprint(one)[0]])


def taken(target: Path) -> str:
    """Return the sentence about a target that exists."""
    return f"{target} exists and is not replaced; choose another name, or add --force to replace the file"
