"""What training one network costs, from its shapes alone: floating-point operations, and bytes in memory.

These counts size the blocks of a study (see ``study``) and are the base of its plan (see ``planning``).
"""

from typing import NamedTuple

from dynatlas.cells import CELLS

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

    @property
    def _gates(self) -> int:
        return len(CELLS[self.architecture].gates)

    @property
    def _states_per_unit(self) -> int:
        return CELLS[self.architecture].states_per_unit

    @property
    def weights(self) -> int:
        """Numbers that are trained."""
        recurrent = self._gates * self.units * (self.units + self.n_inputs + 1)
        return recurrent + self.n_outputs * (self.units + 1) + self._states_per_unit * self.units

    @property
    def flops(self) -> float:
        """Operations of the matrix products of one iteration: forward, and twice that for the gradient."""
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
