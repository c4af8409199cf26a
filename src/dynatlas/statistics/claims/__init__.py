"""Tests of the claims of Maheswaranathan et al. (2019), and of an opposing claim, on an atlas.

A claim holds or does not hold if the 95 % interval of its number lies on one side of the limit, or by a test at the 5 %
level, corrected for the number of all tests of the table (Holm). Otherwise it is not testable here, and the finding
states what is missing. The limits are choices of dynatlas, stated with each finding.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pandas as pd

from dynatlas.atlas.schema import NEAR_ONE
from dynatlas.atlas.view import AtlasLike, tasks, tasks_with
from dynatlas.statistics.claims import dynamics, geometry, topology
from dynatlas.statistics.claims.verdicts import MAJORITY, NEGLIGIBLE_R2, Finding, corrected, untestable
from dynatlas.tasks.task import Computation


class Claim(NamedTuple):
    """A claim, its rule and test on one task, and the computation of the tasks that it concerns; None for all tasks."""

    number: str
    name: str
    statement: str
    rule: str  # when it holds, as docs/comparing.md has it
    test: Callable[[AtlasLike, str], Iterator[Finding]]
    computation: Computation | None = None
    needs_task: bool = True  # False: the test handles a study without such a task

    def findings(self, atlas: AtlasLike) -> Iterator[Finding]:
        """Test the claim on an atlas, task by task."""
        for task in tasks_with(atlas.study, self.computation) if self.computation else tasks(atlas):
            if self.needs_task and task not in tasks(atlas):
                yield untestable(task, "the study does not have this task")
            else:
                yield from self.test(atlas, task)


CLAIMS = (
    Claim(
        "1",
        "geometry by SVCCA",
        "SVCCA separates architectures and activations",
        "p of the factor is below 0.05, corrected for all tests of the table; among all networks, and "
        "on the paper's subset",
        geometry.svcca_separates,
    ),
    Claim(
        "2",
        "geometry by CKA",
        "CKA agrees with SVCCA",
        f"the correlation of both distances over pairs is above {geometry.SAME:g}, and CKA passes the rule of claim 1",
        geometry.cka_separates,
    ),
    Claim(
        "3",
        "flip-flop topology",
        "Transition graphs do not separate architectures",
        "by each distance, the interval of R² of architecture and that of the interactions end less "
        f"than {NEGLIGIBLE_R2:g} above chance",
        topology.transitions_do_not_separate,
        "memory",
    ),
    Claim(
        "4",
        "flip-flop fixed points",
        "Most networks have 27 = 8 + 12 + 6 + 1 fixed points, and fewer than 10 % have another number",
        f"the share of networks with these fixed points is above {MAJORITY:g}, and the share "
        f"off the modal number below {topology.FEW:g}",
        topology.modal_count,
        "memory",
    ),
    Claim(
        "5",
        "sine oscillation",
        "Each command has one fixed point, with one complex pair just over |λ| = 1, near the commanded frequency",
        "the shares of commands with one root, and with one unstable pair of |λ| below "
        f"{dynamics.SLIGHTLY:g}, are above {dynamics.MOST:g}, and the median error of the linear "
        f"frequency is below {dynamics.NEAR_FREQUENCY:g}; commands without one count as missed",
        dynamics.one_oscillation,
        "oscillation",
    ),
    Claim(
        "6a",
        "sine frequency offsets",
        "Linear frequencies have small offsets that depend on architecture and activation",
        f"the median size of the offsets is below {dynamics.NEAR_FREQUENCY:g}, and their means differ "
        "by the factor with p below 0.05",
        dynamics.frequency_offsets,
        "oscillation",
    ),
    Claim(
        "6b",
        "sine topology",
        "Chains of fixed points separate neither architectures nor activations",
        "the rule of claim 3, for both factors",
        topology.chains_do_not_separate,
        "oscillation",
    ),
    Claim(
        "7a",
        "line attractors",
        "Each context has an approximate line attractor",
        f"in more than {dynamics.MOST:g} of the contexts a state moves in a step by less than "
        f"{dynamics.SLOW:g} of the line's length, more than {dynamics.HELD:g} of the activity's extent "
        f"along it is left after a trial, and that is more than {dynamics.LONG:g} times the extent "
        "across it",
        dynamics.line_attractors,
        "integration",
    ),
    Claim(
        "7b",
        "integration topology",
        "The topology of the line separates activations, but not architectures",
        "the rule of claim 1 for activation, and that of claim 3 for architecture",
        topology.lines_separate_activations,
        "integration",
    ),
    Claim(
        "8",
        "modes of integration",
        "Vanilla networks integrate with one mode; gated ones have many eigenvalues near 1",
        f"the share of vanilla networks that need one mode is above {MAJORITY:g}, and gated "
        f"networks have on average more than one mode with |λ| above {NEAR_ONE:g} more than vanilla ones",
        dynamics.modes_of_integration,
        "integration",
    ),
    Claim(
        "9",
        "unit integral",
        "The response to a unit input is near 1, with an offset that depends on the architecture",
        f"the median distance of the response from 1 is below {dynamics.NEAR_INTEGRAL:g}, and the mean "
        "response differs by architecture with p below 0.05",
        dynamics.unit_integral,
        "integration",
    ),
    Claim(
        "10",
        "trained and untrained",
        "Trained relu vanilla networks are nearer to untrained relu ones than to trained tanh ones, in SVCCA",
        "the difference of the mean distances is below 0, without a network's distance from its own past",
        geometry.untrained_are_nearer,
        "integration",
        needs_task=False,
    ),
    Claim(
        "11",
        "relu LSTM",
        "Relu LSTMs do not learn the sine task",
        f"the share of relu LSTMs that pass is below {MAJORITY:g}",
        dynamics.relu_lstm_does_not_learn,
        "oscillation",
        needs_task=False,
    ),
    Claim(
        "T",
        "activation and topology",
        "The activation function changes the topology of a solution (Tolmachev & Engel 2025)",
        "the rule of claim 1 for activation, by each measure of topology",
        topology.activation_changes_topology,
    ),
)


def check_claims(atlas: AtlasLike) -> pd.DataFrame:
    """Test every claim on an atlas, and return the rows of the table ``claims``.

    A claim that concerns several tasks, factors or numbers has a row for each. p-values are corrected over all rows.
    """
    tested = [(claim, finding) for claim in CLAIMS for finding in claim.findings(atlas)]
    claims, findings = [claim for claim, _ in tested], corrected([finding for _, finding in tested])
    rows = pd.DataFrame(
        {"claim": claim.number, "name": claim.name, "statement": claim.statement} | finding._asdict()
        for claim, finding in zip(claims, findings, strict=True)
    )
    return rows.drop(columns="otherwise")
