"""Loss in training: weights of steps, noise keyed by member, and penalties on rates, against NumPy loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.architectures import GRU, Vanilla
from dynatlas.cells.ctrnn import CTRNN
from dynatlas.cells.noise import gaussian
from dynatlas.study.settings import Training
from dynatlas.tasks.task import Task, Trial
from dynatlas.training.fit import begin, train
from dynatlas.training.loss import (
    _NOISE,
    Program,
    explained_variance,
    mean_squared_error,
    penalized_loss,
    training_loss,
    weighted_error,
)
from support.studies import tiny_study

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(7, impl="threefry2x32")
ITERATION = jnp.asarray(5)


def trials(steps=6, batch=3, weighted=False):
    random = np.random.default_rng(1)
    inputs, targets = (jnp.asarray(random.normal(size=(batch, steps, n)), jnp.float32) for n in (2, 1))
    weights = jnp.asarray(random.uniform(size=(batch, steps, 1)), jnp.float32) if weighted else None
    return Trial(inputs, targets, weights)


def rates_and_outputs(cell, inputs, noise):
    """Rates and outputs of each trial, step by step, with ``noise`` [steps, batch, units] in the sums."""
    weights = np.asarray(cell.connectivity() if isinstance(cell, CTRNN) else cell.recurrent_weights, np.float64)
    alpha = np.asarray(cell.alpha, np.float64) if isinstance(cell, CTRNN) else 1.0
    rates, outputs = [], []
    state = np.zeros((len(inputs), cell.units))
    for step in range(inputs.shape[1]):
        sums = state @ weights.T + inputs[:, step] @ np.asarray(cell.input_weights).T + np.asarray(cell.bias)
        state = (1 - alpha) * state + alpha * np.tanh(sums + noise[step])
        rates.append(state)
        outputs.append(state @ np.asarray(cell.readout_weights).T + np.asarray(cell.readout_bias))
    return np.array(rates), np.array(outputs)


def test_the_error_is_the_weighted_mean():
    trial = trials(weighted=True)
    outputs = np.random.default_rng(2).normal(size=(6, 3, 1))
    targets, weights = (np.asarray(each).swapaxes(0, 1) for each in (trial.targets, trial.weights))
    expected = np.average((outputs - targets) ** 2, weights=weights)
    assert float(weighted_error(jnp.asarray(outputs), trial)) == pytest.approx(expected, rel=1e-6)


class Weighted(Task):
    """Targets that count in the second half alone."""

    kind: str = "weighted"
    steps: int = 8

    def trial(self, key):
        targets = jax.random.normal(key, (self.steps, 1), jnp.float32)
        late = (jnp.arange(self.steps)[:, None] >= 4).astype(jnp.float32)
        return Trial(jnp.ones_like(targets), targets + 100 * (1 - late), late)


def test_explained_variance_has_the_weights_too():
    """A constant answer explains nothing of what counts, however much the rest varies."""
    task, settings = Weighted(), Training(validation_trials=64)
    held_out = task.trials(jax.random.key(20191208, impl="threefry2x32"), 64)
    late = np.asarray(held_out.targets)[:, 4:]
    assert explained_variance(task, settings, np.array([late.var()], np.float64)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    "cell", [Vanilla(2, 4, 1, key=KEY), CTRNN(2, 4, 1, key=KEY, dt=2.0, tau=10.0)], ids=["vanilla", "ctrnn"]
)
def test_noise_and_penalties_are_those_of_a_loop(cell):
    program = Program("sgd", 3, input_noise=0.3, recurrent_noise=0.2, rate_penalty=0.7, rate_change_penalty=0.9)
    trial = trials(weighted=True)
    of_inputs, of_units = jax.random.split(jax.random.fold_in(jax.random.fold_in(KEY, _NOISE), ITERATION))
    inputs = np.asarray(trial.inputs) + 0.3 * np.asarray(gaussian(of_inputs, (3, 6, 2)))
    alpha = float(np.ravel(cell.alpha)[0]) if isinstance(cell, CTRNN) else 1.0
    noise = 0.2 * np.sqrt((2 - alpha) / alpha) * np.asarray(gaussian(of_units, (6, 3, 4)))
    rates, outputs = rates_and_outputs(cell, inputs, noise)
    squares = sum(float((np.asarray(leaf, np.float64) ** 2).sum()) for leaf in jax.tree.leaves(penalised(cell)))
    expected = float(weighted_error(jnp.asarray(outputs), trial)) + 0.01 * squares
    expected += 0.7 * (rates**2).mean() + 0.9 * (np.diff(rates, axis=0) ** 2).mean()
    found = jax.jit(training_loss, static_argnums=3)(cell, trial, jnp.float32(0.01), program, KEY, ITERATION)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def penalised(cell):
    """The leaves that have a penalty."""
    from dynatlas.cells.cell import map_fixed

    return map_fixed(jnp.zeros_like, cell)


def test_the_gradient_is_that_of_the_noisy_loss():
    program = Program("sgd", 3, input_noise=0.3, recurrent_noise=0.2, rate_penalty=0.7, rate_change_penalty=0.9)
    with jax.enable_x64(True):
        cell = CTRNN(2, 4, 1, key=KEY).astype(jnp.float64)
        trial = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), trials())
        loss = jax.jit(training_loss, static_argnums=3)
        rest = (trial, jnp.float64(0.01), program, KEY, ITERATION)
        gradient = jax.jit(jax.grad(training_loss), static_argnums=3)(cell, *rest)
        random = np.random.default_rng(0)
        direction = penalised(jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape)), cell))
        ahead, behind = (jax.tree.map(lambda a, b, s=s: a + s * 1e-5 * b, cell, direction) for s in (1, -1))
        slope = float(loss(ahead, *rest) - loss(behind, *rest)) / 2e-5
        parts = zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
        assert slope == pytest.approx(sum(float((a * b).sum()) for a, b in parts), rel=1e-6)


def test_without_noise_and_penalties_the_program_is_the_plain_one():
    cell, trial, plain = GRU(2, 4, 1, key=KEY), trials(), Program("adam", 3)
    with_key = jax.jit(training_loss, static_argnums=3)(cell, trial, jnp.float32(0.1), plain, KEY, ITERATION)
    assert float(with_key) == float(jax.jit(penalized_loss)(cell, trial, jnp.float32(0.1)))


def study_of(architecture="ctrnn", **training):
    return tiny_study(
        tasks=[{"kind": "flip_flop", "steps": 6, "channels": 1}],
        population={"architectures": [architecture], "units": [4], "seeds": 3},
        training={"iterations": 12, "batch_size": 2, "validation_interval": 4, "validation_trials": 4} | training,
    )


def trained(study, rows, until=12, state=None, lanes=1):
    [(block, members)] = study.blocks.items()
    chosen = [members[row] for row in rows]
    state = state or begin(chosen, lambda key: study.cell(block, key))
    return train(study.tasks[0], chosen, state, until=until, lanes=lanes)


def weights_of(state, row):
    return [np.asarray(leaf[row]) for leaf in jax.tree.leaves(state.fits.cell)]


NOISY = {"input_noise": 0.2, "recurrent_noise": 0.3, "rate_penalty": 0.1, "rate_change_penalty": 0.1}


def test_noise_depends_neither_on_blocks_nor_on_interruptions():
    study = study_of(**NOISY)
    together = trained(study, [0, 1, 2])
    alone = trained(study, [1])
    resumed = trained(study, [1], state=trained(study, [1], until=5))
    for whole, one, two in zip(weights_of(together, 1), weights_of(alone, 0), weights_of(resumed, 0), strict=True):
        np.testing.assert_array_equal(whole, one)
        np.testing.assert_array_equal(one, two)
    assert not all(map(np.array_equal, weights_of(together, 0), weights_of(together, 1)))


def test_lanes_see_the_same_noise():
    """Lanes round differently; other noise would differ in the first digit."""
    study = study_of(**NOISY)
    one, two = trained(study, [0, 1]), trained(study, [0, 1], lanes=2)
    for first, second in zip(jax.tree.leaves(one.fits.cell), jax.tree.leaves(two.fits.cell), strict=True):
        np.testing.assert_allclose(first, second, rtol=2e-3, atol=2e-4)


def test_noise_changes_the_training_and_not_the_validation():
    quiet, noisy = (trained(study_of(**changes), [0]) for changes in ({}, {"recurrent_noise": 0.5}))
    assert not np.array_equal(quiet.validation_mse, noisy.validation_mse)
    held_out = study_of().tasks[0].trials(jax.random.key(20191208, impl="threefry2x32"), 4)
    cell = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), noisy.fits.cell)
    assert noisy.validation_mse[0, -1] == pytest.approx(float(mean_squared_error(cell, held_out)), rel=1e-5)


def test_a_penalty_on_rates_makes_them_smaller():
    inputs = jnp.ones((2, 6, 1))
    sizes = []
    for penalty in (0.0, 10.0):
        study = study_of(rate_penalty=penalty, learning_rate=0.1, iterations=300)
        cell = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), trained(study, [0], until=300).fits.cell)
        sizes.append(float((jax.vmap(cell.run)(inputs) ** 2).mean()))
    assert sizes[1] < 0.6 * sizes[0]


def test_ids_of_networks_without_noise_are_those_of_before():
    plain, noisy = (study_of("gru", **changes).members[0] for changes in ({}, {"recurrent_noise": 0.1}))
    assert study_of("gru", input_noise=0.0).members[0].id == plain.id != noisy.id
