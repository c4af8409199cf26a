import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas import find_fixed_points
from dynatlas.cells.architectures import GRU, LSTM
from dynatlas.dynamics.linearization import (
    integrated_response,
    linearize,
    modes_needed,
    shares_of_activity,
    unstable_direction,
)
from support.known_networks import bistable_network, line_attractor


def rotation(turn, factor=1.0):
    angle = 2 * np.pi * turn
    return factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_a_rotations_frequency_and_time_constant_are_exact():
    around = linearize(lambda h, _: rotation(0.037, 0.9) @ h, np.zeros(2))
    np.testing.assert_allclose(around.frequencies, [[0.037, -0.037]], atol=1e-12)
    np.testing.assert_allclose(around.time_constants, -1 / np.log(0.9), rtol=1e-12)
    assert around.n_unstable.tolist() == [0]
    np.testing.assert_allclose(around.condition, 1, rtol=1e-9)
    np.testing.assert_allclose(around.non_normality, 0, atol=1e-7)


def test_the_eigenvectors_decompose_the_jacobian():
    cell = GRU(2, 7, 1, key=jax.random.key(0))
    with jax.enable_x64(True):
        cell = cell.astype(jnp.float64)
    states = np.random.default_rng(0).normal(size=(20, 7))
    around = linearize(cell, states, np.array([0.5, -1.0]))
    for i in range(20):
        rebuilt = around.right[i] @ np.diag(around.eigenvalues[i]) @ around.left[i]
        np.testing.assert_allclose(rebuilt, around.jacobian[i], atol=1e-12)
        np.testing.assert_allclose(around.left[i] @ around.right[i], np.eye(7), atol=1e-12)
        with jax.enable_x64(True):
            expected = jax.jacrev(cell)(jnp.asarray(states[i]), jnp.array([0.5, -1.0]))
        np.testing.assert_allclose(around.jacobian[i], expected, atol=1e-14)
    assert (np.diff(np.abs(around.eigenvalues), axis=1) <= 1e-12).all()


def test_both_jacobians_agree_with_finite_differences():
    cell = GRU(2, 4, 1, key=jax.random.key(1))
    with jax.enable_x64(True):
        cell = cell.astype(jnp.float64)
        state, inputs, step = jnp.linspace(-0.5, 0.5, 4), jnp.array([0.3, -0.2]), 1e-6
        around = linearize(cell, state, inputs)
        for i in range(4):
            ahead, behind = (cell(state + sign * step * jnp.eye(4)[i], inputs) for sign in (1, -1))
            np.testing.assert_allclose((ahead - behind) / (2 * step), around.jacobian[0][:, i], atol=1e-9)
        for i in range(2):
            ahead, behind = (cell(state, inputs + sign * step * jnp.eye(2)[i]) for sign in (1, -1))
            np.testing.assert_allclose((ahead - behind) / (2 * step), around.input_jacobian[0][:, i], atol=1e-9)


def test_complex_pairs_stand_together_even_where_moduli_are_equal():
    blocks = np.zeros((6, 6))
    for i, turn in enumerate((0.1, 0.2, 0.3)):
        blocks[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = rotation(turn)
    shuffled = np.random.default_rng(0).permutation(6)
    around = linearize(lambda h, _: blocks[np.ix_(shuffled, shuffled)] @ h, np.zeros(6))
    frequencies = around.frequencies[0]
    np.testing.assert_allclose(frequencies[::2], -frequencies[1::2], atol=1e-12)
    np.testing.assert_allclose(np.sort(frequencies[::2]), [0.1, 0.2, 0.3], atol=1e-12)


def test_a_defective_jacobian_has_no_left_eigenvectors_and_says_so():
    around = linearize(lambda h, _: np.array([[0.5, 1.0], [0.0, 0.5]]) @ h, np.zeros(2))
    assert around.condition[0] > 1e15
    assert around.is_ill_conditioned.tolist() == [True]
    assert np.isnan(around.left).all()
    assert around.non_normality[0] == pytest.approx(np.sqrt(1 / 1.5))
    assert np.isnan(integrated_response(around, np.ones(2), np.ones(0), 3)).all()
    assert modes_needed(np.full((1, 2), np.nan)).tolist() == [-1]


def test_a_nilpotent_jacobian_is_as_far_from_normal_as_can_be():
    around = linearize(lambda h, _: np.array([[0.0, 2.0], [0.0, 0.0]]) @ h, np.zeros(2))
    np.testing.assert_allclose(around.non_normality, 1)
    np.testing.assert_allclose(around.time_constants, 0)


@pytest.mark.parametrize("slow", [1.0, 0.99])
def test_the_line_attractors_modes_integral_and_selection_are_the_ones_built_in(slow):
    line = line_attractor(units=12, slow=slow, seed=0)
    around = linearize(line.step, np.zeros(12), np.zeros(2))
    right, left = around.right[0, :, 0].real, around.left[0, 0].real
    np.testing.assert_allclose(np.abs(right @ line.right) / np.linalg.norm(line.right), 1, atol=1e-8)
    np.testing.assert_allclose(
        np.abs(left @ line.left) / np.linalg.norm(left) / np.linalg.norm(line.left), 1, atol=1e-8
    )
    assert around.eigenvalues[0, 0] == pytest.approx(slow, abs=1e-8)
    for steps in (0, 1, 15):
        response = integrated_response(around, line.readout, [1.0, 0.0], steps)[0]
        assert response[0] == pytest.approx(slow**steps, abs=1e-8)  # the slow mode alone: an exact integral
        whole = line.readout @ np.linalg.matrix_power(line.matrix, steps) @ line.inputs[:, 0]
        assert response[-1] == pytest.approx(whole, abs=1e-8)
    relevant, irrelevant = around.selection()[0]
    expected = abs(line.left @ line.inputs[:, 0]) / np.linalg.norm(line.left) / np.linalg.norm(line.inputs[:, 0])
    assert relevant == pytest.approx(expected, abs=1e-8)
    assert irrelevant == pytest.approx(0, abs=1e-8)


def test_the_modes_of_a_pair_are_shown_together():
    matrix = np.zeros((3, 3))
    matrix[:2, :2], matrix[2, 2] = rotation(0.1, 0.9), 0.5
    around = linearize(lambda h, x: matrix @ h + x, np.zeros(3), np.zeros(3))
    first, second, third = integrated_response(around, [1.0, 0, 1], [1.0, 0, 1], 4)[0]
    assert first == 0
    assert second == pytest.approx(0.9**4 * np.cos(2 * np.pi * 0.4))
    assert third == pytest.approx(second + 0.5**4)


def test_modes_needed_counts_until_the_response_stays_close():
    responses = np.array([[1.0, 0.2, 0.95, 1.0], [0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    assert modes_needed(responses).tolist() == [3, 4, 1]


def test_an_lstm_is_linearized_on_both_of_its_halves():
    cell = bistable_network(LSTM, 1, units=3, seed=0)
    with jax.enable_x64(True):
        box = cell.box(jnp.zeros(1))
    starts = np.random.default_rng(0).normal(size=(64, 6))
    points = find_fixed_points(cell, starts, np.zeros(1), box=box, key=jax.random.key(0))
    around = linearize(cell, points.states, np.zeros(1))
    assert around.jacobian.shape == (3, 6, 6)
    np.testing.assert_allclose(np.abs(around.eigenvalues), np.abs(points.eigenvalues), atol=1e-9)
    np.testing.assert_array_equal(around.n_unstable, points.n_unstable)


def test_the_unstable_direction_is_the_leading_eigenvectors_and_missing_at_stable_points():
    around = linearize(lambda h, _: np.diag([0.5, 2.0]) @ h, np.zeros((1, 2)))
    np.testing.assert_allclose(np.abs(unstable_direction(around)), [[0, 1]])
    assert np.isnan(unstable_direction(linearize(lambda h, _: 0.5 * h, np.zeros(2)))).all()


def test_shares_of_activity_are_those_of_the_nearest_points_and_add_up_to_1():
    random = np.random.default_rng(0)
    points, visited = random.normal(size=(9, 4)), random.normal(size=(200, 4))
    nearest = np.linalg.norm(visited[:, None] - points[None], axis=2).argmin(axis=1)
    shares = shares_of_activity(points, visited)
    np.testing.assert_allclose(shares, [(nearest == point).mean() for point in range(9)])
    assert shares.sum() == pytest.approx(1)
    assert shares_of_activity(np.zeros((0, 4)), visited).shape == (0,)


def test_no_points_are_an_empty_answer_and_bad_states_are_refused():
    around = linearize(lambda h, x: h + x, np.zeros((0, 3)), np.zeros(3))
    assert (len(around), around.input_jacobian.shape, around.non_normality.shape) == (0, (0, 3, 3), (0,))
    with pytest.raises(ValueError, match="not finite at 1 of 2 states"):
        linearize(lambda h, _: jnp.sqrt(h), np.array([[1.0], [0.0]]))
    with pytest.raises(ValueError, match="steps is -1"):
        integrated_response(linearize(lambda h, x: h + x, np.zeros(1), np.zeros(1)), [1.0], [1.0], -1)
