"""PyTorch's side of fixed_points_of_torch.py: trains networks on the flip-flop. Knows no dynatlas.

    python train_torch.py '{"architecture": "gru", "units": 64, "files": {"0": "gru-0.npz", …}, …}'

Each file has the cell's weights by PyTorch's names, the held-out error, and for checking our own step function random
states with inputs and the states that PyTorch's cell makes of them: (h, c) side by side for the LSTM.
"""

import json
import sys

import numpy as np
import torch
from torch_networks import flip_flop

CELLS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


def train(settings, seed):
    """A trained cell and its held-out error."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    cell = CELLS[settings["architecture"]](3, settings["units"], batch_first=True)
    readout = torch.nn.Linear(settings["units"], 3)
    parameters = [*cell.parameters(), *readout.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=settings["learning_rate"])
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: settings["decay_rate"] ** (step / settings["decay_steps"])
    )
    for _ in range(settings["iterations"]):
        inputs, targets = flip_flop(random, settings["batch_size"], settings["steps"])
        loss = torch.nn.functional.mse_loss(readout(cell(inputs)[0]), targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
    inputs, targets = flip_flop(np.random.default_rng(12345), 256, settings["steps"])
    with torch.no_grad():
        return cell, float(torch.nn.functional.mse_loss(readout(cell(inputs)[0]), targets))


def one_step(cell, random, count=64):
    """Random states and inputs, and the states after one step, in float64."""
    cell = cell.double()
    is_lstm = isinstance(cell, torch.nn.LSTM)
    states = torch.tensor(random.uniform(-1, 1, (1, count, (1 + is_lstm) * cell.hidden_size)))
    inputs = torch.tensor(random.choice([-1.0, 0.0, 1.0], (count, 1, 3)))
    with torch.no_grad():
        given = tuple(part.contiguous() for part in states.chunk(2, dim=2)) if is_lstm else states
        _, following = cell(inputs, given)
    following = torch.cat(following, dim=2) if is_lstm else following
    return {"states": states[0].numpy(), "inputs": inputs[:, 0].numpy(), "following": following[0].numpy()}


def main():
    """Train one network per file."""
    torch.set_num_threads(1)
    settings = json.loads(sys.argv[1])
    for seed, file in settings["files"].items():
        cell, error = train(settings, int(seed))
        weights = {name: parameter.detach().numpy().copy() for name, parameter in cell.named_parameters()}
        np.savez(file, mse=error, **weights, **one_step(cell, np.random.default_rng(int(seed))))


if __name__ == "__main__":
    main()
