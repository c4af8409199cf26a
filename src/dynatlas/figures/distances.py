"""Distances between networks: matrices, MDS maps, effects of factors, and Shepard plots."""

import math
import textwrap
from collections.abc import Iterable
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from dynatlas._util.messages import listed, sentence_case
from dynatlas._util.selection import even_selection
from dynatlas.atlas.schema import SIGNIFICANT, is_no_measure
from dynatlas.atlas.view import (
    AtlasLike,
    Missing,
    distances,
    embedding,
    left_out_sentence,
    map_facts,
    map_note,
    measures,
    other_factor,
    shown_factors,
    table,
    task_title,
    varying_factors,
)
from dynatlas.figures.legends import Legend, draw_legends, has_shapes, map_legend
from dynatlas.figures.looks import Look, factor_label, looks_of, plain
from dynatlas.figures.style import (
    GREY,
    MOST_MARKS,
    SMALLEST,
    figure_title,
    new_figure,
    panel,
    split_rows,
    styled,
    task_panels,
)
from dynatlas.measures.findings import aspect
from dynatlas.measures.registry import measure_label
from dynatlas.study.study import Study

# More bars beside a matrix are named only if their labels have so few letters; a legend explains the colours.
MOST_BARS, BAR_LETTERS = 5, 30
NOTE_WIDTH = 22  # letters of a line below a map; the narrowest has room for so many


def distance_map(atlas: AtlasLike, task: str, measure: str) -> Figure:
    """Draw the sorted distance matrix of one measure, and its MDS coloured by each of the shown factors."""
    factors = varying_factors(atlas.study)
    with styled():
        figure = new_figure(2.9)
        above, below = split_rows(figure, [2.4, 0.42])
        left, *maps = above.subplots(1, 1 + len(factors), width_ratios=[1.3, *(1 for _ in factors)])
        figure_title(figure, f"{task_title(atlas.study, task)}: {measure_label(measure)} distances")
        bars = ", ".join(map(factor_label, factors))
        left.set_title(f"bar{'s' * (len(factors) > 1)}: {bars}", fontsize=SMALLEST, fontweight="normal")
        panel(left, draw_matrix, atlas, task, measure)
        for axes, factor in zip(maps, factors, strict=True):
            axes.set_title(f"MDS by {factor_label(factor)}", fontsize=7)
            panel(axes, draw_map, atlas, task, measure, factor)
        draw_map_legends(below, atlas, task)
    return figure


def draw_map_legends(part: SubFigure, atlas: AtlasLike, task: str, *others: Legend) -> None:
    """Draw the legends of a task's maps, and other legends beside them."""
    try:
        networks = table(atlas, "networks", task)
    except Missing:
        draw_legends(part, others)
    else:
        draw_legends(part, [*(map_legend(atlas, networks, factor) for factor in varying_factors(atlas.study)), *others])


def level_runs(networks: pd.DataFrame, *columns: str) -> list[tuple[Any, int, int]]:
    """Return the runs of equal values: (values, first row, row after the last)."""
    keys = list(networks[list(columns)].itertuples(index=False, name=None))
    runs = []
    start = 0
    for key, rows in groupby(keys):
        stop = start + len(list(rows))
        runs.append((key, start, stop))
        start = stop
    return runs


def draw_matrix(axes: Axes, atlas: AtlasLike, task: str, measure: str, *, named: bool = True) -> None:
    """Draw the distance matrix of one measure, with bars for the shown factors; ``named`` labels them.

    Raises:
        Missing: the matrix is not stored.
    """
    networks, matrix = distances(atlas, task, measure)
    count = len(networks)
    image = axes.imshow(matrix, cmap="cividis", vmin=0, interpolation="auto", rasterized=count > 100)
    scale: Any = axes.figure.colorbar(image, ax=axes, fraction=0.045, pad=0.03, label="distance" if named else "")
    scale.outline.set_visible(False)
    for _, start, _ in level_runs(networks, shown_factors(atlas.study)[0])[1:]:
        axes.axhline(start - 0.5, color="white", linewidth=0.5)
        axes.axvline(start - 0.5, color="white", linewidth=0.5)
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    _draw_bars(axes, networks, atlas.study, named=named)


def _draw_bars(axes: Axes, networks: pd.DataFrame, study: Study, *, named: bool) -> None:
    """Draw bars beside a matrix that mark the rows of each level of the shown factors."""
    side = axes.inset_axes((-0.105, 0, 0.09, 1))
    looks, (outer, inner) = looks_of(study), shown_factors(study)
    if inner in varying_factors(study):
        for key, start, stop in level_runs(networks, outer, inner):
            _draw_bar(side, 0.55, start, stop, looks[inner][key[1]])
    ticks = []
    for key, start, stop in level_runs(networks, outer):
        _draw_bar(side, 0.0, start, stop, looks[outer][key[0]])
        ticks.append(((start + stop - 1) / 2, looks[outer][key[0]].label))
    side.set_xlim(0, 1)
    side.set_ylim(axes.get_ylim())
    side.set_xticks([])
    fits = len(ticks) <= MOST_BARS or max(len(label) for _, label in ticks) * len(ticks) <= BAR_LETTERS
    labels = [plain(label) if named and fits else "" for _, label in ticks]
    side.set_yticks([place for place, _ in ticks], labels, rotation=90, va="center", fontsize=SMALLEST)
    side.tick_params(length=0, pad=1)
    side.spines[:].set_visible(False)


def bars_words(study: Study) -> str:
    """Name the factors of the bars beside a matrix."""
    outer, *inner = map(factor_label, varying_factors(study))
    return f"{outer} (outer bar) and {inner[0]} (inner bar)" if inner else f"{outer} (bar)"


def _draw_bar(axes: Axes, left: float, start: int, stop: int, look: Look) -> None:
    axes.fill_between([left, left + 0.4], start - 0.42, stop - 0.58, color=look.color, linewidth=0)


def draw_map(axes: Axes, atlas: AtlasLike, task: str, measure: str, factor: str, *, note: bool = True) -> None:
    """Draw the MDS of one measure, coloured by a factor; ``note`` adds the number of networks and the stress.

    Raises:
        Missing: the map is not stored.
    """
    networks = embedding(atlas, task, measure)
    looks, other = looks_of(atlas.study), other_factor(atlas.study, factor)
    with_shapes = has_shapes(atlas.study, factor)
    for (level, shape), rows in networks.groupby([factor, other], sort=False):
        marker = looks[other][shape].marker if with_shapes else "o"
        draw_networks(axes, rows, looks[factor][level].color, marker, of=len(networks))
    frame_map(axes)
    facts = map_facts(atlas, task, measure)
    if note and facts is not None:
        # Lines break between facts: a space within a short one is a no-break space.
        parts = map_note(facts).split(", ")
        kept = [part.replace(" ", "\N{NO-BREAK SPACE}") if len(part) < NOTE_WIDTH else part for part in parts]
        axes.set_xlabel(textwrap.fill(", ".join(kept), NOTE_WIDTH), color=GREY, fontsize=SMALLEST)


def draw_networks(axes: Axes, rows: pd.DataFrame, color: str, marker: str, *, of: int, hollow: bool = False) -> None:
    """Draw a mark for each network at x and y; marks shrink with ``of``, the number of networks on the map."""
    axes.scatter(
        rows["x"],
        rows["y"],
        s=float(np.clip(1500 / of, 3, 15)),
        marker=marker,
        facecolors="white" if hollow else color,
        edgecolors=color if hollow else "white",
        linewidths=0.9 if hollow else 0.3,
        alpha=0.9,
        rasterized=of > MOST_MARKS,
    )


def frame_map(axes: Axes) -> None:
    """Frame a map: equal units and no ticks, because its axes have no scale."""
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(True)
    axes.spines[:].set_color("#BBBBBB")


def effects(atlas: AtlasLike) -> Figure:
    """Draw the share of the variance of each distance matrix that each factor explains."""
    with styled():
        figure = new_figure(3.0)
        rows = 1.0
        for axes, task in task_panels(figure, atlas):
            rows = max(rows, panel(axes, _draw_effects, atlas, task) or 0)
        for axes in figure.axes:  # the same spacing in every panel
            if axes.axison:
                axes.set_ylim(rows - 0.7, -0.8)
        figure.set_figheight(1.1 + 0.16 * rows)
        handles = [
            _effect_handle(f"p < {SIGNIFICANT:g}", "o", "#222222"),
            _effect_handle(f"p ≥ {SIGNIFICANT:g}: not beyond chance", "o", "white"),
            _effect_handle("no measure of difference", "x", "#222222"),
            _effect_handle("by chance", "|", GREY),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _effect_handle(label: str, marker: str, face: str) -> Line2D:
    edge = GREY if face == GREY else "#222222"
    return Line2D([], [], linestyle="", marker=marker, markersize=5, color=edge, markerfacecolor=face, label=label)


def _draw_effects(axes: Axes, atlas: AtlasLike, task: str) -> float:
    """Draw the effects of one task, grouped by measure, and return the number of lines used."""
    rows = table(atlas, "effects", task)
    rows = rows[rows["subset"] == "all"]
    labels = []
    position = 0.0
    for measure, of_measure in rows.groupby("measure", sort=False):
        known = of_measure[of_measure["r2"].notna()]
        axes.text(0.03, position, measure_label(str(measure)), va="center", fontweight="bold", fontsize=6.5)
        position += 1
        columns = ["factor", "r2", "r2_chance", "p_adjusted", "p_lower"]
        for factor, r2, chance, p, p_lower in known[columns].itertuples(index=False, name=None):
            no_measure = is_no_measure(r2, p_lower)
            marker, face = ("x" if no_measure else "o"), ("#222222" if p < SIGNIFICANT else "white")
            axes.plot([0, r2], [position, position], color="#BBBBBB", linewidth=1.5, zorder=1)
            axes.plot(chance, position, "|", color=GREY, markersize=5, zorder=1)
            axes.plot(
                r2, position, marker, color="#222222", markerfacecolor=face, markersize=4.5, zorder=2, clip_on=False
            )
            said = "no measure" if no_measure else f"p {p_text(p)}"
            axes.text(1.04, position, f"{r2:.2f} ({said})", va="center", fontsize=SMALLEST, color=GREY)
            labels.append((position, factor_label(str(factor))))
            position += 1
        position += 0.3
    axes.set_yticks([place for place, _ in labels], [label for _, label in labels])
    axes.set_xlim(min(0.0, 1.1 * float(rows["r2"].min())), 1.0)  # R² of distances that are not metric can be negative
    axes.set_xlabel("share of variance explained (R²)")
    axes.tick_params(axis="y", length=0)
    return position


def p_text(p: float) -> str:
    """Format a p-value with its relation: ``= 0.012`` or ``< 0.001``."""
    if math.isnan(p):
        return "unknown"
    return f"= {p:.2g}" if p >= 0.001 else "< 0.001"


def effects_caption(atlas: AtlasLike) -> str:
    """Return the caption of ``effects``."""
    rows = table(atlas, "effects")
    rows = rows[rows["subset"] == "all"]
    sizes = sorted(set(rows["n_networks"]))
    n = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]}–{sizes[-1]}"
    return (
        f"Share of the variance of each distance matrix that each factor adds to the others (PERMANOVA R², n = {n} "
        f"networks per matrix). {_aspect_sentence(rows['measure'].unique())} Filled: p < {SIGNIFICANT:g} "
        "in permutations within the other factors’ strata, whose mean R² is the grey mark; p is corrected for the "
        "number of factors and interactions (Holm). Cross: R² is negative or in the lower tail of the permutations, so "
        "that this distance is no measure of difference between the kinds."
    )


def _aspect_sentence(measures: Iterable[str]) -> str:
    """State what the measures compare, such as ``SVCCA and CKA compare geometry; spectrum compares topology.``."""
    by_aspect: dict[str, list[str]] = {}
    for measure in measures:
        by_aspect.setdefault(aspect(measure), []).append(measure_label(measure))
    parts = []
    for what, names in by_aspect.items():
        parts.append(f"{listed(names, 'and')} compare{'s' if len(names) == 1 else ''} {what}")
    return f"{sentence_case('; '.join(parts))}."


def distance_map_caption(atlas: AtlasLike, task: str, measure: str) -> str:
    """Return the caption of ``distance_map`` for one task and measure."""
    facts = map_facts(atlas, task, measure)
    if facts is None:
        table(atlas, "maps", task)  # raises if the whole table is missing
        raise Missing(f"The table “maps” has no row for {measure} in this atlas.")
    failed = left_out_sentence(table(atlas, "networks", task))
    here = (
        f" Of those that passed, {facts['n_left_out']} were left out of this map: {facts['left_out_reason']}."
        if facts["n_left_out"]
        else ""
    )
    factors = varying_factors(atlas.study)
    sorting = listed(map(factor_label, factors), "and")
    shapes = ", the other one shown by shape" if all(has_shapes(atlas.study, factor) for factor in factors) else ""
    coloured = f"by each factor{shapes}" if len(factors) > 1 else f"by {sorting}"
    return (
        f"{task_title(atlas.study, task)}: {measure_label(measure)} distances between networks, sorted by {sorting}, "
        f"and their metric MDS in two dimensions, coloured {coloured} ({map_note(facts)}; stress 0 would be a map "
        f"without distortion). {failed}{here}"
    )


def shepard_caption(atlas: AtlasLike, task: str) -> str:
    """Return the caption of ``shepard``."""
    table(atlas, "embeddings", task)
    return (
        f"{task_title(atlas.study, task)}: the distance of every pair of networks on each map in two dimensions "
        "against the measured distance; the line is a map without distortion. Of more than "
        f"{MOST_PAIRS:,} pairs an even selection is drawn."
    )


SHEPARD_COLUMNS = 5
# Larger numbers of pairs are thinned evenly.
MOST_PAIRS = 4000


def shepard(atlas: AtlasLike, task: str) -> Figure:
    """Draw map distance against measured distance (a Shepard plot) for each of a task's maps."""
    names = measures(atlas, task)
    rows = -(-len(names) // SHEPARD_COLUMNS)
    with styled():
        figure = new_figure(0.35 + 1.55 * rows)
        figure_title(figure, f"{task_title(atlas.study, task)}: distances on the maps")
        grid = figure.subplots(rows, SHEPARD_COLUMNS, squeeze=False).ravel()
        for axes, measure in zip(grid, names, strict=False):
            axes.set_title(measure_label(measure), fontsize=7)
            panel(axes, _draw_shepard, atlas, task, measure)
        for axes in grid[len(names) :]:
            axes.set_axis_off()
        figure.supxlabel("distance between networks", fontsize=7)
        figure.supylabel("distance on the map", fontsize=7)
    return figure


def _draw_shepard(axes: Axes, atlas: AtlasLike, task: str, measure: str) -> None:
    try:
        _, matrix = distances(atlas, task, measure)
        points = embedding(atlas, task, measure)[["x", "y"]].to_numpy()
    except Missing:
        raise Missing("not in this atlas") from None  # the panel is narrow; the figure of the map states more
    upper = np.triu_indices(len(matrix), 1)
    kept = even_selection(range(len(upper[0])), MOST_PAIRS)
    rows, columns = upper[0][kept], upper[1][kept]
    given = matrix[rows, columns]
    drawn = np.linalg.norm(points[rows] - points[columns], axis=1)
    top = 1.05 * float(max(given.max(initial=0), drawn.max(initial=0))) or 1.0
    axes.plot([0, top], [0, top], color=GREY, linewidth=0.7)
    axes.scatter(given, drawn, s=2, color="#3b6ea8", linewidths=0, alpha=0.5, rasterized=len(kept) > 1000)
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.set_aspect("equal")
    axes.locator_params(nbins=3)
    facts = map_facts(atlas, task, measure)
    if facts is not None:
        axes.text(0.05, 0.93, f"stress {facts['stress']:.2f}", transform=axes.transAxes, va="top", fontsize=6)
