"""The most common value, by one rule where several tie."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeVar

Value = TypeVar("Value", bound=Any)  # ordered and hashable


def mode(values: Iterable[Value]) -> tuple[Value, int]:
    """The most common of values, the largest of several that tie, and how often it occurs.

    Raises:
        ValueError: there are no values.

    Example:
        >>> mode([3, 9, 27, 9, 27])
        (27, 2)
    """
    counts = Counter(values)
    if not counts:
        raise ValueError("there are no values to find the most common of")
    return max(counts.items(), key=lambda item: (item[1], item[0]))
