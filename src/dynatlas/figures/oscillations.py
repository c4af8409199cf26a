"""Frequencies and eigenvalues of oscillating networks, against the commanded frequency."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dynatlas._util.messages import count_of
from dynatlas.atlas.view import AtlasLike, Missing, Representative, arrays, table, varying_factors
from dynatlas.figures.looks import Look, factor_label, looks_of, plain
from dynatlas.figures.state_spaces import color_scale, colors_of
from dynatlas.figures.style import GREY, new_figure, panel, styled

QUARTILES = (0.25, 0.5, 0.75)


def oscillation_frequencies(atlas: AtlasLike, task: str) -> Figure:
    """Draw the offsets of the linear frequency and of the rotation number from the commanded frequency."""
    with styled():
        figure = new_figure(3.6)
        factors = varying_factors(atlas.study)
        grid = figure.subplots(2, len(factors), sharex=True, sharey="row", squeeze=False)
        grid[0, 0].set_ylabel("fixed point, linearised:\noffset (10⁻³ cycles per step)")
        grid[1, 0].set_ylabel("cycle, rotation number:\noffset (10⁻³ cycles per step)")
        for column, factor in enumerate(factors):
            grid[0, column].set_title(f"by {factor_label(factor)}")
            panel(grid[0, column], draw_offsets, atlas, task, factor, "linear_frequency")
            panel(grid[1, column], draw_offsets, atlas, task, factor, "rotation_number")
            grid[1, column].set_xlabel("commanded frequency (cycles per step)")
    return figure


def draw_frequencies(axes: Axes, atlas: AtlasLike, task: str, factor: str) -> None:
    """Draw the linear frequency against the commanded one: median and quartiles of each level of a factor.

    Raises:
        Missing: the oscillations or attractors are not stored.
    """
    for look, rows in _quartiles(atlas, task, factor, "linear_frequency"):
        low, middle, high = (rows[share].to_numpy(float) for share in QUARTILES)
        errors = [middle - low, high - middle]
        axes.errorbar(rows.index, middle, yerr=errors, color=look.color, marker="o", markersize=2, elinewidth=0.6)
    asked = atlas.study.task(task).condition_frequencies()
    ends = [min(asked), max(asked)]
    axes.plot(ends, ends, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=3)
    axes.set(xlabel="commanded frequency\n(cycles per step)")


def _quartiles(atlas: AtlasLike, task: str, factor: str, column: str) -> Iterator[tuple[Look, pd.DataFrame]]:
    """Yield the look of each level of a factor, in canonical order, and quartiles over networks by frequency."""
    keys = ["network", "condition"]
    networks, attractors = table(atlas, "networks", task), table(atlas, "attractors", task)
    rows = table(atlas, "oscillations").merge(attractors[[*keys, "rotation_number"]], on=keys)
    for level, look in looks_of(atlas.study)[factor].items():
        of_level = rows[rows["network"].isin(networks.loc[networks[factor] == level, "network"])]
        if len(of_level):
            by_frequency = of_level.groupby("frequency")[column]
            yield look, by_frequency.quantile(np.array(QUARTILES)).unstack()


def draw_offsets(axes: Axes, atlas: AtlasLike, task: str, factor: str, column: str) -> None:
    """Draw the offset of one frequency from the commanded frequency: median and quartiles of each level of a factor.

    Raises:
        Missing: the oscillations or attractors are not stored.
    """
    largest = 0.0
    for look, rows in _quartiles(atlas, task, factor, column):
        asked = rows.index.to_numpy(float)
        low, middle, high = (1000 * (rows[share].to_numpy(float) - asked) for share in QUARTILES)
        largest = np.nanmax([largest, *np.abs(low), *np.abs(high)])
        axes.plot(asked, middle, color=look.color, marker="o", markersize=2, label=plain(look.label))
        axes.fill_between(asked, low, high, color=look.color, alpha=0.2, lw=0)
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    # Most offsets are below 1 (10⁻³ cycles per step); a single network at another frequency can be off by 100.
    if largest > 1:
        axes.set_yscale("symlog", linthresh=1)
    axes.legend(frameon=True, framealpha=0.8, edgecolor="none")


def oscillation_frequencies_caption(atlas: AtlasLike, task: str) -> str:
    """Return the caption of ``oscillation_frequencies``."""
    rows, attractors = table(atlas, "oscillations"), table(atlas, "attractors", task)
    networks = rows.loc[rows["network"].isin(attractors["network"]), "network"].nunique()
    kinds = attractors["kind"].value_counts()
    listed = ", ".join(f"{count} × {kind}" for kind, count in kinds.items())
    return (
        "Above: the frequency of the leading complex pair of eigenvalues at the fixed point in the middle of each "
        "oscillation, minus the commanded frequency. Below: the same for the rotation number of the "
        "attractor that the network reaches under the constant command. Lines are medians over networks, "
        f"bands their quartiles; {count_of(networks, 'network')}. Attractors: {listed}."
    )


def draw_eigenvalues(axes: Axes, atlas: AtlasLike, one: Representative) -> None:
    """Draw the eigenvalues at the fixed point of each command, coloured by the commanded frequency.

    The view is limited to the leading pairs. Short strokes on the unit circle mark the commanded frequencies.

    Raises:
        Missing: the eigenvalues are not stored, or no command has a fixed point in the middle of its oscillation.
    """
    rows = table(atlas, "oscillations")
    rows = rows[(rows["network"] == one.network) & (rows["point"] >= 0)]
    if rows.empty:
        raise Missing(f"{one.name} has no fixed point in the middle of an oscillation.")
    stored = arrays(atlas, f"fixed_points/{_block_name(atlas, one)}", one.task)
    asked = rows["frequency"].to_numpy()
    values = _eigenvalues_at(stored, one.network, rows["condition"].to_numpy(), rows["point"].to_numpy())
    colors = colors_of(color_scale(atlas, one.task), asked)
    turn = np.linspace(-np.pi, np.pi, 400)
    axes.plot(np.cos(turn), np.sin(turn), color=GREY, linewidth=0.6, zorder=0)
    for sign in (1, -1):
        ideal = np.exp(sign * 2j * np.pi * asked)
        strokes = np.stack([0.97 * ideal, 1.03 * ideal], axis=1)
        ends = np.stack([strokes.real, strokes.imag], axis=-1)
        axes.add_collection(LineCollection(list(ends), colors=colors, linewidths=0.9, zorder=1))
    of_each = np.repeat(colors, values.shape[1], axis=0)
    axes.scatter(values.real.ravel(), values.imag.ravel(), s=6, c=of_each, linewidths=0, alpha=0.9)
    outside = _zoom_to_leading(axes, values, asked)
    axes.set(xlabel=f"Re λ\n({outside:,} more outside)" if outside else "Re λ", ylabel="Im λ")


def _block_name(atlas: AtlasLike, one: Representative) -> str:
    member = next(member for member in atlas.study.members_of(one.task) if member.id == one.network)
    return atlas.study.block_of(member).name


def _eigenvalues_at(stored: Any, network: str, conditions: Any, points: Any) -> NDArray[np.complex128]:
    """Return the eigenvalues ``[point, eigenvalue]`` of one network at one point of each condition."""
    own = stored["network"].values.astype(str) == network
    keys = zip(stored["condition"].values[own].tolist(), stored["point"].values[own].tolist(), strict=True)
    place = dict(zip(keys, np.flatnonzero(own).tolist(), strict=True))
    rows = [place[key] for key in zip(conditions.tolist(), points.tolist(), strict=True) if key in place]
    if len(rows) != len(points):
        raise Missing("The eigenvalues of this network’s fixed points are not stored.")
    return np.asarray(stored["eigenvalues"].values[rows], np.complex128)


def _zoom_to_leading(axes: Axes, values: NDArray[np.complex128], asked: NDArray[np.float64]) -> int:
    """Limit the axes to the leading pairs, and return how many eigenvalues lie outside."""
    leading = values[np.arange(len(values)), np.abs(values).argmax(axis=1)]
    height = 1.15 * max(np.sin(2 * np.pi * min(asked.max(), 0.25)), np.abs(leading.imag).max(), 0.1)
    right = 1.05 * max(1.0, leading.real.max())
    left = min(np.cos(2 * np.pi * min(asked.max(), 0.5)), leading.real.min()) - 0.25
    axes.set_xlim(left, right)
    axes.set_ylim(-height, height)
    axes.set_aspect("equal", adjustable="box")
    outside = (values.real < left) | (values.real > right) | (np.abs(values.imag) > height)
    return int(outside.sum())
