"""The networks of a task on its probe, in the rows of a recording; and what they were before training."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dynatlas.cells import Cell
from dynatlas.recordings import Rows
from dynatlas.stages.geometry import even_selection, probe_activity
from dynatlas.stages.networks import passed, trained
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

    Untrained is an even selection of them, as many as the study makes its controls with.
    """
    inputs = atlas.study.task(task).probe().inputs
    blocks = {block: members for block, members in atlas.study.blocks.items() if block.task == task}
    learned = [member for block in blocks for member in passed(atlas, block)]
    controlled = set(even_selection(learned, atlas.study.analysis.control_networks))
    for block, members in blocks.items():
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
