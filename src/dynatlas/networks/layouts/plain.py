"""A single recurrent layer without gates, discrete or leaky, from arrays whose roles a layout or the caller names."""

from typing import get_args

import numpy as np

from dynatlas.errors import NetworkError
from dynatlas.networks.layers import Form, Layer, Leaky, Matrix, Stack
from dynatlas.networks.layouts.ledger import Ledger, shortened
from dynatlas.networks.layouts.linear import linear_readout
from dynatlas.networks.layouts.parts import Parts
from dynatlas.networks.layouts.recognition import Roles, last_part, plain
from dynatlas.networks.layouts.table import ANY, Layout
from dynatlas.networks.layouts.texts import activation_in
from dynatlas.networks.network import Network, network_of_layers
from dynatlas.networks.options import Options, refuse_options


def plain_network(ledger: Ledger, layout: Layout, roles: Roles, options: Options) -> Network:
    """Return the network of a single layer without gates.

    Raises:
        NetworkError: two arrays for one role, shapes that do not fit, a leaky layout without dt/τ, a number that the
            layout allows and the equations lack, or an array that is not used and could matter.
    """
    refuse_options(options, "reset", because="a layer without gates has no reset gate")
    for role, names in roles.items():
        if len(names) > 1 and not (role == "bias" and (layout.adds or "bias" in options.parts)):
            raise NetworkError(
                f"{' and '.join(names)} have the same role in the network, {role}; leave out all but one with --ignore"
            )
    if not {"recurrent", "m"} & roles.keys():
        raise NetworkError("no array is the recurrent matrix; name it with --part recurrent=NAME")
    _check_numbers(ledger, layout)
    parts = Parts(ledger, layout, roles, options)
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
            layer = Leaky(*weights, alpha=alpha, form=form or "rate", inner_bias=0.0 if inner is None else inner)
    except ValueError as error:
        raise NetworkError(f"the arrays do not fit: {error}") from None
    stack = Stack((layer,))
    readout, readout_fact = parts.readout()
    if readout is None and layout.is_state_dict and "readout" not in roles:
        readout, readout_fact = linear_readout(ledger, stack, options)
    used = shortened([name for names in roles.values() for name in names], 16)
    rest = ledger.close({units}, layer.n_inputs, taken=roles.keys() | ({"recurrent"} if "m" in roles else set()))
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


def _check_numbers(ledger: Ledger, layout: Layout) -> None:
    """Explain what the layout knows to be harmless, and refuse numbers that its equation has and ours lacks."""
    for name, values in list(ledger.rest.items()):
        short = plain(last_part(name))
        if short in layout.harmless:
            ledger.explain(name, layout.harmless[short])
        if short in layout.only and values.size == 1:
            if float(values.reshape(())) != layout.only[short]:
                raise NetworkError(
                    f"{name!r} is {float(values.reshape(())):g}; of {layout.label} only {layout.only[short]:g} is "
                    "supported: the term it stands for is not in the equations here. Write the step in JAX: "
                    "Network(step=…)"
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
                f"{names['alpha']!r} is {values['alpha'][0]:g}, but {names['dt']}/{names['tau']} is {ratio[0]:g}; "
                "leave one out with --ignore, or set alpha=… (--alpha)"
            )
        return values["alpha"], f"leaky with {names['alpha']}, {_range(values['alpha'])}"
    if ratio is not None:
        return ratio, f"leaky with alpha = {names['dt']}/{names['tau']}, {_range(ratio)}"
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


def _range(alpha: Matrix) -> str:
    low, high = alpha.min(), alpha.max()
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _per_unit(ledger: Ledger, name: str, units: int) -> Matrix:
    values = ledger.use(name)
    if values.dtype.kind not in "fiu" or values.size not in (1, units):
        raise NetworkError(
            f"{name!r} has the shape {values.shape}; expected a number, or one for each of {units} units"
        )
    return np.array(np.broadcast_to(np.asarray(values, np.float64).reshape(-1), (units,)))


def _form(
    ledger: Ledger, layout: Layout, roles: Roles, options: Options, is_leaky: bool
) -> tuple[Form | None, tuple[str, ...]]:
    """Return the form of the state and a sentence about it."""
    said = str(ledger.use(roles["form"][0])).lower() if "form" in roles else None
    if said not in (None, *get_args(Form)):
        raise NetworkError(f"{roles['form'][0]!r} is {said!r}; expected rate or current")
    stored: Form | None = next((one for one in get_args(Form) if one == said), None)
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
    found = activation_in(ledger, options)
    stored, name = found or (None, "")
    if options.activation is not None:
        against = f"; the file says {stored}" if stored not in (None, options.activation) else ""
        return options.activation, f"activation {options.activation}, as requested{against}"
    if stored is not None:
        return stored, f"activation {stored}, as {name} says"
    why = f"{layout.label} has it by default, and the file does not record it"
    why = why if layout.activation else "matrices do not record it"
    return layout.activation or "tanh", ledger.assume(f"activation {layout.activation or 'tanh'}", why)
