"""Every environment of NeuroGym as a task: does it pass the checks, and are its sequences those of NeuroGym's Dataset?

Needs ``pip install 'dynatlas[neurogym]'`` in an environment of its own. Prints a line per environment.
"""

import sys

import numpy as np

from dynatlas.errors import PluginError
from dynatlas.tasks.checks import check_task
from dynatlas.tasks.neurogym import NeuroGym, import_neurogym
from dynatlas.tasks.registry import register_task

STEPS, POOL = 40, 32
neurogym = import_neurogym()


def main() -> None:
    """Try all of them."""
    names = sorted(neurogym.envs.registration.all_envs())
    passed = 0
    for number, name in enumerate(names):
        verdict = verdict_on(name, number)
        passed += verdict.startswith("passes")
        print(f"{name:<40} {verdict}", flush=True)
    print(f"{passed} of {len(names)} environments of NeuroGym {neurogym.__version__} pass")
    sys.exit(0 if passed else 1)


def verdict_on(name: str, number: int) -> str:
    """What the checks and the comparison say of one environment."""
    attributes = {"__annotations__": {"environment": str, "steps": int, "pool": int}, "__module__": __name__}
    settings = {"environment": name, "steps": STEPS, "pool": POOL}
    task = register_task(f"environment_{number}")(type("Environment", (NeuroGym,), attributes | settings))()
    try:
        inputs, _ = task.sequences()
        check_task(task)
    except (PluginError, ValueError) as error:
        return f"does not: {str(error).splitlines()[0][:140]}"
    theirs = first_of_dataset(name)
    same = np.array_equal(inputs[0], theirs)
    return (
        f"passes: {task.n_inputs} inputs, {task.n_outputs} outputs; first sequence {'is' if same else 'is NOT'} theirs"
    )


def first_of_dataset(name: str) -> np.ndarray:
    """The first sequence that NeuroGym itself gives under the same seed, after others that it has drawn already.

    It is another one where a trial depends on those before it.
    """
    dataset = neurogym.Dataset(neurogym.make(name), batch_size=1, seq_len=STEPS, cache_len=STEPS)
    dataset.seed(0)
    dataset._cache()  # again, now that it is seeded
    return dataset._inputs[:STEPS, 0].reshape(STEPS, -1).astype(np.float32)


if __name__ == "__main__":
    main()
