import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.activations import ACTIVATIONS
from dynatlas.cells.architectures import LSTM
from dynatlas.cells.registry import CELLS
from dynatlas.dynamics.jacobian_structure import column_structure, residual_and_columns


def two_layers(state, inputs):
    """Two units drive a third and a fourth, which only remember; numbers of the state in no particular order."""
    memory, first, other_memory, second = state
    first_next = jnp.tanh(first - 2 * second + inputs[0])
    second_next = jnp.where(first > 0, second * memory, 0.5)
    return jnp.stack([0.9 * memory + first, first_next, 0.5 * other_memory + first * second, second_next])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", CELLS)
def test_only_the_memory_of_an_lstm_reaches_rows_of_its_own(kind, activation):
    cell = CELLS[kind](2, 6, 1, activation, key=jax.random.key(0))
    structure = column_structure(cell, cell.initial_state, jnp.zeros(2))
    if kind == "lstm":
        assert structure.coupled.tolist() == list(range(6))
        assert structure.separate.tolist() == list(range(6, 12))
        assert structure.separate_rows.tolist() == [list(range(6)), list(range(6, 12))]
        assert structure.other_rows.tolist() == []
    else:
        assert structure.separate.tolist() == []
        assert structure.coupled.tolist() == list(range(6))


def test_the_structure_does_not_depend_on_the_weights():
    """A weight that is 0 counts as a dependence: a compiled search serves all weights of a shape."""
    cell = LSTM(1, 4, 1, key=jax.random.key(0))
    empty = jax.tree.map(jnp.zeros_like, cell)
    given, zero = (column_structure(each, each.initial_state, jnp.zeros(1)) for each in (cell, empty))
    assert all(np.array_equal(*pair) for pair in zip(given, zero, strict=True))


def test_columns_with_different_numbers_of_rows_are_found_too():
    structure = column_structure(two_layers, jnp.zeros(4), jnp.zeros(1))
    # The memory at 2 reaches itself alone, that at 0 itself and the last unit; the row of unit 1 is nobody's.
    assert structure.separate.tolist() == [0, 2]
    assert structure.coupled.tolist() == [1, 3]
    assert structure.separate_rows.tolist() == [[0, 2], [3, 4]]
    assert structure.other_rows.tolist() == [1]


@pytest.mark.parametrize(
    "mix",
    [
        lambda h: jax.lax.fori_loop(0, 2, lambda _, now: now * 0.5, h),
        jnp.cumsum,
        jnp.sort,
        lambda h: h[jnp.argsort(h)],
        lambda h: h + h.sum(),
        lambda h: jnp.linalg.norm(h) * h,
    ],
)
def test_an_operation_that_is_not_known_to_keep_numbers_apart_couples_all(mix):
    assert not len(column_structure(lambda h, _: mix(h), jnp.zeros(6), None).separate)


@pytest.mark.parametrize(
    "apart",
    [
        lambda h: jnp.tanh(h) * 2,
        jax.nn.relu,
        lambda h: jnp.where(h > 0, h, 0.0),
        lambda h: h[::-1],
        lambda h: jnp.concatenate([h[3:], h[:3]]),
        lambda h: (h.reshape(2, 3) * jnp.ones((1, 3))).T.reshape(-1),
        lambda h: jnp.full(6, 0.5),
    ],
)
def test_of_numbers_that_stay_apart_one_column_is_left_to_factorise(apart):
    structure = column_structure(lambda h, _: apart(h) + h, jnp.zeros(6), None)
    shares = len(structure.separate)
    jacobian = np.asarray(jax.jacfwd(lambda h: apart(h) + h)(jnp.linspace(-1.0, 2.0, 6))) - np.eye(6)
    assert shares >= 3
    assert ((jacobian[:, structure.separate] != 0).sum(axis=1) <= 1).all()


@pytest.mark.parametrize("kind", ["lstm", "gru", "two layers"])
def test_its_products_and_damped_steps_are_those_of_the_whole_jacobian(kind):
    random = np.random.default_rng(0)
    with jax.enable_x64(True):
        cell = CELLS.get(kind, LSTM)(1, 3, 1, key=jax.random.key(1)).astype(jnp.float64)
        step, size = (two_layers, 4) if kind == "two layers" else (cell, len(cell.initial_state))
        state, given, inputs = jnp.asarray(random.normal(size=size)), random.normal(size=size), jnp.ones(1)
        scale, dampings = random.uniform(0.5, 2, size=size), [1e-20, 1e-3, 10.0]
        whole = np.asarray(jax.jacfwd(step)(state, inputs)) - np.eye(size)
        gradient = whole.T @ (scale**2 * given)

        @jax.jit
        def compute(state):
            residual, columns = residual_and_columns(step, state, inputs, column_structure(step, state, inputs))
            scaled = columns.scale_rows(jnp.asarray(scale))
            descents = [scaled.damped_inverse(jnp.asarray(damping))(jnp.asarray(gradient)) for damping in dampings]
            return residual, columns.row_lengths(), scaled.gradient(jnp.asarray(scale * given)), descents

        residual, lengths, product, descents = compute(state)
        np.testing.assert_allclose(residual, step(state, inputs) - state, rtol=1e-12)
        np.testing.assert_allclose(lengths, np.linalg.norm(whole, axis=1), rtol=1e-12)
        np.testing.assert_allclose(product, gradient, rtol=1e-12)
        for damping, descent in zip(dampings, descents, strict=True):
            normal = whole.T @ (scale[:, None] ** 2 * whole) + damping * np.eye(size)
            np.testing.assert_allclose(descent, np.linalg.solve(normal, gradient), rtol=1e-7)
