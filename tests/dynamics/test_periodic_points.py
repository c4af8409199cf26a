"""Periodic points: closed forms, counts that the index law and the structure of a map demand, and Hénon's orbits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.dynamics.cycles.periodic_points import find_periodic_points

KEY = jax.random.key(0)


def ring(state, inputs):
    """Three units in a ring: the third iterate is three uncoupled bistable units."""
    return jnp.tanh(1.6 * jnp.roll(state, 1))


def test_a_ring_of_bistable_units_has_27_points_of_period_3_in_8_cycles_and_3_fixed_points():
    starts = np.random.default_rng(0).uniform(-1, 1, (300, 3))
    found = find_periodic_points(ring, starts, period=3, box=(-1, 1), key=KEY)
    counts = found.to_dataframe().groupby("period").size().to_dict()
    assert counts == {1: 3, 3: 8}
    assert sum(cycle.period for cycle in found.of_iterate(3)) == 27
    assert [found.index_sum(period) for period in (1, 2, 3)] == [1, 1, 1]
    assert found.certificate(3) == "complete"
    level = 0.9
    for _ in range(200):
        level = np.tanh(1.6 * level)
    levels = np.array([-level, 0, level])
    for cycle in found.cycles:
        assert abs(cycle.states[..., None] - levels).min(axis=-1).max() < 1e-9
        if cycle.period == 3:  # each unit's value goes around the ring, and is stretched alike at every place
            stretched = (1.6 * (1 - cycle.states[0] ** 2)) ** 3
            np.testing.assert_allclose(np.sort(cycle.multipliers.real), np.sort(stretched), rtol=1e-8)


def test_the_cycle_of_two_steps_of_the_logistic_map_is_at_its_closed_form():
    r = 3.3
    starts = np.random.default_rng(1).uniform(0.05, 0.95, (60, 1))
    found = find_periodic_points(lambda h, x: r * h * (1 - h), starts, period=4, key=KEY)
    [two] = [cycle for cycle in found.cycles if cycle.period == 2]
    root = np.sqrt((r - 3) * (r + 1))
    np.testing.assert_allclose(
        np.sort(two.states[:, 0]), [(r + 1 - root) / (2 * r), (r + 1 + root) / (2 * r)], rtol=1e-10
    )
    assert two.multipliers[0].real == pytest.approx(1 - (r - 3) * (r + 1), rel=1e-9)  # 4 + 2r − r²
    assert two.n_unstable == 0
    assert sorted(cycle.period for cycle in found.cycles) == [1, 1, 2]


def test_henons_map_has_two_fixed_points_and_one_cycle_of_two_and_of_four_steps():
    """The numbers of orbits of least period 1 to 4 at a = 1.4, b = 0.3 are 2, 1, 0, 1 (Biham & Wenzel 1989)."""

    def henon(state, inputs):
        return jnp.array([1 - 1.4 * state[0] ** 2 + state[1], 0.3 * state[0]])

    starts = np.random.default_rng(2).uniform([-1.5, -0.5], [1.5, 0.5], (200, 2))
    found = find_periodic_points(henon, starts, period=4, key=KEY)
    counts = found.to_dataframe().groupby("period").size().to_dict()
    assert counts == {1: 2, 2: 1, 4: 1}
    assert found.certificate(4) == "not certifiable"
    for cycle in found.cycles:  # the determinant of a step is −0.3
        assert np.prod(cycle.multipliers).real == pytest.approx((-0.3) ** cycle.period, rel=1e-8)


def test_states_follow_each_other():
    starts = np.random.default_rng(3).uniform(-1, 1, (100, 3))
    found = find_periodic_points(ring, starts, period=3, box=(-1, 1), key=KEY)
    for cycle in found.cycles:
        after = np.tanh(1.6 * np.roll(cycle.states, 1, axis=1))
        np.testing.assert_allclose(after, np.roll(cycle.states, -1, axis=0), atol=1e-9)
    with pytest.raises(ValueError, match="a cycle of period 3 does not repeat after 2 steps"):
        found.cycles[-1].index_in(2)


@pytest.mark.parametrize("period", [0, 17, True])
def test_a_period_out_of_range_is_refused(period):
    with pytest.raises(ValueError, match="expected 1 to 16"):
        find_periodic_points(ring, np.zeros((1, 3)), period=period, key=KEY)


def test_all_cycles_of_a_relu_map_are_known_by_enumeration():
    """h' = relu(1 − 2h) maps 0 to 1 and back, and 1/3 to itself: the second iterate has two layers of relus."""
    starts = np.linspace(0, 1, 24)[:, None]
    found = find_periodic_points(lambda h, _: jax.nn.relu(1 - 2 * h), starts, period=2, key=KEY)
    assert [(cycle.period, cycle.n_unstable) for cycle in found.cycles] == [(1, 1), (2, 0)]
    np.testing.assert_allclose(np.sort(found.cycles[1].states[:, 0]), [0, 1], atol=1e-12)
    assert [found.index_sum(period) for period in (1, 2)] == [1, 1]
    assert [found.certificate(period) for period in (1, 2)] == ["complete", "complete"]
    assert "2 relus" in found.searches[2].reason
