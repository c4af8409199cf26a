"""The page's rotatable state spaces as plotly JSON: one per representative network, thinned to keep the page light."""

from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex

from dynatlas.figures.reading import AtlasLike, representatives
from dynatlas.figures.style import UNSTABLE, unstable_label, variant_label
from dynatlas.figures.trajectories import ColorScale, StateSpace, color_scale, state_space
from dynatlas.report.plots import Plot, number, text


def state_spaces(atlas: AtlasLike, task: str) -> list[Plot]:
    """The scenes of a task's representative networks: ``label`` for the selector, ``data`` and ``layout``.

    Raises:
        Missing: none is stored.
    """
    scale = color_scale(atlas, task)
    chosen = representatives(atlas, task)
    several_sizes = len({(one.architecture, one.activation) for one in chosen}) < len(chosen)
    scenes = []
    for one in chosen:
        space = state_space(atlas, one.network, task)
        label = variant_label(one.architecture, one.activation)
        if several_sizes:
            label += f" — {one.name}"
        scenes.append(
            {"label": label, "name": one.name, "network": one.network, "n_outside": space.n_outside}
            | _scene(space, scale, atlas.study.task(task).condition_names())
        )
    return scenes


def _scene(space: StateSpace, scale: ColorScale | None, conditions: tuple[str, ...]) -> Plot:
    traces = [*_trajectories(space, scale), *_points(space, conditions)]
    share = space.variance_share
    axes = {
        f"{letter}axis": {
            "title": {"text": f"PC{component + 1} ({100 * share[component]:.0f} %)"},
            "showticklabels": False,
            "showspikes": False,
            "zeroline": False,
        }
        for component, letter in enumerate("xyz"[: len(share)])
    }
    layout = {
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "scene": axes
        | {
            "aspectmode": "cube",
            "camera": {"eye": {"x": 1.3, "y": -1.55, "z": 0.75}, "center": {"x": 0, "y": 0, "z": -0.1}},
        },
        "legend": {"orientation": "h", "x": 0, "y": 0, "yanchor": "top", "itemsizing": "constant"},
        "showlegend": True,
        "uirevision": "keep",  # the view stays when another network is chosen
    }
    return {"data": traces, "layout": layout}


def _xyz(points: Any) -> dict[str, list[float | None]]:
    """Coordinates by axis; a component that is not there is 0."""
    padded = np.pad(points, [(0, 0), (0, max(0, 3 - points.shape[1]))])
    return {letter: [number(value, 4) for value in padded[:, k]] for k, letter in enumerate("xyz")}


def _trajectories(space: StateSpace, scale: ColorScale | None) -> list[Plot]:
    traces = []
    for trajectory, value, context in zip(space.trajectories, space.values, space.contexts, strict=True):
        color, hover = "@faint", ""
        if scale is not None:
            position = (value - scale.low) / max(scale.high - scale.low, 1e-12)
            color = to_hex(LinearSegmentedColormap.from_list("", list(scale.colors))(float(position)))
            hover = f"{scale.label}: {value:.3g}"
            hover += f"<br>context {context + 1}" if space.contexts.any() else ""
        traces.append(
            {
                "type": "scatter3d",
                "mode": "lines",
                **_xyz(trajectory),
                "line": {"color": color, "width": 2},
                "opacity": 0.75,
                "showlegend": False,
                **({"hovertemplate": f"{hover}<extra></extra>"} if hover else {"hoverinfo": "skip"}),
            }
        )
    return traces


def _points(space: StateSpace, conditions: tuple[str, ...]) -> list[Plot]:
    slow = space.table["is_slow"].to_numpy(dtype=bool)
    n_unstable = np.minimum(space.table["n_unstable"].to_numpy(dtype=int), len(UNSTABLE) - 1)
    traces = []
    for level in sorted(set(n_unstable[~slow])):
        rows = np.flatnonzero(~slow & (n_unstable == level))
        label = unstable_label(int(level), or_more=bool(level == len(UNSTABLE) - 1))
        # Filled, unlike on paper: plotly's open circle in 3-D has a hairline for a rim.
        marker = {"color": UNSTABLE[level] if level else "@ink", "size": 5, "line": {"width": 0}}
        trace = _marks(space, rows, f"{label} ({len(rows)})", marker, conditions) | {"legendgroup": str(level)}
        traces += [trace, *_directions(space, rows, int(level))]
    rows = np.flatnonzero(slow)
    if len(rows):
        # Plotly draws these as letters, and many a font lacks its “x”; every font has its “cross”, a plus.
        marker = {"color": "@muted", "size": 5, "symbol": "cross", "line": {"width": 0}}
        traces.append(_marks(space, rows, f"slow point, not a root ({len(rows)})", marker, conditions))
    return traces


def _marks(space: StateSpace, rows: Any, name: str, marker: Plot, conditions: tuple[str, ...]) -> Plot:
    facts = space.table.iloc[rows]
    hover = [
        [
            text(conditions[int(condition)]) if int(condition) < len(conditions) else f"condition {condition}",
            ", ".join(f"{value:.2f}" for value in readout),
            f"{q:.1e}",
            f"{radius:.3f}",
        ]
        for condition, readout, q, radius in facts[["condition", "readout", "q", "spectral_radius"]].itertuples(
            index=False, name=None
        )
    ]
    return {
        "type": "scatter3d",
        "mode": "markers",
        "name": name,
        **_xyz(space.points[rows]),
        "marker": marker,
        "customdata": hover,
        "hovertemplate": (
            f"{name.rsplit(' (', 1)[0]}<br>%{{customdata[0]}}<br>readout %{{customdata[1]}}"
            "<br>q = %{customdata[2]}, largest |λ| %{customdata[3]}<extra></extra>"
        ),
    }


def _directions(space: StateSpace, rows: Any, level: int) -> list[Plot]:
    """A line through each of these saddles along its leading unstable direction; it comes and goes with them."""
    rows = rows[np.isfinite(space.directions[rows]).all(axis=1)]
    if not len(rows):
        return []
    everything = np.concatenate([space.trajectories.reshape(-1, space.points.shape[1]), space.points])
    reach = 0.1 * float(np.ptp(everything, axis=0).max())
    gap = np.full_like(space.points[rows], np.nan)
    ends = [space.points[rows] - reach * space.directions[rows], space.points[rows] + reach * space.directions[rows]]
    lines = np.stack([*ends, gap], axis=1).reshape(-1, space.points.shape[1])
    return [
        {
            "type": "scatter3d",
            "mode": "lines",
            **_xyz(lines),
            "line": {"color": UNSTABLE[level], "width": 3},
            "legendgroup": str(level),
            "showlegend": False,
            "hoverinfo": "skip",
        }
    ]
