"""Shared parts of the figures of the paper: a trial, a pair of maps, one network, and their captions."""

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure, SubFigure

from dynatlas._util.messages import count_of
from dynatlas.atlas.view import (
    AtlasLike,
    Missing,
    left_out_sentence,
    map_facts,
    map_note,
    representatives,
    table,
    task_name,
    task_title,
    tasks,
    tasks_with,
    varying_factors,
)
from dynatlas.figures.distances import draw_map
from dynatlas.figures.looks import factor_label, variant_label
from dynatlas.figures.state_spaces import (
    FEW_PANELS,
    MOST_STEPS,
    color_scale,
    draw_state_space,
    drawn_variants,
    each_variant,
    most_trials,
)
from dynatlas.figures.style import SMALLEST, heading, new_figure, panel, styled, write_message
from dynatlas.figures.trial import draw_trial, example_trial, trial_handles
from dynatlas.measures.registry import measure_label
from dynatlas.tasks.task import Computation

TITLE_LETTERS = 28  # of a line above a panel


def task_figure(
    atlas: AtlasLike, computation: Computation, height: float, draw: Callable[[Figure, AtlasLike, str], None]
) -> Figure:
    """Draw a figure of the first task with this computation, or a message if the study has no such task."""
    task = tasks_with(atlas.study, computation)[0]
    with styled():
        if task in tasks(atlas):
            figure = new_figure(height)
            draw(figure, atlas, task)
        else:
            figure = new_figure(1.2)
            write_message(figure.subplots(), missing_task_message(atlas, task))
    return figure


def missing_task_message(atlas: AtlasLike, task: str) -> str:
    """Return the message for a task that the study does not have."""
    return (
        f"The study “{atlas.study.name}” has no {task_name(atlas.study, task)} task.\n"
        f'Add [[tasks]] with kind = "{task}" to its file, and run it into a new atlas.'
    )


def draw_example_trial(part: SubFigure, atlas: AtlasLike, task: str) -> None:
    """Draw a trial with one network's output, or a message."""
    try:
        trial, answer = example_trial(atlas, task)
    except Missing as missing:
        write_message(part.subplots(), str(missing))
    else:
        draw_trial(part, trial.inputs, trial.targets, answer)
        part.legend(
            handles=trial_handles(answered=True),
            loc="outside lower center",
            ncols=3,
            fontsize=SMALLEST,
            handlelength=1,
            columnspacing=0.8,
            borderpad=0,
        )


def describe_trial(atlas: AtlasLike, task: str) -> str:
    """Describe ``draw_example_trial`` for captions."""
    words = atlas.study.task(task).probe_words or "the inputs, the targets"
    return f"a trial of the probe: {words}, and one network’s answer"


def draw_maps(part: SubFigure, letter: str, atlas: AtlasLike, task: str, measure: str) -> None:
    """Draw the map of one measure, coloured by each of the shown factors."""
    heading(part, letter, f"{measure_label(measure)} distances, MDS")
    factors = varying_factors(atlas.study)
    for axes, factor in zip(part.subplots(1, len(factors), squeeze=False)[0], factors, strict=True):
        axes.set_title(f"by {factor_label(factor)}", fontsize=7, fontweight="normal")
        panel(axes, draw_map, atlas, task, measure, factor)


def draw_network(part: SubFigure, atlas: AtlasLike, task: str, title: str, draw: Callable[..., None]) -> set[Any]:
    """Draw one network's fixed points in state space, and call ``draw(axes, atlas, network)`` for the panel beside it.

    Returns:
        The kinds of points and lines that were drawn.
    """
    try:
        one = representatives(atlas, task)[0]
    except Missing as missing:
        write_message(part.subplots(), str(missing))
        return set()
    left, right = part.subplots(1, 2)
    name = variant_label(atlas.study, one.variant)
    left.set_title(_broken(f"{name}, state space"), fontsize=7, fontweight="normal", parse_math=False)
    right.set_title(title, fontsize=7, fontweight="normal")
    panel(right, draw, atlas, one)
    return panel(left, draw_state_space, atlas, one, color_scale(atlas, task)) or set()


def _broken(title: str) -> str:
    """Break a title after commas into lines that fit above a panel.

    Example:
        >>> _broken("Vanilla tanh, state space"), _broken("recurrent noise 0.05, state space").splitlines()
        ('Vanilla tanh, state space', ['recurrent noise 0.05,', 'state space'])
    """
    lines = [""]
    for part in title.split(", "):
        longer = f"{lines[-1]}, {part}" if lines[-1] else part
        lines = [*lines[:-1], longer] if len(longer) <= TITLE_LETTERS else [*lines, part]
    return ",\n".join(lines)


def describe_population(atlas: AtlasLike, task: str) -> str:
    """State the task, the number of networks, and the networks left out."""
    if task not in tasks(atlas):
        raise Missing(missing_task_message(atlas, task))
    networks = table(atlas, "networks", task)
    passed = int(networks["passed"].sum())
    trained = f"{passed:,} of {count_of(len(networks), 'trained network')}"
    return f"{task_title(atlas.study, task)}, {trained}. {left_out_sentence(networks)}"


def compared_measures(atlas: AtlasLike, task: str) -> tuple[str, str]:
    """Return the measures of geometry and of topology that the maps show."""
    return atlas.study.analysis.activity_measures[0], atlas.study.task(task).topology[0]


def describe_map(atlas: AtlasLike, task: str, measure: str) -> str:
    """State how many networks a map has, and how they were compared."""
    facts = map_facts(atlas, task, measure)
    if facts is None:
        return "This map is not in the atlas."
    left_out = f"; {facts['n_left_out']} left out: {facts['left_out_reason']}" if facts["n_left_out"] else ""
    return f"({map_note(facts)}{left_out}.)"


def describe_trajectories(atlas: AtlasLike, task: str) -> str:
    """Describe the trajectories drawn for one network of each variant."""
    chosen = drawn_variants(atlas, task, FEW_PANELS)
    steps = f", the last {MOST_STEPS} steps of each" if atlas.study.task(task).steps > MOST_STEPS else ""
    return (
        f"{count_of(len(chosen), 'network')}, {each_variant(atlas.study, FEW_PANELS)}, in the first three principal "
        "components of its probe activity, each scaled to its range (at most "
        f"{most_trials(atlas, task)} trials{steps}; percentages: shares of the variance)."
    )
