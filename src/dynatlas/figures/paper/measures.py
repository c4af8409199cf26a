"""Appendix E: the same networks compared by SVCCA and by CKA."""

from matplotlib.figure import Figure

from dynatlas.figures.distances import draw_map, draw_map_legends, draw_matrix
from dynatlas.figures.legends import LOOKS
from dynatlas.figures.reading import AtlasLike, panel, tasks
from dynatlas.figures.style import (
    TASK_TITLES,
    columns_of,
    heading,
    measure_label,
    new_figure,
    rows_of,
    styled,
    write_message,
)

COMPARED = ("svcca", "cka")


def measures_compared(atlas: AtlasLike) -> Figure:
    """For each task, matrices by both measures above their maps by architecture and by activation."""
    kinds = tasks(atlas)
    with styled():
        figure = new_figure(3.6)
        above, below = rows_of(figure, [3.1, 0.45])
        for part, letter, task in zip(columns_of(above, [1.0] * len(kinds)), "abcdef", kinds, strict=False):
            heading(part, letter, TASK_TITLES[task], size=7.0)
            grid = part.subplots(3, len(COMPARED))
            for column, measure in enumerate(COMPARED):
                matrix, *maps = grid[:, column]
                matrix.set_title(measure_label(measure), fontsize=7, fontweight="normal")
                if measure in atlas.study.analysis.measures:
                    panel(matrix, draw_matrix, atlas, task, measure, named=False)
                    for axes, factor in zip(maps, LOOKS, strict=True):
                        axes.set_ylabel(f"by {factor}" if column == 0 else "")
                        axes.set_box_aspect(1)
                        panel(axes, draw_map, atlas, task, measure, factor, note=factor == "activation")
                else:
                    for axes in maps:
                        axes.set_axis_off()
                    write_message(
                        matrix,
                        f"The study does not compare by {measure_label(measure)}: add “{measure}” to "
                        "[analysis] measures, and run it into the same atlas.",
                    )
        draw_map_legends(below, atlas, kinds[0])
    return figure
