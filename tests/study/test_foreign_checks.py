"""What is looked at in tasks and cells of a user's own: each failure is one clear error."""

import sys
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynatlas.cells.architectures import Vanilla
from dynatlas.cells.cell import Cell, leaf_name, size_of
from dynatlas.cells.checks import check_cell
from dynatlas.cells.derivatives import Kept, Step, register_derivative
from dynatlas.cells.registry import CELLS, register_cell
from dynatlas.errors import PluginError, StudyError
from dynatlas.study.study import Study
from dynatlas.tasks.checks import check_task
from dynatlas.tasks.context_integration import ContextIntegration
from dynatlas.tasks.flip_flop import FlipFlop
from dynatlas.tasks.neurogym import NEEDS_TORCH, NeuroGym, import_neurogym
from dynatlas.tasks.registry import TASKS, register_task
from dynatlas.tasks.sine_wave import SineWave
from dynatlas.tasks.task import Task, Trial

pytestmark = pytest.mark.usefixtures("quick_compilation", "forgotten")


def noise(key, steps, channels=1):
    return jax.random.normal(key, (steps, channels), jnp.float32)


class Good(Task):
    steps: int = 5

    def trial(self, key):
        inputs = noise(key, self.steps, 2)
        return Trial(inputs, inputs[:, :1])


def changed(given=None, **attributes):
    """The good task with some of its attributes replaced, as a registered one."""
    return register_task("tried")(type("Tried", (Good,), {"__module__": __name__} | attributes))(**(given or {}))


def test_a_good_task_passes_and_has_its_defaults():
    task = changed()
    check_task(task)
    assert (task.kind, task.title, task.n_inputs, task.n_outputs, task.n_conditions) == ("tried", "tried", 2, 1, 1)
    assert task.probe_conditions().tolist() == [0] * 64
    np.testing.assert_array_equal(task.conditions(), [[0, 0]])


@pytest.mark.parametrize(
    ("declared", "computation"),
    [
        ({"condition_frequencies": lambda self: (0.1,)}, "oscillation"),
        ({"integrated_inputs": lambda self: (1,)}, "integration"),
    ],
)
def test_a_task_with_a_line_of_points_can_be_compared_by_its_neighbor_graph(declared, computation):
    task = changed(**declared, topology=("neighbor_graph",))
    check_task(task)
    assert task.computations == (computation,)


@pytest.mark.parametrize("task", [FlipFlop(steps=5), SineWave(steps=5, commands=2), ContextIntegration(steps=5)])
def test_the_built_in_tasks_pass(task):
    check_task(task)


CALLS: list[int] = []


def drifting(self, key):
    CALLS.append(1)
    inputs = noise(key, self.steps, 2) + len(CALLS)
    return Trial(inputs, inputs[:, :1])


def setting(name, kind, default, *given):
    """A setting with a default, and what is given in its place."""
    return {"__annotations__": {name: kind}, name: default, "given": dict.fromkeys([name] * len(given), *given)}


def weighted(weights):
    """A trial with these weights, or with those that a function makes of the key."""

    def trial(self, key):
        inputs = noise(key, 5, 2)
        return Trial(inputs, inputs[:, :1], weights(key) if callable(weights) else weights)

    return trial


def without_weights_in_the_probe(self):
    return Trial(*jax.vmap(self.trial)(jax.random.split(jax.random.key(0), 4)))


TWO = {"conditions": lambda self: jnp.eye(2)}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"trial": lambda self, key: (noise(key, 5), noise(key, 5))}, "gives a tuple; expected dynatlas.tasks.Trial"),
        ({"trial": lambda self, key: Trial(noise(key, 4), noise(key, 5))}, r"shape \(4, 1\); expected \(5, 1\)"),
        (
            {"trial": lambda self, key: Trial(noise(key, 5)[:, 0], noise(key, 5))},
            r"inputs of the shape \(5,\); .*two axes",
        ),
        (
            {"trial": lambda self, key: Trial(noise(key, 5), noise(key, 5)[:, 0])},
            r"targets of the shape \(5,\); .*two axes",
        ),
        ({"n_outputs": property(lambda self: 1 // 0)}, "n_outputs fails: ZeroDivisionError"),
        ({"n_conditions": property(lambda self: 1 // 0)}, "n_conditions fails: ZeroDivisionError"),
        ({"condition_names": lambda self: [][self.steps]}, r"condition_names\(\) fails: IndexError"),
        ({"probe_conditions": lambda self: [][self.steps]}, r"probe_conditions\(\) fails: IndexError"),
        ({"threshold": 0.9}, r"threshold is 0.9; expected \(\"mse\", bound\)"),
        ({"threshold": ("r2", "high")}, "threshold is .*'high'"),
        (setting("gain", float, np.inf), "cannot be written to a file"),
        (setting("gain", float | None, 1.0, None), "do not survive"),
        (
            {"trial": lambda self, key: Trial(noise(key, 5), jax.random.randint(key, (5, 1), 0, 2))},
            "targets of the type int32; expected float32",
        ),
        ({"trial": lambda self, key: Trial(noise(key, 5), noise(key, 5) / 0)}, "targets that are not finite"),
        ({"trial": weighted(jnp.ones(5))}, r"weights of the shape \(5,\); expected two axes"),
        ({"trial": weighted(jnp.ones((5, 2)))}, r"weights of the shape \(5, 2\); expected \(5, 1\)"),
        ({"trial": weighted(np.ones((5, 1)))}, "weights of the type float64; expected float32"),
        ({"trial": weighted(jnp.full((5, 1), jnp.nan))}, "weights that are not finite"),
        ({"trial": weighted(jnp.ones((5, 1)).at[2].set(-0.5))}, "the weight -0.5; expected 0 or more"),
        ({"trial": weighted(jnp.zeros((5, 1)))}, "weights that are all 0; expected some of them above 0"),
        (
            {"trial": weighted(lambda key: jnp.full((5, 1), jax.random.bernoulli(key, np.float32(0.5)), jnp.float32))},
            "weights that are all 0",
        ),
        (
            {"trial": weighted(jnp.ones((5, 1))), "probe": without_weights_in_the_probe},
            r"trial\(key\) gives weights, and probe\(\) gives none; give them in all or in none",
        ),
        (
            {"probe": lambda self: Trial(jnp.ones((2, 5, 2)), jnp.ones((2, 5, 1)), jnp.ones((2, 5, 1)))},
            r"probe\(\) gives weights, and trial\(key\) gives none",
        ),
        ({"trial": lambda self, key: 1 / 0}, "fails: ZeroDivisionError"),
        ({"trial": drifting}, "two different trials for the same key"),
        (
            {"trial": lambda self, key: Trial(noise(key, 5), jnp.full((5, 1), float(noise(key, 5)[0, 0])))},
            "cannot be traced by JAX.*jax.numpy",
        ),
        ({"trial": lambda self, key: Trial(jnp.ones((5, 1)), jnp.ones((5, 1)))}, "same trial for 8 different keys"),
        ({"trial": lambda self, key: Trial(noise(key, 5), jnp.ones((5, 1)))}, "the targets are 1 throughout"),
        ({"probe": lambda self: self.trial(jax.random.key(0))}, r"probe\(\) gives inputs of the shape \(5, 2\)"),
        ({"probe": lambda self: 3}, r"probe\(\) gives int"),
        (
            {"conditions": lambda self: jnp.ones((1, 3))},
            r"conditions\(\) has the shape \(1, 3\); expected \[conditions, 2\]",
        ),
        ({"conditions": lambda self: jnp.full((1, 2), jnp.nan)}, "are not all finite"),
        (TWO, r"probe_conditions\(\) holds \[0\]; each of the 2 conditions"),
        (TWO | {"n_conditions": property(lambda self: 3)}, r"n_conditions is 3, and conditions\(\) has 2"),
        (TWO | {"condition_names": lambda self: ("a", "a")}, "expected 2 that differ"),
        ({"probe_conditions": lambda self: np.zeros(3, int)}, r"shape \(3,\).*each of the 64 probe trials"),
        (
            {"condition_frequencies": lambda self: (0.1, 0.2)},
            r"condition_frequencies\(\) has 2 values; expected 1, one per condition",
        ),
        (
            {"condition_frequencies": lambda self: (0.5,)},
            r"condition_frequencies\(\) holds 0.5; expected cycles per step between 0 and 0.5",
        ),
        (
            {"integrated_inputs": lambda self: (2,)},
            r"integrated_inputs\(\) names 2; expected integers below 2",
        ),
        ({"integrated_inputs": lambda self: 1 / 0}, "computations fails: ZeroDivisionError"),
        ({"threshold": ("mae", 0.1)}, "threshold is .*'mae'"),
        ({"comparison_settings": frozenset(["probes"])}, "names 'probes', which is not among its settings"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*divide by zero")
def test_what_is_wrong_with_a_task_is_told(attributes, message):
    with pytest.raises(ValueError, match=f"the task 'tried'.*{message}"):
        check_task(changed(**attributes))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            TWO | {"probe_conditions": lambda self: np.arange(64) % 2, "topology": ("transition_graph",)},
            "topology names 'transition_graph', a graph of one condition, and there are 2",
        ),
        ({"topology": ("neighbor_graph",)}, "topology names 'neighbor_graph'; expected some of transition_graph"),
        ({"topology": ("spectrum", "svcca")}, "topology names 'svcca'; expected some of transition_graph"),
    ],
)
def test_a_study_refuses_a_task_that_names_a_measure_it_cannot_have(attributes, message):
    changed(**attributes)
    with pytest.raises(StudyError, match=f"the task 'tried': {message}"):
        Study.parse('name = "x"\n[[tasks]]\nkind = "tried"')


def test_a_function_is_a_task_and_its_parameters_are_its_settings():
    @register_task("echo")
    def echo(key, steps: int = 8, delay: int = 2):
        inputs = noise(key, steps)
        return inputs, jnp.roll(inputs, delay, axis=0)

    task = TASKS["echo"](delay=3)
    check_task(task)
    trial = task.trial(jax.random.key(0))
    np.testing.assert_array_equal(trial.targets[3:], trial.inputs[:-3])
    with pytest.raises(ValueError, match="delay"):
        TASKS["echo"](delay="long")
    assert callable(echo)


@pytest.mark.parametrize("as_trial", [False, True])
def test_a_function_can_give_weights(as_trial):
    @register_task("late")
    def late(key, steps: int = 8):
        inputs = noise(key, steps)
        parts = inputs, jnp.roll(inputs, 1, axis=0), jnp.ones_like(inputs).at[0].set(0)
        return Trial(*parts) if as_trial else parts

    task = TASKS["late"]()
    check_task(task)
    assert task.trial(jax.random.key(0)).weights[:, 0].tolist() == [0] + 7 * [1]
    assert task.probe().weights.shape == (64, 8, 1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda key, length=5: None, "needs a random key and a setting steps"),
        (lambda key, steps: None, "steps of the task .* has no default"),
        (lambda key, steps=5, kind="a": None, "kind of the task .* is a word that every task has"),
        (lambda key, steps=5, probe=1: None, "probe of the task .* is a word that every task has"),
        (FlipFlop, "derives from the task 'flip_flop', which is final"),
        (dict, "is no subclass of dynatlas.tasks.Task"),
    ],
)
def test_what_is_no_task_is_not_registered(function, message):
    with pytest.raises(ValueError, match=message):
        register_task("tried")(function)


class Plain(Cell):
    weights: Any
    shown: Any
    initial_state: Any

    def __init__(self, n_inputs, units, n_outputs, activation="tanh", *, key):
        self.weights = jax.random.normal(key, (units, units + n_inputs), jnp.float32) / units**0.5
        self.shown = jax.random.normal(key, (n_outputs, units), jnp.float32)
        self.initial_state = jnp.zeros(units, jnp.float32)

    @property
    def units(self):
        return self.shown.shape[-1]

    def __call__(self, state, inputs):
        return jnp.tanh(self.weights @ jnp.concatenate([state, inputs]))

    def readout(self, state):
        return self.shown @ state


def refuse(self, *sizes, key):
    raise RuntimeError("no such sizes")


def with_attribute(**fields):
    def make(self, *args, key):
        Plain.__init__(self, *args, key=key)
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    return {"__init__": make}


def impure(self, state, inputs):
    CALLS.append(1)
    return state + len(CALLS)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"__init__": refuse}, r"Tried\(2, 3, 1, 'tanh', key=…\) fails: RuntimeError: no such sizes"),
        (with_attribute(shown=jnp.ones((1, 3), jnp.int32)), "holds int32; all that is not static must be arrays"),
        (with_attribute(shown=2.0), "holds float; all"),
        (with_attribute(shown=jnp.full((1, 3), jnp.inf)), "weights that are not finite"),
        (with_attribute(weights=jnp.ones((3, 5)), shown=jnp.ones((1, 3))), "same weights for every key"),
        (with_attribute(initial_state=jnp.zeros(2)), r"initial_state has the shape \(2,\)"),
        ({"units": 4}, "units is 4; expected 3"),
        ({"__call__": lambda self, state, inputs: state[:2]}, r"a step gives the shape \(2,\); expected \(3,\)"),
        (
            {"__call__": lambda self, state, inputs: state.astype(np.float32)},
            "a step gives float32 for a state in float64",
        ),
        ({"__call__": lambda self, state, inputs: state / 0}, "is not finite"),
        ({"__call__": lambda self, state, inputs: 1 / 0}, "a step or its readout fails: ZeroDivisionError"),
        ({"__call__": impure}, "it must be a function"),
        ({"readout": lambda self, state: jnp.tanh(self.shown @ state)}, "the readout is not linear"),
        ({"readout": lambda self, state: state}, r"the readout gives the shape \(3,\); expected \(1,\)"),
        ({"box": lambda self, inputs: (-jnp.ones(2), jnp.ones(2))}, r"ends of the shapes \(2,\)"),
        ({"box": lambda self, inputs: 3}, r"box\(\) gives 3; expected \(low, high\)"),
        ({"box": lambda self, inputs: 1 / 0}, r"box\(\) fails: ZeroDivisionError"),
        ({"box": lambda self, inputs: (-jnp.ones(3), jnp.full(3, jnp.inf))}, r"ends that are not finite"),
        ({"box": lambda self, inputs: (jnp.ones(3), -jnp.ones(3))}, r"low 1 and high -1 for number 0"),
        ({"box": lambda self, inputs: (-0.01 * jnp.ones(3), 0.01 * jnp.ones(3))}, r"box\(\) is not mapped into itself"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*divide by zero")
def test_what_is_wrong_with_a_cell_is_told(attributes, message):
    cell = type("Tried", (Plain,), {"__module__": __name__} | attributes)
    with pytest.raises(ValueError, match=f"the cell 'tried'.*{message}"):
        check_cell("tried", cell, 2, 3, 1, "tanh")


def test_good_cells_pass():
    check_cell("plain", Plain, 2, 3, 1, "tanh")
    check_cell("vanilla", Vanilla, 2, 3, 1, "relu")
    assert size_of(Plain, 2, 3, 1, "tanh")[-2:] == (3 * 5 + 3 + 3, 3)


class Halved(Vanilla):
    def combine(self, state, sums):
        return 0.5 * super().combine(state, sums)


def test_a_derivative_that_is_none_of_the_cell_is_refused():
    @register_derivative(Halved)
    class HalvedStep(Step):
        @staticmethod
        def forward(activation, state, product):
            return (0.5 * jnp.tanh(product(0, state[0])),), Kept((), ())

        @staticmethod
        def backward(activation, kept, hidden, by_state, product):
            deltas = 0.5 * (1 - hidden**2) * by_state[0]  # the slope at half the value
            return (product(0, deltas),), (deltas,)

    with pytest.raises(ValueError, match=r"its registered derivative is off the one by automatic differentiation by 0"):
        check_cell("halved", Halved, 2, 3, 1, "tanh")
    with pytest.raises(ValueError, match=r"does not derive from dynatlas.cells.StagedCell"):
        register_derivative(Plain)(HalvedStep)
    with pytest.raises(ValueError, match=r"does not derive from dynatlas.cells.derivatives.Step"):
        register_derivative(Halved)(Plain)


def test_what_is_no_cell_is_not_registered():
    with pytest.raises(ValueError, match=r"does not derive from dynatlas.cells.Cell"):
        register_cell("tried")(eqx.nn.Linear)
    with pytest.raises(ValueError, match="'gru' is already GRU"):
        register_cell("gru")(Plain)
    assert CELLS["gru"] is not Plain


def test_leaves_of_modules_within_a_cell_have_names_of_their_own():
    leaves = jax.tree_util.tree_leaves_with_path({"a": eqx.nn.Linear(2, 3, key=jax.random.key(0)), "b": [jnp.ones(1)]})
    assert [leaf_name(path) for path, _ in leaves] == ["a.weight", "a.bias", "b.0"]


class Environment:
    """What of NeuroGym's environments is used: trials of 3 or 4 steps, the answer at their last one."""

    def __init__(self, actions):
        self.action_space = actions
        self.unwrapped = self

    def seed(self, seed):
        self.random = np.random.RandomState(seed)

    def new_trial(self):
        steps, side = self.random.randint(3, 5), self.random.randint(1, 3)
        self.ob = np.zeros((steps, 2))
        self.ob[0, side - 1] = 1
        self.gt = np.zeros(steps, int)
        self.gt[-1] = side


@pytest.fixture
def gym(monkeypatch):
    def make(name, **options):
        if name != "Sides-v0":
            raise KeyError(name)
        return Environment(**{"actions": SimpleNamespace(n=3)} | options)

    monkeypatch.setitem(sys.modules, "neurogym", SimpleNamespace(make=make))


def sides(name="Sides-v0", **options):
    attributes = {"__annotations__": {"environment": str}, "environment": name, "options": options}
    return register_task("sides")(type("Sides", (NeuroGym,), attributes | {"__module__": __name__}))


@pytest.mark.usefixtures("gym")
def test_an_environment_is_a_task():
    task = sides()(steps=9, pool=32)
    check_task(task)
    assert (task.n_inputs, task.n_outputs) == (2, 3)
    inputs, targets = task.sequences()
    assert inputs.shape == (32, 9, 2)
    # Every sequence begins with a trial; the one right action has the 1.
    np.testing.assert_array_equal(inputs[:, 0].sum(axis=1), 1)
    np.testing.assert_array_equal(targets.sum(axis=2), 1)
    first = targets[:, :4, 1:].sum(axis=1)
    np.testing.assert_array_equal(
        first.argmax(axis=1)[first.sum(axis=1) == 1], inputs[:, 0].argmax(axis=1)[first.sum(axis=1) == 1]
    )
    drawn = task.trial(jax.random.key(3))
    assert any(np.array_equal(drawn.inputs, one) for one in inputs)
    other = sides()(steps=9, pool=32, pool_seed=1)
    assert not np.array_equal(other.sequences()[0], inputs)


@pytest.mark.usefixtures("gym")
def test_a_continuous_answer_is_the_target_itself():
    task = sides(actions=SimpleNamespace(shape=(1,)))(steps=4, pool=16)
    assert task.n_outputs == 1
    assert set(np.unique(task.sequences()[1])) == {0.0, 1.0, 2.0}


def test_an_environment_that_is_not_there(gym, monkeypatch):
    with pytest.raises(PluginError, match=r"NeuroGym cannot make 'Other-v0' with {}: KeyError"):
        sides("Other-v0")(pool=16).sequences()
    seeds = iter(range(9))
    with monkeypatch.context() as patch:
        patch.setattr(
            Environment, "seed", lambda self, seed: setattr(self, "random", np.random.RandomState(next(seeds)))
        )
        with pytest.raises(PluginError, match="gives other trials when it is made and seeded again"):
            sides()(pool=16, steps=6).sequences()
    with pytest.raises(PluginError, match=r"names the actions \[0, 2\], and the space has 2"):
        sides(actions=SimpleNamespace(n=2))(pool=16, steps=50).sequences()
    monkeypatch.delattr(Environment, "new_trial")
    with pytest.raises(PluginError, match="has no new_trial"):
        sides()(pool=16).sequences()
    monkeypatch.setattr(Environment, "new_trial", lambda self: None, raising=False)
    with pytest.raises(PluginError, match=r"Environment gives no whole trial with its ground truth .AttributeError"):
        sides()(pool=16, steps=7).sequences()
    monkeypatch.setattr(sys.modules["neurogym"], "make", lambda name: SimpleNamespace())
    with pytest.raises(PluginError, match="has no new_trial"):
        sides("Bare-v0")(pool=16).sequences()
    monkeypatch.setitem(sys.modules, "neurogym", None)
    with pytest.raises(PluginError, match=r"pip install 'dynatlas\[neurogym\]'"):
        sides("None-v0")(pool=16).sequences()


def test_neurogym_is_imported_without_pytorch(tmp_path, monkeypatch):
    """A package built as NeuroGym 2.3 is: its wrappers import PyTorch, in one module."""
    package = tmp_path / "neurogym"
    probes = package / "wrappers" / "components" / "probes"
    probes.mkdir(parents=True)
    for folder in (package / "wrappers" / "components", probes):
        (folder / "__init__.py").touch()
    (package / "__init__.py").write_text("from neurogym import wrappers\n")
    (package / "wrappers" / "__init__.py").write_text("from neurogym.wrappers.monitor import Monitor\n")
    (package / "wrappers" / "monitor.py").write_text(f"from {NEEDS_TORCH} import ActivationProbe\nMonitor = 1\n")
    (probes / "activation.py").write_text("import no_such_torch as torch\nActivationProbe = torch\n")
    monkeypatch.syspath_prepend(tmp_path)
    with monkeypatch.context() as patch:
        for name in [name for name in sys.modules if name.split(".")[0] == "neurogym"]:
            patch.delitem(sys.modules, name)
        try:
            patch.setattr("dynatlas.tasks.neurogym.find_spec", lambda name: True)
            with pytest.raises(ModuleNotFoundError, match="no_such_torch"):
                import_neurogym()
            patch.setattr("dynatlas.tasks.neurogym.find_spec", lambda name: None)
            assert import_neurogym().wrappers.Monitor == 1
        finally:
            for name in [name for name in sys.modules if name.split(".")[0] == "neurogym"]:
                del sys.modules[name]
