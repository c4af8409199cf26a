"""Certificates of relu networks: proven sums, supported ones, enumerations, and what grows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from dynatlas import find_fixed_points
from dynatlas.cells.registry import CELLS
from dynatlas.dynamics.completeness.verdict import verdict
from dynatlas.dynamics.multistart import Multistart
from dynatlas.dynamics.piecewise_linear.sum_law import BOX, NO_BOX, SumLaw

KEY = jax.random.key(0)
FACTS = {"degenerate": 0, "singletons": 0, "uncountable": False, "open_ends": [], "cut": ""}


def relu_network(weights, constant):
    """h' = relu(W h + b), with numbers that JAX does not round to float32."""
    matrix, drive = np.asarray(weights, float), np.asarray(constant, float)
    return lambda h, _: jax.nn.relu(jnp.asarray(matrix) @ h + drive)


def search(weights, constant, *, count=100, **options):
    starts = np.random.default_rng(0).uniform(0, 2, size=(count, len(constant)))
    return find_fixed_points(relu_network(weights, constant), starts, key=KEY, **options)


@pytest.mark.parametrize(
    ("slope", "constant", "roots"),
    [(0.5, 1.0, [2.0]), (0.5, -1.0, [0.0]), (2.0, -1.0, [0.0, 1.0]), (2.0, 1.0, []), (-3.0, 4.0, [1.0])],
)
def test_one_unit_is_complete(slope, constant, roots):
    points = search([[slope]], [constant], max_starts=400)
    np.testing.assert_allclose(np.sort(points.roots().states[:, 0]), roots, atol=1e-12)
    assert points.certificate == "complete"
    assert points.reason.startswith("all linear regions of 1 relu")


def test_winner_take_all_has_its_three_points_by_each_step():
    """(2, 0), (0, 2) and the saddle (2/3, 2/3): index sum 1 + 1 − 1 = 1."""
    weights, constant = [[0.5, -1], [-1, 0.5]], [1, 1]
    by_regions, by_sum = search(weights, constant), search(weights, constant, max_regions=0)
    for points in (by_regions, by_sum):
        expected = [[0, 2], [2, 0], [2 / 3, 2 / 3]]
        np.testing.assert_allclose(points.states, expected, atol=1e-12)
        assert (points.index_sum, points.certificate) == (1, "complete")
    assert "linear regions" in by_regions.reason
    assert "index sum 1" in by_sum.reason
    assert "norm of the recurrent weights proves" in by_sum.reason


# Two units excite themselves and each other, x' = relu(1.8 x − 0.9 z − 1), and a third one stops them, z' = relu(x −
# 1.3): at rest at x = 0; at 1.25, where z is off; and at 1.7 with z = 0.4. No norm proves that this does not grow.
STOPPED = [[0.9, 0.9, -0.9], [0.9, 0.9, -0.9], [0.5, 0.5, 0.0]]
DRIVE = [-1, -1, -1.3]


def test_a_sum_that_a_search_supports():
    points = search(STOPPED, DRIVE, max_regions=0)
    assert points.certificate == "supported"
    np.testing.assert_allclose(points.states, [[0, 0, 0], [1.7, 1.7, 0.4], [1.25, 1.25, 0]], atol=1e-9)
    assert points.index.tolist() == [1, 1, -1]
    assert points.reason.startswith("no direction of growth at infinity was found")
    assert search(STOPPED, DRIVE).certificate == "complete"


def test_a_network_that_grows_says_so():
    """h = relu(2 h − 1) has the roots 0 and 1, the second with index −1; beyond 1 it grows by a factor of 2."""
    points = search([[2.0]], [-1.0], max_regions=0)
    assert points.index_sum == 0
    assert "grows at infinity along 1 direction, by a factor of up to 2 a step (1 of them attracting" in points.reason
    assert points.certificate == "supported"  # 0 is what the sum is expected to be, with this direction
    assert "the indices then sum to 0" in points.reason


def test_a_missing_root_makes_a_supported_sum_fail(monkeypatch):
    inside = Multistart.inside

    def without_zero(self, states):
        return inside(self, states) & (np.abs(states).max(axis=1) > 1e-3)

    monkeypatch.setattr(Multistart, "inside", without_zero)
    points = search(STOPPED, DRIVE, max_regions=0, max_starts=3000)
    assert points.certificate == "not certifiable"
    assert "the index sum is 0, not 1" in points.reason


def test_the_enumeration_adds_what_the_search_missed():
    """From one start the search finds one root; the others have 0 hits, and all are roots."""
    weights, constant = [[0.5, -1], [-1, 0.5]], [1, 1]
    step = relu_network(weights, constant)
    points = find_fixed_points(step, [[1.0, 0.0]], max_starts=1, key=KEY)
    assert len(points) == 3
    assert points.certificate == "complete"
    assert sorted(points.hits.tolist()) == [0, 0, 1]
    assert (points.q <= 1e-20).all()
    assert "of which the search found 1" in points.reason


def test_a_spent_budget_of_regions_is_named():
    points = search(STOPPED, DRIVE, max_regions=2)
    assert points.certificate == "supported"
    assert points.reason.endswith("the budget of 2 groups of linear regions is spent")
    for wrong in (1.5, "many"):
        with pytest.raises((ValueError, TypeCheckError), match="max_regions"):
            find_fixed_points(lambda h, _: h / 2, np.ones((1, 1)), max_regions=wrong)
    with pytest.raises(ValueError, match="max_regions is -1; expected 0 for none"):
        search(STOPPED, DRIVE, max_regions=-1)


@pytest.mark.parametrize("kind", ["vanilla", "ugrnn"])
def test_random_cells_have_the_sum_that_their_growth_gives(kind):
    """Untrained networks of 6 units with strong weights: the enumeration, and the sum without it, agree."""
    laws = set()
    for seed in range(6):
        with jax.enable_x64(True):
            cell = CELLS[kind](1, 6, 1, "relu", gain=1.5, key=jax.random.key(seed)).astype(jnp.float64)
            step = cell.under(jnp.ones(1))
            starts = np.random.default_rng(seed).uniform(0, 3, size=(64, 6))
            points = find_fixed_points(step, starts, np.zeros(0), max_starts=600, key=KEY)
            alone = find_fixed_points(step, starts, np.zeros(0), max_starts=600, max_regions=0, key=KEY)
        assert points.certificate == "complete"
        if alone.certificate in ("complete", "supported"):
            np.testing.assert_allclose(alone.roots().states, points.roots().states, atol=1e-6)
        laws.add(alone.certificate)
    assert laws & {"complete", "supported"}


def test_a_gated_cell_without_a_law_is_not_certifiable():
    with jax.enable_x64(True):
        cell = CELLS["lstm"](1, 3, 1, "relu", key=KEY).astype(jnp.float64)
        starts = np.random.default_rng(0).normal(size=(32, 6))
        points = find_fixed_points(cell.under(jnp.ones(1)), starts, np.zeros(0), max_starts=300, key=KEY)
    assert points.certificate == "not certifiable"
    assert points.reason.startswith("no box is known that the map maps into itself; its program has relus or other")


def test_words_by_law():
    supported = SumLaw(1, False, "no direction was found")
    grows = SumLaw(0, False, "the map grows")
    assert verdict(law=BOX, index_sum=1, **FACTS).certificate == "complete"
    assert verdict(law=supported, index_sum=1, **FACTS).certificate == "supported"
    assert verdict(law=grows, index_sum=0, **FACTS).certificate == "supported"
    assert verdict(law=NO_BOX, index_sum=1, **FACTS).certificate == "not certifiable"
    assert verdict(law=supported, index_sum=0, **FACTS) == (
        "not certifiable",
        "no direction was found; the index sum is 0, not 1",
    )
    assert verdict(law=supported, index_sum=1, **FACTS | {"open_ends": ["no graph"]}) == (
        "supported",
        "no direction was found; no graph",
    )
    assert verdict(law=supported, index_sum=1, **FACTS | {"uncountable": True}).certificate == "not certifiable"
    assert verdict(law=supported, index_sum=1, **FACTS | {"degenerate": 1}).certificate == "not certifiable"
    assert verdict(law=supported._replace(is_proven=True), index_sum=0, **FACTS).certificate == "incomplete"
