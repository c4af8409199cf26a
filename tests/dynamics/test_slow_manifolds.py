import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.dynamics.slow_manifolds import SlowManifold, slow_manifold
from support.known_networks import line_attractor


def test_a_line_attractor_is_sampled_at_every_value():
    line = line_attractor(units=10, slow=1.0, seed=1)
    visited = np.random.default_rng(0).normal(size=(50, 10))
    values = np.linspace(-2, 3, 11)
    manifold = slow_manifold(line.step, line.readout, 0.5, values, visited, np.zeros(2))
    np.testing.assert_allclose(manifold.states, (values - 0.5)[:, None] * line.right, atol=1e-8)
    assert (manifold.q < 1e-20).all()
    assert manifold.line_share == pytest.approx(1, abs=1e-10)
    assert manifold.drift_share == pytest.approx(0, abs=1e-9)


def test_the_drift_of_a_leaky_line_is_its_leak():
    line = line_attractor(units=10, slow=0.98, seed=2)
    values = np.linspace(-1, 1, 5)
    manifold = slow_manifold(line.step, line.readout, 0.0, values, np.eye(10), np.zeros(2))
    # Least speed at a given value: stationary along every direction that the readout does not see.
    matrix = line.matrix - np.eye(10)
    hidden = np.linalg.svd(line.readout[None])[2][1:].T
    gradients = manifold.states @ (matrix.T @ matrix) @ hidden
    np.testing.assert_allclose(gradients, 0, atol=1e-9)
    np.testing.assert_allclose(manifold.states @ line.readout, values, atol=1e-12)
    assert 0 < manifold.drift_share < 0.05


def test_a_ring_is_no_line():
    """Held by its radius alone: the states of least speed at each height lie on the circle."""

    def step(h, _):
        radius = jnp.linalg.norm(h)
        return h * (1 + 0.5 * (1 - radius))

    angles = np.linspace(-0.45 * np.pi, 0.45 * np.pi, 30)
    visited = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 1.1
    manifold = slow_manifold(step, [0.0, 1.0], 0.0, np.linspace(-0.9, 0.9, 7), visited)
    np.testing.assert_allclose(np.linalg.norm(manifold.states, axis=1), 1, atol=1e-9)
    assert manifold.line_share < 0.97


def test_the_speed_along_a_line_is_relative_to_its_length():
    matrix = np.diag([0.9, 0.5])
    manifold = slow_manifold(lambda h, _: matrix @ h, [1.0, 0.0], 0.0, [-1, 0, 1], np.eye(2))
    assert manifold.length == pytest.approx(2)
    assert manifold.speed_share == pytest.approx(0.1 * np.sqrt(2 / 3) / 2)


def test_states_are_projected_on_the_path_and_beyond_its_ends():
    path = SlowManifold(np.arange(3.0), np.array([[0.0, 0], [2, 0], [2, 2]]), np.zeros(3), np.zeros(3))
    along, across = path.project(np.array([[1.0, 0.5], [2.5, 1], [3, -1], [-1, 0], [1, 3]]))
    np.testing.assert_allclose(along, [1, 3, 2, -1, 5])
    np.testing.assert_allclose(across, [0.5, 0.5, np.sqrt(2), 0, 1], atol=1e-12)


def test_states_that_come_to_a_line_are_long_and_not_wide():
    line = line_attractor(units=10, slow=1.0, seed=4)
    states = np.random.default_rng(0).normal(size=(400, 10))
    manifold = slow_manifold(line.step, line.readout, 0.0, np.linspace(-2, 2, 9), states, np.zeros(2))
    ratios = [manifold.length_to_width(states @ np.linalg.matrix_power(line.matrix, k).T) for k in (0, 5, 20)]
    assert ratios[0] < 1
    assert ratios[1] > 20
    assert ratios[2] > 1e4


def test_a_plane_that_holds_everything_is_as_wide_as_it_is_long():
    matrix = np.diag([1.0, 1.0, 0.2])
    states = np.random.default_rng(0).uniform(-1, 1, size=(500, 3))
    manifold = slow_manifold(lambda h, _: matrix @ h, [1.0, 0.0, 0.0], 0.0, np.linspace(-1, 1, 9), states * [1, 0, 1])
    assert manifold.length_to_width(states @ np.linalg.matrix_power(matrix, 20)) == pytest.approx(1, abs=0.1)


def test_states_that_are_not_finite_do_not_count():
    path = SlowManifold(np.arange(2.0), np.eye(2), np.zeros(2), np.zeros(2))
    states = np.random.default_rng(0).normal(size=(20, 2))
    assert np.isnan(path.length_to_width(np.full((20, 2), np.inf)))
    some = np.where(np.arange(20)[:, None] < 5, np.nan, states)
    assert path.length_to_width(some) == path.length_to_width(states[5:])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="readout_weights are 0 or not finite"):
        slow_manifold(lambda h, _: h, [0.0, 0.0], 0.0, [0, 1], np.eye(2))
    with pytest.raises(ValueError, match="1 values; expected at least 2"):
        slow_manifold(lambda h, _: h, [1.0, 0.0], 0.0, [0], np.eye(2))
