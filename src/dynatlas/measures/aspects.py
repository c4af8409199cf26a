"""Aspects of networks, one of which every measure compares."""

from typing import Final, Literal

Aspect = Literal["geometry", "dynamics", "topology", "linearized dynamics", "robustness", "behavior", "weights"]
# What measures of each aspect compare, in the order in which tables have them.
ASPECTS: Final[dict[Aspect, str]] = {
    "geometry": "the shape of the activity",
    "dynamics": "how activity changes from step to step",
    "topology": "which fixed points lead to which, or are neighbours",
    "linearized dynamics": "the eigenvalues at the fixed points",
    "robustness": "how small a push leaves an attractor",
    "behavior": "errors under variations of the task",
    "weights": "parameters, up to the order of the units",
}
