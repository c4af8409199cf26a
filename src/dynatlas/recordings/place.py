"""Place recordings among the networks of an atlas by the measures of its study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from dynatlas._util.cores import single_threaded_algebra
from dynatlas.atlas.atlas import Atlas
from dynatlas.atlas.networks import agreed_measure
from dynatlas.atlas.view import all_levels, shown_factors
from dynatlas.errors import AtlasError, NetworkError
from dynatlas.recordings.alignment import Aligned
from dynatlas.recordings.alignment import align as align_rows
from dynatlas.recordings.distances import MeasureDistances, responses_of
from dynatlas.recordings.formats.series import Read
from dynatlas.recordings.formats.windows import Bounds, Window
from dynatlas.recordings.in_memory import plain
from dynatlas.recordings.probe import probe_of
from dynatlas.recordings.reading import read_recording
from dynatlas.recordings.result_tables import Rows, control_rows, distance_rows, effect_rows, level_rows, map_rows
from dynatlas.recordings.sentences import sentences
from dynatlas.study.members import Member

FEWEST_NETWORKS: Final = 3
FEWEST_SHUFFLES: Final = 19
TABLES: Final = ("distances", "controls", "levels", "effects", "map", "recordings")
Source = ArrayLike | Path  # activity, or the path of a file


@dataclass(frozen=True, eq=False, repr=False)
class Placement:
    """Result of placing recordings among networks.

    Attributes:
        study: name of the atlas' study.
        task: the task of the networks.
        levels: the levels of each factor of the study, in the order of pictures.
        shown: the factors that pictures show: one by colour, one by symbol.
        measures: the measures of geometry.
        recordings: each recording by its name, aligned with the probe.
        tables: "distances" (recording to network), "controls", "levels" and "effects" (of architecture and so on),
            "map", and "recordings" (between them).
        notes: limitations of the distances, one sentence each.
    """

    study: str
    task: str
    levels: Mapping[str, tuple[Any, ...]]
    shown: tuple[str, str]
    measures: tuple[str, ...]
    recordings: Mapping[str, Aligned]
    tables: Mapping[str, pd.DataFrame]
    notes: tuple[str, ...]

    def said(self, recording: str, measure: str) -> list[str]:
        """Return the result for one recording by one measure, one sentence each."""
        return sentences(self.tables, recording, measure)

    def __repr__(self) -> str:
        return "\n".join(
            f"{recording}, {measure}: {' '.join(self.said(recording, measure))}"
            for recording in self.recordings
            for measure in self.measures
        )


def place_recording(
    atlas: Atlas | str | Path,
    recording: Source | Mapping[str, Source],
    task: str | None = None,
    *,
    measures: Sequence[str] | None = None,
    rows: ArrayLike | None = None,
    resample: bool = False,
    series: str | None = None,
    bin_width: float | None = None,
    align: str | None = None,
    window: Bounds | None = None,
    max_gb: float | None = None,
    shuffles: int = 99,
    seed: int = 0,
) -> Placement:
    """Place a recording among the networks that learned a task, by the geometry of their activity on the same samples.

    The distances to trained networks come with controls: the same networks before training, surrogates of the recording
    (shuffled or shifted in time), and halves of its units. A small distance does not imply that the recorded network
    computes like the trained one: networks with the same inputs have similar geometry before any training.

    Args:
        atlas: an atlas with trained networks, or its folder.
        recording: [trials, time, units] or [samples or conditions, units]; or a DataFrame with a column for each
            unit; or the path of a file; or several of these by name.
        task: the task; optional if the study has only one.
        measures: measures of the study; by default all.
        rows: the row of the recording to which each of the probe's samples belongs (``recordings.align``); by default
            the rows are the probe's samples, or its conditions.
        resample: interpolate the recording in time to the probe's steps.
        series: of a file, as are ``bin_width`` and ``max_gb``: see ``recordings.read_recording``.
        bin_width: width of the bins in which the spikes of an NWB file are counted, in seconds.
        align: the event around which the window of each trial is read, of an NWB file or a table.
        window: begin and end of that window, relative to the event or to the start of the trial.
        max_gb: most memory that the numbers of a file may take, in units of 1e9 bytes.
        shuffles: number of surrogates of each kind.
        seed: seed of surrogates, halves and resamples.

    Raises:
        NetworkError: a recording that cannot be read or does not fit the probe.
        AtlasError: unknown task or measure, or too few networks that learned the task.

    Example:
        >>> from dynatlas import Atlas, place_recording
        >>> placement = place_recording("my-atlas", "monkey.npy", "flip_flop")  # doctest: +SKIP
        >>> placement.tables["distances"].nsmallest(3, "distance")  # doctest: +SKIP

    Source: Maheswaranathan et al. 2019, figure 4, for the control with untrained networks.
    """
    opened = atlas if isinstance(atlas, Atlas) else Atlas.open(atlas)
    kind, names = task_named(opened, task), _measures(opened, measures)
    if shuffles < FEWEST_SHUFFLES:
        raise NetworkError(f"shuffles is {shuffles}; expected at least {FEWEST_SHUFFLES}, for a p of 0.05")
    probe = probe_of(opened.study.task(kind))
    options = {"series": series, "bin_width": bin_width, "align": align, "window": window, "max_gb": max_gb}
    recordings = {}
    for name, source in _by_name(recording).items():
        values, facts = _read(source, name, options)
        found = align_rows(values, probe, name, rows, resample=resample)
        recordings[name] = replace(found, facts=(*facts, *found.facts))
    aligned = next(iter(recordings.values())).rows
    for name, each in recordings.items():
        if not np.array_equal(each.rows.of_sample, aligned.of_sample):
            raise NetworkError(f"{name} has other rows than the first recording; place the recordings separately")

    distances = {
        name: MeasureDistances(name, agreed_measure(opened, kind, name), recordings, shuffles, seed) for name in names
    }
    members: list[Member] = []
    with single_threaded_algebra():
        for response in responses_of(opened, kind, aligned):
            members.append(response.member)
            for one in distances.values():
                one.add(response, keeps_all=not aligned.trials)
        if len(members) < FEWEST_NETWORKS:
            raise AtlasError(
                f"{len(members)} networks of {opened.path} learned the task {kind}; expected at least {FEWEST_NETWORKS}"
            )
        tables = _tables(opened, kind, members, distances, recordings, seed)
    notes = [note for one in distances.values() for note in one.notes]
    levels = {factor: tuple(of_factor) for factor, of_factor in all_levels(opened.study).items()}
    of_study = opened.study.name, kind, levels, shown_factors(opened.study)
    return Placement(*of_study, tuple(names), recordings, tables, tuple(notes))


def _tables(
    atlas: Atlas,
    task: str,
    members: Sequence[Member],
    distances: Mapping[str, MeasureDistances],
    recordings: Mapping[str, Aligned],
    seed: int,
) -> dict[str, pd.DataFrame]:
    analysis = atlas.study.analysis
    labels = {factor: [member.factors[factor] for member in members] for factor in atlas.study.levels}
    parts: dict[str, Rows] = {name: [] for name in TABLES}
    for measure, one in distances.items():
        coordinates, stress = one.embedding(atlas, task, members)
        for place, name in enumerate(recordings):
            label = {"recording": name, "measure": measure}
            trained = one.to_trained(place)
            rows = {
                "distances": distance_rows(members, trained, one.to_untrained(place)),
                "controls": control_rows(one, place, analysis.permutations, seed),
                "levels": level_rows(one, place, labels, analysis.permutations, seed),
                "effects": effect_rows(trained, labels, analysis.permutations, analysis.bootstraps, seed),
                "map": map_rows(members, coordinates, stress, trained),
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
    """Return the name of the task; by default the study's only one.

    Raises:
        AtlasError: unknown task, or no default because the study has several.
    """
    kinds = [each.name for each in atlas.study.tasks]
    if task in kinds:
        return str(task)
    if task is None and len(kinds) == 1:
        return kinds[0]
    seen = "no task is set" if task is None else f"there is no task {task!r}"
    raise AtlasError(f"{seen}; the study {atlas.study.name!r} has: {', '.join(kinds)}; choose one with task= (--task)")


def _measures(atlas: Atlas, measures: Sequence[str] | None) -> list[str]:
    known = list(atlas.study.analysis.activity_measures)
    for name in measures or ():
        if name not in known:
            raise AtlasError(f"the study {atlas.study.name!r} has no measure {name!r}; it has: {', '.join(known)}")
    return list(dict.fromkeys(measures or known))


def _by_name(recording: Source | Mapping[str, Source]) -> dict[str, Source]:
    several = recording if isinstance(recording, Mapping) else {_name(recording): recording}
    if not several:
        raise NetworkError("there is no recording; expected at least one")
    return {str(name): each for name, each in several.items()}


def _read(source: Source, name: str, options: dict[str, Any]) -> Read:
    """Read a file or an array, and say how."""
    if isinstance(source, str | Path):
        return read_recording(Path(source), **options)
    if unused := [one for one in ("series", "bin_width") if options[one] is not None]:
        raise NetworkError(f"{unused[0]} is {options[unused[0]]!r}, and {name} is no file; leave it out")
    return plain(source, name, Window.of(options["align"], options["window"]))


def _name(recording: Source) -> str:
    return Path(recording).name if isinstance(recording, str | Path) else "recording"
