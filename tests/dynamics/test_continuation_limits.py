"""Degenerate problems end with a reason, and wrong arguments with a message."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas import find_fixed_points
from dynatlas.dynamics.continuation.continuation import continue_fixed_points

pytestmark = pytest.mark.usefixtures("quick_compilation")


def relu(value):
    return jnp.maximum(value, 0)


def tanh_scaled(h, a):
    return jnp.tanh(a * h)


def test_a_parameter_that_changes_nothing_is_named():
    branches = continue_fixed_points(lambda h, p: 0.5 * h, [[0.0]], 0.0, 1.0)
    assert branches.notes == ("the parameter changes neither the fixed points nor the dynamics around them",)
    assert branches.bifurcations == ()
    assert len(branches.branches[0]) > 100


def test_a_continuum_of_roots_is_not_followed():
    branches = continue_fixed_points(lambda h, p: h, [[0.0], [0.5]], 0.0, 1.0)
    assert len(branches) == 0
    assert branches.of_points.tolist() == [-1, -1]
    assert all("one of a continuum of roots" in note for note in branches.notes)
    assert branches.to_dataframe().empty
    assert branches.plot().axes
    assert len(branches.at(0.5).states) == 0


def test_a_continuum_at_one_parameter_ends_the_branch_along_it():
    # h ↦ a h: at a = 1 every state is a root.
    branches = continue_fixed_points(lambda h, a: a * h, [[0.0]], 0.5, 1.5)
    ends = sorted(branch.end for branch in branches.branches)
    assert ends == ["a continuum of roots at one parameter"] * 2 + ["left the interval at the stop"]
    assert "branch 1 ends at 1: a continuum of roots at one parameter" in branches.notes


@pytest.mark.parametrize("units", [2, 3])
def test_eigenvalues_that_cross_together_are_a_degenerate_point(units):
    branches = continue_fixed_points(tanh_scaled, np.zeros((1, units)), 0.5, 1.5, box=(-1, 1))
    (point,) = branches.bifurcations
    assert point.kind == "degenerate"
    assert point.note == f"{units} eigenvalues on the unit circle at once"
    np.testing.assert_allclose(point.parameter, 1, atol=1e-8)
    assert "from which no branches are followed" in branches.notes[0]
    # An odd number of eigenvalues changes the index; of an even number the sum sees nothing.
    assert branches.index_sums.is_wrong.any() == (units == 3)


def test_a_branch_that_turns_at_a_kink_is_followed_around_it():
    # h ↦ b + 2 relu(h) has the roots b and −b where b < 0, and none where b > 0.
    branches = continue_fixed_points(lambda h, b: b + 2 * relu(h), [[-1.0]], -1.0, 1.0)
    (branch,) = branches.branches
    assert branch.end == "left the interval at the start"
    np.testing.assert_allclose(branch.states[-1], [1.0], atol=1e-10)
    assert branch.n_kinks == 1
    (kink,) = branches.bifurcations
    assert kink.kind == "border collision"
    assert "the parameter turns" in kink.note
    np.testing.assert_allclose([kink.parameter, kink.state[0]], [0, 0], atol=1e-8)
    assert kink.uncertainty < 1e-8
    np.testing.assert_allclose(np.sort(branches.at(-0.5).states.ravel()), [-0.5, 0.5], atol=1e-12)
    assert "followed in pieces, across 1 kink" in branches.notes[0]


@pytest.mark.parametrize(("slope", "unstable"), [(0.5, 0), (-0.9, 0), (-1.5, 1)])
def test_a_kink_that_changes_stability_is_a_border_collision(slope, unstable):
    # h ↦ b + s relu(h): the root b, and beyond the kink b/(1 − s) with the eigenvalue s.
    branches = continue_fixed_points(lambda h, b: b + slope * relu(h), [[-1.0]], -1.0, 1.0)
    (branch,) = branches.branches
    np.testing.assert_allclose(branch.states[-1], [1 / (1 - slope)], atol=1e-12)
    assert branch.n_unstable[-1] == unstable
    assert [each.kind for each in branches.bifurcations] == ["border collision"] * unstable
    np.testing.assert_allclose([each.parameter for each in branches.bifurcations], [0] * unstable, atol=1e-8)


def test_a_relu_network_with_points_known_by_hand():
    # h₁' = relu(1 − 2 h₂ + b), h₂' = relu(1 − 2 h₁ − b): the winners (1 + b, 0) and (0, 1 − b), where the loser's input
    # is negative, and between them (⅓ − b, ⅓ + b).
    def step(h, b):
        return relu(jnp.stack([1 - 2 * h[1] + b, 1 - 2 * h[0] - b]))

    points = [[1.0, 0.0], [0.0, 1.0], [1 / 3, 1 / 3]]
    branches = continue_fixed_points(step, points, 0.0, 1.0, tol=1e-20)
    np.testing.assert_allclose(branches.at(0.2).states[:, 0].max(), 1.2, atol=1e-12)
    # The winner of the weaker input and the saddle meet where the loser's input is 0: 1 − 2(1 − b) + b = 0, b = ⅓.
    collisions = [each for each in branches.bifurcations if each.kind == "border collision"]
    np.testing.assert_allclose([each.parameter for each in collisions], [1 / 3], atol=1e-8)
    np.testing.assert_allclose(collisions[0].state, [0, 2 / 3], atol=1e-7)
    assert len(branches.at(0.3).states) == 3
    np.testing.assert_allclose(branches.at(0.6).states, [[1.6, 0]], atol=1e-12)


def test_points_that_are_no_roots_are_refused_with_their_q():
    with pytest.raises(
        ValueError, match=r"1 of 2 points are no fixed points at the parameter 0.5: q is 0.00125 at point 1"
    ):
        continue_fixed_points(tanh_scaled, [[0.0], [0.1]], 0.5, 2.0)


def test_a_root_at_a_fold_or_a_branch_point_is_not_followed():
    fold = continue_fixed_points(lambda h, p: h + h**2 - p, [[0.0]], 0.0, 1.0)
    assert fold.notes == ("point 0 is not followed: at 0 it is at a fold; start elsewhere",)
    pitchfork = continue_fixed_points(tanh_scaled, [[0.0]], 1.0, 2.0)
    assert "at 1 it is a branch point or one of a continuum" in pitchfork.notes[0]


def test_a_branch_that_leaves_the_box_or_spends_its_budget_says_so():
    def runaway(h, p):
        return h + 0.1 * (p * (1 + h**2) - h)

    away = continue_fixed_points(runaway, [[0.0]], 0.0, 0.45, box=(-0.5, 0.5))
    assert away.branches[0].end == "left the box"
    assert any("left the box" in note for note in away.notes)
    spent = continue_fixed_points(runaway, [[0.0]], 0.0, 0.45, max_points=20)
    assert spent.branches[0].end == "the budget of 20 points is spent"
    assert len(spent.notes) == 1


def test_a_step_that_stops_being_defined_ends_the_branch():
    branches = continue_fixed_points(lambda h, p: jnp.sqrt(0.5 - p) + 0.0 * h, [[np.sqrt(0.5)]], 0.0, 1.0)
    assert branches.branches[0].end == "the step fell below the least one"
    np.testing.assert_allclose(branches.branches[0].parameters[-1], 0.5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": [0.0]}, r"points has shape \(1,\); expected \[p, n\]"),
        ({"points": [[np.nan]]}, "NaN or infinity"),
        ({"stop": 0.5}, "start is 0.5 and stop 0.5; expected two different numbers"),
        ({"stop": np.inf}, "expected two different numbers"),
        ({"n_values": 1}, "n_values is 1; expected at least 2"),
        ({"tol": 0.0}, "tol is 0; expected a positive number"),
        ({"box": (1, -1)}, "low ≥ high at the parameter 0.5"),
        ({"step": lambda h: h}, "could not be traced"),
        ({"step": lambda h, a: jnp.stack([h, h])}, "returns shape"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    given = {"step": tanh_scaled, "points": [[0.0]], "start": 0.5, "stop": 2.0} | arguments
    with pytest.raises(ValueError, match=message):
        continue_fixed_points(**given)


def test_a_random_relu_network_is_followed_around_its_kinks():
    random = np.random.default_rng(2)
    weights = random.normal(size=(12, 12)) / np.sqrt(12) * 1.6 - 0.1
    along, bias = random.normal(size=12), random.normal(size=12)

    def step(h, b):
        return 0.3 * h + 0.7 * relu(jnp.asarray(weights) @ h + bias + b * along)

    def roots(b):
        starts = np.random.default_rng(0).uniform(0, 4, (300, 12))
        return find_fixed_points(lambda h, x: step(h, x[0]), starts, [b], key=jax.random.key(0)).roots().states

    branches = continue_fixed_points(step, roots(0.0), 0.0, 2.0)
    assert [branch.end for branch in branches.branches] == ["left the interval at the stop"]
    folds = [each for each in branches.bifurcations if "the parameter turns" in each.note]
    assert len(folds) == 4
    for b in (0.2, 0.52, 0.58, 1.5):
        found, expected = branches.at(b), roots(b)
        assert len(found.states) == len(expected)
        gaps = np.linalg.norm(found.states[:, None] - expected, axis=-1)
        assert (gaps.min(axis=1) < 1e-8).all()
        assert found.indices.sum() == 1
    assert [len(roots(b)) for b in (0.2, 0.52, 0.58)] == [1, 5, 3]


@pytest.mark.parametrize("openness", [1e-4, 1e-7])
def test_nearly_closed_gates_do_not_move_the_branches(openness):
    # A gate in front of the second unit scales its equation, and moves no root.
    def candidate(h, b):
        return jnp.tanh(2 * h + jnp.stack([b, 0.3 * b + 0.2 * h[0]]))

    def gated(h, b):
        gate = jnp.array([1.0, openness])
        return (1 - gate) * h + gate * candidate(h, b)

    starts = np.random.default_rng(0).uniform(-1, 1, (100, 2))
    points = find_fixed_points(lambda h, _: candidate(h, 0.0), starts, box=(-1, 1), key=jax.random.key(0))
    opened, closed = (continue_fixed_points(step, points, 0.0, 1.0, box=(-1, 1)) for step in (candidate, gated))
    assert not closed.index_sums.is_wrong.any()
    kinds = [each.kind for each in opened.bifurcations]
    assert (
        kinds == [each.kind for each in closed.bifurcations] == ["fold"] * 3
    )  # of unit 1, beside each state of unit 2
    np.testing.assert_allclose(
        [each.parameter for each in closed.bifurcations], [each.parameter for each in opened.bifurcations], atol=1e-8
    )
    for b in (0.3, 0.9):
        one, other = opened.at(b).states, closed.at(b).states
        np.testing.assert_allclose(one[np.lexsort(one.T)], other[np.lexsort(other.T)], atol=1e-8)


def test_a_shut_gate_is_a_continuum():
    branches = continue_fixed_points(lambda h, b: jnp.stack([jnp.tanh(h[0] + b), h[1]]), [[0.0, 0.7]], 0.0, 1.0)
    assert len(branches) == 0
    assert "one of a continuum of roots" in branches.notes[0]
