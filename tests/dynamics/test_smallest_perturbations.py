import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas import basins, find_fixed_points, smallest_perturbations

KEY = jax.random.key(0)
STABLE = 0.9575040240772688  # h = tanh(2h)


def bistable(h, _):
    return jnp.tanh(2 * h)


def conjugated(matrix):
    """Return the lattice in other coordinates: h = M z, where each z is a bistable unit."""
    inverse = np.linalg.inv(matrix)
    return lambda h, _: matrix @ jnp.tanh(2 * (inverse @ h))


def points_of(step, n, **options):
    return find_fixed_points(step, np.random.default_rng(0).normal(size=(300, n)), key=KEY, **options)


def test_in_the_double_well_the_push_leads_to_the_top():
    def step(h, _):
        return h + 0.1 * (h - h**3)  # stable at ±1, unstable at 0

    points = points_of(step, 1)
    found = smallest_perturbations(step, points, key=KEY)
    np.testing.assert_allclose(found.sizes, 1, rtol=2e-8)
    np.testing.assert_allclose(found.directions[:, 0], -points.states[found.points, 0], rtol=1e-8)
    np.testing.assert_array_equal(points.states[found.saddles, 0].round(9), 0)
    np.testing.assert_allclose(points.states[found.destinations], -points.states[found.points], rtol=1e-8)
    np.testing.assert_allclose(found.relative, 0.5, rtol=2e-8)
    # Contraction in one step: |1 + 0.1 (1 − 3h²)| < 1 down to h = 1/√3.
    assert ((found.lower_bounds > 0.4) & (found.lower_bounds <= 1 - 1 / np.sqrt(3))).all()


@pytest.mark.parametrize("n", [2, 3])
def test_in_a_lattice_the_push_is_along_an_axis(n):
    points = points_of(bistable, n, box=(-1, 1))
    found = smallest_perturbations(bistable, points, key=KEY)
    np.testing.assert_allclose(found.sizes, STABLE, rtol=2e-8)
    np.testing.assert_allclose(np.abs(found.directions).max(axis=1), 1, rtol=1e-6)
    assert found.is_stationary.all()
    assert (found.saddles >= 0).all()
    assert (points.n_unstable[found.saddles] == 1).all()
    assert (found.lower_bounds <= found.sizes).all()
    assert (found.lower_bounds > 0.5).all()


def test_a_rotation_changes_only_the_direction():
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    step = conjugated(rotation)
    points = points_of(step, 3)
    found = smallest_perturbations(step, points, key=KEY)
    np.testing.assert_allclose(found.sizes, STABLE, rtol=1e-6)
    axes = found.directions @ rotation  # in the coordinates of the lattice
    np.testing.assert_allclose(np.abs(axes).max(axis=1), 1, rtol=1e-5)


def test_in_oblique_coordinates_the_push_is_normal_to_the_nearest_plane():
    matrix = np.array([[1, 0.9, 0.2], [0, 0.5, 0.3], [0.1, 0, 0.8]])
    step = conjugated(matrix)
    points = points_of(step, 3)
    found = smallest_perturbations(step, points, key=KEY)
    inverse = np.linalg.inv(matrix)
    lengths = np.linalg.norm(inverse, axis=1)  # the boundaries are the planes on which a row of M⁻¹ h is 0
    row = lengths.argmax()
    np.testing.assert_allclose(found.sizes, STABLE / lengths[row], rtol=1e-6)
    np.testing.assert_allclose(np.abs(found.directions @ inverse[row] / lengths[row]), 1, rtol=1e-5)


def test_a_curved_boundary_by_brute_force():
    # The lattice in curved coordinates: z₁ = h₁ − 0.6 sin(2 h₂), z₂ = h₂ / 2.
    def step(h, _):
        z = jnp.tanh(2 * jnp.stack([h[0] - 0.6 * jnp.sin(2 * h[1]), h[1] / 2]))
        return jnp.stack([z[0] + 0.6 * jnp.sin(4 * z[1]), 2 * z[1]])

    points = points_of(step, 2)
    found = smallest_perturbations(step, points, key=KEY)
    curve = np.linspace(-4, 4, 400_001)
    curves = np.concatenate(
        [np.stack([0.6 * np.sin(2 * curve), curve], axis=1), np.stack([curve, np.zeros_like(curve)], axis=1)]
    )
    for row, point in enumerate(found.points):
        nearest = np.linalg.norm(curves - points.states[point], axis=1).min()
        assert found.sizes[row] == pytest.approx(nearest, rel=1e-6)
    assert found.is_stationary.all()


def test_a_network_leaves_along_the_push_and_along_no_shorter_one_nearby():
    rng = np.random.default_rng(5)
    weights = np.diag([2.2] * 3 + [0.4] * 9) + rng.normal(size=(12, 12)) * 0.12

    def step(h, _):
        return 0.6 * h + 0.4 * jnp.tanh(weights @ h)

    points = points_of(step, 12, box=(-1, 1))
    found = smallest_perturbations(step, points, key=KEY)
    assert len(found) > 2
    assert found.is_stationary.all()
    states = points.states[found.points]
    for factor, leaves in ((1 + 1e-6, True), (1 - 1e-6, False)):
        pushed = states + factor * found.sizes[:, None] * found.directions
        reached = basins(step, pushed, points)
        goes_to = reached.points[reached.labels]
        np.testing.assert_array_equal(goes_to, found.destinations if leaves else found.points)
    tilted = found.directions[:, None] + rng.normal(size=(len(found), 200, 12)) * rng.choice([0.01, 0.1, 0.5], (200, 1))
    tilted /= np.linalg.norm(tilted, axis=-1, keepdims=True)
    shorter = states[:, None] + 0.999 * found.sizes[:, None, None] * tilted
    stay = basins(step, shorter, points)
    assert (stay.points[stay.labels] == found.points[:, None]).all()


def test_the_direction_and_the_size_do_not_depend_on_the_key():
    step = conjugated(np.array([[1, 0.9], [0, 0.5]]))
    points = points_of(step, 2)
    one, other = (smallest_perturbations(step, points, key=jax.random.key(seed)) for seed in (1, 2))
    np.testing.assert_allclose(one.sizes, other.sizes, rtol=1e-6)
    again = smallest_perturbations(step, points, key=jax.random.key(1))
    np.testing.assert_array_equal(one.directions, again.directions)


def test_runs_that_creep_have_not_left():
    # Stable at −1, 0 and 1 with multipliers of 0.997: near the boundary at ±½, runs take thousands of steps.
    def step(h, _):
        return h - 5e-4 * jnp.sin(2 * jnp.pi * h) - 0.1 * jnp.sign(h) * jnp.maximum(jnp.abs(h) - 1.2, 0)

    points = find_fixed_points(step, np.linspace(-1.2, 1.2, 100)[:, None], key=KEY)
    # Runs leave the boundary by e in 1/(5e-4 · 2π) steps, and approach as slowly: sizes tend to ½ from above.
    for max_steps, overshoot in ((2000, 0.1), (8000, 1e-4)):
        found = smallest_perturbations(step, points, max_steps=max_steps, key=KEY)
        assert (found.sizes >= 0.5 - 1e-9).all()
        assert (found.sizes < 0.5 * (1 + overshoot)).all()
        assert (found.destinations >= 0).all()


def test_a_stable_point_that_is_not_given_is_elsewhere():
    points = points_of(bistable, 1, box=(-1, 1))
    known = points.take(np.flatnonzero(points.states[:, 0] > -0.5))
    found = smallest_perturbations(bistable, known, key=KEY)
    np.testing.assert_allclose(found.sizes, STABLE, rtol=1e-6)
    assert found.destinations.tolist() == [-1]


def test_without_time_the_first_rays_are_kept():
    step = conjugated(np.array([[1, 0.9, 0.3], [0, 0.5, 0.3], [0.2, 0, 0.8]]))
    points = points_of(step, 3)
    hasty, whole = (smallest_perturbations(step, points, max_seconds=seconds, key=KEY) for seconds in (0.0, None))
    assert (hasty.sizes >= whole.sizes * (1 - 1e-8)).all()
    assert np.isfinite(hasty.sizes).all()
    assert (hasty.angles >= 0).all()


def test_the_basin_of_a_point_that_another_attractor_surrounds():
    # In polar coordinates r ↦ r + 0.2 r (r² − 0.25)(1 − r²): 0 is stable up to the unstable circle of radius ½.
    def step(h, _):
        square = jnp.sum(h**2)
        grown = 1 + 0.2 * (square - 0.25) * (1 - square)
        turn = 0.3
        return grown * jnp.stack(
            [jnp.cos(turn) * h[0] - jnp.sin(turn) * h[1], jnp.sin(turn) * h[0] + jnp.cos(turn) * h[1]]
        )

    points = points_of(step, 2)
    found = smallest_perturbations(step, points, n_directions=4, max_steps=2000, key=KEY)
    np.testing.assert_allclose(found.sizes, 0.5, rtol=1e-6)
    assert found.destinations.tolist() == [-1]
    assert found.saddles.tolist() == [-1]
    assert np.isnan(found.relative).all()
    assert "elsewhere" in repr(found)


def test_a_globally_stable_point_is_never_left():
    def step(h, _):
        return 0.5 * h

    found = smallest_perturbations(step, points_of(step, 2), key=KEY)
    assert np.isinf(found.sizes).all()
    assert np.isnan(found.directions).all()
    assert np.isnan(found.angles).all()
    assert "none found" in repr(found)
    assert len(found.to_dataframe()) == 1


def test_without_stable_points_there_is_nothing_to_leave():
    def step(h, _):
        return 2 * h

    found = smallest_perturbations(step, points_of(step, 2), key=KEY)
    assert len(found) == 0
    assert "no stable point" in repr(found)


def test_a_kink_keeps_the_bound():
    def step(h, _):  # stable at ±1, the boundary of the basins is the line h₁ = |h₂| / 4
        z = h[0] - jnp.abs(h[1]) / 4
        return jnp.stack([jnp.clip(2 * z, -1, 1) + jnp.abs(h[1]) / 8, h[1] / 2])

    points = points_of(step, 2)
    found = smallest_perturbations(step, points, key=KEY)
    line = np.linspace(-2, 2, 100_001)
    for row, point in enumerate(found.points):
        curve = np.stack([np.abs(line) / 4, line], axis=1)
        assert found.sizes[row] == pytest.approx(np.linalg.norm(curve - points.states[point], axis=1).min(), rel=1e-6)


def test_arguments_are_checked():
    points = points_of(bistable, 2, box=(-1, 1))
    with pytest.raises(ValueError, match="n_directions is -1"):
        smallest_perturbations(bistable, points, n_directions=-1, key=KEY)
    with pytest.raises(ValueError, match="max_steps is 0"):
        smallest_perturbations(bistable, points, max_steps=0, key=KEY)
