"""The commands for single networks: ``analyze``, ``convert``, ``export``."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from dynatlas.cli.sources import FileOptions, read_one_array, read_trials
from dynatlas.errors import NetworkError


def analyze(
    network: Annotated[Path, Parameter(help="A file of weights: .safetensors, .npz, .mat, .json, .keras or .h5.")],
    /,
    *,
    inputs: Path | None = None,
    trials: Path | None = None,
    activity: Path | None = None,
    check: Path | None = None,
    out: Path | None = None,
    seed: int = 0,
    max_starts: int | None = None,
    max_seconds: float = 120.0,
    max_regions: int | None = None,
    recorded: FileOptions | None = None,
) -> None:
    """Analyse a network trained with another library: fixed points, stability and attractors, as tables and a page.

    Args:
        network: A file of weights.
        inputs: A .npy or .npz file: static inputs [conditions, inputs], or trials [trials, steps, inputs] whose states
            the searches start from, or both as `conditions` and `trials`. By default no input, and random trials.
        trials: A .npy or .npz file: trials [trials, steps, inputs], or one trial [steps, inputs].
        activity: A .npy or .npz file of states that the searches start from, [trials, steps, states] or [samples,
            states].
        check: A .npz file with recorded `inputs` and `states` (or `hidden`, or `outputs`) of the original.
        out: The folder of the result; by default NETWORK-analysis.
        seed: Seed of the random starts.
        max_starts: Budget of starts of each search; by default 16384.
        max_seconds: Budget of processor time of each search, in seconds. A search that it cuts is never "complete".
        max_regions: Budget of groups of linear regions of a relu network, to prove that no fixed point is missing; by
            default 1024 with up to 16 units, and otherwise none. 32 units took about 10000, and 25 seconds.
        recorded: Options for the file.
    """
    import jax

    from dynatlas._io.sizes import at_most
    from dynatlas._io.targets import check_folder
    from dynatlas._io.untrusted import read_arrays
    from dynatlas.networks.analysis import analyze as analyze_network
    from dynatlas.networks.analysis.page import results_of, write_folder
    from dynatlas.networks.checking import check as check_steps

    recorded = recorded or FileOptions()
    with at_most(recorded.max_gb):
        read = recorded.read(network)
        given = _inputs(inputs) | ({} if trials is None else {"trials": read_trials(trials)})
        states = None if activity is None else read_one_array(activity)
    print(f"{network}:")
    for sentence in read.source:
        print(f"  {sentence}")
    verified = "not verified against the original: record inputs and states, and pass them with --check"
    if check is not None:
        verified = str(check_steps(read, read_arrays(check)[1]))
    print(f"  {verified}")
    folder = out if out is not None else network.with_name(f"{network.stem}-analysis")
    check_folder(folder, results_of(network.name), replaces_any=out is not None)  # before minutes of work
    try:
        found = analyze_network(
            read,
            **given,
            activity=states,
            max_starts=max_starts,
            max_seconds=max_seconds,
            max_regions=max_regions,
            key=jax.random.key(seed),
        )
    except ValueError as error:
        raise NetworkError(f"{error}") from error
    print(f"starts: {found.visited.said}")
    print(found)
    for warning in found.warnings:
        print(f"note: {warning}")
    page = write_folder(found, folder, network.name, verified, replaces_any=out is not None)
    print(f"page: {page.resolve()}")


def convert(
    source: Path,
    target: Path,
    /,
    *,
    ignore: list[str] | None = None,
    max_gb: float | None = None,
    force: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write the tensors of a PyTorch checkpoint (.pt, .pth) as a safetensors file; needs PyTorch 2.6 or newer.

    Args:
        source: The checkpoint. PyTorch opens it with weights_only=True, which does not run code from the file.
        target: The .safetensors file to write.
        ignore: The name of a tensor to leave out, with * for any characters; may be repeated.
        max_gb: Most memory that the tensors may take, in units of 1e9 bytes; by default 0.5.
        force: Replace the file if it exists.
    """
    from dynatlas._io.sizes import at_most
    from dynatlas.networks.conversion import convert as convert_file

    with at_most(max_gb):
        names = convert_file(source, target, ignore or (), force=force)
    print(f"wrote {target}: {len(names)} tensors\nnow: dynatlas analyze {target}")


def export(
    atlas: Annotated[Path, Parameter(help="The atlas folder.")],
    what: str,
    target: Path,
    /,
    *,
    plugin: list[Path] | None = None,
    force: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Write a network, a table or an array of an atlas in a format that other programs read.

    Args:
        atlas: The atlas folder.
        what: A network, by its id or name; a table, such as fixed_points; or arrays, such as distances/flip_flop/cka.
        target: For a network .npz, or .safetensors if PyTorch has a layer of its form; for a table .csv or .parquet;
            for arrays .nc (NetCDF 3; complex numbers as real and imaginary parts).
        plugin: A Python file with user-defined tasks, cells or measures of the atlas; may be repeated. Its code is run:
            name only files that you trust.
        force: Replace the file if it exists.
    """
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.atlas.export import write_arrays, write_table
    from dynatlas.networks.exporting import export_network
    from dynatlas.study.plugins import load_plugins

    load_plugins(plugin or ())
    opened = Atlas.open(atlas)
    if target.suffix in (".csv", ".parquet"):
        rows = write_table(opened.table(what), target, force=force)
        print(f"wrote {target}: {rows} rows of the table {what}")
    elif target.suffix == ".nc":
        names = write_arrays(opened.arrays(what), target, force=force)
        print(f"wrote {target}: {', '.join(names)}")
    elif target.suffix in (".npz", ".safetensors"):
        difference = export_network(opened.network(what), target, force=force)
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
    if values.ndim == 2:
        print(
            f"{path} {list(values.shape)} is read as {values.shape[0]} static inputs of {values.shape[1]}; if it is "
            f"one trial of {values.shape[0]} steps, pass it with --trials"
        )
    return {"trials" if values.ndim == 3 else "conditions": values}
