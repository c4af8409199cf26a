"""The entries to discard before a run resumes, compared with a simple but slow rule."""

from fnmatch import fnmatchcase

import numpy as np
import pytest

from dynatlas.atlas.atlas import Entry
from dynatlas.pipeline.jobs import Job, jobs_of, leftovers
from dynatlas.study.study import Study

STUDY = Study.parse(
    """
name = "small"
tasks = [{ kind = "flip_flop", steps = 20 }, { kind = "sine_wave" }, { kind = "context_integration" }]
population = { architectures = ["vanilla", "gru"], activations = ["tanh"], units = [4, 8], l2 = [1e-5], seeds = 2 }
search = { samples = 4 }
"""
)
JOBS = jobs_of(STUDY)


def written(job: Job) -> list[str]:
    """Names that a job enters."""
    if job.name.startswith("draw figures"):
        return [*job.promises, f"report/figures/{job.arguments[0]}.pdf"]
    return [*job.promises, *(pattern.replace("*", "one") for pattern in job.beyond)]


def entries_of(jobs: list[Job]) -> dict[str, Entry]:
    return {name: Entry(name, "", 0) for job in jobs for name in written(job)}


def test_of_a_run_that_is_done_or_not_begun_nothing_is_left_over() -> None:
    assert leftovers(JOBS, {}) == frozenset()
    assert leftovers(JOBS, entries_of(list(JOBS))) == frozenset()


@pytest.mark.parametrize("seed", range(20))
def test_left_over_is_what_jobs_that_are_not_done_write_and_done_ones_do_not(seed: int) -> None:
    random = np.random.default_rng(seed)
    entries = entries_of(list(JOBS))
    for name in random.choice(sorted(entries), size=random.integers(1, 30), replace=False):
        del entries[name]
    open_jobs = [job for job in JOBS if not job.is_done(entries)]
    done = [job for job in JOBS if job.is_done(entries)]
    owned = {
        name: ([job for job in open_jobs if job.writes(name)], [job for job in done if job.writes(name)])
        for name in entries
    }
    assert leftovers(JOBS, entries) == {name for name, (again, kept) in owned.items() if again and not kept}


def test_a_block_whose_fixed_points_are_sought_again_loses_its_arrays_and_no_others() -> None:
    entries = entries_of(list(JOBS))
    job = next(job for job in JOBS if job.stage == "fixed points")
    del entries[f"parts/searches/{job.arguments[0].name}.parquet"]
    found = leftovers(JOBS, entries)
    assert f"arrays.zarr/fixed_points/{job.arguments[0].name}" in found
    assert found == {name for name in written(job) if name in entries}


def test_figures_are_left_over_only_if_no_job_that_draws_some_is_done() -> None:
    entries = entries_of(list(JOBS))
    figures = {name for name in entries if fnmatchcase(name, "report/figures/*")}
    del entries["report/figures/fig1.svg"]
    assert leftovers(JOBS, entries) == frozenset()
    del entries["report/figures/fig2.svg"], entries["report/figures/fig3.svg"]
    assert leftovers(JOBS, entries) == figures & entries.keys()
