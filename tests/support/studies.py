"""The tiny study of the tests, as TOML text and as a ``Study``."""

from typing import Any

import tomli_w

from dynatlas.study.study import Study

TINY: dict[str, Any] = {
    "name": "tiny",
    "tasks": [{"kind": "flip_flop", "steps": 6, "channels": 1}],
    "population": {"architectures": ["vanilla"], "activations": ["tanh"], "units": [4], "l2": [1e-5], "seeds": 2},
    "training": {"iterations": 3, "batch_size": 2, "validation_trials": 4},
    "analysis": {"fixed_point_starts": 16},
}


def tiny_toml(*changes: dict[str, Any], **more: Any) -> str:
    """Return the text of the tiny study with changes, applied one after the other.

    A table replaces the keys that it names and leaves the others; a list and a plain value replace the whole; None
    removes a key or a table.
    """
    settings = TINY
    for each in (*changes, more):
        settings = _changed(settings, each)
    return tomli_w.dumps(settings)


def tiny_study(*changes: dict[str, Any], **more: Any) -> Study:
    """Return the tiny study with changes, as in ``tiny_toml``."""
    return Study.parse(tiny_toml(*changes, **more))


def _changed(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    changed = settings | changes
    for name, value in changes.items():
        if value is None:
            del changed[name]
        elif isinstance(value, dict):
            changed[name] = _changed(settings.get(name, {}), value)
    return changed
