"""Publish a finished atlas of the study `reproduction` in this folder.

    python validation/before_training.py ATLAS --csv before_training.csv
    python results/publish.py ATLAS before_training.csv
    python results/pages.py

`reproduction` becomes an excerpt of the atlas: tables, distances, and the arrays that the figures read. `figures` has
figures drawn from the excerpt, and `before_training.csv` is the given file. The pages are docs/results.md and
docs/findings.md.
"""

import argparse
import shutil
from pathlib import Path
from typing import ClassVar

from dynatlas import Atlas
from dynatlas.atlas.atlas import ARRAYS, EXCERPT
from dynatlas.figures.catalogue import save_all

HERE = Path(__file__).parent
PUBLISHED, FIGURES, BEFORE = HERE / "reproduction", HERE / "figures", HERE / "before_training.csv"
SHOWN = (
    *("fig1", "fig2", "fig3", "fig4", "appendix-c", "appendix-e"),
    *("effects", "fixed-points-learned", "distances-flip_flop-transition_graph"),
)


class Reading(Atlas):
    """An atlas that notes the groups of arrays that are read."""

    groups: ClassVar[set[str]] = set()

    def arrays(self, group):
        """As ``Atlas.arrays``."""
        self.groups.add(f"{ARRAYS}/{group}")
        return super().arrays(group)


def main():
    """Write the excerpt, the figures and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("atlas", type=Path)
    parser.add_argument("before_training", type=Path)
    arguments = parser.parse_args()
    whole = Reading.open(arguments.atlas)
    save_all(whole, ["png"], SHOWN)
    excerpt = whole.excerpt(PUBLISHED, [*EXCERPT, *sorted(whole.groups)])
    FIGURES.mkdir(exist_ok=True)
    for name, content in save_all(excerpt, ["png"], SHOWN).items():
        (FIGURES / name).write_bytes(content)
    shutil.copyfile(arguments.before_training, BEFORE)
    print(f"{len(excerpt.entries)} entries, {sum(entry.bytes for entry in excerpt.entries.values()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
