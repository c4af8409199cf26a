"""The trained networks of a block, and their responses: what several jobs read."""

from collections.abc import Iterator

import jax
import numpy as np

from dynatlas.cells import Cell
from dynatlas.store import Atlas
from dynatlas.study import Block, Member


def trained(atlas: Atlas, block: Block) -> Iterator[tuple[Member, Cell]]:
    """The block's members that passed, each with its network."""
    table = atlas.part("networks", block)
    passed = set(table.network[table.passed])
    cells = jax.tree.map(np.asarray, atlas.cells(block))
    for row, member in enumerate(atlas.study.blocks[block]):
        if member.id in passed:
            yield member, jax.tree.map(lambda leaf, row=row: leaf[row], cells)


@jax.jit
def responses(cell: Cell, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """States and outputs of one network on a batch of trials."""
    return jax.vmap(cell.respond)(inputs)
