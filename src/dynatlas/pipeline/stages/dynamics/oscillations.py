"""Oscillations: the linear dynamics around the root of each condition, and mean frequencies."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynatlas._util.json import Json
from dynatlas.cells.cell import Cell
from dynatlas.dynamics.points import FixedPoints
from dynatlas.study.members import Member
from dynatlas.tasks.task import Task


def oscillations(
    task: Task, member: Member, cell: Cell, conditions: list[FixedPoints], visited: NDArray[np.float64]
) -> pd.DataFrame:
    """For each condition the root in the middle of its trials, and the frequency of its leading complex pair."""
    rows = []
    trials, commands = task.probe_conditions(), np.asarray(task.conditions())
    frequencies = np.asarray(task.condition_frequencies(), np.float32)  # as exact as the commands
    for condition, points in enumerate(conditions):
        middle = visited[trials == condition].reshape(-1, visited.shape[-1]).mean(axis=0)
        roots = points.roots()
        point = int(np.linalg.norm(roots.states - middle, axis=1).argmin()) if len(roots) else -1
        # Sorted by |λ|: the first complex one belongs to the leading pair.
        eigenvalues = roots.eigenvalues[point] if point >= 0 else np.zeros(0, complex)
        turning = eigenvalues[eigenvalues.imag > 0]
        rows.append(
            {
                "network": member.id,
                "condition": condition,
                "command": float(commands[condition, 0]),
                "frequency": float(frequencies[condition]),
                "point": point,
                "n_unstable": int(roots.n_unstable[point]) if point >= 0 else 0,
                "spectral_radius": float(np.abs(turning[0])) if len(turning) else np.nan,
                "linear_frequency": float(np.angle(turning[0])) / (2 * np.pi) if len(turning) else np.nan,
            }
        )
    return pd.DataFrame(rows)


def mean_frequencies(
    oscillations: pd.DataFrame,
    attractors: pd.DataFrame,
    networks: pd.DataFrame,
    factors: Sequence[str] = ("architecture", "activation"),
) -> pd.DataFrame:
    """Average frequencies over the networks of each level of each factor."""
    means: list[Json] = []
    columns = ["linear_frequency", "linear_frequency_se", "rotation_number", "rotation_number_se", "n_networks"]
    columns = ["factor", "level", "condition", "frequency", *columns]
    if not len(oscillations):
        return pd.DataFrame(columns=columns)
    keys = ["network", "condition"]
    joined = oscillations.merge(attractors[[*keys, "rotation_number"]], on=keys)
    joined = joined[joined.network.isin(networks.network)]
    for factor in factors:
        levels = joined.network.map(networks.set_index("network")[factor]).rename("level")
        for (level, condition), rows in joined.groupby([levels, "condition"], sort=True):
            linear, turns = rows.linear_frequency.dropna(), rows.rotation_number.dropna()
            means.append(
                {
                    "factor": factor,
                    "level": str(level),
                    "condition": condition,
                    "frequency": rows.frequency.iloc[0],
                    "linear_frequency": linear.mean(),
                    "linear_frequency_se": linear.sem(),
                    "rotation_number": turns.mean(),
                    "rotation_number_se": turns.sem(),
                    "n_networks": len(linear),
                }
            )
    return pd.DataFrame(means, columns=columns)
