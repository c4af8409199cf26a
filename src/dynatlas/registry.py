"""Where the tasks, cells and measures come from that are not ours: the file or the package that registered each."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Origin(NamedTuple):
    """Imported code of which the version is known: a file, or an installed distribution."""

    name: str  # of the file, without its folder; or of the distribution
    version: str  # the SHA-256 of the file's bytes; or the distribution's version
    is_file: bool


_importing: list[tuple[Origin, set[tuple[str, str]]]] = []


_origins: dict[tuple[str, str], Origin] = {}


@contextmanager
def importing(origin: Origin, registries: Mapping[str, dict[str, Any]]) -> Iterator[set[tuple[str, str]]]:
    """While code is imported: gives the (group, name) pairs that it registers.

    What a file of the same name registered before is forgotten. If the import fails, all is as it was.
    """
    registered: set[tuple[str, str]] = set()
    registers: list[dict[Any, Any]] = [*registries.values(), _origins]
    before = [dict(register) for register in registers]
    for (group, name), earlier in list(_origins.items()):
        if origin.is_file and earlier.is_file and earlier.name == origin.name:
            registries[group].pop(name, None)
            del _origins[group, name]
    _importing.append((origin, registered))
    try:
        yield registered
    except BaseException:
        for register, kept in zip(registers, before, strict=True):
            register.clear()
            register.update(kept)
        raise
    finally:
        _importing.pop()


def enter(registry: dict[str, Any], group: str, name: str, added: Any) -> None:
    """Put something into a registry under a name, and note where it comes from.

    What a file or package registers takes the place of what another one registered, such as the same file under another
    name; never of what is ours, or was registered by hand.

    Raises:
        ValueError: something else has the name.
    """
    known: Any = registry.get(name)
    origin, registered = _importing[-1] if _importing else (None, set())
    is_other = name in registry and _place(known) != _place(added)
    if is_other and (origin is None or origin_of(group, name) in (None, origin)):
        what = group.removesuffix("s")
        raise ValueError(f"the {what} {name!r} is {known.__qualname__} already; choose another name")
    registry[name] = added
    registered.add((group, name))
    if origin is None:
        _origins.pop((group, name), None)
    else:
        _origins[group, name] = origin


def origin_of(group: str, name: str) -> Origin | None:
    """Where something registered comes from; None if it is ours, or was registered by hand."""
    return _origins.get((group, name))


def origins() -> Mapping[tuple[str, str], Origin]:
    """Where everything registered comes from that is neither ours nor registered by hand, by (group, name)."""
    return MappingProxyType(_origins)


def check_name(what: str, name: str) -> None:
    """Names of tasks, cells and measures stand in names of files and of networks, where a dash separates them.

    Raises:
        ValueError: this one cannot.
    """
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ValueError(
            f"{name!r} cannot name a {what}; expected a small letter, then small letters, digits and underscores, "
            "40 in all at most"
        )


def _place(added: Any) -> tuple[str, str]:
    return added.__module__, added.__qualname__
