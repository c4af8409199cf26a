"""Options for what a file of weights does not record, and the choice among several layers."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from dynatlas.errors import NetworkError
from dynatlas.networks.layers import Form, Reset

Orientation = Literal["columns", "rows"]

# Roles of arrays in h' = (1 − α) h + α φ(W h + U x + b) and its like, and in the readout.
ROLES: Final = {
    "recurrent": "W",
    "input": "U",
    "bias": "b",
    "inner_bias": "c in W φ(h + c), where the state is currents",
    "recurrent_mask": "M, in W∘M",
    "sign": "signs of the columns [units], or S in |W|∘S",
    "readout": "R",
    "readout_bias": "d",
    "alpha": "α = dt/τ",
    "tau": "τ",
    "dt": "dt",
}


class Options(NamedTuple):
    """Options of the caller; None means not specified.

    Attributes:
        layer: the recurrent layer to read, if the file has several that are not stacked.
        readout: the linear layer used as readout; "" for none.
        activation: φ.
        reset: whether the reset gate of a GRU acts after or before the recurrent product.
        alpha: dt/τ of a leaky network.
        form: whether the state of a leaky network is rates or currents.
        orientation: whether square matrices multiply columns, W h, or rows, h W.
        parts: names of arrays by role, one of ``ROLES``.
        ignore: names of arrays to leave out; ``*`` stands for any characters.
    """

    layer: str | None = None
    readout: str | None = None
    activation: str | None = None
    reset: Reset | None = None
    alpha: float | None = None
    form: Form | None = None
    orientation: Orientation | None = None
    parts: Mapping[str, str] = {}
    ignore: tuple[str, ...] = ()


def check_options(options: Options) -> None:
    """Check the values of the options.

    Raises:
        NetworkError: an unknown role, orientation or form.
    """
    for role in options.parts:
        if role not in ROLES:
            raise NetworkError(f"there is no role {role!r}; expected one of {', '.join(ROLES)}")
    for name, known in (
        ("orientation", ("columns", "rows")),
        ("form", ("rate", "current")),
        ("reset", ("after", "before")),
    ):
        seen = getattr(options, name)
        if seen is not None and seen not in known:
            raise NetworkError(f"{name} is {seen!r}; expected {' or '.join(known)}")


def refuse_options(options: Options, *names: str, because: str) -> None:
    """Check that none of these options is set, since they would have no effect.

    Raises:
        NetworkError: an option is set.
    """
    given = [name for name in names if getattr(options, name)]
    if given:
        raise NetworkError(f"{' and '.join(given)} cannot be chosen here: {because}")


def choose(what: str, names: list[str], wanted: str | None, option: str) -> str:
    """Return the wanted name, or the only one.

    Raises:
        NetworkError: the wanted name does not exist, or none is wanted and there is not exactly one.
    """
    listed = ", ".join(name or "(without a name)" for name in names)
    if wanted is not None:
        if wanted not in names:
            raise NetworkError(f"there is no {what} {wanted!r}; there are: {listed or 'none'}")
        return wanted
    if len(names) != 1:
        raise NetworkError(f"the file has {len(names)} {what}s: {listed}; choose one with {option}")
    return names[0]


def choose_readout(what: str, fitting: list[str], options: Options) -> tuple[str | None, str]:
    """Return the requested readout layer, or the only one that fits; or None and the reason.

    Raises:
        NetworkError: the requested layer does not exist or does not fit.
    """
    if options.readout == "":
        return None, "no readout, as requested"
    if options.readout is None and len(fitting) != 1:
        several = f"{len(fitting)} {what}s fit: {', '.join(fitting)}" if fitting else f"no {what} fits"
        return None, f"no readout: {several}"
    return choose(f"{what} of the right size", fitting, options.readout, "readout=… (--readout)"), ""
