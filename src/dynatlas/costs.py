"""What training one network costs, from its shapes alone: floating-point operations, and bytes in memory.

These counts size the blocks of a study (see ``study``) and are the base of its plan (see ``planning``).
"""

from typing import NamedTuple

GATES = {"vanilla": 1, "ugrnn": 2, "gru": 3, "lstm": 4}
STATES_PER_UNIT = {"vanilla": 1, "ugrnn": 1, "gru": 1, "lstm": 2}
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
    def weights(self) -> int:
        """Numbers that are trained."""
        recurrent = GATES[self.architecture] * self.units * (self.units + self.n_inputs + 1)
        return recurrent + self.n_outputs * (self.units + 1) + STATES_PER_UNIT[self.architecture] * self.units

    @property
    def flops(self) -> float:
        """Operations of the matrix products of one iteration: forward, and twice that for the gradient."""
        products = GATES[self.architecture] * self.units * (self.units + self.n_inputs) + self.units * self.n_outputs
        return 6.0 * products * self.batch_size * self.steps

    @property
    def network_bytes(self) -> float:
        """Memory that a network occupies for as long as its block is trained."""
        return float(FLOAT_BYTES * WEIGHT_COPIES * self.weights)

    @property
    def iteration_bytes(self) -> float:
        """Memory that one network's iteration takes while it runs."""
        arrays = KEPT_PER_GATE * GATES[self.architecture] + KEPT_PER_STATE * STATES_PER_UNIT[self.architecture]
        return float(FLOAT_BYTES * self.steps * self.batch_size * self.units * arrays)
