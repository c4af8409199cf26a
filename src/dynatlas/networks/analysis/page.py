"""Self-contained HTML page of one network's analysis, in the style of an atlas' report."""

from pathlib import Path

import numpy as np

from dynatlas._io.atomic import publish, temporary_beside
from dynatlas.errors import NetworkError
from dynatlas.figures.looks import UNSTABLE
from dynatlas.networks.analysis.analyze import Analysis
from dynatlas.networks.analysis.plots import MOST_POINTS, spectrum, state_spaces
from dynatlas.report.rendering import SHARED_PARTS, in_one_scope, render_page, script_part, text_of
from dynatlas.report.values import records

MOST_ROWS = 2000  # of the table of points; the file next to the page has all
PAGE = "index.html"


def page(analysis: Analysis, title: str, verified: str = "") -> str:
    """Render the page; it refers to no other file.

    Args:
        analysis: the analysis.
        title: name of the network.
        verified: result of the verification against a record of the original; empty to omit it.
    """
    scenes = state_spaces(analysis)
    points = analysis.tables["fixed_points"]
    return render_page(
        "networks/analysis/page.html",
        title,
        in_one_scope([*map(script_part, SHARED_PARTS), text_of("networks/analysis/page.js")]),
        {"plots": {"spectrum": spectrum(analysis)}, "spaces": {"network": scenes}},
        network=analysis.network,
        verified=verified,
        warnings=analysis.warnings,
        starts=analysis.visited.said,
        searches=records(analysis.tables["searches"]),
        attractors=records(analysis.tables["attractors"]),
        points=records(points.head(MOST_ROWS)),
        n_points=len(points),
        most_points=MOST_POINTS,
        outputs=[name for name in points.columns if name.startswith("output_")][:8],
        spaces=scenes,
        unstable=UNSTABLE,
    )


def write_folder(analysis: Analysis, folder: Path, title: str, verified: str = "") -> Path:
    """Write the page and the tables into a folder atomically, and return the page's path.

    ``points.npz`` has ``states`` [p, n] and ``eigenvalues`` [p, n] for every row of the table fixed_points, and the
    ``conditions`` [c, m].

    Raises:
        NetworkError: the folder exists and is no earlier analysis, or cannot be written.
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
