"""Where a network goes when it is left alone after a trial: the attractor under each static input."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynatlas.cells import Cell
from dynatlas.cycles import find_attractors
from dynatlas.members import Member
from dynatlas.stages.networks import linear_readout
from dynatlas.study import Study
from dynatlas.tasks import Task


def attractors(study: Study, task: Task, member: Member, cell: Cell, visited: NDArray[np.float64]) -> pd.DataFrame:
    """The attractor that a network reaches under each condition, from the end of a probe trial under it."""
    trials = task.probe_conditions()
    starts = np.array([visited[np.flatnonzero(trials == condition)[-1], -1] for condition in range(task.n_conditions)])
    reached = find_attractors(
        cell, starts, np.asarray(task.conditions(), np.float64), max_steps=study.analysis.attractor_steps, n_exponents=2
    )
    first_output = linear_readout(cell)[0][0]
    return pd.DataFrame(
        {
            "network": member.id,
            "task": member.task,
            "condition": condition,
            "kind": attractor.kind,
            "period": attractor.period,
            "rotation_number": attractor.rotation_number,
            "amplitude": attractor.amplitude,
            "output_amplitude": float(np.ptp(attractor.states @ first_output)) / 2,
            "exponent_1": attractor.exponents[0],
            "exponent_2": attractor.exponents[1] if len(attractor.exponents) > 1 else np.nan,
        }
        for condition, attractor in enumerate(reached)
    )
