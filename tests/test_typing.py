"""The types that a user of ``dynatlas`` sees: right programs pass mypy under strict flags, wrong calls are errors."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STRICT = """\
# mypy: disallow-any-generics, disallow-subclassing-any, disallow-untyped-calls, disallow-untyped-decorators
# mypy: disallow-untyped-defs, disallow-incomplete-defs, check-untyped-defs, warn-return-any, warn-unused-ignores
# mypy: no-implicit-reexport, strict-equality, extra-checks
"""
PROGRAM = '''
from pathlib import Path
from typing import assert_type

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

import dynatlas
from dynatlas import Atlas, FixedPoints, Network, Study, find_fixed_points, linearize

WEIGHTS = np.eye(2)


def step(state: Array, inputs: Array) -> Array:
    return jnp.tanh(2 * state + inputs)


class Leaky(eqx.Module):
    weights: Array

    def __call__(self, state: Array, inputs: Array) -> Array:
        return 0.8 * state + 0.2 * jnp.tanh(self.weights @ state + inputs)


def roots(starts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every form that arrays and boxes may have."""
    key = jax.random.key(0)
    points = find_fixed_points(step, starts, np.zeros(2), box=(-1, 1), tol=1e-20, key=key)
    assert_type(points, FixedPoints)
    find_fixed_points(step, [[0.1, 0], [0, 1]], [0, 1.0], box=((-1.0, -1.0), jnp.ones(2)), key=key)
    find_fixed_points(Leaky(jnp.eye(2)), jnp.zeros((1, 2)), jnp.zeros(2), key=key)
    find_fixed_points(lambda h, x: jnp.tanh(2 * h), starts, key=key)
    find_fixed_points(lambda h, x: WEIGHTS @ h, starts, key=key)
    find_fixed_points(jax.jit(step), starts, np.zeros(2), key=key)
    assert_type(points.roots(), FixedPoints)
    assert_type(points.coverage.share, float)
    return points.take(range(3)).states


def dynamics(points: FixedPoints) -> list[str]:
    assert_type(dynatlas.find_fixed_points(step, points.states, np.zeros(2)), FixedPoints)
    around = linearize(step, points.states, np.zeros(2))
    graph = dynatlas.transition_graph(step, points, np.zeros(2), key=jax.random.key(1))
    proof = dynatlas.uniqueness(step, points.states, np.zeros(2))
    line = dynatlas.slow_manifold(step, [1, 1], 0.0, range(3), points.states, np.zeros(2))
    assert_type(around.eigenvalues, NDArray[np.complex128])
    assert_type(graph, NDArray[np.float64])
    assert_type(proof.radius, NDArray[np.float64])
    assert_type(line.drift_share, float)
    return [attractor.kind for attractor in dynatlas.find_attractors(step, points.states, max_steps=100)]


def study(file: str) -> Atlas:
    atlas = dynatlas.run(Study.load(Path(file)), "atlas")
    try:
        return Atlas.open(atlas.path)
    except dynatlas.DynatlasError as error:
        raise SystemExit(error.exit_code) from error


network = Network(step=lambda h, x: jnp.tanh(2 * h + x), n_states=2, n_inputs=2, bounds=lambda x: (-1, 1))
assert_type(dynatlas.analyze(network, key=jax.random.key(2)).fixed_points, tuple[FixedPoints, ...])
assert_type(dynatlas.distance(np.ones((4, 2)), np.ones((4, 3)), "cka"), float)
'''
MISTAKES = """
import jax
import jax.numpy as jnp
import numpy as np

from dynatlas import Study, find_attractors, find_fixed_points, linearize, run, slow_manifold

key, starts = jax.random.key(0), np.zeros((4, 2))
step = lambda h, x: jnp.tanh(2 * h)  # noqa: E731

find_fixed_points(step, starts, tol="small", key=key)  # error: arg-type
find_fixed_points(step)  # error: call-arg
find_fixed_points(step, starts, box=(-1, 0, 1), key=key)  # error: arg-type
find_fixed_points(step, starts, box=-1, key=key)  # error: arg-type
find_fixed_points(step, {"states": starts}, key=key)  # error: arg-type
find_fixed_points(step, starts, tolerance=1e-20, key=key)  # error: call-arg
find_fixed_points(lambda h, x: (h, h), starts, key=key)  # error: arg-type return-value
find_fixed_points(lambda h: jnp.tanh(h), starts, key=key)  # error: arg-type misc
find_fixed_points(step, starts, key=key).state  # error: attr-defined
linearize(step, starts).eigenvalues.modulus  # error: attr-defined
find_attractors(step, starts, None, 100)  # error: call-arg
slow_manifold(step, {"weights": [1, 1]}, 0.0, [0, 1], starts)  # error: arg-type
Study.load(3)  # error: arg-type
run("study.toml")  # error: call-arg
"""


@pytest.fixture(scope="module")
def errors(processes, tmp_path_factory):
    """The errors of both programs, as {(file, line number): codes}.

    The repository's configuration, folder and cache are those of ``make lint``, so that after it this takes seconds.
    The flags are set in the programs: on the command line they would invalidate the cache.
    """
    folder = tmp_path_factory.mktemp("typing")
    for name, text in (("program", PROGRAM), ("mistakes", MISTAKES)):
        (folder / f"{name}.py").write_text(STRICT + text, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--no-pretty", "--no-color-output", *sorted(map(str, folder.iterdir()))]
    # The types of this checkout, not of an installed version.
    environment = os.environ | {"MYPYPATH": "src"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    found = re.findall(r"^(.*):(\d+): error: .* +\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    assert f"Found {len(found)} errors" in done.stdout, done.stdout
    codes = {}
    for file, line, code in found:
        codes.setdefault((Path(file).name, int(line)), set()).add(code)
    return codes


def test_a_right_program_has_no_errors(errors):
    assert {place: codes for place, codes in errors.items() if place[0] != "mistakes.py"} == {}


def test_every_mistake_is_an_error(errors):
    lines = enumerate((STRICT + MISTAKES).splitlines(), start=1)
    expected = {
        ("mistakes.py", number): set(line.split("# error: ")[1].split()) for number, line in lines if "# error" in line
    }
    assert {place: codes for place, codes in errors.items() if place[0] == "mistakes.py"} == expected
