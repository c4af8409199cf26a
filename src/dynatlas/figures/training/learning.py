"""How a solution forms: errors, fixed points and distances of networks at the snapshots of their training."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dynatlas._util.messages import count_of
from dynatlas.atlas.view import (
    AtlasLike,
    Missing,
    Variant,
    embedding,
    levels_of,
    of_variant,
    shown_factors,
    table,
    varying_factors,
)
from dynatlas.figures.distances import draw_networks, frame_map
from dynatlas.figures.legends import variant_handles
from dynatlas.figures.looks import factor_label, looks_of, unstable_color, unstable_label
from dynatlas.figures.style import GREY, new_figure, panel, styled, title_grid
from dynatlas.figures.training.performance import legend_columns, task_error
from dynatlas.measures.registry import measure_label

MOST_KINDS: Final = 4  # 0, 1, 2, and 3 or more unstable directions
DASHES: Final[Any] = (0, (4, 2))
SINGLE: Final = 24  # of more networks, medians and quartiles are drawn instead of curves


def learning(atlas: AtlasLike, task: str) -> Figure:
    """Draw error, fixed points, distances and places on the map against the iterations of every network followed."""
    panels: tuple[tuple[str, Callable[[Axes, AtlasLike, str], None]], ...] = (
        ("Error", _draw_error),
        ("Fixed points", _draw_roots),
        ("Leading eigenvalue", _draw_leading),
        ("Distance to its own end", _draw_to_end),
        ("Distance to other networks", _draw_to_others),
        ("Ways across the map", _draw_ways),
    )
    with styled():
        figure = new_figure(4.4)
        for axes, (title, draw) in zip(figure.subplots(2, 3).ravel(), panels, strict=True):
            axes.set_title(title)
            panel(axes, draw, atlas, task)
        handles = variant_handles(atlas)
        figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns(handles))
    return figure


def learning_caption(atlas: AtlasLike, task: str) -> str:
    """Return the caption of ``learning``."""
    rows = table(atlas, "snapshots", task)
    measure = _measure(atlas)
    color, *line = map(factor_label, varying_factors(atlas.study))
    style = f", line style the {line[0]}" if line else ""
    return (
        f"{count_of(rows['network'].nunique(), 'network')} at {count_of(rows['iteration'].nunique(), 'iteration')} of "
        f"their training. Colour is the {color}{style}. Error on held-out trials, with the task’s threshold; number of "
        f"fixed points, mean over static inputs; largest |λ| over fixed and slow points; {measure_label(measure)} "
        "distance of the activity on the probe to the same network after its training, and the mean to all other "
        "trained networks. "
        "The last panel places the snapshots on the map of the trained networks: each line begins before training and "
        "ends at a mark; the other trained networks are grey."
    )


def points_learned(atlas: AtlasLike, task: str) -> Figure:
    """Draw the number of roots by their unstable directions against iterations, for each variant."""
    columns, rows = (levels_of(atlas.study, factor) for factor in shown_factors(atlas.study))
    with styled():
        figure = new_figure(0.9 + 1.35 * len(rows))
        grid: Any = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)
        title_grid(grid, atlas.study, columns, rows, fontsize=7)
        for i, j in np.ndindex(grid.shape):
            panel(grid[i, j], _draw_kinds, atlas, task, (columns[j], rows[i]))
        for axes in grid[-1]:
            axes.set_xlabel("iteration")
        for axes in grid[:, 0]:
            axes.set_ylabel("fixed points")
        labels = [unstable_label(kind, or_more=kind == MOST_KINDS - 1) for kind in range(MOST_KINDS)]
        handles = [
            Line2D([], [], color=unstable_color(kind), marker="o", markersize=2.5, label=label)
            for kind, label in enumerate(labels)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def points_learned_caption(atlas: AtlasLike, task: str) -> str:
    """Return the caption of ``points_learned``."""
    rows = table(atlas, "snapshot_searches", task)
    return (
        "Number of fixed points by their unstable directions during training, mean over static inputs and networks of "
        f"each kind; {count_of(rows['network'].nunique(), 'network')}."
    )


def _draw_error(axes: Axes, atlas: AtlasLike, task: str) -> None:
    rows = table(atlas, "snapshots", task)
    error = task_error(atlas, task, rows.assign(diverged_at=-1))
    values = error.values.where(np.isfinite(error.values) & (error.values > 0))
    _draw_curves(axes, atlas, task, rows.assign(value=values).dropna())
    axes.axhline(error.bound, color=GREY, linestyle=DASHES, linewidth=0.8)
    axes.set_yscale("log")
    axes.set_ylabel(error.label)


def _draw_roots(axes: Axes, atlas: AtlasLike, task: str) -> None:
    rows = table(atlas, "snapshot_searches", task)
    _draw_curves(axes, atlas, task, rows.assign(value=rows["n_roots"].astype(float)))
    _from_zero(axes)
    axes.set_ylabel("fixed points")


def _draw_leading(axes: Axes, atlas: AtlasLike, task: str) -> None:
    rows = table(atlas, "snapshot_points", task)
    largest = rows.groupby(["network", "iteration"], sort=False)["spectral_radius"].max()
    _draw_curves(axes, atlas, task, largest.rename("value").reset_index())
    axes.axhline(1, color=GREY, linestyle=DASHES, linewidth=0.8)
    axes.set_ylabel("largest |λ|")


def _draw_to_end(axes: Axes, atlas: AtlasLike, task: str) -> None:
    _draw_distance(axes, atlas, task, "to_end")


def _draw_to_others(axes: Axes, atlas: AtlasLike, task: str) -> None:
    _draw_distance(axes, atlas, task, "to_others")


def _draw_distance(axes: Axes, atlas: AtlasLike, task: str, column: str) -> None:
    rows = _distances(atlas, task)
    _draw_curves(axes, atlas, task, rows.assign(value=rows[column]).dropna(subset="value"))
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"{measure_label(_measure(atlas))} distance")


def _draw_ways(axes: Axes, atlas: AtlasLike, task: str) -> None:
    rows = _distances(atlas, task).dropna(subset="x")
    networks = embedding(atlas, task, _measure(atlas))
    draw_networks(axes, networks, "#C9CED3", "o", of=len(networks))
    for look, of_network in _by_network(atlas, task, rows):
        style: Any = {"color": look["color"], "linestyle": look["linestyle"], "linewidth": 0.8}
        axes.plot(of_network["x"], of_network["y"], marker="o", markersize=1.4, zorder=3, **style)
        end = networks[networks["network"] == of_network["network"].iloc[0]]
        axes.scatter(end["x"], end["y"], s=18, color=look["color"], edgecolors="white", linewidths=0.4, zorder=4)
    frame_map(axes)


def _draw_kinds(axes: Axes, atlas: AtlasLike, task: str, variant: Variant) -> None:
    searches, points = table(atlas, "snapshot_searches", task), table(atlas, "snapshot_points", task)
    networks = of_variant(atlas.study, table(atlas, "networks", task), variant)["network"]
    searches = searches[searches["network"].isin(networks)]
    if searches.empty:
        raise Missing("none followed")
    roots = points[points["network"].isin(networks) & ~points["is_slow"].astype(bool)]
    kinds = roots["n_unstable"].clip(upper=MOST_KINDS - 1)
    counts = roots.groupby(["iteration", kinds]).size().unstack(fill_value=0)
    made = searches.groupby("iteration").size()
    means = counts.reindex(index=made.index, columns=range(MOST_KINDS), fill_value=0).div(made, axis=0)
    for kind in range(MOST_KINDS):
        axes.plot(means.index, means[kind], color=unstable_color(kind), marker="o", markersize=2)
    _iterations(axes, made.index.to_numpy())
    _from_zero(axes)


def _draw_curves(axes: Axes, atlas: AtlasLike, task: str, rows: pd.DataFrame) -> None:
    """Draw ``value`` against ``iteration``, mean over rows of the same network and iteration."""
    curves = rows.groupby(["network", "iteration"], sort=False)["value"].mean().reset_index()
    followed = list(_by_network(atlas, task, curves))
    if not followed:
        raise Missing("No snapshot of a network of this task could be analysed.")
    opacity = float(np.clip(SINGLE / len(followed), 0.25, 0.9))
    for look, of_network in followed:
        style: Any = look | {"marker": "o", "markersize": 1.6, "linewidth": 0.8, "alpha": opacity}
        axes.plot(of_network["iteration"], of_network["value"], **style)
    _iterations(axes, curves["iteration"].to_numpy())
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.5)


def _by_network(atlas: AtlasLike, task: str, rows: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the colour and the line of each network, and its rows in the order of iterations."""
    networks = table(atlas, "networks", task).set_index("network")
    first, second = shown_factors(atlas.study)
    looks = looks_of(atlas.study)
    for network, of_network in rows.groupby("network", sort=False):
        levels = networks.loc[network]
        style = {"color": looks[first][levels[first]].color, "linestyle": looks[second][levels[second]].line}
        yield style, of_network.sort_values("iteration")


def _iterations(axes: Axes, iterations: Any) -> None:
    """Scale the axis of iterations: logarithmic, and with iteration 0."""
    positive = iterations[iterations > 0]
    first = int(positive.min()) if len(positive) else 1
    last = max(int(iterations.max()), 1)
    axes.set_xscale("symlog", linthresh=first, linscale=0.6)
    powers = [10**power for power in range(8) if first <= 10**power <= last]
    axes.set_xticks([0, *powers], ["0", *(f"{power:,}" for power in powers)])
    axes.set_xlim(-0.15 * first, 1.15 * last)
    axes.set_xlabel("iteration")


def _from_zero(axes: Axes) -> None:
    """Scale the axis of counts."""
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def _distances(atlas: AtlasLike, task: str) -> pd.DataFrame:
    rows = table(atlas, "snapshot_distances", task)
    return rows[rows["measure"] == _measure(atlas)]


def _measure(atlas: AtlasLike) -> str:
    """Return the measure of activity that figures show first."""
    return atlas.study.analysis.activity_measures[0]
