import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError
from tests.support.known_networks import bistable_network

from dynatlas import basins, find_fixed_points, states_around, uniform_states
from dynatlas._util.shares import wilson_interval
from dynatlas.cells.architectures import GRU

KEY = jax.random.key(0)
TURN = 2 * np.pi * 0.0437


def bistable(h, _):
    return jnp.tanh(2 * h)


def loop(h, _):  # an invariant circle of radius 1; beyond √5 the map leads to infinity
    rotated = jnp.array([h[0] * jnp.cos(TURN) - h[1] * jnp.sin(TURN), h[0] * jnp.sin(TURN) + h[1] * jnp.cos(TURN)])
    return rotated * (1.5 - 0.5 * jnp.sum(h**2))


def lattice(k):
    starts = np.random.default_rng(0).normal(size=(400, k))
    return find_fixed_points(bistable, starts, box=(-1, 1), key=KEY)


def test_in_a_bistable_lattice_every_state_goes_to_the_corner_of_its_signs():
    points = lattice(3)
    states = uniform_states((-1, 1), 3, 2000, key=KEY)
    found = basins(bistable, states, points)
    np.testing.assert_array_equal(np.sign(points.states[found.points[found.labels]]), np.sign(states))
    assert (found.points >= 0).all()
    assert len(found.attractors) == 8
    # By symmetry each basin holds 1/8 of the box.
    np.testing.assert_allclose(found.shares, [1 / 8] * 8 + [0], atol=4 * np.sqrt(7 / 64 / len(states)))
    low, high = found.intervals.T
    assert ((low <= found.shares) & (found.shares <= high)).all()
    assert found.shares.sum() == 1


def test_states_around_attractors_return_with_the_probability_of_a_gaussian():
    from scipy.stats import norm

    points = lattice(2)
    radius, count = 0.9, 4000
    states = states_around(points, radius, count, key=KEY)
    found = basins(bistable, states, points)
    stays = norm.cdf(0.957504 / (radius / np.sqrt(2)))  # of one unit
    signs = np.sign(points.states[found.points])
    for i, j in itertools.product(range(4), repeat=2):
        expected = np.prod(np.where(signs[i] == signs[j], stays, 1 - stays))
        assert found.shares[i, j] == pytest.approx(expected, abs=4 * np.sqrt(0.25 / count))
    assert found.labels.shape == (4, count)
    assert found.to_dataframe().shape == (4 * 5, 8)


def test_basins_of_a_network_with_hidden_bistable_units():
    # The first units of the chain are independent and bistable, and decide: a half of the box goes to each sign.
    cell = bistable_network(GRU, 2, 8, 3)
    inputs = np.zeros(1)
    starts = np.random.default_rng(0).normal(size=(300, 8))
    points = find_fixed_points(cell, starts, inputs, box=(-1, 1), key=KEY)
    found = basins(cell, uniform_states((-1, 1), 8, 2000, key=KEY), points, inputs)
    np.testing.assert_allclose(found.shares, [0.25] * 4 + [0], atol=4 * np.sqrt(0.1875 / 2000))


def test_labels_are_those_of_the_map_run_to_rest():
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(6, 6)) * 0.9

    def step(h, _):
        return 0.5 * h + 0.5 * jnp.tanh(weights @ h + 0.1)

    points = find_fixed_points(step, rng.normal(size=(500, 6)), box=(-1, 1), key=KEY)
    states = uniform_states((-1, 1), 6, 500, key=KEY)
    found = basins(step, states, points)
    ends = states
    for _ in range(3000):
        ends = 0.5 * ends + 0.5 * np.tanh(ends @ weights.T + 0.1)
    stable = found.labels >= 0
    assert stable.mean() > 0.9
    for label, end in zip(found.labels[stable], ends[stable], strict=True):
        orbit = found.attractors[label].states
        reach = 1e-6 if found.points[label] >= 0 else 0.02 * found.attractors[label].amplitude + 1e-6
        assert np.linalg.norm(orbit - end, axis=1).min() < reach


def test_other_attractors_and_infinity_are_found():
    points = find_fixed_points(loop, np.random.default_rng(0).normal(size=(40, 2)) * 0.3, key=KEY)
    states = uniform_states((-3, 3), 2, 800, key=KEY)
    found = basins(loop, states, points)
    inside = np.linalg.norm(states, axis=1) < np.sqrt(5)
    assert [attractor.kind for attractor in found.attractors] == ["invariant curve"]
    assert found.points.tolist() == [-1]
    np.testing.assert_array_equal(found.labels, np.where(inside, 0, -1))
    assert found.diverged == (~inside).sum()
    assert "invariant curve" in repr(found)
    assert "elsewhere" in repr(found)


def test_a_stable_point_that_is_not_given_is_found():
    points = lattice(1)
    known = points.take(np.flatnonzero(points.states[:, 0] > -0.5))
    found = basins(bistable, np.linspace(-1, 1, 100)[:, None], known)
    assert [attractor.kind for attractor in found.attractors] == ["fixed point"] * 2
    assert found.points.tolist() == [0, -1]
    assert found.counts.tolist() == [50, 50, 0]


def test_a_given_saddle_keeps_its_number():
    def step(h, _):  # [2, 3]² is mapped onto the diagonal, the stable manifold of the saddle
        return jax.nn.relu(jnp.array([[0.5, -1.0], [-1.0, 0.5]]) @ h + 1)

    points = find_fixed_points(step, uniform_states((0, 3), 2, 50, key=KEY), key=KEY)
    found = basins(step, uniform_states((0, 3), 2, 2000, key=KEY), points)
    saddle = int(np.flatnonzero(points.n_unstable == 1)[0])
    assert sorted(found.points) == [0, 1, saddle]
    assert f"fixed point {saddle} (saddle)" in repr(found)
    known = basins(step, uniform_states((0, 3), 2, 500, key=KEY), points.take([0, 1]))
    assert "fixed point (new, saddle)" in repr(known)


def test_runs_that_are_not_finite_are_named():
    points = lattice(1)
    found = basins(lambda h, _: jnp.where(h > 0.99, jnp.nan, jnp.tanh(2 * h)), np.ones((3, 1)), points)
    assert "3 runs diverged: infinite or NaN" in repr(found)


def test_states_on_a_continuum_are_elsewhere():
    points = find_fixed_points(lambda h, _: 0.5 * h, np.ones((3, 1)), key=KEY)
    line = points.take(np.zeros(0, int))
    found = basins(lambda h, _: h, uniform_states((-1, 1), 1, 500, key=KEY), line)
    assert found.attractors == ()
    assert found.shares.tolist() == [1]
    assert f"more than {found.uncounted} runs ended at attractors of their own: a continuum?" in " ".join(
        repr(found).split()
    )


def test_the_result_does_not_depend_on_the_batch():
    points = lattice(2)
    states = uniform_states((-1, 1), 2, 1500, key=KEY)
    parts = [basins(bistable, part, points).labels for part in np.split(states, 3)]
    np.testing.assert_array_equal(basins(bistable, states, points).labels, np.concatenate(parts))


def test_wilson_intervals_hold_the_share_as_often_as_they_promise():
    draws = np.random.default_rng(0).binomial(200, 0.03, 20_000)
    low, high = wilson_interval(draws / 200, 200)
    assert 0.93 < ((low <= 0.03) & (high >= 0.03)).mean() < 0.98


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (np.zeros((5, 3)), r"shape \(5, 3\); expected \[states, 2\]"),
        (np.zeros(2), r"shape \(2,\)"),
        (np.full((5, 2), np.nan), "NaN"),
    ],
)
def test_states_that_do_not_fit_are_refused(states, words):
    with pytest.raises(ValueError, match=words):
        basins(bistable, states, lattice(2))


def test_other_arguments_are_checked():
    points = lattice(2)
    with pytest.raises(ValueError, match="max_steps is 0"):
        basins(bistable, np.zeros((1, 2)), points, max_steps=0)
    with pytest.raises(ValueError, match="max_steps is 50; expected a whole number of at least 1,000"):
        basins(bistable, np.zeros((1, 2)), points, max_steps=50)
    with pytest.raises((ValueError, TypeCheckError), match="box"):
        uniform_states(None, 2, 10, key=KEY)
    with pytest.raises((ValueError, TypeCheckError), match="points"):
        basins(bistable, np.zeros((1, 2)), points.states)
    with pytest.raises(ValueError, match="box goes from 1 to -1"):
        uniform_states((1, -1), 2, 10, key=KEY)
    with pytest.raises(ValueError, match="count is 0"):
        states_around(points, 1.0, 0, key=KEY)
    with pytest.raises(ValueError, match="radius is -1"):
        states_around(points, -1.0, 10, key=KEY)
