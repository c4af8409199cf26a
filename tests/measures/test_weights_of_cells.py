"""The distance of two cells: between reordered copies, architectures and sizes."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from dynatlas.cells.architectures import GRU, LSTM, UGRNN, Vanilla
from dynatlas.cells.ctrnn import CTRNN
from dynatlas.networks.weights import weight_distance

KINDS = {
    "vanilla": Vanilla,
    "ugrnn": UGRNN,
    "gru": GRU,
    "lstm": LSTM,
    "ctrnn": partial(CTRNN, tau=[50.0, 200.0]),
    "Dale's law": partial(CTRNN, excitatory=0.75),
}
# Of each leaf, the axes that have units.
AXES = {
    "recurrent_weights": (0, 1),
    "input_weights": (0,),
    "bias": (0,),
    "initial_state": (0,),
    "readout_weights": (1,),
}
AXES |= {"leak": (0,), "signs": (0,)}


def new(kind, activation="tanh", units=8, seed=0, n_inputs=3, n_outputs=2):
    return KINDS[kind](n_inputs, units, n_outputs, activation, key=jax.random.key(seed))


def reordered(cell, order):
    """The cell with its units in another order."""
    changes = {}
    for name, axes in AXES.items():
        leaf = getattr(cell, name, None)
        for axis in axes if leaf is not None else ():
            starts = np.arange(0, leaf.shape[axis], cell.units)
            leaf = jnp.take(leaf, (starts[:, None] + order).ravel(), axis)
        changes[name] = leaf
    names = [name for name, leaf in changes.items() if leaf is not None]
    return eqx.tree_at(lambda one: [getattr(one, name) for name in names], cell, [changes[name] for name in names])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_reordered_cells_are_at_0(kind, activation):
    cell, order = new(kind, activation), np.random.default_rng(0).permutation(8)
    other = reordered(cell, order)
    found = weight_distance(cell, other)
    assert found.distance < 1e-7
    assert found.lower_bound == 0
    np.testing.assert_array_equal(order[found.order], np.arange(8))
    if activation == "relu" or kind == "Dale's law":
        np.testing.assert_array_equal(found.signs, 1)
    inputs = jnp.asarray(np.random.default_rng(1).normal(size=(5, 3)), jnp.float32)
    np.testing.assert_allclose(cell.respond(inputs)[1], other.respond(inputs)[1], atol=1e-5)


def test_a_changed_sign_is_seen_in_rectified_units_alone():
    for activation, at_zero in (("tanh", True), ("relu", False)):
        cell = new("vanilla", activation)
        signs = jnp.where(jnp.arange(8) < 3, -1.0, 1.0)
        other = eqx.tree_at(
            lambda one: (one.recurrent_weights, one.input_weights, one.readout_weights),
            cell,
            (
                signs[:, None] * cell.recurrent_weights * signs,
                signs[:, None] * cell.input_weights,
                cell.readout_weights * signs,
            ),
        )
        found = weight_distance(cell, other)
        assert (found.distance < 1e-7) == at_zero
        if at_zero:
            np.testing.assert_array_equal(found.signs, signs)
            np.testing.assert_array_equal(found.order, np.arange(8))


def test_of_any_two_cells():
    cells = [new(kind, units=units, seed=units) for kind in KINDS for units in (5, 8)]
    cells += [new("gru", "relu"), new("vanilla", n_inputs=1, n_outputs=4)]
    for first in cells:
        for second in cells:
            found = weight_distance(first, second)
            assert 0 <= found.lower_bound <= found.distance < 2
            assert (found.distance == 0) == (first is second)
            matched = found.order[found.order >= 0]
            assert len(found.order) == len(found.signs) == first.units
            assert len(set(matched)) == len(matched) == min(first.units, second.units)
            assert set(np.abs(found.signs)) == {1}
    assert weight_distance(cells[0], cells[3]).distance == weight_distance(cells[3], cells[0]).distance


def test_a_scale_of_all_weights_is_not_seen():
    cell = new("gru")
    assert weight_distance(cell, jax.tree.map(lambda leaf: 3 * leaf, cell)).distance < 1e-6


@pytest.fixture
def without_type_checks():
    """As a user runs the library: the test run's own checks would refuse the argument first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_what_cannot_be_compared(without_type_checks):
    cell = new("vanilla")
    with pytest.raises(ValueError, match=r"second is a builtins.dict; expected a cell of dynatlas"):
        weight_distance(cell, {"between candidate": np.ones((2, 2))})
    broken = eqx.tree_at(lambda one: one.bias, cell, cell.bias.at[0].set(jnp.nan))
    with pytest.raises(ValueError, match="first has weights that are not finite, in 'units bias candidate'"):
        weight_distance(broken, cell)
    with pytest.raises(ValueError, match="starts is 0"):
        weight_distance(cell, cell, starts=0)
    with pytest.raises(ValueError, match="norm 0"):
        weight_distance(cell, jax.tree.map(jnp.zeros_like, cell))
