"""Conversion of PyTorch's checkpoints to safetensors."""

from pathlib import Path
from typing import TypeVar

from dynatlas._io.atomic import publish, temporary_beside
from dynatlas.errors import NetworkError

# Before 2.6 ``weights_only=True`` could be bypassed (CVE-2025-32434).
OLDEST = (2, 6)
Tensor = TypeVar("Tensor")


def convert(source: Path, target: Path) -> list[str]:
    """Write the tensors of a PyTorch checkpoint as a safetensors file and return their names.

    PyTorch opens it with ``weights_only=True``, which builds only tensors and containers and refuses all other objects.
    Keys of nested dictionaries, as in a checkpoint with an optimiser, are joined by dots.

    Raises:
        NetworkError: PyTorch is missing or too old, or the file is no checkpoint of tensors.
    """
    try:
        import torch
        from safetensors.torch import save_file
    except ImportError:
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
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise NetworkError(
            f"PyTorch cannot open {source} with weights_only=True: {str(error).splitlines()[0]}. Save "
            "model.state_dict() instead of a whole model"
        ) from None
    tensors = {name: value.detach().contiguous().clone() for name, value in _tensors(loaded, "", torch.Tensor)}
    if not tensors:
        raise NetworkError(f"{source} holds no tensors; expected a state dict")
    with temporary_beside(target) as temporary:
        save_file(tensors, temporary)
        publish(temporary, target)
    return list(tensors)


def _tensors(value: object, name: str, kind: type[Tensor]) -> list[tuple[str, Tensor]]:
    """Return the tensors in nested dictionaries with their names."""
    if isinstance(value, kind):
        return [(name, value)]
    if not isinstance(value, dict):
        return []
    return [pair for key, item in value.items() for pair in _tensors(item, f"{name}.{key}" if name else f"{key}", kind)]


def _by_hand(source: Path, target: Path) -> str:
    """Return a shell command that converts the checkpoint."""
    return (
        'python -c "import torch, safetensors.torch as s; '
        f"s.save_file(torch.load('{source}', weights_only=True), '{target}')\""
    )
