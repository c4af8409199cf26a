"""Parts that the figures of the paper share: a heading with a letter, a trial, a pair of maps."""

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure, SubFigure

from dynatlas.figures.distances import draw_map
from dynatlas.figures.legends import LOOKS
from dynatlas.figures.reading import AtlasLike, Missing, arrays, panel, representatives, tasks
from dynatlas.figures.style import SMALLEST, TASK_TITLES, heading, measure_label, new_figure, styled, write_message
from dynatlas.figures.trial import draw_trial, trial_handles
from dynatlas.tasks import Trial


def figure_of_task(atlas: AtlasLike, task: str, height: float, draw: Callable[[Figure, AtlasLike], None]) -> Figure:
    """A figure about one task; of a study without it, one that says so."""
    with styled():
        if task in tasks(atlas):
            figure = new_figure(height)
            draw(figure, atlas)
        else:
            figure = new_figure(1.2)
            write_message(figure.subplots(), not_studied(atlas, task))
    return figure


def not_studied(atlas: AtlasLike, task: str) -> str:
    """What to say of a task that the study does not have."""
    return (
        f"The study “{atlas.study.name}” has no {TASK_TITLES[task].lower()} task.\n"
        f'Add [[tasks]] with kind = "{task}" to its file, and run it into a new atlas.'
    )


def example(atlas: AtlasLike, task: str) -> tuple[Trial, Any]:
    """A typical trial of the probe, and the answer ``[steps, outputs]`` of the first representative network.

    Raises:
        Missing: no trajectories are stored.
    """
    one = representatives(atlas, task)[0]
    data = arrays(atlas, f"trajectories/{one.network}", task)
    trial = len(data["inputs"]) // 3  # the ends of a grid of commands are its least typical trials
    return Trial(data["inputs"].values[trial], data["targets"].values[trial]), data["outputs"].values[trial]


def draw_example(part: SubFigure, atlas: AtlasLike, task: str) -> None:
    """A trial and an answer, or what is missing."""
    try:
        trial, answer = example(atlas, task)
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


def draw_maps(part: SubFigure, letter: str, atlas: AtlasLike, task: str, measure: str) -> None:
    """The map of one measure twice, coloured by architecture and by activation."""
    heading(part, letter, f"{measure_label(measure)} distances, MDS")
    for axes, factor in zip(part.subplots(1, 2), LOOKS, strict=True):
        axes.set_title(f"by {factor}", fontsize=7, fontweight="normal")
        panel(axes, draw_map, atlas, task, measure, factor)
