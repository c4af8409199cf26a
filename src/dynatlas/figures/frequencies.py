"""How fast the sine waves oscillate, against the frequency asked for."""

from collections.abc import Iterator
from typing import cast

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynatlas.figures.legends import LOOKS
from dynatlas.figures.reading import AtlasLike, ordered, panel, table
from dynatlas.figures.style import (
    GREY,
    Look,
    new_figure,
    styled,
)
from dynatlas.tasks import SineWave


def oscillation_frequencies(atlas: AtlasLike) -> Figure:
    """How far oscillations are off the frequency asked for: of the linear dynamics, and of the cycle itself."""
    with styled():
        figure = new_figure(3.6)
        grid = figure.subplots(2, 2, sharex=True, sharey="row")
        grid[0, 0].set_ylabel("fixed point, linearised:\noffset (10⁻³ cycles per step)")
        grid[1, 0].set_ylabel("cycle, rotation number:\noffset (10⁻³ cycles per step)")
        for column, factor in enumerate(("architecture", "activation")):
            grid[0, column].set_title(f"by {factor}")
            panel(grid[0, column], draw_offsets, atlas, factor, "linear_frequency")
            panel(grid[1, column], draw_offsets, atlas, factor, "rotation_number")
            grid[1, column].set_xlabel("frequency asked for (cycles per step)")
    return figure


def draw_frequencies(axes: Axes, atlas: AtlasLike, factor: str) -> None:
    """The frequency of the linear dynamics against the one asked for, a mean for each level of a factor.

    Raises:
        Missing: they are not stored.
    """
    for look, rows in _by_level(atlas, factor):
        mean, error = rows["linear_frequency"], rows["linear_frequency_se"].fillna(0)
        axes.errorbar(
            rows["frequency"],
            mean,
            yerr=error,
            color=look.color,
            marker="o",
            markersize=2,
            elinewidth=0.6,
        )
    task = cast(SineWave, atlas.study.task("sine_wave"))
    ends = [task.offset, task.offset + task.slope]
    axes.plot(ends, ends, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=3)
    axes.set(xlabel="frequency asked for\n(cycles per step)")


def _by_level(atlas: AtlasLike, factor: str) -> Iterator[tuple[Look, pd.DataFrame]]:
    """A factor's levels in canonical order, each with its rows of ``frequencies``, from low to high."""
    frequencies = table(atlas, "frequencies")
    rows = frequencies[frequencies["factor"] == factor]
    for level in ordered(rows["level"], LOOKS[factor]):
        yield LOOKS[factor][level], rows[rows["level"] == level].sort_values("frequency")


def draw_offsets(axes: Axes, atlas: AtlasLike, factor: str, column: str) -> None:
    """How far one of the frequencies is off the one asked for, a mean for each level of a factor.

    Raises:
        Missing: they are not stored.
    """
    for look, rows in _by_level(atlas, factor):
        offset = 1000 * (rows[column] - rows["frequency"])
        error = 1000 * rows[f"{column}_se"].fillna(0)
        axes.plot(rows["frequency"], offset, color=look.color, marker="o", markersize=2, label=look.label)
        axes.fill_between(rows["frequency"], offset - error, offset + error, color=look.color, alpha=0.2, lw=0)
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    # Most offsets are below one, and a single network that turns at another frequency may be off by a hundred.
    axes.set_yscale("symlog", linthresh=1)
    axes.legend(frameon=True, framealpha=0.8, edgecolor="none")
