"""Appendix E: the same networks compared by SVCCA and by CKA."""

import textwrap
from collections.abc import Iterator
from itertools import count
from string import ascii_lowercase

from matplotlib.figure import Figure

from dynatlas.atlas.view import (
    AtlasLike,
    left_out_sentence,
    map_facts,
    map_note,
    table,
    task_name,
    task_title,
    tasks,
    varying_factors,
)
from dynatlas.figures.distances import bars_words, draw_map, draw_map_legends, draw_matrix
from dynatlas.figures.looks import factor_label
from dynatlas.figures.style import heading, new_figure, panel, split_columns, split_rows, styled, write_message
from dynatlas.measures.registry import measure_label

COMPARED = ("svcca", "cka")
MOST_IN_A_ROW = 3


def panel_letters() -> Iterator[str]:
    """Yield the letters of the panels: a … z, then a2 … z2, and so on."""
    for number in count(1):
        for letter in ascii_lowercase:
            yield f"{letter}{number if number > 1 else ''}"


def measures_compared(atlas: AtlasLike) -> Figure:
    """Draw for each task the matrices of both measures, above their maps by each of the shown factors."""
    kinds, factors = tasks(atlas), varying_factors(atlas.study)
    with styled():
        n_rows = -(-len(kinds) // MOST_IN_A_ROW)
        height = 1.1 + len(factors)
        figure = new_figure(0.5 + height * n_rows)
        *rows, below = split_rows(figure, [height] * n_rows + [0.45])
        columns = min(len(kinds), MOST_IN_A_ROW)  # also in the last row, so that all panels have the same size
        parts = [part for row in rows for part in split_columns(row, [1.0] * columns)]
        for part, letter, task in zip(parts, panel_letters(), kinds, strict=False):
            heading(part, letter, task_title(atlas.study, task), size=7.0)
            grid = part.subplots(1 + len(factors), len(COMPARED))
            for column, measure in enumerate(COMPARED):
                matrix, *maps = grid[:, column]
                matrix.set_title(measure_label(measure), fontsize=7, fontweight="normal")
                if measure in atlas.study.analysis.measures:
                    panel(matrix, draw_matrix, atlas, task, measure, named=False)
                    for axes, factor in zip(maps, factors, strict=True):
                        axes.set_ylabel(textwrap.fill(f"by {factor_label(factor)}", 16) if column == 0 else "")
                        axes.set_box_aspect(1)
                        panel(axes, draw_map, atlas, task, measure, factor, note=factor == factors[-1])
                else:
                    for axes in maps:
                        axes.set_axis_off()
                    write_message(
                        matrix,
                        f"The study does not compare by {measure_label(measure)}: add “{measure}” to "
                        "[analysis] measures, and run it into a new folder.",
                    )
        draw_map_legends(below, atlas, kinds[0])
    return figure


def measures_caption(atlas: AtlasLike) -> str:
    """Return the caption of appendix E."""
    parts = []
    for letter, task in zip(panel_letters(), tasks(atlas), strict=False):
        facts = [(measure, map_facts(atlas, task, measure)) for measure in COMPARED]
        said = "; ".join(f"{measure_label(measure)}: {map_note(row)}" for measure, row in facts if row is not None)
        parts.append(f"{letter}, {task_name(atlas.study, task)} ({said or 'no map'})")
    names = " and ".join(measure_label(measure) for measure in COMPARED)
    return (
        f"The same networks compared by {names}. {'; '.join(parts)}. Above, distances between networks, sorted by "
        f"{bars_words(atlas.study)}; below, metric MDS of each matrix, coloured by "
        f"{' and by '.join(map(factor_label, varying_factors(atlas.study)))}. "
        f"{left_out_sentence(table(atlas, 'networks'))}"
    )
