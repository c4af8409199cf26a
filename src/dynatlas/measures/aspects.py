"""The measures of what fixed points form, each declared once; and what every measure compares."""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, get_args

from dynatlas.measures.graphs import Frobenius, FusedGromovWasserstein
from dynatlas.measures.pairs import Comparison
from dynatlas.measures.spectra import Spectrum

Aspect = Literal["geometry", "topology", "linearized dynamics"]


ASPECTS: Final[tuple[Aspect, ...]] = get_args(Aspect)  # in the order in which tables have them


class Finding(NamedTuple):
    """What is kept of a network's fixed points, to be compared.

    Attributes:
        name: of what is kept.
        needs: what it needs of a task: "one condition", or "a line" that its points form, as on dynatlas' own tasks.
    """

    name: str
    needs: Literal["nothing", "one condition", "a line"] = "nothing"


TRANSITIONS: Final = Finding("transition graph", needs="one condition")


NEIGHBORS: Final = Finding("neighbour graphs", needs="a line")


EIGENVALUES: Final = Finding("eigenvalues")


class FixedPointMeasure(NamedTuple):
    """A distance between what the fixed points of networks form.

    Attributes:
        label: the measure as people write it.
        aspect: what it compares.
        finding: what it compares of each network.
        comparison: the distance between two networks' findings.
        left_out: why a trained network may be missing; ``{modal}`` stands for the modal number of roots.
        only_modal: compares only networks with the modal number of roots, as nodes must correspond.
        pair_seconds: time to compare two networks, for plans.
    """

    label: str
    aspect: Aspect
    finding: Finding
    comparison: Comparison
    left_out: str
    only_modal: bool = False
    pair_seconds: float = 1e-5


# By the names that tasks list under ``topology``.
TOPOLOGY: Final = {
    "transition_graph": FixedPointMeasure(
        "transition graph",
        "topology",
        TRANSITIONS,
        Frobenius(),
        "not the modal number of roots, {modal}",
        only_modal=True,
    ),
    "fused_transition_graph": FixedPointMeasure(
        "fused transition graph",
        "topology",
        TRANSITIONS,
        FusedGromovWasserstein(),
        "no root",
        pair_seconds=0.02,  # of graphs of 27 nodes
    ),
    "neighbor_graph": FixedPointMeasure(
        "neighbour graph",
        "topology",
        NEIGHBORS,
        Frobenius(),
        "no root under some condition",
    ),
    "spectrum": FixedPointMeasure(
        "spectrum",
        "linearized dynamics",
        EIGENVALUES,
        Spectrum(),
        "no fixed or slow point under some condition",
    ),
}


def aspect(measure: str) -> Aspect:
    """What a measure compares; geometry, unless it is one of what fixed points form."""
    return TOPOLOGY[measure].aspect if measure in TOPOLOGY else "geometry"


def comparing(finding: Finding) -> frozenset[str]:
    """The names of the measures that compare a finding.

    Example:
        >>> sorted(comparing(TRANSITIONS))
        ['fused_transition_graph', 'transition_graph']
    """
    return frozenset(name for name, measure in TOPOLOGY.items() if measure.finding == finding)


def check_topology(task: str, names: Iterable[str], n_conditions: int) -> None:
    """Refuse measures that cannot compare networks on a user's task.

    Args:
        task: what messages call it.
        names: its ``topology``.
        n_conditions: its static inputs.

    Raises:
        ValueError: there is no such measure for it; or one compares a graph of one condition, and it has several.
    """
    known = [name for name, measure in TOPOLOGY.items() if measure.finding.needs != "a line"]
    for name in names:
        if name not in known:
            raise ValueError(f"{task}: topology names {name!r}; expected some of {', '.join(known)}")
        if TOPOLOGY[name].finding.needs == "one condition" and n_conditions > 1:
            raise ValueError(f"{task}: topology names {name!r}, a graph of one condition, and there are {n_conditions}")
