"""What a table's mixing coder looks at, column by column: a few dozen bytes a column, and no weights.

Reference : which row a feature looks at: () this row, (-d,) the row d before, (c, …) the last row with the same codes
            in columns c, ….
Feature   : (kind, argument, reference).  Kinds up to RUN look at the column itself, see `coder`; the others at columns
            that are known before it: NOW their code, BUCKET it in 40 classes, CHANGE the class of its difference to
            another row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ae_core.errors import Corrupt
from ae_core.varints import read_varint, write_varint

Thing = TypeVar("Thing")

Reference = tuple[int, ...]
Feature = tuple[int, int, Reference]

OWN, COARSE, GUESS, AGAINST, RESIDUAL, ENERGY, FRACTION, RUN, NOW, BUCKET, CHANGE = range(11)
NEEDS_GUESS = (GUESS, AGAINST, RESIDUAL, ENERGY, FRACTION)
MOST_CONTEXTS, MOST_FEATURES, MOST_TAPS, MOST_KEYS = 12, 4, 12, 4
ONE = 1 << 12  # weight 1 of a tap
_MOST_WEIGHT = 1 << 60
_MOST_COLUMNS, _MOST_SIZE = 1 << 16, 1 << 45
_MOST_SPECIALS = 14  # a bucket of the coder has nodes for their decisions and no more


@dataclass(frozen=True)
class Tap:
    """One term of a guess: weight / 4096 times a column's code at a row."""

    column: int
    reference: Reference
    weight: int


@dataclass(frozen=True)
class ColumnModel:
    """How one column is coded.

    residual : the difference to a guess is coded, else the code itself; contexts : features each; selector : the
    feature that picks a mixer's weights; constant and taps : the guess, in 2^-12; again : a row whose code is asked
    for first, where most cells repeat it.
    """

    column: int
    residual: bool
    contexts: tuple[tuple[Feature, ...], ...]
    selector: Feature | None = None
    constant: int = 0
    taps: tuple[Tap, ...] = ()
    again: Reference | None = None

    @property
    def guided(self) -> bool:
        """True where there is a guess, be it coded against or looked at."""
        return self.residual or bool(self.taps)

    @property
    def features(self) -> tuple[Feature, ...]:
        """Every feature once."""
        used = [feature for context in self.contexts for feature in context]
        return tuple(dict.fromkeys([*used, *([] if self.selector is None else [self.selector])]))


@dataclass(frozen=True)
class MixingPlan:
    """Coding of a table's columns of codes: values below `levels`, specials from there below `sizes`.

    models : in coding order; columns that have none are *given* to the decoder.
    """

    levels: tuple[int, ...]
    sizes: tuple[int, ...]
    models: tuple[ColumnModel, ...]

    def to_bytes(self) -> bytes:
        """The plan as bytes that `from_bytes` reads."""
        numbers = [len(self.sizes)]
        for levels, size in zip(self.levels, self.sizes, strict=True):
            numbers += [levels, size - levels]
        numbers.append(len(self.models))
        for model in self.models:
            references = _references(model)
            features = model.features
            mode = 4 * int(model.again is not None) + 2 * int(model.guided) + int(model.residual)
            numbers += [model.column, mode, len(references)]
            for reference in references:
                numbers += [len(reference), *(2 * c if c >= 0 else -2 * c - 1 for c in reference)]
            numbers.append(len(features))
            for kind, argument, reference in features:
                numbers += [kind, argument, references.index(reference)]
            numbers.append(len(model.contexts))
            for context in model.contexts:
                numbers += [len(context), *(features.index(feature) for feature in context)]
            numbers.append(0 if model.selector is None else 1 + features.index(model.selector))
            if model.again is not None:
                numbers.append(references.index(model.again))
            if model.guided:
                numbers += [_folded(model.constant), len(model.taps)]
                for tap in model.taps:
                    numbers += [tap.column, references.index(tap.reference), _folded(tap.weight)]
        return b"".join(write_varint(number) for number in numbers)

    def known_before(self, column: int) -> set[int]:
        """The columns without a model that decoding a column looks at, through those coded before it too."""
        seen: set[int] = set()
        for model in self.models:
            references = {tap.reference for tap in model.taps} | {feature[2] for feature in model.features}
            references |= set() if model.again is None else {model.again}
            seen |= {c for reference in references for c in reference if c >= 0} | {tap.column for tap in model.taps}
            seen |= {argument for kind, argument, _ in model.features if kind >= NOW}
            if model.column == column:
                break
        return seen - {model.column for model in self.models}

    def renumbered(self, places: Mapping[int, int]) -> MixingPlan:
        """The plan for a table in which columns stand at other places, in the same order; some may be gone."""
        kept = sorted(places)

        def moved(reference: Reference) -> Reference:
            return tuple(places[c] if c >= 0 else c for c in reference)

        def feature(one: Feature) -> Feature:
            kind, argument, reference = one
            return kind, places[argument] if kind >= NOW else argument, moved(reference)

        models = tuple(
            replace(
                model,
                column=places[model.column],
                contexts=tuple(tuple(feature(one) for one in context) for context in model.contexts),
                selector=None if model.selector is None else feature(model.selector),
                taps=tuple(Tap(places[tap.column], moved(tap.reference), tap.weight) for tap in model.taps),
                again=None if model.again is None else moved(model.again),
            )
            for model in self.models
        )
        return MixingPlan(tuple(self.levels[c] for c in kept), tuple(self.sizes[c] for c in kept), models)

    @classmethod
    def from_bytes(cls, data: bytes) -> MixingPlan:
        """The plan behind `data`.

        Raises
        ------
        Corrupt
            Where it is not one, or looks at what is not known yet.
        """
        reader = _Reader(data)
        shapes = [(reader.number(_MOST_SIZE), reader.number(_MOST_SIZE)) for _ in range(reader.number(_MOST_COLUMNS))]
        models = tuple(_read_model(reader, len(shapes)) for _ in range(reader.number(len(shapes))))
        reader.end()
        plan = cls(tuple(n for n, _ in shapes), tuple(n + more for n, more in shapes), models)
        _refuse_unsound(plan)
        return plan


def _references(model: ColumnModel) -> list[Reference]:
    used = [feature[2] for feature in model.features] + [tap.reference for tap in model.taps]
    used += [] if model.again is None else [model.again]
    return list(dict.fromkeys(used))


def _read_model(reader: _Reader, columns: int) -> ColumnModel:
    column, mode = reader.number(columns - 1), reader.number(7)
    references = []
    for _ in range(reader.number(64)):
        folded = [reader.number(2 * _MOST_COLUMNS) for _ in range(reader.number(MOST_KEYS))]
        references.append(tuple(-(n + 1) // 2 if n & 1 else n // 2 for n in folded))
    features = [
        (reader.number(CHANGE), reader.number(_MOST_COLUMNS), reader.pick(references)) for _ in range(reader.number(64))
    ]
    contexts = tuple(
        tuple(reader.pick(features) for _ in range(reader.number(MOST_FEATURES)))
        for _ in range(reader.number(MOST_CONTEXTS))
    )
    chosen = reader.number(len(features))
    selector = features[chosen - 1] if chosen else None
    again = reader.pick(references) if mode & 4 else None
    if not mode & 2:
        return ColumnModel(column, False, contexts, selector, again=again)
    constant = reader.signed()
    taps = tuple(
        Tap(reader.number(columns - 1), reader.pick(references), reader.signed())
        for _ in range(reader.number(MOST_TAPS))
    )
    return ColumnModel(column, bool(mode & 1), contexts, selector, constant, taps, again)


def _refuse_unsound(plan: MixingPlan) -> None:
    """Raise Corrupt where a model looks at a column that is not known before it, or outside the table."""
    coded = {model.column for model in plan.models}
    known = set(range(len(plan.sizes))) - coded
    sound = len(coded) == len(plan.models)
    for size, levels in zip(plan.sizes, plan.levels, strict=True):
        sound &= size > 0 and levels >= 0 and size - levels <= _MOST_SPECIALS
    for model in plan.models:
        sound &= len(model.contexts) > 0 and (not model.guided or plan.levels[model.column] > 0)
        for kind, argument, reference in model.features:
            sound &= all(c in known for c in reference if c >= 0) and _legal(reference)
            if kind >= NOW:
                sound &= argument in known and (kind == CHANGE) == (reference != ())
            elif kind in (GUESS, ENERGY, FRACTION):
                sound &= model.guided and reference == () and argument < 32
            else:
                sound &= reference != () and argument == 0 and (model.guided or kind not in NEEDS_GUESS)
        if model.again is not None:
            sound &= model.again != () and all(c in known for c in model.again if c >= 0) and _legal(model.again)
        for tap in model.taps:
            sound &= all(c in known for c in tap.reference if c >= 0) and _legal(tap.reference)
            sound &= tap.column in known or (tap.column == model.column and tap.reference != ())
        known.add(model.column)
    if not sound:
        raise Corrupt("mixing plan: describes what no writer does: verify the archive")


def _legal(reference: Reference) -> bool:
    return all(c >= 0 for c in reference) or (len(reference) == 1 and -(1 << 16) < reference[0] < 0)


def _folded(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


class _Reader:
    """Numbers out of bytes, each with a largest value."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, most: int) -> int:
        value, self._at = read_varint(self._data, self._at)
        if value > most:
            raise Corrupt("mixing plan: a number is out of range: verify the archive")
        return value

    def signed(self) -> int:
        folded = self.number(2 * _MOST_WEIGHT)
        return -(folded + 1) // 2 if folded & 1 else folded // 2

    def pick(self, things: Sequence[Thing]) -> Thing:
        return things[self.number(len(things) - 1)]

    def end(self) -> None:
        if self._at != len(self._data):
            raise Corrupt("mixing plan: bytes left over: verify the archive")
