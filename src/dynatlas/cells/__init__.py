"""Recurrent cells: the four cells of the paper, the leaky rate network, and the base classes of user-defined ones."""

from dynatlas.cells.activations import ACTIVATIONS as ACTIVATIONS
from dynatlas.cells.activations import Activation as Activation
from dynatlas.cells.activations import Nonlinearity as Nonlinearity
from dynatlas.cells.activations import register_activation as register_activation
from dynatlas.cells.architectures import GRU as GRU
from dynatlas.cells.architectures import LSTM as LSTM
from dynatlas.cells.architectures import UGRNN as UGRNN
from dynatlas.cells.architectures import Architecture as Architecture
from dynatlas.cells.architectures import Arithmetic as Arithmetic
from dynatlas.cells.architectures import Gates as Gates
from dynatlas.cells.architectures import StagedCell as StagedCell
from dynatlas.cells.architectures import State as State
from dynatlas.cells.architectures import Vanilla as Vanilla
from dynatlas.cells.cell import Cell as Cell
from dynatlas.cells.cell import CellSize as CellSize
from dynatlas.cells.cell import leaf_name as leaf_name
from dynatlas.cells.cell import size_of as size_of
from dynatlas.cells.cell import state_labels as state_labels
from dynatlas.cells.ctrnn import CTRNN as CTRNN
from dynatlas.cells.registry import BUILT_IN as BUILT_IN
from dynatlas.cells.registry import CELLS as CELLS
from dynatlas.cells.registry import register_cell as register_cell
