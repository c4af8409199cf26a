"""How much of the fused distance between transition graphs do the readouts have, and how much the edges?

    python validation/fused_parts.py ATLAS

Of every pair of networks of an atlas that learned a task with transition graphs: the share of the squared distance that
is the nodes' features, at the best matching, and the rank correlation of the whole distance with both parts.
"""

import argparse
from itertools import combinations

import numpy as np
from scipy.stats import spearmanr

from dynatlas import Atlas
from dynatlas.measures.graphs import Graph, fused_parts


def main():
    """Print one line for each task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("atlas")
    atlas = Atlas.open(parser.parse_args().atlas)
    for task in atlas.study.tasks:
        if "fused_transition_graph" not in task.topology:
            continue
        graphs = [
            Graph(**reduced)
            for block in atlas.study.blocks
            if block.task == task.name
            for reduced in atlas.reduced("fused_transition_graph", block).values()
        ]
        parts = np.array([fused_parts(*pair) for pair in combinations(graphs, 2)])
        whole, shares = parts.sum(axis=1), parts[:, 0] / parts.sum(axis=1)
        low, median, high = np.quantile(shares, [0.05, 0.5, 0.95])
        print(f"{task.name}: {len(graphs)} networks, {len(parts)} pairs")
        print(f"  share of the features: median {median:.2f}, 5 to 95 % of the pairs {low:.2f} to {high:.2f}")
        for name, part in zip(("features", "structure"), parts.T, strict=True):
            print(f"  rank correlation of the distance with its {name}: {spearmanr(whole, part).statistic:.2f}")


if __name__ == "__main__":
    main()
