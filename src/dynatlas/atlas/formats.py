"""File formats of an atlas: blocks of networks, tables, arrays, checked against the schema on writing.

Equal content yields equal bytes, so two atlases of one study can be compared by their hashes.
"""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr
import zarr
from safetensors import SafetensorError, safe_open
from zarr.codecs import Crc32cCodec, ZstdCodec

from dynatlas._io.tensors import save_tensors
from dynatlas.atlas import schema
from dynatlas.study.factors import Factor
from dynatlas.study.members import Block, Member

BLOCK_FORMAT: Final = 1
METADATA: Final = "dynatlas"
# Marker that makes a folder of arrays.zarr a group for zarr and xarray.
GROUP: Final = b'{"zarr_format": 3, "node_type": "group", "attributes": {}}\n'

ARROW_TYPES: Final[dict[str, pa.DataType]] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "list<float64>": pa.list_(pa.float64()),
}


def write_block(path: Path, block: Block, members: Iterable[Member], arrays: Mapping[str, np.ndarray]) -> None:
    """Write the networks of a block: arrays whose first axis is over the members.

    Raises:
        ValueError: an array has another first axis, or a type that safetensors lacks.
    """
    ids = [member.id for member in members]
    for key, array in arrays.items():
        if array.ndim == 0 or len(array) != len(ids):
            raise ValueError(f"{key!r} has shape {array.shape}; its first axis is over {len(ids)} members")
    named = {key: value for key, value in block._asdict().items() if key != "levels" or value}
    # A second key would be written in an order that differs between processes.
    metadata = {METADATA: json.dumps({"format": BLOCK_FORMAT, "block": named, "members": ids}, sort_keys=True)}
    try:
        save_tensors(arrays, path, metadata)
    except SafetensorError as error:
        types = {key: str(array.dtype) for key, array in arrays.items()}
        raise ValueError(f"the arrays of {block.name} cannot be stored: {error} (they are {types})") from error


def read_block(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the ids of a block's members, and its arrays."""
    with safe_open(path, framework="numpy") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        return json.loads(file.metadata()[METADATA])["members"], arrays


def write_reduced(path: Path, reduced: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write the reduced networks of a measure: network → name → array."""
    arrays = {f"{network}/{name}": array for network, kept in reduced.items() for name, array in kept.items()}
    save_tensors(arrays, path, {METADATA: json.dumps({"networks": list(reduced)})})


def read_reduced(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Read the reduced networks of a measure, in the order of writing."""
    with safe_open(path, framework="numpy") as file:
        reduced: dict[str, dict[str, np.ndarray]] = {
            network: {} for network in json.loads(file.metadata()[METADATA])["networks"]
        }
        for key in file.keys():  # noqa: SIM118 - not a mapping
            network, name = key.split("/", 1)
            reduced[network][name] = file.get_tensor(key)
    return reduced


def write_table(path: Path, name: str, frame: pd.DataFrame, factors: Sequence[Factor] = ()) -> None:
    """Write a table, its columns in the schema's order; the index is not stored.

    ``factors`` are the further factors of the study, which have columns in some tables.

    Raises:
        ValueError: no such table; a missing, extra or repeated column; one of the wrong type or with gaps.
    """
    _declared(name, schema.TABLES, "table")
    declared = schema.columns(name, factors)
    _same_names(f"the table {name!r}", "column", frame.columns, declared)
    fields = [pa.field(column, ARROW_TYPES[each.type], nullable=False) for column, each in declared.items()]
    columns = [_column(name, frame[field.name], field.type) for field in fields]
    pq.write_table(pa.Table.from_arrays(columns, schema=pa.schema(fields)), path, compression="zstd")


def empty_table(name: str, factors: Sequence[Factor] = ()) -> pd.DataFrame:
    """Return a table without rows."""
    return pd.DataFrame(columns=list(schema.columns(name, factors)))


def read_table(path: Path, name: str) -> pd.DataFrame:
    """Read a table, with the columns that later versions have added."""
    # Not pq.read_table, which adds a column for each parent folder named "key=value".
    with pq.ParquetFile(path) as file:
        frame = file.read().to_pandas()
    for place, (column, declared) in enumerate(schema.TABLES[name].items()):
        if column not in frame and declared.before is not None:
            frame.insert(min(place, frame.shape[1]), column, declared.before)
    return frame


def array_template(group: str) -> str:
    """Return the schema's name of a group: "distances/flip_flop/cka" → "distances/‹task›/‹measure›".

    Raises:
        ValueError: the schema has none.
    """
    parts = group.split("/")
    for template in schema.ARRAYS:
        pattern = template.split("/")
        if len(pattern) == len(parts) and all(
            want == part or (want.startswith("‹") and part) for want, part in zip(pattern, parts, strict=True)
        ):
            return template
    raise ValueError(f"no arrays {group!r} in the schema; expected one of {', '.join(schema.ARRAYS)}")


def write_arrays(path: Path, group: str, dataset: xr.Dataset) -> None:
    """Write a group of labelled arrays as a zarr 3 group, with a checksum on every chunk.

    Raises:
        ValueError: no such group; a missing or extra variable; other dimensions than the schema's; objects.
    """
    declared = schema.ARRAYS[array_template(group)]
    labels = {name for name in dataset.coords if name in dataset.dims} - set(declared)
    _same_names(f"the group {group!r}", "variable", [n for n in dataset.variables if n not in labels], declared)
    for name, dims in declared.items():
        if dataset[name].dims != dims:
            raise ValueError(f"{name!r} of the group {group!r} is over {dataset[name].dims}; expected {dims}")
    # Not Dataset.to_zarr: it stores string labels with a type that zarr 3 does not specify, and empty ones as float64.
    store = zarr.create_group(path, zarr_format=3, attributes=dataset.attrs)
    for label, variable in dataset.variables.items():
        name = str(label)
        store.create_array(
            name,
            data=_storable(f"{name!r} of the group {group!r}", variable.values),
            dimension_names=[str(dim) for dim in variable.dims],
            attributes=variable.attrs,
            compressors=(ZstdCodec(), Crc32cCodec()),
        )
    auxiliary = sorted(str(name) for name in dataset.coords if name not in dataset.dims)
    if auxiliary:
        store.attrs["coordinates"] = " ".join(auxiliary)


def read_arrays(path: Path, group: str) -> xr.Dataset:
    """Read a group of labelled arrays into memory."""
    dataset = xr.load_dataset(path, engine="zarr", consolidated=False, decode_times=False)
    text = {
        name: (variable.dims, variable.values.astype(object).astype(str), variable.attrs)
        for name, variable in dataset.variables.items()
        if variable.dtype.kind in "OT"
    }
    declared = schema.ARRAYS[array_template(group)]
    return dataset.assign(text)[[name for name in declared if name in dataset.data_vars]]


def _storable(what: str, values: np.ndarray) -> np.ndarray:
    """Return the values; strings with the only string type that zarr 3 specifies."""
    if values.dtype.kind not in "OUT":
        return values
    try:
        return values.astype(np.dtypes.StringDType(coerce=False))
    except ValueError as error:
        raise ValueError(f"{what} holds objects that are not strings: {error}") from None


def _column(table: str, column: pd.Series, wanted: pa.DataType) -> pa.Array:
    """Convert a column to Arrow. Only widening is allowed (int32, float32)."""
    what = f"column {column.name!r} of the table {table!r}"
    try:
        seen = pa.array(column, from_pandas=False) if len(column) else pa.array([], wanted)
        if isinstance(seen, pa.ChunkedArray):
            seen = seen.combine_chunks()
        if not _widens(seen.type, wanted):
            raise ValueError(f"{what} is {seen.type}; expected {wanted}")
        if seen.null_count:
            raise ValueError(f"{what} has {seen.null_count} missing values; expected none (NaN may stand for a number)")
        return seen.cast(wanted)
    except pa.ArrowException as error:
        raise ValueError(f"{what} is not {wanted}: {error}") from error


def _widens(seen: pa.DataType, wanted: pa.DataType) -> bool:
    types = pa.types
    if types.is_list(wanted):
        return types.is_list(seen) and (types.is_null(seen.value_type) or _widens(seen.value_type, wanted.value_type))
    same: tuple[Any, ...] = (
        (types.is_string, types.is_large_string),
        (types.is_integer,),
        (types.is_floating,),
        (types.is_boolean,),
    )
    return any(any(is_kind(seen) for is_kind in kind) and kind[0](wanted) for kind in same)


def _declared(name: str, declarations: Mapping[str, Any], what: str) -> Any:
    if name not in declarations:
        near = difflib.get_close_matches(name, declarations, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(declarations)}"
        raise ValueError(f"no {what} {name!r} in the schema; {hint}")
    return declarations[name]


def _same_names(where: str, what: str, seen: Iterable[Any], declared: Iterable[str]) -> None:
    names = [str(name) for name in seen]
    wrong = {
        "lacks the": sorted(set(declared) - set(names)),
        "has the undeclared": sorted(set(names) - set(declared)),
        "has twice the": sorted({name for name in names if names.count(name) > 1}),
    }
    for fault, culprits in wrong.items():
        if culprits:
            raise ValueError(f"{where} {fault} {what} {', '.join(map(repr, culprits))}")
