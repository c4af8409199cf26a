"""Short measurements of a study's costs, made in a worker."""

import resource
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from dynatlas.study.members import Shape
from dynatlas.study.plugins import Code, provide
from dynatlas.study.study import Study

# Timed iterations; the first call, which compiles, is timed separately.
TIMED_ITERATIONS = 20
TIMED_NETWORKS = 8


class Cost(NamedTuple):
    """Measured cost of one shape."""

    compile_seconds: float
    seconds: float  # per iteration and network, or of all searches in a network
    memory_bytes: float = 0.0  # the worker's peak

    def over(self, count: float) -> "Cost":
        """Return the cost with the seconds of one of so many equal parts, such as the steps of a trial."""
        return self._replace(seconds=self.seconds / count)


def time_training(study_toml: str, code: Sequence[Code], shape: Shape) -> Cost:
    """Time the compilation and one iteration per network, in this process."""
    from dynatlas.training.fit import begin, train

    provide(code)
    study = Study.parse(study_toml)
    member = study.shapes[shape][0]
    state = begin([member], lambda key: study.cell(shape, key))

    def seconds(iterations: int) -> float:
        begun = time.perf_counter()
        train(study.trained_task(shape), [member], state, until=iterations)
        return time.perf_counter() - begun

    first, short = seconds(1), seconds(1)
    # The difference excludes the final validation.
    per_iteration = max((seconds(1 + TIMED_ITERATIONS) - short) / TIMED_ITERATIONS, 1e-6)
    return Cost(first - short, per_iteration, _peak_memory())


def time_dynamics(study_toml: str, code: Sequence[Code], shape: Shape) -> Cost:
    """Time the compilation and all searches in one untrained network."""
    from dynatlas.pipeline.stages.dynamics.findings import findings

    provide(code)
    study = Study.parse(study_toml)
    task, member = study.task(shape.task), study.shapes[shape][0]
    cell = jax.tree.map(np.asarray, study.cell(shape, member.key("weights"))).astype(np.float64)

    def seconds() -> float:
        begun = time.perf_counter()
        findings(study, task, member, cell)
        return time.perf_counter() - begun

    first, second = seconds(), seconds()
    return Cost(max(first - second, 0.0), second, _peak_memory())


def time_geometry(study_toml: str, code: Sequence[Code]) -> dict[str, tuple[float, float]]:
    """Time each measure on untrained networks of the largest size: (seconds to reduce one, seconds per pair)."""
    from dynatlas.cells.responses import probe_activity
    from dynatlas.measures.activity import centred
    from dynatlas.measures.distances import reduced
    from dynatlas.measures.pairs import all_pairs

    provide(code)
    study = Study.parse(study_toml)
    units = max(study.population.units)
    shapes = [shape for shape in study.shapes if shape.units == units]
    shape = max(shapes, key=lambda shape: study.task(shape.task).probe().inputs.shape[0] * study.task(shape.task).steps)
    cells = [study.cell(shape, jax.random.key(seed)) for seed in range(TIMED_NETWORKS)]
    inputs = study.task(shape.task).probe().inputs
    of_trials = np.asarray(inputs)
    activities = [probe_activity(cell, inputs) for cell in cells]
    found: dict[str, tuple[float, float]] = {}
    for name in study.analysis.activity_measures:
        measure = study.measure(name)
        if measure.needs_agreement:
            measure = measure.agreed([measure.components_of(centred(activity, name)) for activity in activities])
        # Includes one-time costs.
        kept = [reduced(activity, "calibration", measure, of_trials) for activity in activities]
        begun = time.perf_counter()
        for activity in activities:
            reduced(activity, "calibration", measure, of_trials)
        per_network = (time.perf_counter() - begun) / len(activities)
        all_pairs(kept, measure, threads=1)
        begun = time.perf_counter()
        all_pairs(kept, measure, threads=1)
        found[name] = per_network, (time.perf_counter() - begun) / (len(kept) * (len(kept) - 1) / 2)
    return found


def import_everything() -> None:
    """Import what a worker imports before its first job."""
    import dynatlas.pipeline.jobs  # noqa: F401


def _peak_memory() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)
