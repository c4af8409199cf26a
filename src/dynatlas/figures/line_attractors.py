"""Line attractors of integrating networks: spectra and linear responses at their fixed points, and drift."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from dynatlas._util.messages import count_of
from dynatlas.atlas.schema import SHOWN_CONTEXT
from dynatlas.atlas.view import (
    AtlasLike,
    Missing,
    Variant,
    arrays,
    of_smallest,
    of_variant,
    shown_factors,
    shows_units,
    table,
    variants,
)
from dynatlas.figures.legends import variant_handles
from dynatlas.figures.looks import looks_of, variant_words
from dynatlas.figures.style import GREY, SMALLEST, new_figure, panel, side_by_side, styled, variant_ticks

# The axis of the responses shows at least this range, and what lies within this many interquartile ranges of the middle
# half of all values: growing modes of one variant do not set the scale.
RESPONSES = (0.0, 1.5)
WHISKERS = 1.5
# Earlier versions averaged along the sampled line, which is ruled by its ends.
OLD = "This atlas has no linear dynamics around fixed points: an earlier version made it."


def line_attractors(atlas: AtlasLike, task: str) -> Figure:
    """Draw the spectra along line attractors, their linear responses, and their drift."""
    with styled():
        handles = variant_handles(atlas)
        names = 0.3 * bool(variant_words(atlas.study))  # below the panel of the drift
        figure = new_figure(2.2 + names + 0.15 * -(-len(handles) // 4))
        spectrum, response, drift = figure.subplots(1, 3)
        for axes, title, draw in (
            (spectrum, "spectrum at the points", draw_spectra),
            (response, "linear integral", draw_responses),
            (drift, "drift along the line", draw_drift),
        ):
            axes.set_title(title)
            panel(axes, draw, atlas, task)
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def draw_spectra(axes: Axes, atlas: AtlasLike, task: str) -> None:
    """Draw |λ| at the points of line attractors by rank: means over the networks of the smallest size of each variant.

    The number of ranks depends on the size: a mean over sizes would jump where the ranks of small networks end. Where
    units are a shown factor, every size has its curve.

    Raises:
        Missing: the table ``spectra`` is not stored, or no network has a line attractor.
    """
    spectra = table(atlas, "spectra")
    spectra = of_smallest(atlas.study, spectra[spectra["task"] == task])
    if spectra.empty:
        raise Missing("No network of the smallest size has a line attractor.")
    for variant in variants(atlas):
        rows = of_variant(atlas.study, spectra, variant)
        # Each row is a mean over the networks of one configuration.
        sums = (
            rows.assign(modulus=rows["modulus"] * rows["n_networks"]).groupby("rank")[["modulus", "n_networks"]].sum()
        )
        mean = sums["modulus"] / sums["n_networks"]
        axes.plot(mean.index + 1, mean, **_style(atlas, variant))
    axes.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    axes.set(xlabel="eigenvalue, by descending |λ|", ylabel="|λ|, mean over points")


def _style(atlas: AtlasLike, variant: Variant) -> dict[str, Any]:
    """Return colour and line of a variant's curve."""
    colors, lines = (looks_of(atlas.study)[factor] for factor in shown_factors(atlas.study))
    return {"color": colors[variant[0]].color, "linestyle": lines[variant[1]].line}


def draw_responses(axes: Axes, atlas: AtlasLike, task: str) -> None:
    """Draw the linear response to a unit input by the number of modes kept: the median over each variant.

    Raises:
        Missing: no responses are stored.
    """
    medians = _median_responses(atlas, task)
    if not medians:
        raise Missing("No network’s modes could be separated.")
    for variant, median in medians.items():
        axes.plot(np.arange(1, len(median) + 1), median, **_style(atlas, variant))
    axes.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    _limit(axes, list(medians.values()))
    axes.set(xlabel="modes kept", ylabel="output after a unit of input", xscale="log")
    most = max(len(median) for median in medians.values())
    axes.set_xticks(2 ** np.arange(int(np.log2(most)) + 1), minor=False)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_locator(NullLocator())


def _limit(axes: Axes, curves: list[NDArray[np.float64]]) -> None:
    """Limit the axis to most of the values, and write how many curves leave it."""
    values = np.concatenate(curves)
    low, high = np.quantile(values, (0.25, 0.75))
    reach = WHISKERS * (high - low)
    near = values[(values >= low - reach) & (values <= high + reach)]
    bottom, top = min(RESPONSES[0], 1.1 * near.min()), max(RESPONSES[1], 1.1 * near.max())
    axes.set_ylim(bottom, top)
    outside = sum(bool(curve.min() < bottom or curve.max() > top) for curve in curves)
    if outside:
        words = f"{outside} of {count_of(len(curves), 'curve')} beyond the axis"
        axes.text(0.97, 0.97, words, transform=axes.transAxes, ha="right", va="top", fontsize=SMALLEST, color=GREY)


def _median_responses(atlas: AtlasLike, task: str) -> dict[Variant, NDArray[np.float64]]:
    """Return the median over the smallest networks of each variant in the first context, by the number of modes."""
    table(atlas, "line_attractors", task)
    by_variant: dict[Variant, list[NDArray[np.float64]]] = {}
    smallest, (first, second) = min(atlas.study.population.units), shown_factors(atlas.study)
    variant_of = {member.id: (member.factors[first], member.factors[second]) for member in atlas.study.members_of(task)}
    for block in atlas.study.blocks:
        if block.task == task and (shows_units(atlas.study) or block.units == smallest):
            name = f"line_attractors/{block.name}"
            if atlas.has(f"arrays.zarr/{name}"):
                stored = arrays(atlas, name)
                if "response_median" not in stored:
                    raise Missing(OLD)
                of_context = stored["condition"].values == SHOWN_CONTEXT
                responses = np.asarray(stored["response_median"])[of_context]
                networks = [variant_of[name] for name in stored["network"].values[of_context].astype(str)]
                for variant in dict.fromkeys(networks):
                    rows = np.array([name == variant for name in networks])
                    by_variant.setdefault(variant, []).append(responses[rows])
    medians = {}
    for variant, parts in by_variant.items():
        together = np.concatenate(parts)
        known = np.isfinite(together).all(axis=1)
        if known.any():
            medians[variant] = np.median(together[known], axis=0)
    return medians


def draw_drift(axes: Axes, atlas: AtlasLike, task: str) -> None:
    """Draw the drift of a held output per step, with a mark for each network and context.

    Raises:
        Missing: the table ``line_attractors`` is not stored.
    """
    lines = table(atlas, "line_attractors", task)
    networks = table(atlas, "networks", task)
    columns = variants(atlas)
    for column, variant in enumerate(columns):
        rows = lines[lines["network"].isin(of_variant(atlas.study, networks, variant)["network"])]
        across = column + side_by_side(len(rows), 0.25)
        color = _style(atlas, variant)["color"]
        axes.scatter(across, 100 * rows["drift_share"], s=8, color=color, linewidths=0)
    if (lines["drift_share"] > 0).all():
        axes.set_yscale("log")
    variant_ticks(axes, atlas.study, columns)
    axes.set(ylabel="drift per step (% of the range)")


def smallest_lines(atlas: AtlasLike, task: str) -> int:
    """Count the networks with line attractors whose spectra and responses are shown."""
    networks = of_smallest(atlas.study, table(atlas, "networks", task))
    return int(networks["network"].isin(table(atlas, "line_attractors", task)["network"]).sum())


def sizes_words(atlas: AtlasLike) -> str:
    """Name the networks whose spectra and responses are shown."""
    return "networks" if shows_units(atlas.study) else f"networks of {min(atlas.study.population.units)} units"


def line_attractors_caption(atlas: AtlasLike, task: str) -> str:
    """Return the caption of ``line_attractors``."""
    lines = table(atlas, "line_attractors", task)
    share = 100 * lines["line_share"].median()
    return (
        "Left: the sorted moduli of the eigenvalues at the fixed and slow points that the network passes in the first "
        "context, each point weighted by how much of the activity is nearest to it. Middle: the output half a trial "
        "after a unit input, from the linear dynamics around these points with only the largest modes kept, median; "
        f"1 is a perfect integral. {ill_conditioned(atlas, task)} Right: the drift of a held output in one step, at "
        f"the states of least speed at {atlas.study.analysis.manifold_points} values of the output. Lines are means "
        f"(left) and medians (middle) over the {sizes_words(atlas)}, {smallest_lines(atlas, task)} in all; "
        f"marks are contexts of {count_of(lines['network'].nunique(), 'network')} of any size. The states of least "
        f"speed have {share:.0f} % of their variance along one dimension (median)."
    )


def ill_conditioned(atlas: AtlasLike, task: str) -> str:
    """Return a sentence on the points of the first context whose modes could not be separated."""
    lines = table(atlas, "line_attractors", task)
    lines = lines[(lines["condition"] == SHOWN_CONTEXT) & (lines["n_points"] >= 0)]
    none = int((lines["n_points"] == 0).sum())
    without = f"; {count_of(none, 'network')} without a point in its range" if none else ""
    left, whole = int(lines["n_ill_conditioned"].sum()), count_of(int(lines["n_points"].sum()), "point")
    return f"Left out there: {left} of {whole}, with ill-conditioned eigenvectors{without}."
