"""Options and reading that the commands for single networks share: a file of weights, or a network of an atlas."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from cyclopts import Group, Parameter

from dynatlas.errors import NetworkError

if TYPE_CHECKING:
    from dynatlas.cells.cell import Cell
    from dynatlas.networks.network import Network
    from dynatlas.study.study import Study
    from dynatlas.tasks.task import Task

LONGEST_PART = 60  # characters of a part of a folder's name; most file systems allow 255 bytes in all
NOT_RECORDED = Group("If the file does not record it")


@Parameter(name="*")
@dataclass(frozen=True)
class FileOptions:
    """Options of ``read_network`` for a file of weights.

    Args:
        max_gb: Most memory that the numbers of a file may take, in units of 1e9 bytes; by default 0.5.
        layer: The recurrent layer to read, if there are several that are not stacked.
        readout: The linear layer used as readout, if several fit; "" for none.
        activation: The activation; by default tanh.
        reset: Where the reset gate of a GRU acts, relative to the recurrent product.
        alpha: dt/tau of a leaky network.
        form: Whether the state of a leaky network is rates or currents.
        orientation: Whether square matrices multiply columns, W h, or rows, h W.
        part: The role of an array, as ROLE=NAME; may be repeated. Roles: recurrent, input, bias, inner_bias,
            recurrent_mask, sign, readout, readout_bias, alpha, tau, dt.
        ignore: The name of an array to leave out, with * for any characters; may be repeated.
    """

    max_gb: float | None = None
    layer: Annotated[str | None, Parameter(group=NOT_RECORDED)] = None
    readout: Annotated[str | None, Parameter(group=NOT_RECORDED)] = None
    activation: Annotated[str | None, Parameter(group=NOT_RECORDED)] = None
    reset: Annotated[Literal["after", "before"] | None, Parameter(group=NOT_RECORDED)] = None
    alpha: Annotated[float | None, Parameter(group=NOT_RECORDED)] = None
    form: Annotated[Literal["rate", "current"] | None, Parameter(group=NOT_RECORDED)] = None
    orientation: Annotated[Literal["columns", "rows"] | None, Parameter(group=NOT_RECORDED)] = None
    part: Annotated[list[str] | None, Parameter(group=NOT_RECORDED)] = None
    ignore: Annotated[list[str] | None, Parameter(group=NOT_RECORDED)] = None

    def read(self, path: Path) -> "Network":
        """Read a file."""
        from dynatlas.networks.reading import read_network

        return read_network(
            path,
            layer=self.layer,
            readout=self.readout,
            activation=self.activation,
            reset=self.reset,
            alpha=self.alpha,
            form=self.form,
            orientation=self.orientation,
            parts=_parts(self.part or []),
            ignore=self.ignore or (),
            max_gb=self.max_gb,
        )


@Parameter(name="*")
@dataclass(frozen=True)
class AtlasOptions:
    """Options for a network of an atlas.

    Args:
        atlas: An atlas folder; NETWORK is then the id or name of one of its networks.
        plugin: A Python file with user-defined tasks, cells or measures of the atlas; may be repeated. Its code is run:
            name only files that you trust.
    """

    atlas: Path | None = None
    plugin: list[Path] | None = None


class Source(NamedTuple):
    """A network as a command reads it.

    Attributes:
        network: the network.
        title: what pages call it.
        folder: its folder of results without the ending, beside its file or in the current folder, as NETWORK is given.
        cell: the cell, if it is of an atlas.
        task: its task, if it is of an atlas.
        study: its study, if it is of an atlas.
        id: its id, if it is of an atlas.
    """

    network: "Network"
    title: str
    folder: Path
    cell: "Cell | None" = None
    task: "Task | None" = None
    study: "Study | None" = None
    id: str = ""

    @property
    def subject(self) -> str:
        """What the record of a folder calls it: networks of two atlases may share a name, but no id."""
        return f"{self.title} {self.id}".strip()


def in_file_names(text: str) -> str:
    """Return a text as part of a file name: other signs than letters, digits and ``_.+-`` become one hyphen.

    Example:
        >>> in_file_names("a/b: c.npz")
        'a-b-c.npz'
    """
    return re.sub(r"[^\w.+-]+", "-", text)[:LONGEST_PART]


def read_sources(names: Sequence[str], recorded: FileOptions | None, within: AtlasOptions | None) -> list[Source]:
    """Read networks from files, or from the atlas that the options name.

    Raises:
        NetworkError: options for files and an atlas, plug-ins without an atlas, or what ``read_network`` refuses.
        AtlasError: the atlas has no such network.
    """
    within = within or AtlasOptions()
    if within.atlas is None:
        if within.plugin:
            raise NetworkError("--plugin is for networks of an atlas; name the atlas with --atlas FOLDER")
        files = [Path(name) for name in names]
        return [Source((recorded or FileOptions()).read(path), path.name, path.with_suffix("")) for path in files]
    if recorded is not None:
        options = [f"--{name.replace('_', '-')}" for name, value in vars(recorded).items() if value is not None]
        raise NetworkError(f"{' and '.join(options)} cannot be chosen with --atlas: an atlas records its networks")
    return _of_atlas(names, within.atlas, within.plugin or ())


def print_source(source: Source) -> None:
    """Print what was found and assumed when a network was read."""
    print(f"{source.title}:")
    for sentence in source.network.source:
        print(f"  {sentence}")


def check_budget(max_starts: int | None, max_seconds: float) -> None:
    """Check the budget of a search before anything is read.

    Raises:
        NetworkError: no starts, or a negative time.
    """
    if max_starts is not None and max_starts < 1:
        raise NetworkError(f"--max-starts is {max_starts}; expected at least 1")
    if not max_seconds >= 0:  # also NaN
        raise NetworkError(f"--max-seconds is {max_seconds:g}; expected 0 or more seconds")


def read_trials(path: Path) -> Any:
    """Read trials [trials, steps, inputs]; a file with one trial may hold [steps, inputs]."""
    values = read_one_array(path, ("trials",))
    if values.ndim not in (2, 3):
        raise NetworkError(
            f"{path} has the shape {list(values.shape)}; expected trials [trials, steps, inputs], or one trial "
            f"[steps, inputs]"
        )
    return values[None] if values.ndim == 2 else values


def read_one_array(path: Path, names: tuple[str, ...] = ("activity", "states")) -> Any:
    """Read the array in a file that has one of the names, or is the only one."""
    from dynatlas._io.untrusted import read_arrays

    _, arrays = read_arrays(path)
    for name in names:
        if name in arrays:
            return arrays[name]
    if len(arrays) != 1:
        raise NetworkError(f"{path} holds {', '.join(arrays) or 'no array'}; expected one array, or `{names[0]}`")
    return next(iter(arrays.values()))


def read_static_input(text: str | None, n_inputs: int) -> Any:
    """Read a static input [m] that is given as numbers, "0,0,1", or as a file; by default 0.

    Raises:
        NetworkError: it is neither, or does not have one number for each channel.
    """
    import numpy as np

    if text is None:
        return np.zeros(n_inputs)
    try:
        values = np.array([float(part) for part in text.split(",")])
    except ValueError:
        values = np.asarray(read_one_array(Path(text), ("inputs", "conditions")), np.float64)
    values = values[0] if values.ndim == 2 and len(values) == 1 else values
    if values.shape != (n_inputs,) or not np.isfinite(values).all():
        raise NetworkError(
            f"--inputs {text} has the shape {list(values.shape)}; expected {n_inputs} finite numbers, one for each "
            f"input channel, such as {','.join(['0'] * max(n_inputs, 1))}, or a file with them"
        )
    return values


def _of_atlas(names: Sequence[str], folder: Path, plugins: Sequence[Path]) -> list[Source]:
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.networks.layouts.pytrees import network_of_cell
    from dynatlas.study.plugins import load_plugins

    load_plugins(plugins)
    atlas = Atlas.open(folder)
    sources = []
    for name in names:
        member = atlas.member(name)
        cell = atlas.network(name)
        task = atlas.study.task(member.task)
        network, folder = network_of_cell(cell, task.n_inputs), Path(in_file_names(name))
        sources.append(Source(network, member.name, folder, cell, task, atlas.study, member.id))
    return sources


def _parts(given: list[str]) -> dict[str, str]:
    """Return the names of arrays by role."""
    parts: dict[str, str] = {}
    for one in given:
        role, sign, name = one.partition("=")
        if not sign or not name or role in parts:
            raise NetworkError(f"--part is {one!r}; expected ROLE=NAME, such as bias=rnn.bias, and each role once")
        parts[role] = name
    return parts
