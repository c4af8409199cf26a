"""Import of plug-ins: files that a study names, and installed packages with tasks, cells, measures or activations.

User code is imported only here, and only on request: by ``Study.load`` for a study file, and by workers for their run.
Opening an atlas never imports code.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from dynatlas.cells.activations import ACTIVATIONS, register_activation
from dynatlas.cells.registry import CELLS, register_cell
from dynatlas.errors import PluginError
from dynatlas.measures.registry import MEASURES, register_measure
from dynatlas.registry import Origin, importing, origin_of
from dynatlas.tasks.registry import TASKS, register_task

# Groups of entry points: each with its registry, and the function that registers.
GROUPS: Final[dict[str, tuple[dict[str, Any], Any]]] = {
    "tasks": (TASKS, register_task),
    "cells": (CELLS, register_cell),
    "measures": (MEASURES, register_measure),
    "activations": (ACTIVATIONS, register_activation),
}


class Code(NamedTuple):
    """Imported code, with all that another process needs to import it."""

    origin: Origin
    source: bytes  # of a file; empty for a package
    registered: frozenset[tuple[str, str]]  # (group, name)


_imported: dict[Origin, Code] = {}


def load_plugin(path: str | Path) -> Origin:
    """Import a Python file that registers tasks, cells, measures or activations. This runs it: load what you trust.

    Raises:
        PluginError: the file cannot be read or imported, or registers nothing.
    """
    return _load_plugin(Path(path))


def load_plugins(paths: Iterable[Path]) -> None:
    """Import several files with ``load_plugin``."""
    for path in paths:
        load_plugin(path)


def _load_plugin(path: Path, expected: object = None) -> Origin:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise PluginError(f"cannot read the plugin {str(path)!r}: {error.strerror}") from None
    origin = Origin(path.name, hashlib.sha256(source).hexdigest(), is_file=True)
    _check_version(origin, expected, str(path))
    _import_source(origin, source, str(path))
    return origin


def load_package(name: str) -> Origin:
    """Import the tasks, cells, measures and activations that an installed package provides by entry points.

    Raises:
        PluginError: the package is not installed, cannot be imported, or provides none.
    """
    return _load_package(name)


def _load_package(name: str, expected: object = None) -> Origin:
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise PluginError(
            f"the package {name!r} is not installed; pip install it, where the workers are, too"
        ) from None
    origin = Origin(distribution.metadata["Name"], distribution.version, is_file=False)
    _check_version(origin, expected, f"the package {name!r}")
    for earlier in _imported:
        if not earlier.is_file and earlier.name == origin.name and earlier.version != origin.version:
            raise PluginError(
                f"the package {name!r} was imported as version {earlier.version}, and {origin.version} is installed "
                "now; start a new process"
            )
    if _is_current(origin):
        return origin
    offered = [point for point in distribution.entry_points if point.group.removeprefix("dynatlas.") in GROUPS]
    _import_entry_points(origin, [point for point in offered if point.group.startswith("dynatlas.")])
    return origin


def find_package(group: str, name: str) -> None:
    """Import the package that provides a task, cell, measure or activation of this name, if there is one.

    Raises:
        PluginError: several packages provide it, or the package cannot be imported.
    """
    points = list(metadata.entry_points(group=f"dynatlas.{group}", name=name))
    packages = sorted({point.dist.name for point in points if point.dist is not None})
    if len(packages) > 1:
        raise PluginError(
            f"the packages {' and '.join(packages)} both offer {name!r} as one of their {group}; uninstall one of them"
        )
    if packages:
        load_package(packages[0])


def import_code(study: dict[str, Any], folder: Path) -> None:
    """Import the files and packages under ``plugins`` of a study file, and packages that provide other unknown names.

    File names are removed from ``study``. The records of a frozen study stay, and the versions found must match them.

    Raises:
        PluginError: as ``load_plugin`` and ``load_package``; the version differs from that of the frozen study.
    """
    entries = study.get("plugins", [])
    if not isinstance(entries, list):
        return  # refused by validation
    _refuse_same_names([entry for entry in entries if isinstance(entry, str)])
    loaded = []
    for entry in entries:
        if isinstance(entry, str):
            if not entry.endswith(".py"):
                raise PluginError(f"plugins names {entry!r}; expected the path of a Python file (.py)")
            loaded.append(load_plugin(folder / entry))
        elif isinstance(entry, dict) and isinstance(file := entry.get("file"), str):
            loaded.append(_load_plugin(folder / file, entry.get("sha256", "")))
        elif isinstance(entry, dict) and isinstance(package := entry.get("package"), str):
            loaded.append(_load_package(package, entry.get("version", "")))
    study["plugins"] = [entry for entry in entries if not isinstance(entry, str)]
    for group, name in _names(study):
        if name not in GROUPS[group][0]:
            find_package(group, name)
    _refuse_shared(loaded)


def _refuse_same_names(files: list[str]) -> None:
    if len({Path(file).name for file in files}) < len(files):
        raise PluginError(f"plugins are {files}; their names must differ, whatever folders they are in")


def _refuse_shared(origins: list[Origin]) -> None:
    """Refuse two plug-ins of one study that register the same name: the later import would replace the earlier one."""
    for origin in origins:
        for group, name in sorted(_imported[origin].registered):
            now = origin_of(group, name)
            if now is not None and now != origin:
                raise PluginError(
                    f"{origin.name} and {now.name} both register the {group.removesuffix('s')} {name!r}; give one of "
                    "them another name"
                )


def _check_version(origin: Origin, version: object, what: str) -> None:
    """Check the version of a plug-in before its import; None accepts every version."""
    if version is not None and origin.version != version:
        raise PluginError(
            f"{what} is not what the study was made with: it is {origin.version[:16]}, and was {str(version)[:16]}. "
            "Put that version back; or make a new study with this one, and a new atlas"
        )


def _names(study: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (group, name) of all tasks, cells, measures and activations of a study file; skip malformed entries."""

    def texts(table: str, key: str) -> list[str]:
        values = study[table].get(key) if isinstance(study.get(table), dict) else None
        return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []

    for task in study["tasks"] if isinstance(study.get("tasks"), list) else []:
        if isinstance(task, dict) and isinstance(task.get("kind"), str):
            yield "tasks", task["kind"]
    yield from (("cells", name) for name in texts("population", "architectures") + texts("factors", "architecture"))
    yield from (("activations", name) for name in texts("population", "activations") + texts("factors", "activation"))
    yield from (("measures", name) for name in texts("analysis", "measures"))


def code_of(origin: Origin) -> Code:
    """Return the code imported from an origin.

    Raises:
        PluginError: the code has not been imported in this process.
    """
    if origin not in _imported:
        how = "give the study file itself, or load_plugin its file" if origin.is_file else "load_package it"
        raise PluginError(
            f"the code of {origin.name} ({origin.version[:12]}) is needed, and was not imported here: {how}, if you "
            "trust it"
        )
    return _imported[origin]


def provide(codes: Iterable[Code]) -> None:
    """Import in a worker the code that the main process has imported.

    Raises:
        PluginError: the code cannot be imported here, or another version is installed.
    """
    for code in codes:
        if code.origin.is_file:
            _import_source(code.origin, code.source, code.origin.name)
        else:
            _load_package(code.origin.name, code.origin.version)


class _FromBytes(importlib.abc.SourceLoader):
    """Import of bytes that have been read already, so that the code that runs is the code that was hashed."""

    def __init__(self, source: bytes, shown: str):
        self._source, self._shown = source, shown

    def get_filename(self, fullname: str) -> str:
        """Return the file name shown in tracebacks."""
        del fullname
        return self._shown

    def get_data(self, path: object) -> bytes:
        """Return the source; there is no bytecode cache."""
        if str(path) != self._shown:
            raise OSError(f"no cache for {path}")
        return self._source


def _import_source(origin: Origin, source: bytes, shown: str) -> None:
    if _is_current(origin):
        return
    # All versions of a file share this name, so that only the module of the last one is kept.
    name = f"dynatlas_plugin_{Path(origin.name).stem}"
    loader = _FromBytes(source, shown)
    spec = importlib.util.spec_from_loader(name, loader)
    if spec is None:
        raise PluginError(f"cannot import the plugin {shown!r}")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        with importing(origin, _registries()) as registered:
            loader.exec_module(module)
            if not registered:
                raise PluginError(
                    f"the plugin {shown!r} registers nothing; decorate a class or function in it with "
                    "@register_task(NAME), @register_cell(NAME), @register_measure(NAME) or @register_activation(NAME)"
                )
    except (Exception, SystemExit) as error:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        if isinstance(error, PluginError):
            raise
        raise PluginError(f"cannot import the plugin {shown!r}: {_described(error, shown)}") from None
    _imported[origin] = Code(origin, source, frozenset(registered))


@runtime_checkable
class _EntryPoint(Protocol):
    """An entry point of ``importlib.metadata``, or of its backport, which another library may have activated."""

    @property
    def group(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def value(self) -> str: ...

    def load(self) -> Any: ...


def _import_entry_points(origin: Origin, points: Sequence[_EntryPoint]) -> None:
    if not points:
        raise PluginError(f"the package {origin.name!r} offers no task, cell, measure or activation by an entry point")
    with importing(origin, _registries()) as registered:
        for point in points:
            group = point.group.removeprefix("dynatlas.")
            registry, register = GROUPS[group]
            try:
                found = point.load()
                if (group, point.name) not in registered:
                    # Register again if its module was imported earlier, without an origin.
                    register(point.name)(registry.get(point.name, found))
            except Exception as error:
                raise PluginError(
                    f"cannot import {point.value!r} of the package {origin.name!r}: {type(error).__name__}: {error}"
                ) from None
    _imported[origin] = Code(origin, b"", frozenset(registered))


def _registries() -> dict[str, dict[str, Any]]:
    return {group: registry for group, (registry, _) in GROUPS.items()}


def _is_current(origin: Origin) -> bool:
    """Whether everything imported from an origin is still registered under its names."""
    return origin in _imported and all(origin_of(*named) == origin for named in _imported[origin].registered)


def _described(error: BaseException, shown: str) -> str:
    """Describe an error, with the line of the plug-in that raised it."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == shown:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    if isinstance(error, SyntaxError):
        lines.append(error.lineno or 0)
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {error}{where}"
