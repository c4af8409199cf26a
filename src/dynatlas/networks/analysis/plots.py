"""Plots of one network as plotly JSON: state space of each condition, spectra of the fixed points."""

import numpy as np
from numpy.typing import NDArray

from dynatlas._util.selection import even_selection
from dynatlas.dynamics.points import FixedPoints
from dynatlas.figures.looks import UNSTABLE, unstable_label
from dynatlas.networks.analysis.analyze import Analysis
from dynatlas.networks.analysis.starts import pooled
from dynatlas.report.plots import Plot, number

MOST_TRIALS = 16
MOST_STEPS = 150
MOST_SAMPLES = 20_000  # for the principal components
MOST_POINTS = 500  # of each condition; the tables have all


def state_spaces(analysis: Analysis) -> list[Plot]:
    """Draw one scene per condition: trajectories and points in three principal components of the visited states.

    Points further from the activity than its range are left out and counted in ``n_outside``.
    """
    samples = pooled(analysis.visited)
    samples = samples[:: max(len(samples) // MOST_SAMPLES, 1)]
    mean = samples.mean(axis=0)
    _, scales, components = np.linalg.svd(samples - mean, full_matrices=False)
    axes = np.zeros((3, samples.shape[1]))
    axes[: len(components[:3])] = components[:3]
    share = np.zeros(3)
    share[: len(scales[:3])] = scales[:3] ** 2 / max(float((scales**2).sum()), 1e-300)

    trials = analysis.visited.states
    paths = (trials[even_selection(range(len(trials)), MOST_TRIALS), -MOST_STEPS:] - mean) @ axes.T
    low, high = (extreme((samples - mean) @ axes.T, axis=0) for extreme in (np.min, np.max))
    margin = np.maximum(high - low, 1e-9)
    scenes = []
    for condition, points in enumerate(analysis.fixed_points):
        places = (points.states.reshape(len(points), -1) - mean) @ axes.T if len(points) else np.zeros((0, 3))
        near = ((places >= low - margin) & (places <= high + margin)).all(axis=1)
        rows = np.flatnonzero(near)[:MOST_POINTS]
        outputs = analysis.network.read_out(points.states.reshape(len(points), analysis.network.n_states))
        marks = _marks(points, rows, places, outputs)
        scenes.append(
            {
                "label": f"condition {condition}",
                "name": f"{len(rows)} of {len(points)} points drawn",
                "n_outside": int((~near).sum()),
                "data": [*map(_path, paths), *marks],
                "layout": _scene_layout(share),
            }
        )
    return scenes


def spectrum(analysis: Analysis) -> Plot:
    """Draw the eigenvalues at every root in the complex plane, with the unit circle, the boundary of stability."""
    angles = np.linspace(0, 2 * np.pi, 181)
    circle = {
        "type": "scatter",
        "mode": "lines",
        "x": [number(value, 4) for value in np.cos(angles)],
        "y": [number(value, 4) for value in np.sin(angles)],
        "line": {"color": "@faint", "width": 1},
        "hoverinfo": "skip",
    }
    roots = [points.roots() for points in analysis.fixed_points]
    traces = [circle]
    for level in sorted({min(int(n), len(UNSTABLE) - 1) for points in roots for n in points.n_unstable}):
        values = [
            value
            for points in roots
            for n, eigenvalues in zip(points.n_unstable[:MOST_POINTS], points.eigenvalues, strict=False)
            if min(int(n), len(UNSTABLE) - 1) == level
            for value in eigenvalues
        ]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [number(value.real, 4) for value in values],
                "y": [number(value.imag, 4) for value in values],
                "marker": {"color": UNSTABLE[level] if level else "@ink", "size": 4, "opacity": 0.6},
                "hovertemplate": f"{_label(level)}<br>λ = %{{x}} + %{{y}} i<extra></extra>",
            }
        )
    axis = {"title": {"text": "Re λ"}}
    return {
        "data": traces,
        "layout": {
            "margin": {"l": 55, "r": 10, "t": 10, "b": 45},
            "xaxis": axis,
            "yaxis": {"title": {"text": "Im λ"}, "scaleanchor": "x"},
        },
    }


def _label(level: int) -> str:
    return unstable_label(level, or_more=level == len(UNSTABLE) - 1)


def _path(path: NDArray[np.float64]) -> Plot:
    return {
        "type": "scatter3d",
        "mode": "lines",
        **_xyz(path),
        "line": {"color": "@faint", "width": 2},
        "opacity": 0.75,
        "showlegend": False,
        "hoverinfo": "skip",
    }


def _marks(
    points: FixedPoints, rows: NDArray[np.int64], places: NDArray[np.float64], outputs: NDArray[np.float64]
) -> list[Plot]:
    """Return one trace per number of unstable directions, and one of slow points."""
    traces = []
    levels = np.minimum(points.n_unstable, len(UNSTABLE) - 1)
    for level in sorted(set(levels[rows][~points.is_slow[rows]].tolist())):
        some = rows[(levels[rows] == level) & ~points.is_slow[rows]]
        # Filled, unlike in print: the rim of plotly's open circle in 3-D is a hairline.
        marker = {"color": UNSTABLE[level] if level else "@ink", "size": 5, "line": {"width": 0}}
        traces.append(_trace(points, some, places, outputs, _label(level), marker))
    slow = rows[points.is_slow[rows]]
    if len(slow):
        marker = {"color": "@muted", "size": 5, "symbol": "cross", "line": {"width": 0}}
        traces.append(_trace(points, slow, places, outputs, "slow point, not a root", marker))
    return traces


def _trace(
    points: FixedPoints,
    rows: NDArray[np.int64],
    places: NDArray[np.float64],
    outputs: NDArray[np.float64],
    label: str,
    marker: Plot,
) -> Plot:
    hover = [
        [
            str(row),
            ", ".join(f"{value:.2f}" for value in outputs[row][:8]) or "–",
            f"{points.q[row]:.1e}",
            f"{abs(points.eigenvalues[row, 0]):.3f}",
        ]
        for row in rows
    ]
    return {
        "type": "scatter3d",
        "mode": "markers",
        "name": f"{label} ({len(rows)})",
        **_xyz(places[rows]),
        "marker": marker,
        "customdata": hover,
        "hovertemplate": (
            f"point %{{customdata[0]}}: {label}<br>readout %{{customdata[1]}}"
            "<br>q = %{customdata[2]}, largest |λ| %{customdata[3]}<extra></extra>"
        ),
    }


def _xyz(points: NDArray[np.float64]) -> dict[str, list[float | None]]:
    return {letter: [number(value, 4) for value in points[:, column]] for column, letter in enumerate("xyz")}


def _scene_layout(share: NDArray[np.float64]) -> Plot:
    axes = {
        f"{letter}axis": {
            "title": {"text": f"PC{component + 1} ({100 * share[component]:.0f} %)"},
            "showticklabels": False,
            "showspikes": False,
            "zeroline": False,
        }
        for component, letter in enumerate("xyz")
    }
    camera = {"eye": {"x": 1.3, "y": -1.55, "z": 0.75}, "center": {"x": 0, "y": 0, "z": -0.1}}
    return {
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "scene": axes | {"aspectmode": "cube", "camera": camera},
        "legend": {"orientation": "h", "x": 0, "y": 0, "yanchor": "top", "itemsizing": "constant"},
        "showlegend": True,
        "uirevision": "keep",
    }
