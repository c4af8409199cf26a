"""One measure's distances between recordings and networks, gathered network by network."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from dynatlas._util.selection import even_selection
from dynatlas.atlas.atlas import Atlas
from dynatlas.atlas.networks import passed, trained
from dynatlas.cells.cell import Cell
from dynatlas.cells.responses import probe_activity
from dynatlas.errors import NetworkError
from dynatlas.measures.distances import reduced
from dynatlas.measures.measure import Measure
from dynatlas.measures.pairs import Reduced, all_pairs
from dynatlas.recordings.alignment import Aligned, Rows
from dynatlas.statistics.embedding import mds
from dynatlas.study.members import Block, Member

SPLITS: Final = 20  # of a recording's units into halves


FEWEST_IN_HALF: Final = 4  # rows


FEWEST_UNITS: Final = 4  # to be split


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


class Measured:
    """What one measure gives. Networks are added one by one; of most, only distances are kept.

    The controls are made with the networks of which there is an untrained version, and these are kept reduced.
    """

    def __init__(
        self, name: str, measure: Measure, recordings: Mapping[str, Aligned], shuffles: int, seed: int
    ) -> None:
        self.name, self.measure, self.shuffles, self.seed = name, measure, shuffles, seed
        self.recordings = list(recordings.values())
        self._whole = [_reduced(each.activity, one, measure) for one, each in recordings.items()]
        self.even, self.odd = self.recordings[0].rows.halves()
        self._halves = self._of_halves([each.activity for each in self.recordings])
        self._away: list[NDArray[np.float64]] = []  # from each network, [recordings]
        self._untrained: dict[int, NDArray[np.float64]] = {}  # by the network's place
        self._from_halves: list[NDArray[np.float64]] = []  # [2, recordings]
        self._kept: dict[int, Reduced] = {}
        self._widest = 0
        self._controlled: list[int] = []

    def add(self, response: Response, *, keeps_all: bool) -> None:
        """Compare one network with all recordings; with ``keeps_all`` it is compared with the other networks, too."""
        place, name = len(self._away), response.member.name
        kept = reduced(response.trained, name, self.measure)
        self._widest = max(self._widest, self.measure.dimension(kept))
        self._away.append(self._from(self._whole, kept))
        if response.untrained is not None:
            self._controlled.append(place)
            before = reduced(response.untrained, f"{name} before training", self.measure)
            self._untrained[place] = self._from(self._whole, before)
            halves = self._of_halves([response.trained])
            if self._halves and halves:
                pairs = zip(self._halves, halves, strict=True)
                self._from_halves.append(np.stack([self._from(recorded, half[0]) for recorded, half in pairs]))
        if response.untrained is not None or keeps_all:
            self._kept[place] = kept

    def away(self, recording: int) -> Float[np.ndarray, " networks"]:
        """How far each trained network is from a recording."""
        return np.array([one[recording] for one in self._away])

    def untrained_away(self, recording: int) -> dict[int, float]:
        """The same of networks before training, by their places."""
        return {place: float(one[recording]) for place, one in self._untrained.items()}

    def halves_away(self, recording: int) -> Float[np.ndarray, "2 controlled"] | None:
        """How far trained networks are from a recording on one half of the rows, and on the other."""
        if len(self._from_halves) < len(self._controlled) or not self._from_halves:
            return None
        return np.stack(self._from_halves, axis=-1)[:, recording]

    def between_recordings(self, recording: int) -> Float[np.ndarray, " recordings"]:
        """How far the recordings are from one of them."""
        return self._from(self._whole, self._whole[recording])

    def between_networks(self) -> Float[np.ndarray, "controlled controlled"]:
        """How far trained networks are from each other."""
        return all_pairs([self._kept[place] for place in self._controlled], self.measure)

    def out_of_time(self, recording: int) -> dict[str, Float[np.ndarray, " shuffles"]]:
        """The mean distance of trained networks from the recording out of time, for each of several orders."""
        one = self.recordings[recording]
        ways: dict[str, Callable[..., Iterator[Any]]] = {"shuffled time": shuffled}
        if one.rows.trials:
            ways["shifted trials"] = shifted
        networks = [self._kept[place] for place in self._controlled]
        return {
            control: np.array(
                [
                    np.maximum(self.measure.tile([_reduced(each, control, self.measure)], networks), 0).mean()
                    for each in orders(one, self.shuffles, self.seed)
                ]
            )
            for control, orders in ways.items()
        }

    def own_halves(self, recording: int) -> Float[np.ndarray, " splits"]:
        """How far halves of a recording's units are from each other, for several halvings; none of too few units."""
        one = self.recordings[recording]
        if one.activity.shape[1] < FEWEST_UNITS:
            return np.zeros(0)
        distances = []
        for halves in unit_halves(one, SPLITS, self.seed):
            try:
                first, second = (self.measure.reduce(half - half.mean(axis=0)) for half in halves)
            except ValueError:  # a half too narrow for this measure, such as two units for correlations over units
                return np.zeros(0)
            distances.append(max(self.measure.between(first, second), 0.0))
        return np.array(distances)

    def map(self, atlas: Atlas, task: str, members: Sequence[Member]) -> tuple[Float[np.ndarray, "networks 2"], float]:
        """A map of the networks and its stress: the atlas' own, or of the rows of a recording that has others."""
        if not self.recordings[0].rows.trials:
            return mds(all_pairs([self._kept[place] for place in range(len(members))], self.measure))
        places = _of_measure(atlas.table("embeddings"), task, self.name).set_index("network")
        stress = _of_measure(atlas.table("maps"), task, self.name)["stress"]
        coordinates = places.loc[[member.id for member in members], ["x", "y"]].to_numpy(np.float64)
        return coordinates, float(stress.iloc[0])

    @property
    def notes(self) -> list[str]:
        """What to know of the numbers."""
        found = []
        for name, one in zip(range(len(self._whole)), self._whole, strict=True):
            own, count = self.measure.dimension(one), self.recordings[name].rows.count
            if own and own + self._widest >= count:
                found.append(
                    f"{self.name}: {count} rows are few for {own} dimensions of the recording and up to {self._widest} "
                    "of a network: some correlations are 1 whatever they do. Trust the shuffled control."
                )
        return list(dict.fromkeys(found))

    def _from(self, recordings: Sequence[Reduced], network: Reduced) -> NDArray[np.float64]:
        # Rounding can leave −1e-16 between what is identical.
        return np.maximum(self.measure.tile(recordings, [network])[:, 0], 0)

    def _of_halves(self, activities: Sequence[NDArray[np.float64]]) -> list[list[Reduced]]:
        """What is kept of activities on the even and on the odd rows; nothing where these are too few to compare."""
        if min(len(self.even), len(self.odd)) < FEWEST_IN_HALF:
            return []
        try:
            return [
                [reduced(activity[half], "half of the rows", self.measure) for activity in activities]
                for half in (self.even, self.odd)
            ]
        except ValueError:  # constant on one half
            return []


def _reduced(activity: NDArray[np.float64], name: str, measure: Measure) -> Reduced:
    try:
        return reduced(activity, name, measure)
    except ValueError as error:
        raise NetworkError(f"{error}".removeprefix("network ")) from error


def _of_measure(table: Any, task: str, measure: str) -> Any:
    return table[(table["task"] == task) & (table["measure"] == measure)]


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


def shuffled(recording: Aligned, count: int, seed: int) -> Iterator[Float[np.ndarray, "rows units"]]:
    """Its rows in a random order: nothing is left but how the units go together."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield random.permutation(recording.activity)


def shifted(recording: Aligned, count: int, seed: int) -> Iterator[Float[np.ndarray, "rows units"]]:
    """Its trials in a random order, all turned in time by one random lag: smooth as before, and at the wrong samples.

    The stricter control: what changes slowly is like anything else that changes slowly, and shuffling hides that.
    """
    random = np.random.default_rng(seed)
    trials = recording.activity.reshape(recording.rows.trials, -1, recording.activity.shape[1])
    for _ in range(count):
        lag = int(random.integers(1, max(trials.shape[1], 2)))
        turned = np.roll(trials[random.permutation(len(trials))], lag, axis=1)
        yield turned.reshape(recording.activity.shape)


def unit_halves(
    recording: Aligned, count: int, seed: int
) -> Iterator[tuple[Float[np.ndarray, "rows some"], Float[np.ndarray, "rows others"]]]:
    """Random halves of its units: how far apart two samples of one population are."""
    random = np.random.default_rng(seed)
    units = recording.activity.shape[1]
    for _ in range(count):
        order = random.permutation(units)
        yield recording.activity[:, order[: units // 2]], recording.activity[:, order[units // 2 :]]
