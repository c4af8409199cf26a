"""Self-contained HTML page of one network's analysis, in the style of an atlas' report."""

from pathlib import Path

import numpy as np

from dynatlas._io.targets import Results
from dynatlas._io.targets import write_folder as write_results
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


def results_of(title: str) -> Results:
    """Return what a folder's record says of the analysis of a network."""
    return Results("analysis", {"network": title}, NetworkError)


def write_folder(
    analysis: Analysis, folder: Path, title: str, verified: str = "", *, replaces_any: bool = True
) -> Path:
    """Write the page and the tables into a folder, and return the page's path.

    The files of an earlier analysis there are replaced; other files are kept.

    ``points.npz`` has ``states`` [p, n] and ``eigenvalues`` [p, n] for every row of the table fixed_points, and the
    ``conditions`` [c, m].

    Args:
        analysis: the analysis.
        folder: the folder: missing, empty, or with an earlier analysis.
        title: name of the network.
        verified: result of the verification against a record of the original; empty to omit it.
        replaces_any: also replace the analysis of another network.

    Raises:
        NetworkError: the folder holds something else, an edited file would be replaced, or it cannot be written.
    """
    n = analysis.network.n_states

    def write(stage: Path) -> None:
        for name, table in analysis.tables.items():
            table.to_parquet(stage / f"{name}.parquet", index=False)
            table.to_csv(stage / f"{name}.csv", index=False)
        np.savez(
            stage / "points.npz",
            conditions=analysis.conditions,
            states=np.concatenate([points.states.reshape(-1, n) for points in analysis.fixed_points]),
            eigenvalues=np.concatenate([points.eigenvalues.reshape(-1, n) for points in analysis.fixed_points]),
        )
        (stage / PAGE).write_text(page(analysis, title, verified), encoding="utf-8")

    return write_results(folder, results_of(title), write, replaces_any=replaces_any) / PAGE
