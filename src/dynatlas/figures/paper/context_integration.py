"""Figure 3: context-dependent integration."""

from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure, SubFigure

from dynatlas.atlas.view import AtlasLike, Missing, arrays, representatives
from dynatlas.figures.distances import draw_map_legends
from dynatlas.figures.legends import draw_legends, point_legend, style_legend
from dynatlas.figures.line_attractors import draw_responses, draw_spectra, smallest_lines
from dynatlas.figures.looks import variant_label
from dynatlas.figures.paper.parts import _map, _measures, _population, _trajectories, draw_maps, figure_of_task
from dynatlas.figures.state_spaces import color_scale, colors_of, draw_variants, trial_labels
from dynatlas.figures.style import columns_of, heading, panel, rows_of, write_message
from dynatlas.figures.trial import HORIZONTAL, INPUT_COLOR, TARGET_COLOR, draw_line
from dynatlas.measures.registry import measure_label
from dynatlas.tasks.task import PROBE_SEED

TASK = "context_integration"


def context_integration(atlas: AtlasLike) -> Figure:
    """Task and probe, trajectories with line attractors, distances, spectra along the lines, what modes integrate."""
    return figure_of_task(atlas, TASK, 8.1, _draw)


def _draw(figure: Figure, atlas: AtlasLike) -> None:
    geometry, topology = atlas.study.analysis.measures[0], atlas.study.task(TASK).topology[0]
    top, middle, bottom, legends = rows_of(figure, [3.1, 2.1, 2.0, 0.9])
    a, b = columns_of(top, [1.9, 5.2])
    c, d = columns_of(middle, [1.0, 1.0])
    e, f = columns_of(bottom, [1.0, 1.0])
    heading(a, "a", "Task and probe")
    _draw_task(a, atlas)
    heading(b, "b", "Trajectories and line attractors")
    seen = draw_variants(b, atlas, TASK)
    draw_maps(c, "c", atlas, TASK, geometry)
    draw_maps(d, "d", atlas, TASK, topology)
    heading(e, "e", "Spectra along the lines")
    panel(e.subplots(), draw_spectra, atlas)
    heading(f, "f", "Integral against modes kept")
    panel(f.subplots(), draw_responses, atlas)
    maps, lines = rows_of(legends, [1.0, 1.0])
    draw_map_legends(maps, atlas, TASK)
    draw_legends(lines, [style_legend(atlas), point_legend(seen)])


def _draw_task(part: SubFigure, atlas: AtlasLike) -> None:
    """Above, a random trial: the cued stream, another one, the target. Below, the probe and one network's answers."""
    task: Any = atlas.study.task(TASK)
    trial = task.trial(jax.random.key(PROBE_SEED, impl="threefry2x32"))
    inputs, targets = np.asarray(trial.inputs), np.asarray(trial.targets)
    cued = int(inputs[0, task.streams :].argmax())
    streams = [(cued, "cued\nstream", INPUT_COLOR)]
    if task.streams > 1:
        streams.append(((cued + 1) % task.streams, "other\nstream", TARGET_COLOR))
    heights = [0.7] * len(streams) + [1.0, 0.7, 1.2]
    *of_streams, total, probe, answers = part.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    for axes, (stream, name, color) in zip(of_streams, streams, strict=True):
        draw_line(axes, inputs[:, stream], color)
        axes.set_ylabel(name, **HORIZONTAL)
    total.plot(targets[:, 0], color=INPUT_COLOR, linewidth=1.2)
    total.set_ylabel("sum to\nreport", **HORIZONTAL)
    try:
        _draw_probe(probe, answers, task, atlas)
    except Missing as missing:
        probe.set_axis_off()
        write_message(answers, str(missing))
    probe.set_ylabel("probe", **HORIZONTAL)
    answers.set_ylabel("its\nanswers", **HORIZONTAL)
    answers.set_xlabel("step")
    answers.set_xlim(-0.5, len(targets) - 0.5)


def _draw_probe(probe: Axes, answers: Axes, task: Any, atlas: AtlasLike) -> None:
    """The cued stream of each probe trial that is stored, and what a network answers, coloured by the evidence."""
    data = arrays(atlas, f"trajectories/{representatives(atlas, TASK)[0].network}", TASK)
    evidence, contexts = trial_labels(task, data)
    inputs, outputs = data["inputs"].values, data["outputs"].values
    own = np.flatnonzero(contexts == 0)
    colors = colors_of(color_scale(atlas, TASK), evidence[own])
    steps = np.arange(inputs.shape[1])
    for axes, of_trials in ((probe, inputs[own, :, 0]), (answers, outputs[own, :, 0])):
        lines = [np.stack([steps, values], axis=1) for values in of_trials]
        axes.add_collection(LineCollection(lines, colors=colors, linewidths=0.7))
        axes.autoscale()


def context_integration_caption(atlas: AtlasLike) -> str:
    """The caption of figure 3."""
    population = _population(atlas, TASK)
    geometry, topology = _measures(atlas, TASK)
    one = representatives(atlas, TASK)[0]
    task = atlas.study.task(TASK)
    return (
        f"Context-dependent integration, {population} a, a random trial, and the probe: constant levels of the cued "
        "stream without noise, coloured by level, and the answers of one network "
        f"({variant_label(one.architecture, one.activation)}) in the first context. "
        f"b, {_trajectories(atlas, TASK)} Marks are fixed and slow points; points "
        "further from the activity than its own range are not drawn but "
        f"counted. c, metric MDS of {measure_label(geometry)} distances. {_map(atlas, TASK, geometry)} "
        f"d, metric MDS of {measure_label(topology)} distances. {_map(atlas, TASK, topology)} e, moduli of "
        f"the eigenvalues along the line attractors ({atlas.study.analysis.manifold_points} points in each context), "
        f"by rank. f, the output {task.steps // 2} steps after a unit of the cued input, from the linear dynamics with "
        "only the largest modes kept; 1 is a perfect integral. The axis is linear up to 2 and logarithmic beyond. "
        f"e and f are means over the networks of {min(atlas.study.population.units)} units of each variant, "
        f"{smallest_lines(atlas)} together."
    )
