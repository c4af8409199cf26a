"""Leaves of a cell that are declared fixed are drawn per network and stay what they are, bit by bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from dynatlas.cells import Cell
from dynatlas.cells.cell import size_of
from dynatlas.cells.checks import check_cell
from dynatlas.tasks.flip_flop import FlipFlop
from dynatlas.training.fit import begin, train
from dynatlas.training.loss import penalized_loss
from support.studies import tiny_study

pytestmark = pytest.mark.usefixtures("quick_compilation")
TASK = FlipFlop(steps=6, channels=1)
MEMBERS = next(
    iter(
        tiny_study(
            tasks=[{"kind": "flip_flop", "steps": 6, "channels": 1}],
            population={"architectures": ["gru"], "units": [5], "l2": [0.1], "seeds": 2},
            training={"iterations": 8, "batch_size": 4, "validation_interval": 8, "validation_trials": 4},
        ).blocks.values()
    )
)


class Undeclared(Cell):
    """Excitation and inhibition with a mask drawn once and a time constant for each unit."""

    weights: Array
    inputs: Array
    shown: Array
    initial_state: Array
    mask: Array
    alpha: Array

    def __init__(self, n_inputs, units, n_outputs, activation="relu", *, key):
        a, b, c, d, e = jax.random.split(key, 5)
        self.weights = jnp.abs(jax.random.normal(a, (units, units), jnp.float32)) / units**0.5
        self.inputs = jax.random.normal(b, (units, n_inputs), jnp.float32)
        self.shown = jax.random.normal(c, (n_outputs, units), jnp.float32) / units**0.5
        self.initial_state = jnp.full(units, 0.5, jnp.float32)
        self.mask = jnp.where(jax.random.bernoulli(d, 0.5, (units, units)), 1.0, -0.0).astype(jnp.float32)
        self.alpha = jax.random.uniform(e, (units,), jnp.float32, 0.2, 0.5)

    @property
    def units(self):
        return self.shown.shape[-1]

    def __call__(self, state, inputs):
        mask, alpha = jax.lax.stop_gradient((self.mask, self.alpha))
        sign = jnp.where(jnp.arange(self.units) < 3, 1.0, -1.0).astype(state.dtype)
        drive = (jnp.abs(self.weights) * mask * sign) @ state + self.inputs @ inputs
        return (1 - alpha) * state + alpha * jnp.tanh(drive)

    def readout(self, state):
        return self.shown @ state


class Declared(Undeclared):
    fixed_leaves = ("mask", "alpha")

    def __call__(self, state, inputs):
        sign = jnp.where(jnp.arange(self.units) < 3, 1.0, -1.0).astype(state.dtype)
        drive = (jnp.abs(self.weights) * self.mask * sign) @ state + self.inputs @ inputs
        return (1 - self.alpha) * state + self.alpha * jnp.tanh(drive)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_leaves_them_bit_by_bit_and_moves_the_others(optimizer):
    members = [one._replace(training=one.training.model_copy(update={"optimizer": optimizer})) for one in MEMBERS]
    start = begin(members, lambda key: Declared(1, 5, 1, key=key))
    before = jax.tree.map(np.array, start.fits.cell)
    after = train(TASK, members, start, until=8).fits.cell
    for name in ("mask", "alpha"):
        assert getattr(after, name).tobytes() == getattr(before, name).tobytes()
        assert not np.array_equal(*getattr(after, name))  # drawn for each network
    for name in ("weights", "inputs", "shown", "initial_state"):
        assert (getattr(after, name) != getattr(before, name)).any()


def test_they_have_no_gradient_and_no_penalty_and_are_no_parameters():
    cell, trials = Declared(1, 5, 1, key=jax.random.key(0)), TASK.trials(jax.random.key(1), 3)
    gradient = jax.jit(jax.grad(penalized_loss))(cell, trials, jnp.float32(0.1))
    assert not gradient.mask.any()
    assert not gradient.alpha.any()
    loss = jax.jit(penalized_loss)
    penalty = loss(cell, trials, jnp.float32(1)) - loss(cell, trials, jnp.float32(0))
    squares = sum(float(jnp.sum(leaf**2)) for leaf in (cell.weights, cell.inputs, cell.shown, cell.initial_state))
    assert float(penalty) == pytest.approx(squares, rel=1e-5)
    assert size_of(Declared, 1, 5, 1, "relu").weights == size_of(Undeclared, 1, 5, 1, "relu").weights - 30


def test_constants_that_are_not_declared_and_names_that_do_not_exist_are_told():
    check_cell("ei", Declared, 2, 6, 1, "relu")
    with pytest.raises(ValueError, match=r"no gradient for 'mask', 'alpha': .*fixed_leaves = \('mask', 'alpha'\)"):
        check_cell("ei", Undeclared, 2, 6, 1, "relu")

    class Misspelt(Declared):
        fixed_leaves = ("masks",)

    with pytest.raises(
        ValueError, match="fixed_leaves names 'masks'; expected some of weights, inputs, shown, initial_s"
    ):
        check_cell("ei", Misspelt, 2, 6, 1, "relu")
