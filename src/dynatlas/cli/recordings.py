"""The commands for recordings: ``probe`` and ``place``."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from dynatlas.errors import NetworkError

if TYPE_CHECKING:
    from dynatlas.recordings.place import Placement


WIDTH = 79
NEAREST = 3  # networks printed; the page shows more
AtlasFolder = Annotated[Path, Parameter(help="The atlas folder.")]


def probe(
    atlas: AtlasFolder,
    target: Path,
    /,
    *,
    task: str | None = None,
    plugin: list[Path] | None = None,
    force: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write the trials on which an atlas' networks are compared, to align a recording: inputs, targets, conditions.

    Args:
        atlas: The atlas folder.
        target: The .npz file to write.
        task: The task; optional if the study has only one.
        plugin: A Python file with user-defined tasks, cells or measures of the atlas; may be repeated. Its code is run:
            name only files that you trust.
        force: Replace the file if it exists.
    """
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.recordings.place import task_named
    from dynatlas.recordings.probe import write_probe
    from dynatlas.study.plugins import load_plugins

    load_plugins(plugin or ())
    opened = Atlas.open(atlas)
    written = write_probe(opened.study.task(task_named(opened, task)), target, force=force)
    n_conditions = len(written.condition_names)
    print(
        f"wrote {target}: {written.samples:,} samples, {written.trials} trials of {written.steps} steps; "
        f"{n_conditions} condition{'s' if n_conditions > 1 else ''}"
    )


def place(
    atlas: AtlasFolder,
    /,
    *recordings: Annotated[Path, Parameter(help="Files: .npy, .npz, .nc, .mat, .parquet, .csv or .nwb.")],
    task: str | None = None,
    measure: list[str] | None = None,
    series: str | None = None,
    bin_width: Annotated[float | None, Parameter(name="--bin")] = None,
    align: str | None = None,
    window: str | None = None,
    max_gb: float | None = None,
    rows: Path | None = None,
    resample: Annotated[bool, Parameter(negative="")] = False,
    shuffles: int = 99,
    seed: int = 0,
    out: Path | None = None,
    plugin: list[Path] | None = None,
) -> None:
    """Place recordings among the networks of an atlas that learned a task, by the geometry of their activity.

    A recording is [trials, time, units] or [samples, units], on the samples of the task's probe (dynatlas probe); or
    [conditions, units], means over its conditions.

    Args:
        atlas: The atlas folder; it is not changed.
        recordings: Files with recordings.
        task: The task; optional if the study has only one.
        measure: A measure of the study; may be repeated; by default all.
        series: The array, variable or TimeSeries, if a file has several.
        bin_width: Width of the bins, in seconds, in which the spikes of an NWB file are counted.
        align: An event, a column of the trials of an NWB file or of a table, from whose time the window counts; by
            default the start of the trial.
        window: The part of each trial that is read, as begin:end relative to the event, such as 0:0.6 or
            --window=-0.2:0.6; by default whole trials, of equal lengths.
        max_gb: Most memory that the numbers of a file may take, in units of 1e9 bytes; by default 0.5.
        rows: A .npy file of integers [trials, steps]: the row of the recording to which each of the probe's samples
            belongs, -1 for none.
        resample: Interpolate the recording in time to the probe's steps.
        shuffles: Number of surrogates of the recording, shuffled and shifted in time.
        seed: Seed of surrogates, halves and resamples.
        out: The folder of the result; by default RECORDING-TASK-placement, next to the recording.
        plugin: A Python file with user-defined tasks, cells or measures of the atlas; may be repeated. Its code is run:
            name only files that you trust.
    """
    from dynatlas.recordings.formats.windows import parse_window
    from dynatlas.recordings.page import write_folder
    from dynatlas.recordings.place import place_recording
    from dynatlas.recordings.reading import read_labels
    from dynatlas.study.plugins import load_plugins

    if not recordings:
        raise NetworkError("name at least one recording: .npy, .npz, .nc, .mat, .parquet, .csv or .nwb")
    if len({path.name for path in recordings}) < len(recordings):
        raise NetworkError("two recordings have the same name; expected unique file names")
    load_plugins(plugin or ())
    placement = place_recording(
        atlas,
        {path.name: path for path in recordings},
        task,
        series=series,
        bin_width=bin_width,
        align=align,
        window=None if window is None else parse_window(window),
        max_gb=max_gb,
        measures=measure,
        rows=None if rows is None else read_labels(rows),
        resample=resample,
        shuffles=shuffles,
        seed=seed,
    )
    default = recordings[0].with_name(f"{recordings[0].stem}-{placement.task}-placement")
    page = write_folder(placement, out or default, replaces_any=out is not None)
    for name, one in placement.recordings.items():
        _print(f"{name}: {'; '.join(one.facts)}")
    _print_placement(placement)
    print(f"\npage: {page.resolve()}")


def _print_placement(placement: "Placement") -> None:
    from dynatlas.measures.registry import measure_label
    from dynatlas.recordings.sentences import WARNING, rows_of

    for recording in placement.recordings:
        for measure in placement.measures:
            several = f"{recording}, " if len(placement.recordings) > 1 else ""
            _print(f"\n{several}{measure_label(measure)}:")
            for sentence in placement.said(recording, measure):
                _print(sentence, "  ")
            distances = rows_of(placement.tables, "distances", recording, measure)
            nearest = distances[distances["version"] == "trained"].nsmallest(NEAREST, "distance")
            for name, distance in zip(nearest["name"], nearest["distance"], strict=True):
                print(f"    {distance:.3f}  {name}")
    for note in (*placement.notes, WARNING[0]):
        print()
        _print(f"note: {note}")


def _print(text: str, indent: str = "") -> None:
    for line in text.split("\n"):
        print(textwrap.fill(line, WIDTH, initial_indent=indent, subsequent_indent=indent or "  "))
