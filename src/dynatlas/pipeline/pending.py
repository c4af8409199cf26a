"""Which jobs can start: those whose dependencies are complete, in the order of the study."""

import heapq
from collections import defaultdict
from collections.abc import Collection, Mapping


class Pending:
    """The jobs that have not started.

    A job that ends is looked up by the jobs that need it, so that starting and ending all jobs takes time in proportion
    to their dependencies, of which the paper's study has 500,000.

    Example:
        >>> pending = Pending({"train": [], "reduce": ["train"], "map": ["reduce"]})
        >>> pending.start(), pending.start(), len(pending)
        ('train', None, 2)
        >>> pending.end("train")
        >>> pending.start()
        'reduce'
    """

    def __init__(self, needs: Mapping[str, Collection[str]]):
        """Take every job's dependencies that are not complete, in the order in which to start the jobs."""
        self._names = list(needs)
        self._incomplete = [len(of_job) for of_job in needs.values()]
        self._dependents: dict[str, list[int]] = defaultdict(list)
        for place, of_job in enumerate(needs.values()):
            for need in of_job:
                self._dependents[need].append(place)
        self._ready = [place for place, count in enumerate(self._incomplete) if not count]  # a heap, as it is sorted
        self._left = len(self._names)

    def __len__(self) -> int:
        return self._left

    def start(self) -> str | None:
        """Take out the first job that can start; None if there is none."""
        if not self._ready:
            return None
        self._left -= 1
        return self._names[heapq.heappop(self._ready)]

    def end(self, name: str) -> None:
        """Count a job as complete."""
        for place in self._dependents.pop(name, ()):
            self._incomplete[place] -= 1
            if not self._incomplete[place]:
                heapq.heappush(self._ready, place)
