"""What a file of weights does not say, and its reader may therefore be told."""

from typing import NamedTuple

from dynatlas.errors import NetworkError
from dynatlas.networks.layers import Form, Reset


class Options(NamedTuple):
    """Each is None where nothing was said.

    Attributes:
        layer: the recurrent layer to read, where a file has several that are not stacked.
        readout: the linear layer that reads out; "" for none.
        activation: φ, where it is not tanh.
        reset: where the reset gate of a GRU acts: after or before the recurrent product.
        alpha: dt/τ of a leaky network.
        form: what the state of a leaky network is: rates or currents.
    """

    layer: str | None = None
    readout: str | None = None
    activation: str | None = None
    reset: Reset | None = None
    alpha: float | None = None
    form: Form | None = None


def refuse_options(options: Options, *names: str, because: str) -> None:
    """Refuse those of these options that were given: they would have no effect.

    Raises:
        NetworkError: one was given.
    """
    given = [name for name in names if getattr(options, name) is not None]
    if given:
        raise NetworkError(f"{' and '.join(given)} cannot be chosen here: {because}")


def choose(what: str, names: list[str], wanted: str | None, option: str) -> str:
    """The one name that there is, or the one that is wanted.

    Raises:
        NetworkError: none of that name, or several and none wanted.
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
    """The one layer that fits as a readout, or the one that is asked for; or None and why there is none.

    Raises:
        NetworkError: the one that was asked for does not fit, or is not there.
    """
    if options.readout == "":
        return None, "no readout, as asked"
    if options.readout is None and len(fitting) != 1:
        several = f"{len(fitting)} {what}s fit: {', '.join(fitting)}" if fitting else f"no {what} fits"
        return None, f"no readout: {several}"
    return choose(f"{what} of the right size", fitting, options.readout, "readout=… (--readout)"), ""
