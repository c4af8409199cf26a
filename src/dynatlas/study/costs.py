"""Costs of training one network, from its shapes: floating-point operations, and bytes in memory.

These costs determine the size of a study's blocks (see ``study``) and its plan (see ``planning``).
"""

import math
from typing import NamedTuple

from dynatlas.cells.architectures import StagedCell
from dynatlas.cells.cell import CellSize
from dynatlas.cells.registry import CELLS

FLOAT_BYTES = 4
# Copies of a network's weights in memory: the weights, their gradient, and two moments of the optimiser.
WEIGHT_COPIES = 4
# Arrays [steps, batch, units] that a gradient keeps, per gate (drive, kept value, delta) and per state variable.
KEPT_PER_GATE, KEPT_PER_STATE = 3, 2


class Size(NamedTuple):
    """Sizes that determine the cost of a training iteration."""

    architecture: str
    units: int
    n_inputs: int
    n_outputs: int
    steps: int
    batch_size: int
    own: CellSize | None = None  # of a user-defined cell, which may have any form

    @property
    def _gates(self) -> int:
        if self.own:  # the number of gates with this many weights
            return math.ceil(self.own.weights / (self.units * (self.units + self.n_inputs + 1)))
        return len(_built_in(self.architecture).gates)

    @property
    def _states_per_unit(self) -> int:
        return math.ceil(self.states / self.units)

    @property
    def states(self) -> int:
        """Number of state variables."""
        return self.own.states if self.own else _built_in(self.architecture).states_per_unit * self.units

    @property
    def weights(self) -> int:
        """Number of trained parameters."""
        if self.own:
            return self.own.weights
        recurrent = self._gates * self.units * (self.units + self.n_inputs + 1)
        return recurrent + self.n_outputs * (self.units + 1) + self._states_per_unit * self.units

    @property
    def flops(self) -> float:
        """Floating-point operations of the matrix products of one iteration: forward, and twice that backward."""
        if self.own:  # assume that a step uses each weight once
            return 6.0 * self.own.weights * self.batch_size * self.steps
        products = self._gates * self.units * (self.units + self.n_inputs) + self.units * self.n_outputs
        return 6.0 * products * self.batch_size * self.steps

    @property
    def network_bytes(self) -> float:
        """Bytes that a network occupies throughout the training of its block."""
        return float(FLOAT_BYTES * WEIGHT_COPIES * self.weights)

    @property
    def iteration_bytes(self) -> float:
        """Bytes that one network needs during an iteration."""
        arrays = KEPT_PER_GATE * self._gates + KEPT_PER_STATE * self._states_per_unit
        return float(FLOAT_BYTES * self.steps * self.batch_size * self.units * arrays)


def _built_in(architecture: str) -> type[StagedCell]:
    cell = CELLS[architecture]
    assert issubclass(cell, StagedCell)  # noqa: S101 - all built-in cells are
    return cell
