"""What the index sum cannot see: searches from which roots of a known map are withheld."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas import find_fixed_points
from dynatlas.dynamics.completeness.basins import RUNS, follow
from dynatlas.dynamics.completeness.boundaries import Simplex, shrink
from dynatlas.dynamics.completeness.chain_complex import has_homology_of_a_point
from dynatlas.dynamics.completeness.starts import starts_in_box
from dynatlas.dynamics.multistart import Multistart

KEY = jax.random.key(0)
HIGH = 0.9575040240772687  # = tanh(2 · it)


def switches(state, _):
    """Independent bistable units: 3 roots each, so that all roots are the vertices, edges, … of a cube."""
    return jnp.tanh(2 * state)


def withhold(monkeypatch, roots):
    """Reject these roots wherever a search finds them."""
    inside = Multistart.inside

    def without(self, states):
        near = (np.linalg.norm(states[:, None] - np.array(roots), axis=-1) < 1e-3).any(axis=1)
        return inside(self, states) & ~near

    monkeypatch.setattr(Multistart, "inside", without)


def search(size, **options):
    starts = np.random.default_rng(0).uniform(-1, 1, size=(200, size))
    return find_fixed_points(switches, starts, box=(-1, 1), key=KEY, max_starts=2000, **options)


def test_nothing_is_missing_where_nothing_is_withheld():
    points = search(3)
    assert np.bincount(points.n_unstable).tolist() == [8, 12, 6, 1]
    assert points.certificate == "complete"
    assert points.reason.startswith("index sum 1")


@pytest.mark.parametrize(
    "withheld",
    [
        [(0, HIGH), (0, 0)],
        [(0, 0, HIGH), (0, 0, 0)],
        [(HIGH, 0, HIGH), (-HIGH, 0, HIGH), (0, 0, HIGH), (HIGH, 0, 0)],
    ],
    ids=["edge and middle", "face and middle", "two edges and two faces"],
)
def test_an_index_sum_of_1_is_not_called_complete_without_all_roots(monkeypatch, withheld):
    withhold(monkeypatch, withheld)
    points = search(len(withheld[0]))
    assert len(points) == 3 ** len(withheld[0]) - len(withheld)
    assert points.index_sum == 1
    assert points.certificate == "consistent"
    assert "found" in points.reason


def test_a_root_that_no_start_reaches_is_found_on_the_boundary():
    """From starts in the corners alone, every saddle is found where the basins meet."""
    corners = HIGH * np.array(list(itertools.product((-1, 1), repeat=3)))
    points = find_fixed_points(switches, np.repeat(corners, 2, axis=0), box=(-1, 1), key=KEY)
    assert np.bincount(points.n_unstable).tolist() == [8, 12, 6, 1]


def test_a_limit_cycle_is_no_stable_point():
    turn = jnp.array([[jnp.cos(0.3), -jnp.sin(0.3)], [jnp.sin(0.3), jnp.cos(0.3)]])
    points = find_fixed_points(
        lambda h, _: turn @ jnp.tanh(1.5 * h), np.random.default_rng(0).normal(size=(20, 2)), box=(-1.5, 1.5), key=KEY
    )
    assert points.n_unstable.tolist() == [2]
    assert points.certificate == "consistent"
    assert "the flow from 1 saddle does not come to rest at a known stable point in 1,000 steps" in points.reason


def test_a_saddle_that_leads_to_infinity_diverges():
    points = find_fixed_points(lambda h, _: 0.5 * h + 0.5 * h**3, np.linspace(-1.5, 1.5, 30)[:, None], key=KEY)
    assert "the flow from 2 saddles diverges" in points.reason


def test_an_eigenvalue_below_minus_1_has_no_boundary():
    points = find_fixed_points(lambda h, _: jnp.tanh(-2 * h), np.linspace(-1, 1, 20)[:, None], box=(-1, 1), key=KEY)
    assert (points.n_unstable.tolist(), points.index_sum) == ([1], 1)
    assert points.certificate == "consistent"
    assert "an eigenvalue below −1" in points.reason


def test_a_spent_budget_is_never_complete():
    points = search(3, max_seconds=1e-9)
    assert points.certificate != "complete"
    assert "the budget of 1e-09 seconds is spent" in points.reason


def test_starts_outside_the_box_are_moved_into_it():
    """A leaky unit whose states under input lie far outside of the box without: 3 roots, from starts at ±100."""

    def leaky(state, _):
        return 0.8 * state + 0.2 * jnp.tanh(2 * state)

    points = find_fixed_points(leaky, np.array([[-100.0], [100.0]] * 4), box=(-1, 1), key=KEY)
    np.testing.assert_allclose(points.states[:, 0], [-HIGH, HIGH, 0], atol=1e-8)
    assert points.certificate == "complete"


def test_far_starts_follow_the_flow_and_near_ones_are_projected():
    box = (np.array([-1.0]), np.array([1.0]))
    starts = np.array([[0.5], [1.5], [10.0], [-40.0], [70.0]])

    def halve(states, steps):
        return np.where(states == 70, states, states / 2.0**steps)

    moved = starts_in_box(starts, box, halve)
    # −40 is inside after 1 + 1 + 2 + 4 halvings; at 70 a gate is shut.
    np.testing.assert_allclose(moved[:, 0], [0.5, 1, 10 / 16, -40 / 256, 70])
    assert starts_in_box(starts, None, halve) is starts


def test_every_run_of_a_long_queue_arrives_where_its_signs_say():
    starts = np.random.default_rng(0).uniform(-1, 1, size=(RUNS + 20, 2))
    corners = [np.array(signs) * HIGH for signs in itertools.product((-1, 1), repeat=2)]
    with jax.enable_x64(True):
        runs = follow(switches, None, starts, corners, [0.05] * 4, 1.0)
        nowhere = follow(switches, None, starts[:3], [], [], 1.0)
    assert runs.labels.tolist() == (2 * (starts[:, 0] > 0) + (starts[:, 1] > 0)).tolist()
    assert nowhere.labels.tolist() == [-1, -1, -1]
    np.testing.assert_allclose(nowhere.ends, HIGH * np.sign(starts[:3]), atol=1e-9)


def test_next_to_the_saddle_that_it_leaves_a_run_passes_nothing():
    """From 0.05 a leaky unit speeds up, away from 0, before it slows down at its stable point."""

    def leaky(state, _):
        return 0.8 * state + 0.2 * jnp.tanh(2 * state)

    with jax.enable_x64(True):
        runs = follow(leaky, None, np.array([[0.05]]), [np.array([HIGH])], [0.05], 1.0, away=0.1)
    assert runs.labels.tolist() == [0]
    assert np.isinf(runs.speeds).all()


def cube(size):
    """The cells of a cube by their dimension, and their boundaries: a cell is a word of −1, 0 and 1."""
    cells = [[] for _ in range(size + 1)]
    for word in itertools.product((-1, 0, 1), repeat=size):
        cells[word.count(0)].append(word)
    boundaries = []
    for lower, upper in itertools.pairwise(cells):
        sides = [
            [
                sum(a != b for a, b in zip(x, y, strict=True)) == 1
                and all(a in (0, b) for a, b in zip(x, y, strict=True))
                for y in lower
            ]
            for x in upper
        ]
        boundaries.append(np.array(sides))
    return [len(group) for group in cells], boundaries


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_cube_has_the_homology_of_a_point(size):
    sizes, boundaries = cube(size)
    assert sum((-1) ** degree * count for degree, count in enumerate(sizes)) == 1
    assert has_homology_of_a_point(sizes, boundaries)


def test_a_cube_without_two_edges_and_two_faces_has_not():
    sizes, (ends, rims, sides) = cube(3)
    assert sizes == [8, 12, 6, 1]
    assert not has_homology_of_a_point([8, 10, 4, 1], [ends[2:], rims[2:, 2:], sides[:, 2:]])  # index sum 1


def test_a_side_between_two_basins_shrinks_to_their_boundary():
    """The basins of 0 and 1 meet at √½."""

    class Runs:
        def __init__(self, states):
            self.labels = (states[:, 0] > np.sqrt(0.5)).astype(int)
            self.speeds, self.passages, self.ends = np.full(len(states), np.inf), states, states

    (piece,) = shrink([Simplex(np.array([[0.0, 0.0], [1.0, 0.0]]), [0, 1])], lambda states, _: Runs(states))
    assert piece.labels == [0, 1]
    low, high = piece.corners[:, 0]
    assert low <= np.sqrt(0.5) < high
    assert high - low <= 1 / 32
