"""Names of all measures, and what each compares: geometry, topology or linearized dynamics."""

from typing import Final

from dynatlas.measures.graphs import Frobenius, FusedGromovWasserstein
from dynatlas.measures.pairs import Comparison
from dynatlas.measures.spectra import Spectrum

MEASURES: Final = {
    "svcca": "SVCCA",
    "cka": "CKA",
    "pwcca": "PWCCA",
    "cca": "CCA",
    "procrustes": "Procrustes",
    "rsa": "RSA",
    "transition_graph": "transition graph",
    "fused_transition_graph": "fused transition graph",
    "neighbor_graph": "neighbour graph",
    "spectrum": "spectrum",
}


def measure_label(measure: str) -> str:
    """A measure as people write it."""
    return MEASURES.get(measure, measure)


# Distances between what fixed points form, which stand beside these in an atlas: their names are taken.
OF_TOPOLOGY: Final = frozenset(["transition_graph", "fused_transition_graph", "neighbor_graph", "spectrum"])


# What the measures compare that do not compare geometry; and all aspects, in the order in which they are told.
ASPECTS: Final = ("geometry", "topology", "linearized dynamics")


_ASPECT_OF: Final = {
    "transition_graph": "topology",
    "fused_transition_graph": "topology",
    "neighbor_graph": "topology",
    "spectrum": "linearized dynamics",
}


def aspect(measure: str) -> str:
    """What a measure compares: one of ``ASPECTS``."""
    return _ASPECT_OF.get(measure, "geometry")


TOPOLOGY: dict[str, Comparison] = {
    "transition_graph": Frobenius(),
    "fused_transition_graph": FusedGromovWasserstein(),
    "neighbor_graph": Frobenius(),
    "spectrum": Spectrum(),
}


# Why a network that was trained may be missing from a matrix of what its fixed points form.
REASONS = {
    "fused_transition_graph": "no root",
    "neighbor_graph": "no root under some condition",
    "spectrum": "no fixed or slow point under some condition",
}
