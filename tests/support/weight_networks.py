"""Reduced networks for measures of weights, and what no search can miss: all reorderings tried in turn."""

import itertools

import numpy as np


def random_network(units, seed, *, gates=("candidate",), signed=True, inputs=2):
    """Random blocks as cells have them; with signs, the rows of gates other than the candidate keep theirs."""
    random = np.random.default_rng(seed)
    blocks = {}
    for gate in gates:
        for name, shape in (("between", (units, units)), ("units input", (units, inputs)), ("units bias", (units, 1))):
            blocks[f"{name} {gate}"] = random.normal(size=shape) / np.sqrt(units if name == "between" else 1)
    blocks["units readout"] = random.normal(size=(units, 2)) / np.sqrt(units)
    blocks["others readout_bias"] = random.normal(size=2)
    return with_flips(blocks) if signed else blocks


def with_flips(blocks):
    flips = {}
    for name in blocks:
        is_gate = name.split()[-1] in ("update", "reset")
        if name.startswith("between"):
            flips[f"flips {name}"] = np.array([0.0 if is_gate else 1.0, 1.0])
        elif name.startswith("units"):
            flips[f"flips {name}"] = np.array([0.0 if is_gate else 1.0])
    return blocks | flips


def weights_only(network):
    return {name: block for name, block in network.items() if not name.startswith("flips")}


def moved(network, order, signs):
    """The network whose unit i is unit order[i] of the given one, times signs[i]."""
    result = dict(network)
    for name, block in weights_only(network).items():
        flips = network.get(f"flips {name}", np.zeros(2))
        if name.startswith("between"):
            rows, columns = (np.where(flip, signs, 1) for flip in flips)
            result[name] = rows[:, None] * block[np.ix_(order, order)] * columns
        elif name.startswith("units"):
            result[name] = block[order] * np.where(flips[0], signs, 1)[:, None]
    return result


def shuffled(network, seed):
    random = np.random.default_rng(seed)
    units = len(network["units readout"])
    signs = random.choice([-1.0, 1.0], units) if "flips units readout" in network else np.ones(units)
    order = random.permutation(units)
    return moved(network, order, signs), order, signs


def noisy(network, size, seed):
    """The network with noise of this norm, relative to its own."""
    random = np.random.default_rng(seed)
    total = np.sqrt(sum((block**2).sum() for block in weights_only(network).values()))
    count = sum(block.size for block in weights_only(network).values())
    return network | {
        name: block + size * total / np.sqrt(count) * random.normal(size=block.shape)
        for name, block in weights_only(network).items()
    }


def padded(network, units):
    """The network with silent units."""
    more = units - len(network["units readout"])
    widths = {"between": ((0, more), (0, more)), "units": ((0, more), (0, 0)), "others": ((0, 0),)}
    return network | {name: np.pad(block, widths[name.split()[0]]) for name, block in weights_only(network).items()}


def vector(network, names):
    parts = [network[name].ravel() for name in names]
    return np.concatenate(parts) / np.sqrt(sum((block**2).sum() for block in weights_only(network).values()))


def least_distance(first, second):
    """The distance by all n! reorderings, and all 2ⁿ signs of each if the second network's units have free signs."""
    units, names = len(second["units readout"]), sorted(weights_only(second))
    signed = "flips units readout" in second
    fixed = vector(first, names)
    choices = itertools.product([1.0, -1.0], repeat=units) if signed else [np.ones(units)]
    choices = [np.array(signs) for signs in choices]
    return min(
        np.linalg.norm(fixed - vector(moved(second, np.array(order), signs), names))
        for order in itertools.permutations(range(units))
        for signs in choices
    )
