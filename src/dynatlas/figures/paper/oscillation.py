"""Figure 2: the first task that asks for oscillation, in the paper the sine wave."""

from matplotlib.figure import Figure

from dynatlas.atlas.view import AtlasLike, representatives, table, tasks_with
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
    figure_of,
    trial_words,
)
from dynatlas.figures.state_spaces import draw_variants
from dynatlas.figures.style import columns_of, heading, panel, rows_of
from dynatlas.measures.registry import measure_label


def oscillation(atlas: AtlasLike) -> Figure:
    """A trial, trajectories, distances in geometry, fixed points and spectra, distances in topology, frequencies."""
    return figure_of(atlas, "oscillation", 7.7, _draw)


def _draw(figure: Figure, atlas: AtlasLike, task: str) -> None:
    geometry, topology = atlas.study.analysis.measures[0], atlas.study.task(task).topology[0]
    top, middle, bottom, legends = rows_of(figure, [2.8, 2.2, 2.2, 0.5])
    a, b = columns_of(top, [1.9, 5.2])
    c, d = columns_of(middle, [3.7, 3.4])
    e, f = columns_of(bottom, [3.7, 3.4])
    heading(a, "a", "Task")
    draw_example(a, atlas, task)
    heading(b, "b", "Trajectories")
    draw_variants(b, atlas, task, points=False)
    draw_maps(c, "c", atlas, task, geometry)
    heading(d, "d", "Fixed points and their eigenvalues")
    seen = draw_network(d, atlas, task, "its spectra near |λ| = 1", draw_eigenvalues)
    draw_maps(e, "e", atlas, task, topology)
    heading(f, "f", "Frequency of the linear dynamics")
    grid = f.subplots(1, 2, sharey=True)
    grid[0].set_ylabel("cycles per step")
    for axes, factor in zip(grid, SHOWN_FACTORS, strict=True):
        axes.set_title(f"by {factor}", fontsize=7, fontweight="normal")
        panel(axes, draw_frequencies, atlas, task, factor)
    draw_map_legends(legends, atlas, task, point_legend(seen))


def oscillation_caption(atlas: AtlasLike) -> str:
    """The caption of figure 2."""
    task = tasks_with(atlas.study, "oscillation")[0]
    population = _population(atlas, task)
    geometry, topology = _measures(atlas, task)
    one = representatives(atlas, task)[0]
    averaged = table(atlas, "frequencies")
    by_architecture = averaged[averaged["factor"] == "architecture"]
    counts = by_architecture.groupby("condition")["n_networks"].sum()
    n_averaged = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()}–{counts.max()}"
    return (
        f"{population} a, {trial_words(atlas, task)} ({variant_label(one.architecture, one.activation)}). "
        f"b, {_trajectories(atlas, task)} c, metric MDS of "
        f"{measure_label(geometry)} distances. {_map(atlas, task, geometry)} d, the network in a: left, its fixed "
        "points, one search per command, coloured by their unstable directions; right, the eigenvalues at the point in "
        "the middle of each oscillation, near the leading pairs. Trajectories and eigenvalues are coloured by the "
        "command’s frequency; strokes on the unit circle stand at the frequencies asked for. "
        f"e, metric MDS of {measure_label(topology)} distances. {_map(atlas, task, topology)} f, frequency "
        "of the leading pair, |arg λ|/2π, against the one asked for: means over networks "
        f"(n = {n_averaged} per command) ± standard error; dashed, equality."
    )
