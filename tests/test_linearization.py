import jax.numpy as jnp
import numpy as np

from dynatlas.linearization import jacobian, unstable_direction


def test_jacobian_of_a_network_written_out_by_hand():
    random = np.random.default_rng(0)
    weights, inputs, state = random.normal(size=(4, 4)), random.normal(size=4), random.normal(size=4)
    seen = jacobian(lambda h, x: jnp.tanh(weights @ h + x), state, inputs)
    slope = 1 - np.tanh(weights @ state + inputs) ** 2
    np.testing.assert_allclose(seen, slope[:, None] * weights, atol=1e-14)


def test_the_unstable_direction_is_that_of_the_largest_eigenvalue():
    direction = unstable_direction(lambda h, _: jnp.array([[0.5, 0.0], [3.0, 2.0]]) @ h, np.zeros(2))
    np.testing.assert_allclose(np.abs(direction), [0, 1], atol=1e-12)


def test_a_stable_point_has_no_unstable_direction():
    assert np.isnan(unstable_direction(lambda h, _: 0.9 * h, np.zeros(3))).all()
