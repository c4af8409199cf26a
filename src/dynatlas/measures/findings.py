"""Measures of what was found about networks, each declared once."""

from collections import ChainMap
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from dynatlas.measures.aspects import Aspect
from dynatlas.measures.behavior import ErrorProfile
from dynatlas.measures.dynamics.robustness import RobustnessRatio
from dynatlas.measures.graphs import Frobenius, FusedGromovWasserstein, MatchedStructure
from dynatlas.measures.pairs import Comparison
from dynatlas.measures.spectra import Spectrum
from dynatlas.measures.weights.distance import Weights


class Finding(NamedTuple):
    """What a measure compares, where that is not activity: a part of the analysis of a network, or its weights.

    Attributes:
        name: of the finding.
        needs: of a task: "one condition", or "a line" that the points of an oscillation or an integration form.
    """

    name: str
    needs: Literal["nothing", "one condition", "a line"] = "nothing"


TRANSITIONS: Final = Finding("transition graph", needs="one condition")
NEIGHBORS: Final = Finding("neighbour graphs", needs="a line")
EIGENVALUES: Final = Finding("eigenvalues")
ERRORS: Final = Finding("errors under variations of the task")
WEIGHTS: Final = Finding("weights")
PERTURBATIONS: Final = Finding("smallest perturbations")


class FindingMeasure(NamedTuple):
    """A distance between findings.

    Attributes:
        label: in figures and tables.
        aspect: what it compares.
        finding: of each network.
        comparison: the distance between two networks' findings.
        left_out: why a trained network may be missing; ``{modal}`` stands for the modal number of roots.
        only_modal: compares only networks with the modal number of roots, as nodes must correspond.
        pair_seconds: time to compare two networks, for plans.
        given: factors whose levels cannot be compared on equal terms, so that their effect says nothing.
    """

    label: str
    aspect: Aspect
    finding: Finding
    comparison: Comparison
    left_out: str
    only_modal: bool = False
    pair_seconds: float = 1e-5
    given: frozenset[str] = frozenset()


# By the names that tasks list under ``topology``.
TOPOLOGY: Final = {
    "transition_graph": FindingMeasure(
        "transition graph",
        "topology",
        TRANSITIONS,
        Frobenius(),
        "not the modal number of roots, {modal}",
        only_modal=True,
    ),
    "fused_transition_graph": FindingMeasure(
        "fused transition graph",
        "topology",
        TRANSITIONS,
        FusedGromovWasserstein(),
        "no root",
        pair_seconds=0.02,  # of graphs of 27 nodes
    ),
    "transition_structure": FindingMeasure(
        "transition structure",
        "topology",
        TRANSITIONS,
        MatchedStructure(),
        "no root",
        pair_seconds=0.02,
    ),
    "neighbor_graph": FindingMeasure(
        "neighbour graph",
        "topology",
        NEIGHBORS,
        Frobenius(),
        "no root under some condition",
    ),
    "spectrum": FindingMeasure(
        "spectrum",
        "linearized dynamics",
        EIGENVALUES,
        Spectrum(),
        "no fixed or slow point under some condition",
        pair_seconds=1.5e-3,  # of 27 points of 64 units
    ),
}
# By the names that studies list under ``measures``, beside the measures of activity.
OF_STUDIES: Final = {
    "behavior": FindingMeasure("error profile", "behavior", ERRORS, ErrorProfile(), "no variation of the task"),
    "weights": FindingMeasure(
        "weights",
        "weights",
        WEIGHTS,
        Weights(),
        "its units cannot be reordered",
        pair_seconds=5e-3,  # of 64 units, on one core
        # They decide what parameters there are, and whether the signs of units are free.
        given=frozenset(["architecture", "activation", "units"]),
    ),
    "robustness": FindingMeasure(
        "robustness",
        "robustness",
        PERTURBATIONS,
        RobustnessRatio(),
        "fewer than two stable points under every condition",
    ),
}
FINDING_MEASURES: Final = ChainMap(OF_STUDIES, TOPOLOGY)  # those of topology first


def aspect(measure: str) -> Aspect:
    """Return the aspect that a measure compares; of a registered measure whose code is not loaded, geometry."""
    from dynatlas.measures.registry import MEASURES  # which imports this file

    if measure in FINDING_MEASURES:
        return FINDING_MEASURES[measure].aspect
    return MEASURES[measure].aspect if measure in MEASURES else "geometry"


def given_factors(measure: str) -> frozenset[str]:
    """Return the factors whose levels a measure does not compare on equal terms, so that they are not tested.

    Example:
        >>> sorted(given_factors("weights")), sorted(given_factors("svcca"))
        (['activation', 'architecture', 'units'], [])
    """
    return FINDING_MEASURES[measure].given if measure in FINDING_MEASURES else frozenset()


def comparing(finding: Finding) -> frozenset[str]:
    """Return the names of the measures that compare a finding.

    Example:
        >>> sorted(comparing(TRANSITIONS))
        ['fused_transition_graph', 'transition_graph', 'transition_structure']
    """
    return frozenset(name for name, measure in TOPOLOGY.items() if measure.finding == finding)


def check_topology(task: str, names: Iterable[str], n_conditions: int, *, has_line: bool = False) -> None:
    """Check that measures can compare networks on a user's task.

    Args:
        task: its name in messages.
        names: its ``topology``.
        n_conditions: number of its static inputs.
        has_line: whether its fixed points form a line: over frequencies, or along an integral.

    Raises:
        ValueError: there is no such measure for it; or one compares a graph of one condition, and it has several.
    """
    known = [name for name, measure in TOPOLOGY.items() if has_line or measure.finding.needs != "a line"]
    for name in names:
        if name not in known:
            raise ValueError(f"{task}: topology names {name!r}; expected some of {', '.join(known)}")
        if TOPOLOGY[name].finding.needs == "one condition" and n_conditions > 1:
            raise ValueError(f"{task}: topology names {name!r}, a graph of one condition, and there are {n_conditions}")
