"""Compare the roots that a search found with all solutions of a relu map's equations."""

from typing import NamedTuple

import numpy as np

from dynatlas._util.messages import count_of
from dynatlas.dynamics.completeness.verdict import Verdict
from dynatlas.dynamics.multistart import UNRESOLVED, Multistart
from dynatlas.dynamics.piecewise_linear.equations import ReluEquations
from dynatlas.dynamics.piecewise_linear.regions import all_solutions

# Without a budget of groups of regions: the most relus that are enumerated, and how many groups are examined.
RELUS, GROUPS = 16, 1024


class Proof(NamedTuple):
    """What the enumeration of linear regions shows.

    Attributes:
        is_complete: whether the roots of the search are exactly those of all regions.
        reason: in words; empty if no region was examined.
    """

    is_complete: bool
    reason: str

    def improve(self, said: Verdict) -> Verdict:
        """Return a certificate with what the enumeration adds to it."""
        if self.is_complete:
            return Verdict("complete", self.reason)
        return said._replace(reason="; ".join(filter(None, [said.reason, self.reason])))


def examine_regions(search: Multistart, equations: ReluEquations | None) -> Proof:
    """Enumerate the linear regions within the budget, and add the roots that the search did not find.

    These roots have 0 hits. A root that is outside of the search's box is left out.
    """
    budget = search.budget
    if equations is None or budget.out_of_time:
        return Proof(False, "")
    is_small = len(equations.constant) <= RELUS
    most = budget.max_regions if budget.max_regions is not None else GROUPS if is_small else 0
    if not most:
        return Proof(False, "")
    regions = all_solutions(
        equations.weights, equations.constant, max_regions=most, out_of_time=lambda: budget.out_of_time
    )
    if regions.cut:
        return Proof(False, f"not all linear regions were examined: {regions.cut}")
    states = equations.states(regions.values)
    states = states[search.inside(states)]
    known = np.array([point.state for point in search.roots]).reshape(-1, states.shape[1])
    distances = np.linalg.norm(states[:, None] - known, axis=2).min(axis=1, initial=np.inf)
    missing = states[distances > UNRESOLVED * search.spread]
    if len(missing):
        search.add_roots(missing, [0] * len(missing))
    n_roots = len(search.roots)
    if n_roots != len(states):
        return Proof(False, f"all linear regions hold {count_of(len(states), 'root')}, but the search has {n_roots}")
    relus = count_of(len(equations.constant), "relu")
    found = f", of which the search found {n_roots - len(missing)}" if len(missing) else ""
    groups = count_of(regions.n_groups, "group")
    return Proof(True, f"all linear regions of {relus}, in {groups}, hold {count_of(n_roots, 'root')}{found}")
