"""One self-contained page that shows one network, in the style of an atlas' report."""

from pathlib import Path

import numpy as np

from dynatlas._io.atomic import publish, temporary_beside
from dynatlas.errors import NetworkError
from dynatlas.figures.looks import UNSTABLE
from dynatlas.networks.analysis.analyze import Analysis
from dynatlas.networks.analysis.plots import MOST_POINTS, spectrum, state_spaces
from dynatlas.report.rendering import OF_ANY_PAGE, in_one_scope, part, render_page, text_of
from dynatlas.report.values import records

MOST_ROWS = 2000  # of the table of points; all are in the file beside the page


def page(analysis: Analysis, title: str, verified: str = "") -> str:
    """The page: everything that it shows is in it.

    Args:
        analysis: what was found.
        title: what to call the network.
        verified: what is known of whether the network was read rightly; empty if nobody asked.
    """
    scenes = state_spaces(analysis)
    points = analysis.tables["fixed_points"]
    return render_page(
        "networks/analysis/page.html",
        title,
        in_one_scope([*map(part, OF_ANY_PAGE), text_of("networks/analysis/page.js")]),
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
