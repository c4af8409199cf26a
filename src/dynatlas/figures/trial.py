"""One trial: inputs, targets, and the outputs of a network."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D

from dynatlas.atlas.view import AtlasLike, Missing, arrays, representatives, task_title
from dynatlas.figures.style import GREY, figure_title, new_figure, styled, write_message
from dynatlas.tasks.task import Trial

INPUT_COLOR = "#0072B2"
TARGET_COLOR = "#9A9A9A"
OUTPUT_COLOR = "#D55E00"
_MAX_ROWS = 8


def trial_figure(title: str, trial: Any, output: Any = None) -> Figure:
    """Draw one trial against the step.

    A pulse channel shares a row with the output that remembers it; any other input has a separate row.

    Args:
        title: title of the figure.
        trial: has ``inputs [steps, inputs]`` and ``targets [steps, outputs]``.
        output: a network's output ``[steps, outputs]``, drawn over the targets.

    Raises:
        ValueError: the shapes do not match.
    """
    inputs, targets = np.asarray(trial.inputs), np.asarray(trial.targets)
    answer = None if output is None else np.asarray(output)
    if inputs.ndim != 2 or targets.ndim != 2 or len(inputs) != len(targets):
        raise ValueError(
            f"a trial has inputs [steps, inputs] and targets [steps, outputs] of equal length, "
            f"not {inputs.shape} and {targets.shape}; give one trial, without a batch"
        )
    if answer is not None and answer.shape != targets.shape:
        raise ValueError(f"output has shape {answer.shape}; the targets have {targets.shape}")
    with styled():
        return _draw(title, inputs, targets, answer)


def _draw(title: str, inputs: Any, targets: Any, answer: Any) -> Figure:
    figure = new_figure(0.75 + 0.75 * sum(_row_heights(inputs, targets)), width=4.6)
    draw_trial(figure, inputs, targets, answer)
    figure_title(figure, title)
    handles = trial_handles(answered=answer is not None)
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def draw_trial(part: FigureBase, inputs: Any, targets: Any, answer: Any = None) -> None:
    """Draw rows of inputs ``[steps, inputs]`` and of targets and answers ``[steps, outputs]`` on a common axis."""
    paired = _is_paired(inputs, targets)
    n_inputs, n_outputs = inputs.shape[1], targets.shape[1]
    heights = _row_heights(inputs, targets)
    input_rows = len(heights) - min(n_outputs, _MAX_ROWS)
    rows = part.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for row, channel in zip(rows[:input_rows], range(input_rows), strict=True):
        draw_line(row, inputs[:, channel], INPUT_COLOR)
        row.set_ylabel(f"input {channel + 1}" if n_inputs > 1 else "input", **HORIZONTAL)
    for row, channel in zip(rows[input_rows:], range(len(rows) - input_rows), strict=True):
        if paired:
            _draw_pulses(row, inputs[:, channel])
        style = "steps-mid" if paired else "default"
        row.plot(targets[:, channel], color=TARGET_COLOR, linewidth=2.4, drawstyle=style)
        if answer is not None:
            row.plot(answer[:, channel], color=OUTPUT_COLOR, linewidth=0.9)
        name = "channel" if paired else "output"
        row.set_ylabel(f"{name} {channel + 1}" if n_outputs > 1 else name, **HORIZONTAL)
    rows[-1].set_xlabel("step")
    rows[-1].set_xlim(-0.5, len(targets) - 0.5)


def trial_handles(*, answered: bool) -> list[Line2D]:
    """Return the legend entries of a trial."""
    handles = [Line2D([], [], color=INPUT_COLOR, label="input"), _line_handle("target", TARGET_COLOR, 2.4)]
    return [*handles, _line_handle("network’s output", OUTPUT_COLOR, 0.9)] if answered else handles


def _is_paired(inputs: Any, targets: Any) -> bool:
    return _are_pulses(inputs) and inputs.shape[1] == targets.shape[1]


def _row_heights(inputs: Any, targets: Any) -> list[float]:
    """Return the relative height of each row."""
    paired = _is_paired(inputs, targets)
    input_rows = 0 if paired else min(inputs.shape[1], _MAX_ROWS)
    return [0.6] * input_rows + [0.8 if paired else 1.2] * min(targets.shape[1], _MAX_ROWS)


HORIZONTAL: Any = {"rotation": 0, "ha": "right", "va": "center"}


def _line_handle(label: str, color: str, width: float) -> Line2D:
    return Line2D([], [], color=color, linewidth=width, label=label)


def _are_pulses(inputs: Any) -> bool:
    """Return whether the inputs are pulses: only −1, 0 and 1, and not constant."""
    return bool(np.isin(inputs, (-1, 0, 1)).all() and (inputs != inputs[:1]).any())


def _draw_pulses(axes: Axes, channel: Any) -> None:
    steps = np.flatnonzero(channel)
    axes.axhline(0, color=GREY, linewidth=0.4)
    axes.vlines(steps, 0, channel[steps], color=INPUT_COLOR, linewidth=1)
    axes.plot(steps, channel[steps], "o", color=INPUT_COLOR, markersize=2.5)
    axes.set_ylim(-1.35, 1.35)
    axes.set_yticks([-1, 0, 1])


def draw_line(axes: Axes, channel: Any, color: str) -> None:
    """Draw one input against the step."""
    axes.step(range(len(channel)), channel, where="mid", color=color)
    low, high = float(channel.min()), float(channel.max())
    margin = 0.15 * (high - low) or 0.5
    axes.set_ylim(low - margin, high + margin)


def stored_trial_caption(atlas: AtlasLike, task: str) -> str:
    """Return the caption of ``stored_trial``."""
    one = representatives(atlas, task)[0]
    return (
        f"{task_title(atlas.study, task)}: a trial of the probe, with the inputs, the targets, and the answer of one "
        f"network ({one.name}). At most eight channels are drawn."
    )


def example_trial(atlas: AtlasLike, task: str) -> tuple[Trial, Any]:
    """Return a typical trial of the probe, and the output ``[steps, outputs]`` of the first representative network.

    Raises:
        Missing: no trajectories are stored.
    """
    one = representatives(atlas, task)[0]
    data = arrays(atlas, f"trajectories/{one.network}", task)
    trial = len(data["inputs"]) // 3  # not at the ends of a grid of commands, which are its least typical trials
    return Trial(data["inputs"].values[trial], data["targets"].values[trial]), data["outputs"].values[trial]


def stored_trial(atlas: AtlasLike, task: str) -> Figure:
    """Draw a stored trial of the probe and one network's output; the code of the task is not needed."""
    try:
        trial, answer = example_trial(atlas, task)
    except Missing as missing:
        with styled():
            figure = new_figure(1.2)
            write_message(figure.subplots(), str(missing))
        return figure
    return trial_figure(f"{task_title(atlas.study, task)}: a trial", trial, answer)
