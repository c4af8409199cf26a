"""Faults in loops: kills, flipped bits, odd studies, damaged files, small disks. Prints one table and keeps it.

    python validation/robustness.py kills --number 50       # each of four kinds
    python validation/robustness.py flips --number 1000
    python validation/robustness.py studies --number 3000
    python validation/robustness.py files --number 400      # of each format
    python validation/robustness.py disks                   # needs the right to mount a tmpfs
    python validation/robustness.py table                   # of all that was measured

Each part writes ``results/robustness_PART.json`` and the table ``results/robustness.md``. A run takes minutes to hours.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from faults.counts import Counts, table

RESULTS = Path(__file__).parent / "results"
PARTS = ("kills", "flips", "studies", "files", "disks")
WHICH = ("main", "worker", "all", "starting")


def main() -> None:
    """Run one part, and rewrite the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=(*PARTS, "table"))
    parser.add_argument("--number", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.part != "table":
        with tempfile.TemporaryDirectory(prefix="robustness-", ignore_cleanup_errors=True) as work:
            # Compiled programs are shared by all runs of the loops, so that one takes seconds.
            os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{work}/compiled"
            os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
            os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"
            counts = _part(chosen.part)(Path(work), chosen.number, chosen.seed)
        content = {"machine": f"{os.cpu_count()} cores, {platform.platform()}", "counts": [asdict(c) for c in counts]}
        (RESULTS / f"robustness_{chosen.part}.json").write_text(json.dumps(content, indent=1) + "\n")
    print(_write_table())


def _part(name: str) -> Callable[[Path, int, int], list[Counts]]:
    if name == "kills":
        from faults.kills import kills

        def every(work: Path, number: int, seed: int) -> list[Counts]:
            counts = []
            for which in WHICH:
                counts.append(kills(work, which, number, seed))
                shutil.rmtree(work / "reference")
            return counts

        return every
    if name == "flips":
        from faults.flips import flips

        return flips
    if name == "studies":
        from faults.studies import studies

        return studies
    if name == "disks":
        from faults.disks import disks

        return disks
    from faults.files import files

    return files


def _write_table() -> str:
    parts = [RESULTS / f"robustness_{part}.json" for part in PARTS]
    stored = [json.loads(part.read_text()) for part in parts if part.exists()]
    counts = [Counts(**count) for content in stored for count in content["counts"]]
    text = (
        "# Faults in loops\n\n`python validation/robustness.py PART`. *Survived*: the result is right to the bit, or "
        "a clear error names\nwhat is wrong and nothing is lost. *Silent*: a wrong result without a word.\n\n"
        + table(counts)
    )
    (RESULTS / "robustness.md").write_text(text)
    return text


if __name__ == "__main__":
    main()
