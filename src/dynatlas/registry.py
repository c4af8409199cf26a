"""Registry of user-defined tasks, cells, measures and activations: the file or package that registered each."""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Origin(NamedTuple):
    """Source of the code: a file or an installed distribution."""

    name: str  # file name without its folder, or name of the distribution
    version: str  # SHA-256 of the file's bytes, or version of the distribution
    is_file: bool


_importing: list[tuple[Origin, set[tuple[str, str]]]] = []
_origins: dict[tuple[str, str], Origin] = {}

Registered = TypeVar("Registered")


@contextmanager
def importing(origin: Origin, registries: Mapping[str, dict[str, Any]]) -> Iterator[set[tuple[str, str]]]:
    """Attribute what is registered in this context to ``origin``, and yield the (group, name) pairs registered.

    Earlier registrations by a file of the same name are removed. If the import fails, all registries are restored.
    """
    registered: set[tuple[str, str]] = set()
    changing: list[dict[Any, Any]] = [*registries.values(), _origins]
    before = [dict(registry) for registry in changing]
    for (group, name), earlier in list(_origins.items()):
        if origin.is_file and earlier.is_file and earlier.name == origin.name:
            registries[group].pop(name, None)
            del _origins[group, name]
    _importing.append((origin, registered))
    try:
        yield registered
    except BaseException:
        for registry, kept in zip(changing, before, strict=True):
            registry.clear()
            registry.update(kept)
        raise
    finally:
        _importing.pop()


def enter(registry: dict[str, Registered], group: str, name: str, added: Registered) -> None:
    """Add a class, or an activation, to a registry under a name, and record its origin.

    A file or package replaces what another one registered, such as the same file under another name. Built-in classes,
    and those that were registered outside an import, are never replaced.

    Raises:
        ValueError: the name is taken.
    """
    known = registry.get(name)
    origin, registered = _importing[-1] if _importing else (None, set())
    replaceable = origin is not None and origin_of(group, name) not in (None, origin)
    if known is not None and _qualified_name(known) != _qualified_name(added) and not replaceable:
        what = group.removesuffix("s")
        raise ValueError(f"the {what} {name!r} is already {_qualified_name(known)[1]}; choose another name")
    registry[name] = added
    registered.add((group, name))
    if origin is None:
        _origins.pop((group, name), None)
    else:
        _origins[group, name] = origin


def origin_of(group: str, name: str) -> Origin | None:
    """Return the origin of a registered class; None if it is built in or was registered outside an import."""
    return _origins.get((group, name))


def snapshot(registries: Iterable[Mapping[str, Any]]) -> Hashable:
    """All that stands in some registries, and where it comes from.

    It holds the registered classes themselves, so that two are equal only while the same code is loaded.
    """
    return *(frozenset(registry.items()) for registry in registries), frozenset(_origins.items())


def check_name(what: str, name: str) -> None:
    """Check the name of a task, cell, measure or activation: it is a part, between dashes, of file and network names.

    Raises:
        ValueError: the name has other characters or is too long.
    """
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ValueError(
            f"{name!r} cannot name a {what}; expected a lowercase letter, then lowercase letters, digits and "
            "underscores, at most 40 characters"
        )


def _qualified_name(registered: Any) -> tuple[str, str]:
    code = getattr(registered, "function", registered)  # of an activation
    return getattr(code, "__module__", ""), getattr(code, "__qualname__", repr(code))
