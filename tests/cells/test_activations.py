"""The register of activations: what it says of each is so, and what is not so is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

from dynatlas.cells.activations import (
    ACTIVATIONS,
    BUILT_IN_ACTIVATIONS,
    Nonlinearity,
    check_activation,
    register_activation,
)
from dynatlas.cells.architectures import GRU, LSTM, UGRNN, Vanilla
from dynatlas.cells.backpropagation import batch_outputs
from dynatlas.cells.registry import CELLS
from dynatlas.registry import Origin, importing, origin_of

BY_HAND = {
    "tanh": np.tanh,
    "relu": lambda a: np.where(a > 0, a, 0),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "softplus": lambda a: np.log1p(np.exp(a)),
    "retanh": lambda a: np.where(a > 0, np.tanh(a), 0),
    "leaky_relu": lambda a: np.where(a > 0, a, 0.01 * a),
    "gelu": lambda a: a * ndtr(a),
    "identity": lambda a: a,
}
every = pytest.mark.parametrize("name", BUILT_IN_ACTIVATIONS)


@every
def test_values_are_those_of_the_definition_and_within_the_bounds(name):
    arguments = np.random.default_rng(0).normal(size=1000) * 5
    with jax.enable_x64(True):
        values = np.asarray(ACTIVATIONS[name].function(jnp.asarray(arguments)))
    np.testing.assert_allclose(values, BY_HAND[name](arguments), rtol=1e-12, atol=1e-15)
    assert (values >= ACTIVATIONS[name].low).all()
    assert (values <= ACTIVATIONS[name].high).all()


@every
def test_bounds_slopes_and_derivatives_meet_what_is_asked_of_a_users_own(name):
    check_activation(name, ACTIVATIONS[name])


@every
def test_the_bounds_and_the_slope_range_are_reached(name):
    """The ranges are no wider than needed, so that boxes are no larger."""
    phi = ACTIVATIONS[name]
    with jax.enable_x64(True):
        arguments = jnp.asarray(np.concatenate([np.linspace(-6, 6, 20_001), [-40.0, 40.0]]))
        values, slopes = np.asarray(phi.function(arguments)), np.asarray(jax.vmap(jax.grad(phi.function))(arguments))
    for bound, seen in ((phi.low, values.min()), (phi.high, values.max())):
        assert abs(bound - seen) < 1e-6 if np.isfinite(bound) else abs(seen) > 0.39
    assert slopes.min() == pytest.approx(phi.slopes[0], abs=1e-6)
    assert slopes.max() == pytest.approx(phi.slopes[1], abs=1e-6)


@every
def test_a_step_of_every_cell_uses_it_wherever_the_equations_have_it(name):
    phi, random = BY_HAND[name], np.random.default_rng(1)

    def logistic(values):
        return 1 / (1 + np.exp(-values))

    with jax.enable_x64(True):
        for kind in (Vanilla, UGRNN, GRU, LSTM):
            cell = kind(2, 4, 1, name, key=jax.random.key(0)).astype(jnp.float64)
            state, given = random.normal(size=len(cell.initial_state)), random.normal(size=2)
            h, drive = state[:4], np.asarray(cell.input_weights) @ given + np.asarray(cell.bias)
            weights = np.asarray(cell.recurrent_weights)
            sums = dict(zip(cell.gates, np.split(weights @ h + drive, len(cell.gates)), strict=True))
            if kind is Vanilla:
                expected = phi(sums["candidate"])
            elif kind is UGRNN:
                gate = logistic(sums["update"])
                expected = gate * h + (1 - gate) * phi(sums["candidate"])
            elif kind is GRU:
                inner = weights[8:] @ (logistic(sums["reset"]) * h) + drive[8:]
                gate = logistic(sums["update"])
                expected = gate * h + (1 - gate) * phi(inner)
            else:
                memory = logistic(sums["forget"]) * state[4:] + logistic(sums["input"]) * phi(sums["candidate"])
                expected = np.concatenate([logistic(sums["output"]) * phi(memory), memory])
            np.testing.assert_allclose(cell(jnp.asarray(state), jnp.asarray(given)), expected, atol=1e-12)


@every
@pytest.mark.parametrize("kind", CELLS)
def test_a_box_exists_where_the_values_are_bounded_and_is_invariant(name, kind):
    phi, random = ACTIVATIONS[name], np.random.default_rng(2)
    with jax.enable_x64(True):
        # Large weights, so that relu has no box either.
        cell = CELLS[kind](2, 4, 1, name, gain=5.0, key=jax.random.key(0)).astype(jnp.float64)
        inputs = jnp.asarray(random.normal(size=2))
        box = cell.box(inputs)
        assert (box is not None) == (np.isfinite(phi.low) and np.isfinite(phi.high))
        if box is None:
            return
        low, high = map(np.asarray, box)
        states = np.where(random.random((400, len(low))) < 0.5, low, high)
        states[:200] = random.uniform(low, high, (200, len(low)))
        after = np.asarray(jax.vmap(cell, (0, None))(jnp.asarray(states), inputs))
    assert ((after >= low - 1e-12) & (after <= high + 1e-12)).all()


class TestRegistration:
    """Of a user's own activation."""

    @pytest.fixture(autouse=True)
    def removed(self):
        yield
        for name in set(ACTIVATIONS) - set(BUILT_IN_ACTIVATIONS):
            del ACTIVATIONS[name]

    def test_it_is_used_by_every_cell_with_the_fast_gradient(self):
        @register_activation(
            "softsign", low=-1.0, high=1.0, slopes=(0.0, 1.0), derivative=lambda s: (1 - jnp.abs(s)) ** 2
        )
        def softsign(values):
            return values / (1 + jnp.abs(values))

        inputs = jax.random.normal(jax.random.key(1), (4, 8, 2))
        for kind in CELLS.values():
            cell = kind(2, 5, 1, "softsign", key=jax.random.key(0))
            assert cell.box(inputs[0, 0]) is not None

            def plain(cell):
                return jax.vmap(cell.respond)(inputs)[1].sum()

            def fast(cell):
                return batch_outputs(cell, inputs).sum()

            seen, expected = jax.grad(fast)(cell), jax.grad(plain)(cell)
            np.testing.assert_allclose(seen.recurrent_weights, expected.recurrent_weights, atol=1e-5)
        assert "scan" in str(jax.make_jaxpr(jax.grad(fast))(cell))

    def test_without_a_derivative_jax_differentiates(self):
        register_activation("bump")(lambda values: values * jnp.exp(-(values**2)))
        cell, inputs = Vanilla(2, 5, 1, "bump", key=jax.random.key(0)), jnp.ones((4, 8, 2))
        seen = jax.grad(lambda cell: batch_outputs(cell, inputs).sum())(cell)
        expected = jax.grad(lambda cell: jax.vmap(cell.respond)(inputs)[1].sum())(cell)
        np.testing.assert_allclose(seen.recurrent_weights, expected.recurrent_weights, atol=1e-5)
        assert cell.box(inputs[0, 0]) is None

    def test_a_changed_function_is_used_at_once(self):
        cell = None
        outputs = jax.jit(batch_outputs)
        seen = []
        for factor in (1.0, 2.0):

            def scaled(values, factor=factor):
                return factor * values

            register_activation("scaled")(scaled)
            cell = cell or Vanilla(2, 5, 1, "scaled", key=jax.random.key(0))
            seen.append(outputs(cell, jnp.ones((1, 1, 2))))
        np.testing.assert_allclose(seen[1], 2 * seen[0], rtol=1e-6)

    def test_a_whole_nonlinearity_is_taken_as_it_is_and_its_origin_is_recorded(self):
        whole = Nonlinearity(jnp.arctan, -np.pi / 2, np.pi / 2, (0.0, 1.0), lambda value: jnp.cos(value) ** 2)
        origin = Origin("mine.py", "0" * 64, is_file=True)
        with importing(origin, {"activations": ACTIVATIONS}) as registered:
            assert register_activation("arctan")(whole) is whole
        assert registered == {("activations", "arctan")}
        assert ACTIVATIONS["arctan"] is whole
        assert origin_of("activations", "arctan") == origin

    @pytest.mark.parametrize(
        ("function", "settings", "message"),
        [
            (jnp.tanh, {"low": 0.0}, r"the value at .* is -.*; expected 0 to inf, as registered"),
            (jnp.tanh, {"low": -1.0, "high": 0.5}, r"the value at .* is .*; expected -1 to 0.5"),
            (jnp.sin, {"slopes": (0.0, 1.0)}, r"the slope at .* is -.*; expected 0 to 1"),
            (jnp.tanh, {"derivative": lambda value: 1 - value}, r"the derivative of its value at .* is .*; expected"),
            (jnp.tanh, {"low": 1.0, "high": 1.0}, "low is 1 and high 1; expected low < high"),
            (jnp.tanh, {"slopes": (1.0, 0.0)}, r"slopes is \(1.0, 0.0\); expected \(least, most\)"),
            (lambda values: values[0], {}, "it fails on an array|it returns float64"),
            (np.tanh, {}, "it fails on an array"),
            (lambda values: jnp.tanh(values).astype(jnp.float32), {}, "it returns float32.* expected finite numbers"),
            (jnp.sqrt, {}, "expected finite numbers"),
            (3.0, {}, "3.0 is no function"),
        ],
    )
    def test_what_does_not_hold_is_named(self, function, settings, message):
        with pytest.raises(ValueError, match=f"the activation 'wrong': .*({message})"):
            register_activation("wrong", **settings)(function)
        assert "wrong" not in ACTIVATIONS

    def test_names_are_checked_and_not_taken_twice(self):
        with pytest.raises(ValueError, match="'My φ' cannot name a activation"):
            register_activation("My φ")(jnp.tanh)
        with pytest.raises(ValueError, match="the activation 'tanh' is already"):
            register_activation("tanh")(jnp.sin)
