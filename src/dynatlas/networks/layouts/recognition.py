"""Which layout a file of plain arrays has, and the names of the arrays for each role."""

from dynatlas._io.untrusted import AnyArray, Arrays
from dynatlas.errors import NetworkError
from dynatlas.networks.layouts.ledger import shortened
from dynatlas.networks.layouts.table import ANY, LAYOUTS, NAMES, Layout
from dynatlas.networks.options import Options, choose

Roles = dict[str, list[str]]  # role → names in the file


def plain(name: str) -> str:
    """Return a name in lower case without underscores."""
    return name.lower().replace("_", "")


def recognise(arrays: Arrays, options: Options) -> tuple[Layout, Roles] | None:
    """Return the layout of a file and the names of the arrays for each role, or None if no array is recurrent.

    Raises:
        NetworkError: an array that the caller names does not exist.
    """
    missing = next((name for name in options.parts.values() if name not in arrays), None)
    if missing is not None:
        raise NetworkError(f"the file has no array {missing!r}; it has: {shortened(arrays)}")
    for layout in LAYOUTS:
        for prefix in _prefixes(arrays, layout.needs, options):
            return layout, _named(arrays, layout, prefix, options)
    prefix = "" if "recurrent" in options.parts and options.layer is None else _prefix_of_names(arrays, options)
    roles = _named(arrays, ANY, prefix, options)
    return (ANY, roles) if roles.get("recurrent") else None


def _prefixes(arrays: Arrays, needs: frozenset[str], options: Options) -> list[str]:
    """Return the prefix under which all needed names are, if there is one."""
    names = {plain(name) for name in arrays}
    one = min(needs)
    ends = [name.removesuffix(one) for name in names if name == one or name.endswith((f".{one}", f"/{one}"))]
    found = [prefix for prefix in ends if all(prefix + need in names for need in needs)]
    if options.layer is not None and found:
        found = [prefix for prefix in found if prefix.rstrip("./") == plain(options.layer)]
    return [choose("recurrent layer", sorted(found), None, "layer=… (--layer)")] if found else []


def _prefix_of_names(arrays: Arrays, options: Options) -> str:
    """Return the prefix of the array with the name of a recurrent matrix; "" if there is none."""
    found = {
        plain(name)[: -len(plain(last_part(name)))]
        for name, values in arrays.items()
        if _role_of(name, values) == "recurrent"
    }
    if options.layer is not None:
        found = {prefix for prefix in found if prefix.rstrip("./") == plain(options.layer)}
    return choose("recurrent layer", sorted(found), None, "layer=… (--layer)") if found else ""


def last_part(name: str) -> str:
    """Return a name without the modules that hold it."""
    return name.replace("/", ".").rsplit(".", 1)[-1]


def _named(arrays: Arrays, layout: Layout, prefix: str, options: Options) -> Roles:
    """Return the names for each role: those of the layout, and those of the caller in their place."""
    roles: Roles = {}
    taken = set(options.parts.values())
    for name, values in arrays.items():
        tail = plain(name).removeprefix(prefix)
        if name in taken or (values.dtype.kind == "U" and str(values) == "None"):
            continue
        role = (
            _role_of(name, values)
            if layout is ANY and tail == plain(last_part(name))
            else layout.roles.get(tail)
            if layout is not ANY
            else None
        )
        if role is not None:
            roles.setdefault(role, []).append(name)
    # A bias is added to the one that the names show, if there is one: neither could be left aside.
    named_by_caller = {role: [name] for role, name in options.parts.items()}
    if "bias" in named_by_caller:
        named_by_caller["bias"] = [*roles.get("bias", ()), *named_by_caller["bias"]]
    return roles | named_by_caller


def _role_of(name: str, values: AnyArray) -> str | None:
    """Return the role of a plain name, as far as its number of axes allows it."""
    short, bare = plain(last_part(name)), last_part(name)
    size = values.size
    longest = max(values.shape, default=1)
    axes = "U" if values.dtype.kind == "U" else 0 if size == 1 and values.ndim != 2 else 1 if size == longest else 2
    if values.dtype.kind not in "fiuU":
        return None
    for role, names in NAMES.items():
        if short not in names:
            continue
        fits = {
            "recurrent": axes in (0, 2) or size == 1,
            "input": axes in (1, 2) and (len(bare) > 1 or values.ndim == 2),
            "readout": axes in (1, 2) and (len(bare) > 1 or values.ndim == 2),
            "activation": axes == "U",
            "form": axes == "U",
        }.get(role, axes in (0, 1) or size == 1)
        if role == "input" and bare == "b" and axes == 1:
            fits = False  # a vector b is a bias, and a vector B the weights of one input
        if role == "bias" and bare == "B" and values.ndim == 2:
            fits = False
        if (fits and axes != "U") or (fits and role in ("activation", "form")):
            return role
    return None
