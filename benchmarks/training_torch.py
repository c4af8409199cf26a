"""PyTorch's side of training.py: the loop a user writes. Knows no dynatlas; the first argument may set its threads.

To be kind to it, trials are drawn beforehand and reused, the initial state is not learned, and in UGRNN, which PyTorch
does not have, all inputs are projected in one product before the loop over time.
"""

import json
import resource
import sys
import time

import numpy as np
import torch

BATCH, STEPS, CHANNELS = 64, 100, 3


class UGRNN(torch.nn.Module):
    """c = tanh(…), g = σ(…), h' = g∘h + (1 − g)∘c."""

    def __init__(self, inputs, units, batch_first):
        super().__init__()
        assert batch_first
        self.project = torch.nn.Linear(inputs, 2 * units)
        self.recur = torch.nn.Linear(units, 2 * units, bias=False)

    def forward(self, inputs):
        """The states after each step."""
        drives = self.project(inputs)
        state = inputs.new_zeros(len(inputs), self.recur.in_features)
        states = []
        for drive in drives.unbind(1):
            candidate, gate = (drive + self.recur(state)).chunk(2, dim=1)
            gate = torch.sigmoid(gate)
            state = gate * state + (1 - gate) * torch.tanh(candidate)
            states.append(state)
        return torch.stack(states, dim=1), state


class Leaky(torch.nn.Module):
    """h' = (1 − α)h + α tanh(W h + U x + b + noise), as it is written by hand: a loop over steps with torch.randn."""

    def __init__(self, inputs, units, batch_first, noise=0.0, rank=0, excitatory=0.0, density=1.0, alpha=0.2):
        super().__init__()
        assert batch_first
        self.input = torch.nn.Linear(inputs, units)
        self.alpha, self.rank = alpha, rank
        self.noise = noise * (2 / alpha - 1) ** 0.5
        if rank:
            self.left, self.right = (torch.nn.Parameter(torch.randn(units, rank)) for _ in range(2))
        else:
            self.recurrent = torch.nn.Parameter(torch.randn(units, units) / units**0.5)
        signs = torch.where(torch.arange(units) < excitatory * units, 1.0, -1.0) if excitatory else None
        self.register_buffer("signs", signs)
        self.register_buffer("mask", (torch.rand(units, units) < density).float() if density < 1 else None)

    def weights(self):
        """The recurrent matrix, once for each trial."""
        if self.rank:
            return self.left @ self.right.T / len(self.left)
        weights = self.recurrent if self.signs is None else self.recurrent.abs() * self.signs
        return weights if self.mask is None else weights * self.mask

    def forward(self, inputs):
        """The states after each step."""
        weights = self.weights()
        state = inputs.new_zeros(len(inputs), self.input.out_features)
        states = []
        for t in range(inputs.shape[1]):
            sums = state @ weights.T + self.input(inputs[:, t])
            if self.noise:
                sums = sums + self.noise * torch.randn_like(state)
            state = (1 - self.alpha) * state + self.alpha * torch.tanh(sums)
            states.append(state)
        return torch.stack(states, dim=1), state


CELLS = {"vanilla": torch.nn.RNN, "ugrnn": UGRNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM, "ctrnn": Leaky}


def flip_flop(random):
    """One batch of trials."""
    inputs = random.choice([-1, 0, 1], (BATCH, STEPS, CHANNELS), p=[0.025, 0.95, 0.025])
    inputs[:, 0] = random.choice([-1, 1], (BATCH, CHANNELS))
    targets = inputs.copy()
    for t in range(1, STEPS):
        targets[:, t] = np.where(inputs[:, t] == 0, targets[:, t - 1], inputs[:, t])
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(targets, dtype=torch.float32)


class Torch:
    """One network and its optimiser."""

    def __init__(self, architecture, units, settings, noise):
        torch.manual_seed(0)
        random = np.random.default_rng(0)
        self.trials = [flip_flop(random) for _ in range(8)]
        settings = settings | ({"noise": noise} if noise else {})
        self.cell = CELLS[architecture](CHANNELS, units, batch_first=True, **settings)
        self.readout = torch.nn.Linear(units, CHANNELS)
        self.parameters = [*self.cell.parameters(), *self.readout.parameters()]
        self.optimizer = torch.optim.SGD(self.parameters, lr=1e-3, momentum=0.9)

    def run(self, iterations):
        """So many training steps."""
        for i in range(iterations):
            inputs, targets = self.trials[i % len(self.trials)]
            loss = torch.nn.functional.mse_loss(self.readout(self.cell(inputs)[0]), targets)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()


def main():
    """Answer requests until the pipe closes."""
    if len(sys.argv) > 1:
        torch.set_num_threads(int(sys.argv[1]))
    side = None
    for line in sys.stdin:
        request = json.loads(line)
        begun = time.perf_counter()
        if "setup" in request:
            side = Torch(*request["setup"])
            side.run(1)
        else:
            side.run(request["run"])
        answer = {"seconds": time.perf_counter() - begun, "threads": torch.get_num_threads()}
        answer["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
