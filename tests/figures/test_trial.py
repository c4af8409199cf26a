"""Figures of one trial."""

from typing import Any

import numpy as np
import pytest

from dynatlas import figures
from dynatlas.tasks.context_integration import ContextIntegration
from dynatlas.tasks.flip_flop import FlipFlop
from dynatlas.tasks.sine_wave import SineWave
from dynatlas.tasks.task import Trial
from support.figures import texts


@pytest.mark.parametrize("task", [FlipFlop(steps=20), SineWave(steps=20), ContextIntegration(steps=12)])
def test_a_trial_is_drawn_with_and_without_an_output(task: Any) -> None:
    import jax

    trial = task.trial(jax.random.key(0))
    assert "network’s output" not in texts(figures.trial_figure("x", trial))
    figure = figures.trial_figure("x", trial, trial.targets)
    assert "network’s output" in texts(figure)
    rows = task.channels if isinstance(task, FlipFlop) else task.n_inputs + task.n_outputs
    assert len(figure.axes) == rows
    assert len(task.plot(jax.random.key(0)).axes) == rows


def test_a_trial_of_any_size_is_drawn() -> None:
    rng = np.random.default_rng(0)
    trial = Trial(rng.normal(size=(10, 30)), rng.normal(size=(10, 2)))  # type: ignore[arg-type]
    assert len(figures.trial_figure("$\\bad", trial).axes) == 8 + 2


@pytest.mark.parametrize(
    ("inputs", "targets", "output", "message"),
    [
        ((4, 10, 1), (4, 10, 1), None, "without a batch"),
        ((10, 1), (9, 1), None, "equal length"),
        ((10, 1), (10, 1), (10, 2), "output has shape"),
    ],
)
def test_a_trial_of_another_shape_is_refused(inputs: Any, targets: Any, output: Any, message: str) -> None:
    answer = None if output is None else np.zeros(output)
    with pytest.raises(ValueError, match=message):
        figures.trial_figure("x", type("Any", (), {"inputs": np.zeros(inputs), "targets": np.zeros(targets)})(), answer)
