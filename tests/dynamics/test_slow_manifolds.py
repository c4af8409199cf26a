import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.dynamics.slow_manifolds import slow_manifold
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


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="readout_weights are 0 or not finite"):
        slow_manifold(lambda h, _: h, [0.0, 0.0], 0.0, [0, 1], np.eye(2))
    with pytest.raises(ValueError, match="1 values; expected at least 2"):
        slow_manifold(lambda h, _: h, [1.0, 0.0], 0.0, [0], np.eye(2))
