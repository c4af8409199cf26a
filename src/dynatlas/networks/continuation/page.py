"""Folder and self-contained HTML page of one network's continuation, in the style of an atlas' report."""

from pathlib import Path

import numpy as np

from dynatlas._io.targets import Results
from dynatlas._io.targets import write_folder as write_results
from dynatlas.errors import NetworkError
from dynatlas.figures.style import render
from dynatlas.networks.analysis.tables import by_unstable
from dynatlas.networks.continuation.follow import Continuation
from dynatlas.networks.continuation.plots import COMPONENT, MOST_POINTS, branches_figure, branches_plot, views
from dynatlas.report.rendering import SHARED_PARTS, in_one_scope, render_page, script_part, text_of
from dynatlas.report.values import records

MOST_ROWS = 1000  # of each table; the files next to the page have all
PAGE = "index.html"


def page(found: Continuation, title: str, view: str = COMPONENT) -> str:
    """Render the page; it refers to no other file.

    Args:
        found: the continuation.
        title: name of the network.
        view: what is shown first.
    """
    branches = found.branches
    plot, heights = branches_plot(found)
    roots = found.points.roots()
    bifurcations = found.tables["bifurcations"]
    return render_page(
        "networks/continuation/page.html",
        title,
        in_one_scope([*map(script_part, SHARED_PARTS), text_of("networks/continuation/page.js")]),
        {"plot": plot, "heights": heights},
        network=found.network,
        label=found.label,
        start=branches.start,
        stop=branches.stop,
        n_inputs=found.network.n_inputs,
        summary=branches._summary().rows,
        at_start=f"{len(roots)} ({by_unstable(roots)}), index sum {roots.index_sum}, {found.points.certificate}",
        starts=found.visited.said,
        has_box=branches.has_box,
        n_values=len(branches.index_sums.sums),
        wrong=int(branches.index_sums.is_wrong.sum()),
        notes=branches.notes[:MOST_ROWS],
        rows=_branch_rows(found)[:MOST_ROWS],
        n_branches=len(branches),
        bifurcations=records(bifurcations.head(MOST_ROWS)),
        n_bifurcations=len(bifurcations),
        has_notes=bool(bifurcations.note.any()),
        is_thinned=sum(map(len, branches.branches)) > MOST_POINTS,
        most_points=MOST_POINTS,
        views=list(heights),
        view=view,
    )


def results_of(title: str, along: str, start: float, stop: float) -> Results:
    """Return what a folder's record says of the continuation of a network along a parameter."""
    return Results("continuation", {"network": title, "along": along, "from": start, "to": stop}, NetworkError)


def write_folder(
    found: Continuation,
    folder: Path,
    title: str,
    view: str = COMPONENT,
    *,
    results: Results | None = None,
    replaces_any: bool = True,
) -> Path:
    """Write the page, the tables and the figure into a folder, and return the page's path.

    The files of an earlier continuation there are replaced; other files are kept.

    ``points.npz`` has ``states`` [p, n] and ``eigenvalues`` [p, n] for every row of the table branches.

    Args:
        found: the continuation.
        folder: the folder: missing, empty, or with an earlier continuation.
        title: name of the network.
        view: what the figure shows, and the page at first: "first principal component", or "output 0".
        results: what the folder's record says; by default the title, the parameter and its interval.
        replaces_any: also replace the continuation of another network, parameter or interval.

    Raises:
        NetworkError: the folder holds something else, an edited file would be replaced, it cannot be written, or there
            is no such view.
    """
    known = views(found)
    if view not in known:
        raise NetworkError(f"there is no {view!r} to show; expected one of {', '.join(known)}")

    def write(stage: Path) -> None:
        for name, table in found.tables.items():
            table.to_parquet(stage / f"{name}.parquet", index=False)
            table.to_csv(stage / f"{name}.csv", index=False)
        np.savez(
            stage / "points.npz",
            states=np.concatenate([branch.states for branch in found.branches.branches]),
            eigenvalues=np.concatenate([branch.eigenvalues for branch in found.branches.branches]),
        )
        figure = branches_figure(found, view)
        (stage / "branches.svg").write_bytes(render(figure, "svg"))
        (stage / "branches.png").write_bytes(render(figure, "png"))
        (stage / PAGE).write_text(page(found, title, view), encoding="utf-8")

    results = results or results_of(title, found.along, found.branches.start, found.branches.stop)
    return write_results(folder, results, write, replaces_any=replaces_any) / PAGE


def _branch_rows(found: Continuation) -> list[dict[str, str | int | float]]:
    """Return a row for each branch: its ends, and its numbers of unstable directions."""
    rows: list[dict[str, str | int | float]] = []
    for number, branch in enumerate(found.branches.branches):
        counts = sorted(set(branch.n_unstable.tolist()))
        rows.append(
            {
                "branch": number,
                "begin": branch.begin,
                "end": branch.end,
                "first": float(branch.parameters[0]),
                "last": float(branch.parameters[-1]),
                "n_unstable": ", ".join(map(str, counts)),
                "points": len(branch),
            }
        )
    return rows
