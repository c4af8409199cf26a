"""How alike the networks are: a distance matrix, its map, and how much of it each factor explains."""

import math
from itertools import groupby
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dynatlas.figures.reading import (
    AtlasLike,
    distances,
    embedding,
    map_facts,
    panel,
    table,
    tasks,
)
from dynatlas.figures.style import (
    ACTIVATIONS,
    ARCHITECTURES,
    GREY,
    MEASURES,
    TASK_TITLES,
    Look,
    narrow_title,
    new_figure,
    styled,
)

FACTORS = {"architecture": ARCHITECTURES, "activation": ACTIVATIONS}
SIGNIFICANT = 0.05


def distance_map(atlas: AtlasLike, task: str, measure: str) -> Figure:
    """The matrix of one measure, sorted by architecture and activation, and its MDS coloured by each of them."""
    with styled():
        figure = new_figure(2.75)
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.12, 1, 1])
        title = MEASURES.get(measure, measure)
        figure.suptitle(f"{TASK_TITLES[task]}: {title} distances", fontsize=8, fontweight="bold")
        panel(left, _draw_matrix, atlas, task, measure)
        for axes, factor in ((middle, "architecture"), (right, "activation")):
            axes.set_title(f"MDS by {factor}", fontsize=7)
            panel(axes, _draw_map, atlas, task, measure, factor)
        facts = map_facts(atlas, task, measure)
        if facts is not None:
            left_out = f", {facts['n_left_out']} left out" if facts["n_left_out"] else ""
            middle.set_xlabel(
                f"n = {facts['n_networks']}{left_out}; stress {facts['stress']:.2f}", color=GREY, fontsize=6.5
            )
    return figure


def groups(networks: pd.DataFrame, *columns: str) -> list[tuple[Any, int, int]]:
    """Runs of equal values: (values, first row, row after the last)."""
    keys = list(networks[list(columns)].itertuples(index=False, name=None))
    runs = []
    start = 0
    for key, rows in groupby(keys):
        stop = start + len(list(rows))
        runs.append((key, start, stop))
        start = stop
    return runs


def levels(networks: pd.DataFrame, *columns: str) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    """The networks, grouped by their values of these columns."""
    return [(tuple(map(str, key)), rows) for key, rows in networks.groupby(list(columns), sort=False)]


def _draw_matrix(axes: Axes, atlas: AtlasLike, task: str, measure: str) -> None:
    networks, matrix = distances(atlas, task, measure)
    count = len(networks)
    image = axes.imshow(matrix, cmap="cividis", vmin=0, interpolation="nearest", rasterized=count > 100)
    scale: Any = axes.figure.colorbar(image, ax=axes, fraction=0.04, pad=0.03, label="distance")
    scale.outline.set_visible(False)
    bar = 0.035 * count
    for key, start, stop in groups(networks, "architecture", "activation"):
        _draw_bar(axes, -0.5 - 1.4 * bar, bar, start, stop, ACTIVATIONS[key[1]])
    for key, start, stop in groups(networks, "architecture"):
        look = ARCHITECTURES[key[0]]
        _draw_bar(axes, -0.5 - 2.7 * bar, bar, start, stop, look)
        axes.text(
            -0.5 - 3.2 * bar, (start + stop - 1) / 2, look.label, rotation=90, ha="right", va="center", fontsize=6
        )
        if start:
            axes.axhline(start - 0.5, color="white", linewidth=0.5)
            axes.axvline(start - 0.5, color="white", linewidth=0.5)
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    handles = [
        Line2D([], [], color=ACTIVATIONS[name].color, linewidth=3, label=name)
        for name in ACTIVATIONS
        if (networks["activation"] == name).any()
    ]
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02),
        ncols=2,
        handlelength=1,
        title="inner bar: activation; outer: architecture",
        title_fontsize=5.5,
        borderpad=0,
    )


def _draw_bar(axes: Axes, left: float, width: float, start: int, stop: int, look: Look) -> None:
    axes.fill_between([left, left + width], start - 0.42, stop - 0.58, color=look.color, linewidth=0, clip_on=False)


def _draw_map(axes: Axes, atlas: AtlasLike, task: str, measure: str, factor: str) -> None:
    networks = embedding(atlas, task, measure)
    other = "activation" if factor == "architecture" else "architecture"
    for (level, shape), rows in levels(networks, factor, other):
        axes.scatter(
            rows["x"],
            rows["y"],
            s=15,
            color=FACTORS[factor][level].color,
            marker=FACTORS[other][shape].marker,
            linewidths=0.3,
            edgecolors="white",
            alpha=0.9,
        )
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(True)
    axes.spines[:].set_color("#BBBBBB")
    colors = [
        Line2D([], [], linestyle="", marker="o", markersize=4, color=look.color, label=look.label)
        for name, look in FACTORS[factor].items()
        if (networks[factor] == name).any()
    ]
    shapes = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=look.marker,
            markersize=3.5,
            color=GREY,
            markerfacecolor="none",
            label=look.label,
        )
        for name, look in FACTORS[other].items()
        if (networks[other] == name).any()
    ]
    # Two short columns of names below the map, beside each other: colour, then shape.
    axes.legend(
        handles=colors + shapes,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.09),
        ncols=3,
        columnspacing=0.8,
        handlelength=1,
    )


def effects(atlas: AtlasLike) -> Figure:
    """How much of the variance of each distance matrix each factor explains."""
    kinds = tasks(atlas)
    with styled():
        figure = new_figure(3.0)
        rows = 1.0
        for axes, task in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
            axes.set_title(narrow_title(task))
            rows = max(rows, panel(axes, _draw_effects, atlas, task) or 0)
        for axes in figure.axes:  # the same spacing in every panel
            if axes.axison:
                axes.set_ylim(rows - 0.7, -0.8)
        figure.set_figheight(1.1 + 0.16 * rows)
        handles = [
            Line2D([], [], linestyle="", marker="o", markersize=5, color="#222222", label=f"p < {SIGNIFICANT:g}"),
            Line2D(
                [],
                [],
                linestyle="",
                marker="o",
                markersize=5,
                color="#222222",
                markerfacecolor="white",
                label=f"p ≥ {SIGNIFICANT:g}: not beyond chance",
            ),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _draw_effects(axes: Axes, atlas: AtlasLike, task: str) -> float:
    """Draw one task's effects, a measure's under its name; the number of lines that this took."""
    rows = table(atlas, "effects", task)
    labels = []
    position = 0.0
    for measure, of_measure in rows.groupby("measure", sort=False):
        known = of_measure[of_measure["r2"].notna()]
        axes.text(
            0.03, position, MEASURES.get(str(measure), str(measure)), va="center", fontweight="bold", fontsize=6.5
        )
        position += 1
        for factor, r2, p in known[["factor", "r2", "p"]].itertuples(index=False, name=None):
            axes.plot([0, r2], [position, position], color="#BBBBBB", linewidth=1.5, zorder=1)
            face = "#222222" if p < SIGNIFICANT else "white"
            axes.plot(r2, position, "o", color="#222222", markerfacecolor=face, markersize=4.5, zorder=2, clip_on=False)
            axes.text(1.04, position, f"{r2:.2f} (p {p_text(p)})", va="center", fontsize=5.5, color=GREY)
            labels.append((position, str(factor)))
            position += 1
        position += 0.3
    axes.set_yticks([place for place, _ in labels], [label for _, label in labels])
    axes.set_xlim(min(0.0, 1.1 * float(rows["r2"].min())), 1.0)  # R² of distances that fit no space can be negative
    axes.set_xlabel("share of variance explained (R²)")
    axes.tick_params(axis="y", length=0)
    return position


def p_text(p: float) -> str:
    """A p-value after its letter: ``= 0.012`` or ``< 0.001``."""
    if math.isnan(p):
        return "unknown"
    return f"= {p:.2g}" if p >= 0.001 else "< 0.001"
