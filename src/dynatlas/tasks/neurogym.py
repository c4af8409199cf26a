"""Environments of NeuroGym as tasks (``pip install 'dynatlas[neurogym]'``).

NeuroGym draws its trials with NumPy, which JAX cannot trace. A pool of sequences is therefore drawn once with a fixed
seed, and a random key selects one. Training repeats the same ``pool`` sequences, and the held-out trials come from the
same pool, so it must be large enough for the task.

Source: Molano-Mazón et al. 2022; sequences are those of ``neurogym.Dataset``, each beginning at the start of a trial.
"""

import sys
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import Annotated, Any, ClassVar, Final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray
from pydantic import Field

from dynatlas.errors import PluginError
from dynatlas.tasks.task import Task, Trial

COMPARED = 8  # sequences that are drawn twice, to check that the seed determines them

# It records the activity of PyTorch networks, and is all of NeuroGym 2.3 that imports PyTorch.
NEEDS_TORCH: Final = "neurogym.wrappers.components.probes.activation"


class NeuroGym(Task):
    """A supervised task from an environment with ``new_trial``: inputs are observations, targets the ground truth.

    A subclass names the environment, and is registered like any task. Observations are flattened. With a discrete
    action space the targets have one output per action, 1 for the correct action and 0 for the others. Every sequence
    consists of consecutive trials, truncated to ``steps``.

    Args:
        environment: id of the environment, such as ``"PerceptualDecisionMaking-v0"``.
        steps: length of a sequence.
        pool: number of sequences drawn.
        pool_seed: seed with which the sequences are drawn.

    Raises:
        PluginError: NeuroGym is not installed, does not have the environment, or the environment has no trials.

    Example, in a file that a study names under ``plugins``:

        from dynatlas import register_task
        from dynatlas.tasks.neurogym import NeuroGym

        @register_task("random_dots")
        class RandomDots(NeuroGym):
            environment: str = "PerceptualDecisionMaking-v0"
            steps: int = 22
            options = {"dt": 100}
    """

    environment: str
    steps: Annotated[int, Field(ge=2, le=100_000)] = 100
    pool: Annotated[int, Field(ge=16, le=1_000_000)] = 1024
    pool_seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    options: ClassVar[dict[str, Any]] = {}  # keyword arguments of the environment

    def trial(self, key: PRNGKeyArray) -> Trial:
        """Draw a sequence from the pool."""
        inputs, targets = self.sequences()
        chosen = jax.random.randint(key, (), 0, self.pool, jnp.int32)
        return Trial(jnp.asarray(inputs)[chosen], jnp.asarray(targets)[chosen])

    def sequences(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the pool: inputs and targets ``[pool, steps, …]``, the same in every process."""
        return _sequences(self)


@lru_cache(maxsize=8)
def _sequences(task: NeuroGym) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    inputs, targets = _drawn(task, task.pool)
    for drawn, again in zip((inputs, targets), _drawn(task, COMPARED), strict=True):
        if not np.array_equal(drawn[:COMPARED], again):
            raise PluginError(
                f"{task.environment} gives other trials when it is made and seeded again, so that every worker would "
                "have its own; it draws random numbers that its seed does not fix"
            )
    return inputs, targets


def _drawn(task: NeuroGym, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    environment = _environment(task.environment, task.options)
    environment.seed(task.pool_seed)
    pairs = [_sequence(environment, task.steps) for _ in range(count)]
    inputs, targets = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
    return inputs, targets


def _sequence(environment: Any, steps: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Concatenate trials until they have ``steps`` steps."""
    observations: list[NDArray[Any]] = []
    truths: list[NDArray[Any]] = []
    length = 0
    while length < steps:
        name = type(environment).__name__
        try:
            environment.new_trial()
            observation, truth = np.asarray(environment.ob), np.asarray(environment.gt)
        except Exception as error:
            raise PluginError(
                f"{name} gives no whole trial with its ground truth ({type(error).__name__}: {error}); only "
                "environments that neurogym.Dataset can draw from are supervised tasks"
            ) from None
        if observation.ndim == 0 or not len(observation) or np.shape(truth)[:1] != observation.shape[:1]:
            raise PluginError(
                f"{name} gives observations {observation.shape} and answers {truth.shape}: not step by step"
            )
        observations.append(observation.reshape(len(observation), -1))
        truths.append(_one_output_each(truth, environment.action_space))
        length += len(observation)
    inputs, targets = (np.concatenate(parts)[:steps].astype(np.float32) for parts in (observations, truths))
    return inputs, targets


def _one_output_each(truth: NDArray[Any], actions: object) -> NDArray[Any]:
    """Encode the actions of a discrete space one-hot, with one output per action."""
    count = getattr(actions, "n", None)
    if count is None:
        return truth.reshape(len(truth), -1)
    numbers = truth.astype(int) - int(getattr(actions, "start", 0))
    if numbers.min() < 0 or numbers.max() >= count:
        raise PluginError(
            f"the ground truth names the actions {sorted(set(truth.tolist()))}, and the space has {count}"
        )
    return np.eye(int(count))[numbers]


def _environment(name: str, options: dict[str, Any]) -> Any:
    try:
        neurogym = import_neurogym()
    except ImportError as error:
        raise PluginError(
            f"the environment {name!r} needs NeuroGym, which cannot be imported ({error}): "
            "pip install 'dynatlas[neurogym]'"
        ) from None
    try:
        made = neurogym.make(name, **options)
    except Exception as error:
        raise PluginError(f"NeuroGym cannot make {name!r} with {options}: {type(error).__name__}: {error}") from None
    environment = getattr(made, "unwrapped", made)
    if not hasattr(environment, "new_trial"):
        raise PluginError(f"the environment {name!r} has no new_trial, so that there is no ground truth to learn from")
    return environment


def import_neurogym() -> Any:
    """Import NeuroGym, of which 2.3 imports PyTorch without declaring it.

    If PyTorch is not installed, an empty module takes the place of the one that needs it; ``neurogym.wrappers.Monitor``
    then cannot record networks, which no task does.

    Raises:
        ImportError: NeuroGym is not installed, or another package that it needs.
    """
    if find_spec("torch") is None and NEEDS_TORCH not in sys.modules:
        empty = ModuleType(NEEDS_TORCH, "Stands in for a module that needs PyTorch.")
        empty.ActivationProbe = None  # type: ignore[attr-defined]
        sys.modules[NEEDS_TORCH] = empty
    import neurogym

    return neurogym
