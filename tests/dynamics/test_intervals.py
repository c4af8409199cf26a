from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.activations import ACTIVATIONS
from dynatlas.cells.registry import CELLS
from dynatlas.dynamics.intervals.arithmetic import NotEnclosableError, enclose, with_tight_derivatives

MATRIX = np.random.default_rng(0).normal(size=(3, 3))

FUNCTIONS = {
    "affine": lambda h: MATRIX @ h - 1,
    "product with itself": lambda h: h * h,
    "quotient": lambda h: h / (2 + h[::-1] ** 2),
    "cube and inverse": lambda h: h**3 + (3 + h) ** -2,
    "tanh and logistic": lambda h: jnp.tanh(h) * jax.nn.sigmoid(-h),
    "relu": lambda h: jax.nn.relu(h - 0.1),
    "choice": lambda h: jnp.where(h > 0.2, h**2, -h),
    "absolute": lambda h: jnp.abs(h) - jnp.maximum(h, 0.3) + jnp.minimum(h, 0.1),
    "waves": lambda h: jnp.sin(3 * h) + jnp.cos(h),
    "one by one": lambda h: jnp.stack([h[2], h[0] * h[1]]),
    "moved about": lambda h: jnp.concatenate([h[1:], h[:1]]).reshape(3, 1).T.sum(axis=0),
    "outer product": lambda h: jnp.outer(jnp.tanh(h), h) @ h,
    "comparison": lambda h: jnp.where((h <= 0) | ~(h >= -0.5), 1.0, h),
}


@cache
def compiled(function):
    """The bounds on a function in a box, and its values at many points."""
    return jax.jit(partial(enclose, function)), jax.jit(jax.vmap(function))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("width", [0.0, 0.01, 1.0])
def test_the_bounds_hold_for_every_point_of_the_box(name, width):
    bounds_of, values_of = compiled(FUNCTIONS[name])
    random = np.random.default_rng(1)
    with jax.enable_x64(True):
        for _ in range(20):
            low = random.normal(size=3)
            high = low + width * random.random(3)
            bounds = bounds_of(low, high)
            # Corners, mostly, and the middle.
            shares = np.concatenate([random.random((30, 3)).round(), np.full((1, 3), 0.5)])
            values = np.asarray(values_of(low + shares * (high - low)))
            assert (bounds.low - 1e-12 <= values).all()
            assert (values <= bounds.high + 1e-12).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", CELLS)
def test_every_cells_jacobian_is_bounded_and_the_bounds_close_on_it(kind, activation):
    cell = CELLS[kind](2, 5, 1, activation, key=jax.random.key(3))
    random = np.random.default_rng(2)
    with jax.enable_x64(True):
        cell = cell.astype(jnp.float64)
        bounds_of, values_of = compiled(jax.jacfwd(with_tight_derivatives(lambda h: cell(h, jnp.ones(2)))))
        state = random.normal(size=cell.initial_state.shape)
        widths = []
        for radius in (0.1, 1e-6):
            bounds = bounds_of(state - radius, state + radius)
            states = state + radius * random.uniform(-1, 1, (50, *state.shape))
            values = np.asarray(values_of(states))
            assert (bounds.low - 1e-12 <= values).all()
            assert (values <= bounds.high + 1e-12).all()
            widths.append(float((bounds.high - bounds.low).max()))
        # A linear step has the same derivative everywhere.
        assert widths[1] < min(widths[0], 1e-4) or widths == [0, 0]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("width", [0.0, 1e-3, 0.5, 8.0])
def test_every_activation_and_its_slope_are_bounded_at_every_point_and_the_slopes_by_their_range(activation, width):
    phi = ACTIVATIONS[activation]
    random = np.random.default_rng(7)
    with jax.enable_x64(True):
        pairs = [
            compiled(phi.function),
            compiled(jax.jacfwd(phi.function)),
            compiled(jax.jacfwd(with_tight_derivatives(phi.function))),
        ]
        for _ in range(10):
            low = 3 * random.normal(size=3)
            high = low + width * random.random(3)
            arguments = jnp.asarray(low + np.linspace(0, 1, 201)[:, None] * (high - low))
            for bounds_of, values_of in pairs:
                bounds, values = bounds_of(low, high), np.asarray(values_of(arguments))
                assert (bounds.low - 1e-12 <= values).all()
                assert (values <= bounds.high + 1e-12).all()
            slopes = np.diagonal(values, axis1=1, axis2=2)
            assert (phi.slopes[0] - 1e-12 <= slopes).all()
            assert (slopes <= phi.slopes[1] + 1e-12).all()


@pytest.mark.parametrize("box", [(-0.5, 0.2), (1.0, 1.5), (-3.0, -1.0), (-20.0, 20.0)])
def test_the_derivative_of_softplus_is_bounded_exactly(box):
    with jax.enable_x64(True):
        jacobian = jax.jacfwd(with_tight_derivatives(jax.nn.softplus))
        bounds = enclose(jacobian, jnp.full(1, box[0]), jnp.full(1, box[1]))
        expected = [float(jax.nn.sigmoid(jnp.asarray(end))) for end in box]
    np.testing.assert_allclose([bounds.low.item(), bounds.high.item()], expected, rtol=1e-12)


def test_a_value_is_what_it_is_and_differs_from_others_where_the_intervals_are_apart():
    low, high = jnp.array([0.0, 2.0]), jnp.array([1.0, 3.0])
    bounds = enclose(lambda h: jnp.where(jnp.isnan(h), 9.0, jnp.where(h != 2.5, 1.0, 0.0)), low, high)
    assert (bounds.low.tolist(), bounds.high.tolist()) == ([1, 0], [1, 1])


def test_monotone_functions_are_bounded_exactly():
    bounds = enclose(lambda h: jnp.tanh(jax.nn.relu(h)), jnp.array([-1.0, 0.5]), jnp.array([2.0, jnp.inf]))
    np.testing.assert_allclose(bounds.low, [0, np.tanh(0.5)], rtol=1e-6)
    np.testing.assert_allclose(bounds.high, [np.tanh(2), 1], rtol=1e-6)


def test_a_square_is_not_negative_and_a_quotient_across_zero_unbounded():
    low, high = jnp.array([-1.0]), jnp.array([2.0])
    assert [float(end[0]) for end in enclose(lambda h: h**2, low, high)] == [0, 4]
    assert [float(end[0]) for end in enclose(lambda h: h * h, low, high)] == [0, 4]
    assert [float(end[0]) for end in enclose(lambda h: 1 / h, low, high)] == [-np.inf, np.inf]


@pytest.mark.parametrize("function", [jnp.tanh, jax.nn.sigmoid])
@pytest.mark.parametrize("box", [(-0.5, 0.2), (1.0, 1.5), (-3.0, -1.0), (-jnp.inf, jnp.inf), (0.0, 0.0)])
def test_the_derivatives_of_tanh_and_logistic_are_bounded_exactly(function, box):
    """By the least and the greatest slope on a fine grid, which a product of (1 + t) and (1 − t) is far from."""
    with jax.enable_x64(True):
        slopes = jax.vmap(jax.grad(function))(jnp.linspace(max(box[0], -30), min(box[1], 30), 10_001))
        jacobian = jax.jacfwd(with_tight_derivatives(function))
        bounds = enclose(jacobian, jnp.full(1, box[0]), jnp.full(1, box[1]))
    np.testing.assert_allclose(np.asarray(bounds.low), np.asarray(slopes).min(keepdims=True)[None], atol=1e-5)
    np.testing.assert_allclose(np.asarray(bounds.high), np.asarray(slopes).max(keepdims=True)[None], atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", CELLS)
def test_tight_derivatives_change_no_value_and_no_derivative(kind, activation):
    with jax.enable_x64(True):
        cell = CELLS[kind](2, 5, 1, activation, key=jax.random.key(3)).astype(jnp.float64)
        # At 0 a relu has the slope that JAX gives it, 0, and not the one of a maximum, ½.
        states = np.random.default_rng(4).normal(size=(3, *cell.initial_state.shape)) * [[0], [1], [3]]
        inputs = jnp.zeros(2)

        step = jax.jit(lambda state: cell(state, inputs))
        both = jax.jit(
            jax.vmap(lambda state: [(f(state), jax.jacfwd(f)(state)) for f in (step, with_tight_derivatives(step))])
        )
        for plain, tight in zip(*both(jnp.asarray(states)), strict=True):
            np.testing.assert_allclose(tight, plain, rtol=1e-10, atol=1e-15)


def test_an_unknown_operation_is_named():
    with pytest.raises(NotEnclosableError, match=r"no interval counterpart of '(while|scan)'"):
        enclose(lambda h: jax.lax.fori_loop(0, 3, lambda _, now: now * 2, h), jnp.zeros(2), jnp.ones(2))
