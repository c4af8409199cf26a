"""Write files as MATLAB's save -v7.3 does: HDF5 behind a header, with axes reversed, and cells as references."""

import h5py
import numpy as np

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM"


def savemat_73(path, variables):
    """Write numbers, texts, cell arrays (of objects) and structures (a dictionary, or an array with fields)."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in variables.items():
            _write(file, file, name, values)
    with path.open("r+b") as file:
        file.write(HEADER)


def _write(file, group, name, values):
    if isinstance(values, dict):
        inner = group.create_group(name)
        inner.attrs["MATLAB_class"] = np.bytes_("struct")
        for field, each in values.items():
            _write(file, inner, field, each)
        return
    if isinstance(values, str):
        group[name] = np.array([[ord(letter)] for letter in values], np.uint16)
        group[name].attrs["MATLAB_class"] = np.bytes_("char")
        return
    array = np.atleast_2d(values)
    if array.dtype.names:
        inner = group.create_group(name)
        inner.attrs["MATLAB_class"] = np.bytes_("struct")
        for field in array.dtype.names:
            inner[field] = _references(file, array[field])
    elif array.dtype.kind == "O":
        group[name] = _references(file, array)
        group[name].attrs["MATLAB_class"] = np.bytes_("cell")
    else:
        group[name] = array.transpose()
        group[name].attrs["MATLAB_class"] = np.bytes_("logical" if array.dtype.kind == "b" else "double")


def _references(file, cells):
    references = np.empty(cells.shape, h5py.ref_dtype)
    for place, each in np.ndenumerate(cells):
        name = f"#refs#/{len(file.require_group('#refs#'))}"
        _write(file, file, name, each)
        references[place] = file[name].ref
    return references.T
