"""Job that tests a block's trained networks under the variations of their task."""

from pathlib import Path

import pandas as pd

from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.atlas.networks import trained
from dynatlas.pipeline.progress import Report
from dynatlas.study.members import Block
from dynatlas.training.variations import draw_variations, errors_of


def measure_behavior(path: Path, block: Block, report: Report) -> list[Entry]:
    """Write the errors of a block's trained networks under each variation."""
    atlas = Atlas.open(path)
    varied = draw_variations(atlas.study.variations(block.task), atlas.study.training.validation_trials)
    rows = [
        {"network": member.id, "task": block.task, "variation": error.variation, "mse": error.mse, "error": error.share}
        for member, cell in trained(atlas, block)
        for error in errors_of(cell, varied)
    ]
    return [atlas.write_part("behavior", block, pd.DataFrame(rows))]
