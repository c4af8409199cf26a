"""What became of each try."""

from dataclasses import dataclass, field


@dataclass
class Counts:
    """Outcomes of one kind of fault.

    Attributes:
        fault: what was done.
        tried: how often.
        survived: the result is right, or a clear error names what is wrong and nothing is lost.
        lost: a result is lost or damaged, or an error is a traceback.
        silent: a wrong result without a word.
        hung: no end within the stated time.
        examples: of what did not survive.
    """

    fault: str
    tried: int = 0
    survived: int = 0
    lost: int = 0
    silent: int = 0
    hung: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)

    def add(self, outcome: str, example: str = "", times: int = 1) -> None:
        """Count an outcome: "survived", "lost", "silent" or "hung"."""
        self.tried += times
        setattr(self, outcome, getattr(self, outcome) + times)
        if outcome != "survived" and len(self.examples) < 20:
            self.examples.append(f"{outcome}: {example}"[:500])


def table(counts: list[Counts]) -> str:
    """Format the counts as a table in Markdown."""
    head = "| fault | tried | survived | lost | silent | hung |\n|---|---:|---:|---:|---:|---:|\n"
    rows = (f"| {c.fault} | {c.tried:,} | {c.survived:,} | {c.lost} | {c.silent} | {c.hung} |" for c in counts)
    return head + "\n".join(rows) + "\n"
