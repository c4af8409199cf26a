"""A ring attractor built by hand: its fixed points, their eigenvalues, and the task that it solves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas import find_fixed_points
from dynatlas.tasks import PathIntegration
from support.ring_attractor import RingAttractor, ring_attractor

pytestmark = pytest.mark.usefixtures("quick_compilation")
NO_INPUT = np.zeros(3)


def angles_of(ring: RingAttractor, states: np.ndarray) -> np.ndarray:
    cosine, sine = ring.readout(states).T
    return np.arctan2(sine, cosine)


def starts_around(ring: RingAttractor, count: int, noise: float) -> np.ndarray:
    even = 2 * np.pi * np.arange(count) / count
    return ring.state(even) + noise * np.random.default_rng(0).normal(size=(count, len(ring.angles)))


def test_a_ring_of_many_units_has_a_fixed_point_at_every_angle():
    """The ring moves by 4e-13 a step, so that points are found wherever they are sought."""
    ring = ring_attractor(48)
    with jax.enable_x64(True):
        found = find_fixed_points(
            ring.step, starts_around(ring, 80, 0.1), NO_INPUT, max_starts=80, key=jax.random.key(0)
        )
    angles = np.sort(angles_of(ring, found.states))
    assert np.diff(angles, append=angles[0] + 2 * np.pi).max() < 0.3
    np.testing.assert_allclose(found.states, ring.state(angles_of(ring, found.states)), rtol=0, atol=1e-7)
    # One eigenvalue along the ring, one across it, the others 0.
    moduli = np.abs(found.eigenvalues)
    np.testing.assert_allclose(moduli[:, 0], 1, rtol=0, atol=1e-9)
    np.testing.assert_allclose(moduli[:, 1], ring.across(), rtol=0, atol=1e-7)
    np.testing.assert_allclose(moduli[:, 2:], 0, rtol=0, atol=1e-7)
    # The direction that neither grows nor decays is the tangent of the ring.
    with jax.enable_x64(True):
        jacobian = np.asarray(jax.jacobian(ring.step)(jnp.asarray(ring.state(0.7)), jnp.zeros(3)))
    tangent = (ring.state(0.7 + 1e-6) - ring.state(0.7 - 1e-6)) / 2e-6
    np.testing.assert_allclose(jacobian @ tangent, tangent, rtol=0, atol=1e-9)


def test_a_ring_of_twelve_units_is_pinned_at_twelve_stable_points():
    """Aliases of the 11th and 13th harmonics leave stable points and saddles in turn around the ring; 0 is a source."""
    ring = ring_attractor(12)
    ends = np.ones(12)
    with jax.enable_x64(True):
        found = find_fixed_points(
            ring.step, starts_around(ring, 100, 0.3), NO_INPUT, box=(-ends, ends), key=jax.random.key(0)
        )
    print(f"{len(found)} roots: {np.bincount(found.n_unstable)} by unstable directions; {found.certificate}")
    assert np.bincount(found.n_unstable).tolist() == [12, 12, 1]
    assert found.index_sum == 1
    steps = angles_of(ring, found.states) / (np.pi / 12)
    for n_unstable in (0, 1):
        of_kind = np.sort(steps[found.n_unstable == n_unstable])
        np.testing.assert_allclose(np.diff(of_kind), 2, atol=1e-6)
        np.testing.assert_allclose(of_kind, np.round(of_kind), atol=1e-6)
    assert np.abs(found.states[found.n_unstable == 2]).max() < 1e-9


def test_the_ring_integrates_any_velocity_without_error():
    ring = ring_attractor(48)
    task = PathIntegration(steps=200, speed=0.3)
    trials = task.trials(jax.random.key(0), 20)
    with jax.enable_x64(True):
        inputs = jnp.asarray(np.asarray(trials.inputs, np.float64))

        def follow(state: jax.Array, given: jax.Array) -> tuple[jax.Array, jax.Array]:
            state = ring.step(state, given)
            return state, state

        states = jax.vmap(lambda trial: jax.lax.scan(follow, jnp.zeros(48), trial)[1])(inputs)
    error = np.abs(ring.readout(np.asarray(states)) - np.asarray(trials.targets)).max()
    print(f"largest error of 20 trials of 200 steps: {error:.1e}")
    assert error < 1e-5  # the targets' angles are summed in float32
