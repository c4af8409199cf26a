"""The command ``continue``."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from dynatlas.cli.sources import (
    AtlasOptions,
    FileOptions,
    Source,
    check_budget,
    in_file_names,
    print_source,
    read_one_array,
    read_sources,
    read_static_input,
    read_trials,
)
from dynatlas.errors import NetworkError

if TYPE_CHECKING:
    import numpy as np

EXPECTED = (
    "expected WHAT=FROM..TO with WHAT one of input:CHANNEL, recurrent, inputs:FILE and network:OTHER, such as "
    "input:2=-1..1"
)
NetworkName = Annotated[str, Parameter(help="A file of weights as for analyze; with --atlas, an id or a name.")]


class Along(NamedTuple):
    """A parameter as the option names it.

    Attributes:
        kind: "input", "recurrent", "inputs" or "network".
        detail: the channel, the file or the other network; "" for "recurrent".
        start: FROM.
        stop: TO.
    """

    kind: str
    detail: str
    start: float
    stop: float

    @property
    def parameter(self) -> str:
        """The name of the parameter in Python."""
        return f"input:{self.detail}" if self.kind == "input" else self.kind

    @property
    def what(self) -> str:
        """WHAT, as the option names it."""
        return f"{self.kind}:{self.detail}" if self.detail else self.kind

    def in_folder_names(self, detail: str) -> str:
        """Return the parameter and its interval for the name of a folder.

        Args:
            detail: the channel, or the name of the file or network.

        Example:
            >>> Along("input", "0", -0.5, 1.0).in_folder_names("0")
            'input-0-from--0.5-to-1'
        """
        parts = [self.kind, in_file_names(detail), "from", _shortest(self.start), "to", _shortest(self.stop)]
        return "-".join(part for part in parts if part)


def continue_(
    network: NetworkName,
    /,
    *,
    along: str,
    inputs: str | None = None,
    trials: Path | None = None,
    activity: Path | None = None,
    out: Path | None = None,
    output: int | None = None,
    values: int = 100,
    seed: int = 0,
    max_starts: int | None = None,
    max_seconds: float = 120.0,
    within: AtlasOptions | None = None,
    recorded: FileOptions | None = None,
) -> None:
    """Follow the fixed points of a network along an input or its weights: branches and bifurcations, tables and a page.

    Args:
        network: A file of weights; with --atlas, the id or name of a network.
        along: The parameter, as WHAT=FROM..TO. WHAT is input:2, the value of input channel 2, counted from 0;
            recurrent, a factor of all recurrent weights; inputs:FILE, the way from one static input at 0 to another
            at 1, two rows in a file; network:OTHER, the way from NETWORK at 0 to another one of its shape at 1. All
            fixed points at FROM are followed to TO.
        inputs: The static input: numbers, as 0,0,1, or a file; by default 0.
        trials: A .npy or .npz file: trials [trials, steps, inputs], whose states the search starts from; by default
            trials of the task for a network of an atlas, and random ones for a file.
        activity: A .npy or .npz file of states that the search starts from.
        out: The folder of the result; by default NETWORK-along-WHAT-from-FROM-to-TO.
        output: The output that the figure shows, and the page at first; by default the first principal component of
            the states.
        values: The largest step is 1/VALUES of the way; index sums are taken at so many values, and at FROM.
        seed: Seed of the random starts.
        max_starts: Budget of starts of the search at FROM; by default 16384.
        max_seconds: Budget of processor time of the search at FROM, in seconds.
        within: Options for a network of an atlas.
        recorded: Options for a file.
    """
    import jax

    from dynatlas._io.targets import check_folder
    from dynatlas.networks.continuation import continue_network, write_folder
    from dynatlas.networks.continuation.page import results_of
    from dynatlas.networks.continuation.plots import COMPONENT

    # Whatever is wrong with an option is said before what was found in the files.
    asked = read_along(along)
    check_budget(max_starts, max_seconds)
    if values < 2:
        raise NetworkError(f"--values is {values}; expected at least 2")
    if asked.kind == "inputs" and inputs is not None:
        raise NetworkError("--inputs has no effect along inputs:FILE, which names both inputs; leave it out")
    names = [network, asked.detail] if asked.kind == "network" else [network]
    source, *others = read_sources(names, recorded, within)
    _check_channel(source, asked)
    _check_output(source, output)
    detail = {"network": others[0].folder.name if others else "", "inputs": Path(asked.detail).stem}
    along_name = asked.in_folder_names(detail.get(asked.kind, asked.detail))
    folder = out or source.folder.with_name(f"{source.folder.name}-along-{along_name}")
    # With the whole path of a file: the folder's name has only the end of it.
    along_subject = f"network:{others[0].subject}" if others and others[0].id else asked.what
    results = results_of(source.subject, along_subject, asked.start, asked.stop)
    check_folder(folder, results, replaces_any=out is not None)
    if asked.kind == "inputs":
        held = read_one_array(Path(asked.detail), ("inputs", "conditions"))
    else:
        held = read_static_input(inputs, source.network.n_inputs)
    for each in (source, *others):
        print_source(each)
    try:
        found = continue_network(
            source.network,
            asked.parameter,
            asked.start,
            asked.stop,
            inputs=held,
            other=others[0].network if others else None,
            trials=task_inputs(source, trials, activity),
            activity=None if activity is None else read_one_array(activity),
            n_values=values,
            max_starts=max_starts,
            max_seconds=max_seconds,
            key=jax.random.key(seed),
        )
    except ValueError as error:
        raise NetworkError(f"{error}") from error
    print(f"starts: {found.visited.said}")
    print(found)
    view = COMPONENT if output is None else f"output {output}"
    page = write_folder(found, folder, source.title, view, results=results, replaces_any=out is not None)
    print(f"page: {page.resolve()}")


def _check_channel(source: Source, asked: Along) -> None:
    """Check that the network has the input channel of the parameter."""
    count = source.network.n_inputs
    if asked.kind == "input" and int(asked.detail) >= count:
        has = f"input channels 0 to {count - 1}" if count else "no input channels"
        raise NetworkError(f"--along names {asked.what!r}; the network has {has}")


def _check_output(source: Source, output: int | None) -> None:
    """Check that the output to show exists, before minutes of work."""
    import numpy as np

    count = source.network.read_out(np.zeros((1, source.network.n_states))).shape[1]
    if output is not None and not 0 <= output < count:
        has = f"outputs 0 to {count - 1}" if count else "no readout"
        raise NetworkError(f"--output is {output}; the network has {has}")


def read_along(text: str) -> Along:
    """Return the parameter that a text names.

    Raises:
        NetworkError: it names none.

    Example:
        >>> read_along("input:2=-1..1")
        Along(kind='input', detail='2', start=-1.0, stop=1.0)
    """
    what, sign, interval = text.rpartition("=")
    kind, colon, detail = what.partition(":")
    ends = interval.split("..", 1)
    if not sign or len(ends) != 2:
        raise NetworkError(f"--along is {text!r}; {EXPECTED}")
    try:
        start, stop = map(float, ends)
    except ValueError:
        raise NetworkError(
            f"--along goes from {ends[0]!r} to {ends[1]!r}; expected two numbers, such as -1..1"
        ) from None
    needs = {"input": True, "inputs": True, "network": True, "recurrent": False}.get(kind)
    if needs is None or needs != bool(detail) or bool(colon) != bool(detail):
        raise NetworkError(f"--along names {what!r}; {EXPECTED}")
    if kind == "input" and not (detail.isascii() and detail.isdigit()):
        raise NetworkError(f"--along names {what!r}; expected the number of an input channel, counted from 0: input:2")
    if not (math.isfinite(start) and math.isfinite(stop) and start != stop):
        raise NetworkError(f"--along goes from {ends[0]} to {ends[1]}; expected two different finite numbers, as -1..1")
    return Along(kind, detail, start, stop)


def _shortest(number: float) -> str:
    """Return the shortest text of a number that no other has: 1, -0.5, 1e-07."""
    return repr(number).removesuffix(".0")


def task_inputs(source: Source, trials: Path | None, activity: Path | None) -> "np.ndarray | Any | None":
    """Return the trials of a file, or of the probe of an atlas' task; None for random ones, or with activity."""
    if trials is not None:
        return read_trials(trials)
    return None if source.task is None or activity is not None else source.task.probe().inputs
