"""The networks of a task on its probe, in the rows of a recording; and what they were before training."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dynatlas.cells import Cell
from dynatlas.recordings import Rows
from dynatlas.stages.geometry import controlled_members, probe_activity
from dynatlas.stages.networks import trained
from dynatlas.store import Atlas
from dynatlas.study import Block, Member


class Response(NamedTuple):
    """One network's activity.

    Attributes:
        member: who it is.
        trained: its activity.
        untrained: before training; None for those that no control is made with.
    """

    member: Member
    trained: Float[np.ndarray, "rows units"]
    untrained: Float[np.ndarray, "rows units"] | None


def responses_of(atlas: Atlas, task: str, rows: Rows) -> Iterator[Response]:
    """Every network that learned the task, in the study's order but block by block.

    Untrained is the same even selection that the study's controls are made with.
    """
    inputs = atlas.study.task(task).probe().inputs
    controlled = set(controlled_members(atlas.study, task))
    for block, members in atlas.study.blocks.items():
        if block.task != task:
            continue
        before = _before_training(atlas, block) if controlled & set(members) else {}
        for member, cell in trained(atlas, block):
            untrained = rows.of(probe_activity(before[member], inputs)) if member in controlled else None
            yield Response(member, rows.of(probe_activity(cell, inputs)), untrained)


def _before_training(atlas: Atlas, block: Block) -> dict[Member, Cell]:
    """The block's networks as training began with them.

    A study that keeps no untrained controls has their random keys, from which the same weights are drawn again.
    """
    study = atlas.study
    members = study.blocks[block]
    if study.population.untrained_controls:
        cells = atlas.cells(block, untrained=True)
    else:
        cells = jax.vmap(lambda key: study.cell(block, key))(jnp.stack([member.key("weights") for member in members]))
    arrays = jax.tree.map(np.asarray, cells)
    return {member: jax.tree.map(lambda leaf, row=row: leaf[row], arrays) for row, member in enumerate(members)}
