"""The trained networks of a block, and arrays stored per block."""

from collections.abc import Iterator

import jax
import numpy as np
import pandas as pd
import xarray as xr

from dynatlas.atlas.atlas import Atlas
from dynatlas.cells.cell import Cell
from dynatlas.measures.measure import Measure
from dynatlas.study.members import Block, Member


def trained(atlas: Atlas, block: Block, *, untrained: bool = False) -> Iterator[tuple[Member, Cell]]:
    """Yield the block's members that passed, each with its network, trained or untrained."""
    members = set(passed(atlas, block))
    cells = jax.tree.map(np.asarray, atlas.cells(block, untrained=untrained))
    for row, member in enumerate(atlas.study.blocks[block]):
        if member in members:
            yield member, jax.tree.map(lambda leaf, row=row: leaf[row], cells)


def passed(atlas: Atlas, block: Block) -> list[Member]:
    """Return the block's members that passed."""
    table = atlas.part("networks", block)
    names = set(table.network[table.passed])
    return [member for member in atlas.study.blocks[block] if member.id in names]


def stored_arrays(atlas: Atlas, group: str) -> Iterator[tuple[Block, xr.Dataset]]:
    """Yield the arrays of every block that has them; a block without a trained network has none."""
    for block in atlas.study.blocks:
        if atlas.has(f"arrays.zarr/{group}/{block.name}"):
            yield block, atlas.arrays(f"{group}/{block.name}")


def agreed_measure(atlas: Atlas, task: str, name: str) -> Measure:
    """Return a measure of the study as it compares the networks of a task: with the number of components they share."""
    measure = atlas.study.measure(name)
    if name not in atlas.study.analysis.agreeing:
        return measure
    counts = pd.concat([atlas.part("components", block) for block in atlas.study.blocks if block.task == task])
    return measure.agreed(counts.n_components[counts.measure == name].tolist())
