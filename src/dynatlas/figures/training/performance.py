"""Error of each network on its task, after and during training."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynatlas._util.messages import count_of
from dynatlas.atlas.view import (
    AtlasLike,
    Missing,
    left_out_sentence,
    of_variant,
    shown_factors,
    table,
    variants,
    varying_factors,
)
from dynatlas.figures.legends import line_handle, marker_handle
from dynatlas.figures.looks import Look, factor_label, looks_of
from dynatlas.figures.style import GREY, MOST_MARKS, new_figure, panel, side_by_side, styled, task_panels, variant_ticks

LETTERS = 105  # of a legend across the page, with 7 for each of its marks


class TaskError(NamedTuple):
    """The error that is plotted for a task: lower is better, and the threshold is an upper bound.

    NaN for a network that diverged, whose error is any number up to infinity.
    """

    label: str
    values: "pd.Series[float]"
    bound: float


def task_error(atlas: AtlasLike, task: str, networks: pd.DataFrame) -> TaskError:
    """Return the error to which the task's threshold applies: the MSE, or 1 − R²."""
    measure, bound = atlas.study.task(task).threshold
    converged = networks.where(networks["diverged_at"] < 0)
    if measure == "mse":
        return TaskError("MSE on held-out trials", converged["mse"], bound)
    return TaskError("1 − R² on held-out trials", 1 - converged["r2"], round(1 - bound, 12))


def performance(atlas: AtlasLike) -> Figure:
    """Draw the error of every network on held-out trials by variant, with the threshold of the task."""
    with styled():
        figure = new_figure(2.9)
        for axes, task in task_panels(figure, atlas):
            panel(axes, _draw_errors, atlas, task)
        handles = [
            *(marker_handle(look.title, look.color) for look in _looks(atlas)),
            marker_handle("left out", GREY, "x"),
            marker_handle("diverged", GREY, "v"),
            Line2D([], [], color=GREY, linestyle=(0, (4, 2)), linewidth=0.8, label="threshold"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns(handles))
    return figure


def legend_columns(handles: Sequence[Artist]) -> int:
    """Return the number of columns of a legend across the page."""
    letters = sum(len(str(handle.get_label())) + 7 for handle in handles)
    return len(handles) if letters < LETTERS else max(1, LETTERS * len(handles) // letters)


def _looks(atlas: AtlasLike) -> list[Look]:
    return [*looks_of(atlas.study)[shown_factors(atlas.study)[0]].values()]


def _draw_errors(axes: Axes, atlas: AtlasLike, task: str) -> None:
    networks = table(atlas, "networks", task)
    error = task_error(atlas, task, networks)
    finite = error.values.where(np.isfinite(error.values) & (error.values > 0))
    columns, looks = variants(atlas), looks_of(atlas.study)[shown_factors(atlas.study)[0]]
    top = max(float(finite.max()), error.bound) if finite.notna().any() else error.bound
    for column, variant in enumerate(columns):
        rows = of_variant(atlas.study, networks, variant)
        across = column + side_by_side(len(rows), 0.28)
        values, passed = finite.loc[rows.index].to_numpy(), rows["passed"].to_numpy(dtype=bool)
        known = np.isfinite(values)
        color = looks[variant[0]].color
        rest: Any = {"color": color, "rasterized": len(networks) > MOST_MARKS}
        axes.scatter(across[known & passed], values[known & passed], s=10, linewidths=0, **rest)
        axes.scatter(across[known & ~passed], values[known & ~passed], s=16, marker="x", **rest)
        axes.scatter(across[~known], np.full((~known).sum(), top * 2.5), s=18, marker="v", **rest)
    axes.axhline(error.bound, color=GREY, linestyle=(0, (4, 2)), linewidth=0.8)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, error.bound / 3), max(high, error.bound * 2))
    axes.set_ylabel(error.label)
    axes.set_xlim(-0.6, len(columns) - 0.4)
    variant_ticks(axes, atlas.study, columns)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.5)


def loss_curves(atlas: AtlasLike) -> Figure:
    """Draw the validation error of each network against training iterations."""
    with styled():
        figure = new_figure(2.6)
        for axes, task in task_panels(figure, atlas):
            panel(axes, _draw_losses, atlas, task)
        handles = [line_handle(look, look.color, "-") for look in _looks(atlas)]
        second = shown_factors(atlas.study)[1]
        if second in varying_factors(atlas.study):
            handles += [line_handle(look) for look in looks_of(atlas.study)[second].values()]
        figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns(handles))
    return figure


def _draw_losses(axes: Axes, atlas: AtlasLike, task: str) -> None:
    losses = table(atlas, "losses", task)
    networks = table(atlas, "networks", task).set_index("network")
    losses = losses[np.isfinite(losses["validation_mse"]) & (losses["validation_mse"] > 0)]
    if losses.empty:
        raise Missing("No network of this task has a finite validation error.")
    first, second = shown_factors(atlas.study)
    looks = looks_of(atlas.study)
    curves, colors, styles = [], [], []
    for network, rows in losses.groupby("network", sort=False):
        factors = networks.loc[network]
        curves.append(rows.sort_values("iteration")[["iteration", "validation_mse"]].to_numpy())
        colors.append(looks[first][factors[first]].color)
        styles.append(looks[second][factors[second]].line)
    opacity = float(np.clip(20 / len(curves), 0.15, 0.8))
    lines = LineCollection(curves, colors=colors, linestyles=styles, linewidths=0.7, alpha=opacity)
    lines.set_rasterized(len(curves) > MOST_MARKS)
    axes.add_collection(lines, autolim=True)
    axes.set_yscale("log")
    axes.autoscale()
    axes.margins(x=0)
    axes.set_xlabel("iteration")
    axes.set_ylabel("MSE on held-out trials")
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.5)


def performance_caption(atlas: AtlasLike) -> str:
    """Return the caption of ``performance``."""
    networks = table(atlas, "networks")
    return (
        f"Error of {count_of(len(networks), 'trained network')} on held-out trials, on a logarithmic scale; lower "
        "is better. Each mark is one network. The dashed line is the task’s threshold: networks above it are "
        "marked with a cross and left out of all analyses; a triangle marks a network that diverged. "
        f"{left_out_sentence(networks)}"
    )


def loss_curves_caption(atlas: AtlasLike) -> str:
    """Return the caption of ``loss_curves``."""
    curves = table(atlas, "losses")["network"].nunique()
    color, *line = map(factor_label, varying_factors(atlas.study))
    style = f", line style the {line[0]}" if line else ""
    return (
        f"Mean squared error on held-out trials during training, of {count_of(curves, 'network')}, on a logarithmic "
        f"scale. Colour is the {color}{style}. Networks that failed their threshold "
        "are included; errors that are not finite are omitted."
    )
