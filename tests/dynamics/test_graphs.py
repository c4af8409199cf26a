import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas import find_fixed_points, transition_graph
from dynatlas.dynamics.graphs import canonical_order, neighbor_graph

KEY = jax.random.key(0)


def bistable(h, _):
    return jnp.tanh(2 * h)


def lattice(k):
    starts = np.random.default_rng(0).normal(size=(400, k))
    points = find_fixed_points(bistable, starts, box=(-1, 1), key=KEY)
    return points.take(canonical_order(np.sign(np.round(points.states, 6)), (-1, 0, 1)))


def test_bistable_units_decide_independently_and_fairly():
    points = lattice(2)
    graph = transition_graph(bistable, points, trials=2000, key=KEY)
    signs = np.sign(np.round(points.states, 6))
    np.testing.assert_allclose(graph.sum(axis=1), 1)
    for i, j in itertools.product(range(9), repeat=2):
        # A unit that sits at 0 goes either way with probability ½; one that sits at ±1 stays.
        expected = (
            0.0
            if (signs[j] == 0).any()
            else np.prod(
                [0.5 if start == 0 else float(start == end) for start, end in zip(signs[i], signs[j], strict=True)]
            )
        )
        assert graph[i, j] == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(2000))


def test_stable_points_have_only_a_self_loop():
    points = lattice(3)
    graph = transition_graph(bistable, points, key=KEY)
    stable = points.n_unstable == 0
    np.testing.assert_array_equal(graph[stable], np.eye(27)[stable])
    assert (graph[:, ~stable] == 0).all()


def test_runs_that_end_nowhere_are_missing_from_the_row():
    # Unstable in the middle, one stable point at 1, and on the other side away to a limit cycle that no point marks.
    def step(h, _):
        return jnp.where(h > -1e-9, jnp.tanh(2 * h), -jnp.abs(jnp.sin(37 * h)) - 0.1)

    points = find_fixed_points(bistable, np.linspace(-1, 1, 50)[:, None], box=(-1, 1), key=KEY)
    points = points.take(np.flatnonzero(points.states[:, 0] > -0.5))
    graph = transition_graph(step, points, trials=1000, key=KEY)
    saddle, stable = int(np.argmin(points.states[:, 0])), int(np.argmax(points.states[:, 0]))
    assert graph[saddle, stable] == pytest.approx(0.5, abs=0.07)
    assert graph[saddle].sum() == graph[saddle, stable]


def test_is_the_same_for_the_same_key_and_empty_for_no_points():
    points = lattice(2)
    first, second = (transition_graph(bistable, points, key=KEY) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert transition_graph(bistable, points.take(np.zeros(0, int)), key=KEY).shape == (0, 0)


def test_canonical_order_ignores_small_errors_of_the_readout():
    ideal = np.array(list(itertools.product((-1, 0, 1), repeat=3)), float)
    random = np.random.default_rng(0)
    shuffled = random.permutation(27)
    readouts = (ideal + random.uniform(-0.3, 0.3, ideal.shape))[shuffled]
    np.testing.assert_array_equal(shuffled[canonical_order(readouts, (-1, 0, 1))], np.arange(27))


def test_canonical_order_gives_every_point_a_place_of_its_own():
    # Middle points whose readout rounds to a neighbour's: matched one to one they still find their places.
    np.testing.assert_array_equal(canonical_order([[1.0], [0.7], [-1.0]], (-1, 0, 1)), [2, 1, 0])
    ideal = np.array(list(itertools.product((-1, 0, 1), repeat=2)), float)
    bent = ideal + 0.7 * (ideal == 0) * [1, -1]
    shuffled = np.random.default_rng(1).permutation(9)
    np.testing.assert_array_equal(shuffled[canonical_order(bent[shuffled], (-1, 0, 1))], np.arange(9))


@pytest.mark.parametrize("outputs", [7, 10, 16])
def test_canonical_order_of_many_outputs_is_that_of_the_nearest_ideal_readouts(outputs):
    """Up to 3^16 ideal readouts, which are never all formed; the readouts lie near some of them."""
    random = np.random.default_rng(outputs)
    ideal = np.unique(random.integers(-1, 2, size=(2000, outputs)), axis=0)  # in lexicographic order
    shuffled = random.permutation(len(ideal))
    readouts = (ideal + random.uniform(-0.4, 0.4, ideal.shape))[shuffled]
    np.testing.assert_array_equal(shuffled[canonical_order(readouts, (-1, 0, 1))], np.arange(len(ideal)))


def test_canonical_order_of_no_points_is_empty():
    assert canonical_order(np.zeros((0, 3)), (-1, 0, 1)).tolist() == []


def test_canonical_order_rounds_where_there_are_more_points_than_places():
    readouts = [[0.1], [1.0], [-1.0], [0.9], [-0.2]]
    np.testing.assert_array_equal(canonical_order(readouts, (-1, 0, 1)), [2, 4, 0, 3, 1])


def test_a_chain_is_joined_into_a_chain():
    chain = np.cumsum([0, 1.0, 1.1, 0.9, 1.05, 1.0])[:, None] * [[1.0, 0.2]]
    graph = neighbor_graph(chain)
    np.testing.assert_array_equal(graph, graph.T)
    assert (np.diag(graph, 1) == 1).all()
    # The two ends reach one further; nothing else is joined.
    assert graph.sum() == 2 * (5 + 2)
    pairs = neighbor_graph(np.array([[0.0], [1.0], [10.0], [11.0]]), neighbors=1)
    np.testing.assert_array_equal(pairs, np.kron(np.eye(2), [[0, 1], [1, 0]]))


def test_bad_points_have_no_neighbor_graph():
    with pytest.raises(ValueError, match="neighbors is 2 with 2 points; expected 1 to 1"):
        neighbor_graph(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="NaN or infinity"):
        neighbor_graph(np.full((4, 1), np.nan))


def test_bad_settings_are_refused():
    points = lattice(1)
    with pytest.raises(ValueError, match="trials is 0"):
        transition_graph(bistable, points, trials=0, key=KEY)
    with pytest.raises(ValueError, match="scale is 0"):
        transition_graph(bistable, points, scale=0.0, key=KEY)
