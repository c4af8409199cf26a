"""The name of the activation in a file of weights, whatever the text's own name."""

from typing import Final

from dynatlas._util.names import words_of
from dynatlas.cells.activations import ACTIVATIONS
from dynatlas.errors import NetworkError
from dynatlas.networks.layouts.ledger import Ledger
from dynatlas.networks.layouts.recognition import last_part, plain
from dynatlas.networks.options import Options

# Names that texts in files have for the activations of ``cells``.
SYNONYMS: Final = {
    "logistic": "sigmoid",
    "sigm": "sigmoid",
    "linear": "identity",
    "id": "identity",
    "leakyrelu": "leaky_relu",
    "lrelu": "leaky_relu",
    "rectify": "relu",
} | {
    "rectified": "relu",
    "rectifiedlinear": "relu",
    "thresholdlinear": "relu",
    "rectifiedtanh": "retanh",
}
ACTIVATION_WORDS: Final = {"activation", "activations", "act", "nonlinearity", "nonlin", "phi", "transfer"}
READOUT_WORDS: Final = {"out", "output", "outputs", "readout"}
AMBIGUOUS: Final = {"linear", "identity", "id", "rectified"}  # also names of tasks, layers and initial weights


def activation_named(text: str, where: str) -> str:
    """Return our name of an activation.

    Raises:
        NetworkError: there is none.

    Example:
        >>> activation_named("torch.nn.ReLU()", "activation")
        'relu'
    """
    name = _named(text)
    if name not in ACTIVATIONS:
        raise NetworkError(
            f"{where!r} is {text[:60]!r}; expected one of {', '.join(ACTIVATIONS)}; set activation=… (--activation)"
        )
    return name


def activation_in(ledger: Ledger, options: Options) -> tuple[str, str] | None:
    """Return the activation that a text of the file names and the text's name, or None.

    Texts count by their name (``nonlinearity``, ``act_fn``, …) or by a value that names nothing else, such as "relu".
    The activation of a readout has no part in the step.

    Raises:
        NetworkError: several activations or an unknown one, and the caller chooses none.
    """
    found: dict[str, str] = {}
    for name, values in ledger.rest.items():
        if values.dtype.kind != "U" or values.size != 1 or str(values.reshape(())) in ("None", ""):
            continue
        text, words = str(values.reshape(())), set(words_of(last_part(name)))
        is_known = _named(text) in ACTIVATIONS and plain(text) not in AMBIGUOUS
        if not is_known and not words & ACTIVATION_WORDS:
            continue
        if words & READOUT_WORDS:
            ledger.explain(name, "the activation of the readout, which is read without it")
        else:
            found[name] = text
    for name in found:
        ledger.use(name)
    named = {name: _named(text) if options.activation else activation_named(text, name) for name, text in found.items()}
    if len(set(named.values())) > 1 and not options.activation:
        listed = ", ".join(f"{name!r} is {one}" for name, one in named.items())
        raise NetworkError(f"{listed[:300]}; expected one activation: set activation=… (--activation)")
    return next(((one, name) for name, one in named.items()), None)


def _named(text: str) -> str:
    short = plain(text).removesuffix("()").rsplit(".", 1)[-1].replace(" ", "").replace("-", "")
    return SYNONYMS.get(short, short)
