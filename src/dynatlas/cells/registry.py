"""Registry of cells that a study file can name: built-in and user-defined ones."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from dynatlas.cells.architectures import GRU, LSTM, UGRNN, Vanilla
from dynatlas.cells.cell import Cell
from dynatlas.cells.ctrnn import CTRNN
from dynatlas.registry import check_name, enter

CELLS: dict[str, type[Cell]] = {"vanilla": Vanilla, "ugrnn": UGRNN, "gru": GRU, "lstm": LSTM, "ctrnn": CTRNN}
BUILT_IN: Final = tuple(CELLS)

Class = TypeVar("Class", bound=type[Cell])


def register_cell(name: str) -> Callable[[Class], Class]:
    """Register a subclass of ``Cell`` under a name, an architecture in study files.

    Cells are trained by automatic differentiation. A ``StagedCell`` whose derivative is registered
    (``derivatives.register_derivative``) is trained several times faster.

    Raises:
        ValueError: the name is taken or invalid; the class does not derive from ``Cell``.

    Example:
        >>> @register_cell("slow_vanilla")
        ... class SlowVanilla(Vanilla):
        ...     def combine(self, state, sums):
        ...         return 0.9 * state + 0.1 * super().combine(state, sums)
        >>> CELLS.pop("slow_vanilla") is SlowVanilla  # unregister it
        True
    """

    def register(cell: Any) -> Any:
        check_name("cell", name)
        if not (isinstance(cell, type) and issubclass(cell, Cell)):
            raise ValueError(f"{cell!r} does not derive from dynatlas.cells.Cell")
        enter(CELLS, "cells", name, cell)
        return cell

    return register
