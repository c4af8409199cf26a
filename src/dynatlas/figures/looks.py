"""Colours, markers, lines and labels of the levels of each factor, in figures and on the page.

Built-in architectures and activations have looks of their own, in colours that are distinguishable with any common
colour vision, after Okabe and Ito. Numbers have an ordered scale from dark to light; other levels a palette. Markers or
lines always show the second factor, so that no figure depends on colour alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import Any, Final, NamedTuple

import numpy as np

from dynatlas.atlas.view import Variant, all_levels, shown_factors, varying_factors
from dynatlas.study.study import Study


class Look(NamedTuple):
    """Labels, colour, markers and line of one level of a factor."""

    label: str  # below the name of its factor: “0.5”
    title: str  # alone: “gain 0.5”
    color: str
    marker: str  # of matplotlib
    symbol: str  # of plotly
    line: Any  # style of matplotlib


# Marker of matplotlib → symbol of plotly, and a letter like it.
SYMBOLS: Final[Mapping[str, tuple[str, str]]] = {
    "o": ("circle", "●"),
    "D": ("diamond", "◆"),
    "^": ("triangle-up", "▲"),
    "s": ("square", "■"),
    "v": ("triangle-down", "▼"),
    "P": ("cross", "✚"),
    "X": ("x", "✖"),
    "p": ("pentagon", "⬟"),
    "h": ("hexagon", "⬢"),
    "<": ("triangle-left", "◀"),
    "*": ("star", "★"),
}
GLYPHS: Final = dict(SYMBOLS.values())
LINES: Final = (
    *("-", (0, (3, 1.2)), (0, (1, 1.1)), (0, (6, 1.2, 1, 1.2))),
    *((0, (9, 2.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 3.2)), (0, (9, 1.2, 3, 1.2))),
)


def _look(label: str, color: str, marker: str, line: Any = "-") -> Look:
    return Look(label, label, color, marker, SYMBOLS[marker][0], line)


ARCHITECTURES: Final[Mapping[str, Look]] = {
    "vanilla": _look("Vanilla", "#0072B2", "o"),
    "ugrnn": _look("UGRNN", "#E69F00", "s"),
    "gru": _look("GRU", "#009E73", "D"),
    "lstm": _look("LSTM", "#CC79A7", "^"),
    "ctrnn": _look("CTRNN", "#882255", "<"),
}

ACTIVATIONS: Final[Mapping[str, Look]] = {
    "tanh": _look("tanh", "#D55E00", "o", LINES[0]),
    "relu": _look("relu", "#56B4E9", "D", LINES[1]),
    "sigmoid": _look("sigmoid", "#117733", "s", LINES[2]),
    "softplus": _look("softplus", "#AA4499", "^", LINES[3]),
    "retanh": _look("retanh", "#3F2D9E", "v", LINES[4]),
    "leaky_relu": _look("leaky relu", "#888888", "P", LINES[5]),
    "gelu": _look("gelu", "#661100", "X", LINES[6]),
    "identity": _look("identity", "#555555", "p", LINES[7]),
}

_BUILT_IN: Final = {"architecture": ARCHITECTURES, "activation": ACTIVATIONS}

# Colours and markers of user-defined cells and activations, in the order of the study.
_OTHERS: Final = (
    *(("#A6761D", "v"), ("#7570B3", "P"), ("#666666", "X")),
    *(("#E7298A", "p"), ("#1B7837", "h"), ("#8C2D04", "*")),
)
PALETTE: Final = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"),
    *("#882255", "#661100", "#3F2D9E", "#8C564B", "#999999", "#17A2A2"),
)
_MARKERS: Final = ("o", "D", "^", "s", "v", "P", "X", "p", "h")

# Colour of a fixed point by its number of unstable directions; the last colour is for all higher numbers.
UNSTABLE: Final = ("#1A1A1A", "#4477AA", "#EE6677", "#B8860B", "#AA3377")
# Low to high; both ends are visible on white and on black.
FREQUENCY_COLORS: Final = ("#46327E", "#31688E", "#1F9E89", "#5EC962")
EVIDENCE_COLORS: Final = ("#0072B2", "#9C9C9C", "#D55E00")
# Of numeric factors, in turn: two of them stand side by side.
_SCALES: Final = (FREQUENCY_COLORS, ("#5B1A5E", "#B0305C", "#E8602D", "#F5B041"))


def unstable_color(n_unstable: int) -> str:
    """Return the colour of a fixed point with this number of unstable directions."""
    return UNSTABLE[min(n_unstable, len(UNSTABLE) - 1)]


def unstable_label(n_unstable: int, *, or_more: bool = False) -> str:
    """Describe the number of unstable directions."""
    if n_unstable == 0:
        return "stable"
    more = " or more" if or_more else ""
    return f"{n_unstable}{more} unstable direction{'s' if n_unstable > 1 or or_more else ''}"


def looks_of(study: Study) -> dict[str, dict[Any, Look]]:
    """Return the looks of the levels of each factor of a study, in the order of every picture."""
    return looks_of_levels(all_levels(study))


def looks_of_levels(levels: Mapping[str, Sequence[Any]]) -> dict[str, dict[Any, Look]]:
    """Return the looks of factors with these levels, in their order: numeric factors have the scales in turn.

    Example:
        >>> looks = looks_of_levels({"architecture": ["my_cell"], "gain": [0.5, 1.5]})
        >>> looks["architecture"]["my_cell"]
        Look(label='my cell', title='my cell', color='#A6761D', marker='o', symbol='circle', line='-')
        >>> looks["gain"][1.5]
        Look(label='1.5', title='gain 1.5', color='#5ec962', marker='D', symbol='diamond', line=(0, (3, 1.2)))
    """
    found: dict[str, dict[Any, Look]] = {}
    scales = cycle(_SCALES)
    for factor, of_factor in levels.items():
        if factor in _BUILT_IN:
            found[factor] = _named_looks(_BUILT_IN[factor], of_factor)
            continue
        is_ordered = all(isinstance(level, int | float) and not isinstance(level, bool) for level in of_factor)
        colors: Iterable[str] = cycle(PALETTE)
        if is_ordered and len(of_factor) > 1:
            colors = _between(next(scales), len(of_factor))
        styles = zip(of_factor, colors, cycle(_MARKERS), cycle(LINES), strict=False)
        found[factor] = {
            level: Look(level_label(factor, level), level_title(factor, level), color, marker, SYMBOLS[marker][0], line)
            for level, color, marker, line in styles
        }
    return found


def _named_looks(built_in: Mapping[str, Look], names: Sequence[str]) -> dict[Any, Look]:
    """Return the looks of names: those of dynatlas, and others in the order of the study."""
    others = [name for name in names if name not in built_in]
    styles = zip(others, cycle(_OTHERS), cycle(reversed(LINES)), strict=False)
    looks = {**built_in} | {name: _look(name.replace("_", " "), *style, line) for name, style, line in styles}
    if len(names) == 1:
        return {names[0]: looks[names[0]]._replace(marker="o", symbol="circle", line="-")}
    return {name: looks[name] for name in names}


def _between(scale: Sequence[str], count: int) -> list[str]:
    """Return evenly spaced colours from the first to the last of a scale."""
    ends = np.array([[int(color[place : place + 2], 16) for place in (1, 3, 5)] for color in scale])
    places = np.linspace(0, len(scale) - 1, count)
    channels = [np.interp(places, np.arange(len(scale)), channel) for channel in ends.T]
    return ["#" + "".join(f"{round(float(value)):02x}" for value in color) for color in zip(*channels, strict=True)]


def factor_label(factor: str) -> str:
    """Return the name of a factor in words.

    Example:
        >>> factor_label("learning_rate"), factor_label("l2")
        ('learning rate', 'L2')
    """
    return "L2" if factor == "l2" else factor.replace("_", " ")


def level_label(factor: str, level: Any) -> str:
    """Return a level as it stands below the name of its factor.

    Example:
        >>> level_label("l2", 1e-5), level_label("dale", True), level_label("activation", "leaky_relu")
        ('1e-5', 'yes', 'leaky relu')
    """
    if factor in _BUILT_IN:
        named = _BUILT_IN[factor].get(level)
        return named.label if named else str(level).replace("_", " ")
    if isinstance(level, bool | np.bool_):
        return "yes" if level else "no"
    if isinstance(level, float):
        base, _, exponent = f"{level:g}".partition("e")
        return f"{base}e{int(exponent)}" if exponent else base
    return str(level)


def level_title(factor: str, level: Any) -> str:
    """Return a level as it stands alone: a name, or a number or text with its factor.

    Example:
        >>> level_title("activation", "tanh"), level_title("units", 64), level_title("l2", 0.001)
        ('tanh', '64 units', 'L2 0.001')
        >>> level_title("gain", 0.5), level_title("dale", True), level_title("form", "rates")
        ('gain 0.5', 'dale: yes', 'form: rates')
    """
    label = level_label(factor, level)
    if factor in _BUILT_IN:
        return label
    if factor == "units":
        return f"{label} units"
    is_number = isinstance(level, int | float) and not isinstance(level, bool)
    return f"{factor_label(factor)}{'' if is_number else ':'} {label}"


def naming_factors(study: Study) -> tuple[tuple[str, ...], str]:
    """Return the factors whose levels name a variant, and what stands between them."""
    shown = shown_factors(study)
    if set(shown) == _BUILT_IN.keys():
        return tuple(_BUILT_IN), " "
    return varying_factors(study), ", "


def variant_label(study: Study, variant: Variant) -> str:
    """Return the name of a variant: “GRU tanh”, “tanh, gain 0.5”."""
    levels = dict(zip(shown_factors(study), variant, strict=True))
    factors, between = naming_factors(study)
    return between.join(level_title(factor, levels[factor]) for factor in factors)


def short_variant_label(study: Study, variant: Variant) -> str:
    """Return the levels of a variant below the names of its factors: “tanh, 0.5”."""
    levels = dict(zip(shown_factors(study), variant, strict=True))
    factors, between = naming_factors(study)
    return between.join(level_label(factor, levels[factor]) for factor in factors)


def variant_words(study: Study) -> str:
    """Name the factors of ``short_variant_label``; empty where the levels need no such name.

    Example:
        >>> variant_words(Study.load("paper"))
        ''
    """
    factors, between = naming_factors(study)
    return between.join(map(factor_label, factors)) if set(factors) - _BUILT_IN.keys() else ""


def architecture_label(architecture: str) -> str:
    """Return the label of an architecture."""
    return level_label("architecture", architecture)


def plain(text: str) -> str:
    """Escape a text for matplotlib, so that “$” does not start a formula."""
    return text.replace("$", r"\$")
