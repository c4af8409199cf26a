"""Errors under variations of a task: against one network's own responses, trial by trial."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.architectures import GRU, Vanilla
from dynatlas.cells.noise import gaussian
from dynatlas.study.variants import UNCHANGED, variations_of
from dynatlas.tasks import FlipFlop
from dynatlas.tasks.cognitive.memory_angle import MemoryAngle
from dynatlas.training.loss import VALIDATION_SEED, explained_variance, held_out_trials, mean_squared_error
from dynatlas.training.variations import draw_variations, errors_of
from support.studies import tiny_study

pytestmark = pytest.mark.usefixtures("quick_compilation")
TASK = FlipFlop(steps=9, channels=2)
GIVEN = {"longer": {"steps": 17}, "shorter": {"steps": 4}, "more pulses": {"pulse_probability": 0.5}}


def errors(cell, variations, count=6):
    return {error.variation: error for error in errors_of(cell, draw_variations(variations, count))}


@pytest.mark.parametrize("cell_type", [Vanilla, GRU])
def test_the_error_is_that_on_the_held_out_trials_of_the_changed_task(cell_type):
    """Padding and the other variations change nothing."""
    cell = cell_type(2, 5, 2, "tanh", key=jax.random.key(3))
    variations = variations_of(TASK, GIVEN)
    found = errors(cell, variations)
    assert list(found) == [UNCHANGED, *GIVEN]
    for name, variation in variations.items():
        trials = held_out_trials(variation.task, 6)
        assert found[name].mse == pytest.approx(float(mean_squared_error(cell, trials)), rel=1e-5)
        assert found[name].share == pytest.approx(found[name].mse / np.var(np.asarray(trials.targets)), rel=1e-6)


def test_weights_of_the_task_count():
    task = MemoryAngle(delay=4)
    cell = Vanilla(task.n_inputs, 5, task.n_outputs, "relu", key=jax.random.key(0))
    found = errors(cell, variations_of(task, {}), 64)[UNCHANGED]
    trials = held_out_trials(task, 64)
    assert found.mse == pytest.approx(float(mean_squared_error(cell, trials)), rel=1e-5)
    settings = tiny_study(training={"validation_trials": 64}).training
    assert 1 - found.share == pytest.approx(explained_variance(task, settings, np.array(found.mse)), rel=1e-5)


def test_noise_on_inputs_has_its_size_and_is_the_same_for_all_networks():
    variations = variations_of(TASK, {"noisy": {"input_noise": 0.5}})
    first, second = (draw_variations(variations, 400) for _ in range(2))
    assert (first["noisy"].inputs == second["noisy"].inputs).all()
    noise = np.asarray(first["noisy"].inputs - first[UNCHANGED].inputs)
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.02)


def test_noise_of_units_goes_into_their_sums():
    cell = Vanilla(2, 5, 2, "tanh", key=jax.random.key(1))
    variations = variations_of(TASK, {"noisy": {"recurrent_noise": 0.3}})
    found = errors(cell, variations, 4)
    trials = held_out_trials(TASK, 4)
    key = jax.random.fold_in(jax.random.key(VALIDATION_SEED, impl="threefry2x32"), 2**31)
    drawn = 0.3 * np.asarray(gaussian(key, (9, 4, 5)))
    wrong = []
    for trial in range(4):
        state = cell.initial_state
        for step in range(9):
            sums = cell.recurrent_weights @ state + cell.project(trials.inputs[trial, step]) + drawn[step, trial]
            state = jnp.tanh(sums)
            wrong.append((cell.readout(state) - trials.targets[trial, step]) ** 2)
    assert found["noisy"].mse == pytest.approx(float(np.mean(wrong)), rel=1e-5)
    assert found[UNCHANGED].mse == pytest.approx(float(mean_squared_error(cell, trials)), rel=1e-5)


def test_a_network_that_diverges_has_an_infinite_error():
    cell = Vanilla(2, 5, 2, "relu", key=jax.random.key(0))
    cell = jax.tree.map(lambda leaf: leaf + 100, cell)
    found = errors(cell, variations_of(FlipFlop(steps=9, channels=2), {"longer": {"steps": 60}}))
    assert np.isinf(found["longer"].mse)
    assert np.isinf(found["longer"].share)
