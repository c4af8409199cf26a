"""A whole model as Keras 3 saves it, ``.keras``: a zip of its weights in HDF5 and of its configuration in JSON.

The weights are filed under their layers' classes, counted: the second GRU of a model is layers/gru_1, whatever its
name. Here they get the names that the configuration has for them, as in a model's ``.h5``.
"""

import json
import re
import zipfile
from pathlib import Path
from typing import Any, Final, NamedTuple

from dynatlas._io.hdf5 import Hdf5, read_hdf5
from dynatlas._io.untrusted import DAMAGE, Declared, check_sizes, refuse_unsafe_members
from dynatlas.errors import NetworkError

LONGEST_CONFIGURATION: Final = 50_000_000


WEIGHTS: Final = "model.weights.h5"


def read_keras_archive(path: Path) -> Hdf5:
    """The arrays of a ``.keras`` file by their layers' own names, and its configuration as the text ``model_config``.

    Raises:
        NetworkError: a member that leads out of the archive, is too large, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_unsafe_members(path, archive.infolist())
            sizes = {name: archive.getinfo(name).file_size for name in ("config.json", WEIGHTS)}
            check_sizes(path, {name: Declared((), size) for name, size in sizes.items()})
            if sizes["config.json"] > LONGEST_CONFIGURATION:
                raise NetworkError(
                    f"{path}: config.json takes {sizes['config.json']:.3g} bytes; expected a configuration"
                )
            configuration, weights = archive.read("config.json").decode(), archive.read(WEIGHTS)
    except DAMAGE as error:
        raise NetworkError(f"{path} is damaged or truncated: {error}") from None
    try:
        names = own_names(json.loads(configuration))
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"{path}: the model's configuration is not JSON ({error})") from None
    arrays = read_hdf5(path / WEIGHTS, weights).arrays
    return Hdf5(_by_own_names(path, arrays, names), {"model_config": configuration})


def own_names(model: Any, prefix: str = "layers/") -> dict[str, str]:
    """Where each layer's weights are filed → the name that the configuration has for it.

    Example:
        >>> layers = [{"class_name": "SimpleRNN", "config": {"name": name}} for name in ("low", "high")]
        >>> own_names({"config": {"layers": layers}})
        {'layers/simple_rnn': 'low', 'layers/simple_rnn_1': 'high'}
    """
    config = model.get("config") if isinstance(model, dict) else None
    layers = config.get("layers") if isinstance(config, dict) else None
    found: dict[str, str] = {}
    counts: dict[str, int] = {}
    for layer in layers if isinstance(layers, list) and prefix.count("/") < DEEPEST else []:
        kind = layer.get("class_name") if isinstance(layer, dict) else None
        settings = layer.get("config") if isinstance(layer, dict) else None
        if not (isinstance(kind, str) and isinstance(settings, dict) and isinstance(settings.get("name"), str)):
            continue
        filed = _snake_case(kind)
        counts[filed] = counts.get(filed, -1) + 1
        place = f"{prefix}{filed}_{counts[filed]}" if counts[filed] else f"{prefix}{filed}"
        found[place] = settings["name"]
        found |= own_names(layer, f"{place}/layers/")
    return found


def _by_own_names(path: Path, arrays: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The same arrays under their layers' own names, unless two would get one name."""
    renamed: dict[str, Any] = {}
    for filed, values in arrays.items():
        own = _renamed(filed, names)
        if own in renamed:
            raise NetworkError(
                f"{path}: the weights of two layers would both be {own!r}, as both layers have one name; "
                "give every layer a name of its own, and save the model again"
            )
        renamed[own] = values
    return renamed


def _snake_case(name: str) -> str:
    """A class' name as Keras files it: SimpleRNN → simple_rnn."""
    parted = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", parted).lower()


def _renamed(path: str, names: dict[str, str]) -> str:
    """The path of an array, by the innermost layer that the configuration names."""
    parts = path.split("/")
    for count in range(len(parts), 0, -1):
        if "/".join(parts[:count]) in names:
            return "/".join(["layers", names["/".join(parts[:count])], *parts[count:]])
    return path


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
