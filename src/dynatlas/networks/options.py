"""Options for what a file of weights does not record, and the choice among several layers."""

from typing import NamedTuple

from dynatlas.errors import NetworkError
from dynatlas.networks.layers import Form, Reset


class Options(NamedTuple):
    """Options of the caller; None means not specified.

    Attributes:
        layer: the recurrent layer to read, if the file has several that are not stacked.
        readout: the linear layer used as readout; "" for none.
        activation: φ; by default tanh.
        reset: whether the reset gate of a GRU acts after or before the recurrent product.
        alpha: dt/τ of a leaky network.
        form: whether the state of a leaky network is rates or currents.
    """

    layer: str | None = None
    readout: str | None = None
    activation: str | None = None
    reset: Reset | None = None
    alpha: float | None = None
    form: Form | None = None


def refuse_options(options: Options, *names: str, because: str) -> None:
    """Check that none of these options is set, since they would have no effect.

    Raises:
        NetworkError: an option is set.
    """
    given = [name for name in names if getattr(options, name) is not None]
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
