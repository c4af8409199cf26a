"""Every cell follows PyTorch's, recorded by data/record_torch.py."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.architectures import GRU, LSTM, Vanilla
from dynatlas.cells.cell import Cell
from support.cell_equations import GATES, N_OUTPUTS, Gate, blank_cell, respond, torch_gru_step, with_leaves

pytestmark = pytest.mark.usefixtures("quick_compilation")


DATA = Path(__file__).parents[1] / "data"


def from_torch(
    name: str, cell_type: type[Cell], activation: str, order: tuple[str, ...]
) -> tuple[Cell, np.ndarray, np.ndarray]:
    """A recorded layer as a cell, with its inputs and the states it visited. ``order`` is torch's."""
    with np.load(DATA / f"torch_{name}.npz", allow_pickle=False) as recorded:
        data = dict(recorded)
    units, n_inputs = data["weight_hh"].shape[1], data["weight_ih"].shape[1]

    def restack(values: np.ndarray) -> np.ndarray:
        by_gate = dict(zip(order, np.split(values, len(order)), strict=True))
        return np.concatenate([by_gate[gate] for gate in cell_type.gates])

    kind = cell_type.__name__.lower()
    cell = blank_cell(kind, n_inputs, units, N_OUTPUTS, activation)
    parts = ("hidden", "memory") if cell_type is LSTM else ("hidden",)
    leaves = {
        "recurrent_weights": restack(data["weight_hh"]),
        "input_weights": restack(data["weight_ih"]),
        "bias": restack(data["bias_ih"] + data["bias_hh"]),
        "initial_state": np.concatenate([data[f"initial_{part}"] for part in parts]),
    }
    return with_leaves(cell, leaves), data["inputs"], np.concatenate([data[part] for part in parts], axis=1)


@pytest.mark.parametrize(
    ("name", "cell_type", "activation", "order"),
    [
        ("rnn_tanh", Vanilla, "tanh", ("candidate",)),
        ("rnn_relu", Vanilla, "relu", ("candidate",)),
        ("lstm", LSTM, "tanh", ("input", "forget", "candidate", "output")),
        ("gru_diagonal", GRU, "tanh", ("reset", "update", "candidate")),
    ],
)
def test_every_step_equals_pytorch(
    x64: None, name: str, cell_type: type[Cell], activation: str, order: tuple[str, ...]
) -> None:
    cell, inputs, expected = from_torch(name, cell_type, activation, order)
    states, _ = respond(cell, jnp.asarray(inputs))
    assert states.dtype == jnp.float64
    np.testing.assert_allclose(states, expected, rtol=1e-10, atol=1e-10)


def test_pytorchs_gru_is_the_other_form(x64: None) -> None:
    cell, inputs, expected = from_torch("gru", GRU, "tanh", ("reset", "update", "candidate"))
    assert np.abs(respond(cell, jnp.asarray(inputs))[0] - expected).max() > 1e-2
    with np.load(DATA / "torch_gru.npz", allow_pickle=False) as recorded:
        W, U, b, hidden_bias = (
            dict(zip(GATES["gru"], np.split(recorded[name], 3), strict=True))
            for name in ("weight_hh", "weight_ih", "bias_ih", "bias_hh")
        )
        state = list(recorded["initial_hidden"])
    gates = {name: Gate(W[name], U[name], b[name] + hidden_bias[name]) for name in ("reset", "update")}
    gates["candidate"] = Gate(W["candidate"], U["candidate"], b["candidate"])
    for x, after in zip(inputs, expected, strict=True):
        state = torch_gru_step(gates, hidden_bias["candidate"], state, list(x))
        np.testing.assert_allclose(state, after, rtol=1e-10, atol=1e-10)
