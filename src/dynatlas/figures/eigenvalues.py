"""The eigenvalues at the fixed points of one oscillating network, in the complex plane."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from dynatlas.figures.reading import AtlasLike, Missing, Representative, arrays, table
from dynatlas.figures.state_spaces import colors_of
from dynatlas.figures.style import GREY, SMALLEST
from dynatlas.figures.trajectories import color_scale


def draw_eigenvalues(axes: Axes, atlas: AtlasLike, one: Representative) -> None:
    """Around the frequencies asked for, the eigenvalues at the fixed point of each command, coloured by frequency.

    A short stroke on the unit circle stands where each command would have the leading pair.

    Raises:
        Missing: they are not stored, or no command has a fixed point in the middle of its oscillation.
    """
    rows = table(atlas, "oscillations")
    rows = rows[(rows["network"] == one.network) & (rows["point"] >= 0)]
    if rows.empty:
        raise Missing(f"{one.name} has no fixed point in the middle of an oscillation.")
    stored = arrays(atlas, f"fixed_points/{_block(atlas, one)}", one.task)
    asked = rows["frequency"].to_numpy()
    values = _at(stored, one.network, rows["condition"].to_numpy(), rows["point"].to_numpy())
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
    _look_at_leading(axes, values, asked)
    axes.set(xlabel="Re λ", ylabel="Im λ")


def _block(atlas: AtlasLike, one: Representative) -> str:
    member = next(member for member in atlas.study.members_of(one.task) if member.id == one.network)
    return atlas.study.block_of(member).name


def _at(stored: Any, network: str, conditions: Any, points: Any) -> NDArray[np.complex128]:
    """The eigenvalues ``[point, eigenvalue]`` of one network at one point of each condition."""
    own = stored["network"].values.astype(str) == network
    keys = zip(stored["condition"].values[own].tolist(), stored["point"].values[own].tolist(), strict=True)
    place = dict(zip(keys, np.flatnonzero(own).tolist(), strict=True))
    rows = [place[key] for key in zip(conditions.tolist(), points.tolist(), strict=True) if key in place]
    if len(rows) != len(points):
        raise Missing("The eigenvalues of this network’s fixed points are not stored.")
    return np.asarray(stored["eigenvalues"].values[rows], np.complex128)


def _look_at_leading(axes: Axes, values: NDArray[np.complex128], asked: NDArray[np.float64]) -> None:
    """The part of the plane with the leading pairs; how many eigenvalues lie outside is said."""
    leading = values[np.arange(len(values)), np.abs(values).argmax(axis=1)]
    height = 1.15 * max(np.sin(2 * np.pi * min(asked.max(), 0.25)), np.abs(leading.imag).max(), 0.1)
    right = 1.05 * max(1.0, leading.real.max())
    left = min(np.cos(2 * np.pi * min(asked.max(), 0.5)), leading.real.min()) - 0.25
    axes.set_xlim(left, right)
    axes.set_ylim(-height, height)
    axes.set_aspect("equal", adjustable="box")
    outside = (values.real < left) | (values.real > right) | (np.abs(values.imag) > height)
    if outside.any():
        text = f"{outside.sum():,} more\noutside"
        axes.text(0.04, 0.5, text, transform=axes.transAxes, va="center", fontsize=SMALLEST, color=GREY)
