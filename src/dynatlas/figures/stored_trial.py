"""A trial that an atlas holds, with an answer: of a user's own task, which no figure of the paper shows."""

from typing import Any

from matplotlib.figure import Figure

from dynatlas.figures.reading import AtlasLike, Missing, arrays, representatives, task_title
from dynatlas.figures.style import new_figure, styled, write_message
from dynatlas.figures.trial import trial_figure
from dynatlas.tasks import Trial


def example(atlas: AtlasLike, task: str) -> tuple[Trial, Any]:
    """A typical trial of the probe, and the answer ``[steps, outputs]`` of the first representative network.

    Raises:
        Missing: no trajectories are stored.
    """
    one = representatives(atlas, task)[0]
    data = arrays(atlas, f"trajectories/{one.network}", task)
    trial = len(data["inputs"]) // 3  # the ends of a grid of commands are its least typical trials
    return Trial(data["inputs"].values[trial], data["targets"].values[trial]), data["outputs"].values[trial]


def stored_trial(atlas: AtlasLike, task: str) -> Figure:
    """A trial of the probe and one network's answer; the task's code need not be there."""
    try:
        trial, answer = example(atlas, task)
    except Missing as missing:
        with styled():
            figure = new_figure(1.2)
            write_message(figure.subplots(), str(missing))
        return figure
    return trial_figure(f"{task_title(atlas.study, task)}: a trial", trial, answer)
