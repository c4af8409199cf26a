"""State spaces of representative networks: trajectories and fixed points in principal components."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure, FigureBase

from dynatlas._util.messages import count_of
from dynatlas._util.selection import even_selection
from dynatlas.atlas.view import (
    AtlasLike,
    Missing,
    Representative,
    arrays,
    levels_of,
    representatives,
    shown_factors,
    table,
    task_title,
)
from dynatlas.figures.legends import point_handles
from dynatlas.figures.looks import EVIDENCE_COLORS, FREQUENCY_COLORS, UNSTABLE, unstable_color
from dynatlas.figures.style import (
    GREY,
    PAGE_WIDTH,
    SMALLEST,
    figure_title,
    new_figure,
    panel,
    styled,
    title_grid,
    write_message,
)
from dynatlas.study.study import Study
from dynatlas.tasks.task import Task

# Columns and rows of a grid of variants; of more levels an even selection is drawn.
MOST_PANELS = (6, 4)
FEW_PANELS = (5, 3)  # in a part of a figure
# From this viewpoint no axis hides another.
_AZIMUTH, _ELEVATION = np.deg2rad(-55.0), np.deg2rad(22.0)


def trajectories(atlas: AtlasLike, task: str) -> Figure:
    """Draw the trajectories and fixed points of a representative network of each variant on one task."""
    columns, rows = variant_grid(atlas.study)
    with styled():
        figure = new_figure(1.0 + 1.75 * len(rows), width=min(PAGE_WIDTH, max(4.4, 0.4 + 1.7 * len(columns))))
        figure_title(figure, f"{task_title(atlas.study, task)}: state space")
        seen = draw_variants(figure, atlas, task, most=MOST_PANELS)
        figure.legend(handles=point_handles(seen), loc="outside lower center", ncols=5 if len(columns) > 3 else 3)
    return figure


def variant_grid(study: Study, most: tuple[int, int] = MOST_PANELS) -> tuple[list[Any], list[Any]]:
    """Return the levels of the shown factors that are drawn as columns and as rows, in canonical order."""
    first, second = (levels_of(study, factor) for factor in shown_factors(study))
    return even_selection(first, most[0]), even_selection(second, most[1])


def drawn_variants(atlas: AtlasLike, task: str, most: tuple[int, int] = MOST_PANELS) -> list[Representative]:
    """Return the networks that a grid of variants shows.

    Raises:
        Missing: no trajectories are stored.
    """
    columns, rows = variant_grid(atlas.study, most)
    return [one for one in representatives(atlas, task) if one.variant[0] in columns and one.variant[1] in rows]


def each_variant(study: Study, most: tuple[int, int] = MOST_PANELS) -> str:
    """State whose networks a grid of variants shows."""
    whole = [len(levels_of(study, factor)) for factor in shown_factors(study)]
    return (
        "one per variant" if [*map(len, variant_grid(study, most))] == whole else "one per variant of an even selection"
    )


def draw_variants(
    part: FigureBase, atlas: AtlasLike, task: str, *, points: bool = True, most: tuple[int, int] = FEW_PANELS
) -> set[Any]:
    """Draw a panel for each variant, or a message, and return the kinds of points and lines that were drawn."""
    columns, rows = variant_grid(atlas.study, most)
    try:
        chosen = {one.variant: one for one in representatives(atlas, task)}
    except Missing as missing:
        write_message(part.subplots(), str(missing))
        return set()
    scale = color_scale(atlas, task)
    grid: Any = part.subplots(len(rows), len(columns), squeeze=False)
    title_grid(grid, atlas.study, columns, rows, fontsize=7, fontweight="normal")
    for axes in grid.flat if len(rows) == 1 else ():
        axes.set_box_aspect(1)  # else titles and shares are far from what is drawn
    seen: set[Any] = set()
    for i, j in np.ndindex(grid.shape):
        if one := chosen.get((columns[j], rows[i])):
            seen |= panel(grid[i, j], draw_state_space, atlas, one, scale, points=points) or set()
        else:
            write_message(grid[i, j], "no network passed,\nor none is stored")
    if scale is not None:
        bar: Any = part.colorbar(_mappable(scale), ax=grid, fraction=0.015, aspect=30, pad=0.01)
        bar.set_label(scale.label)
        bar.outline.set_linewidth(0)
    return seen


class ColorScale(NamedTuple):
    """Colour scale of trajectories."""

    label: str
    colors: tuple[str, ...]
    low: float
    high: float


def _mappable(scale: ColorScale) -> ScalarMappable:
    colors = LinearSegmentedColormap.from_list("dynatlas", list(scale.colors))
    return ScalarMappable(Normalize(scale.low, scale.high), colors)


def colors_of(scale: ColorScale | None, values: Any) -> Any:
    """Return the colour of each value; grey without a scale."""
    return "#B4BCC4" if scale is None else _mappable(scale).to_rgba(np.asarray(values))


def draw_state_space(
    axes: Axes, atlas: AtlasLike, one: Representative, scale: ColorScale | None, *, points: bool = True
) -> set[Any]:
    """Draw one network's trajectories and, by default, fixed points; return the kinds of points and lines drawn.

    Raises:
        Missing: no trajectories are stored.
    """
    space = state_space(atlas, one.network, one.task)
    view = _Projection(space)
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")  # every panel has the same size
    lines = [view(trajectory) for trajectory in space.trajectories]
    colors = colors_of(scale, space.values)
    styles = ["-" if context == 0 else (0, (4, 1.5)) for context in space.contexts]
    axes.add_collection(LineCollection(lines, colors=colors, linestyles=styles, linewidths=0.5, alpha=0.75, zorder=1))
    seen: set[Any] = {("context", context) for context in np.unique(space.contexts)} if space.contexts.any() else set()
    if points:
        seen |= _draw_points(axes, space, view)
    axes.update_datalim(view.bounds)
    axes.margins(0)
    _draw_triad(axes, view)
    shares = ", ".join(f"{100 * share:.0f}" for share in space.variance_share[: view.components])
    note = f"\n{space.n_outside} points far outside" if points and space.n_outside else ""
    axes.text(
        0.5,
        0.0,
        f"PC1–{view.components}: {shares} %{note}",
        transform=axes.transAxes,
        fontsize=SMALLEST,
        color=GREY,
        ha="center",
        va="top",
    )
    return seen


class StateSpace(NamedTuple):
    """Trajectories and fixed points of one network, in the principal components of its probe activity."""

    trajectories: Any  # [trials, steps, component]
    values: Any  # [trials]: value of the colour (commanded frequency, evidence), or NaN
    contexts: Any  # [trials]: the context of a trajectory, or 0
    points: Any  # [points, component]
    directions: Any  # [points, component]: NaN where stable
    table: pd.DataFrame  # rows of the table fixed_points, one per point
    variance_share: Any  # [component]
    n_outside: int  # points left out because they lie far from all activity


def _draw_points(axes: Axes, space: StateSpace, view: "_Projection") -> set[Any]:
    seen: set[Any] = set()
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
    return seen


class _Projection:
    """Orthographic projection of up to three components, each scaled to its range to show its shape."""

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
        # Leave room for the marks, and at the lower left for the axis labels.
        self.bounds = flat.min(axis=0) - [0.16, 0.2], flat.max(axis=0) + 0.06

    def __call__(self, points: Any) -> Any:
        return self._rotated(points)[:, :2]

    def depth(self, points: Any) -> Any:
        """Return the distance of points towards the viewer."""
        return self._rotated(points)[:, 2]

    def _rotated(self, points: Any) -> Any:
        scaled = (points[:, : self.components] - self.low) / self.span - 0.5
        return scaled @ self.axes.T


def _draw_triad(axes: Axes, view: _Projection) -> None:
    """Draw the directions of the components at the lower left."""
    low, _ = view.bounds
    origin = low + np.array([0.06, 0.1])
    for component in range(view.components):
        tip = 0.2 * view.axes[:2, component]
        axes.annotate(
            "",
            origin + tip,
            origin,
            arrowprops={"arrowstyle": "-|>", "linewidth": 0.5, "color": GREY, "mutation_scale": 4},
        )
        label = origin + tip * 1.45
        axes.text(label[0], label[1], str(component + 1), fontsize=SMALLEST, color=GREY, ha="center", va="center")


class TrialStyle(NamedTuple):
    """Number and colours of the trials of a task that are drawn."""

    most_trials: int
    meaning: str  # of the colours, for captions
    scale: ColorScale | None = None


@lru_cache(maxsize=64)
def trial_style(task: Task) -> TrialStyle:
    """Return the style for a task: colours for frequency or evidence, otherwise grey."""
    if "oscillation" in task.computations:
        low, high = min(task.condition_frequencies()), max(task.condition_frequencies())
        scale = ColorScale("commanded frequency (cycles per step)", FREQUENCY_COLORS, low, high)
        return TrialStyle(13, "Colour: the commanded frequency.", scale)
    if "integration" in task.computations:
        scale = ColorScale("cued evidence per step", EVIDENCE_COLORS, -task.probe_evidence, task.probe_evidence)
        return TrialStyle(40, "Colour: the cued evidence; line style: the context.", scale)
    return TrialStyle(16, "Grey: probe trajectories.")


def trajectories_caption(atlas: AtlasLike, task: str) -> str:
    """Return the caption of ``trajectories`` for one task."""
    chosen = drawn_variants(atlas, task)
    colors = trial_style(atlas.study.task(task)).meaning
    steps = f" (the last {MOST_STEPS} steps of each)" if atlas.study.task(task).steps > MOST_STEPS else ""
    return (
        f"{task_title(atlas.study, task)}: state space of {count_of(len(chosen), 'representative network')}, "
        f"{each_variant(atlas.study)}, in the first three principal components of its probe activity, each component "
        f"scaled to its range; the percentages are their shares of the variance. {colors} At most "
        f"{most_trials(atlas, task)} probe trials are drawn{steps}. Filled points: stable fixed points; open points: "
        "saddles, coloured by their number of unstable directions; line through a saddle: its leading unstable "
        "direction; ×: slow point, not a root. Points further from the activity than its range are counted, but not "
        "drawn."
    )


MOST_STEPS = 150


def state_space(atlas: AtlasLike, network: str, task: str) -> StateSpace:
    """Return a network's trajectories, thinned, and its fixed points.

    At most ``TrialStyle.most_trials`` evenly spaced trials are kept, and the last ``MOST_STEPS`` steps of each. Points
    further from the activity than its range are left out and counted, because a single one would set the scale.

    Raises:
        Missing: no trajectories are stored.
    """
    data = arrays(atlas, f"trajectories/{network}", task)
    try:
        rows = table(atlas, "fixed_points", task)
        rows = rows[rows["network"] == network].reset_index(drop=True)
    except Missing:
        rows = pd.DataFrame({"condition": [], "is_slow": [], "n_unstable": []})
    return select_state_space(atlas.study.task(task), data, rows)


def select_state_space(task: Task, data: xr.Dataset, rows: pd.DataFrame) -> StateSpace:
    """Compute ``state_space`` from arrays and from the network's ``rows`` of ``fixed_points``, in the table's order."""
    points, directions = data["points"].values, data["unstable_directions"].values
    if len(rows) != len(points):  # without the table the stability is unknown: draw no points
        points, directions, rows = points[:0], directions[:0], rows[:0]
    values, contexts = trial_labels(task, data)
    keep = even_selection(range(len(values)), trial_style(task).most_trials)
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


def most_trials(atlas: AtlasLike, task: str) -> int:
    """Return the largest number of trials drawn for a representative of a task.

    Raises:
        Missing: no trajectories are stored.
    """
    groups = [f"trajectories/{one.network}" for one in representatives(atlas, task)]
    stored = max(arrays(atlas, group, task).sizes["trial"] for group in groups)
    return min(stored, trial_style(atlas.study.task(task)).most_trials)


def trial_labels(task: Task, data: xr.Dataset) -> tuple[Any, Any]:
    """Return the colour value ``[trials]`` (commanded frequency, evidence, or NaN) and the context of each trial."""
    inputs = np.asarray(data["inputs"].values, np.float64).mean(axis=1)
    if "oscillation" in task.computations:
        frequencies = np.asarray(task.condition_frequencies(), np.float32)
        return frequencies[trial_conditions(task, inputs)], np.zeros(len(inputs), int)
    if "integration" in task.computations:
        contexts = trial_conditions(task, inputs)
        channels = np.asarray(task.integrated_inputs())[contexts]
        return inputs[np.arange(len(inputs)), channels].astype(np.float32), contexts
    return np.full(len(inputs), np.nan), np.zeros(len(inputs), int)


def trial_conditions(task: Task, inputs: Any) -> Any:
    """Return the condition ``[trials]`` nearest to each mean input ``[trials, inputs]``, without the evidence."""
    static, conditions = _static_inputs(task)
    return ((inputs[:, None, static] - conditions) ** 2).sum(axis=-1).argmin(axis=1)


@lru_cache(maxsize=64)
def _static_inputs(task: Task) -> tuple[Any, Any]:
    """Return the inputs ``[static]`` that are not integrated, and their values ``[conditions, static]``."""
    static = np.setdiff1d(np.arange(task.n_inputs), task.integrated_inputs())
    return static, np.asarray(task.conditions(), np.float64)[:, static]


def color_scale(atlas: AtlasLike, kind: str) -> ColorScale | None:
    """Return the colour scale of a task's trajectories, or None if they are grey."""
    return trial_style(atlas.study.task(kind)).scale
