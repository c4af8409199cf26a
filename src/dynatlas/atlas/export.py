"""Export of tables and labelled arrays: CSV, Parquet, NetCDF."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from dynatlas._io.targets import write_file
from dynatlas.errors import AtlasError


def write_table(table: pd.DataFrame, target: Path, *, force: bool = False) -> int:
    """Write a table as CSV or Parquet and return its number of rows. Lists become JSON in CSV.

    Raises:
        AtlasError: the file exists and differs (``force`` replaces it), or cannot be written.
    """

    def write(temporary: Path) -> None:
        if target.suffix == ".csv":
            table.map(_as_text).to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)

    write_file(target, write, force=force, error=AtlasError)
    return len(table)


def write_arrays(arrays: xr.Dataset, target: Path, *, force: bool = False) -> list[str]:
    """Write labelled arrays as NetCDF 3, which SciPy writes, and return their names.

    NetCDF 3 has neither complex numbers (x becomes x_real and x_imag) nor 64-bit integers (they must fit into 32 bits).

    Raises:
        AtlasError: the file exists and differs (``force`` replaces it), or cannot be written.

    Example:
        >>> dataset = xr.Dataset({"eigenvalues": ("mode", np.array([1 + 2j]))})
        >>> list(_without_complex(dataset))
        ['eigenvalues_real', 'eigenvalues_imag']
    """
    plain = _without_complex(arrays)
    try:
        write_file(target, lambda path: plain.to_netcdf(path, engine="scipy"), force=force, error=AtlasError)
    except ValueError as error:
        raise AtlasError(f"cannot write {target}: {error}") from error
    return [str(name) for name in plain.data_vars]


def _as_text(value: Any) -> Any:
    """Return a list as JSON, anything else unchanged."""
    return json.dumps(list(value)) if isinstance(value, np.ndarray | list) else value


def _without_complex(arrays: xr.Dataset) -> xr.Dataset:
    for name, values in arrays.data_vars.items():
        if values.dtype.kind == "c":
            parts = {f"{name}_real": values.real, f"{name}_imag": values.imag}
            arrays = arrays.drop_vars(str(name)).assign(parts)
    return arrays
