"""Settings of cells: the keyword-only parameters of a cell's constructor, read from a study file."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from dynatlas.cells.cell import Cell


@lru_cache(maxsize=256)
def settings_of(cell: Callable[..., Cell]) -> type[BaseModel]:
    """Return the model of a cell's settings: a field for each keyword-only parameter of its constructor but ``key``.

    Raises:
        ValueError: such a parameter has no default.

    Example:
        >>> class Scaled:
        ...     def __init__(self, n_inputs, units, n_outputs, activation="tanh", *, key, scale: float = 1.0):
        ...         self.scale = scale
        >>> settings_of(Scaled).model_validate({"scale": 2})
        Scaled(scale=2.0)
    """
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(cell, eval_str=True).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name == "key":
            continue
        if parameter.default is parameter.empty:
            raise ValueError(
                f"{parameter.name} of the cell {cell.__name__} has no default; settings need one, as in "
                f"{parameter.name}: float = 1.0"
            )
        kind = type(parameter.default) if parameter.annotation is parameter.empty else parameter.annotation
        fields[parameter.name] = (kind, parameter.default)
    config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    return create_model(cell.__name__, __config__=config, **fields)
