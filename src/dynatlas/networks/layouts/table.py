"""Known layouts of a single recurrent layer without gates: what each name means, and the equation.

    rate       h' = (1 − α) h + α φ(W h + U x + b)         α = 1 where time is discrete
    current    h' = (1 − α) h + α (W φ(h + c) + U x + b)

    any               W_rec, W_in, b, W_out, alpha, or dt and tau; orientation from the input matrix
    trainRNNbrain     rate; W_rec, W_inp, W_out, bias_rec or bias, dt, tau, activation_name, activation_slope
    PsychRNN          current, relu; W_rec∘rec_connectivity, and with Dale's law |W_rec| Dale_rec
    nn4n              current, relu; recurrent_layer.input_layer, .hidden_layer (version 1), or
                      recurrent_layers.0.leaky_layer with alpha, .projection_layer (version 2)
    lowrank_inference current, tanh; W = wrec or m nᵀ/units, U = (wi si)ᵀ, c = b, R = (wo so)ᵀ, or that over units
    CTRNN             rate, relu; input2h, h2h (also i2h, x2h) of Yang & Wang's tutorials
    D2L               discrete; x W_xh + h W_hh + b_h, readout h W_hq + b_q (Dive into Deep Learning)
    Karpathy          discrete; Wxh x + Whh h + bh, readout Why h + by (min-char-rnn)

Sources: the packages' own ``get_params``, ``get_weights``, ``forward`` and ``_recurrence``, read in November 2026.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from dynatlas.networks.layers import Form


class Layout(NamedTuple):
    """What the names in a file mean. Names are in lower case, without underscores.

    Attributes:
        label: name of the package or convention.
        needs: names that all have to be there.
        roles: role of each name; the arrays of one role are added, if ``adds``.
        rows: roles whose matrices multiply rows, x U; None where shapes decide.
        form: form of a leaky state; None if the file's user has to know.
        activation: φ, if the file does not record it.
        is_leaky: whether dt/τ is needed, whether or not the file records it.
        step_hint: where the package has dt/τ.
        only: the one value of a number that is supported.
        harmless: why a name has no part in the step.
        adds: whether several biases are added.
        is_state_dict: whether another linear layer of the file may be the readout.
    """

    label: str
    needs: frozenset[str]
    roles: Mapping[str, str]
    rows: frozenset[str] | None = frozenset()
    form: Form | None = None
    activation: str | None = None
    is_leaky: bool = False
    step_hint: str = ""
    only: Mapping[str, float] = {}
    harmless: Mapping[str, str] = {}
    adds: bool = False
    is_state_dict: bool = False


def _dense(role: str, name: str) -> dict[str, str]:
    bias = {"input": "bias", "recurrent": "bias", "readout": "readout_bias"}[role]
    return {f"{name}.weight": role, f"{name}.bias": bias}


_STEP: Final = {"alpha": "alpha", "dt": "dt", "deltat": "dt", "tau": "tau", "taus": "tau"}
_TEXT: Final = {"activation": "activation", "activationname": "activation", "nonlinearity": "activation"}
_TRAINING: Final = "trainRNNbrain applies it in training only"


def _ctrnn(given: str) -> Layout:
    return Layout(
        label=f"CTRNN with {given} and h2h",
        needs=frozenset([f"{given}.weight", "h2h.weight"]),
        roles=_dense("input", given) | _dense("recurrent", "h2h") | _STEP,
        form="rate",
        activation="relu",
        is_leaky=True,
        step_hint="CTRNN keeps it outside its weights; without dt it is 1",
        adds=True,
        is_state_dict=True,
    )


LAYOUTS: Final = (
    Layout(
        label="PsychRNN",
        needs=frozenset(["wrec", "win", "wout", "recconnectivity", "inputconnectivity"]),
        roles={
            "wrec": "recurrent",
            "win": "input",
            "wout": "readout",
            "brec": "bias",
            "bout": "readout_bias",
            "recconnectivity": "recurrent_mask",
            "inputconnectivity": "input_mask",
            "outputconnectivity": "readout_mask",
            "dalerec": "sign",
            "daleout": "readout_sign",
            "daleratio": "dale_ratio",
        }
        | _STEP
        | _TEXT,
        form="current",
        activation="relu",
        is_leaky=True,
        step_hint="PsychRNN takes dt from the task and tau from its parameters",
    ),
    Layout(
        label="trainRNNbrain",
        needs=frozenset(["wrec", "winp"]),
        roles={
            "wrec": "recurrent",
            "winp": "input",
            "wout": "readout",
            "biasrec": "bias",
            "brec": "bias",
            "bias": "bias",
            "biasout": "readout_bias",
            "activationslope": "slope",
        }
        | _STEP
        | _TEXT,
        form="rate",
        activation="relu",
        is_leaky=True,
        only={"gamma": 0, "d": 0},
        harmless={
            "recurrentmask": _TRAINING,
            "inputmask": _TRAINING,
            "outputmask": _TRAINING,
            "dalemask": _TRAINING,
            "positions": _TRAINING,
        },
    ),
    Layout(
        label="nn4n",
        needs=frozenset(["recurrentlayer.inputlayer.weight", "recurrentlayer.hiddenlayer.weight"]),
        roles=_dense("input", "recurrentlayer.inputlayer")
        | _dense("recurrent", "recurrentlayer.hiddenlayer")
        | _dense("readout", "readoutlayer")
        | {"recurrentlayer.alpha": "alpha"},
        form="current",
        activation="relu",
        is_leaky=True,
        step_hint="nn4n's defaults, dt 10 and tau 100, make 0.1",
        adds=True,
        is_state_dict=True,
    ),
    Layout(
        label="nn4n, version 2",
        needs=frozenset(
            ["recurrentlayers.0.leakylayer.linearlayer.weight", "recurrentlayers.0.projectionlayer.weight"]
        ),
        roles=_dense("input", "recurrentlayers.0.projectionlayer")
        | _dense("recurrent", "recurrentlayers.0.leakylayer.linearlayer")
        | _dense("readout", "readoutlayer")
        | {"recurrentlayers.0.leakylayer.alpha": "alpha"},
        form="current",
        activation="relu",
        is_leaky=True,
        adds=True,
        is_state_dict=True,
    ),
    *(
        Layout(
            label=f"lowrank_inference, {rank}",
            needs=frozenset([*recurrent, "wi", "wo"]),
            roles={name: name for name in recurrent if name != "wrec"}
            | {"wrec": "recurrent", "wi": "input", "si": "input_scale", "wo": "readout", "so": "readout_scale"}
            | {"b": "inner_bias"}
            | _STEP
            | _TEXT,
            rows=frozenset(["input", "readout"]),
            form="current",
            activation="tanh",
            is_leaky=True,
            step_hint="lowrank_inference keeps it outside its weights, as the argument alpha",
        )
        for rank, recurrent in (("low rank", ("m", "n")), ("full rank", ("wrec", "si", "so")))
    ),
    *(_ctrnn(given) for given in ("input2h", "i2h", "x2h", "in2h")),
    Layout(
        label="Dive into Deep Learning",
        needs=frozenset(["wxh", "whh", "whq"]),
        roles={"wxh": "input", "whh": "recurrent", "bh": "bias", "whq": "readout", "bq": "readout_bias"} | _TEXT,
        rows=frozenset(["input", "recurrent", "readout"]),
        activation="tanh",
    ),
    Layout(
        label="min-char-rnn",
        needs=frozenset(["wxh", "whh", "why"]),
        roles={"wxh": "input", "whh": "recurrent", "bh": "bias", "why": "readout", "by": "readout_bias"} | _TEXT,
        activation="tanh",
    ),
)

# Plain names that no package owns: role → names, in lower case without underscores.
NAMES: Final[Mapping[str, frozenset[str]]] = {
    "recurrent": frozenset(
        ["w", "j", "wrec", "whh", "wr", "recurrent", "recurrentweights", "recweights", "wrecurrent"]
    ),
    "input": frozenset(
        ["u", "b", "win", "winp", "wih", "wxh", "wi", "wu", "input", "inputweights", "inweights", "winput"]
    ),
    "bias": frozenset(["b", "brec", "bh", "bhh", "bias", "biasrec", "recbias", "recurrentbias", "biasrecurrent"]),
    "readout": frozenset(
        ["wout", "r", "c", "wo", "why", "whq", "readout", "readoutweights", "output", "outputweights", "outweights"]
    ),
    "readout_bias": frozenset(["bout", "d", "bo", "by", "bq", "biasout", "readoutbias", "outputbias", "outbias"]),
    "alpha": frozenset(["alpha"]),
    "dt": frozenset(["dt", "deltat"]),
    "tau": frozenset(["tau", "taus"]),
    "activation": frozenset(_TEXT),
    "form": frozenset(["form"]),
}
ANY: Final = Layout(
    label="plain matrices",
    needs=frozenset(),
    roles={name: role for role, names in NAMES.items() for name in names},
    rows=None,
)
# A user-defined cell with the names of nn.RNNCell and further arrays.
CELL: Final = Layout(
    label="a cell with PyTorch's names",
    needs=frozenset(["weightih", "weighthh"]),
    roles={"weightih": "input", "weighthh": "recurrent", "biasih": "bias", "biashh": "bias"},
    activation="tanh",
    adds=True,
    is_state_dict=True,
)
