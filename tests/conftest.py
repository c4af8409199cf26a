"""Settings for all tests: one deterministic thread, compiled programs that are shared, and who may start processes."""

import atexit
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from support.process_guard import install_guard, no_processes

if TYPE_CHECKING:
    from support.finished import FinishedRun

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("NPROC", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
# jaxtyping's import hook compiles from source what a checked module is the first to import: 2,000 modules, 3 seconds.
THIRD_PARTY = (
    "cyclopts",
    "distributed",
    "equinox",
    "jax",
    "optax",
    "pandas",
    "rich.live",
    "scipy.stats",
    "xarray",
    "zarr",
)
for name in THIRD_PARTY:
    importlib.import_module(name)

# A busy machine is no failure, and every run tries the same examples.
hypothesis.settings.register_profile("dynatlas", deadline=None, derandomize=True)
hypothesis.settings.load_profile("dynatlas")

QUICK_FLAGS = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--check", action="store_true", help="only tests that start no process; compile quickly")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "processes: starts processes; put by the fixture of that name")
    install_guard()
    os.fsync = lambda descriptor: None  # nothing of the tests has to outlive the machine
    if config.getoption("check"):
        os.environ["XLA_FLAGS"] += f" {QUICK_FLAGS}"
        import jax

        jax.config.update("jax_disable_most_optimizations", True)
    else:
        _share_programs()


def _share_programs() -> None:
    """Let all processes load what one has compiled: those of xdist, and the many that tests start.

    Programs that are compiled quickly take longer to store than to compile.
    """
    import jax

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="dynatlas-programs-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        for name, value in (
            ("jax_compilation_cache_dir", folder),
            ("jax_persistent_cache_min_compile_time_secs", 0),
            ("jax_persistent_cache_min_entry_size_bytes", -1),
        ):
            os.environ[name.upper()] = str(value)
            jax.config.update(name, value)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "processes" in getattr(item, "fixturenames", ()):
            item.add_marker("processes")
    if config.getoption("check"):
        kept = [item for item in items if not item.get_closest_marker("processes")]
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("processes")])
        items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with _guard(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with _guard(item):
        return (yield)


def _guard(item: pytest.Item) -> AbstractContextManager[None]:
    return nullcontext() if item.get_closest_marker("processes") else no_processes()


@pytest.fixture(scope="session")
def processes() -> Iterator[None]:
    """Permission to start processes, which compile quickly.

    ``make check`` leaves out the tests that have it, and the guard fails those that start one without it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        yield


@pytest.fixture(scope="module")
def quick_compilation(pytestconfig: pytest.Config) -> Iterator[None]:
    """For files in which compiling takes most of the time, and XLA's optimisations are not what is tested."""
    if pytestconfig.getoption("check"):  # as everywhere
        yield
        return
    import jax

    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
    jax.clear_caches()  # what was compiled so rounds in its own way, and must not be met by later tests


@pytest.fixture(scope="session")
def tiny_run(processes: None, tmp_path_factory: pytest.TempPathFactory) -> "FinishedRun":
    """The tiny study, run to its end by one process of the session for all. Do not change its folder."""
    from support.finished import finished_run

    own = tmp_path_factory.getbasetemp()
    return finished_run((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "tiny")


@pytest.fixture(scope="session")
def tiny_atlas(tiny_run: "FinishedRun") -> Path:
    """The folder of the finished atlas, to read."""
    return tiny_run.atlas


@pytest.fixture
def tiny_copy(tiny_atlas: Path, tmp_path: Path) -> Path:
    """A copy of the finished atlas, to damage."""
    return shutil.copytree(tiny_atlas, tmp_path / "atlas")


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Whatever a test registers is forgotten after it."""
    from support.plugin_files import registries_kept

    with registries_kept():
        yield
