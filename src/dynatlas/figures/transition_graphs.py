"""Transition graphs of fixed points."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dynatlas._util.messages import count_of
from dynatlas.atlas.view import (
    AtlasLike,
    Missing,
    Representative,
    representatives,
    table,
)
from dynatlas.figures.legends import marker_handle
from dynatlas.figures.looks import unstable_color, unstable_label
from dynatlas.figures.state_spaces import drawn_variants, variant_grid
from dynatlas.figures.style import new_figure, panel, styled, title_grid, write_message

# Edges that fewer displaced states follow are not drawn.
LEAST_PROBABILITY = 0.02
# Gap between arrow and point, and length of an arrow head, in units of the output.
GAP = 0.05
HEAD = 0.09


def transition_graphs(atlas: AtlasLike, task: str) -> Figure:
    """Draw the transition graph of a representative network of each variant on a task, in readout coordinates."""
    with styled():
        try:
            shown = {one.variant: one for one in drawn_variants(atlas, task)}
        except Missing:
            shown = {}
        columns, rows = variant_grid(atlas.study)
        figure = new_figure(0.5 + 1.75 * len(rows))
        grid: Any = figure.subplots(len(rows), len(columns), squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        if shown:
            title_grid(grid, atlas.study, columns, rows, fontsize=7)
        for i, j in np.ndindex(grid.shape) if shown else ():
            if one := shown.get((columns[j], rows[i])):
                panel(grid[i, j], draw_transitions, atlas, one)
            else:
                write_message(grid[i, j], "no network passed,\nor none is stored")
        if not shown:
            panel(grid[0, 0], lambda _: representatives(atlas, task))
        handles = [marker_handle(unstable_label(n), unstable_color(n)) for n in range(4)]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def draw_transitions(axes: Axes, atlas: AtlasLike, one: Representative) -> None:
    """Draw the transition graph of a network, with each fixed point at its readout.

    Raises:
        Missing: the fixed points or transitions are not stored, or there is no fixed point.
    """
    axes.set_axis_off()
    points = table(atlas, "fixed_points", one.task)
    points = points[(points["network"] == one.network) & ~points["is_slow"].astype(bool)].sort_values("point")
    edges = table(atlas, "transitions", one.task)
    edges = edges[(edges["network"] == one.network) & (edges["source"] != edges["target"])]
    edges = edges[edges["probability"] >= LEAST_PROBABILITY]
    if points.empty:
        raise Missing("This network has no fixed point.")
    places = _projected(np.stack(points["readout"].to_list()))
    _draw_arrows(axes, places, edges, points["n_unstable"].to_numpy())
    colors = [unstable_color(int(n)) for n in points["n_unstable"]]
    axes.scatter(places[:, 0], places[:, 1], s=14, c=colors, zorder=3, edgecolors="white", linewidths=0.4)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)


def _draw_arrows(axes: Axes, places: NDArray[np.float64], edges: pd.DataFrame, n_unstable: NDArray[np.int64]) -> None:
    """Draw an arrow for each edge, with its width by probability; all in two artists, for speed."""
    source, target = edges["source"].to_numpy(), edges["target"].to_numpy()
    probability = edges["probability"].to_numpy()
    way = places[target] - places[source]
    unit = way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-12)
    begin, end = places[source] + GAP * unit, places[target] - GAP * unit
    colors = to_rgba_array([unstable_color(int(n_unstable[number])) for number in source])
    colors[:, 3] = 0.3 + 0.6 * probability
    shafts = np.stack([begin, end - HEAD / 2 * unit], axis=1)
    axes.add_collection(LineCollection(list(shafts), colors=colors, linewidths=0.25 + 1.2 * probability))
    normal = unit[:, ::-1] * [-1, 1]
    heads = np.stack([end, end - HEAD * unit + HEAD / 3 * normal, end - HEAD * unit - HEAD / 3 * normal], axis=1)
    axes.add_collection(PolyCollection(list(heads), facecolors=colors, linewidths=0))


def _projected(readouts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Project readouts to the plane: three outputs become a cube whose corners do not overlap."""
    directions = np.array([[1.0, 0.0], [0.0, 1.0], [0.42, 0.29], [-0.31, 0.44], [0.2, -0.5], [-0.5, -0.2]])
    return readouts @ directions[: readouts.shape[1]]


def transition_graphs_caption(atlas: AtlasLike, task: str) -> str:
    """Return the caption of ``transition_graphs``."""
    networks = len(table(atlas, "searches", task))
    sensitivity = table(atlas, "transition_sensitivity", task)
    settings = atlas.study.analysis
    own = sensitivity["scale"] == settings.transition_scale
    by_scale = sensitivity[~own].groupby("scale")["distance"].median()
    changes = "; ".join(f"{scale:g}: {distance:.2f}" for scale, distance in by_scale.items())
    lost = 100 * sensitivity.loc[own, "lost"].median()
    return (
        "One trained network of each variant. Points are its fixed points at their readouts, coloured by "
        f"their number of unstable directions. From each, {settings.transition_trials} states displaced by "
        f"{settings.transition_scale:g} of the distance to the nearest point run until they settle; an arrow leads to "
        "each stable point that at least 2 % of them reach, with its width by their share. Over all "
        f"{count_of(networks, 'network')}, {lost:.1f} % of the states do not settle (median). With other "
        f"displacements the graphs change by these Frobenius distances (medians): {changes or 'none was tried'}."
    )
