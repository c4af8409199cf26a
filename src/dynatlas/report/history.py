"""How a study was run, from its provenance, as rows of a small table."""

from collections.abc import Iterator, Mapping
from typing import Any


def command(provenance: Mapping[str, Any]) -> str:
    """The command that made the atlas, as it is typed."""
    stored = provenance.get("command", "")
    return " ".join(map(str, stored)) if isinstance(stored, list) else str(stored)


def history(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, value): everything the provenance knows but the command, nested names joined by a dot."""
    return [(name.replace("_", " "), value) for name, value in _flat(provenance) if name != "command"]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name} · {key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _flat(item, f"{name} {index + 1}")
    elif isinstance(value, list):
        yield name, ", ".join(map(str, value))
    else:
        yield name, str(value)
