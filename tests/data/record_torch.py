"""Record what PyTorch's recurrent layers answer, as an oracle for ``tests/cells/test_cells.py``.

Run once, in an environment of its own, and keep the files it writes beside itself:

    python -m venv /tmp/torch-venv && /tmp/torch-venv/bin/pip install torch==2.13.0 numpy
    /tmp/torch-venv/bin/python tests/data/record_torch.py

Each file holds one layer in float64: its weights under torch's names, its inputs and initial state, and its
state after every step. torch's ``nn.GRU`` applies the reset gate after the recurrent product, so it is
recorded twice: as it is, where it must differ from ours, and with a diagonal candidate matrix, where the two
coincide.
"""

from pathlib import Path

import numpy as np
import torch

N_INPUTS, UNITS, STEPS = 3, 5, 25
HERE = Path(__file__).parent


def record(name: str, layer: torch.nn.RNNBase) -> None:
    """Run ``layer`` on random inputs from a random initial state and write ``torch_<name>.npz``."""
    inputs = torch.randn(STEPS, N_INPUTS)
    hidden, memory = torch.rand(1, UNITS) - 0.5, torch.randn(1, UNITS)
    is_lstm = isinstance(layer, torch.nn.LSTM)
    state = (hidden, memory) if is_lstm else hidden
    arrays = {"inputs": inputs, "initial_hidden": hidden[0]}
    if is_lstm:
        arrays["initial_memory"] = memory[0]
    arrays["hidden"] = layer(inputs, state)[0]
    if is_lstm:
        # A whole-sequence call returns the last memory only, so the memories come from one call per step.
        memories = []
        for step in range(STEPS):
            _, state = layer(inputs[step : step + 1], state)
            memories.append(state[1][0])
        arrays["memory"] = torch.stack(memories)
    for parameter, values in layer.named_parameters():
        arrays[parameter.removesuffix("_l0")] = values
    path = HERE / f"torch_{name}.npz"
    np.savez(path, **{key: values.detach().numpy() for key, values in arrays.items()})
    print(f"{path.name}: {path.stat().st_size} bytes, last hidden state {arrays['hidden'][-1].tolist()}")


@torch.no_grad()
def main() -> None:
    """Record every layer."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(2019)
    layers = {
        "rnn_tanh": torch.nn.RNN(N_INPUTS, UNITS, nonlinearity="tanh"),
        "rnn_relu": torch.nn.RNN(N_INPUTS, UNITS, nonlinearity="relu"),
        "lstm": torch.nn.LSTM(N_INPUTS, UNITS),
        "gru": torch.nn.GRU(N_INPUTS, UNITS),
        "gru_diagonal": torch.nn.GRU(N_INPUTS, UNITS),
    }
    for layer in layers.values():
        for values in layer.parameters():
            values.copy_(0.6 * torch.randn_like(values))
    diagonal = layers["gru_diagonal"]
    diagonal.weight_hh_l0[2 * UNITS :] *= torch.eye(UNITS)
    diagonal.bias_hh_l0[2 * UNITS :] = 0
    for name, layer in layers.items():
        record(name, layer)


if __name__ == "__main__":
    main()
