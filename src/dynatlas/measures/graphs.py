"""Distances between graphs, with corresponding nodes or with the best matching of nodes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas.measures.pairs import Comparison, Reduced

# Random matchings from which the fused distance is minimised, besides those that nodes and edges suggest.
RANDOM_STARTS = 3


class Graph(NamedTuple):
    """A weighted, directed graph whose nodes have features."""

    edges: NDArray[np.float64]  # [p, p]
    features: NDArray[np.float64]  # [p, f]


def frobenius_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Return the Frobenius norm of the difference of two graphs' matrices with corresponding nodes. A metric.

    Raises:
        ValueError: different numbers of nodes.
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape:
        raise ValueError(f"the graphs have {len(one)} and {len(other)} nodes; this distance needs equally many")
    return float(np.linalg.norm(one - other))


class FusedParts(NamedTuple):
    """Squared parts of the fused distance at the best matching, without their weights."""

    features: float
    structure: float


def fused_distance(first: Graph, second: Graph, *, share: float = 0.5, seed: int = 0) -> float:
    """Return the fused Gromov–Wasserstein distance of two graphs, which may differ in the number of nodes.

    The least over all matchings π that spread each graph's nodes evenly over the other's of

        √( (1 − share) Σ π_ij ‖f_i − g_j‖²/f  +  share √(p q) Σ π_ij π_kl (A_ik − B_jl)² )

    with features f, g (their squared distance divided by their number) and edges A [p, p], B [q, q]. The factor √(p q)
    makes the second part, for one-to-one matchings, the mean over nodes of the squared distance between the rows of A
    and of B: between the probabilities of leaving a node for each other. Without it, features decide alone.

    The problem is not convex: the solver starts from several matchings, and the best result is an upper bound. 0 for
    graphs that differ only in the order of their nodes, up to the square root of rounding.

    Args:
        first: a graph.
        second: another, with equally many features.
        share: of the edges; the rest is the features'.
        seed: of the random matchings among the starts.

    Raises:
        ValueError: a graph without nodes, features that do not fit, a share outside [0, 1].

    Example:
        >>> loop = Graph(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0], [9.0]]))
        >>> fused_distance(loop, Graph(loop.edges[::-1, ::-1], loop.features[::-1]))
        0.0
        >>> stay = Graph(np.eye(2), loop.features)
        >>> fused_distance(loop, stay)  # √(½ · 2): every row differs by √2
        1.0

    Source: Vayer et al. 2019, by the solver of POT; the factor √(p q) is a choice of dynatlas.
    """
    features, structure = fused_parts(first, second, share=share, seed=seed)
    return float(np.sqrt((1 - share) * features + share * structure))


def fused_parts(first: Graph, second: Graph, *, share: float = 0.5, seed: int = 0) -> FusedParts:
    """Return both squared parts of ``fused_distance`` at the best matching; arguments and errors are the same."""
    import ot  # takes half a second

    for graph in (first, second):
        if not len(graph.edges) or graph.edges.shape != (len(graph.features), len(graph.features)):
            raise ValueError(
                f"a graph has edges {graph.edges.shape} and features {graph.features.shape}; expected [p, p] and "
                "[p, f] with at least one node"
            )
    if first.features.shape[1:] != second.features.shape[1:]:
        raise ValueError(f"the graphs have {first.features.shape[1]} and {second.features.shape[1]} features")
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; expected 0 to 1")
    costs = ((first.features[:, None] - second.features[None]) ** 2).mean(axis=-1)
    weights, other_weights = (np.full(len(graph.edges), 1 / len(graph.edges)) for graph in (first, second))
    scale = (len(first.edges) * len(second.edges)) ** 0.25
    edges, other_edges = first.edges * scale, second.edges * scale
    parts = []
    for start in _matchings(costs, first, second, seed):
        with np.errstate(divide="ignore", invalid="ignore"):  # its relative change of a cost of 0
            matching = ot.gromov.fused_gromov_wasserstein(
                costs, edges, other_edges, weights, other_weights, symmetric=False, alpha=share, G0=start
            )
        parts.append(FusedParts(float((costs * matching).sum()), _mismatch(edges, other_edges, matching)))
    return min(parts, key=lambda part: (1 - share) * part.features + share * part.structure)


def _matchings(costs: NDArray[np.float64], first: Graph, second: Graph, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield matchings by features alone, by the probability of leaving and entering a node, at random, and uniform."""
    import ot

    weights, other_weights = (np.full(count, 1 / count) for count in costs.shape)
    random = np.random.default_rng(seed)
    degrees = [np.stack([graph.edges.sum(axis=0), graph.edges.diagonal()]).T for graph in (first, second)]
    suggestions = [costs, ((degrees[0][:, None] - degrees[1][None]) ** 2).sum(axis=-1)]
    suggestions += [random.random(costs.shape) for _ in range(RANDOM_STARTS)]
    yield from (ot.emd(weights, other_weights, suggestion) for suggestion in suggestions)
    yield np.outer(weights, other_weights)


def _mismatch(first: NDArray[np.float64], second: NDArray[np.float64], matching: NDArray[np.float64]) -> float:
    """Compute Σ π_ij π_kl (A_ik − B_jl)²; rounding can leave it at −1e-16."""
    own, other = matching.sum(axis=1), matching.sum(axis=0)
    products = (matching.T @ first @ matching * second).sum()
    return max(float(own @ first**2 @ own + other @ second**2 @ other - 2 * products), 0.0)


@dataclass(frozen=True)
class Frobenius(Comparison):
    """``frobenius_distance`` between graphs reduced to {"edges": [p, p] or any other shape}."""

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two sets of edges."""
        return frobenius_distance(first["edges"], second["edges"])


@dataclass(frozen=True)
class FusedGromovWasserstein(Comparison):
    """``fused_distance`` between graphs reduced to {"edges": [p, p], "features": [p, f]}."""

    share: float = 0.5

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two graphs."""
        return fused_distance(Graph(**first), Graph(**second), share=self.share)


@dataclass(frozen=True)
class MatchedStructure(FusedGromovWasserstein):
    """The edges' part of ``fused_distance`` alone, at the matching that minimises the whole distance."""

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare the edges of two graphs."""
        return float(np.sqrt(fused_parts(Graph(**first), Graph(**second), share=self.share).structure))
