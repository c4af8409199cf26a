"""The trained networks of a block, their responses, and what is stored of them: what several jobs read."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dynatlas.cells import Cell, StagedCell
from dynatlas.store import Atlas
from dynatlas.study import Block, Member


def trained(atlas: Atlas, block: Block, *, untrained: bool = False) -> Iterator[tuple[Member, Cell]]:
    """The block's members that passed, each with its network, or with what this was before training."""
    members = set(passed(atlas, block))
    cells = jax.tree.map(np.asarray, atlas.cells(block, untrained=untrained))
    for row, member in enumerate(atlas.study.blocks[block]):
        if member in members:
            yield member, jax.tree.map(lambda leaf, row=row: leaf[row], cells)


def passed(atlas: Atlas, block: Block) -> list[Member]:
    """The block's members that passed."""
    table = atlas.part("networks", block)
    names = set(table.network[table.passed])
    return [member for member in atlas.study.blocks[block] if member.id in names]


def stored_arrays(atlas: Atlas, kind: str, group: str) -> Iterator[tuple[Block, xr.Dataset]]:
    """The arrays of a task's blocks; a block without a trained network has none."""
    for block in atlas.study.blocks:
        if block.task == kind and atlas.has(f"arrays.zarr/{group}/{block.name}"):
            yield block, atlas.arrays(f"{group}/{block.name}")


@jax.jit
def responses(cell: Cell, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """States and outputs of one network on a batch of trials."""
    return jax.vmap(cell.respond)(inputs)


def linear_readout(cell: Cell) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The readout of any state as weights [outputs, state] and a constant [outputs]."""
    if isinstance(cell, StagedCell):  # it sees the hidden units; the memory of an LSTM only by way of them
        weights = np.zeros((len(cell.readout_bias), len(cell.initial_state)))
        weights[:, : cell.units] = np.asarray(cell.readout_weights)
        return weights, np.asarray(cell.readout_bias, np.float64)
    with jax.enable_x64(True):
        origin = jnp.zeros(len(cell.initial_state))
        return np.asarray(jax.jacobian(cell.readout)(origin)), np.asarray(cell.readout(origin))
