"""Weights in a JSON file: one object of numbers, texts and nested lists by name, as trainRNNbrain saves them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from dynatlas._io.sizes import Declared, check_bytes, check_sizes
from dynatlas._io.untrusted import MAX_TEXT_LENGTH, AnyArray, Arrays, UnreadableArrayError, first_bytes
from dynatlas.errors import NetworkError

# Bytes of Python per byte of text: "[]," makes a list of 56 and a reference of 8. A copy may take as much again.
GROWTH: Final = 25


def is_json(path: Path) -> bool:
    """Whether the first bytes of a file begin a JSON object; the length before a safetensors header has zero bytes.

    Raises:
        NetworkError: the file is missing or not a regular file.
    """
    head = first_bytes(path, "a file of weights")
    return head.lstrip().startswith(b"{") and b"\0" not in head


def read_json(path: Path, leave_out: Callable[[str], bool]) -> Arrays:
    """Return the values of a JSON object as arrays of float64 and texts. As in ``.npz``, null is the text "None".

    Args:
        path: the file.
        leave_out: whether to leave out the value of a name.

    Raises:
        NetworkError: the file is damaged, or too large.
        UnreadableArrayError: a value is neither numbers nor a text.
    """
    check_bytes(path, GROWTH * path.stat().st_size, "would take {} bytes to parse")
    try:
        pairs = json.loads(path.read_bytes(), object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:  # ValueError: also bytes that are no text, and numbers too long
        raise NetworkError(f"{path} is damaged or no JSON: {str(error)[:200]}") from None
    values = dict(pairs)
    if len(values) != len(pairs):
        raise NetworkError(f"{path} is damaged: two values have the same name")
    arrays = {name: _array(path, name, value) for name, value in values.items() if not leave_out(name)}
    check_sizes(path, {name: Declared(values.shape, values.nbytes) for name, values in arrays.items()})
    return arrays


def _array(path: Path, name: str, value: Any) -> AnyArray:
    if value is None:
        return np.array("None")
    if isinstance(value, str) and len(value) <= MAX_TEXT_LENGTH:
        return np.array(value)
    try:
        return np.array(_numbers(value), np.float64)
    except (ValueError, OverflowError, RecursionError) as error:
        what = f"{path}: {name[:80]!r}"
        raise UnreadableArrayError(f"{what} is no array of numbers: {str(error)[:200]}", name) from None


def _numbers(value: Any) -> Any:
    """Return a number, or nested lists of numbers; NumPy would also read "1" as a number, and null as NaN."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, int | float):
        return value
    kinds = {str: "a text", tuple: "an object", type(None): "null"}
    raise ValueError(f"it holds {kinds[type(value)]}")
