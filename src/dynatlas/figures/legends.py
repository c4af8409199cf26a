"""Legends of colours, markers and lines, once per figure below its panels."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D

from dynatlas._util.selection import even_selection
from dynatlas.atlas.view import AtlasLike, other_factor, shown_factors, variants, varying_factors
from dynatlas.figures.looks import (
    UNSTABLE,
    Look,
    factor_label,
    looks_of,
    plain,
    unstable_color,
    unstable_label,
    variant_label,
)
from dynatlas.figures.style import GREY
from dynatlas.study.study import Study

MOST_VARIANTS = 16  # in a legend; of more, colours and lines have separate entries
MOST_COLORS = 4  # of an ordered scale in a legend: an even selection shows it
MOST_SHAPES = 6  # of more levels, maps show no shapes


class Legend(NamedTuple):
    """A titled block of legend entries."""

    title: str
    handles: list[Line2D]
    columns: int


def draw_legends(part: SubFigure, legends: Sequence[Legend]) -> None:
    """Place the non-empty legends side by side, each as wide as its entries."""
    legends = [legend for legend in legends if legend.handles]
    widths = [_width(legend) for legend in legends]
    whole = part.bbox.width / part.figure.dpi
    gap = max(0.0, 1 - sum(widths) / whole) / (len(legends) + 1)
    left = gap
    for legend, width in zip(legends, widths, strict=True):
        part.legend(
            handles=legend.handles,
            title=legend.title,
            ncols=legend.columns,
            loc="upper left",
            bbox_to_anchor=(left, 1.0),
            borderaxespad=0,
            borderpad=0,
            alignment="left",
            title_fontproperties={"weight": "bold", "size": 6.5},
        )
        left += width / whole + gap


def _width(legend: Legend) -> float:
    """Estimate the width of a legend, in inches."""
    columns = np.array_split([len(str(handle.get_label())) for handle in legend.handles], legend.columns)
    letters = sum(max(column, default=0) for column in columns)
    return max(0.055 * letters + 0.36 * len(columns), 0.06 * len(legend.title))


def map_legend(atlas: AtlasLike, networks: Any, factor: str) -> Legend:
    """Return the legend of maps coloured by one factor, with markers for the other, if that varies."""
    other = other_factor(atlas.study, factor)
    present = selected_looks(_present_looks(atlas, networks, factor))
    handles = [marker_handle(look.label, look.color) for look in present]
    title, columns = f"By {factor_label(factor)}", -(-len(handles) // 2)
    if has_shapes(atlas.study, factor):
        title += f" (shape: {factor_label(other)})"
        handles += [
            marker_handle(look.label, GREY, marker=look.marker, hollow=True)
            for look in _present_looks(atlas, networks, other).values()
        ]
        columns = max(3, -(-len(handles) // 2))
    return Legend(title, handles, columns)


def has_shapes(study: Study, factor: str) -> bool:
    """Whether maps that are coloured by a factor show the other one by shape."""
    return 1 < len(study.levels[other_factor(study, factor)]) <= MOST_SHAPES


def selected_looks(looks: Mapping[Any, Look]) -> list[Look]:
    """Return the looks of a legend, by level: an even selection of a long ordered scale, else all."""
    is_scale = all(isinstance(level, int | float) for level in looks)
    return even_selection(list(looks.values()), MOST_COLORS if is_scale else len(looks))


def point_legend(seen: set[Any]) -> Legend:
    """Return the legend of the kinds of fixed points that were drawn, as returned by ``draw_state_space``."""
    handles = point_handles(seen, short=True)
    return Legend("Points, by unstable directions", handles, -(-len(handles) // 2) or 1)


def style_legend(atlas: AtlasLike) -> Legend:
    """Return the legend of line styles, if they differ; another legend explains the colours."""
    first, second = shown_factors(atlas.study)
    looks = looks_of(atlas.study)[second]
    handles = [] if second not in varying_factors(atlas.study) else [line_handle(look) for look in looks.values()]
    return Legend(f"Lines (colour: {factor_label(first)})", handles, -(-len(handles) // 2))


def variant_handles(atlas: AtlasLike) -> list[Line2D]:
    """Return a line for each variant: colour by one shown factor, style by the other."""
    first, second = (looks_of(atlas.study)[factor] for factor in shown_factors(atlas.study))
    of = variants(atlas)
    if len(of) > MOST_VARIANTS:
        return [*(line_handle(look, look.color, "-") for look in first.values()), *map(line_handle, second.values())]
    return [
        line_handle(second[style], first[color].color, label=variant_label(atlas.study, (color, style)))
        for color, style in of
    ]


def line_handle(look: Look, color: str = GREY, line: Any = None, label: str = "") -> Line2D:
    """Return a legend entry of a line: in the style of a level, grey, with its title."""
    return Line2D([], [], color=color, linestyle=line or look.line, label=plain(label or look.title))


def marker_handle(label: str, color: str, marker: str = "o", *, hollow: bool = False, size: float = 4) -> Line2D:
    """Return a legend entry of one marker."""
    face = "none" if hollow else color
    return Line2D(
        [], [], linestyle="", marker=marker, color=color, markerfacecolor=face, markersize=size, label=plain(label)
    )


def point_handles(seen: set[Any], *, short: bool = False) -> list[Line2D]:
    """Return entries for the kinds of points and lines that were drawn; ``short`` labels assume a title."""
    handles = []
    for n_unstable in range(len(UNSTABLE)):
        if n_unstable in seen:
            most = n_unstable == len(UNSTABLE) - 1
            label = unstable_label(n_unstable, or_more=most)
            if short and n_unstable:
                label = f"{n_unstable}{' or more' if most else ''}"
            handles.append(marker_handle(label, unstable_color(n_unstable), hollow=n_unstable > 0))
    if "slow" in seen:
        handles.append(marker_handle("slow (not a root)" if short else "slow point (not a root)", GREY, marker="x"))
    if "direction" in seen:
        label = "leading direction" if short else "leading unstable direction"
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, label=label))
    contexts = sorted(int(item[1]) for item in seen if isinstance(item, tuple))
    for context in contexts:
        style: Any = "-" if context == 0 else (0, (4, 1.5))
        label = f"context {context + 1}" if len(contexts) == 2 or context == 0 else "other contexts"
        handles.append(Line2D([], [], color=GREY, linestyle=style, linewidth=0.8, label=label))
        if context > 0 and len(contexts) > 2:
            break
    return handles


def _present_looks(atlas: AtlasLike, networks: Any, factor: str) -> dict[Any, Look]:
    present = set(networks[factor])
    return {level: look for level, look in looks_of(atlas.study)[factor].items() if level in present}
