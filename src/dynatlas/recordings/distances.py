"""Distances between recordings and networks by one measure, computed network by network, and their controls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
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
FEWEST_UNITS: Final = 4  # of a recording to split
Surrogates = Callable[[Aligned, int, int], Iterator[Float[np.ndarray, "rows units"]]]


class Response(NamedTuple):
    """Activity of one network.

    Attributes:
        member: the network.
        trained: activity after training.
        untrained: activity before training; None if the network is not among the controls.
    """

    member: Member
    trained: Float[np.ndarray, "rows units"]
    untrained: Float[np.ndarray, "rows units"] | None


class MeasureDistances:
    """Distances by one measure. Networks are added one by one; of most, only their distances are kept.

    Networks with an untrained version are the controls; their reduced activity is kept too.
    """

    def __init__(
        self, name: str, measure: Measure, recordings: Mapping[str, Aligned], shuffles: int, seed: int
    ) -> None:
        self.name, self.measure, self.shuffles, self.seed = name, measure, shuffles, seed
        self.recordings = list(recordings.values())
        self.rows = self.recordings[0].rows
        if measure.needs_trials and not self.rows.trials:
            raise NetworkError(
                f"{name} compares activity over time, and the rows of {next(iter(recordings))} are {self.rows.said}; "
                "expected the probe's samples, [trials, steps, units]. Place it by other measures with measures= "
                "(--measure)"
            )
        self._whole = [self._reduced(each.activity, one) for one, each in recordings.items()]
        self.even, self.odd = self.rows.halves()
        self._halves = self._reduced_halves([each.activity for each in self.recordings])
        self._trained: list[NDArray[np.float64]] = []  # of each network, [recordings]
        self._untrained: dict[int, NDArray[np.float64]] = {}  # by the network's place, [recordings]
        self._by_half: list[NDArray[np.float64]] = []  # of each control, [2, recordings]
        self._kept: dict[int, Reduced] = {}
        self._largest_dimension = 0
        self._controls: list[int] = []

    def add(self, response: Response, *, keeps_all: bool) -> None:
        """Compare one network with all recordings; ``keeps_all`` keeps its reduced activity for ``embedding``."""
        place, name = len(self._trained), response.member.name
        kept = reduced(response.trained, name, self.measure, self.rows.inputs)
        self._largest_dimension = max(self._largest_dimension, self.measure.dimension(kept))
        self._trained.append(self._between(self._whole, kept))
        if response.untrained is not None:
            self._controls.append(place)
            before = reduced(response.untrained, f"{name} before training", self.measure, self.rows.inputs)
            self._untrained[place] = self._between(self._whole, before)
            halves = self._reduced_halves([response.trained])
            if self._halves and halves:
                pairs = zip(self._halves, halves, strict=True)
                self._by_half.append(np.stack([self._between(recorded, half[0]) for recorded, half in pairs]))
        if response.untrained is not None or keeps_all:
            self._kept[place] = kept

    def to_trained(self, recording: int) -> Float[np.ndarray, " networks"]:
        """Return the distance of a recording to each trained network."""
        return np.array([one[recording] for one in self._trained])

    def to_untrained(self, recording: int) -> dict[int, float]:
        """Return the distance of a recording to each control before training, by the network's place."""
        return {place: float(one[recording]) for place, one in self._untrained.items()}

    def to_trained_by_half(self, recording: int) -> Float[np.ndarray, "2 controls"] | None:
        """Return the distance of a recording to each trained control on either half of the rows."""
        if len(self._by_half) < len(self._controls) or not self._by_half:
            return None
        return np.stack(self._by_half, axis=-1)[:, recording]

    def between_recordings(self, recording: int) -> Float[np.ndarray, " recordings"]:
        """Return the distance of a recording to each recording."""
        return self._between(self._whole, self._whole[recording])

    def between_networks(self) -> Float[np.ndarray, "controls controls"]:
        """Return the distances between trained controls."""
        return all_pairs([self._kept[place] for place in self._controls], self.measure)

    def to_surrogates(self, recording: int) -> dict[str, Float[np.ndarray, " shuffles"]]:
        """Return the mean distance of trained controls to each surrogate of a recording, by kind of surrogate."""
        one = self.recordings[recording]
        kinds: dict[str, Surrogates] = {"shuffled time": shuffled}
        if one.rows.trials and self.measure.needs_same_samples:  # else neither order nor time of trials matters
            kinds["shifted trials"] = shifted
        networks = [self._kept[place] for place in self._controls]
        return {
            control: np.array(
                [
                    np.maximum(self.measure.tile([self._reduced(each, control)], networks), 0).mean()
                    for each in surrogates(one, self.shuffles, self.seed)
                ]
            )
            for control, surrogates in kinds.items()
        }

    def between_halves(self, recording: int) -> Float[np.ndarray, " splits"]:
        """Return the distances between random halves of a recording's units; none if it has too few units."""
        one = self.recordings[recording]
        if one.activity.shape[1] < FEWEST_UNITS:
            return np.zeros(0)
        distances = []
        for halves in unit_halves(one, SPLITS, self.seed):
            try:
                first, second = (reduced(half, "half of the units", self.measure, self.rows.inputs) for half in halves)
            except ValueError:  # too few units in a half for this measure, such as two for correlations over units
                return np.zeros(0)
            distances.append(max(self.measure.between(first, second), 0.0))
        return np.array(distances)

    def embedding(
        self, atlas: Atlas, task: str, members: Sequence[Member]
    ) -> tuple[Float[np.ndarray, "networks 2"], float]:
        """Return a map of the networks and its stress: the atlas' map, or if the rows are means, a map for these."""
        if not self.recordings[0].rows.trials:
            return mds(all_pairs([self._kept[place] for place in range(len(members))], self.measure))
        places = _of_measure(atlas.table("embeddings"), task, self.name).set_index("network")
        stress = _of_measure(atlas.table("maps"), task, self.name)["stress"]
        coordinates = places.loc[[member.id for member in members], ["x", "y"]].to_numpy(np.float64)
        return coordinates, float(stress.iloc[0])

    @property
    def notes(self) -> list[str]:
        """Limitations of the distances, one sentence each."""
        found = []
        for name, one in zip(range(len(self._whole)), self._whole, strict=True):
            own, count = self.measure.dimension(one), self.recordings[name].rows.count
            if own and own + self._largest_dimension >= count:
                found.append(
                    f"{self.name}: {count} rows are few for {own} dimensions of the recording and up to "
                    f"{self._largest_dimension} of a network: some correlations are 1 for any activity. Compare with "
                    "the shuffled control."
                )
        return list(dict.fromkeys(found))

    def _between(self, recordings: Sequence[Reduced], network: Reduced) -> NDArray[np.float64]:
        # Rounding can make the distance of identical activity −1e-16.
        return np.maximum(self.measure.tile(recordings, [network])[:, 0], 0)

    def _reduced(self, activity: NDArray[np.float64], name: str) -> Reduced:
        try:
            return reduced(activity, name, self.measure, self.rows.inputs)
        except ValueError as error:
            raise NetworkError(f"{error}".removeprefix("network ")) from error

    def _reduced_halves(self, activities: Sequence[NDArray[np.float64]]) -> list[list[Reduced]]:
        """Reduce activities on the even and on the odd rows; return [] if these are too few to compare."""
        if min(len(self.even), len(self.odd)) < FEWEST_IN_HALF:
            return []
        try:
            return [
                [
                    reduced(activity[half], "half of the rows", self.measure, self.rows.inputs_of(half))
                    for activity in activities
                ]
                for half in (self.even, self.odd)
            ]
        except ValueError:  # constant on one half
            return []


def _of_measure(table: pd.DataFrame, task: str, measure: str) -> pd.DataFrame:
    return table[(table["task"] == task) & (table["measure"] == measure)]


def responses_of(atlas: Atlas, task: str, rows: Rows) -> Iterator[Response]:
    """Iterate over the networks that learned the task, in the study's order within each block.

    An even selection of them, at most the study's ``control_networks``, also has its activity before training.
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
    """Return the block's networks before training.

    Without stored untrained controls, the same weights are drawn from the members' random keys.
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
    """Draw surrogates with the rows in random order; they keep only the correlations between units."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield random.permutation(recording.activity)


def shifted(recording: Aligned, count: int, seed: int) -> Iterator[Float[np.ndarray, "rows units"]]:
    """Draw surrogates with the trials in random order, all rotated in time by one random lag.

    The stricter control: they keep the autocorrelation, by which any two slowly changing signals are similar.
    """
    random = np.random.default_rng(seed)
    trials = recording.activity.reshape(recording.rows.trials, -1, recording.activity.shape[1])
    for _ in range(count):
        lag = int(random.integers(1, max(trials.shape[1], 2)))
        rotated = np.roll(trials[random.permutation(len(trials))], lag, axis=1)
        yield rotated.reshape(recording.activity.shape)


def unit_halves(
    recording: Aligned, count: int, seed: int
) -> Iterator[tuple[Float[np.ndarray, "rows some"], Float[np.ndarray, "rows others"]]]:
    """Draw random halves of the units, two samples of one population."""
    random = np.random.default_rng(seed)
    units = recording.activity.shape[1]
    for _ in range(count):
        order = random.permutation(units)
        yield recording.activity[:, order[: units // 2]], recording.activity[:, order[units // 2 :]]
