"""Each task can be learned: a small network leaves the best constant answer, an R² of 0, far behind."""

from typing import Any

import pytest

from dynatlas.tasks import BUILT_IN, PAPER
from dynatlas.training.fit import begin, train
from dynatlas.training.loss import explained_variance
from support.studies import tiny_study

pytestmark = pytest.mark.usefixtures("quick_compilation")

SHORT: dict[str, dict[str, Any]] = {
    "delayed_discrimination": {"fixation": 1, "stimulus": 3, "delay": 4, "response": 4, "grace": 1},
    "perceptual_decision": {"fixation": 1, "stimulus": 8, "response": 4, "grace": 1},
    "match_to_sample": {"fixation": 1, "stimulus": 2, "delay": 3, "response": 4, "grace": 1},
    "path_integration": {"steps": 15},
    "memory_angle": {"fixation": 1, "cue": 2, "delay": 4, "response": 4, "grace": 1},
    "context_decision": {"fixation": 1, "stimulus": 4, "response": 3},
    "delayed_cue": {"cue": 3, "delay": 6, "response": 5},
}


@pytest.mark.parametrize("kind", [kind for kind in BUILT_IN if kind not in PAPER])
def test_a_small_network_learns_the_task(kind: str) -> None:
    study = tiny_study(
        tasks=[{"kind": kind} | SHORT[kind]],
        population={"architectures": ["gru"], "units": [16], "seeds": 1},
        training={
            "optimizer": "adam",
            "learning_rate": 0.01,
            "iterations": 200,
            "batch_size": 32,
            "validation_trials": 256,
        },
    )
    [(block, members)] = study.blocks.items()
    start = begin(members, lambda key: study.cell(block, key))
    state = train(study.tasks[0], members, start, until=200)
    r2 = explained_variance(study.tasks[0], members[0].training, state.validation_mse[:, -1])
    print(f"{kind}: R² {r2[0]:.3f}")
    assert r2[0] > 0.5
