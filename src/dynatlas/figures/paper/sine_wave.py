"""Figure 2: the sine wave."""

from matplotlib.figure import Figure

from dynatlas.atlas.view import AtlasLike, representatives, table
from dynatlas.figures.distances import draw_map_legends
from dynatlas.figures.legends import SHOWN_FACTORS, point_legend
from dynatlas.figures.looks import variant_label
from dynatlas.figures.oscillations import draw_eigenvalues, draw_frequencies
from dynatlas.figures.paper.parts import (
    _map,
    _measures,
    _population,
    _trajectories,
    draw_example,
    draw_maps,
    draw_network,
    figure_of_task,
)
from dynatlas.figures.state_spaces import draw_variants
from dynatlas.figures.style import columns_of, heading, panel, rows_of
from dynatlas.measures.registry import measure_label

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
    for axes, factor in zip(grid, SHOWN_FACTORS, strict=True):
        axes.set_title(f"by {factor}", fontsize=7, fontweight="normal")
        panel(axes, draw_frequencies, atlas, factor)
    draw_map_legends(legends, atlas, TASK, point_legend(seen))


def sine_wave_caption(atlas: AtlasLike) -> str:
    """The caption of figure 2."""
    population = _population(atlas, TASK)
    geometry, topology = _measures(atlas, TASK)
    one = representatives(atlas, TASK)[0]
    averaged = table(atlas, "frequencies")
    by_architecture = averaged[averaged["factor"] == "architecture"]
    counts = by_architecture.groupby("condition")["n_networks"].sum()
    n_averaged = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()}–{counts.max()}"
    return (
        f"Sine wave, {population} a, a trial of the probe: the command, the sine that it asks for, and one network’s "
        f"answer ({variant_label(one.architecture, one.activation)}). b, {_trajectories(atlas, TASK)} c, metric MDS of "
        f"{measure_label(geometry)} distances. {_map(atlas, TASK, geometry)} d, the network in a: left, its fixed "
        "points, one search per command, coloured by their unstable directions; right, the eigenvalues at the point in "
        "the middle of each oscillation, near the leading pairs. Trajectories and eigenvalues are coloured by the "
        "command’s frequency; strokes on the unit circle stand at the frequencies asked for. "
        f"e, metric MDS of {measure_label(topology)} distances. {_map(atlas, TASK, topology)} f, frequency "
        "of the leading pair, |arg λ|/2π, against the one asked for: means over networks "
        f"(n = {n_averaged} per command) ± standard error; dashed, equality."
    )
