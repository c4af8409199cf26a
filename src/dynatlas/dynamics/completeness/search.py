"""The whole search on one map: rounds of starts, the Morse graph, the decision to stop, the regions of a relu map."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas.dynamics.completeness.morse_graph import MorseGraph
from dynatlas.dynamics.completeness.points import Point
from dynatlas.dynamics.completeness.reduction import Reduction, find_reduction
from dynatlas.dynamics.completeness.starts import more_starts, search_region, states_everywhere
from dynatlas.dynamics.completeness.verdict import Verdict, verdict
from dynatlas.dynamics.multistart import ROUND, Budget, Multistart
from dynatlas.dynamics.piecewise_linear.equations import relu_equations
from dynatlas.dynamics.piecewise_linear.program import has_relus
from dynatlas.dynamics.piecewise_linear.proof import examine_regions
from dynatlas.dynamics.piecewise_linear.sum_law import SumLaw, sum_law
from dynatlas.dynamics.root_search import FLOW_RUNS
from dynatlas.dynamics.step import Box, Step

# Rounds in which roots that only one start reached are sought again.
SINGLETON_ROUNDS = 4
# Rounds that sample a continuum of roots more densely.
CONTINUUM_ROUNDS = 4
# Rounds that a sum of indices is waited for that is supported, not proven.
SUPPORTED_ROUNDS = 8
# Starts of the search on the whole map that check a reduced one.
CHECKING_STARTS = 48


class Found(NamedTuple):
    """What a search found.

    Attributes:
        points: roots and slow points.
        verdict: the certificate and its reason.
        rejected: number of rejected starts, by reason.
        n_starts: number of starts.
        spread: scale of the states.
        cut: why the search ended before it was finished; empty if it was not cut.
    """

    points: list[Point]
    verdict: Verdict
    rejected: dict[str, int]
    n_starts: int
    spread: float
    cut: str


class Problem(NamedTuple):
    """A map whose roots are sought, and how.

    Attributes:
        step: the map.
        inputs: the static input.
        box: that the map maps into itself, or None.
        tolerances: largest q of a root and of a slow point.
        budget: of starts, of seconds and of linear regions.
    """

    step: Step
    inputs: Float[Array, " m"] | None
    box: Box | None
    tolerances: tuple[float, float]
    budget: Budget


def search_roots_of(problem: Problem, starts: NDArray[np.float64], random: np.random.Generator) -> Found:
    """Find roots and slow points; on fewer coordinates, where an exact reduction of the map is found.

    Args:
        problem: the map.
        starts: [starts, n].
        random: generator of the added starts.
    """
    step, n, inputs = problem.step, starts.shape[1], problem.inputs
    equations = relu_equations(step, n, inputs)
    is_other = equations is None and problem.box is None and has_relus(step, n, inputs)
    law = sum_law(equations, has_box=problem.box is not None, has_relus=is_other)
    reduction = find_reduction(problem.step, starts, problem.inputs, problem.box)
    if reduction is not None:
        found = _reduced(reduction, problem, law, starts, random)
        if found is not None:
            return found
    search = _multistart(problem, starts)
    open_ends = _run(search, law, starts, random)
    proof = examine_regions(search, equations)
    found = _found(search, law, open_ends)
    return found._replace(verdict=proof.improve(found.verdict))


def _multistart(problem: Problem, starts: NDArray[np.float64]) -> Multistart:
    step, inputs, box, tolerances, budget = problem
    spread = float(np.sqrt(starts.var(axis=0).mean()))
    if spread < 1e-6:  # a single start has no scale; that of the units is about 1
        spread = 1.0
    start_range = (starts.min(axis=0) - spread, starts.max(axis=0) + spread)
    region = search_region(starts, box, spread)
    return Multistart(step, inputs, box, *tolerances, spread, start_range, region, budget)


def _run(search: Multistart, law: SumLaw, starts: NDArray[np.float64], random: np.random.Generator) -> list[str]:
    """Search in rounds until nothing is missing or the budget is spent; return why the Morse graph does not close."""
    search.search(starts)
    search.follow(starts[:FLOW_RUNS])
    # Starts may lie in a part of the state space that the map keeps to, which has an index sum and a Morse graph of its
    # own: the basins of other stable points are found from everywhere.
    search.follow(states_everywhere(search, starts, FLOW_RUNS, random))
    graph = MorseGraph(search)
    known, again, sampled, rounds = -1, 0, 0, 0
    while True:
        graph.close()
        sampled += search.on_continuum
        if sampled > CONTINUUM_ROUNDS:
            break
        # A sum that is not known is not waited for, and one that is only supported not for ever.
        is_awaited = law.expected is not None and (law.is_proven or rounds < SUPPORTED_ROUNDS)
        adds_up = not is_awaited or search.index_sum == law.expected
        nothing_new = len(search.roots) == known
        is_done = graph.closes or not graph.is_defined
        if search.uncountable or (adds_up and is_done and not search.n_singletons):
            break
        if adds_up and nothing_new:
            again += 1
            if not search.n_singletons or again > SINGLETON_ROUNDS:
                break
        if search.stopped:
            break
        known, rounds = len(search.roots), rounds + 1
        count = min(ROUND, search.budget.max_starts - search.n_starts)
        search.search(more_starts(search, starts, search.spread, count, random))
    return graph.reasons


def _found(search: Multistart, law: SumLaw, open_ends: list[str]) -> Found:
    roots = search.roots
    said = verdict(
        law=law,
        index_sum=search.index_sum,
        degenerate=sum(not point.index for point in roots),
        singletons=search.n_singletons,
        uncountable=search.uncountable or search.on_continuum,
        open_ends=open_ends,
        cut=search.cut,
    )
    rejected = {reason: count for reason, count in sorted(search.rejected.items()) if count}
    cut = "a continuum of roots" if search.uncountable or search.on_continuum else search.cut
    return Found(search.points, said, rejected, search.n_starts, search.spread, cut)


def _reduced(
    reduction: Reduction, problem: Problem, law: SumLaw, starts: NDArray[np.float64], random: np.random.Generator
) -> Found | None:
    """Search the reduced map and return its points on the whole one; None if the two do not agree."""
    given = reduction.project(starts)
    inner_box = None if problem.box is None else reduction.box(*problem.box)
    inner = _multistart(problem._replace(step=reduction, box=inner_box), given)
    open_ends = _run(inner, law, given, random)
    outer = _multistart(problem, starts)
    roots = inner.roots
    if roots:
        lifted = reduction.lift(np.array([point.state for point in roots]), problem.inputs)
        outer.add_roots(lifted, [point.hits for point in roots])
    if [point.n_unstable for point in outer.roots] != [point.n_unstable for point in roots]:
        return None
    slow = [point.state for point in inner.points if point.is_slow]
    checking = starts[:: max(1, len(starts) // CHECKING_STARTS)][:CHECKING_STARTS]
    if slow:
        checking = np.concatenate([reduction.lift(np.array(slow), problem.inputs), checking])
    outer.search(outer.clip(checking))
    if len(outer.roots) != len(roots):
        return None
    outer.n_starts += inner.n_starts
    outer.rejected += inner.rejected
    outer.cut = inner.cut or outer.cut
    found = _found(outer, law, open_ends)
    where = f"searched in {given.shape[1]} of {starts.shape[1]} dimensions, which decide the others"
    reason = f"{found.verdict.reason}; {where}" if found.verdict.reason else where
    return found._replace(verdict=found.verdict._replace(reason=reason))
