"""Recordings among the networks of an atlas, by every measure of its study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from dynatlas.atlas.atlas import Atlas
from dynatlas.errors import AtlasError, NetworkError
from dynatlas.recordings.alignment import Aligned, align
from dynatlas.recordings.distances import Measured, responses_of
from dynatlas.recordings.probe import probe_of
from dynatlas.recordings.reading import read_recording
from dynatlas.recordings.result_tables import control_rows, distance_rows, effects_of, levels_of, map_rows
from dynatlas.recordings.sentences import sentences
from dynatlas.study.members import FACTORS, Member

FEWEST_NETWORKS: Final = 3


FEWEST_SHUFFLES: Final = 19


TABLES: Final = ("distances", "controls", "levels", "effects", "map", "recordings")


@dataclass(frozen=True, eq=False, repr=False)
class Placement:
    """What was found of recordings among networks.

    Attributes:
        study: the name of the atlas' study.
        task: the task whose networks these are.
        architectures: the study's, in its order.
        measures: the measures of geometry.
        recordings: each recording by its name, aligned with the probe.
        tables: "distances" (recording to network), "controls", "levels" and "effects" (of architecture and so on),
            "map", and "recordings" (between them).
        notes: what to know of the numbers.
    """

    study: str
    task: str
    architectures: tuple[str, ...]
    measures: tuple[str, ...]
    recordings: Mapping[str, Aligned]
    tables: Mapping[str, pd.DataFrame]
    notes: tuple[str, ...]

    def said(self, recording: str, measure: str) -> list[str]:
        """What one measure says of one recording, a sentence each."""
        return sentences(self.tables, recording, measure)

    def __repr__(self) -> str:
        return "\n".join(
            f"{recording}, {measure}: {' '.join(self.said(recording, measure))}"
            for recording in self.recordings
            for measure in self.measures
        )


def place_recording(
    atlas: Atlas | str | Path,
    recording: Any,
    task: str | None = None,
    *,
    measures: Sequence[str] | None = None,
    rows: Any = None,
    resample: bool = False,
    shuffles: int = 99,
    seed: int = 0,
) -> Placement:
    """Place a recording among the networks that learned a task, by the geometry of their activity on the same samples.

    Beside the distances from every trained network stand those from the same networks before training, of the
    recording out of time (shuffled, and shifted), and between halves of its own units. A small distance does not say
    that the recorded network computes as the trained one does: networks that share inputs are alike in part before any
    training.

    Args:
        atlas: an atlas, or its folder, whose networks are trained.
        recording: [trials, time, units] or [samples or conditions, units]; or the path of a file; or several of these
            by their names.
        task: the task; may be left out where the study has one.
        measures: of those of the study; by default all.
        rows: which row of the recording each of the probe's samples belongs to (``recordings.align``); by default its
            rows are the probe's samples, or its conditions.
        resample: stretch the recording's time to the probe's steps.
        shuffles: recordings out of time, of either kind.
        seed: of the shuffles, halves and resamples.

    Raises:
        NetworkError: a recording that cannot be read or does not fit the probe.
        AtlasError: no such task or measure, or too few networks that learned it.

    Example:
        >>> from dynatlas import Atlas, place_recording
        >>> placement = place_recording("my-atlas", "monkey.npy", "flip_flop")  # doctest: +SKIP
        >>> placement.tables["distances"].nsmallest(3, "distance")  # doctest: +SKIP

    Source: Maheswaranathan et al. 2019, figure 4, for why untrained networks stand beside.
    """
    opened = atlas if isinstance(atlas, Atlas) else Atlas.open(atlas)
    kind, names = task_named(opened, task), _measures(opened, measures)
    if shuffles < FEWEST_SHUFFLES:
        raise NetworkError(f"shuffles is {shuffles}; expected at least {FEWEST_SHUFFLES}, for a p of 0.05")
    probe = probe_of(opened.study.task(kind))
    recordings = {
        name: align(values, probe, name, rows, resample=resample) for name, values in _named(recording).items()
    }
    aligned = next(iter(recordings.values())).rows
    for name, each in recordings.items():
        if not np.array_equal(each.rows.of_sample, aligned.of_sample):
            raise NetworkError(f"{name} has other rows than the first recording; place them one after the other")

    measured = {name: Measured(name, opened.study.measure(name), recordings, shuffles, seed) for name in names}
    members: list[Member] = []
    with threadpool_limits(1):
        for response in responses_of(opened, kind, aligned):
            members.append(response.member)
            for one in measured.values():
                one.add(response, keeps_all=not aligned.trials)
        if len(members) < FEWEST_NETWORKS:
            raise AtlasError(
                f"{len(members)} networks of {opened.path} learned the task {kind}; expected at least {FEWEST_NETWORKS}"
            )
        tables = _tables(opened, kind, members, measured, recordings, seed)
    notes = [note for one in measured.values() for note in one.notes]
    architectures = opened.study.population.architectures
    return Placement(opened.study.name, kind, architectures, tuple(names), recordings, tables, tuple(notes))


def _tables(
    atlas: Atlas,
    task: str,
    members: Sequence[Member],
    measured: Mapping[str, Measured],
    recordings: Mapping[str, Aligned],
    seed: int,
) -> dict[str, pd.DataFrame]:
    analysis = atlas.study.analysis
    labels = {factor: [getattr(member, factor) for member in members] for factor in FACTORS}
    parts: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for measure, one in measured.items():
        coordinates, stress = one.map(atlas, task, members)
        for place, name in enumerate(recordings):
            label = {"recording": name, "measure": measure}
            away = one.away(place)
            rows = {
                "distances": distance_rows(members, away, one.untrained_away(place)),
                "controls": control_rows(one, place, analysis.permutations, analysis.bootstraps, seed),
                "levels": levels_of(one, place, labels, analysis.permutations, analysis.bootstraps, seed),
                "effects": effects_of(away, labels, analysis.permutations, analysis.bootstraps, seed),
                "map": map_rows(members, coordinates, stress, away),
                "recordings": [
                    {"other_recording": other, "distance": value}
                    for other, value in zip(recordings, one.between_recordings(place), strict=True)
                    if other != name
                ],
            }
            for table, of_table in rows.items():
                parts[table] += [label | row for row in of_table]
    return {name: pd.DataFrame(rows) for name, rows in parts.items() if rows}


def task_named(atlas: Atlas, task: str | None) -> str:
    """The task of this name; without one, the only one of the study.

    Raises:
        AtlasError: no such task, or several.
    """
    kinds = [each.kind for each in atlas.study.tasks]
    if task in kinds:
        return str(task)
    if task is None and len(kinds) == 1:
        return kinds[0]
    seen = "which task" if task is None else f"no task {task!r}"
    raise AtlasError(f"{seen}? The study {atlas.study.name!r} has: {', '.join(kinds)}; name one with task= (--task)")


def _measures(atlas: Atlas, measures: Sequence[str] | None) -> list[str]:
    known = list(atlas.study.analysis.measures)
    for name in measures or ():
        if name not in known:
            raise AtlasError(f"the study {atlas.study.name!r} does not compare by {name!r}; it has: {', '.join(known)}")
    return list(dict.fromkeys(measures or known))


def _named(recording: Any) -> dict[str, Any]:
    several = recording if isinstance(recording, Mapping) else {_name(recording): recording}
    if not several:
        raise NetworkError("there is no recording; expected one at least")
    return {
        str(name): read_recording(Path(each)).values if isinstance(each, str | Path) else each
        for name, each in several.items()
    }


def _name(recording: Any) -> str:
    return Path(recording).name if isinstance(recording, str | Path) else "recording"
