"""What training one network costs, from its shapes alone: floating-point operations, and bytes in memory.

These counts size the blocks of a study (see ``study``) and are the base of its plan (see ``planning``).
"""

import math
from typing import NamedTuple

from dynatlas.cells.architectures import StagedCell
from dynatlas.cells.cell import CellSize
from dynatlas.cells.registry import CELLS

FLOAT_BYTES = 4


# Copies of a network's weights that training holds: the weights, their gradient, and two moments of the optimiser.
WEIGHT_COPIES = 4


# Arrays of [steps, batch, units] that a gradient holds, per gate (drive, kept value, delta) and per state number.
KEPT_PER_GATE, KEPT_PER_STATE = 3, 2


class Size(NamedTuple):
    """The numbers that decide what a training iteration costs."""

    architecture: str
    units: int
    n_inputs: int
    n_outputs: int
    steps: int
    batch_size: int
    own: CellSize | None = None  # of a cell that is not ours, which may be of any form

    @property
    def _gates(self) -> int:
        if self.own:  # as many gates as would have these weights
            return math.ceil(self.own.weights / (self.units * (self.units + self.n_inputs + 1)))
        return len(_ours(self.architecture).gates)

    @property
    def _states_per_unit(self) -> int:
        return math.ceil(self.states / self.units)

    @property
    def states(self) -> int:
        """Numbers carried from step to step."""
        return self.own.states if self.own else _ours(self.architecture).states_per_unit * self.units

    @property
    def weights(self) -> int:
        """Numbers that are trained."""
        if self.own:
            return self.own.weights
        recurrent = self._gates * self.units * (self.units + self.n_inputs + 1)
        return recurrent + self.n_outputs * (self.units + 1) + self._states_per_unit * self.units

    @property
    def flops(self) -> float:
        """Operations of the matrix products of one iteration: forward, and twice that for the gradient."""
        if self.own:  # as if each weight were used once in a step
            return 6.0 * self.own.weights * self.batch_size * self.steps
        products = self._gates * self.units * (self.units + self.n_inputs) + self.units * self.n_outputs
        return 6.0 * products * self.batch_size * self.steps

    @property
    def network_bytes(self) -> float:
        """Memory that a network occupies for as long as its block is trained."""
        return float(FLOAT_BYTES * WEIGHT_COPIES * self.weights)

    @property
    def iteration_bytes(self) -> float:
        """Memory that one network's iteration takes while it runs."""
        arrays = KEPT_PER_GATE * self._gates + KEPT_PER_STATE * self._states_per_unit
        return float(FLOAT_BYTES * self.steps * self.batch_size * self.units * arrays)


def _ours(architecture: str) -> type[StagedCell]:
    cell = CELLS[architecture]
    assert issubclass(cell, StagedCell)  # noqa: S101 - so are the four
    return cell
