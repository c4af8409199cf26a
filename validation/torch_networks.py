"""The other side of losses_against_torch.py: the same networks, written as a user of PyTorch would. Knows no dynatlas.

python torch_networks.py '{"architecture": "vanilla", …}'      prints one JSON list: the final errors of all seeds
"""

import json
import sys

import numpy as np
import torch


def flip_flop(random, batch, steps, channels=3, probability=0.05):
    """Pulses, and the last one of each channel."""
    inputs = random.choice([-1, 0, 1], (batch, steps, channels), p=[probability / 2, 1 - probability, probability / 2])
    inputs[:, 0] = random.choice([-1, 1], (batch, channels))
    targets = inputs.copy()
    for t in range(1, steps):
        targets[:, t] = np.where(inputs[:, t] == 0, targets[:, t - 1], inputs[:, t])
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(targets, dtype=torch.float32)


class Network(torch.nn.Module):
    """nn.RNN or nn.LSTM with a linear readout and a learned initial state; one bias vector, not torch's two."""

    def __init__(self, architecture, units):
        super().__init__()
        self.cell = {"vanilla": torch.nn.RNN, "lstm": torch.nn.LSTM}[architecture](3, units, batch_first=True)
        self.readout = torch.nn.Linear(units, 3)
        states = 2 if architecture == "lstm" else 1
        self.initial = torch.nn.Parameter(torch.zeros(states, 1, 1, units))
        for name, parameter in self.named_parameters():
            if "weight" in name:
                torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
            else:
                torch.nn.init.zeros_(parameter)
        if architecture == "lstm":
            self.cell.bias_ih_l0.data[units : 2 * units] = 1  # torch's gates are input, forget, candidate, output
        self.cell.bias_hh_l0.requires_grad_(False)

    def forward(self, inputs):
        """Outputs at every step."""
        initial = self.initial.expand(-1, 1, len(inputs), -1).contiguous()
        hidden, _ = self.cell(inputs, (initial[0], initial[1]) if len(initial) == 2 else initial[0])
        return self.readout(hidden)


def train(settings, seed):
    """The final error of one network on held-out trials."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = Network(settings["architecture"], settings["units"])
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=settings["learning_rate"], momentum=settings["momentum"])
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: settings["decay_rate"] ** (step / settings["decay_steps"])
    )
    for _ in range(settings["iterations"]):
        inputs, targets = flip_flop(random, settings["batch_size"], settings["steps"])
        penalty = sum((parameter**2).sum() for parameter in parameters)
        loss = torch.nn.functional.mse_loss(network(inputs), targets) + settings["l2"] * penalty
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, settings["clip_norm"])
        optimizer.step()
        schedule.step()
    inputs, targets = flip_flop(np.random.default_rng(12345), 256, settings["steps"])
    with torch.no_grad():
        return float(torch.nn.functional.mse_loss(network(inputs), targets))


if __name__ == "__main__":
    torch.set_num_threads(1)
    settings = json.loads(sys.argv[1])
    print(json.dumps([train(settings, seed) for seed in range(settings["seeds"])]))
