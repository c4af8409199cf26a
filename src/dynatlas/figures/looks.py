"""Colours, markers and labels of the levels of each factor, in figures and on the page.

The palette of Okabe and Ito is distinguishable with any common colour vision. Markers always show the second factor, so
that no figure depends on colour alone.
"""

from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import Any, Final, NamedTuple

from dynatlas.study.study import Study


class Look(NamedTuple):
    """Label, colour and markers of one level of a factor."""

    label: str
    color: str
    marker: str  # of matplotlib
    symbol: str  # of plotly


ARCHITECTURES: Final[Mapping[str, Look]] = {
    "vanilla": Look("Vanilla", "#0072B2", "o", "circle"),
    "ugrnn": Look("UGRNN", "#E69F00", "s", "square"),
    "gru": Look("GRU", "#009E73", "D", "diamond"),
    "lstm": Look("LSTM", "#CC79A7", "^", "triangle-up"),
}

ACTIVATIONS: Final[Mapping[str, Look]] = {
    "tanh": Look("tanh", "#D55E00", "o", "circle"),
    "relu": Look("relu", "#56B4E9", "D", "diamond"),
}

# Colour, marker and symbol of user-defined cells, in the order of the study.
_OTHERS: Final = (
    ("#A6761D", "v", "triangle-down"),
    ("#7570B3", "P", "cross"),
    ("#666666", "X", "x"),
    ("#E7298A", "p", "pentagon"),
    ("#1B7837", "h", "hexagon"),
    ("#8C2D04", "*", "star"),
)

LINE_STYLES: Final[Mapping[str, Any]] = {"tanh": "-", "relu": (0, (3, 1.2))}
# Colour of a fixed point by its number of unstable directions; the last colour is for all higher numbers.
UNSTABLE: Final = ("#1A1A1A", "#4477AA", "#EE6677", "#B8860B", "#AA3377")
# Low to high; both ends are visible on white and on black.
FREQUENCY_COLORS: Final = ("#46327E", "#31688E", "#1F9E89", "#5EC962")
EVIDENCE_COLORS: Final = ("#0072B2", "#9C9C9C", "#D55E00")


def unstable_color(n_unstable: int) -> str:
    """Return the colour of a fixed point with this number of unstable directions."""
    return UNSTABLE[min(n_unstable, len(UNSTABLE) - 1)]


def unstable_label(n_unstable: int, *, or_more: bool = False) -> str:
    """Describe the number of unstable directions."""
    if n_unstable == 0:
        return "stable"
    more = " or more" if or_more else ""
    return f"{n_unstable}{more} unstable direction{'s' if n_unstable > 1 or or_more else ''}"


def looks_of(study: Study) -> dict[str, Mapping[str, Look]]:
    """Return the looks of the levels of each factor of a study."""
    return {"architecture": architecture_looks(study.population.architectures), "activation": ACTIVATIONS}


def architecture_looks(architectures: Iterable[str]) -> dict[str, Look]:
    """Return the looks of the built-in architectures, then of a study's other architectures in their order.

    Example:
        >>> architecture_looks(["my_cell", "gru"])["my_cell"]
        Look(label='my cell', color='#A6761D', marker='v', symbol='triangle-down')
    """
    others = [name for name in architectures if name not in ARCHITECTURES]
    return {**ARCHITECTURES} | {
        name: Look(architecture_label(name), *look) for name, look in zip(others, cycle(_OTHERS), strict=False)
    }


def variant_label(architecture: str, activation: str) -> str:
    """Return the label of an architecture with its activation."""
    return f"{architecture_label(architecture)} {activation}"


def architecture_label(architecture: str) -> str:
    """Return the label of an architecture."""
    return ARCHITECTURES[architecture].label if architecture in ARCHITECTURES else architecture.replace("_", " ")
