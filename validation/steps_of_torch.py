"""PyTorch's side of imported_networks.py: one step of its cells on random states. Knows no dynatlas.

    python steps_of_torch.py '[{"cell": "LSTMCell", "weights": "in.npz", "record": "out.npz", "seed": 0}, …]'

``weights`` has weight_ih, weight_hh, bias_ih, bias_hh. ``record`` gets random states, inputs, and the states after one
step in float64: (h, c) side by side for an LSTM.
"""

import json
import sys

import numpy as np
import torch

STATES = 100


def record(job):
    """One cell's file."""
    with np.load(job["weights"]) as file:
        weights = {name: torch.tensor(file[name], dtype=torch.float64) for name in file.files}
    rows, n_inputs = weights["weight_ih"].shape
    units = weights["weight_hh"].shape[1]
    cell = getattr(torch.nn, job["cell"])(n_inputs, units).double()
    cell.load_state_dict(weights)
    random = np.random.default_rng(job["seed"])
    is_lstm = rows == 4 * units
    states = torch.tensor(random.uniform(-1, 1, (STATES, (1 + is_lstm) * units)))
    inputs = torch.tensor(random.normal(size=(STATES, n_inputs)))
    with torch.no_grad():
        following = cell(inputs, tuple(states.chunk(2, 1)) if is_lstm else states)
    following = torch.cat(following, 1) if is_lstm else following
    np.savez(job["record"], states=states.numpy(), inputs=inputs.numpy(), following=following.numpy())


def main():
    """All cells."""
    torch.set_num_threads(1)
    for job in json.loads(sys.argv[1]):
        record(job)


if __name__ == "__main__":
    main()
