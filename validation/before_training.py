"""Do factors separate networks by a measure of activity already before training?

    python validation/before_training.py ATLAS [--csv FILE]

Of an atlas with untrained controls: for each task and measure of its study, and dsa at other ranks, the share of the
variance (R² of PERMANOVA, with p) that each factor adds to the others, between the trained networks, and between the
same networks before training. A measure that separates architectures as well before as after training says little
about what they learned.
"""

import argparse

import numpy as np
import pandas as pd

from dynatlas import Atlas, distance_matrix
from dynatlas.atlas.networks import trained
from dynatlas.cells.responses import probe_activity
from dynatlas.statistics.effects import factor_effects

RANKS = (10, 3)


def effects_of(activities, networks, factors, inputs, measure, options):
    """Return a row of ``effects`` for each factor that varies, and for their interactions."""
    given = {name: activities[name] for name in networks.index}
    needs_trials = measure in ("dsa", "input_dsa")
    if not needs_trials:
        given = {name: activity.reshape(-1, activity.shape[-1]) for name, activity in given.items()}
    if measure == "input_dsa":
        options = options | {"inputs": inputs}
    distances = distance_matrix(given, measure, **options)
    return factor_effects(distances, {factor: networks[factor].tolist() for factor in factors}, 999, 19)


def main():
    """Print two lines for each task and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("atlas")
    parser.add_argument("--csv", help="a file for the same numbers as a table")
    options = parser.parse_args()
    atlas, table = Atlas.open(options.atlas), []
    study, networks = atlas.study, atlas.table("networks").set_index("network")
    measures = [(name, study.analysis.measure_options.get(name, {})) for name in study.analysis.activity_measures]
    measures += [("dsa", {"rank": rank}) for rank in RANKS]
    for task in study.tasks:
        inputs = np.asarray(task.probe().inputs)
        blocks = [block for block in study.blocks if block.task == task.name]
        for measure, settings in measures:
            title = " ".join([measure, *(f"{name}={value}" for name, value in settings.items())])
            for before in (False, True):
                activities = {
                    member.id: probe_activity(cell, inputs).reshape(*inputs.shape[:2], -1)
                    for block in blocks
                    for member, cell in trained(atlas, block, untrained=before)
                }
                compared, when = networks.loc[list(activities)], "before training" if before else "trained"
                rows = effects_of(activities, compared, study.levels, inputs, measure, settings)
                found = ", ".join(f"{row['factor']} {row['r2']:.2f} (p {row['p_adjusted']:.2g})" for row in rows)
                print(f"{task.name}, {title}, {when}: {found}", flush=True)
                label = {"task": task.name, "measure": title, "networks": when, "n": len(compared)}
                table += [label | {name: row[name] for name in ("factor", "r2", "p_adjusted")} for row in rows]
    if options.csv:
        pd.DataFrame(table).to_csv(options.csv, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
