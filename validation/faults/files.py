"""Damaged files of every format that is read, and files that claim gigabytes.

*Survived*: refused in one sentence of at most 500 characters, or read as the format's own library reads it. *Lost*: a
traceback, a crash, more than 2 GB, or a longer message. *Silent*: read in another way than the library reads it.
*Hung*:
more than 30 s of the CPU, or four minutes.
"""

import io
import json
import multiprocessing
import random
import resource
import signal
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from dynatlas import read_network
from dynatlas._io.hdf5 import read_hdf5
from dynatlas._io.untrusted import read_arrays
from dynatlas.errors import DynatlasError
from dynatlas.recordings.reading import read_here, read_recording
from faults.counts import Counts

CPU_SECONDS, SECONDS, GIGABYTES = 30, 240, 2.0
LONGEST_MESSAGE = 500


def files(work: Path, number: int, seed: int) -> list[Counts]:
    """Damage a valid file of each format ``number`` times, then try files that claim gigabytes.

    Args:
        work: a folder for the files.
        number: damaged files of each format.
        seed: seed of the damage.

    Returns:
        Counts of each format, and of the claims.
    """
    warnings.simplefilter("ignore")
    work.mkdir(parents=True, exist_ok=True)
    write_seeds(work)
    damaged = [_format(work, name, number, random.Random(f"{name} {seed}")) for name in READERS]  # noqa: S311
    return [*damaged, claims(work)]


def write_seeds(folder: Path) -> None:
    """Write a small valid file of each format."""
    from safetensors.numpy import save_file
    from scipy.io import netcdf_file, savemat

    normal = np.random.default_rng(0).normal
    np.savez(folder / "weights.npz", W_rec=normal(size=(4, 4)), W_in=normal(size=(4, 2)), W_out=normal(size=(1, 4)))
    np.savez_compressed(folder / "deflated.npz", W_rec=normal(size=(4, 4)), W_in=normal(size=(4, 2)))
    layer = {"rnn.weight_hh_l0": (9, 3), "rnn.weight_ih_l0": (9, 2), "fc.weight": (1, 3)}
    save_file({name: normal(size=shape).astype("f4") for name, shape in layer.items()}, folder / "weights.safetensors")
    with h5py.File(folder / "weights.h5", "w") as file:
        _gru(file, normal)
        settings = {"name": "gru", "activation": "tanh", "reset_after": True}
        model = {"class_name": "Sequential", "config": {"layers": [{"class_name": "GRU", "config": settings}]}}
        file.attrs["model_config"] = json.dumps(model)
    inner = io.BytesIO()
    with h5py.File(inner, "w") as file:
        _gru(file, normal)
    with zipfile.ZipFile(folder / "weights.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("model.weights.h5", inner.getvalue())
    np.save(folder / "recording.npy", normal(size=(8, 5)))
    with h5py.File(folder / "spikes.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.0"
        spikes = np.sort(np.random.default_rng(1).uniform(0, 4, (3, 60)), axis=1)
        file["units/spike_times"], file["units/spike_times_index"] = spikes.ravel(), [60, 120, 180]
        file["units/obs_intervals"], file["units/obs_intervals_index"] = [[0.0, 4.0]] * 3, [1, 2, 3]
        file["intervals/trials/start_time"], file["intervals/trials/stop_time"] = np.arange(4.0), np.arange(4.0) + 0.9
    with h5py.File(folder / "series.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.0"
        file["acquisition/x/data"], file["acquisition/x/timestamps"] = normal(size=(50, 4)), np.arange(50.0) / 10
        file["intervals/trials/start_time"], file["intervals/trials/stop_time"] = np.arange(4.0), np.arange(4.0) + 1
    with h5py.File(folder / "recording.h5", "w", libver="latest") as file:
        options: dict[str, Any] = {"chunks": (16, 4), "compression": "gzip", "shuffle": True, "fletcher32": True}
        file.create_dataset("activity", data=normal(size=(64, 8)), **options)
    with netcdf_file(folder / "recording.nc", "w") as content:
        content.createDimension("time", None)
        content.createDimension("unit", 4)
        content.createVariable("x", "f8", ("time", "unit"))[:] = normal(size=(30, 4))
    savemat(folder / "recording.mat", {"x": normal(size=(30, 4)), "trial": np.arange(30.0)})
    with h5py.File(folder / "recording_73.mat", "w", userblock_size=512) as file:
        file["x"] = normal(size=(4, 30))
    with (folder / "recording_73.mat").open("r+b") as header:
        header.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")
    table = pd.DataFrame(normal(size=(30, 4)), columns=[f"unit_{unit}" for unit in range(4)])
    table = table.assign(trial=np.repeat(np.arange(3), 10), time=np.tile(np.arange(10), 3))
    table.to_parquet(folder / "recording.parquet", index=False)
    table.to_csv(folder / "recording.csv", index=False)


def _gru(file: h5py.File, normal: Callable[..., Any]) -> None:
    for number, shape in enumerate([(2, 9), (3, 9), (2, 9)]):
        file[f"layers/gru/cell/vars/{number}"] = normal(size=shape).astype("f4")


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Flip, overwrite, delete or insert bytes, mostly once and often near the beginning."""
    out = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        near = min(int(rng.expovariate(1 / 300)), len(out) - 1)
        place = rng.randrange(len(out)) if rng.random() < 0.5 else near
        kind = rng.random()
        if kind < 0.4:
            out[place] ^= 1 << rng.randrange(8)
        elif kind < 0.6:
            out[place] = rng.choice([0, 255, 127, 128, 1, rng.randrange(256)])
        elif kind < 0.75:
            out[place : place + 4] = rng.choice([b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f", b"\1\0\0\0"])
        elif kind < 0.85:
            out[place : place + 8] = rng.choice([b"\xff" * 8, bytes(8), b"\xff" * 7 + b"\x7f", b"\0\0\0\0\1\0\0\0"])
        elif kind < 0.9:
            del out[place : place + rng.choice([1, 8, 100])]
        elif kind < 0.95:
            del out[place:]
        else:
            out[place:place] = rng.randbytes(rng.choice([1, 8, 64]))
        out = out or bytearray(b"x")
    return bytes(out)


def _network(path: Path) -> None:
    read_network(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix == ".npz":
            with np.load(path) as stored:
                _same(read_arrays(path)[1], {name: stored[name] for name in stored.files})
        elif path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            _same(read_arrays(path)[1], load_file(path))
        elif path.suffix == ".h5":
            with h5py.File(path) as file:
                _same(read_hdf5(path).arrays, {name: file[name][()] for name in read_hdf5(path).arrays})


def _recording(path: Path) -> None:
    values, facts = read_here(path, bin_width=0.1 if path.stem.startswith("spikes") else None)
    if path.suffix == ".npy":
        _same({"": values}, {"": np.load(path)})
    elif path.suffix == ".parquet":
        _in_table(values, pq.read_table(path).replace_schema_metadata(None).to_pandas())
    elif path.suffix == ".csv":
        _in_table(values, pd.read_csv(path, index_col=False))
    elif path.suffix == ".nc":
        from scipy.io import netcdf_file

        with netcdf_file(path, mmap=False) as content:
            _same({"": values}, {"": np.array(content.variables[facts[0].removeprefix("variable ")].data)})
    elif path.suffix == ".mat" and "_73" not in path.stem:
        _same_samples(values, _of_matlab(path)[facts[0].removeprefix("variable ")])
    elif path.suffix in (".h5", ".mat"):
        with h5py.File(path) as file:
            theirs = file[facts[0].removeprefix("variable ")][()]
            _same({"": values}, {"": theirs.T if path.suffix == ".mat" else theirs})


def _of_matlab(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    return dict(loadmat(path))


def _same_samples(values: np.ndarray, theirs: np.ndarray) -> None:
    """Check that samples are the same whatever their order, which labels may change."""
    ours = values.reshape(-1, values.shape[-1])
    order, other = (np.lexsort(each.T) for each in (ours, theirs))
    _same({"": ours[order]}, {"": theirs[other]})


def _same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    same = ours.keys() == theirs.keys() and all(
        ours[name].shape == theirs[name].shape and np.array_equal(ours[name], theirs[name], equal_nan=True)
        for name in ours
    )
    if not same:
        raise ArithmeticError(f"read {_shapes(ours)}, the library reads {_shapes(theirs)}")


def _in_table(values: np.ndarray, table: pd.DataFrame) -> None:
    """Check that every unit is a column of the table, whatever the order of its rows, and no label."""
    units = np.sort(values.reshape(-1, values.shape[-1]), axis=0).T
    numeric = table.select_dtypes("number").drop(columns=["trial", "time"], errors="ignore")
    columns = np.sort(numeric.to_numpy(np.float64), axis=0).T
    found = len(columns) and all(
        (np.isclose(unit, columns, rtol=1e-12, equal_nan=True)).all(axis=1).any() for unit in units
    )
    if not found or units.shape[1] != len(table):
        raise ArithmeticError(f"read {values.shape}, the library reads {table.shape}")


def _shapes(arrays: dict[str, Any]) -> str:
    return ", ".join(f"{name} {arrays[name].shape}" for name in arrays)


READERS: dict[str, Callable[[Path], None]] = {
    "weights.npz": _network,
    "deflated.npz": _network,
    "weights.safetensors": _network,
    "weights.h5": _network,
    "weights.keras": _network,
    "recording.npy": _recording,
    "recording.csv": _recording,
    "recording.parquet": _recording,
    "recording.nc": _recording,
    "recording.h5": _recording,
    "recording.mat": _recording,
    "recording_73.mat": _recording,
    "series.nwb": _recording,
    "spikes.nwb": _recording,
}


def outcome_of(reader: Callable[[Path], object], path: Path) -> tuple[str, str]:
    """Return what became of reading a file, and an example."""
    base, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        reader(path)
        outcome, said = "survived", ""
    except DynatlasError as error:
        short = len(str(error)) <= LONGEST_MESSAGE and "\n" not in str(error)
        outcome, said = ("survived", str(error)) if short else ("lost", f"message of {len(str(error))}: {error}")
    except ArithmeticError as error:
        outcome, said = "silent", str(error)
    except BaseException as error:
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "/dynatlas/" in frame.filename]
        inside = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "the library alone"
        # We read what the format's own library refuses: its reason decides, and is listed.
        outcome, said = ("lost" if ours else "silent"), f"{type(error).__name__} in {inside}: {error}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1e6
    helpers = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = time.process_time() - started + helpers.ru_utime + helpers.ru_stime
    if grown > GIGABYTES or helpers.ru_maxrss / 1e6 > GIGABYTES:
        return "lost", f"{max(grown, helpers.ru_maxrss / 1e6):.1f} GB: {said}"
    return ("hung", f"{seconds:.0f} s: {said}") if seconds > CPU_SECONDS else (outcome, said)


def _serve(connection: Connection, reader: Callable[[Path], object]) -> None:
    while (path := connection.recv()) is not None:
        signal.alarm(SECONDS)
        result = outcome_of(reader, path)
        signal.alarm(0)
        connection.send(result)


class Child:
    """A process that reads files, replaced when one of them ends it."""

    def __init__(self, reader: Callable[[Path], object]) -> None:
        self.ours, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=_serve, args=(theirs, reader))
        self.process.start()
        theirs.close()

    def read(self, path: Path) -> tuple[str, str] | None:
        """Return what became of a file; None if it ended the process."""
        self.ours.send(path)
        try:
            answer: tuple[str, str] = self.ours.recv()
        except EOFError:
            self.process.join()
            return None
        return answer

    def end(self) -> None:
        """Let the process end."""
        self.ours.send(None)
        self.process.join()


def _format(work: Path, name: str, number: int, rng: random.Random) -> Counts:
    content, reader = (work / name).read_bytes(), READERS[name]
    counts = Counts(f"damaged {name}")
    path, started = work / f"{Path(name).stem}-damaged{Path(name).suffix}", time.monotonic()
    if reader(work / name) is not None:
        raise RuntimeError(f"{name} cannot be read")
    child = Child(reader)
    for _ in range(number):
        path.write_bytes(damaged(content, rng))
        result = child.read(path)
        if result is None:
            signalled = child.process.exitcode
            child = Child(reader)
            result = ("hung" if signalled == -signal.SIGALRM else "lost", f"ended by {signalled}")
            if reader is _recording and name.endswith(("parquet", "h5", "nwb", "mat")):
                # Users read these in a process of its own, which may crash: what matters is what they are told.
                contained = Child(read_recording)
                result = contained.read(path) or result
                contained.end()
        counts.add(*result)
    child.end()
    counts.seconds = round(time.monotonic() - started, 1)
    return counts


def claims(work: Path) -> Counts:
    """Try small or sparse files that claim gigabytes, each in a process of its own."""
    counts = Counts("files that claim gigabytes")
    started = time.monotonic()
    for name, write in CLAIMS.items():
        path = work / name
        write(path)
        child = Child(read_network if path.suffix in (".safetensors", ".npz") else read_recording)
        outcome, said = child.read(path) or ("lost", f"ended by {child.process.exitcode}")
        if child.process.exitcode is None:
            child.end()
        if outcome == "survived" and not said and not name.startswith("wide"):  # wide, not large
            outcome, said = "silent", "read"
        counts.add(outcome, f"{name}: {said}")
        path.unlink()
    counts.seconds = round(time.monotonic() - started, 1)
    return counts


def _sparse_safetensors(path: Path) -> None:
    size = 30_000
    entry = {"dtype": "BF16", "shape": [size, size], "data_offsets": [0, 2 * size**2]}
    header = json.dumps({"weight_hh": entry}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2 * size**2)


def _sparse_npy(path: Path) -> None:
    np.lib.format.open_memmap(path, "w+", "i1", (40_000, 40_000)).flush()


def _zeros_npz(path: Path) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("W_rec.npy", "w", force_zip64=True) as member,
    ):
        np.lib.format.write_array_header_1_0(
            member, {"descr": "|i1", "fortran_order": False, "shape": (30_000, 30_000)}
        )
        for _ in range(900):
            member.write(bytes(1_000_000))


def _filled_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (40_000, 40_000), "i1", chunks=(1000, 1000))


def _huge_chunk(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10, 10), "f8", chunks=(20_000, 20_000), maxshape=(None, None))


def _nested_groups(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("g")
        for _ in range(30):
            inner = group.create_group("a")
            group["b"] = inner
            group = inner


def _overlapping_netcdf(path: Path) -> None:
    count, length = 200, 6 * 2**20

    def text(name: bytes) -> bytes:
        return len(name).to_bytes(4, "big") + name + bytes(-len(name) % 4)

    def numbers(*values: int) -> bytes:
        return b"".join(value.to_bytes(4, "big") for value in values)

    head = b"CDF\x02" + numbers(0, 10, 1) + text(b"x") + numbers(length, 0, 0, 11, count)
    for place in range(count):
        head += text(b"v%d" % place) + numbers(1, 0, 0, 0, 6, 8 * length) + (65536).to_bytes(8, "big")
    with path.open("wb") as file:
        file.write(head)
        file.truncate(65536 + 8 * length)


def _wide_parquet(path: Path) -> None:
    pd.DataFrame(np.zeros((2, 40_000)), columns=[f"u{column}" for column in range(40_000)]).to_parquet(path)


def _long_parquet(path: Path) -> None:
    import pyarrow as pa

    schema = pa.schema([(f"u{column}", pa.float64()) for column in range(14)])
    zeros = pa.table([pa.array(np.zeros(1_000_000))] * 14, schema=schema)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for _ in range(20):
            writer.write_table(zeros)


def _many_units_nwb(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.0"
        file["units/spike_times"] = [1.0]
        file.create_dataset("units/spike_times_index", (5_000_000,), "i8", fillvalue=1)


def _endless_netcdf(path: Path) -> None:
    numbers = (0, 0, 0, 12, 2**31 - 1)  # the last is the number of attributes
    path.write_bytes(b"CDF\x01" + b"".join(number.to_bytes(4, "big") for number in numbers) + bytes(10**8))


def _wide_csv(path: Path) -> None:
    path.write_text(",".join(f"u{column}" for column in range(100_000)) + "\n" + "1," * 99_999 + "1\n")


def _text(content: bytes, repeated: bytes, times: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content + repeated * times)


CLAIMS: dict[str, Callable[[Path], object]] = {
    "bf16.safetensors": _sparse_safetensors,
    "int8.npy": _sparse_npy,
    "int8.npz": _zeros_npz,
    "fill.h5": _filled_hdf5,
    "chunk.h5": _huge_chunk,
    "groups.h5": _nested_groups,
    "overlap.nc": _overlapping_netcdf,
    "attributes.nc": _endless_netcdf,
    "units.nwb": _many_units_nwb,
    "wide.parquet": _wide_parquet,
    "long.parquet": _long_parquet,
    "line.csv": _text(b"", b"a", 300_000_000),
    "quote.csv": _text(b'a,b\n1,"', b"x\n", 100_000_000),
    "rows.csv": _text(b"a,b\n", b"1,2\n", 50_000_000),
    "wide.csv": _wide_csv,
}
