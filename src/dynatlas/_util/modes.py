"""Mode of a sample, with one rule for ties."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeVar

Value = TypeVar("Value", bound=Any)  # ordered and hashable


def mode(values: Iterable[Value]) -> tuple[Value, int]:
    """Return the most common value, the largest of several that tie, and its count.

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
