"""Figure 2: the first task with oscillation, in the paper the sine wave."""

from matplotlib.figure import Figure

from dynatlas.atlas.view import AtlasLike, representatives, table, tasks_with, varying_factors
from dynatlas.figures.distances import draw_map_legends
from dynatlas.figures.legends import point_legend
from dynatlas.figures.looks import factor_label, variant_label
from dynatlas.figures.oscillations import draw_eigenvalues, draw_frequencies
from dynatlas.figures.paper.parts import (
    compared_measures,
    describe_map,
    describe_population,
    describe_trajectories,
    describe_trial,
    draw_example_trial,
    draw_maps,
    draw_network,
    task_figure,
)
from dynatlas.figures.state_spaces import draw_variants
from dynatlas.figures.style import heading, panel, split_columns, split_rows
from dynatlas.measures.registry import measure_label


def oscillation(atlas: AtlasLike) -> Figure:
    """Draw a trial, trajectories, a map in geometry, fixed points and spectra, a map in topology, and frequencies."""
    return task_figure(atlas, "oscillation", 7.7, _draw)


def _draw(figure: Figure, atlas: AtlasLike, task: str) -> None:
    geometry, topology = atlas.study.analysis.activity_measures[0], atlas.study.task(task).topology[0]
    top, middle, bottom, legends = split_rows(figure, [2.8, 2.2, 2.2, 0.5])
    a, b = split_columns(top, [1.9, 5.2])
    c, d = split_columns(middle, [3.7, 3.4])
    e, f = split_columns(bottom, [3.7, 3.4])
    heading(a, "a", "Task")
    draw_example_trial(a, atlas, task)
    heading(b, "b", "Trajectories")
    draw_variants(b, atlas, task, points=False)
    draw_maps(c, "c", atlas, task, geometry)
    heading(d, "d", "Fixed points and their eigenvalues")
    seen = draw_network(d, atlas, task, "spectra near |λ| = 1", draw_eigenvalues)
    draw_maps(e, "e", atlas, task, topology)
    heading(f, "f", "Frequency of the linear dynamics")
    factors = varying_factors(atlas.study)
    grid = f.subplots(1, len(factors), sharey=True, squeeze=False)[0]
    grid[0].set_ylabel("cycles per step")
    for axes, factor in zip(grid, factors, strict=True):
        axes.set_title(f"by {factor_label(factor)}", fontsize=7, fontweight="normal")
        panel(axes, draw_frequencies, atlas, task, factor)
    draw_map_legends(legends, atlas, task, point_legend(seen))


def oscillation_caption(atlas: AtlasLike) -> str:
    """Return the caption of figure 2."""
    task = tasks_with(atlas.study, "oscillation")[0]
    population = describe_population(atlas, task)
    geometry, topology = compared_measures(atlas, task)
    one = representatives(atlas, task)[0]
    rows = table(atlas, "oscillations").dropna(subset=["linear_frequency"])
    counts = rows[rows["network"].isin(table(atlas, "networks", task)["network"])].groupby("condition").size()
    n_averaged = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()}–{counts.max()}"
    return (
        f"{population} a, {describe_trial(atlas, task)} ({variant_label(atlas.study, one.variant)}). "
        f"b, {describe_trajectories(atlas, task)} c, metric MDS of "
        f"{measure_label(geometry)} distances. {describe_map(atlas, task, geometry)} d, the network in a: left, its "
        "fixed points, one search per command, coloured by their unstable directions; right, the eigenvalues at the "
        "point in the middle of each oscillation, near the leading pairs. Trajectories and eigenvalues are coloured by "
        "the commanded frequency; strokes on the unit circle mark the commanded frequencies. "
        f"e, metric MDS of {measure_label(topology)} distances. {describe_map(atlas, task, topology)} f, frequency "
        "of the leading pair, |arg λ|/2π, against the commanded frequency: medians over networks "
        f"(n = {n_averaged} per command) and quartiles; dashed, equality."
    )
