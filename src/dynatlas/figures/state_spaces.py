"""State spaces drawn: trajectories and fixed points of representative networks, seen from above and the side."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure, FigureBase

from dynatlas.figures.legends import point_handles
from dynatlas.figures.reading import AtlasLike, Missing, Representative, panel, representatives, task_title, variants
from dynatlas.figures.style import (
    GREY,
    PAGE_WIDTH,
    SMALLEST,
    UNSTABLE,
    entitle,
    new_figure,
    styled,
    unstable_color,
    variant_label,
    write_message,
)
from dynatlas.figures.trajectories import ColorScale, StateSpace, color_scale, state_space

# No axis is hidden behind another.
_AZIMUTH, _ELEVATION = np.deg2rad(-55.0), np.deg2rad(22.0)


def trajectories(atlas: AtlasLike, task: str) -> Figure:
    """Trajectories and fixed points of a representative network of each variant of one task."""
    columns, rows = _grid(atlas)
    with styled():
        figure = new_figure(1.0 + 1.75 * len(rows), width=min(PAGE_WIDTH, max(4.4, 0.4 + 1.7 * len(columns))))
        entitle(figure, f"{task_title(atlas.study, task)}: state space")
        seen = draw_variants(figure, atlas, task)
        figure.legend(handles=point_handles(seen), loc="outside lower center", ncols=5 if len(columns) > 3 else 3)
    return figure


def _grid(atlas: AtlasLike) -> tuple[list[str], list[str]]:
    """The architectures and the activations, in the order of every picture."""
    return tuple(list(dict.fromkeys(level)) for level in zip(*variants(atlas), strict=True))  # type: ignore[return-value]


def draw_variants(part: FigureBase, atlas: AtlasLike, task: str, *, points: bool = True) -> set[Any]:
    """A panel for each variant, or what is missing; the kinds of points and lines that were drawn."""
    columns, rows = _grid(atlas)
    try:
        chosen = {(one.architecture, one.activation): one for one in representatives(atlas, task)}
    except Missing as missing:
        write_message(part.subplots(), str(missing))
        return set()
    scale = color_scale(atlas, task)
    grid = part.subplots(len(rows), len(columns), squeeze=False)
    seen: set[Any] = set()
    for i, activation in enumerate(rows):
        for j, architecture in enumerate(columns):
            axes = grid[i, j]
            axes.set_title(variant_label(architecture, activation), fontsize=7, fontweight="normal")
            if (architecture, activation) in chosen:
                one = chosen[architecture, activation]
                seen |= panel(axes, draw_state_space, atlas, one, scale, points=points) or set()
            else:
                write_message(axes, "no network passed,\nor none is stored")
    if scale is not None:
        bar: Any = part.colorbar(_mappable(scale), ax=grid, fraction=0.015, aspect=30, pad=0.01)
        bar.set_label(scale.label)
        bar.outline.set_linewidth(0)
    return seen


def _mappable(scale: ColorScale) -> ScalarMappable:
    colors = LinearSegmentedColormap.from_list("dynatlas", list(scale.colors))
    return ScalarMappable(Normalize(scale.low, scale.high), colors)


def colors_of(scale: ColorScale | None, values: Any) -> Any:
    """The colour of each value on a scale; without one all are grey."""
    return "#B4BCC4" if scale is None else _mappable(scale).to_rgba(np.asarray(values))


def draw_state_space(
    axes: Axes, atlas: AtlasLike, one: Representative, scale: ColorScale | None, *, points: bool = True
) -> set[Any]:
    """One network's trajectories and, if asked for, fixed points; the kinds of points and lines that were drawn.

    Raises:
        Missing: they are not stored.
    """
    space = state_space(atlas, one.network, one.task)
    view = _View(space)
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")  # boxes of one size, whatever is in them
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


def _draw_points(axes: Axes, space: StateSpace, view: "_View") -> set[Any]:
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


def _draw_triad(axes: Axes, view: _View) -> None:
    """The directions of the components, at the lower left."""
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
