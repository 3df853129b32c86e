"""Does the loss matter? The largest measured effect on what people compute from a table, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from ae_core.report import wording
from ae_core.report.impact import CheckOutcome
from ae_core.report.records import ColumnLoss
from ae_core.report.summary import TableSummary
from ae_core.report.top import TOP

NONE, LITTLE = 0.001, 0.01
"""Effects below the first do not matter, below the second hardly; what is larger, its reader has to judge."""
Weight = Literal["no", "hardly", "look", "unknown"]
SHORT: dict[Weight, str] = {"no": "no", "hardly": "hardly", "look": "look closer", "unknown": "not measured"}


@dataclass(frozen=True)
class Answer:
    """A question, how much the loss weighs for it, and the figures that say so."""

    question: str
    weight: Weight
    text: str

    @property
    def short(self) -> str:
        """The weight in a word or two."""
        return SHORT[self.weight]


def answers(table: TableSummary, checks: Iterable[CheckOutcome] = ()) -> tuple[Answer, ...]:
    """What the certificates say about sums, averages, distributions, correlations, top-N queries, counts and checks."""
    losses = [column.loss for column in table.columns]
    lossy = [loss for loss in losses if loss.changed]
    found = [
        _share("Sums", lossy, lambda x: _over(x.sum_change, x.total), "no sum over a whole partition or table moved",
               "a sum over all rows moves by at most {}"),
        _share("Averages", lossy, lambda x: _over(x.mean_change, x.range), "no mean moved",
               "a mean moves by at most {} of the column's range"),
        _share("Distributions", lossy, lambda x: x.wasserstein, "no distribution moved",
               "values lie on average at most {} of the range from where their rank was"),
        _correlation(table),
        _top(lossy),
        _exact(losses),
    ]  # fmt: skip
    ran = list(checks)
    return (*found, *((_checks(ran),) if ran else ()))


def worst_loss(losses: Iterable[ColumnLoss]) -> tuple[ColumnLoss, float] | None:
    """The column with the largest error over its range, and that share; None where no value moved."""
    shares = [(loss, loss.max_error / loss.range) for loss in losses if loss.max_error and loss.range]
    return max(shares, key=lambda pair: pair[1], default=None)


def _weight(share: float) -> Weight:
    return "no" if share <= NONE else "hardly" if share <= LITTLE else "look"


def _over(change: float | None, whole: float | None) -> float | None:
    return abs(change / whole) if change and whole else None


def _share(
    question: str, losses: list[ColumnLoss], of: Callable[[ColumnLoss], float | None], none: str, some: str
) -> Answer:
    shares = [(loss.name, share) for loss in losses if (share := of(loss))]
    name, share = max(shares, key=lambda pair: pair[1], default=("", 0.0))
    if not share:
        return Answer(question, "no", none)
    return Answer(question, _weight(share), f"{some.format(wording.at_most(share))} ({name})")


def _correlation(table: TableSummary) -> Answer:
    change = table.correlation_change
    if not change or table.correlation_pair is None:
        return Answer("Correlations", "no", "no correlation of two columns moved")
    pair = " with ".join(table.correlation_pair)
    return Answer("Correlations", _weight(change), f"a coefficient moves by at most {wording.number(change)} ({pair})")


def _top(lossy: list[ColumnLoss]) -> Answer:
    question = f"Top-{TOP} queries"
    numbers = [loss for loss in lossy if loss.is_number]
    known = [(loss.name, loss.top_lost) for loss in numbers if loss.top_lost is not None]
    if not numbers:
        return Answer(question, "no", f"every column keeps its {TOP} largest rows")
    if not known:
        return Answer(question, "unknown", "this archive's certificates do not say which rows are the largest")
    name, lost = max(known, key=lambda pair: pair[1])
    if not lost:
        return Answer(question, "no", f"the {TOP} rows with the largest values stay the same in every column")
    text = f"{TOP - lost} of the {TOP} rows with the largest values stay among them in the worst partition ({name})"
    return Answer(question, "hardly" if lost == 1 else "look", text)


def _exact(losses: list[ColumnLoss]) -> Answer:
    same = [loss for loss in losses if not loss.changed]
    question = "Counts, groups and joins"
    if len(same) == len(losses):
        return Answer(question, "no", "every column came back identical")
    text = f"unchanged on the {len(same)} identical columns; group the other {len(losses) - len(same)} by ranges"
    return Answer(question, "no" if same else "look", text)


def _checks(ran: list[CheckOutcome]) -> Answer:
    failed = [check.name for check in ran if not check.passed]
    names = dict.fromkeys(check.name for check in ran)
    if failed:
        return Answer("Your own checks", "look", f"failed: {', '.join(dict.fromkeys(failed))}")
    return Answer("Your own checks", "no", f"all {len(names)} passed on originals and rebuilt data: {', '.join(names)}")
