"""Figure 2: the sine wave."""

from matplotlib.figure import Figure

from dynatlas.figures.distances import draw_map_legends
from dynatlas.figures.eigenvalues import draw_eigenvalues
from dynatlas.figures.frequencies import draw_frequencies
from dynatlas.figures.legends import LOOKS, point_legend
from dynatlas.figures.paper.parts import draw_example, draw_maps, draw_network, figure_of_task
from dynatlas.figures.reading import AtlasLike, panel
from dynatlas.figures.state_spaces import draw_variants
from dynatlas.figures.style import columns_of, heading, rows_of

TASK = "sine_wave"


def sine_wave(atlas: AtlasLike) -> Figure:
    """A trial, trajectories, distances in geometry, fixed points and spectra, distances in topology, frequencies."""
    return figure_of_task(atlas, TASK, 7.7, _draw)


def _draw(figure: Figure, atlas: AtlasLike) -> None:
    geometry, topology = atlas.study.analysis.measures[0], atlas.study.task(TASK).topology[0]
    top, middle, bottom, legends = rows_of(figure, [2.8, 2.2, 2.2, 0.5])
    a, b = columns_of(top, [1.9, 5.2])
    c, d = columns_of(middle, [3.7, 3.4])
    e, f = columns_of(bottom, [3.7, 3.4])
    heading(a, "a", "Task")
    draw_example(a, atlas, TASK)
    heading(b, "b", "Trajectories")
    draw_variants(b, atlas, TASK, points=False)
    draw_maps(c, "c", atlas, TASK, geometry)
    heading(d, "d", "Fixed points and their eigenvalues")
    seen = draw_network(d, atlas, TASK, "its spectra near |λ| = 1", draw_eigenvalues)
    draw_maps(e, "e", atlas, TASK, topology)
    heading(f, "f", "Frequency of the linear dynamics")
    grid = f.subplots(1, 2, sharey=True)
    grid[0].set_ylabel("cycles per step")
    for axes, factor in zip(grid, LOOKS, strict=True):
        axes.set_title(f"by {factor}", fontsize=7, fontweight="normal")
        panel(axes, draw_frequencies, atlas, factor)
    draw_map_legends(legends, atlas, TASK, point_legend(seen))
