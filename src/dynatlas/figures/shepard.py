"""How faithful the maps are: every distance on the map against the one it stands for."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dynatlas.figures.reading import AtlasLike, Missing, distances, embedding, map_facts, measures, panel, task_title
from dynatlas.figures.style import GREY, MEASURES, entitle, new_figure, styled

COLUMNS = 5
# More pairs than these say no more: they are thinned evenly.
MOST_PAIRS = 4000


def shepard(atlas: AtlasLike, task: str) -> Figure:
    """A panel for each of a task's maps; on the line a map would be without distortion."""
    names = measures(atlas, task)
    rows = -(-len(names) // COLUMNS)
    with styled():
        figure = new_figure(0.35 + 1.55 * rows)
        entitle(figure, f"{task_title(atlas.study, task)}: distances on the maps")
        grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axes, measure in zip(grid, names, strict=False):
            axes.set_title(MEASURES.get(measure, measure), fontsize=7)
            panel(axes, _draw, atlas, task, measure)
        for axes in grid[len(names) :]:
            axes.set_axis_off()
        figure.supxlabel("distance between networks", fontsize=7)
        figure.supylabel("distance on the map", fontsize=7)
    return figure


def _draw(axes: Axes, atlas: AtlasLike, task: str, measure: str) -> None:
    try:
        _, matrix = distances(atlas, task, measure)
        points = embedding(atlas, task, measure)[["x", "y"]].to_numpy()
    except Missing:
        raise Missing("not in this atlas") from None  # the panel is narrow; the map's own figure says more
    upper = np.triu_indices(len(matrix), 1)
    kept = np.unique(np.linspace(0, len(upper[0]) - 1, min(MOST_PAIRS, len(upper[0]))).round().astype(int))
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
