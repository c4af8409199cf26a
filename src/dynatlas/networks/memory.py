"""State dicts, modules of PyTorch and dictionaries of arrays in memory, as arrays by name."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dynatlas._io.untrusted import AnyArray, Arrays
from dynatlas.errors import NetworkError


def named_arrays(source: object) -> Arrays | None:
    """Return the arrays of a module or of a flat dictionary; None if the source is neither.

    Raises:
        NetworkError: a value that is no array of real numbers.
    """
    state_dict = getattr(source, "state_dict", None)
    if callable(state_dict) and callable(getattr(source, "modules", None)):
        source = state_dict()
    if not isinstance(source, Mapping) or not source or any(isinstance(value, Mapping) for value in source.values()):
        return None
    return {f"{name}": _array(f"{name}", value) for name, value in source.items() if value is not None}


def _array(name: str, value: Any) -> AnyArray:
    """Return a value of a dictionary as an array."""
    if hasattr(value, "detach") and hasattr(value, "is_floating_point"):  # a tensor of PyTorch
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() and value.element_size() < 4 else value).numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "fiubU":
        raise NetworkError(
            f"{name!r} is a {type(value).__name__} of the type {array.dtype}; expected real numbers, or a text. Leave "
            "it out of the dictionary"
        )
    return array


def module_activation(source: object) -> str | None:
    """Return the nonlinearity that the layers of a PyTorch module agree on, or None."""
    modules = getattr(source, "modules", None)
    if not callable(modules):
        return None
    found = {getattr(module, "nonlinearity", None) for module in modules()} - {None}
    return found.pop() if len(found) == 1 and all(isinstance(one, str) for one in found) else None
