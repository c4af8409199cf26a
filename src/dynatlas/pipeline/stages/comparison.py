"""Jobs that compare all networks of a task: tile by tile, then joined to one matrix."""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from dynatlas._util.modes import mode
from dynatlas._util.selection import even_selection
from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.atlas.networks import agreed_measure
from dynatlas.measures.distances import settings_of
from dynatlas.measures.findings import FINDING_MEASURES
from dynatlas.measures.pairs import GROUP, Comparison, compare, in_groups, labelled
from dynatlas.pipeline.progress import Report
from dynatlas.study.members import Block, Matrix, Member
from dynatlas.study.study import Study

# Members on each side of a tile: a worker holds them in memory, and loses one tile if it dies. A multiple of GROUP.
TILE = 8 * GROUP
BOUNDED_PAIRS: Final = 200  # pairs of a matrix whose distances are compared with their lower bounds


class Tile(NamedTuple):
    """A part of a matrix: at most ``TILE`` members on each side, from two positions in the study's order."""

    matrix: Matrix
    row: int
    column: int

    @property
    def name(self) -> str:
        """Readable name."""
        return f"{self.matrix.name} {self.row}-{self.column}"

    @property
    def group(self) -> str:
        """Group of arrays in the atlas."""
        return f"tiles/{self.matrix.task}/{self.matrix.measure}/{self.row}-{self.column}"

    def sides(self, study: Study) -> tuple[list[Member], list[Member]]:
        """Return the members of its rows and of its columns."""
        members = study.members_of(self.matrix.task)
        return members[self.row : self.row + TILE], members[self.column : self.column + TILE]

    def blocks(self, study: Study) -> list[Block]:
        """Return the blocks of these members."""
        return list(dict.fromkeys(study.block_of(member) for side in self.sides(study) for member in side))


def tiles_of(study: Study, matrix: Matrix) -> list[Tile]:
    """Return all tiles of a matrix, on and below its diagonal."""
    starts = range(0, len(study.members_of(matrix.task)), TILE)
    return [Tile(matrix, row, column) for row in starts for column in starts if column <= row]


def compare_tile(path: Path, tile: Tile, report: Report) -> list[Entry]:
    """Write the distances between the networks of a tile."""
    atlas = Atlas.open(path)
    measure = tile.matrix.measure
    kept = {
        network: reduced
        for block in tile.blocks(atlas.study)
        for network, reduced in atlas.reduced(measure, block).items()
    }
    found = FINDING_MEASURES.get(measure)
    if found and found.only_modal:
        modal = modal_count(atlas, tile.matrix.task)
        kept = {network: reduced for network, reduced in kept.items() if len(reduced["edges"]) == modal}
    rows, columns = (
        [[member.id for member in group if member.id in kept] for group in in_groups(side)]
        for side in tile.sides(atlas.study)
    )
    distances = compare(
        [[kept[network] for network in group] for group in rows],
        None if tile.row == tile.column else [[kept[network] for network in group] for group in columns],
        _comparison(atlas, tile.matrix),
        threads=1,
    )
    labels = {
        dimension: np.array([network for group in groups for network in group], dtype=np.str_)
        for dimension, groups in (("network", rows), ("other_network", columns))
    }
    return [atlas.write_arrays(tile.group, xr.Dataset({"distance": (("network", "other_network"), distances)}, labels))]


def join_tiles(path: Path, matrix: Matrix, report: Report) -> list[Entry]:
    """Write the whole matrix."""
    atlas = Atlas.open(path)
    task, measure = matrix
    parts = [atlas.arrays(tile.group)["distance"] for tile in tiles_of(atlas.study, matrix)]
    present = {str(network) for part in parts for network in part.network.values}
    names = [member.id for member in atlas.study.members_of(task) if member.id in present]
    place = {network: position for position, network in enumerate(names)}
    distances = np.zeros((len(names), len(names)))
    for part in parts:
        rows, columns = ([place[str(one)] for one in part[side].values] for side in ("network", "other_network"))
        distances[np.ix_(rows, columns)] = part.values
        distances[np.ix_(columns, rows)] = part.values.T
    found = FINDING_MEASURES.get(measure)
    settings = {} if found else settings_of(agreed_measure(atlas, task, measure))
    reason = found.left_out if found else ""
    if found and found.only_modal:
        reason = reason.format(modal=modal_count(atlas, task))
    gaps = _gaps(atlas, matrix, names, distances)
    labelled_distances = labelled(distances, names, measure, left_out_reason=reason, **settings, **gaps)
    return [atlas.write_arrays(f"distances/{task}/{measure}", labelled_distances.rename("distance").to_dataset())]


def _gaps(atlas: Atlas, matrix: Matrix, names: list[str], distances: NDArray[np.float64]) -> dict[str, float]:
    """Return how far distances that are sought may lie above the true ones, as shares: median and largest of a sample.

    A pair's gap is 1 − its lower bound / its distance, and 0 at the distance 0.
    """
    comparison = _comparison(atlas, matrix)
    if not comparison.has_lower_bound or len(names) < 2:
        return {}
    rows, columns = np.triu_indices(len(names), 1)
    pairs = [(rows[place], columns[place]) for place in even_selection(range(len(rows)), BOUNDED_PAIRS)]
    wanted = {names[place] for pair in pairs for place in pair}
    kept = {
        network: reduced
        for block in atlas.study.blocks
        if block.task == matrix.task and wanted & {member.id for member in atlas.study.blocks[block]}
        for network, reduced in atlas.reduced(matrix.measure, block).items()
        if network in wanted
    }
    gaps = []
    for one, other in pairs:
        bound = comparison.lower_bound(kept[names[one]], kept[names[other]])
        gaps.append(max(1 - bound / distances[one, other], 0.0) if distances[one, other] else 0.0)
    return {"gap_median": float(np.median(gaps)), "gap_largest": float(np.max(gaps))}


def _comparison(atlas: Atlas, matrix: Matrix) -> Comparison:
    found = FINDING_MEASURES.get(matrix.measure)
    return found.comparison if found else atlas.study.measure(matrix.measure)


def modal_count(atlas: Atlas, task: str) -> int:
    """The number of roots that most of a task's networks have; the larger one of two that tie."""
    counts = [
        int(count)
        for block in atlas.study.blocks
        if block.task == task
        for count in atlas.part("searches", block)["n_roots"]
    ]
    return mode(counts)[0] if counts else 0
