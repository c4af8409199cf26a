"""A placement as a folder: tables as CSV and Parquet, and the page."""

from pathlib import Path
from typing import Final

from dynatlas._atomic import publish, temporary_beside
from dynatlas.errors import NetworkError
from dynatlas.placement.page import page
from dynatlas.placement.place import Placement

PAGE: Final = "index.html"
MARK: Final = "controls.parquet"  # by which an earlier placement is known


def write_folder(placement: Placement, folder: Path) -> Path:
    """Write everything that was found into a new folder, whole or not at all; give the page's path.

    Raises:
        NetworkError: something stands there that is no placement, or the folder cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / MARK).exists())):
        raise NetworkError(f"{folder} exists and is no earlier placement; choose another folder with --out")
    try:
        with temporary_beside(folder) as temporary:
            temporary.mkdir()
            for name, table in placement.tables.items():
                table.to_parquet(temporary / f"{name}.parquet", index=False)
                table.to_csv(temporary / f"{name}.csv", index=False)
            (temporary / PAGE).write_text(page(placement), encoding="utf-8")
            publish(temporary, folder)
    except OSError as error:
        raise NetworkError(f"cannot write {folder}: {error.strerror}") from error
    return folder / PAGE
