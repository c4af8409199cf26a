"""Figure 1: the first task with memory, in the paper the flip-flop."""

from matplotlib.figure import Figure

from dynatlas.atlas.view import AtlasLike, representatives, tasks_with
from dynatlas.figures.distances import bars_words, draw_map_legends, draw_matrix
from dynatlas.figures.legends import point_legend
from dynatlas.figures.looks import variant_label
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
from dynatlas.figures.transition_graphs import draw_transitions
from dynatlas.measures.registry import measure_label


def memory(atlas: AtlasLike) -> Figure:
    """Draw a trial, trajectories, distances in geometry, fixed points with transitions, and a map in topology."""
    return task_figure(atlas, "memory", 7.9, _draw)


def _draw(figure: Figure, atlas: AtlasLike, task: str) -> None:
    geometry, topology = atlas.study.analysis.activity_measures[0], atlas.study.task(task).topology[0]
    top, middle, bottom, legends = split_rows(figure, [3.0, 2.2, 2.2, 0.5])
    a, b = split_columns(top, [1.9, 5.2])
    c, d = split_columns(middle, [2.95, 4.15])
    e, f = split_columns(bottom, [3.4, 3.7])
    heading(a, "a", "Task")
    draw_example_trial(a, atlas, task)
    heading(b, "b", "Trajectories")
    draw_variants(b, atlas, task, points=False)
    heading(c, "c", f"{measure_label(geometry)} distances")
    panel(c.subplots(), draw_matrix, atlas, task, geometry)
    draw_maps(d, "d", atlas, task, geometry)
    heading(e, "e", "Fixed points and transitions")
    seen = draw_network(e, atlas, task, "transitions, in readouts", draw_transitions)
    draw_maps(f, "f", atlas, task, topology)
    draw_map_legends(legends, atlas, task, point_legend(seen))


def memory_caption(atlas: AtlasLike) -> str:
    """Return the caption of figure 1."""
    task = tasks_with(atlas.study, "memory")[0]
    population = describe_population(atlas, task)
    geometry, topology = compared_measures(atlas, task)
    one = representatives(atlas, task)[0]
    settings = atlas.study.analysis
    return (
        f"{population} a, {describe_trial(atlas, task)} ({variant_label(atlas.study, one.variant)}). "
        f"b, {describe_trajectories(atlas, task)} c, {measure_label(geometry)} distances between networks, sorted by "
        f"{bars_words(atlas.study)}. d, metric MDS of these distances. "
        f"{describe_map(atlas, task, geometry)} e, fixed points of the network in a: left, in its state "
        "space, with their leading unstable directions; right, "
        "at their readouts, with an arrow to each stable point that at least 2 % of "
        f"{settings.transition_trials} displaced states reach. f, metric MDS of the distances between "
        f"{measure_label(topology)}s. {describe_map(atlas, task, topology)}"
    )
