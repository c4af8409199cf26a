"""A single recurrent layer without gates, discrete or leaky, from arrays whose roles a layout or the caller names.

Each array's shape is squeezed to what its role needs: MATLAB stores vectors as [n, 1] and numbers as [1, 1], and a
network with one input may have its weights as a vector. Where a matrix is square, its shape does not show whether it
multiplies columns, W h, or rows, h W: the layout's convention decides, then the other matrices, then the caller.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from dynatlas._io.untrusted import AnyArray, Arrays
from dynatlas.cells.cell import NONLINEARITIES
from dynatlas.errors import NetworkError
from dynatlas.networks.layers import Layer, Leaky, Matrix, Stack
from dynatlas.networks.layouts.ledger import Ledger, shortened
from dynatlas.networks.layouts.linear import linear_readout
from dynatlas.networks.layouts.table import ANY, LAYOUTS, NAMES, Layout
from dynatlas.networks.network import Network, network_of_layers
from dynatlas.networks.options import Options, choose, refuse_options

Roles = dict[str, list[str]]  # role → names in the file
MATRICES: Final = ("recurrent", "input", "readout")
# Names that texts in files have for the activations of ``cells``.
SYNONYMS: Final = {
    "logistic": "sigmoid",
    "sigm": "sigmoid",
    "identity": "linear",
    "id": "linear",
    "rectify": "relu",
} | {
    "rectified": "relu",
    "rectifiedlinear": "relu",
    "thresholdlinear": "relu",
    "rectifiedtanh": "retanh",
}


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
    roles = _named(arrays, ANY, _prefix_of_names(arrays, options), options)
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
        plain(name)[: -len(plain(_last(name)))]
        for name, values in arrays.items()
        if _role_of(name, values) == "recurrent"
    }
    if options.layer is not None:
        found = {prefix for prefix in found if prefix.rstrip("./") == plain(options.layer)}
    return choose("recurrent layer", sorted(found), None, "layer=… (--layer)") if found else ""


def _last(name: str) -> str:
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
            if layout is ANY and tail == plain(_last(name))
            else layout.roles.get(tail)
            if layout is not ANY
            else None
        )
        if role is not None:
            roles.setdefault(role, []).append(name)
    return roles | {role: [name] for role, name in options.parts.items()}


def _role_of(name: str, values: AnyArray) -> str | None:
    """Return the role of a plain name, as far as its number of axes allows it."""
    short, bare = plain(_last(name)), _last(name)
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
        if fits and axes != "U" or fits and role in ("activation", "form"):
            return role
    return None


def plain_network(ledger: Ledger, layout: Layout, roles: Roles, options: Options) -> Network:
    """Return the network of a single layer without gates.

    Raises:
        NetworkError: two arrays for one role, shapes that do not fit, a leaky layout without dt/τ, a number that the
            layout allows and the equations lack, or an array that is not used and could matter.
    """
    refuse_options(options, "reset", because="a layer without gates has no reset gate")
    for role, names in roles.items():
        if len(names) > 1 and not (layout.adds and role == "bias"):
            raise NetworkError(
                f"{' and '.join(names)} have the same role in the network, {role}; leave out all but one with --ignore"
            )
    for key in ("recurrent",) if "m" not in roles else ():
        if key not in roles:
            raise NetworkError(f"no array is the recurrent matrix; name it with --part recurrent=NAME")
    _check_numbers(ledger, layout)
    parts = _Parts(ledger, layout, roles, options)
    recurrent, given, units = parts.recurrent, parts.given, parts.units
    alpha, leak = _leak(ledger, layout, roles, options, units)
    form, form_fact = _form(ledger, layout, roles, options, alpha is not None)
    activation, activation_fact = _activation(ledger, layout, roles, options)
    bias = sum((parts.vector(name, units) for name in roles.get("bias", ())), np.zeros(units))
    inner = parts.vector(roles["inner_bias"][0], units) if "inner_bias" in roles else None
    if inner is not None and (alpha is None or form != "current"):
        raise NetworkError("inner_bias is added inside φ, which needs a leak and form current (--form current)")
    slope = parts.number("slope")
    if slope is not None and slope != 1:
        if form == "current" or activation == "softplus":
            raise NetworkError(f"the slope of the activation is {slope:g}; with {activation} only 1 is supported")
        given, recurrent, bias = slope * given, slope * recurrent, slope * bias
    weights = (given, recurrent, np.zeros(units), bias, activation)
    try:
        if alpha is None:
            layer = Layer(*weights)
        else:
            extra = {} if inner is None else {"inner_bias": inner}
            layer = Leaky(*weights, alpha=alpha, form=form or "rate", **extra)
    except ValueError as error:
        raise NetworkError(f"the arrays do not fit: {error}") from None
    stack = Stack((layer,))
    readout, readout_fact = parts.readout()
    if readout is None and layout.is_state_dict and "readout" not in roles:
        readout, readout_fact = linear_readout(ledger, stack, options)
    used = shortened([name for names in roles.values() for name in names], 16)
    rest = ledger.close({units}, layer.n_inputs)
    source = (
        f"{layout.label}: {layer.n_inputs} inputs, {units} units ({used})",
        *parts.facts,
        leak,
        activation_fact,
        *form_fact,
        *rest,
        readout_fact,
    )
    return network_of_layers(stack, readout, source, tuple(ledger.assumed))


class _Parts:
    """The matrices of a layer in the orientation W h, and what was found of their orientation."""

    def __init__(self, ledger: Ledger, layout: Layout, roles: Roles, options: Options) -> None:
        self.ledger, self.layout, self.roles, self.options = ledger, layout, roles, options
        self.facts: list[str] = []
        self.scale = 1.0
        stored = self._product() if "m" in roles and "n" in roles else self._matrix("recurrent")
        stored = stored.reshape([size for size in stored.shape if size != 1] or [1, 1]) if stored.ndim != 2 else stored
        if stored.ndim != 2 or stored.shape[0] != stored.shape[1]:
            name = roles["recurrent"][0]
            raise NetworkError(f"{name!r} has the shape {ledger.arrays[name].shape}; expected [units, units]")
        self.units = len(stored)
        given = self._given()
        self.is_rows = self._orientation(given)
        self.recurrent = self._masked(stored.T if self.is_rows else stored, "recurrent", "sign")
        self.given = self._oriented(given, "input")
        if "input_scale" in roles:
            self.given = self.given * self.vector(roles["input_scale"][0], self.given.shape[1])
        self.given = self._masked(self.given, "input", "")

    def _matrix(self, role: str) -> Matrix:
        return self.floats(self.roles[role][0])

    def floats(self, name: str) -> Matrix:
        """Return an array of real numbers in float64."""
        values = self.ledger.use(name)
        if values.dtype.kind not in "fiu":
            raise NetworkError(f"{name!r} is {values.dtype} with the shape {values.shape}; expected numbers")
        return np.asarray(values, np.float64)

    def vector(self, name: str, size: int) -> Matrix:
        """Return an array as a vector of this size; one number counts for all."""
        values = self.floats(name)
        if values.size not in (1, size) or values.size != max(values.shape, default=1):
            raise NetworkError(f"{name!r} has the shape {values.shape}; expected a vector of {size} numbers")
        return np.broadcast_to(values.reshape(-1), (size,))

    def number(self, role: str) -> float | None:
        """Return the number that has this role, or None."""
        if role not in self.roles:
            return None
        values = self.floats(self.roles[role][0])
        if values.size != 1:
            raise NetworkError(f"{self.roles[role][0]!r} has the shape {values.shape}; expected a number")
        return float(values.reshape(()))

    def _product(self) -> Matrix:
        """Return m nᵀ over the number of units."""
        m, n = (self.floats(self.roles[role][0]) for role in ("m", "n"))
        m, n = (one[:, None] if one.ndim == 1 else one for one in (m, n))
        if m.shape != n.shape or m.ndim != 2:
            raise NetworkError(f"m has the shape {m.shape} and n {n.shape}; expected [units, rank] for both")
        self.scale = 1 / len(m)
        self.facts.append(f"the recurrent matrix is m nᵀ/{len(m)}, of rank {m.shape[1]} at most")
        return m @ n.T * self.scale

    def _given(self) -> Matrix:
        if "input" not in self.roles:
            return np.zeros((self.units, 0))
        values = self._matrix("input")
        if values.ndim == 1:
            values = values[:, None] if len(values) == self.units else values[None]
        if values.ndim != 2 or self.units not in values.shape:
            raise NetworkError(
                f"{self.roles['input'][0]!r} has the shape {values.shape}; expected [{self.units}, inputs], or "
                f"[inputs, {self.units}]"
            )
        return values

    def _orientation(self, given: Matrix) -> bool:
        """Return whether the recurrent matrix multiplies rows, h W."""
        wanted = self.options.orientation
        if self.layout.rows is not None:
            return "recurrent" in self.layout.rows if wanted is None else wanted == "rows"
        by_input = (
            None
            if given.shape[0] == given.shape[1] or 1 in given.shape or not given.size
            else given.shape[1] == self.units
        )
        if wanted is not None:
            self.facts.append(
                f"{'rows are multiplied, h W' if wanted == 'rows' else 'columns are multiplied, W h'}, as requested"
            )
            return wanted == "rows"
        if by_input is not None:
            shape = "[inputs, units]" if by_input else "[units, inputs]"
            words = "rows are multiplied, h W" if by_input else "columns are multiplied, W h"
            self.facts.append(f"{words}: the input matrix is {shape}")
            return by_input
        why = "no matrix shows it; --orientation rows for h W"
        rows = False
        if "readout" in self.roles:
            shape = self.ledger.arrays[self.roles["readout"][0]].shape
            if len(shape) == 2 and shape[0] != shape[1] and 1 not in shape:
                rows = shape[0] == self.units
                why = f"the readout is {'[units, outputs]' if rows else '[outputs, units]'}"
        if (
            1 in given.shape
            and given.shape[0] != given.shape[1]
            and self.ledger.arrays[self.roles["input"][0]].ndim == 2
        ):
            rows = given.shape[1] == self.units
            why = f"the input matrix is {'[1, units]' if rows else '[units, 1]'}"
        words = "rows are multiplied, h W" if rows else "columns are multiplied, W h"
        self.facts.append(self.ledger.assume(words, why))
        return rows

    def _oriented(self, values: Matrix, role: str) -> Matrix:
        """Return an input matrix as [units, inputs], or a readout as [outputs, units]."""
        first, last = (self.units in (values.shape[axis],) for axis in (0, 1))
        own, other = (first, last) if role == "input" else (last, first)
        if own and other:
            rows = self.is_rows if self.layout.rows is None or self.options.orientation else role in self.layout.rows
            return values.T if rows else values
        return values if own else values.T

    def _masked(self, weights: Matrix, role: str, sign: str) -> Matrix:
        """Apply a mask, and signs by Dale's law."""
        mask = self.roles.get(f"{role}_mask")
        is_rows = self.is_rows and role == "recurrent"
        if mask:
            values = self.floats(mask[0])
            values = values.T if is_rows else values
            if values.shape != weights.shape:
                raise NetworkError(f"{mask[0]!r} has the shape {values.shape}; expected {weights.shape}")
            weights = weights * values
        is_dale = "sign" in self.options.parts or bool(self.number("dale_ratio"))
        if role == "input" and bool(self.number("dale_ratio")):
            return np.abs(weights)
        names = self.roles.get(sign, ())
        if not names:
            return weights
        values = self.floats(names[0])
        if not is_dale:
            self.ledger.explain(names[0], "Dale's law is not applied")
            return weights
        if values.size == max(values.shape):
            values = np.diag(values.reshape(-1))
        if role == "recurrent":
            self.facts.append(f"Dale's law: absolute weights times the signs {names[0]}")
        if values.shape == (weights.shape[1], weights.shape[1]) and not (values - np.diag(np.diag(values))).any():
            return np.abs(weights) @ values
        values = values.T if is_rows else values
        if values.shape != weights.shape:
            raise NetworkError(f"{names[0]!r} has the shape {values.shape}; expected {weights.shape}")
        return np.abs(weights) * values

    def readout(self) -> tuple[tuple[Matrix, Matrix] | None, str]:
        """Return the readout's weights and bias, or None, and a sentence about it."""
        names = self.roles.get("readout", [])
        if self.options.readout not in (None, "", *names):
            listed = ", ".join(names) or "none"
            if self.layout.is_state_dict:
                return None, ""
            raise NetworkError(f"the file has no readout {self.options.readout!r}; it has: {listed}")
        bias_names = self.roles.get("readout_bias", [])
        if not names or self.options.readout == "":
            for name in (*names, *bias_names, *self.roles.get("readout_scale", [])):
                self.ledger.explain(name, "the readout")
            return None, "no readout" + (", as requested" if self.options.readout == "" else "")
        stored = self._matrix("readout")
        weights = stored[None] if stored.ndim == 1 else stored
        if weights.ndim != 2 or self.units not in weights.shape:
            raise NetworkError(
                f"{names[0]!r} has the shape {stored.shape}; expected [outputs, {self.units}], and a bias of as many outputs"
            )
        is_flipped = weights.shape[1] != self.units
        weights = self._oriented(weights, "readout")
        if "readout_scale" in self.roles:
            weights = self.vector(self.roles["readout_scale"][0], len(weights))[:, None] * weights
        weights = self._masked(weights * self.scale, "readout", "readout_sign")
        bias = self.vector(bias_names[0], len(weights)) if bias_names else np.zeros(len(weights))
        stored_as = (
            ", stored as [units, outputs]" if is_flipped and not self.is_rows and self.layout.rows is None else ""
        )
        return (weights, bias), f"readout {names[0]}, {len(weights)} outputs{stored_as}"


def _check_numbers(ledger: Ledger, layout: Layout) -> None:
    """Explain what the layout knows to be harmless, and refuse numbers that its equation has and ours lacks."""
    for name, values in list(ledger.rest.items()):
        short = plain(_last(name))
        if short in layout.harmless:
            ledger.explain(name, layout.harmless[short])
        if short in layout.only and values.size == 1:
            if float(values.reshape(())) != layout.only[short]:
                raise NetworkError(
                    f"{name!r} is {float(values.reshape(())):g}; of {layout.label} only {layout.only[short]:g} is supported: "
                    "the term it stands for is not in the equations here. Write the step in JAX: Network(step=…)"
                )
            ledger.explain(name, f"{layout.only[short]:g}")


def _leak(ledger: Ledger, layout: Layout, roles: Roles, options: Options, units: int) -> tuple[Matrix | None, str]:
    """Return α of each unit, or None, and a sentence about its source."""
    names = {role: roles[role][0] for role in ("alpha", "dt", "tau") if role in roles}
    if options.alpha is not None:
        for name in names.values():
            ledger.explain(name, "alpha is as requested")
        return np.full(units, options.alpha), f"leaky with alpha {options.alpha:g}, as requested"
    values = {role: _per_unit(ledger, name, units) for role, name in names.items()}
    ratio = values["dt"] / values["tau"] if "dt" in values and "tau" in values else None
    if "alpha" in values:
        if ratio is not None and not np.allclose(ratio, values["alpha"], rtol=1e-6):
            raise NetworkError(
                f"{names['alpha']!r} is {values['alpha'][0]:g}, but {names['dt']}/{names['tau']} is {ratio[0]:g}; leave one "
                "out with --ignore, or set alpha=… (--alpha)"
            )
        low, high = values["alpha"].min(), values["alpha"].max()
        return values["alpha"], f"leaky with {names['alpha']}, {low:g}{'' if low == high else f' to {high:g}'}"
    if ratio is not None:
        low, high = ratio.min(), ratio.max()
        return ratio, f"leaky with alpha = {names['dt']}/{names['tau']}, {low:g} to {high:g}"
    if "tau" in names:
        raise NetworkError(f"{names['tau']!r} needs a time step: store dt in the file, or set alpha=… (--alpha)")
    if "dt" in names:
        raise NetworkError(
            f"{names['dt']!r} needs a time constant: store tau in the file, set alpha = dt/tau (--alpha), or --ignore "
            f"{names['dt']} if time is discrete"
        )
    if layout.is_leaky:
        hint = f"; {layout.step_hint}" if layout.step_hint else ""
        raise NetworkError(f"{layout.label} is leaky, and dt/tau is not in the file; set alpha=… (--alpha){hint}")
    if layout.label == ANY.label:
        return None, ledger.assume("discrete in time", "neither alpha nor tau is in the file (--alpha for a leak)")
    return None, "discrete in time"


def _per_unit(ledger: Ledger, name: str, units: int) -> Matrix:
    values = ledger.use(name)
    if values.dtype.kind not in "fiu" or values.size not in (1, units):
        raise NetworkError(
            f"{name!r} has the shape {values.shape}; expected a number, or one for each of {units} units"
        )
    return np.array(np.broadcast_to(np.asarray(values, np.float64).reshape(-1), (units,)))


def _form(
    ledger: Ledger, layout: Layout, roles: Roles, options: Options, is_leaky: bool
) -> tuple[str | None, tuple[str, ...]]:
    """Return the form of the state and a sentence about it."""
    stored = str(ledger.use(roles["form"][0])).lower() if "form" in roles else None
    if stored not in (None, "rate", "current"):
        raise NetworkError(f"{roles['form'][0]!r} is {stored!r}; expected rate or current")
    if not is_leaky:
        if options.form is not None:
            raise NetworkError("form needs a leak; set alpha = dt/tau (--alpha), or store it in the file")
        return None, ()
    if options.form is not None or stored is not None:
        how = "as requested" if options.form else "as the file says"
        return options.form or stored, (f"the state is {options.form or stored}s, {how}",)
    if layout.form is not None:
        return layout.form, (f"the state is {layout.form}s, as in {layout.label}",)
    return "rate", (ledger.assume("the state is rates"),)


def _activation(ledger: Ledger, layout: Layout, roles: Roles, options: Options) -> tuple[str, str]:
    """Return the name of the activation and a sentence about it."""
    stored = None
    if "activation" in roles:
        name = roles["activation"][0]
        stored = activation_named(str(ledger.use(name)), name)
    if options.activation is not None:
        against = f"; the file says {stored}" if stored not in (None, options.activation) else ""
        return options.activation, f"activation {options.activation}, as requested{against}"
    if stored is not None:
        return stored, f"activation {stored}, as {roles['activation'][0]} says"
    why = f"{layout.label} has it by default, and the file does not record it"
    why = why if layout.activation else "matrices do not record it"
    return layout.activation or "tanh", ledger.assume(f"activation {layout.activation or 'tanh'}", why)


def activation_named(text: str, where: str) -> str:
    """Return our name of an activation.

    Raises:
        NetworkError: there is none.

    Example:
        >>> activation_named("torch.nn.ReLU()", "activation")
        'relu'
    """
    short = plain(text).removesuffix("()").rsplit(".", 1)[-1].replace(" ", "").replace("-", "")
    name = SYNONYMS.get(short, short)
    if name not in NONLINEARITIES:
        raise NetworkError(
            f"{where!r} is {text[:60]!r}; expected one of {', '.join(NONLINEARITIES)}; set activation=… (--activation)"
        )
    return name
