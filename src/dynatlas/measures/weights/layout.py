"""Weights of two networks in arrays of the same shape: blocks aligned by name, missing ones and silent units as zeros.

A reduced network has its blocks by name, with the kind as the first word (``cells.symmetries.unit_weights``):

    between NAME   [n, n]   weights from the column's unit to the row's
    units NAME     [n, k]   features of units: weights from inputs, to outputs, biases
    others NAME    [k]      weights of no unit

If its units may change sign, ``flips between NAME`` [2] states whether rows and columns do, and ``flips units NAME``
[1] whether the features do; a block without such an entry does not change.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dynatlas.measures.pairs import Reduced
from dynatlas.measures.weights.score import Units


class Block(NamedTuple):
    """Name of a block, what changes sign with its units, and its width."""

    name: str
    flips: tuple[bool, ...]
    width: int


class Layout(NamedTuple):
    """What both networks of a pair are laid out as.

    Attributes:
        n: number of units; those that the smaller network does not have are silent.
        signed: whether units may change sign.
        between: blocks of weights between units.
        units: features of units.
        others: weights of no unit.
    """

    n: int
    signed: bool
    between: tuple[Block, ...]
    units: tuple[Block, ...]
    others: tuple[Block, ...]


def layout_of(first: Reduced, second: Reduced) -> Layout:
    """Return the layout of a pair.

    Units may change sign if they may in either network. Blocks of one name that change sign differently are two blocks,
    each of which one of the networks does not have.
    """
    widths: dict[tuple[str, tuple[bool, ...]], int] = {}
    for own, other in ((first, second), (second, first)):
        for name, block in own.items():
            if not name.startswith("flips "):
                key = (name, _flips(own, other, name))
                widths[key] = max(widths.get(key, 0), block.shape[-1])
    blocks = [Block(*key, width) for key, width in sorted(widths.items())]
    kinds = [tuple(block for block in blocks if block.name.startswith(kind)) for kind in ("between", "units", "others")]
    return Layout(max(n_units(first), n_units(second)), _is_signed(first) or _is_signed(second), *kinds)


def n_units(reduced: Reduced) -> int:
    """Return the number of units of a reduced network."""
    return max((len(block) for name, block in reduced.items() if name.startswith(("between", "units"))), default=0)


def lay_out(reduced: Reduced, layout: Layout) -> Units:
    """Return a network's weights, scaled to norm 1.

    Raises:
        ValueError: all weights are 0.
    """
    sizes = [np.linalg.norm(block) for name, block in reduced.items() if not name.startswith("flips ")]
    size = float(np.linalg.norm(sizes))
    if not 0 < size < np.inf:
        raise ValueError(f"the weights have norm {size:g}; expected a positive number, since they are scaled to norm 1")
    n = layout.n
    between = np.zeros((len(layout.between), n, n))
    for place, block in enumerate(layout.between):
        _place(reduced, block, between[place])
    parts = []
    for flips in (True, False):
        blocks = [block for block in layout.units if block.flips == (flips,)]
        ends = np.cumsum([block.width for block in blocks])
        features = np.zeros((n, sum(block.width for block in blocks)))
        for block, end in zip(blocks, ends, strict=True):
            _place(reduced, block, features[:, end - block.width : end])
        parts.append(features)
    others = np.zeros(sum(block.width for block in layout.others))
    ends = np.cumsum([block.width for block in layout.others])
    for block, end in zip(layout.others, ends, strict=True):
        _place(reduced, block, others[end - block.width : end])
    return Units(between / size, parts[0] / size, parts[1] / size, others / size)


def row_and_column_flips(layout: Layout) -> tuple[tuple[bool, bool], ...]:
    """Return whether the rows and the columns of each block between units change sign."""
    return tuple((block.flips[0], block.flips[1]) for block in layout.between)


def _place(reduced: Reduced, block: Block, into: Float[np.ndarray, "..."]) -> None:
    """Copy a block of a network, if it has one that changes sign so."""
    if block.name in reduced and (not _is_signed(reduced) or _own_flips(reduced, block.name) == block.flips):
        values = reduced[block.name]
        into[tuple(slice(0, size) for size in values.shape)] = values


def _is_signed(reduced: Reduced) -> bool:
    return any(name.startswith("flips ") for name in reduced)


def _own_flips(reduced: Reduced, name: str) -> tuple[bool, ...]:
    axes = {"between": 2, "units": 1, "others": 0}[name.split(" ", 1)[0]]
    return tuple(bool(flips) for flips in reduced.get(f"flips {name}", np.zeros(axes)))


def _flips(own: Reduced, other: Reduced, name: str) -> tuple[bool, ...]:
    """Return how a block changes sign: as in its network; where units keep their sign, as in the other one."""
    return _own_flips(own if _is_signed(own) or name not in other else other, name)
