"""State space: the probe's trajectories and the fixed points of representative networks, in three components."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynatlas.figures.reading import (
    AtlasLike,
    Missing,
    Representative,
    arrays,
    representatives,
    table,
    variants,
)
from dynatlas.figures.style import (
    EVIDENCE_COLORS,
    FREQUENCY_COLORS,
    GREY,
    TASK_TITLES,
    UNSTABLE,
    new_figure,
    styled,
    unstable_color,
    unstable_label,
    variant_label,
    write_message,
)
from dynatlas.tasks import ContextIntegration, SineWave, Task

MOST_TRIALS = {"flip_flop": 16, "sine_wave": 13, "context_integration": 40}
OTHER_TRIALS = 16
MOST_STEPS = 150
# Seen from above and the side, so that no axis is hidden behind another.
_AZIMUTH, _ELEVATION = np.deg2rad(-55.0), np.deg2rad(22.0)


class StateSpace(NamedTuple):
    """What is drawn of one network; every coordinate is a principal component of its probe activity."""

    trajectories: Any  # [trials, steps, component]
    values: Any  # [trials]: what colours a trajectory (command frequency, evidence), or NaN
    contexts: Any  # [trials]: the context of a trajectory, or 0
    points: Any  # [points, component]
    directions: Any  # [points, component]: NaN where stable
    table: pd.DataFrame  # the points' rows of the table fixed_points
    variance_share: Any  # [component]
    n_outside: int  # points left out because they lie far from all activity


def state_space(atlas: AtlasLike, network: str, task: str) -> StateSpace:
    """A network's trajectories, thinned to what an eye can follow, and its fixed points.

    At most ``MOST_TRIALS`` trials, evenly spaced, and of each the last ``MOST_STEPS`` steps. Points that lie further
    from the activity than its own range are left out and counted: one of them would shrink everything else to a dot.

    Raises:
        Missing: they are not stored.
    """
    data = arrays(atlas, f"trajectories/{network}", task)
    try:
        rows = table(atlas, "fixed_points", task)
        rows = rows[rows["network"] == network].reset_index(drop=True)
    except Missing:
        rows = pd.DataFrame({"condition": [], "is_slow": [], "n_unstable": []})
    return space_of(atlas.study.task(task), data, rows)


def space_of(task: Task, data: xr.Dataset, rows: pd.DataFrame) -> StateSpace:
    """The same from arrays at hand: ``rows`` are the network's of the table ``fixed_points``, in its order."""
    points, directions = data["points"].values, data["unstable_directions"].values
    if len(rows) != len(points):  # without their table, points have no stability: they are not drawn
        points, directions, rows = points[:0], directions[:0], rows[:0]
    values, contexts = _trial_labels(task, data)
    keep = _evenly(len(values), MOST_TRIALS.get(task.kind, OTHER_TRIALS))
    trajectories = data["trajectory"].values[keep, -MOST_STEPS:]
    low, high = (extreme(data["trajectory"].values, axis=(0, 1)) for extreme in (np.min, np.max))
    near = ((points >= 2 * low - high) & (points <= 2 * high - low)).all(axis=1)
    return StateSpace(
        trajectories,
        values[keep],
        contexts[keep],
        points[near],
        directions[near],
        rows[near],
        data["variance_share"].values,
        int((~near).sum()),
    )


def _evenly(count: int, most: int) -> Any:
    """At most ``most`` of ``count`` numbers, evenly spaced, both ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _trial_labels(task: Task, data: xr.Dataset) -> tuple[Any, Any]:
    inputs = data["inputs"].values
    trials = len(inputs)
    if isinstance(task, SineWave):
        return task.slope * inputs[:, 0, 0] + task.offset, np.zeros(trials, int)
    if isinstance(task, ContextIntegration):
        contexts = inputs[:, 0, task.streams :].argmax(axis=1)
        return inputs[np.arange(trials), 0, contexts], contexts
    return np.full(trials, np.nan), np.zeros(trials, int)


class ColorScale(NamedTuple):
    """What the colour of a trajectory means."""

    label: str
    colors: tuple[str, ...]
    low: float
    high: float


def color_scale(atlas: AtlasLike, kind: str) -> ColorScale | None:
    """The colours of a task's trajectories; None if they have none."""
    task = atlas.study.task(kind)
    if isinstance(task, SineWave):
        return ColorScale(
            "commanded frequency (cycles per step)", FREQUENCY_COLORS, task.offset, task.offset + task.slope
        )
    if isinstance(task, ContextIntegration):
        return ColorScale("cued evidence per step", EVIDENCE_COLORS, -1, 1)
    return None


def trajectories(atlas: AtlasLike, task: str) -> Figure:
    """Trajectories and fixed points of a representative network of each variant of one task."""
    columns = list(dict.fromkeys(architecture for architecture, _ in variants(atlas)))
    rows = list(dict.fromkeys(activation for _, activation in variants(atlas)))
    scale = color_scale(atlas, task)
    with styled():
        figure = new_figure(1.0 + 1.75 * len(rows), width=max(4.4, 0.4 + 1.7 * len(columns)))
        figure.suptitle(f"{TASK_TITLES[task]}: state space", fontsize=8, fontweight="bold")
        grid = figure.subplots(len(rows), len(columns), squeeze=False)
        try:
            chosen: dict[tuple[str, str], Representative] = {}
            for one in representatives(atlas, task):  # of several sizes, the smallest
                chosen.setdefault((one.architecture, one.activation), one)
        except Missing as missing:
            for axes in grid.flat:
                axes.set_axis_off()
            figure.text(0.5, 0.5, str(missing), ha="center", va="center", color=GREY, parse_math=False)
            return figure
        seen: set[Any] = set()
        for i, activation in enumerate(rows):
            for j, architecture in enumerate(columns):
                axes = grid[i, j]
                axes.set_title(variant_label(architecture, activation), fontsize=7)
                if (architecture, activation) in chosen:
                    seen |= _draw_network(axes, atlas, chosen[architecture, activation], scale)
                else:
                    write_message(axes, "no network passed,\nor none is stored")
        figure.legend(handles=_legend(seen), loc="outside lower center", ncols=5 if len(columns) > 3 else 3)
        if scale is not None:
            colors = ScalarMappable(Normalize(scale.low, scale.high), _colormap(scale))
            bar: Any = figure.colorbar(colors, ax=grid, fraction=0.015, aspect=30, pad=0.01)
            bar.set_label(scale.label)
            bar.outline.set_linewidth(0)
    return figure


def _colormap(scale: ColorScale) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("dynatlas", list(scale.colors))


def _draw_network(axes: Axes, atlas: AtlasLike, one: Representative, scale: ColorScale | None) -> set[Any]:
    space = state_space(atlas, one.network, one.task)
    view = _View(space)
    axes.set_axis_off()
    axes.set_aspect("equal")
    lines = [view(trajectory) for trajectory in space.trajectories]
    if scale is None:
        colors: Any = "#B4BCC4"
    else:
        colors = _colormap(scale)(Normalize(scale.low, scale.high)(space.values))
    styles = ["-" if context == 0 else (0, (4, 1.5)) for context in space.contexts]
    axes.add_collection(LineCollection(lines, colors=colors, linestyles=styles, linewidths=0.5, alpha=0.75, zorder=1))
    seen: set[Any] = {("context", context) for context in np.unique(space.contexts)} if space.contexts.any() else set()
    reach = 0.11 * view.span.max()
    # Far points first, so that near ones cover them.
    for row in np.argsort(view.depth(space.points)):
        point, direction = space.points[row], space.directions[row]
        facts = space.table.iloc[row]
        here = view(point[None])[0]
        if facts["is_slow"]:
            axes.plot(*here, marker="x", color=GREY, markersize=3.5, markeredgewidth=0.8, zorder=3)
            seen.add("slow")
            continue
        n_unstable = min(int(facts["n_unstable"]), len(UNSTABLE) - 1)
        color = unstable_color(n_unstable)
        if np.isfinite(direction).all():
            ends = view(np.stack([point - reach * direction, point + reach * direction]))
            axes.plot(ends[:, 0], ends[:, 1], color=color, linewidth=0.7, zorder=2)
            seen.add("direction")
        face = color if n_unstable == 0 else "white"
        axes.plot(*here, marker="o", color=color, markerfacecolor=face, markersize=3.4, markeredgewidth=0.9, zorder=3)
        seen.add(n_unstable)
    low, high = view.bounds
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    _draw_triad(axes, view, space.variance_share)
    if space.n_outside:
        note = f"{space.n_outside} far outside"
        axes.text(1.0, 0.06, note, transform=axes.transAxes, fontsize=5.5, color=GREY, ha="right", va="bottom")
    return seen


class _View:
    """An orthographic look at three components, each scaled to its own range (a flat one would hide its shape)."""

    def __init__(self, space: StateSpace) -> None:
        everything = np.concatenate([space.trajectories.reshape(-1, space.points.shape[1]), space.points])
        self.components = min(3, everything.shape[1])
        everything = everything[:, : self.components]
        self.low = np.nanmin(everything, axis=0)
        self.span = np.maximum(np.nanmax(everything, axis=0) - self.low, 1e-12)
        a, e = _AZIMUTH, _ELEVATION
        right = [-np.sin(a), np.cos(a), 0]
        up = [-np.sin(e) * np.cos(a), -np.sin(e) * np.sin(a), np.cos(e)]
        toward = [np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)]
        self.axes = np.array([right, up, toward])[:, : self.components]
        flat = self(everything)
        # Room for the marks, and at the lower left for the axes' names.
        self.bounds = flat.min(axis=0) - [0.16, 0.2], flat.max(axis=0) + 0.06

    def __call__(self, points: Any) -> Any:
        return self._turned(points)[:, :2]

    def depth(self, points: Any) -> Any:
        """Distance towards the eye."""
        return self._turned(points)[:, 2]

    def _turned(self, points: Any) -> Any:
        scaled = (points[:, : self.components] - self.low) / self.span - 0.5
        return scaled @ self.axes.T


def _draw_triad(axes: Axes, view: _View, share: Any) -> None:
    """The directions of the components, at the lower left, with the share of the variance that each holds."""
    low, _ = view.bounds
    origin = low + np.array([0.06, 0.1])
    names = []
    for component in range(view.components):
        tip = 0.2 * view.axes[:2, component]
        axes.annotate(
            "",
            origin + tip,
            origin,
            arrowprops={"arrowstyle": "-|>", "linewidth": 0.5, "color": GREY, "mutation_scale": 4},
        )
        label = origin + tip * 1.45
        axes.text(label[0], label[1], str(component + 1), fontsize=5.5, color=GREY, ha="center", va="center")
        names.append(f"{100 * share[component]:.0f}")
    axes.text(
        1.0,
        -0.02,
        "PC1–3: " + ", ".join(names) + " %",
        transform=axes.transAxes,
        fontsize=5.5,
        color=GREY,
        ha="right",
        va="bottom",
    )


def _legend(seen: set[Any]) -> list[Line2D]:
    handles = []
    for n_unstable in range(len(UNSTABLE)):
        if n_unstable in seen:
            color = unstable_color(n_unstable)
            handles.append(
                Line2D(
                    [],
                    [],
                    linestyle="",
                    marker="o",
                    markersize=4,
                    color=color,
                    markerfacecolor=color if n_unstable == 0 else "white",
                    label=unstable_label(n_unstable, or_more=n_unstable == len(UNSTABLE) - 1),
                )
            )
    if "slow" in seen:
        handles.append(
            Line2D([], [], linestyle="", marker="x", color=GREY, markersize=4, label="slow point (not a root)")
        )
    if "direction" in seen:
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, label="leading unstable direction"))
    contexts = sorted(int(item[1]) for item in seen if isinstance(item, tuple))
    for context in contexts:
        style: Any = "-" if context == 0 else (0, (4, 1.5))
        label = f"context {context + 1}" if len(contexts) == 2 or context == 0 else "other contexts"
        handles.append(Line2D([], [], color=GREY, linestyle=style, linewidth=0.8, label=label))
        if context > 0 and len(contexts) > 2:
            break
    return handles
