"""The command ``lesion``."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from dynatlas.cli.continuation import NetworkName
from dynatlas.cli.sources import (
    AtlasOptions,
    FileOptions,
    Source,
    check_budget,
    print_source,
    read_sources,
    read_static_input,
    read_trials,
)
from dynatlas.errors import NetworkError


def lesion(
    network: NetworkName,
    /,
    *,
    unit: list[str] | None = None,
    mode: list[str] | None = None,
    channel: list[str] | None = None,
    trials: Path | None = None,
    inputs: str | None = None,
    fixed_points: Annotated[bool, Parameter(negative="--no-fixed-points")] = True,
    out: Path | None = None,
    seed: int = 0,
    max_starts: int = 4096,
    max_seconds: float = 20.0,
    within: AtlasOptions | None = None,
    recorded: FileOptions | None = None,
) -> None:
    """Silence units, remove modes and input channels of a network: error and fixed points after each, as a table.

    Without --unit, --mode and --channel, each unit, mode and channel is removed once. All count from 0.

    Args:
        network: A file of weights; with --atlas, the id or name of a network.
        unit: A unit to silence: its state is held at 0. 4,5 are silenced together. May be repeated.
        mode: A mode to remove: a term of the singular value decomposition of the recurrent weights, by descending
            singular value. 0,1 are removed together. May be repeated.
        channel: An input channel to remove: its weights are 0. 0,1 are removed together. May be repeated.
        trials: A .npy or .npz file: trials [trials, steps, inputs] on which the outputs are compared with those of the
            intact network. By default the error on held-out trials of the task for a network of an atlas, and random
            trials for a file.
        inputs: The static input of the fixed points: numbers, as 0,0,1, or a file; by default the first condition of
            the task for a network of an atlas, and 0 for a file.
        fixed_points: Whether to search for fixed points, which takes seconds for each lesion.
        out: The folder of the result; by default NETWORK-lesions.
        seed: Seed of the random starts.
        max_starts: Budget of starts of each search.
        max_seconds: Budget of processor time of each search, in seconds.
        within: Options for a network of an atlas.
        recorded: Options for a file.
    """
    import jax
    import numpy as np

    from dynatlas._io.targets import check_folder
    from dynatlas.networks.lesions import lesion as lesion_network
    from dynatlas.networks.lesions import write_folder
    from dynatlas.networks.lesions.lesion import results_of

    check_budget(max_starts, max_seconds)
    groups = {"units": _groups("--unit", unit), "modes": _groups("--mode", mode)}
    groups["channels"] = _groups("--channel", channel)
    (source,) = read_sources([network], recorded, within)
    print_source(source)
    folder = out or source.folder.with_name(f"{source.folder.name}-lesions")
    check_folder(folder, results_of(source.subject), replaces_any=out is not None)
    static = read_static_input(inputs, source.network.n_inputs)
    if inputs is None and source.task is not None:
        static = np.asarray(source.task.conditions()[0])
        print(f"static input of the fixed points: {source.task.condition_names()[0]}")
    try:
        found = lesion_network(
            source.cell if source.cell is not None else source.network,
            **groups,
            trials=_trials(source) if trials is None else read_trials(trials),
            condition=static,
            fixed_points=fixed_points,
            max_starts=max_starts,
            max_seconds=max_seconds,
            key=jax.random.key(seed),
        )
    except ValueError as error:
        raise NetworkError(f"{error}") from error
    print(found)
    table = write_folder(found, folder, source.subject, replaces_any=out is not None)
    print(f"table: {table.resolve()}")


def _trials(source: Source) -> Any:
    """Return the held-out trials of an atlas' task; None for random trials."""
    from dynatlas.training.loss import held_out_trials

    if source.task is None or source.study is None:
        return None
    return held_out_trials(source.task, source.study.training.validation_trials)


def _groups(option: str, given: list[str] | None) -> list[tuple[int, ...]] | None:
    """Return the groups of numbers of an option."""
    if given is None:
        return None
    try:
        return [tuple(int(number) for number in group.split(",")) for group in given]
    except ValueError:
        raise NetworkError(f"{option} is {given}; expected a number, or numbers with commas, as 4,5") from None
