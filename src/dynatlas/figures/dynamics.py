"""What the fixed points of each task form: transition graphs, oscillations, line attractors."""

from collections.abc import Iterator
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from dynatlas.figures.legends import LOOKS, dot, variant_handles
from dynatlas.figures.reading import AtlasLike, Missing, arrays, ordered, panel, representatives, table, variants
from dynatlas.figures.style import (
    ACTIVATIONS,
    ARCHITECTURES,
    GREY,
    LINE_STYLES,
    Look,
    new_figure,
    styled,
    unstable_color,
    unstable_label,
    variant_label,
    variant_ticks,
)
from dynatlas.tasks import SineWave

# Edges that fewer displaced states follow are not drawn.
LEAST_PROBABILITY = 0.02
# Between an arrow and a point, and the length of an arrow's head, where outputs are 1 apart.
GAP = 0.05
HEAD = 0.09
# Responses beyond this are drawn on a logarithmic axis.
MOST_RESPONSE = 2


def transition_graphs(atlas: AtlasLike) -> Figure:
    """One network of each kind on the flip-flop: where the flow leads from each fixed point, in readout coordinates."""
    with styled():
        try:
            shown = representatives(atlas, "flip_flop")
        except Missing:
            shown = []
        population = atlas.study.population
        architectures = ordered(population.architectures, ARCHITECTURES)
        activations = ordered(population.activations, ACTIVATIONS)
        figure = new_figure(0.5 + 1.75 * len(activations))
        grid = figure.subplots(len(activations), len(architectures), squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for one in shown:
            axes = grid[activations.index(one.activation), architectures.index(one.architecture)]
            axes.set_title(variant_label(one.architecture, one.activation), fontsize=7)
            panel(axes, draw_transitions, atlas, one.network)
        if not shown:
            panel(grid[0, 0], lambda _: representatives(atlas, "flip_flop"))
        handles = [dot(unstable_label(n), unstable_color(n)) for n in range(4)]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def draw_transitions(axes: Axes, atlas: AtlasLike, network: str) -> None:
    """The fixed points of a flip-flop network at the places of their readouts, and where the flow leads from each.

    Raises:
        Missing: they are not stored, or there are none.
    """
    axes.set_axis_off()
    points = table(atlas, "fixed_points", "flip_flop")
    points = points[(points["network"] == network) & ~points["is_slow"].astype(bool)].sort_values("point")
    edges = table(atlas, "transitions", "flip_flop")
    edges = edges[(edges["network"] == network) & (edges["source"] != edges["target"])]
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
    """An arrow for each edge, as wide as it is probable; all in two artists, since hundreds would take seconds."""
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
    """Readouts in the plane: three of them as a cube seen from a corner, none behind another."""
    directions = np.array([[1.0, 0.0], [0.0, 1.0], [0.42, 0.29], [-0.31, 0.44], [0.2, -0.5], [-0.5, -0.2]])
    return readouts @ directions[: readouts.shape[1]]


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


def line_attractors(atlas: AtlasLike) -> Figure:
    """Integrating networks: spectra along the line, what its modes integrate, how fast the sum drifts."""
    with styled():
        figure = new_figure(2.5)
        spectrum, response, drift = figure.subplots(1, 3)
        for axes, title, draw in (
            (spectrum, "spectrum", draw_spectra),
            (response, "linear integral", draw_responses),
            (drift, "drift along the line", draw_drift),
        ):
            axes.set_title(title)
            panel(axes, draw, atlas)
        figure.legend(handles=variant_handles(atlas), loc="outside lower center", ncols=4)
    return figure


def draw_spectra(axes: Axes, atlas: AtlasLike) -> None:
    """The moduli of the eigenvalues along line attractors, by rank: a mean over each variant's networks of least size.

    Networks of other sizes have another number of ranks: a mean over sizes would jump where the small ones end.

    Raises:
        Missing: it is not stored.
    """
    spectra = table(atlas, "spectra")
    spectra = spectra[spectra["units"] == min(atlas.study.population.units)]
    if spectra.empty:
        raise Missing("No network of the smallest size has a line attractor.")
    for architecture, activation in variants(atlas):
        rows = spectra[(spectra["architecture"] == architecture) & (spectra["activation"] == activation)]
        # A row is a mean already, over the networks of one configuration.
        sums = (
            rows.assign(modulus=rows["modulus"] * rows["n_networks"]).groupby("rank")[["modulus", "n_networks"]].sum()
        )
        mean = sums["modulus"] / sums["n_networks"]
        axes.plot(mean.index + 1, mean, color=ARCHITECTURES[architecture].color, linestyle=LINE_STYLES[activation])
    axes.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    axes.set(xlabel="eigenvalue, by descending |λ|", ylabel="|λ|, mean along the line")


def draw_responses(axes: Axes, atlas: AtlasLike) -> None:
    """What the linear dynamics make of a unit of input, with the largest modes only: a mean for each variant.

    Raises:
        Missing: it is not stored.
    """
    means = _mean_responses(atlas)
    if not means:
        raise Missing("No network’s modes could be told apart.")
    for (architecture, activation), mean in means.items():
        axes.plot(
            np.arange(1, len(mean) + 1),
            mean,
            color=ARCHITECTURES[architecture].color,
            linestyle=LINE_STYLES[activation],
        )
    axes.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    if max(abs(mean).max() for mean in means.values()) > MOST_RESPONSE:
        # Linear around the ideal; a network whose modes grow may be far beyond.
        axes.set_yscale("symlog", linthresh=MOST_RESPONSE)
    axes.set_ylim(bottom=min(0.0, 1.1 * min(mean.min() for mean in means.values())))
    axes.set(xlabel="modes kept", ylabel="output after a unit of input", xscale="log")
    most = max(len(mean) for mean in means.values())
    axes.set_xticks(2 ** np.arange(int(np.log2(most)) + 1), minor=False)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_locator(NullLocator())


def _mean_responses(atlas: AtlasLike) -> dict[tuple[str, str], NDArray[np.float64]]:
    """The response by the number of modes, a mean over the contexts and networks of each variant's smallest size."""
    table(atlas, "line_attractors", "context_integration")
    by_variant: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    smallest = min(atlas.study.population.units)
    for block in atlas.study.blocks:
        if block.task == "context_integration" and block.units == smallest:
            name = f"line_attractors/{block.name}"
            if atlas.has(f"arrays.zarr/{name}"):
                responses = np.asarray(arrays(atlas, name)["response"])
                by_variant.setdefault((block.architecture, block.activation), []).append(responses)
    means = {}
    for variant, parts in by_variant.items():
        together = np.concatenate(parts)
        known = np.isfinite(together).all(axis=1)
        if known.any():
            means[variant] = together[known].mean(axis=0)
    return means


def draw_drift(axes: Axes, atlas: AtlasLike) -> None:
    """By how much a held output drifts in a step: a mark for each network and context.

    Raises:
        Missing: it is not stored.
    """
    lines = table(atlas, "line_attractors", "context_integration")
    joined = pd.merge(lines, table(atlas, "networks")[["network", "architecture", "activation"]], on="network")
    columns = variants(atlas)
    for column, (architecture, activation) in enumerate(columns):
        rows = joined[(joined["architecture"] == architecture) & (joined["activation"] == activation)]
        across = column + (np.linspace(-0.25, 0.25, len(rows)) if len(rows) > 1 else np.zeros(len(rows)))
        axes.scatter(across, 100 * rows["drift_share"], s=8, color=ARCHITECTURES[architecture].color, linewidths=0)
    if (joined["drift_share"] > 0).all():
        axes.set_yscale("log")
    variant_ticks(axes, columns)
    axes.set(ylabel="drift per step (% of the range)")
