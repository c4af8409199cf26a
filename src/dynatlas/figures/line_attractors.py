"""Line attractors of integrating networks: spectra, linear responses and drift."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from dynatlas._util.messages import count_of
from dynatlas.atlas.view import AtlasLike, Missing, arrays, of_variant, table, variants
from dynatlas.figures.legends import variant_handles
from dynatlas.figures.looks import LINE_STYLES, looks_of
from dynatlas.figures.style import GREY, new_figure, panel, side_by_side, styled, variant_ticks

# Larger responses are drawn on a logarithmic axis.
MOST_RESPONSE = 2


def line_attractors(atlas: AtlasLike, task: str) -> Figure:
    """Draw the spectra along line attractors, their linear responses, and their drift."""
    with styled():
        figure = new_figure(2.5)
        spectrum, response, drift = figure.subplots(1, 3)
        for axes, title, draw in (
            (spectrum, "spectrum", draw_spectra),
            (response, "linear integral", draw_responses),
            (drift, "drift along the line", draw_drift),
        ):
            axes.set_title(title)
            panel(axes, draw, atlas, task)
        figure.legend(handles=variant_handles(atlas), loc="outside lower center", ncols=4)
    return figure


def draw_spectra(axes: Axes, atlas: AtlasLike, task: str) -> None:
    """Draw |λ| along line attractors by rank, averaged over the networks of the smallest size of each variant.

    The number of ranks depends on the size: a mean over sizes would jump where the ranks of small networks end.

    Raises:
        Missing: the table ``spectra`` is not stored, or no network has a line attractor.
    """
    spectra = table(atlas, "spectra")
    spectra = spectra[(spectra["task"] == task) & (spectra["units"] == min(atlas.study.population.units))]
    if spectra.empty:
        raise Missing("No network of the smallest size has a line attractor.")
    looks = looks_of(atlas.study)["architecture"]
    for architecture, activation in variants(atlas):
        rows = of_variant(spectra, architecture, activation)
        # Each row is a mean over the networks of one configuration.
        sums = (
            rows.assign(modulus=rows["modulus"] * rows["n_networks"]).groupby("rank")[["modulus", "n_networks"]].sum()
        )
        mean = sums["modulus"] / sums["n_networks"]
        axes.plot(mean.index + 1, mean, color=looks[architecture].color, linestyle=LINE_STYLES[activation])
    axes.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    axes.set(xlabel="eigenvalue, by descending |λ|", ylabel="|λ|, mean along the line")


def draw_responses(axes: Axes, atlas: AtlasLike, task: str) -> None:
    """Draw the linear response to a unit input by the number of modes kept, averaged over each variant.

    Raises:
        Missing: no responses are stored.
    """
    means = _mean_responses(atlas, task)
    if not means:
        raise Missing("No network’s modes could be separated.")
    looks = looks_of(atlas.study)["architecture"]
    for (architecture, activation), mean in means.items():
        axes.plot(
            np.arange(1, len(mean) + 1),
            mean,
            color=looks[architecture].color,
            linestyle=LINE_STYLES[activation],
        )
    axes.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    if max(abs(mean).max() for mean in means.values()) > MOST_RESPONSE:
        # Linear around the ideal of 1; growing modes yield much larger responses.
        axes.set_yscale("symlog", linthresh=MOST_RESPONSE)
    axes.set_ylim(bottom=min(0.0, 1.1 * min(mean.min() for mean in means.values())))
    axes.set(xlabel="modes kept", ylabel="output after a unit of input", xscale="log")
    most = max(len(mean) for mean in means.values())
    axes.set_xticks(2 ** np.arange(int(np.log2(most)) + 1), minor=False)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_locator(NullLocator())


def _mean_responses(atlas: AtlasLike, task: str) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Average the responses over the contexts and smallest networks of each variant, by the number of modes."""
    table(atlas, "line_attractors", task)
    by_variant: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    smallest = min(atlas.study.population.units)
    for block in atlas.study.blocks:
        if block.task == task and block.units == smallest:
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


def draw_drift(axes: Axes, atlas: AtlasLike, task: str) -> None:
    """Draw the drift of a held output per step, with a mark for each network and context.

    Raises:
        Missing: the table ``line_attractors`` is not stored.
    """
    lines = table(atlas, "line_attractors", task)
    joined = pd.merge(lines, table(atlas, "networks")[["network", "architecture", "activation"]], on="network")
    columns, looks = variants(atlas), looks_of(atlas.study)["architecture"]
    for column, (architecture, activation) in enumerate(columns):
        rows = of_variant(joined, architecture, activation)
        across = column + side_by_side(len(rows), 0.25)
        axes.scatter(across, 100 * rows["drift_share"], s=8, color=looks[architecture].color, linewidths=0)
    if (joined["drift_share"] > 0).all():
        axes.set_yscale("log")
    variant_ticks(axes, columns)
    axes.set(ylabel="drift per step (% of the range)")


def smallest_lines(atlas: AtlasLike, task: str) -> int:
    """Count the networks of the smallest size with line attractors; spectra and responses show these."""
    networks = table(atlas, "networks", task)
    networks = networks[networks["units"] == min(atlas.study.population.units)]
    return int(networks["network"].isin(table(atlas, "line_attractors", task)["network"]).sum())


def line_attractors_caption(atlas: AtlasLike, task: str) -> str:
    """Return the caption of ``line_attractors``."""
    lines = table(atlas, "line_attractors", task)
    smallest = min(atlas.study.population.units)
    share = 100 * lines["line_share"].median()
    return (
        "In each context the line is sampled by the states of least speed at "
        f"{atlas.study.analysis.manifold_points} values of the output. Left: the sorted moduli of the eigenvalues at "
        "these states. Middle: the output half a trial after a unit input, from the linear dynamics with only the "
        "largest modes kept; 1 is a perfect integral. Right: the drift of a held output in one step. "
        f"Lines are means over the networks of {smallest} units, {smallest_lines(atlas, task)} in all; marks are "
        f"contexts of {count_of(lines['network'].nunique(), 'network')} of any size. The "
        f"line explains {share:.0f} % of the variance of its states (median)."
    )
