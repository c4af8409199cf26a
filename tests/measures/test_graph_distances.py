import numpy as np
import pytest

from dynatlas.measures.graphs import (
    Frobenius,
    FusedGromovWasserstein,
    Graph,
    MatchedStructure,
    frobenius_distance,
    fused_distance,
    fused_parts,
)
from dynatlas.measures.pairs import all_pairs


def random_graph(nodes, seed, features=2):
    random = np.random.default_rng(seed)
    edges = random.random((nodes, nodes)) * (random.random((nodes, nodes)) < 0.3)
    return Graph(edges, random.normal(size=(nodes, features)))


def test_the_frobenius_distance_is_the_norm_of_the_difference_and_a_metric():
    random = np.random.default_rng(0)
    a, b, c = random.uniform(size=(3, 5, 5))
    assert frobenius_distance(a, b) == pytest.approx(np.sqrt(((a - b) ** 2).sum()))
    assert frobenius_distance(a, a) == 0
    assert frobenius_distance(a, c) <= frobenius_distance(a, b) + frobenius_distance(b, c)
    matrix = all_pairs([{"edges": graph} for graph in (a, b, c)], Frobenius())
    assert matrix[0, 1] == pytest.approx(frobenius_distance(a, b))
    np.testing.assert_array_equal(matrix, matrix.T)
    assert all_pairs([], Frobenius()).shape == (0, 0)
    with pytest.raises(ValueError, match="5 and 4 nodes"):
        frobenius_distance(a, np.zeros((4, 4)))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_order_of_the_nodes_does_not_matter_to_the_fused_distance(share):
    graph = random_graph(12, seed=1)
    shuffled = np.random.default_rng(2).permutation(12)
    other = Graph(graph.edges[np.ix_(shuffled, shuffled)], graph.features[shuffled])
    assert fused_distance(graph, other, share=share) == pytest.approx(0, abs=1e-6)


def test_with_features_alone_it_is_a_wasserstein_distance_of_points():
    first = Graph(np.zeros((3, 3)), np.array([[0.0], [1.0], [5.0]]))
    second = Graph(np.zeros((3, 3)), np.array([[5.5], [0.5], [1.5]]))
    assert fused_distance(first, second, share=0.0) == pytest.approx(0.5)


@pytest.mark.parametrize("nodes", [2, 9, 27])
def test_the_edges_count_whatever_the_number_of_nodes(nodes):
    """Every node stays in one graph, and leaves for the next one in the other: its row differs by √2."""
    features = np.eye(nodes) * 100  # so that the order is the best matching
    stays, leaves = Graph(np.eye(nodes), features), Graph(np.roll(np.eye(nodes), 1, axis=1), features)
    assert fused_distance(stays, leaves) == pytest.approx(1, abs=1e-9)
    features_part, structure = fused_parts(stays, leaves)
    assert features_part == pytest.approx(0, abs=1e-9)
    assert structure == pytest.approx(2, abs=1e-9)
    pair = [graph._asdict() for graph in (stays, leaves)]
    assert MatchedStructure().between(*pair) == pytest.approx(np.sqrt(2), abs=1e-9)


def test_parts_add_up_to_the_distance():
    first, second = random_graph(7, 0), random_graph(5, 1)
    features, structure = fused_parts(first, second, share=0.3)
    assert fused_distance(first, second, share=0.3) ** 2 == pytest.approx(0.7 * features + 0.3 * structure)


def test_a_missing_node_costs_less_than_other_edges():
    """The flip-flop's lattice without its middle is nearer to the whole one than the same points joined at random."""
    lattice = np.array([[a, b] for a in (-1, 0, 1) for b in (-1, 0, 1)], float)
    edges = np.zeros((9, 9))
    for i, point in enumerate(lattice):
        ends = [j for j, end in enumerate(lattice) if (end != 0).all() and all((point == 0) | (point == end))]
        edges[i, ends] = 1 / len(ends)
    whole = Graph(edges, lattice)
    kept = np.delete(np.arange(9), 4)
    without = Graph(edges[np.ix_(kept, kept)], lattice[kept])
    away = Graph(np.eye(9)[np.random.default_rng(0).permutation(9)], lattice)
    assert 0 < fused_distance(whole, without) < fused_distance(whole, away)


def test_it_is_symmetric_and_the_matrix_holds_it():
    graphs = [random_graph(nodes, seed) for seed, nodes in enumerate((4, 6, 5))]
    matrix = all_pairs([graph._asdict() for graph in graphs], FusedGromovWasserstein())
    np.testing.assert_array_equal(matrix, matrix.T)
    assert matrix[1, 0] == fused_distance(graphs[1], graphs[0])
    assert fused_distance(graphs[0], graphs[1]) == pytest.approx(fused_distance(graphs[1], graphs[0]), rel=0.05)
    assert (np.diag(matrix) == 0).all()


def test_bad_graphs_are_refused():
    graph = random_graph(3, seed=0)
    with pytest.raises(ValueError, match="at least one node"):
        fused_distance(graph, Graph(np.zeros((0, 0)), np.zeros((0, 2))))
    with pytest.raises(ValueError, match="2 and 1 features"):
        fused_distance(graph, random_graph(3, seed=0, features=1))
    with pytest.raises(ValueError, match="share is 2"):
        fused_distance(graph, graph, share=2.0)
