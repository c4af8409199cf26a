"""What a whole model of Keras says of its layers: their order, classes and settings, read as JSON and never built."""

import json
from typing import Any, Final, NamedTuple

from dynatlas.errors import NetworkError

# Layers that do nothing to what passes, once training is over.
TRANSPARENT: Final = {"InputLayer", "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "Masking"}
DEEPEST: Final = 50


class Configuration(NamedTuple):
    """A model's layers.

    Attributes:
        settings: each layer's settings by its name; those of a wrapped cell among them.
        order: the layers' names and classes, the lowest first.
    """

    settings: dict[str, dict[str, Any]]
    order: list[tuple[str, str]]


def read_configuration(text: str | None) -> Configuration:
    """The layers of a model's configuration; none where there is no configuration.

    Raises:
        NetworkError: not JSON, or a Lambda layer, which is code.

    Example:
        >>> gru = {"class_name": "GRU", "config": {"name": "gru", "activation": "relu"}}
        >>> read_configuration(json.dumps({"class_name": "Sequential", "config": {"layers": [gru]}})).order
        [('gru', 'GRU')]
    """
    found = Configuration({}, [])
    if text is not None:
        try:
            model = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise NetworkError(f"the model's configuration is not JSON ({error})") from None
        _visit(model, found, in_layers=False, depth=0)
    return found


def _visit(item: Any, found: Configuration, *, in_layers: bool, depth: int) -> None:
    """Note a layer, and go on with what is inside."""
    if depth > DEEPEST:
        raise NetworkError(f"the model's configuration is nested more than {DEEPEST} deep; expected a model")
    if isinstance(item, list):
        for each in item:
            _visit(each, found, in_layers=in_layers, depth=depth + 1)
    if not isinstance(item, dict):
        return
    kind, config = item.get("class_name"), item.get("config")
    if kind in ("Lambda", "__lambda__"):
        raise NetworkError(
            "the model has a Lambda layer, which is code in the file; it is not run, and without it the network is "
            "another one. Save the weights alone: model.save_weights('NEW.weights.h5')"
        )
    if in_layers and isinstance(kind, str) and isinstance(config, dict) and isinstance(config.get("name"), str):
        cell = config.get("cell")
        inner = cell.get("config") if isinstance(cell, dict) else None
        found.settings[config["name"]] = config | (inner if isinstance(inner, dict) else {})
        found.order.append((config["name"], kind))
    for name, value in item.items():
        _visit(value, found, in_layers=name == "layers", depth=depth + 1)
