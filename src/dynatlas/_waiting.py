"""Which jobs become ready when one has ended, at a cost of the jobs that need it and not of all that wait."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set

from dynatlas.jobs import Job


class Waiting:
    """The jobs that are not submitted yet."""

    def __init__(self, jobs: Iterable[Job], needs: Mapping[str, Set[str]]):
        """``needs`` has, for each job, those of the jobs that must end before it."""
        self._jobs = {job.name: job for job in jobs}
        self._open = {name: len(needs[name]) for name in self._jobs}  # how many jobs each one waits for
        self._needed_by: dict[str, list[str]] = defaultdict(list)
        for name in self._jobs:
            for need in needs[name]:
                self._needed_by[need].append(name)

    def __len__(self) -> int:
        return len(self._jobs)

    def first(self) -> list[Job]:
        """Take out the jobs that wait for nothing, in order."""
        return self._taken(list(self._jobs))

    def after(self, ended: str) -> list[Job]:
        """Take out the jobs for which this one was the last that they waited for, in order."""
        names = self._needed_by.pop(ended, [])
        for name in names:
            self._open[name] -= 1
        return self._taken(names)

    def _taken(self, names: Iterable[str]) -> list[Job]:
        return [self._jobs.pop(name) for name in names if not self._open[name]]
