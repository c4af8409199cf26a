"""The peers' side of fixed_points.py: fixed points by Adam, as FixedPointFinder seeks them. Knows no dynatlas.

    python fixed_points_torch.py ARCHITECTURE SCHEDULE ITERATIONS GIVEN.npz FOUND.npz

All starts are one batch in float32; Adam lowers the mean of q until every start has q < 1e-12 or a q that changes by
less than 1e-20 times the learning rate. That begins at 1 and shrinks by 0.95 when the mean has not fallen for 5
iterations ("plateau"), or begins at 0.05 and shrinks by 0.7 every 500 iterations ("steps"). Of points that differ by at
most 1e-3 in every unit the one with the least q is kept, and points further from the starts' mean than ten times the
starts' own mean distance are dropped. These are the defaults that FixedPointFinder documents, and the schedule of an
earlier version, but for the number of iterations, of which it does 5,000. Prints one JSON line.

Source: Golub & Sussillo 2018, and the version for PyTorch at github.com/mattgolub/fixed-point-finder.
"""

import json
import sys
import time

import numpy as np
import torch

TOLERANCE_Q, TOLERANCE_CHANGE, TOLERANCE_UNIQUE, OUTLIER = 1e-12, 1e-20, 1e-3, 10.0


def gru(weights, bias):
    """One step of all states without input: the reset gate acts before the recurrent product."""
    gates, candidate = weights[: 2 * weights.shape[1]].T, weights[2 * weights.shape[1] :].T
    gates_bias, candidate_bias = bias[: gates.shape[1]], bias[gates.shape[1] :]

    def step(states):
        reset, update = torch.sigmoid(torch.addmm(gates_bias, states, gates)).chunk(2, dim=1)
        return update * states + (1 - update) * torch.tanh(torch.addmm(candidate_bias, reset * states, candidate))

    return step


def vanilla(weights, bias):
    """One step of all states without input."""
    return lambda states: torch.tanh(torch.addmm(bias, states, weights.T))


def minimise(step, states, is_plateau, iterations):
    """Lower q from all starts at once; the iterations done."""
    states.requires_grad_(True)
    optimizer = torch.optim.Adam([states], lr=1.0 if is_plateau else 0.05)
    if is_plateau:
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.95, patience=5)
    else:
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=500, gamma=0.7)
    before = torch.full((len(states),), float("inf"))
    for iteration in range(iterations):
        speeds = 0.5 * ((step(states) - states) ** 2).sum(dim=1)
        mean = speeds.mean()
        optimizer.zero_grad()
        mean.backward()
        optimizer.step()
        if is_plateau:
            schedule.step(mean.detach())
        else:
            schedule.step()
        speeds = speeds.detach()
        still = (speeds - before).abs() < TOLERANCE_CHANGE * optimizer.param_groups[0]["lr"]
        if bool((still | (speeds < TOLERANCE_Q)).all()):
            return iteration + 1
        before = speeds
    return iterations


def unique_points(states, speeds):
    """Positions of the points that are kept of those that are alike."""
    left = np.ones(len(states), bool)
    kept = []
    for i in range(len(states)):
        if left[i]:
            alike = (np.abs(states - states[i]) <= TOLERANCE_UNIQUE).all(axis=1)
            alike[i] = True  # also where a state is not finite
            kept.append(np.flatnonzero(alike)[speeds[alike].argmin()])
            left &= ~alike
    return np.array(kept)


def main():
    """Search, and write what was found."""
    architecture, schedule, iterations, given, found = sys.argv[1:]
    given = np.load(given)
    weights, bias = (torch.tensor(given[name], dtype=torch.float32) for name in ("recurrent_weights", "bias"))
    step = {"gru": gru, "vanilla": vanilla}[architecture](weights, bias)
    minimise(step, torch.tensor(given["starts"], dtype=torch.float32), True, 3)  # a warm-up
    starts = torch.tensor(given["starts"], dtype=torch.float32)
    states = starts.clone()
    begun = time.perf_counter()
    done = minimise(step, states, schedule == "plateau", int(iterations))
    with torch.no_grad():
        speeds = 0.5 * ((step(states) - states) ** 2).sum(dim=1).numpy()
        states = states.numpy()
        centre = starts.mean(dim=0)
        reach = OUTLIER * (starts - centre).norm(dim=1).mean()
        kept = unique_points(states, speeds)
        kept = kept[np.linalg.norm(states[kept] - centre.numpy(), axis=1) < float(reach)]
    seconds = time.perf_counter() - begun
    np.savez(found, states=states[kept], speeds=speeds[kept])
    print(json.dumps({"seconds": seconds, "iterations": done, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
