"""Step functions as people have them: each mistake has its sentence."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas import find_fixed_points
from dynatlas.networks import numpy_step

W = np.random.default_rng(0).normal(size=(4, 4)) / 2
STARTS = np.random.default_rng(1).normal(size=(8, 4))
NOISE = np.random.default_rng(2)


def leaf(h):
    return jnp.tanh(W @ h)


MISTAKES = {
    "a carry and an output": (
        lambda h, x: (leaf(h), h),
        r"returns a tuple of 2, of the shapes \[4\], \[4\]; expected .*\[0\]",
    ),
    "parts": (lambda h, x: (h[:2], h[2:]), "like .h, c. of an LSTM, concatenate them"),
    "a dictionary": (
        lambda h, x: {"h": h},
        r"step returns a dict; expected step\(state \[n\], inputs\) → the next state",
    ),
    "a list": (lambda h, x: [h], "step returns a list of 1"),
    "nothing": (lambda h, x: None, "step returns a NoneType"),
    "one argument": (leaf, r"takes 1 positional argument.*wrap it: lambda h, x: step\(h\)"),
    "swapped": (lambda x, h: leaf(h), r"but step\(inputs, state\) can: its arguments are the other way round"),
    "a batch": (lambda h, x: leaf(h)[None], r"written for batches: step\(h\[None\], x\[None\]\)\[0\]"),
    "NumPy": (lambda h, x: np.tanh(W @ np.asarray(h)), r"it calls NumPy or PyTorch on the state.*numpy_step"),
    "if": (lambda h, x: h if h.sum() > 0 else -h, "it needs the value of the state, as `if` and float"),
    "float": (lambda h, x: jnp.tanh(float(h[0]) * h), "it needs the value of the state"),
    "float32": (
        lambda h, x: leaf(h.astype(jnp.float32)).astype(jnp.float32),
        "step returns float32 for a float64 state",
    ),
    "inputs": (lambda h, x: leaf(h) + x, r"step uses its inputs, which are None here.*pass inputs=np.zeros\(m\)"),
    "noise": (lambda h, x: leaf(h) + NOISE.normal(size=4), "returns different states for the same state: it has noise"),
    "noise in NumPy": (numpy_step(lambda h, x: np.tanh(W @ h) + NOISE.normal(size=4)), "it has noise or dropout"),
    "a tuple in NumPy": (
        numpy_step(lambda h, x: np.tanh(W @ h)[:2]),
        r"step returns shape \(2,\) for a state of shape \(4,",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told(name):
    step, message = MISTAKES[name]
    with pytest.raises(ValueError, match=message) as error:
        find_fixed_points(step, STARTS, key=jax.random.key(0))
    assert len(str(error.value)) <= 500


@pytest.mark.parametrize(
    "step",
    [
        lambda x, h: jnp.tanh(2 * h),
        lambda inputs, state: jnp.tanh(2 * state),
        lambda u, x: jnp.tanh(2 * x),
        eqx.nn.GRUCell(4, 4, key=jax.random.key(0)),
    ],
)
def test_arguments_in_the_wrong_order_are_refused_where_sizes_are_equal(step):
    with pytest.raises(ValueError, match=r"seem to be the other way round.*or rename the parameters"):
        find_fixed_points(step, STARTS, np.zeros(4), key=jax.random.key(0))


@pytest.mark.parametrize(
    "step", [lambda x, u: leaf(x) + u, lambda h, x: leaf(h) + x, lambda state, inputs: leaf(state)]
)
def test_arguments_in_the_right_order_are_not_refused(step):
    assert len(find_fixed_points(step, STARTS, np.zeros(4), key=jax.random.key(0)))


def test_inputs_with_an_axis_of_batches_are_refused():
    with pytest.raises(
        ValueError, match=r"inputs has shape \(1, 4\); expected \[m\], one static input: pass inputs\[0\]"
    ):
        find_fixed_points(lambda h, x: leaf(h) + x, STARTS, np.zeros((1, 4)), key=jax.random.key(0))


def test_arguments_that_are_no_starts_no_key_and_no_budget():
    for arguments, message in (
        ({"initial_states": STARTS.reshape(2, 4, 4)}, r"expected \[starts, n\]: reshape trials with .reshape\(-1, 4\)"),
        ({"initial_states": np.ma.masked_greater(STARTS, 1)}, "initial_states has masked entries"),
        ({"max_starts": 0}, "max_starts is 0; expected at least 1"),
    ):
        given = {"initial_states": STARTS} | arguments
        with pytest.raises(ValueError, match=message):
            find_fixed_points(lambda h, x: leaf(h), **given, key=jax.random.key(0))


def test_a_map_without_fixed_points_keeps_the_number_of_units():
    points = find_fixed_points(lambda h, x: h + 1.0, STARTS, max_starts=64, key=jax.random.key(0))
    assert points.states.shape == (0, 4)
    assert points.eigenvalues.shape == (0, 4)
