"""Settings of all tests: one deterministic thread, a shared compilation cache, and the guard against processes."""

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
# jaxtyping's import hook recompiles every module that a checked module imports first: 2,000 modules, 3 seconds.
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

# No deadline, since machines may be busy; the same examples in every run.
hypothesis.settings.register_profile("dynatlas", deadline=None, derandomize=True)
hypothesis.settings.load_profile("dynatlas")

QUICK_FLAGS = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--check", action="store_true", help="only tests that start no process")
    parser.addoption("--quick", action="store_true", help="compile quickly, with few of XLA's optimisations")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "processes: starts processes; added by the fixture of that name")
    install_guard()
    os.fsync = lambda descriptor: None  # files of tests need not survive a power failure
    if config.getoption("quick"):
        os.environ["XLA_FLAGS"] += f" {QUICK_FLAGS}"
        import jax

        jax.config.update("jax_disable_most_optimizations", True)
    if not (config.getoption("quick") and config.getoption("check")):
        _share_programs()


def _share_programs() -> None:
    """Share compiled programs among all processes: those of xdist, and those that tests start.

    Without processes, programs that compile quickly take longer to store than to compile.
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
    """Permit a test to start processes, which compile without optimisations.

    ``make check`` deselects tests with this fixture; the guard fails tests that start a process without it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        yield


@pytest.fixture(scope="module")
def quick_compilation(pytestconfig: pytest.Config) -> Iterator[None]:
    """Compile without XLA's optimisations, for modules that mostly compile."""
    if pytestconfig.getoption("quick"):  # already set for all tests
        yield
        return
    import jax

    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    jax.clear_caches()  # programs round differently with optimisations, so that none may be shared
    yield
    jax.config.update("jax_disable_most_optimizations", before)
    jax.clear_caches()


@pytest.fixture(scope="session")
def tiny_run(processes: None, tmp_path_factory: pytest.TempPathFactory) -> "FinishedRun":
    """Return the finished run of the tiny study, shared by all processes of the session. Do not change its folder."""
    from support.finished import finished_run

    own = tmp_path_factory.getbasetemp()
    return finished_run((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "tiny")


@pytest.fixture(scope="session")
def tiny_atlas(tiny_run: "FinishedRun") -> Path:
    """Return the folder of the finished atlas, for reading only."""
    return tiny_run.atlas


@pytest.fixture
def tiny_copy(tiny_atlas: Path, tmp_path: Path) -> Path:
    """Return a copy of the finished atlas that a test may change."""
    return shutil.copytree(tiny_atlas, tmp_path / "atlas")


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Remove what a test registers after it."""
    from support.plugin_files import registries_kept

    with registries_kept():
        yield
