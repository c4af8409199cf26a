"""A placement as a folder: tables as CSV and Parquet, the page, and what was placed where."""

import json
from pathlib import Path
from typing import Final

from dynatlas._atomic import publish, temporary_beside
from dynatlas.errors import NetworkError
from dynatlas.placement.page import page
from dynatlas.placement.place import TABLES, Placement

PAGE: Final = "index.html"
MARK: Final = "placement.json"  # by which an earlier placement is known
WRITTEN: Final = {PAGE, MARK, *(f"{name}.{ending}" for name in TABLES for ending in ("csv", "parquet"))}


def write_folder(placement: Placement, folder: Path, *, replaces_any: bool = True) -> Path:
    """Write everything that was found into a new folder, whole or not at all; give the page's path.

    Args:
        placement: what was found.
        folder: where; an earlier placement there is replaced, if nothing else is in its folder.
        replaces_any: replace a placement of other recordings, too, or in another task or study.

    Raises:
        NetworkError: something stands there that is not to be replaced, or the folder cannot be written.
    """
    mark = json.dumps({"study": placement.study, "task": placement.task, "recordings": list(placement.recordings)})
    try:
        _refuse_others(folder, None if replaces_any else mark)
        with temporary_beside(folder) as temporary:
            temporary.mkdir()
            for name, table in placement.tables.items():
                table.to_parquet(temporary / f"{name}.parquet", index=False)
                table.to_csv(temporary / f"{name}.csv", index=False)
            (temporary / PAGE).write_text(page(placement), encoding="utf-8")
            (temporary / MARK).write_text(mark, encoding="utf-8")
            publish(temporary, folder)
    except OSError as error:
        raise NetworkError(f"cannot write {folder}: {error.strerror}") from error
    return folder / PAGE


def _refuse_others(folder: Path, mark: str | None) -> None:
    """Refuse to replace what no placement wrote; or, with a mark, a placement that has another."""
    if not folder.exists() and not folder.is_symlink():
        return
    names = {path.name for path in folder.iterdir()} if folder.is_dir() and not folder.is_symlink() else {""}
    if names and MARK not in names:
        raise NetworkError(f"{folder} exists and is no earlier placement; choose another folder with --out")
    if others := sorted(names - WRITTEN):
        raise NetworkError(
            f"{folder} has {', '.join(others[:5])} beside an earlier placement, and would be replaced as a whole; move "
            "that, or choose another folder with --out"
        )
    if names and mark is not None and (seen := (folder / MARK).read_text(encoding="utf-8", errors="replace")) != mark:
        raise NetworkError(
            f"{folder} is the placement of {seen[:200]}, and this one is of {mark}; choose another folder with --out"
        )
