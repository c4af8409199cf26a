"""Whole models of Keras: the ``.keras`` archive, weights in HDF5 and a configuration in JSON, and its layers.

An archive stores weights under the classes of layers with a number: the second GRU of a model is layers/gru_1. They are
renamed to the layers' names in the configuration, as in a model's ``.h5``.
"""

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from dynatlas._io.hdf5 import Hdf5, read_hdf5
from dynatlas._io.sizes import Declared, check_sizes
from dynatlas._io.untrusted import DAMAGE, Arrays, refuse_unsafe_members
from dynatlas.errors import NetworkError

LONGEST_CONFIGURATION: Final = 50_000_000  # bytes
DEEPEST: Final = 50  # levels of nesting in a configuration
WEIGHTS: Final = "model.weights.h5"
# Layers that are the identity at inference.
TRANSPARENT: Final = {"InputLayer", "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "Masking"}


def read_keras_archive(path: Path) -> Hdf5:
    """Read the arrays of a ``.keras`` file by layer name, and its configuration as the text ``model_config``.

    Raises:
        NetworkError: a member has an unsafe path, is too large, or is damaged.
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
            # Read by size: an archive may inflate to more than it declares.
            members = {name: archive.open(name).read(size + 1) for name, size in sizes.items()}
            configuration, weights = members["config.json"].decode(), members[WEIGHTS]
    except DAMAGE as error:
        raise NetworkError(f"{path} is damaged or truncated: {str(error)[:200]}") from None
    try:
        names = own_names(json.loads(configuration))
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"{path}: the model's configuration is not JSON ({str(error)[:200]})") from None
    arrays = read_hdf5(path / WEIGHTS, weights).arrays
    return Hdf5(_by_own_names(path, arrays, names), {"model_config": configuration})


def own_names(model: object, prefix: str = "layers/") -> dict[str, str]:
    """Map the path of each layer's weights to the layer's name in the configuration.

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
        stored = _snake_case(kind)
        counts[stored] = counts.get(stored, -1) + 1
        place = f"{prefix}{stored}_{counts[stored]}" if counts[stored] else f"{prefix}{stored}"
        found[place] = settings["name"]
        found |= own_names(layer, f"{place}/layers/")
        found |= {
            f"{place}/cell/cells/{stored}": f"{settings['name']}/{own}"
            for stored, own in _stored_cells(settings).items()
        }
    return found


def _stored_cells(settings: Mapping[str, object]) -> dict[str, str]:
    """Map the names of the cells in StackedRNNCells, as an archive stores them, to their own names."""
    found: dict[str, str] = {}
    counts: dict[str, int] = {}
    for kind, config in _cells(settings):
        stored = _snake_case(kind)
        counts[stored] = counts.get(stored, -1) + 1
        found[f"{stored}_{counts[stored]}" if counts[stored] else stored] = str(config["name"])
    return found


def _cells(settings: Mapping[str, object]) -> list[tuple[str, dict[str, object]]]:
    """Return class and configuration of the cells in an RNN's StackedRNNCells."""
    cell = settings.get("cell")
    inner = cell.get("config") if isinstance(cell, dict) else None
    cells = inner.get("cells") if isinstance(inner, dict) else None
    return [
        (each["class_name"], each["config"])
        for each in (cells if isinstance(cells, list) else [])
        if isinstance(each, dict)
        and isinstance(each.get("class_name"), str)
        and isinstance(each.get("config"), dict)
        and isinstance(each["config"].get("name"), str)
    ]


def _by_own_names(path: Path, arrays: Arrays, names: dict[str, str]) -> Arrays:
    """Return the arrays by their layers' own names; two layers of one name are refused."""
    renamed: Arrays = {}
    for stored, values in arrays.items():
        own = _renamed(stored, names)
        if own in renamed:
            raise NetworkError(
                f"{path}: the weights of two layers would both be {own!r}, since both layers have the same name; "
                "give every layer a unique name and save the model again"
            )
        renamed[own] = values
    return renamed


def _snake_case(name: str) -> str:
    """Convert a class name to snake case as Keras does: SimpleRNN → simple_rnn."""
    parted = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", parted).lower()


def _renamed(path: str, names: dict[str, str]) -> str:
    """Return an array's path with the name of the innermost layer in the configuration."""
    parts = path.split("/")
    for count in range(len(parts), 0, -1):
        if "/".join(parts[:count]) in names:
            return "/".join(["layers", names["/".join(parts[:count])], *parts[count:]])
    return path


class Configuration(NamedTuple):
    """Layers of a model.

    Attributes:
        settings: each layer's settings by its name, including those of a wrapped cell.
        order: the layers' names and classes, the lowest first.
    """

    settings: dict[str, dict[str, object]]
    order: list[tuple[str, str]]


def read_configuration(text: str | None) -> Configuration:
    """Read the layers from a model's configuration; without a configuration there are none.

    Raises:
        NetworkError: not JSON, or a model with a Lambda layer, which is code.

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
            raise NetworkError(f"the model's configuration is not JSON ({str(error)[:200]})") from None
        _visit(model, found, in_layers=False, depth=0)
    return found


def _visit(item: object, found: Configuration, *, in_layers: bool, depth: int) -> None:
    """Add ``item`` to the layers found, if it is one, and visit its values."""
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
            "the model has a Lambda layer, which is code in the file and is not run; without it the network is a "
            "different one. Save only the weights: model.save_weights('NEW.weights.h5')"
        )
    if in_layers and isinstance(kind, str) and isinstance(config, dict) and isinstance(config.get("name"), str):
        _add(config["name"], kind, config, found)
    for name, value in item.items():
        _visit(value, found, in_layers=name == "layers", depth=depth + 1)


def _add(name: str, kind: str, config: dict[str, object], found: Configuration) -> None:
    """Add a layer: with the settings of its cell or of the layer it wraps, or its cells and halves one by one."""
    cells = _cells(config)
    for cell_kind, cell in cells:
        found.settings[f"{name}/{cell['name']}"] = cell
        found.order.append((f"{name}/{cell['name']}", cell_kind))
    wrapped = [config.get(key) for key in ("cell", "layer")]
    inner = [one["config"] for one in wrapped if isinstance(one, dict) and isinstance(one.get("config"), dict)]
    if kind == "Bidirectional" and inner:
        own = str(inner[0].get("name", "")).removeprefix("forward_")
        for half in ("forward", "backward"):
            for last in ("layer", own):
                found.settings[f"{name}/{half}_{last}"] = inner[0]
    found.settings[name] = config | {key: value for one in inner for key, value in one.items() if key != "name"}
    if not cells:
        found.order.append((name, kind))
