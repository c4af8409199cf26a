"""Appendix C: histograms of the errors of all networks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from dynatlas._util.messages import count_of
from dynatlas.atlas.view import (
    AtlasLike,
    Missing,
    left_out_sentence,
    of_variant,
    shown_factors,
    table,
    task_title,
    tasks,
)
from dynatlas.figures.looks import Look, looks_of, plain
from dynatlas.figures.style import GREY, SMALLEST, new_figure, styled, write_message
from dynatlas.figures.training.performance import legend_columns, task_error

BINS = 24


def errors(atlas: AtlasLike) -> Figure:
    """Draw histograms of the error on held-out trials, with a column per task and a row per level of a factor."""
    first, second = (looks_of(atlas.study)[factor] for factor in shown_factors(atlas.study))
    kinds = tasks(atlas)
    with styled():
        figure = new_figure(0.9 + 1.05 * len(first))
        grid = figure.subplots(len(first), len(kinds), squeeze=False, sharex="col")
        for column, task in enumerate(kinds):
            try:
                _draw_column(list(grid[:, column]), atlas, task, first, second)
            except Missing as missing:
                for axes in grid[:, column]:
                    axes.set_axis_off()
                write_message(grid[0, column], str(missing))
            grid[0, column].set_title(task_title(atlas.study, task), parse_math=False, fontsize=7)
        for axes, look in zip(grid[:, 0], first.values(), strict=True):
            axes.set_ylabel(f"{look.title}\nnetworks", parse_math=False)
        handles: list[Any] = [
            Patch(color=look.color, alpha=0.6, label=plain(look.title)) for look in second.values() if len(second) > 1
        ]
        handles.append(
            Line2D([], [], color=GREY, linestyle=(0, (4, 2)), linewidth=0.8, label="threshold: left out beyond it")
        )
        figure.legend(handles=handles, loc="outside lower center", ncols=legend_columns(handles))
    return figure


def _draw_column(
    column: list[Axes], atlas: AtlasLike, task: str, rows: Mapping[Any, Look], looks: Mapping[Any, Look]
) -> None:
    """Draw a panel for each level of one factor, with a histogram for each level of the other."""
    networks = table(atlas, "networks", task)
    error = task_error(atlas, task, networks)
    known = error.values[np.isfinite(error.values) & (error.values > 0)]
    ends = [*known, error.bound]
    edges = np.geomspace(min(ends) / 1.3, max(ends) * 1.3, BINS + 1)
    for axes, (level, own) in zip(column, rows.items(), strict=True):
        of_level = [
            (
                look.color if len(looks) > 1 else own.color,
                error.values[of_variant(atlas.study, networks, (level, other)).index],
            )
            for other, look in looks.items()
        ]
        _draw_histograms(axes, of_level, error.bound, edges)
    column[-1].set_xlabel(error.label)


def _draw_histograms(axes: Axes, of_level: "list[tuple[str, pd.Series[float]]]", bound: float, edges: Any) -> None:
    """Draw the errors of one level, by colour."""
    diverged = 0
    for color, values in of_level:
        known = values[np.isfinite(values) & (values > 0)]
        diverged += len(values) - len(known)
        axes.hist(known, bins=edges, color=color, alpha=0.6, histtype="stepfilled", edgecolor=color, linewidth=0.8)
    axes.axvline(bound, color=GREY, linestyle=(0, (4, 2)), linewidth=0.8)
    axes.set_xscale("log")
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    if diverged:
        axes.text(
            1.0,
            1.02,
            f"{diverged} diverged",
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            color=GREY,
            fontsize=SMALLEST,
        )


def errors_caption(atlas: AtlasLike) -> str:
    """Return the caption of appendix C."""
    networks = table(atlas, "networks")
    return (
        f"Error on held-out trials of all {count_of(len(networks), 'trained network')}, on a logarithmic scale: lower "
        "is better. Networks beyond the dashed threshold of their task are left out of all analyses; those that "
        f"diverged are given as a count. {left_out_sentence(networks)}"
    )
