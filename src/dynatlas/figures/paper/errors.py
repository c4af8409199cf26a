"""Appendix C: histograms of the errors of all networks."""

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
    activations_of,
    architectures_of,
    left_out_sentence,
    of_variant,
    table,
    task_title,
    tasks,
    variants,
)
from dynatlas.figures.looks import ACTIVATIONS, architecture_label
from dynatlas.figures.performance import TaskError, task_error
from dynatlas.figures.style import GREY, SMALLEST, new_figure, styled, write_message

BINS = 24


def errors(atlas: AtlasLike) -> Figure:
    """Draw histograms of the error on held-out trials, with a column per task and a row per architecture."""
    rows = architectures_of(atlas.study)
    kinds = tasks(atlas)
    with styled():
        figure = new_figure(0.9 + 1.05 * len(rows))
        grid = figure.subplots(len(rows), len(kinds), squeeze=False, sharex="col")
        for column, task in enumerate(kinds):
            try:
                _draw_column(list(grid[:, column]), atlas, task, rows)
            except Missing as missing:
                for axes in grid[:, column]:
                    axes.set_axis_off()
                write_message(grid[0, column], str(missing))
            grid[0, column].set_title(task_title(atlas.study, task), parse_math=False, fontsize=7)
        for axes, architecture in zip(grid[:, 0], rows, strict=True):
            axes.set_ylabel(f"{architecture_label(architecture)}\nnetworks")
        activations = activations_of(atlas.study)
        handles: list[Any] = [Patch(color=ACTIVATIONS[name].color, alpha=0.6, label=name) for name in activations]
        handles.append(
            Line2D([], [], color=GREY, linestyle=(0, (4, 2)), linewidth=0.8, label="threshold: left out beyond it")
        )
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_column(column: list[Axes], atlas: AtlasLike, task: str, architectures: list[str]) -> None:
    networks = table(atlas, "networks", task)
    error = task_error(atlas, task, networks)
    known = error.values[np.isfinite(error.values) & (error.values > 0)]
    ends = [*known, error.bound]
    edges = np.geomspace(min(ends) / 1.3, max(ends) * 1.3, BINS + 1)
    for axes, architecture in zip(column, architectures, strict=True):
        _draw_histograms(axes, atlas, networks, error, architecture, edges)
    column[-1].set_xlabel(error.label)


def _draw_histograms(
    axes: Axes, atlas: AtlasLike, networks: pd.DataFrame, error: TaskError, architecture: str, edges: Any
) -> None:
    diverged = 0
    for _, activation in (variant for variant in variants(atlas) if variant[0] == architecture):
        values = error.values[of_variant(networks, architecture, activation).index]
        known = values[np.isfinite(values) & (values > 0)]
        diverged += len(values) - len(known)
        color = ACTIVATIONS[activation].color
        axes.hist(known, bins=edges, color=color, alpha=0.6, histtype="stepfilled", edgecolor=color, linewidth=0.8)
    axes.axvline(error.bound, color=GREY, linestyle=(0, (4, 2)), linewidth=0.8)
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
