"""A synthetic atlas of the demo's 72 networks, with tables and arrays from simple geometry.

It serves tests of figures and pages without training. A few networks fail, and one diverges.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from dynatlas.atlas.atlas import Atlas
from dynatlas.atlas.schema import columns, tables_of
from dynatlas.atlas.view import shown_factors
from dynatlas.measures.findings import aspect
from dynatlas.pipeline.stages.dynamics.trajectories import state_spaces
from dynatlas.statistics.claims import check_claims
from dynatlas.statistics.dispersion import spread_between_seeds
from dynatlas.statistics.effects import decomposition, factor_effects, headline_rows, subset_effects
from dynatlas.study.members import Block, Member
from dynatlas.study.study import Study

ARCHITECTURES = ("vanilla", "ugrnn", "gru", "lstm", "worded")  # the last one is a test's own
ACTIVATIONS = ("tanh", "relu", "sigmoid")
COMPONENTS = 3
PROVENANCE = {
    "versions": {"dynatlas": "0.1.0", "jax": "0.10.0", "python": "3.11.2"},
    "machine": {"system": "Linux-6.1", "processor": "x86_64", "cores": 2},
    "command": "dynatlas run demo --out atlases/demo",
    "runs": [
        {
            "started": "2025-01-01T10:00:00+00:00",
            "finished": "2025-01-01T10:06:00+00:00",
            "worker_seconds": {"training": 200.5, "fixed points": 80.25},
        }
    ],
}


class SyntheticAtlas:
    """An atlas in memory with the reading methods of ``Atlas``; parts can be removed."""

    def __init__(self, study: Study, tables: dict[str, pd.DataFrame], groups: dict[str, xr.Dataset]) -> None:
        self.study = study
        self.path = Path("/tmp/synthetic")  # noqa: S108 - displayed, never opened
        self.tables = tables
        self.groups = groups
        self.provenance: dict[str, Any] = PROVENANCE

    @property
    def entries(self) -> Mapping[str, None]:
        names = [f"tables/{name}.parquet" for name in self.tables] + [f"arrays.zarr/{group}" for group in self.groups]
        return dict.fromkeys(names)

    def has(self, name: str) -> bool:
        return name in self.entries

    def table(self, name: str) -> pd.DataFrame:
        return self.tables[name].copy()

    def arrays(self, group: str) -> xr.Dataset:
        return self.groups[group]

    def without(self, *parts: str) -> "SyntheticAtlas":
        """Return a copy without these tables and without the groups of arrays with these prefixes."""
        tables = {name: frame for name, frame in self.tables.items() if name not in parts}
        groups = {name: data for name, data in self.groups.items() if not name.startswith(parts)}
        other = SyntheticAtlas(self.study, tables, groups)
        other.path, other.provenance = self.path, self.provenance
        return other

    def store(self, path: Path) -> Atlas:
        """Write the atlas to disk, and return it."""
        atlas = Atlas.create(path, self.study)
        entries = [atlas.write_table(name, frame) for name, frame in self.tables.items()]
        entries += [atlas.write_arrays(group, data) for group, data in self.groups.items()]
        atlas.enter(*entries)
        atlas.write_provenance(self.provenance)
        return atlas


def synthetic_atlas(seed: int = 0, **study: Any) -> SyntheticAtlas:
    """Return a complete synthetic atlas of the built-in demo; keyword arguments replace fields of the study.

    The activations may be any names: no network is trained.
    """
    kept = _shared_atlas(seed, json.dumps(study, sort_keys=True))
    return SyntheticAtlas(kept.study, {name: frame.copy() for name, frame in kept.tables.items()}, dict(kept.groups))


@cache
def _shared_atlas(seed: int, study: str) -> SyntheticAtlas:
    settings = Study.load("demo").model_dump(mode="json") | json.loads(study)
    activations = settings["population"].pop("activations", ACTIVATIONS[:2])
    demo = Study.model_validate(settings)
    population = demo.population.model_copy(update={"activations": tuple(activations)})
    demo = demo.model_copy(update={"population": population})
    return _AtlasBuilder(demo, np.random.default_rng(seed)).atlas()


def _frame(study: Study, name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a table; columns without values are filled with blanks."""
    nothing = {"string": "", "int64": 0, "float64": 0.0, "bool": False}
    blank = {column: nothing.get(declared.type) for column, declared in columns(name, study.further_factors).items()}
    return pd.DataFrame(
        [blank | {column: row[column] for column in row if column in blank} for row in rows], columns=list(blank)
    )


class _AtlasBuilder:
    def __init__(self, study: Study, rng: np.random.Generator) -> None:
        self.study, self.rng = study, rng
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in tables_of(study)}
        self.groups: dict[str, xr.Dataset] = {}
        self.passed: dict[str, list[Member]] = {task.name: [] for task in study.tasks}
        self.points: dict[Block, list[dict[str, Any]]] = {}
        self.probes: dict[str, Any] = {}  # task → inputs and targets

    def atlas(self) -> SyntheticAtlas:
        seen: set[tuple[Any, ...]] = set()
        pictures: dict[Block, dict[str, xr.Dataset]] = {}
        for number, member in enumerate(self.study.members):
            self.network(number, member)
            if not self.rows["networks"][-1]["passed"]:
                continue
            self.passed[member.task].append(member)
            first = len(self.rows["fixed_points"])
            positions, directions = self.fixed_points(member)
            self.dynamics(member, self.rows["fixed_points"][first:])
            self.descriptions(member)
            rows = self.rows["fixed_points"][first:]
            picture = self.trajectories(member, positions, directions, rows)
            pictures.setdefault(self.study.block_of(member), {})[member.id] = picture
            self.points.setdefault(self.study.block_of(member), []).extend(rows)
            variant = (self.study.block_of(member), *(member.factors[name] for name in shown_factors(self.study)))
            if variant not in seen:
                seen.add(variant)
                self.groups[f"trajectories/{member.id}"] = picture
        for block, of_block in pictures.items():
            self.groups[f"state_spaces/{block.name}"] = state_spaces(of_block)
            self.groups[f"fixed_points/{block.name}"] = self.spectra(self.points[block])
        for task, members in self.passed.items():
            for measure in self.study.measures_of(task):
                self.distances(task, measure, members)
        self.averages()
        tables = {name: _frame(self.study, name, rows) for name, rows in self.rows.items()}
        atlas = SyntheticAtlas(self.study, tables, self.groups)
        atlas.tables["claims"] = check_claims(atlas)
        return atlas

    def network(self, number: int, member: Member) -> None:
        task = self.study.task(member.task)
        measure, bound = task.threshold
        mse = float(bound * self.rng.lognormal(-2, 0.5)) if measure == "mse" else float(self.rng.lognormal(-2, 0.5))
        r2 = 1 - mse / 50 if measure == "r2" else 1 - mse
        reason, diverged_at = "", -1
        if number % 36 == 5:
            mse = 0.013 + 0.01 * float(self.rng.random())
            mse = max(mse, 2 * bound)
            reason, r2 = f"MSE is not below {bound:g}", 1 - mse
        if measure == "r2" and reason:
            reason, r2 = "R² is not above 0.97", 0.9
        if number == 44:
            mse, r2, diverged_at, reason = np.nan, np.nan, 312, "diverged at iteration 312"
        training = member.training
        self.rows["networks"].append(
            {
                "network": member.id,
                "name": member.name,
                "task": member.task,
                **member.factors,
                "seed": member.seed,
                "optimizer": training.optimizer,
                "iterations": training.iterations,
                "batch_size": training.batch_size,
                "learning_rate": training.learning_rate,
                "decay_rate": training.decay_rate,
                "decay_steps": training.decay_steps,
                "momentum": training.momentum,
                "clip_norm": training.clip_norm,
                "mse": mse,
                "r2": r2,
                "diverged_at": diverged_at,
                "passed": not reason,
                "reason": reason,
            }
        )
        final = mse if np.isfinite(mse) else 0.5
        for iteration in range(0, training.iterations + 1, 100):
            loss = final + 0.9 * np.exp(-iteration / 300) + final * 0.1 * self.rng.random()
            if diverged_at >= 0 and iteration > diverged_at:
                loss = np.nan
            self.rows["losses"].append(
                {"network": member.id, "iteration": iteration, "training_loss": loss, "validation_mse": loss}
            )

    def descriptions(self, member: Member) -> None:
        """Errors under variations, and numbers that describe the activity."""
        random = np.random.default_rng(int(member.id, 16))
        of = {"network": member.id, "task": member.task}
        for variation in self.study.variations(member.task):
            error = float(random.lognormal(-3, 1))
            self.rows["behavior"].append(of | {"variation": variation, "mse": error, "error": error})
        names = ("participation_ratio", "intrinsic_dimension", "explained_share", "selectivity")
        self.rows["activity"].append(of | dict(zip(names, random.uniform(0.2, 1, 4) * [6, 4, 1, 1], strict=True)))

    def fixed_points(self, member: Member) -> tuple[np.ndarray, np.ndarray]:
        """Add rows of ``searches`` and ``fixed_points``; return the positions of the points and their directions."""
        task = self.study.task(member.task)
        places, directions = [], []
        for condition, name in enumerate(task.condition_names()):
            points = list(_points(task.kind, condition, len(task.condition_names()), member))
            if task.kind == "flip_flop" and member.architecture == "gru" and member.seed == 2:
                points.pop()  # a missing stable point: the index sum is 0
            for number, (place, n_unstable, is_slow, readout) in enumerate(points):
                direction = self.rng.normal(size=COMPONENTS)
                places.append(place)
                directions.append(direction / np.linalg.norm(direction) if n_unstable else np.full(COMPONENTS, np.nan))
                self.rows["fixed_points"].append(
                    {
                        "network": member.id,
                        "task": member.task,
                        "condition": condition,
                        "point": number,
                        "q": 3e-10 if is_slow else 1e-27,
                        "is_slow": is_slow,
                        "n_unstable": n_unstable,
                        "index": 0 if is_slow else (-1) ** n_unstable,
                        "hits": int(self.rng.integers(1, 200)),
                        "spectral_radius": 1.05 if n_unstable else 0.95,
                        "leading_angle": 0.19 if task.kind == "sine_wave" else 0.0,
                        "readout": readout,
                    }
                )
            roots = [row for row in self.rows["fixed_points"][-len(points) :] if not row["is_slow"]]
            total = sum(row["index"] for row in roots)
            self.rows["searches"].append(
                {
                    "network": member.id,
                    "task": member.task,
                    "condition": condition,
                    "condition_name": name,
                    "n_roots": len(roots),
                    "n_stable": sum(row["n_unstable"] == 0 for row in roots),
                    "n_slow": len(points) - len(roots),
                    "index_sum": total,
                    "certificate": "not certifiable"
                    if member.activation == "relu"
                    else ("complete" if total == 1 else "incomplete"),
                    "certificate_reason": "made up",
                    "cut": "",
                    "n_starts": 1024 * (1 + (total != 1) * 7),
                    "n_singletons": 0,
                    "rejected": json.dumps({"outside the box": 3}),
                }
            )
        return np.array(places), np.array(directions)

    def dynamics(self, member: Member, points: list[dict[str, Any]]) -> None:
        """Add rows of transitions, oscillations or line attractors, with values that depend on the variant."""
        task, shift = self.study.task(member.task), 0.001 * ARCHITECTURES.index(member.architecture)
        kind = "invariant curve" if task.kind == "sine_wave" else "fixed point"
        for condition, name in enumerate(task.condition_names()):
            row = {"network": member.id, "task": member.task, "condition": condition}
            asked = [*task.condition_frequencies(), *[0.0] * task.n_conditions][condition]
            self.rows["attractors"].append(row | {"kind": kind, "rotation_number": asked + shift / 2})
            if task.kind == "sine_wave":
                self.rows["oscillations"].append(
                    row | {"frequency": asked, "linear_frequency": asked + shift + 1e-4 * self.rng.normal()}
                )
            if task.kind == "context_integration":
                self.rows["line_attractors"].append(
                    row
                    | {"condition_name": name, "line_share": 0.97, "drift_share": 0.001 + shift, "held_range": 0.9}
                    | {"length_to_width": 30.0, "n_points": 5, "n_ill_conditioned": 1, "trusted_share": 0.9}
                    | {"response": 1.0, "response_median": 1.0, "modes_needed": 1}
                )
        if task.kind == "flip_flop":
            roots = [point for point in points if not point["is_slow"]]
            stable = [number for number, root in enumerate(roots) if not root["n_unstable"]]
            self.rows["transitions"] += [
                {"network": member.id, "source": source, "target": target, "probability": 1 / len(stable)}
                for source, root in enumerate(roots)
                for target in (stable if root["n_unstable"] else [source])
            ]
            if self.study.analysis.compares_robustness:
                self.rows["robustness"] += [
                    {"network": member.id, "task": member.task, "condition": 0, "point": point}
                    | {"probe_share": 1 / len(stable), "size": 1.0, "relative_size": 0.4 - shift}
                    | {"destination": stable[0], "saddle": len(roots) - 1}
                    for point in stable
                ]
            self.rows["transition_sensitivity"] += [
                {"network": member.id, "scale": scale, "distance": 10 * abs(scale - 0.02)}
                for scale in (0.005, 0.02, 0.08)
            ]

    def averages(self) -> None:
        """Add frequencies by factor, spectra by configuration, and arrays of line attractors."""
        sine = self.study.task("sine_wave").condition_frequencies() if self.passed.get("sine_wave") else ()
        for condition, asked in enumerate(sine):
            for factor, levels in self.study.levels.items():
                is_averaged = factor in ("architecture", "activation") or len(levels) > 1
                for number, level in enumerate(levels if is_averaged else ()):
                    of_level = [one for one in self.passed["sine_wave"] if one.factors[factor] == level]
                    row = {"factor": factor, "level": str(level), "condition": condition, "frequency": asked}
                    means = {"linear_frequency": asked + 0.001 * number, "rotation_number": asked}
                    self.rows["frequencies"].append(row | means | {"n_networks": len(of_level)})
        for block, members in self.study.blocks.items():
            if self.study.task(block.task).kind != "context_integration" or not self.passed[block.task]:
                continue
            modes = 8 * block.units // min(self.study.population.units)
            modulus = 0.8 - 0.05 * ARCHITECTURES.index(block.architecture)
            representatives = {member.configuration: member for member in reversed(members)}
            for place, configuration in enumerate(reversed(representatives)):
                passed = sum(member.configuration == configuration for member in self.passed[block.task])
                self.rows["spectra"] += [
                    configuration.columns
                    | {"rank": rank, "modulus": (modulus - 0.1 * place) ** rank, "n_networks": passed}
                    for rank in range(modes)
                ]
            count = len(representatives)
            zeros = np.zeros((count, modes))
            responses = 1 - 0.5 ** (1 + np.arange(modes) * (1 + np.arange(count))[:, None])
            self.groups[f"line_attractors/{block.name}"] = xr.Dataset(
                {
                    "states": (("row", "point", "state"), np.zeros((count, 3, modes))),
                    "outputs": (("row", "point"), np.zeros((count, 3))),
                    "modulus": (("row", "mode"), zeros),
                    "real": (("row", "mode"), zeros),
                    "response": (("row", "mode"), responses),
                    "response_median": (("row", "mode"), responses),
                    "network": (("row",), np.array([one.id for one in reversed(representatives.values())])),
                    "condition": (("row",), np.zeros(count, int)),
                }
            )

    def trajectories(
        self, member: Member, positions: np.ndarray, directions: np.ndarray, rows: list[dict[str, Any]]
    ) -> xr.Dataset:
        task = self.study.task(member.task)
        if task.name not in self.probes:
            self.probes[task.name] = tuple(np.asarray(array) for array in task.probe())
        inputs, targets = self.probes[task.name]
        trials, steps = inputs.shape[:2]
        time = np.arange(steps)
        path = np.zeros((trials, steps, COMPONENTS))
        size = 1 + 0.3 * ARCHITECTURES.index(member.architecture)
        if task.kind == "flip_flop":
            held = np.zeros((trials, COMPONENTS))
            for step in range(steps):
                held += 0.5 * (targets[:, step] - held)
                path[:, step] = size * held @ _rotation(member)
        elif task.kind == "sine_wave":
            phase = 2 * np.pi * (0.04 * inputs[:, :1, 0] + 0.01) * time
            path[:] = np.stack(
                [np.cos(phase), np.sin(phase), np.broadcast_to(inputs[:, :1, 0] * 2 - 1, phase.shape)], -1
            )
            path *= (1 - np.exp(-time / 6))[:, None] * size
        else:
            context = inputs[:, :1, 3]
            path[:] = np.stack([targets[..., 0] / 15, 0.2 * (targets[..., 0] / 15) ** 2, 2.0 * context + 0 * time], -1)
            path[..., 2] *= 1 - np.exp(-time / 3)
        outputs = targets + self.rng.normal(size=targets.shape, scale=0.03)
        assert len(positions) == len(rows)
        return xr.Dataset(
            {
                "trajectory": (("trial", "step", "component"), path + self.rng.normal(size=path.shape, scale=0.015)),
                "variance_share": (("component",), np.array([0.41, 0.3, 0.22])),
                "inputs": (("trial", "step", "input"), inputs),
                "targets": (("trial", "step", "output"), targets),
                "outputs": (("trial", "step", "output"), outputs),
                "points": (
                    ("row", "component"),
                    positions if task.kind == "context_integration" else size * positions,
                ),
                "unstable_directions": (("row", "component"), directions),
            }
        )

    def spectra(self, rows: list[dict[str, Any]]) -> xr.Dataset:
        """Return eigenvalues on circles, with the number outside the unit circle that the table states."""
        modes = 40
        turn = np.exp(2j * np.pi * self.rng.random((len(rows), modes)))
        size = 0.95 * self.rng.random((len(rows), modes))
        for row, values in zip(rows, size, strict=True):
            values[: row["n_unstable"]] = 1.05
        return xr.Dataset(
            {
                "states": (("row", "state"), np.zeros((len(rows), modes))),
                "eigenvalues": (("row", "state"), size * turn),
                "network": (("row",), np.array([row["network"] for row in rows], dtype=str)),
                "condition": (("row",), np.array([row["condition"] for row in rows])),
                "point": (("row",), np.array([row["point"] for row in rows])),
            }
        )

    def distances(self, task: str, measure: str, members: list[Member]) -> None:
        if "transition" in measure:
            members = [member for member in members if not (member.architecture == "gru" and member.seed == 2)]
        places = np.array([self._place(member, measure) for member in members])
        matrix = np.linalg.norm(places[:, None] - places[None], axis=-1)
        matrix /= matrix.max() * 1.1
        ids = np.array([member.id for member in members], dtype=object).astype(str)
        self.groups[f"distances/{task}/{measure}"] = xr.Dataset(
            {"distance": (("network", "other_network"), matrix)}, coords={"network": ids, "other_network": ids}
        )
        for member, (x, y) in zip(members, places[:, :2], strict=True):
            self.rows["embeddings"].append({"task": task, "measure": measure, "network": member.id, "x": x, "y": y})
            self.rows["embeddings_3d"].append(
                {"task": task, "measure": measure, "network": member.id, "x": x, "y": y, "z": x - y}
            )
        if measure in self.study.analysis.activity_measures:
            self.controls(task, measure, members)
        n_left_out = len(self.passed[task]) - len(members)
        self.rows["maps"].append(
            {
                "task": task,
                "measure": measure,
                "n_networks": len(members),
                "n_left_out": n_left_out,
                "left_out_reason": "another number of fixed points than the modal 27" if n_left_out else "",
                "stress": 0.13,
                "stress_3d": 0.09,
                "negative_share": 0.04,
                "gap_median": np.nan,
                "gap_largest": np.nan,
            }
        )
        labels = {factor: [member.factors[factor] for member in members] for factor in self.study.levels}
        of = {"task": task, "measure": measure}
        effects = factor_effects(matrix, labels, permutations=99, bootstraps=99)
        self.rows["effects"] += [of | {"subset": "all"} | effect for effect in effects]
        self.rows["effects"] += [of | effect for effect in subset_effects(matrix, labels, 99, 99)]
        parts = decomposition(matrix, labels, bootstraps=99)
        self.rows["spread"] += [of | row for row in spread_between_seeds(matrix, labels)]
        self.rows["headline"] += [of | {"aspect": aspect(measure)} | row for row in headline_rows(parts, effects)]

    def controls(self, task: str, measure: str, members: list[Member]) -> None:
        """Add an untrained copy of every network, nearer to the centre and at other positions."""
        rng = np.random.default_rng(len(members))  # a separate generator, so that other values do not change
        count = len(members)
        places = rng.normal(size=(2 * count, 2)) * np.repeat([1.0, 0.4], count)[:, None]
        ids = [member.id for member in members]
        names = np.array([*ids, *(f"{name} untrained" for name in ids)])
        self.groups[f"controls/{task}/{measure}"] = xr.Dataset(
            {
                "distance": (
                    ("network", "other_network"),
                    np.linalg.norm(places[:, None] - places[None], axis=-1),
                ),
                "is_trained": (("network",), np.repeat([True, False], count)),
            },
            coords={"network": names, "other_network": names},
        )
        of = {"task": task, "measure": measure}
        for value, control in enumerate(("reliability", "trained", "shuffled time", "untrained"), 1):
            limits = {"low": 0.2 * value - 0.05, "high": 0.2 * value + 0.05}
            self.rows["controls"].append(of | limits | {"control": control, "value": 0.2 * value, "n_networks": count})
        for number, (x, y) in enumerate(places):
            member = members[number % count]
            row = {"architecture": member.architecture, "network": member.id, "is_trained": number < count}
            self.rows["control_embeddings"].append(of | row | {"x": x, "y": y, "stress": 0.11})

    def _place(self, member: Member, measure: str) -> np.ndarray:
        scatter = self.rng.normal(size=4) * (1.0 if "transition" in measure else 0.18)
        if "transition" in measure:
            return scatter
        angle = np.pi / 2 * ARCHITECTURES.index(member.architecture)
        side = 0.5 * ACTIVATIONS.index(member.activation)
        further = [
            0.7 * factor.shown.index(member.factors[factor.name]) / len(factor.levels)
            for factor in self.study.further_factors
        ]
        place = np.array([np.cos(angle) + side, np.sin(angle) + side / 2, side, 0]) + scatter
        return place + np.array([0, 1, 0, 0]) * sum(further)


def _rotation(member: Member) -> np.ndarray:
    """Return a rotation that depends on the network."""
    random = np.random.default_rng(member.seed + 10 * ARCHITECTURES.index(member.architecture))
    return np.linalg.qr(random.normal(size=(3, 3)))[0]


def _points(task: str, condition: int, conditions: int, member: Member) -> Iterator[tuple[Any, int, bool, list[float]]]:
    if task == "flip_flop":
        for corner in product((-1.0, 0.0, 1.0), repeat=3):
            yield np.array(corner) @ _rotation(member), corner.count(0.0), False, list(corner)
    elif task == "sine_wave":
        yield np.array([0.0, 0.0, 2 * condition / (conditions - 1) - 1]), 2, False, [0.0]
    else:
        for number, along in enumerate(np.linspace(-1.6, 1.6, 9)):
            stable = number % 4 == 0
            yield np.array([along, 0.2 * along**2, 2.0 * condition]), int(number == 4), not stable, [15 * along]
