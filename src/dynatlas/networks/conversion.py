"""PyTorch's checkpoints become safetensors, in the one place where a pickle is opened: by PyTorch, weights only."""

from pathlib import Path
from typing import Any

from dynatlas._atomic import publish, temporary_beside
from dynatlas.errors import NetworkError

# Before 2.6 ``weights_only=True`` could be got round (CVE-2025-32434).
OLDEST = (2, 6)


def convert(source: Path, target: Path) -> list[str]:
    """Write the tensors of a PyTorch checkpoint as a safetensors file; give their names.

    PyTorch opens it with ``weights_only=True``, which builds nothing but tensors and containers; a file that needs more
    is refused. Nested dictionaries, as of a checkpoint with an optimiser, become names joined by dots.

    Raises:
        NetworkError: no PyTorch, one that is too old, or a file that is no checkpoint of tensors.
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
            f"PyTorch {torch.__version__} is installed; expected 2.6 or newer: before, weights_only=True did not keep "
            "a checkpoint from running code"
        )
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise NetworkError(
            f"{source} is not opened: PyTorch with weights_only=True says: {str(error).splitlines()[0]}. Save "
            "model.state_dict() instead of a whole model"
        ) from None
    tensors = {name: value.detach().contiguous().clone() for name, value in _tensors(loaded, "", torch.Tensor)}
    if not tensors:
        raise NetworkError(f"{source} holds no tensors; expected a state dict")
    with temporary_beside(target) as temporary:
        save_file(tensors, temporary)
        publish(temporary, target)
    return list(tensors)


def _tensors(value: Any, name: str, kind: type) -> list[tuple[str, Any]]:
    if isinstance(value, kind):
        return [(name, value)]
    if not isinstance(value, dict):
        return []
    return [pair for key, item in value.items() for pair in _tensors(item, f"{name}.{key}" if name else f"{key}", kind)]


def _by_hand(source: Path, target: Path) -> str:
    return (
        'python -c "import torch, safetensors.torch as s; '
        f"s.save_file(torch.load('{source}', weights_only=True), '{target}')\""
    )
