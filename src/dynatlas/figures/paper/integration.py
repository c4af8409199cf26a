"""Figure 3: the first task with integration, in the paper context-dependent integration."""

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from dynatlas.atlas.view import AtlasLike, Missing, arrays, representatives, tasks_with
from dynatlas.errors import PluginError
from dynatlas.figures.distances import draw_map_legends
from dynatlas.figures.legends import draw_legends, point_legend, style_legend
from dynatlas.figures.line_attractors import draw_responses, draw_spectra, ill_conditioned, sizes_words, smallest_lines
from dynatlas.figures.looks import variant_label
from dynatlas.figures.paper.parts import (
    compared_measures,
    describe_map,
    describe_population,
    describe_trajectories,
    draw_maps,
    task_figure,
)
from dynatlas.figures.state_spaces import color_scale, colors_of, draw_variants, trial_conditions, trial_labels
from dynatlas.figures.style import heading, panel, split_columns, split_rows, write_message
from dynatlas.figures.trial import HORIZONTAL, INPUT_COLOR, TARGET_COLOR, draw_line
from dynatlas.measures.registry import measure_label
from dynatlas.tasks.task import PROBE_SEED, Task

NO_TRIAL = "The code of this task is not loaded; a random trial cannot be drawn without it."


def integration(atlas: AtlasLike) -> Figure:
    """Draw task and probe, trajectories with line attractors, maps, spectra at their points, and linear responses."""
    return task_figure(atlas, "integration", 8.1, _draw)


def _draw(figure: Figure, atlas: AtlasLike, task: str) -> None:
    geometry, topology = atlas.study.analysis.activity_measures[0], atlas.study.task(task).topology[0]
    top, middle, bottom, legends = split_rows(figure, [3.1, 2.1, 2.0, 0.9])
    a, b = split_columns(top, [1.9, 5.2])
    c, d = split_columns(middle, [1.0, 1.0])
    e, f = split_columns(bottom, [1.0, 1.0])
    heading(a, "a", "Task and probe")
    _draw_task(a, atlas, task)
    heading(b, "b", "Trajectories and line attractors")
    seen = draw_variants(b, atlas, task)
    draw_maps(c, "c", atlas, task, geometry)
    draw_maps(d, "d", atlas, task, topology)
    heading(e, "e", "Spectra at the fixed points")
    panel(e.subplots(), draw_spectra, atlas, task)
    heading(f, "f", "Integral against modes kept")
    panel(f.subplots(), draw_responses, atlas, task)
    maps, lines = split_rows(legends, [1.0, 1.0])
    draw_map_legends(maps, atlas, task)
    draw_legends(lines, [style_legend(atlas), point_legend(seen)])


def _draw_task(part: SubFigure, atlas: AtlasLike, kind: str) -> None:
    """Draw a random trial (cued stream, another stream, target), and below it the probe with one network's outputs."""
    task = atlas.study.task(kind)
    try:
        trial = task.trial(jax.random.key(PROBE_SEED, impl="threefry2x32"))
    except PluginError:
        write_message(part.subplots(), NO_TRIAL)
        return
    inputs, targets = np.asarray(trial.inputs), np.asarray(trial.targets)
    cued, *others = _streams(task, inputs)
    streams = [(cued, "cued\nstream", INPUT_COLOR)]
    if others:
        streams.append((others[0], "other\nstream", TARGET_COLOR))
    heights = [0.7] * len(streams) + [1.0, 0.7, 1.2]
    *of_streams, total, probe, answers = part.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    for axes, (stream, name, color) in zip(of_streams, streams, strict=True):
        draw_line(axes, inputs[:, stream], color)
        axes.set_ylabel(name, **HORIZONTAL)
    total.plot(targets[:, 0], color=INPUT_COLOR, linewidth=1.2)
    total.set_ylabel("target", **HORIZONTAL)
    try:
        _draw_probe(probe, answers, atlas, kind)
    except Missing as missing:
        probe.set_axis_off()
        write_message(answers, str(missing))
    probe.set_ylabel("probe", **HORIZONTAL)
    answers.set_ylabel("outputs", **HORIZONTAL)
    answers.set_xlabel("step")
    answers.set_xlim(-0.5, len(targets) - 0.5)


def _streams(task: Task, inputs: NDArray[np.float32]) -> list[int]:
    """Return the integrated inputs, first the one that is cued in this trial ``[steps, inputs]``."""
    [condition] = trial_conditions(task, inputs.mean(axis=0, keepdims=True))
    channels = list(dict.fromkeys(task.integrated_inputs()))
    place = channels.index(task.integrated_inputs()[condition])
    return channels[place:] + channels[:place]


def _draw_probe(probe: Axes, answers: Axes, atlas: AtlasLike, kind: str) -> None:
    """Draw the cued stream and one network's output of each probe trial in the first context, by evidence."""
    task = atlas.study.task(kind)
    data = arrays(atlas, f"trajectories/{representatives(atlas, kind)[0].network}", kind)
    evidence, contexts = trial_labels(task, data)
    inputs, outputs = data["inputs"].values, data["outputs"].values
    own = np.flatnonzero(contexts == 0)
    colors = colors_of(color_scale(atlas, kind), evidence[own])
    cued = task.integrated_inputs()[0]
    steps = np.arange(inputs.shape[1])
    for axes, of_trials in ((probe, inputs[own, :, cued]), (answers, outputs[own, :, 0])):
        lines = [np.stack([steps, values], axis=1) for values in of_trials]
        axes.add_collection(LineCollection(lines, colors=colors, linewidths=0.7))
        axes.autoscale()


def integration_caption(atlas: AtlasLike) -> str:
    """Return the caption of figure 3."""
    task = tasks_with(atlas.study, "integration")[0]
    population = describe_population(atlas, task)
    geometry, topology = compared_measures(atlas, task)
    one = representatives(atlas, task)[0]
    words = atlas.study.task(task).probe_words or "the integrated input of each trial"
    half = atlas.study.task(task).steps // 2
    return (
        f"{population} a, a random trial, and the probe: {words}, coloured by level, and the answers of one network "
        f"({variant_label(atlas.study, one.variant)}) in the first context. "
        f"b, {describe_trajectories(atlas, task)} Marks are fixed and slow points; points "
        "further from the activity than its range are counted, but not "
        f"drawn. c, metric MDS of {measure_label(geometry)} distances. {describe_map(atlas, task, geometry)} "
        f"d, metric MDS of {measure_label(topology)} distances. {describe_map(atlas, task, topology)} e, moduli of "
        "the eigenvalues at the fixed and slow points that a network passes in the first context, by rank; each point "
        "is weighted by how much of the activity is nearest to it. "
        f"f, the output {half} steps after a unit input, from the linear dynamics around these points with "
        f"only the largest modes kept, median; 1 is a perfect integral. {ill_conditioned(atlas, task)} "
        f"e are means and f medians over the {sizes_words(atlas)} of each variant, "
        f"{smallest_lines(atlas, task)} in all."
    )
