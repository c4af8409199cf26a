"""Tasks of the user's own that declare an oscillation or an integral: their analyses, figures and claims."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from dynatlas import Atlas, Study
from dynatlas.atlas.view import tasks_with
from dynatlas.cells.architectures import Vanilla
from dynatlas.figures.catalogue import dynamics_figures, pictures
from dynatlas.pipeline.jobs import jobs_of
from dynatlas.pipeline.stages.dynamics.findings import probe_states, search_condition
from dynatlas.pipeline.stages.dynamics.integration import integration
from dynatlas.pipeline.stages.dynamics.oscillations import oscillations
from dynatlas.report.page import build_page
from dynatlas.statistics.claims import check_claims
from dynatlas.tasks.context_integration import ContextIntegration
from dynatlas.tasks.placeholder import TaskFacts, task_without_code
from dynatlas.tasks.sine_wave import SineWave
from support.plugin_files import forget, registries_kept

pytestmark = pytest.mark.usefixtures("quick_compilation")
OWN_TASKS = '''
import jax
import jax.numpy as jnp
import numpy as np
from dynatlas import register_task
from dynatlas.tasks.task import Task, Trial


@register_task("hum")
class Hum(Task):
    """Hum as fast as a knob says."""

    steps: int = 12
    knobs: tuple[float, ...] = (0.0, 0.5, 1.0)
    slowest: float = 0.02
    fastest: float = 0.12
    topology = ("neighbor_graph", "spectrum")
    threshold = ("r2", -1000.0)
    probe_words = "the knob, the hum"

    def hum(self, knob):
        pace = self.slowest + (self.fastest - self.slowest) * knob
        time = jnp.arange(self.steps, dtype=jnp.float32)[:, None]
        return Trial(jnp.full_like(time, knob), jnp.sin(2 * jnp.pi * pace * time))

    def trial(self, key):
        return self.hum(jax.random.uniform(key, (), jnp.float32))

    def probe(self):
        return jax.vmap(self.hum)(jnp.asarray(self.knobs, jnp.float32))

    def conditions(self):
        return jnp.asarray(self.knobs, jnp.float32)[:, None]

    def probe_conditions(self):
        return np.arange(len(self.knobs))

    def condition_frequencies(self):
        return tuple(self.slowest + (self.fastest - self.slowest) * knob for knob in self.knobs)


@register_task("tally")
class Tally(Task):
    """Add up the input that two switches choose: the switches come first, the inputs after them."""

    steps: int = 8
    topology = ("neighbor_graph", "spectrum")
    threshold = ("r2", -1000.0)

    def tally(self, chosen, inputs):
        switches = jnp.broadcast_to(jax.nn.one_hot(chosen, 2, dtype=jnp.float32), (self.steps, 2))
        total = jnp.cumsum((inputs * switches).sum(axis=1, keepdims=True), axis=0)
        return Trial(jnp.concatenate([switches, inputs], axis=1), total)

    def trial(self, key):
        choice, values = jax.random.split(key)
        return self.tally(jax.random.randint(choice, (), 0, 2), jax.random.normal(values, (self.steps, 2), jnp.float32))

    def probe(self):
        levels = jnp.linspace(-3, 3, 5, dtype=jnp.float32)
        trial = lambda chosen, level: self.tally(chosen, level * jnp.ones((self.steps, 2), jnp.float32))
        return jax.vmap(trial)(jnp.repeat(jnp.arange(2), 5), jnp.tile(levels, 2))

    def conditions(self):
        return jnp.eye(2, 4, dtype=jnp.float32)

    def probe_conditions(self):
        return np.repeat(np.arange(2), 5)

    def integrated_inputs(self):
        return (2, 3)
'''
STUDY = """
name = "declared"
plugins = ["my_tasks.py"]
tasks = [{ kind = "hum" }, { kind = "tally" }]
[population]
architectures = ["vanilla"]
activations = ["tanh"]
units = [3]
l2 = [1e-5]
seeds = 2
[training]
iterations = 2
batch_size = 4
validation_trials = 8
[analysis]
measures = ["cka"]
fixed_point_starts = 64
fixed_point_max_starts = 64
manifold_points = 4
attractor_steps = 64
permutations = 9
bootstraps = 9
"""


@pytest.fixture(scope="module", autouse=True)
def _forgotten():
    with registries_kept():
        yield


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("declared")
    (folder / "my_tasks.py").write_text(OWN_TASKS)
    (folder / "study.toml").write_text(STUDY)
    return folder / "study.toml"


@pytest.fixture(scope="module")
def study(study_file):
    return Study.load(study_file)


@pytest.fixture(scope="module")
def atlas(study_file, study):
    """The atlas that the study's jobs give, carried out one after the other."""
    atlas = Atlas.create(study_file.parent / "atlas", study)
    for job in jobs_of(study):
        if job.stage != "report":
            atlas.enter(*job.compute(atlas.path, *job.arguments, lambda done, loss: None))
    return atlas


def cell_of(n_inputs, recurrent_weights, input_weights, readout_weights, initial_state):
    """A vanilla tanh network of two units with these weights."""
    with jax.enable_x64(True):
        cell = Vanilla(n_inputs, 2, 1, "tanh", key=jax.random.key(0)).astype(np.float64)
        return eqx.tree_at(
            lambda cell: (cell.recurrent_weights, cell.input_weights, cell.readout_weights, cell.initial_state),
            cell,
            tuple(
                jnp.asarray(part, float) for part in (recurrent_weights, input_weights, readout_weights, initial_state)
            ),
        )


def test_a_task_that_declares_frequencies_has_the_analysis_of_the_sine(study):
    """The sine wave in other words has the sine wave's numbers: of a rotation, those that its angle says."""
    sine_study = Study.parse(
        STUDY.replace('plugins = ["my_tasks.py"]', "").replace(
            '{ kind = "hum" }, { kind = "tally" }',
            '{ kind = "sine_wave", steps = 12, slope = 0.1, offset = 0.02, commands = 3 }',
        )
    )
    angle = 2 * np.pi * 0.07
    rotation = 1.1 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    cell = cell_of(1, rotation, [[0.1], [0.2]], [[1.0, 0.0]], [0.3, 0.1])
    member, hum, sine = study.members_of("hum")[0], study.task("hum"), sine_study.task("sine_wave")
    visited = probe_states(hum, cell)
    points = [search_condition(study, hum, member, cell, condition, visited) for condition in range(3)]
    own = oscillations(hum, member, cell, points, visited)
    pd.testing.assert_frame_equal(own, oscillations(sine, member, cell, points, probe_states(sine, cell)))
    assert own.frequency.tolist() == pytest.approx([0.02, 0.07, 0.12])
    assert own.linear_frequency[0] == pytest.approx(0.07, abs=1e-9)  # without input the root is 0


def test_a_task_that_declares_integrated_inputs_has_the_analysis_of_integration(study):
    """The first unit keeps what input 2 gives it; input 3 reaches the second unit alone, which forgets."""
    inputs = np.zeros((2, 4))
    inputs[0, 2], inputs[1, 3] = 0.001, 0.001
    cell = cell_of(4, [[1.0, 0.0], [0.0, 0.2]], inputs, [[1000.0, 0.0]], [0.0, 0.0])
    task, member = study.task("tally"), study.members_of("tally")[0]
    visited = probe_states(task, cell)
    points = [search_condition(study, task, member, cell, condition, visited) for condition in range(2)]
    first, second = (line.row for line in integration(study, task, member, cell, visited, points))
    assert first["response"] == pytest.approx(1, abs=0.02)
    assert first["response_median"] == pytest.approx(1, abs=0.02)
    assert min(first["n_points"], second["n_points"]) > 0
    assert first["trusted_share"] == pytest.approx(1)
    # Input 2 is kept for good; of what the second unit keeps nothing is left after 8 steps.
    assert first["held_range"] == pytest.approx(1, abs=0.02)
    assert first["length_to_width"] > 100
    assert first["selection_relevant"] == pytest.approx(1, abs=1e-6)
    assert first["irrelevant_response"] == pytest.approx(0, abs=1e-6)
    assert second["response"] == pytest.approx(0, abs=1e-6)
    assert second["irrelevant_response"] == pytest.approx(1, abs=0.02)


def test_linear_integration_counts_each_point_by_the_activity_nearest_to_it(study):
    """Worked by hand: h' = tanh(h) of the first unit has at h = a the slope 1 − tanh²(a)."""
    inputs = np.zeros((2, 4))
    inputs[0, 2] = 0.001
    cell = cell_of(4, [[1.0, 0.0], [0.0, 0.2]], inputs, [[1000.0, 0.0]], [0.0, 0.0])
    task, member = study.task("tally"), study.members_of("tally")[0]
    visited = np.zeros((*task.probe().inputs.shape[:2], 2))
    visited[:, 0, 0], visited[:, 1, 0] = 0.9, -0.9  # of 8 steps; the others stay at 0
    found = search_condition(study, task, member, cell, 0, visited)
    at = np.array([[0.0, 0.0], [0.9, 0.0], [-0.9, 0.0], [0.95, 0.0], [7.0, 0.0]])
    points = replace(found.take(np.zeros(len(at), int)), states=at)
    row = integration(study, task, member, cell, visited, [points, points])[0].row
    slope = 1 - np.tanh(0.9) ** 2
    after = slope ** (task.steps // 2 + 1)  # the input passes the slope, too
    assert row["n_points"] == 3  # nothing is nearest to 0.95, and 7 lies beyond all outputs
    assert row["n_ill_conditioned"] == 0
    assert row["response_median"] == pytest.approx(1)
    assert row["response"] == pytest.approx(0.75 + 0.25 * after)
    assert row["spectral_radius"] == pytest.approx(0.75 + 0.25 * slope)
    assert (row["modes_near_one"], row["modes_needed"]) == (1, 1)


def test_a_network_without_a_point_in_its_range_has_no_response_and_is_counted(study):
    cell = cell_of(4, [[1.0, 0.0], [0.0, 0.2]], np.full((2, 4), 0.001), [[1000.0, 0.0]], [0.0, 0.0])
    task, member = study.task("tally"), study.members_of("tally")[0]
    visited = probe_states(task, cell)
    found = search_condition(study, task, member, cell, 0, visited).take([])
    line = integration(study, task, member, cell, visited, [found, found])[0]
    assert (line.row["n_points"], line.row["modes_needed"], line.row["trusted_share"]) == (0, -1, 0)
    for column in ("response", "response_median", "response_first", "spectral_radius", "modes_near_one"):
        assert np.isnan(line.row[column]), column
    assert np.isnan(line.response_median).all()
    assert line.response_median.shape == (2,)


def test_a_study_of_them_has_their_tables_and_distances(atlas):
    networks = atlas.table("networks")
    assert networks.passed.all()
    for task, table, conditions in (("hum", "oscillations", 3), ("tally", "line_attractors", 2)):
        of_task = networks.network[networks.task == task]
        rows = atlas.table(table)
        assert sorted(rows.network) == sorted(np.repeat(of_task, conditions))
        assert atlas.has(f"arrays.zarr/distances/{task}/neighbor_graph")
    frequencies = atlas.table("frequencies")
    assert frequencies.groupby("factor").size().to_dict() == {"architecture": 3, "activation": 3}
    assert set(atlas.table("spectra").task) == {"tally"}


def test_their_claims_are_tested_on_them(atlas):
    claims = atlas.table("claims").set_index("claim")
    for numbers, task in ((["5", "6a", "6b", "11"], "hum"), (["7a", "7b", "8", "9", "10"], "tally")):
        assert set(claims.loc[numbers].task) == {task}
        assert "the study does not have this task" not in set(claims.loc[numbers].note)
    rows = atlas.table("line_attractors")
    is_line = (rows.speed_share < 0.01) & (rows.held_range > 0.5) & (rows.length_to_width > 3)
    assert claims.loc["7a"].value == pytest.approx(is_line.groupby(rows.network).mean().mean())
    assert set(claims.loc[["3", "4"]].task) == {"flip_flop"}  # of memory there is no task: the paper's is missed
    assert set(claims.loc[["3", "4"]].note) == {"the study does not have this task"}


def test_their_figures_are_drawn_with_their_words(atlas):
    drawn = pictures(atlas)
    assert {"oscillation-frequencies", "line-attractors"} <= drawn.keys()
    assert not {"transition-graphs", "trial-hum", "trial-tally"} & drawn.keys()
    assert drawn["fig2"].caption.startswith("Hum, 2 of 2 trained networks.")
    assert "a trial of the probe: the knob, the hum, and one network’s answer" in drawn["fig2"].caption
    assert drawn["fig3"].caption.startswith("Tally, 2 of 2 trained networks.")
    assert "Colour: the commanded frequency." in drawn["trajectories-hum"].caption
    assert "line style: the context." in drawn["trajectories-tally"].caption
    for name in ("fig2", "fig3", "oscillation-frequencies", "line-attractors"):
        assert drawn[name]().axes, name


def test_their_atlas_is_shown_and_judged_alike_without_their_code(atlas):
    with_code = build_page(atlas)
    with registries_kept():
        forget()
        without = Atlas.open(atlas.path)
        assert without.study.task("tally").probe_evidence == 3.0
        assert build_page(without) == with_code
        pd.testing.assert_frame_equal(check_claims(without), atlas.table("claims"))
        assert "a random trial cannot be drawn" in texts(pictures(without)["fig3"]())
        assert "a random trial cannot be drawn" not in texts(pictures(atlas)["fig3"]())


def texts(figure):
    """All that is written in a figure."""
    return " ".join(" ".join(text.get_text().split()) for text in figure.findobj(Text))


def test_a_second_task_of_a_computation_has_its_own_figure_where_the_tables_tell_them_apart(study):
    both = study.model_copy(update={"tasks": (*study.tasks, SineWave(), ContextIntegration())})
    assert tasks_with(both, "oscillation") == ["hum", "sine_wave"]
    assert tasks_with(both, "memory") == ["flip_flop"]  # which the study does not have
    names = {task.kind: [dynamics.name for dynamics in dynamics_figures(both, task.kind)] for task in both.tasks}
    assert names == {
        "hum": ["oscillation-frequencies"],
        "tally": ["line-attractors"],
        "sine_wave": [],
        "context_integration": ["line-attractors-context_integration"],
    }


def test_a_record_of_an_older_version_declares_nothing():
    facts = {
        "title": "hum",
        "summary": "Hum.",
        "n_inputs": 1,
        "n_outputs": 1,
        "condition_names": ("no input",),
        "topology": ("spectrum",),
        "threshold": ("r2", 0.9),
        "comparison_settings": (),
    }
    task = task_without_code("hum", TaskFacts.model_validate(facts)).model_validate({"kind": "hum", "steps": 5})
    assert task.computations == ()
    assert task.ideal_outputs == ()
