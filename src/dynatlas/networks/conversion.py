"""Conversion of PyTorch's checkpoints to safetensors."""

import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import numpy as np

from dynatlas._io.sizes import Declared, check_sizes
from dynatlas._io.targets import refuse_odd_target, taken, write_file
from dynatlas._io.untrusted import DAMAGE, first_bytes, format_of
from dynatlas.errors import NetworkError

# Before 2.6 ``weights_only=True`` could be bypassed (CVE-2025-32434).
OLDEST: Final = (2, 6)
LARGEST_PICKLE: Final = 50_000_000  # bytes of the part of a checkpoint that is searched for a name
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_GLOBAL: Final = re.compile(r"(?:GLOBAL |global |class )`?([A-Za-z_][\w.]*\.[A-Za-z_]\w*)")


def convert(source: Path, target: Path, ignore: Iterable[str] = (), *, force: bool = False) -> list[str]:
    """Write the tensors of a PyTorch checkpoint as a safetensors file and return their names.

    PyTorch opens it with ``weights_only=True``, which builds only tensors, containers and NumPy's numbers, and refuses
    all other objects. Keys of nested dictionaries and lists, as in a checkpoint with an optimiser, are joined by dots.
    Sparse and quantised tensors become dense ones.

    Args:
        source: the checkpoint.
        target: the file to write.
        ignore: names of tensors to leave out; ``*`` stands for any characters.
        force: replace the target if it exists and differs.

    Raises:
        NetworkError: PyTorch is missing or too old, the file is no checkpoint of tensors, or a tensor has no values, is
            complex or too large; the target exists and differs.
    """
    first_bytes(source, "a PyTorch checkpoint")
    refuse_odd_target(target, force=force, error=NetworkError)
    if target.exists() and target.samefile(source):
        raise NetworkError(f"{target} is the checkpoint itself; name another file to write, such as NEW.safetensors")
    if _is_readable(source):
        raise NetworkError(f"{source} needs no conversion; run: dynatlas analyze {source}")
    try:
        import torch
        from safetensors.torch import save_file
    except ImportError:
        if target.exists() and not force:  # the command would replace it
            raise NetworkError(taken(target)) from None
        raise NetworkError(
            f"{source} is a pickle that only PyTorch can open, and PyTorch is not installed here. Where it is, run: "
            f"{_by_hand(source, target)}"
        ) from None
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < OLDEST:
        raise NetworkError(
            f"PyTorch {torch.__version__} is installed; expected 2.6 or newer: in older versions a checkpoint can run "
            "code in spite of weights_only=True"
        )
    try:
        with (
            _without_warnings(),
            torch.serialization.safe_globals(_numbers_of_numpy()),
            torch.sparse.check_sparse_tensor_invariants(),
        ):
            loaded = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise NetworkError(_refusal(source, str(error))) from None
    patterns = tuple(ignore)
    found = [
        (name, value)
        for name, value in _tensors(loaded, "", torch.Tensor)
        if not any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
    if not found:
        raise NetworkError(f"{source} holds no tensors; expected a state dict")
    names = [name for name, _ in found]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise NetworkError(f"{source} has two tensors that would both be {twice!r}; save model.state_dict() alone")
    check_sizes(
        source, {name: Declared(tuple(value.shape), value.numel() * _item_size(value)) for name, value in found}
    )
    with _without_warnings():
        tensors = {name: _dense(source, name, value) for name, value in found}
    write_file(target, lambda path: save_file(tensors, path), force=force, error=NetworkError)
    return names


def _is_readable(source: Path) -> bool:
    """Whether a file holds weights that are read as they are; a checkpoint too is a zip archive."""
    try:
        if format_of(source) != "npz":
            return True
        with zipfile.ZipFile(source) as archive:
            return all(name.endswith(".npy") for name in archive.namelist())
    except (NetworkError, *DAMAGE):
        return False


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep PyTorch from warning of its own deprecated storages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _numbers_of_numpy() -> list[Any]:
    """Return what PyTorch may build besides its own: single numbers of NumPy, such as a best loss."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in "?bBhHiIlLqQefd"}
    return [
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *kinds,
    ]


def _item_size(value: Any) -> int:
    """Return the bytes of a number, at least those of the dense float32 that a quantised tensor becomes."""
    return max(int(value.element_size()), 4 if value.is_quantized else 1) if not value.is_sparse else 8


def _dense(source: Path, name: str, value: Any) -> Any:
    """Return a tensor as safetensors stores it: dense, contiguous, with memory of its own."""
    way_out = f"leave it out with --ignore {name} (ignore=[{name!r}])"
    if value.is_meta:
        raise NetworkError(f"{source}: {name!r} is on PyTorch's device meta and has no values; {way_out}")
    if value.is_complex():
        raise NetworkError(f"{source}: {name!r} is {value.dtype}; expected real numbers; {way_out}")
    try:
        value = value.detach()
        value = value.dequantize() if value.is_quantized else value
        value = value.to_dense() if value.layout is not _strided() else value
        return value.contiguous().clone()
    except (RuntimeError, NotImplementedError) as error:
        raise NetworkError(f"{source}: {name!r} cannot be made dense: {_plain(str(error))[:150]}; {way_out}") from None


def _strided() -> Any:
    import torch

    return torch.strided


def _tensors(value: object, name: str, kind: type) -> list[tuple[str, Any]]:
    """Return the tensors in nested dictionaries and lists with their names."""
    if isinstance(value, kind):
        return [(name or "tensor", value)]
    items: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    return [pair for key, item in items for pair in _tensors(item, f"{name}.{key}" if name else f"{key}", kind)]


def _refusal(source: Path, text: str) -> str:
    """Return the sentence about a checkpoint that PyTorch does not open, with the key of what it refuses."""
    match = _GLOBAL.search(_ANSI.sub("", text))
    if match is None:
        return (
            f"PyTorch cannot open {source} with weights_only=True: {_plain(text)[:200]}. Save model.state_dict() "
            "instead of a whole model"
        )
    name = match[1]
    key = _key_before(source, name)
    where = f" under the key {key!r}" if key else ""
    return (
        f"{source} holds a {name}{where}, which PyTorch builds only by running code; it is not opened. Save "
        "model.state_dict() instead of a whole model, or a checkpoint without that entry"
    )


def _plain(text: str) -> str:
    """Return the first line that says something."""
    return next((line.strip() for line in _ANSI.sub("", text).splitlines() if line.strip()), "it says nothing")


def _key_before(source: Path, name: str) -> str | None:
    """Return the last text before the first mention of an object in a checkpoint's pickle; nothing is unpickled."""
    module, _, qualified = name.rpartition(".")
    try:
        with zipfile.ZipFile(source) as archive:
            member = next(one for one in archive.infolist() if one.filename.endswith("/data.pkl"))
            if member.file_size > LARGEST_PICKLE:
                return None
            content = archive.read(member)
        last = None
        for code, argument, _ in pickletools.genops(content):
            if code.name == "GLOBAL" and argument in (
                f"{module} {qualified}",
                f"{module.replace('_core', 'core')} {qualified}",
            ):
                return last
            if isinstance(argument, str) and "UNICODE" in code.name:
                last = argument[:80]
    except (*DAMAGE, StopIteration, IndexError, KeyError):
        return None
    return None


def _by_hand(source: Path, target: Path) -> str:
    """Return a shell command that converts the checkpoint."""
    return (
        'python -c "import torch, safetensors.torch as s; '
        f"s.save_file(torch.load('{source}', weights_only=True), '{target}')\""
    )
