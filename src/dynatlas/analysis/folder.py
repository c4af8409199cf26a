"""An analysis as a folder: tables as CSV and Parquet, states and eigenvalues, the page."""

from pathlib import Path

import numpy as np

from dynatlas._atomic import publish, temporary_beside
from dynatlas.analysis.analyze import Analysis
from dynatlas.analysis.page import page
from dynatlas.errors import NetworkError

PAGE = "index.html"


def write_folder(analysis: Analysis, folder: Path, title: str, verified: str = "") -> Path:
    """Write everything that was found into a new folder, whole or not at all; give the page's path.

    ``points.npz`` has, for every row of the table fixed_points, ``states`` [p, n] and ``eigenvalues`` [p, n], and the
    ``conditions`` [c, m].

    Raises:
        NetworkError: something stands there that is no analysis, or the folder cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / "points.npz").exists())):
        raise NetworkError(f"{folder} exists and is no earlier analysis; choose another folder with --out")
    n = analysis.network.n_states
    try:
        with temporary_beside(folder) as temporary:
            temporary.mkdir()
            for name, table in analysis.tables.items():
                table.to_parquet(temporary / f"{name}.parquet", index=False)
                table.to_csv(temporary / f"{name}.csv", index=False)
            np.savez(
                temporary / "points.npz",
                conditions=analysis.conditions,
                states=np.concatenate([points.states.reshape(-1, n) for points in analysis.fixed_points]),
                eigenvalues=np.concatenate([points.eigenvalues.reshape(-1, n) for points in analysis.fixed_points]),
            )
            (temporary / PAGE).write_text(page(analysis, title, verified), encoding="utf-8")
            publish(temporary, folder)
    except OSError as error:
        raise NetworkError(f"cannot write {folder}: {error.strerror}") from error
    return folder / PAGE
