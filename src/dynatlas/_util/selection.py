"""Evenly spaced selection."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Member = TypeVar("Member")


def even_selection(members: Sequence[Member], most: int) -> list[Member]:
    """Return at most ``most`` members, evenly spaced from the first to the last.

    Example:
        >>> even_selection(range(10), 4), even_selection("abc", 8)
        ([0, 3, 6, 9], ['a', 'b', 'c'])
    """
    count = min(most, len(members))
    return [members[place] for place in np.unique(np.linspace(0, len(members) - 1, count).round().astype(int))]
