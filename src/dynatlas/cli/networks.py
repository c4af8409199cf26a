"""The commands for single networks: ``analyze``, ``convert``, ``export``."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from dynatlas.errors import NetworkError

NOT_RECORDED = Group("If the file does not record it")


def analyze(
    network: Annotated[Path, Parameter(help="A file of weights: .safetensors, .npz, or Keras' .keras or .h5.")],
    /,
    *,
    inputs: Path | None = None,
    activity: Path | None = None,
    check: Path | None = None,
    out: Path | None = None,
    seed: int = 0,
    max_starts: int | None = None,
    max_seconds: float = 120.0,
    layer: Annotated[str | None, Parameter(group=NOT_RECORDED)] = None,
    readout: Annotated[str | None, Parameter(group=NOT_RECORDED)] = None,
    activation: Annotated[str | None, Parameter(group=NOT_RECORDED)] = None,
    reset: Annotated[Literal["after", "before"] | None, Parameter(group=NOT_RECORDED)] = None,
    alpha: Annotated[float | None, Parameter(group=NOT_RECORDED)] = None,
    form: Annotated[Literal["rate", "current"] | None, Parameter(group=NOT_RECORDED)] = None,
) -> None:
    """Analyse a network trained with another library: fixed points, stability and attractors, as tables and a page.

    Args:
        network: A file of weights.
        inputs: A .npy or .npz file: static inputs [conditions, inputs], or trials [trials, steps, inputs] whose states
            the searches start from, or both as `conditions` and `trials`. By default no input, and random trials.
        activity: A .npy or .npz file of states that the searches start from, [trials, steps, states] or [samples,
            states].
        check: A .npz file with recorded `inputs` and `states` (or `hidden`, or `outputs`) of the original.
        out: The folder of the result; by default NETWORK-analysis.
        seed: Seed of the random starts.
        max_starts: Budget of starts of each search; by default 16384.
        max_seconds: Budget of processor time of each search, in seconds. A search that it cuts is never "complete".
        layer: The recurrent layer to read, if there are several that are not stacked.
        readout: The linear layer used as readout, if several fit; "" for none.
        activation: The activation; by default tanh.
        reset: Where the reset gate of a GRU acts, relative to the recurrent product.
        alpha: dt/tau of a leaky network.
        form: Whether the state of a leaky network is rates or currents.
    """
    import jax

    from dynatlas._io.untrusted import read_arrays
    from dynatlas.networks.analysis import analyze as analyze_network
    from dynatlas.networks.analysis.page import write_folder
    from dynatlas.networks.checking import check as check_steps
    from dynatlas.networks.reading import read_network

    read = read_network(
        network, layer=layer, readout=readout, activation=activation, reset=reset, alpha=alpha, form=form
    )
    print(f"{network}:")
    for sentence in read.source:
        print(f"  {sentence}")
    verified = "not verified against the original: record inputs and states, and pass them with --check"
    if check is not None:
        verified = str(check_steps(read, read_arrays(check)[1]))
    print(f"  {verified}")
    given = _inputs(inputs)
    states = None if activity is None else _one_array(activity)
    try:
        found = analyze_network(
            read, **given, activity=states, max_starts=max_starts, max_seconds=max_seconds, key=jax.random.key(seed)
        )
    except ValueError as error:
        raise NetworkError(f"{error}") from error
    print(f"starts: {found.visited.said}")
    print(found)
    for warning in found.warnings:
        print(f"note: {warning}")
    folder = out if out is not None else network.with_name(f"{network.name.split('.')[0]}-analysis")
    page = write_folder(found, folder, network.name, verified)
    print(f"page: {page.resolve()}")


def convert(source: Path, target: Path, /) -> None:
    """Write the tensors of a PyTorch checkpoint (.pt, .pth) as a safetensors file; needs PyTorch 2.6 or newer.

    Args:
        source: The checkpoint. PyTorch opens it with weights_only=True, which does not run code from the file.
        target: The .safetensors file to write.
    """
    from dynatlas.networks.pytorch import convert as convert_file

    names = convert_file(source, target)
    print(f"wrote {target}: {len(names)} tensors\nnow: dynatlas analyze {target}")


def export(
    atlas: Annotated[Path, Parameter(help="The atlas folder.")],
    what: str,
    target: Path,
    /,
    *,
    plugin: list[Path] | None = None,
) -> None:
    """Write a network, a table or an array of an atlas in a format that other programs read.

    Args:
        atlas: The atlas folder.
        what: A network, by its id or name; a table, such as fixed_points; or arrays, such as distances/flip_flop/cka.
        target: For a network .npz, or .safetensors if PyTorch has a layer of its form; for a table .csv or .parquet;
            for arrays .nc (NetCDF 3; complex numbers as real and imaginary parts).
        plugin: A Python file with user-defined tasks, cells or measures of the atlas; may be repeated. Its code is run:
            name only files that you trust.
    """
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.atlas.export import write_arrays, write_table
    from dynatlas.networks.exporting import export_network
    from dynatlas.study.plugins import load_plugins

    load_plugins(plugin or ())
    opened = Atlas.open(atlas)
    if target.suffix in (".csv", ".parquet"):
        rows = write_table(opened.table(what), target)
        print(f"wrote {target}: {rows} rows of the table {what}")
    elif target.suffix == ".nc":
        names = write_arrays(opened.arrays(what), target)
        print(f"wrote {target}: {', '.join(names)}")
    elif target.suffix in (".npz", ".safetensors"):
        difference = export_network(opened.network(what), target)
        print(f"wrote {target}: read back, one step differs by at most {difference:.1e} on 100 random states")
    else:
        raise NetworkError(
            f"{target.name} ends in {target.suffix!r}; expected .npz or .safetensors for a network, .csv or .parquet "
            "for a table, .nc for arrays"
        )


def _inputs(path: Path | None) -> dict[str, Any]:
    """Read static inputs and trials, distinguished by name or by the number of axes."""
    from dynatlas._io.untrusted import read_arrays

    if path is None:
        return {}
    _, arrays = read_arrays(path)
    named = {name: arrays[name] for name in arrays if name in ("conditions", "trials")}
    if named:
        return named
    if len(arrays) != 1:
        raise NetworkError(f"{path} holds {', '.join(arrays)}; expected one array, or `conditions` and `trials`")
    (values,) = arrays.values()
    return {"trials" if values.ndim == 3 else "conditions": values}


def _one_array(path: Path) -> Any:
    """Read the array in a file that is called ``activity`` or ``states``, or is the only one."""
    from dynatlas._io.untrusted import read_arrays

    _, arrays = read_arrays(path)
    for name in ("activity", "states"):
        if name in arrays:
            return arrays[name]
    if len(arrays) != 1:
        raise NetworkError(f"{path} holds {', '.join(arrays) or 'no array'}; expected one array, or `activity`")
    return next(iter(arrays.values()))
