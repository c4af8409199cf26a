"""Branches of fixed points and their index sums as plotly JSON."""

from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dynatlas._util.messages import count_of
from dynatlas._util.selection import even_selection
from dynatlas.dynamics.continuation.branches import Bifurcation, Branch
from dynatlas.figures.dynamics.branches import MARKS, STABLE, UNSTABLE, heights_figure, projection, stable_runs
from dynatlas.networks.continuation.follow import Continuation
from dynatlas.report.plots import Plot, number

MOST_POINTS: Final = 12_000  # of all branches; the table has all
MOST_OUTPUTS: Final = 8
SHOWN_EIGENVALUES: Final = 3
COMPONENT: Final = "first principal component"

# Markers of plotly that look like those of the figure.
SYMBOLS: Final = {
    "o": "circle", "D": "diamond", "X": "x", "s": "square", "^": "triangle-up", "v": "triangle-down", "*": "star",
    "P": "cross",
}  # fmt: skip


def views(found: Continuation) -> dict[str, Any]:
    """Return what can be shown of a state, by name: functions of states [k, n] and parameters [k]."""
    axis = projection(found.branches)

    def output(k: int) -> Any:
        return lambda states, parameters: found.outputs(states, parameters)[:, k]

    outputs = {f"output {k}": output(k) for k in range(min(found.n_outputs, MOST_OUTPUTS))}
    return {COMPONENT: lambda states, parameters: axis(states)} | outputs


def branches_figure(found: Continuation, view: str = COMPONENT) -> Figure:
    """Draw the branches for print."""
    return heights_figure(found.branches, views(found)[view], found.label, view)


def branches_plot(found: Continuation) -> tuple[Plot, dict[str, list[list[float | None]]]]:
    """Return the plot of the branches, and the heights of its traces in each view.

    Stable parts are solid, unstable ones dashed, as in print; the index sum is drawn below on the same axis.
    """
    branches = found.branches
    shown = views(found)
    traces: list[Plot] = []
    heights: dict[str, list[list[float | None]]] = {view: [] for view in shown}
    share = min(1.0, MOST_POINTS / max(sum(map(len, branches.branches)), 1))
    named: set[str] = set()
    for at, branch in enumerate(branches.branches):
        columns = {view: height(branch.states, branch.parameters) for view, height in shown.items()}
        for piece, stable in stable_runs(branch.n_unstable == 0):
            rows = _thinned(np.arange(len(branch))[piece], share)
            traces.append(_line(branch, at, rows, is_stable=stable, named=named))
            for view, column in columns.items():
                heights[view].append([number(value) for value in column[rows]])
    for kind, (marker, color) in MARKS.items():
        some = [each for each in branches.bifurcations if each.kind == kind]
        if not some:
            continue
        traces.append(_marks(some, SYMBOLS[marker], "@ink" if color == "#000000" else color))
        places = np.array([each.parameter for each in some])
        for view, height in shown.items():
            heights[view].append([number(value) for value in height(np.stack([each.state for each in some]), places)])
    low, high = sorted((branches.start, branches.stop))
    layout = {
        "margin": {"l": 65, "r": 15, "t": 10, "b": 45},
        "xaxis": {"title": {"text": found.label}, "range": [low, high], "anchor": "y2"},
        "yaxis": {"title": {"text": COMPONENT}, "domain": [0.27, 1]},
        "yaxis2": {"title": {"text": "index sum"}, "domain": [0, 0.16], "tickformat": "d", "nticks": 4},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "showlegend": True,
    }
    return {"data": [*traces, *_index_sums(found)], "layout": layout}, heights


def _line(branch: Branch, at: int, rows: NDArray[np.int64], *, is_stable: bool, named: set[str]) -> Plot:
    name = "stable" if is_stable else "unstable"
    style = {"color": STABLE, "width": 2} if is_stable else {"color": UNSTABLE, "width": 1.5, "dash": "dash"}
    first = name not in named
    named.add(name)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "legendgroup": name,
        "showlegend": first,
        "x": [number(value, 7) for value in branch.parameters[rows]],
        "line": style,
        "customdata": [
            [
                count_of(int(branch.n_unstable[row]), "unstable direction"),
                int(branch.index[row]),
                eigenvalues_text(branch.eigenvalues[row]),
                f", {branch.kinds[row]}" if branch.kinds[row] else "",
            ]
            for row in rows
        ],
        "hovertemplate": (
            f"branch {at}: %{{customdata[0]}}, index %{{customdata[1]}}%{{customdata[3]}}"
            "<br>parameter %{x}, shown %{y}<br>λ = %{customdata[2]}<extra></extra>"
        ),
    }


def _marks(some: list[Bifurcation], symbol: str, color: str) -> Plot:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{some[0].kind} ({len(some)})",
        "x": [number(each.parameter, 10) for each in some],
        "marker": {"symbol": symbol, "color": color, "size": 9, "line": {"width": 1, "color": "@surface"}},
        "customdata": [
            [
                ", ".join(map(str, each.branches)),
                eigenvalues_text(np.array([each.eigenvalue])),
                f"{each.uncertainty:.0e}",
                f"<br>{each.note}" if each.note else "",
            ]
            for each in some
        ],
        "hovertemplate": (
            f"{some[0].kind} at %{{x}} ± %{{customdata[2]}}<br>branches %{{customdata[0]}}"
            "<br>critical λ = %{customdata[1]}%{customdata[3]}<extra></extra>"
        ),
    }


def _index_sums(found: Continuation) -> list[Plot]:
    """Return the traces of the index sum: a line, and marks where it is not 1."""
    sums = found.branches.index_sums
    hover = [[int(count)] for count in sums.n_roots]
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "index sum",
        "yaxis": "y2",
        "showlegend": False,
        "x": [number(value, 7) for value in sums.parameters],
        "y": [
            None if degenerate else int(value) for value, degenerate in zip(sums.sums, sums.is_degenerate, strict=True)
        ],
        "line": {"color": "@muted", "width": 1, "shape": "hvh"},
        "marker": {"size": 3, "color": "@muted"},
        "customdata": hover,
        "hovertemplate": "parameter %{x}<br>index sum %{y} of %{customdata[0]} roots<extra></extra>",
    }
    if not found.branches.has_box or not sums.is_wrong.any():
        return [line]
    wrong = np.flatnonzero(sums.is_wrong)
    marks = line | {
        "mode": "markers",
        "name": "index sum not 1",
        "showlegend": True,
        "x": [number(value, 7) for value in sums.parameters[wrong]],
        "y": sums.sums[wrong].tolist(),
        "marker": {"size": 8, "symbol": "line-ns-open", "color": "#D55E00"},
        "customdata": [hover[row] for row in wrong],
    }
    return [line, marks]


def eigenvalues_text(values: NDArray[np.complex128]) -> str:
    """Return the leading eigenvalues as a text, of a pair one.

    Example:
        >>> eigenvalues_text(np.array([1.2, 0.5 + 0.1j, 0.5 - 0.1j, 0.2]))
        '1.2, 0.5 ± 0.1i, 0.2'
    """
    kept = [value for value in values if value.imag >= 0][:SHOWN_EIGENVALUES]
    return ", ".join(
        f"{value.real:.4g}" if abs(value.imag) < 1e-12 else f"{value.real:.4g} ± {value.imag:.4g}i" for value in kept
    )


def _thinned(rows: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Return evenly selected rows, the first and the last of them included."""
    return np.array(even_selection(rows.tolist(), max(int(len(rows) * share), 2)))
