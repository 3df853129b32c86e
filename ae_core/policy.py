"""What each column may lose: the policy file, and the same policy resolved against a lake.

A policy is what an owner writes (design 7). Resolving turns it into one absolute or relative bound per column,
held as an exact fraction, because a bound that was rounded on the way is no longer the owner's.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
)

from ae_core.errors import PolicyError
from ae_core.retirement import Retire
from ae_core.vector_types import element_type

Family = Literal["integer", "float", "decimal", "temporal", "other"]
BoundKind = Literal["exact", "abs", "range", "pointwise", "psnr"]

_FAMILIES: tuple[Family, ...] = ("integer", "float", "decimal", "temporal")
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
_FRACTION = re.compile(r"-?[0-9]{1,4000}(/[0-9]{1,4000})?", re.ASCII)
_MOST_DECIBELS = 400
_LARGEST = Fraction(sys.float_info.max)
_TIMED = re.compile(r"\s*([0-9.eE+-]+)\s*(ns|us|ms|s|min|h|d)\s*")


def nearest_float(value: Fraction) -> float:
    """The double next to a bound, for people and for sizes: the largest or the least one where it is out of reach."""
    if value > _LARGEST:
        return sys.float_info.max
    return max(float(value), math.ulp(0.0)) if value else 0.0


def family(kind: pa.DataType) -> Family:
    """The type family that a policy's defaults speak of; "other" is always exact."""
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "float"
    if pa.types.is_decimal(kind):
        return "decimal"
    if pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return "temporal"
    return "other"


def unit_nanoseconds(kind: pa.DataType) -> int:
    """Nanoseconds in one storage unit of a temporal type (a day for date32)."""
    if pa.types.is_date32(kind):
        return _NANOSECONDS["d"]
    if pa.types.is_date64(kind):
        return _NANOSECONDS["ms"]
    return _NANOSECONDS[kind.unit]


def _number(text: object, what: str) -> Fraction:
    """The exact fraction that the decimal text of a number means (0.01 is 1/100, not the nearest double)."""
    if isinstance(text, bool) or not isinstance(text, (int, float, str)):
        raise ValueError(f"{what} must be a number, found {text!r}")
    try:
        value = Decimal(repr(text) if isinstance(text, float) else str(text).strip())
    except InvalidOperation:
        raise ValueError(f"{what} must be a number, found {text!r}") from None
    if not value.is_finite():
        raise ValueError(f"{what} must be finite, found {text!r}")
    if abs(value.adjusted()) > 400:
        raise ValueError(f"{what} is out of every type's reach: {text!r}")
    if value < 0:
        raise ValueError(f"{what} must not be negative, found {text!r}")
    return Fraction(value)


@dataclass(frozen=True)
class Limit:
    """A bound as it is written: `value` in column units, in nanoseconds where `timed`, in decibels of `psnr`."""

    kind: BoundKind
    value: Fraction | None = None
    timed: bool = False


def _limit(raw: object) -> Limit:
    if isinstance(raw, Limit):
        return raw
    if raw == "exact":
        return Limit("exact")
    if not isinstance(raw, Mapping) or len(raw) != 1:
        raise ValueError(f"a bound is exact, {{abs: e}}, {{range: r}}, {{pointwise: r}} or {{psnr: dB}}, found {raw!r}")
    ((kind, number),) = raw.items()
    if kind not in ("abs", "range", "pointwise", "psnr"):
        raise ValueError(f"unknown kind of bound {kind!r}: use exact, abs, range, pointwise or psnr")
    if kind == "abs" and isinstance(number, str) and (match := _TIMED.fullmatch(number)):
        return Limit("abs", _number(match[1], "abs") * _NANOSECONDS[match[2]], timed=True)
    value = _number(number, kind)
    if kind == "psnr" and value > _MOST_DECIBELS:
        raise ValueError(f"psnr is in dB and at most {_MOST_DECIBELS}, found {number!r}: write exact")
    return Limit(kind, value)


def _write_limit(limit: Limit) -> object:
    if limit.kind == "exact" or limit.value is None:
        return "exact"
    value = limit.value
    if limit.timed:
        return {limit.kind: f"{_decimal_text(value)}ns"}
    if value.denominator == 1:
        return {limit.kind: int(value)}
    try:
        plain = float(value)
    except OverflowError:
        return {limit.kind: _decimal_text(value)}
    return {limit.kind: plain if Fraction(repr(plain)) == value else _decimal_text(value)}


def _decimal_text(value: Fraction) -> str:
    """The decimal text of a bound, which was written as one: no rounding."""
    with localcontext() as context:
        context.prec = 1000
        return str(Decimal(value.numerator) / Decimal(value.denominator))


LimitField = Annotated[Limit, BeforeValidator(_limit), PlainSerializer(_write_limit)]


class ColumnRule(BaseModel):
    """A column's entry: a bound alone, or the long form with `sensitive`."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True)

    bound: LimitField
    """what a cell may lose: exact, abs, range or pointwise; of a vector psnr too"""
    sensitive: bool = False
    """statistics and row numbers only, never a value: in pages, logs, artifacts and errors"""


@dataclass(frozen=True)
class Tolerance:
    """How much an answer may change: `value` in its own units (abs) or relative to the original answer (rel)."""

    kind: Literal["exact", "abs", "rel"]
    value: Fraction | None = None


def _tolerance(raw: object) -> Tolerance:
    if isinstance(raw, Tolerance):
        return raw
    if raw == "exact":
        return Tolerance("exact")
    if isinstance(raw, Mapping) and len(raw) == 1 and (found := next(iter(raw))) in ("abs", "rel"):
        return Tolerance(found, _number(raw[found], found))
    raise ValueError(f"a tolerance is exact, {{abs: e}} or {{rel: r}}, found {raw!r}")


def _write_tolerance(tolerance: Tolerance) -> object:
    value = tolerance.value
    if value is None:
        return "exact"
    return {tolerance.kind: int(value) if value.denominator == 1 else float(value)}


def _rule(raw: object) -> object:
    return raw if isinstance(raw, ColumnRule) or (isinstance(raw, Mapping) and "bound" in raw) else {"bound": raw}


def _write_rule(rule: ColumnRule) -> object:
    bound = _write_limit(rule.bound)
    return {"bound": bound, "sensitive": True} if rule.sensitive else bound


class Check(BaseModel):
    """A query that has to answer nearly the same on rebuilt data: SELECT over the partition, which it calls t.

    `tolerance` is exact, {abs: e}, or {rel: r} relative to the original answer; it holds for every number in it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True)

    sql: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000)]
    """a SELECT over the partition, which is called t; DuckDB runs it on originals and rebuilt data"""
    tolerance: Annotated[Tolerance, BeforeValidator(_tolerance), PlainSerializer(_write_tolerance)]
    """how much any number of the answer may change: exact, {abs: e}, or {rel: r} of the original answer"""
    name: str = Field(default="", max_length=200)
    """what reports call it; the query itself if it is empty"""

    @property
    def title(self) -> str:
        """Its name, or the query itself."""
        return self.name or " ".join(self.sql.split())


class Policy(BaseModel):
    """A policy as its owner wrote it."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True)

    version: Literal[1]
    """1"""
    partition_keys: tuple[str, ...] = ()
    """the lake's partition keys, as a check: other keys are refused; empty accepts what the lake has"""
    latents: Literal["auto", "always"] = "auto"
    """auto leaves the autoencoder out where an archive without it is smaller, always keeps it"""
    latents_layout: Literal["packed", "open"] = "packed"
    """open stores the latents once more as plain Parquet, a column z_0, z_1, … for each, that any tool reads"""
    default: dict[Literal["integer", "float", "decimal", "temporal"], LimitField] = {}
    """a bound for each family of types, for columns that are not named; exact where it says nothing"""
    columns: dict[str, Annotated[ColumnRule, BeforeValidator(_rule), PlainSerializer(_write_rule)]] = {}
    """a bound for each named column; a name that no partition has is refused"""
    checks: Annotated[tuple[Check, ...], Field(max_length=100)] = ()
    """queries that have to answer nearly the same on rebuilt data before a partition is committed; at most 100"""
    retire: Retire = Retire()
    """what may happen to partitions and originals later"""

    @model_serializer(mode="wrap")
    def _without_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What says nothing about checks, retirement or another layout takes no bytes for it."""
        record: dict[str, Any] = write(self)
        if self.retire == Retire():
            record.pop("retire", None)
        if not self.checks:
            record.pop("checks", None)
        if self.latents_layout == "packed":
            record.pop("latents_layout", None)
        return record

    @property
    def coding(self) -> Policy:
        """What the policy says of the values alone: two that agree in it share models and bounds."""
        return self.model_copy(update={"retire": Retire(), "checks": (), "latents_layout": "packed"})

    def to_yaml(self) -> str:
        """The policy as a YAML document that `load_policy` reads back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def without_checks(self) -> Policy:
        """What the policy lets columns lose: checks judge what was coded and change nothing about it."""
        return self.model_copy(update={"checks": ()})


@dataclass(frozen=True)
class Bound:
    """What one column may lose.

    value : for "abs" the largest allowed |original - rebuilt| in column units (storage units of temporal types),
        for "pointwise" the largest allowed |original - rebuilt| / |original|; None when exact.
    """

    kind: Literal["exact", "abs", "pointwise"]
    value: Fraction | None = None
    sensitive: bool = False

    @property
    def exact(self) -> bool:
        """True where no cell may change at all."""
        return self.kind == "exact"

    def __str__(self) -> str:
        if self.value is None:
            return "exact"
        sign = "±" if self.kind == "abs" else "±relative "
        return f"{sign}{nearest_float(self.value):.6g}"


@dataclass(frozen=True)
class ResolvedPolicy:
    """One bound for each column of a schema: the archive's policy record."""

    bounds: Mapping[str, Bound]
    partition_keys: tuple[str, ...] = ()
    latents: Literal["auto", "always"] = "auto"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` restores an equal policy."""
        columns = {
            name: {
                "kind": bound.kind,
                "value": None if bound.value is None else str(bound.value),
                "sensitive": bound.sensitive,
            }
            for name, bound in self.bounds.items()
        }
        return {"partition_keys": list(self.partition_keys), "latents": self.latents, "columns": columns}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ResolvedPolicy:
        """The policy of a record; raises PolicyError where the record is not one."""
        try:
            bounds = {
                name: Bound(
                    entry["kind"], None if entry["value"] is None else read_fraction(entry["value"]), entry["sensitive"]
                )
                for name, entry in record["columns"].items()
            }
            valid = all(b.kind in ("exact", "abs", "pointwise") for b in bounds.values())
            valid = valid and all(b.exact == (b.value is None) and (b.value or 0) >= 0 for b in bounds.values())
            if valid and record["latents"] in ("auto", "always"):
                return cls(bounds, tuple(record["partition_keys"]), record["latents"])
        except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError):
            pass
        raise PolicyError("the policy record is malformed: restore it from the archive's log")


def read_fraction(text: str) -> Fraction:
    """The fraction that `str` of one wrote; raises ValueError for any other text.

    `Fraction` itself takes 1e999999999 too, and works on it for hours.
    """
    if not _FRACTION.fullmatch(text):
        raise ValueError(f"not a fraction: {text[:40]!r}")
    return Fraction(text)


def load_policy(source: str | Path) -> Policy:
    """The policy in a YAML file, or in a YAML text (anything with a line break or a colon).

    Raises
    ------
    PolicyError
        The file cannot be read, is not YAML, or does not describe a policy; the message names the entry.
    """
    text = str(source)
    is_text = "\n" in text or (":" in text and not Path(text).is_file())
    if isinstance(source, Path) or not is_text:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError(f"policy {source}: cannot be read ({error}): give the path of a YAML file") from None
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PolicyError(f"policy: not YAML ({' '.join(str(error).split())}): correct the file") from None
    if not isinstance(raw, Mapping):
        raise PolicyError("policy: expected a mapping with version, default and columns")
    try:
        return Policy.model_validate(raw)
    except ValidationError as error:
        raise PolicyError(f"policy: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "document"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"


def policy_from_range(r: float | str | Fraction) -> Policy:
    """The short policy: integers, floats and decimals within r of their range, the rest exact (0: all exact)."""
    try:
        value = r if isinstance(r, Fraction) else _number(r, "range")
        if value < 0:
            raise ValueError(f"range must not be negative, found {r!r}")
    except ValueError as error:
        raise PolicyError(f"--range: {error}") from None
    limit = Limit("range", value) if value else Limit("exact")
    return Policy(version=1, default={"integer": limit, "float": limit, "decimal": limit})


def resolve(policy: Policy, schema: pa.Schema, ranges: Mapping[str, tuple[Any, Any] | None]) -> ResolvedPolicy:
    """One bound per column of `schema`.

    Parameters
    ----------
    ranges : (smallest, largest) finite value of a column over the lake, as Python values; numbers for temporal
        columns are storage units. A column that is absent, None or not finite has no range: a range bound
        of it is exact.

    Raises
    ------
    PolicyError
        A rule names a column that does not exist, or a loss that its type cannot have.
    """
    for name in policy.columns:
        if name not in schema.names and name not in policy.partition_keys:
            raise PolicyError(f"policy: column {name!r} is not in the table: columns are {_some(schema.names)}")
    bounds = {field.name: _bound(policy, field, ranges.get(field.name)) for field in schema}
    for name in policy.partition_keys:
        if name in bounds and not bounds[name].exact and name in policy.columns:
            raise PolicyError(f"policy: column {name!r} is a partition key and must be exact")
        if name in bounds:
            bounds[name] = Bound("exact", sensitive=bounds[name].sensitive)
    return ResolvedPolicy(bounds, policy.partition_keys, policy.latents)


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")


def _bound(policy: Policy, field: pa.Field, span: tuple[Any, Any] | None) -> Bound:
    group = family(field.type)
    elements = element_type(field.type)
    rule = policy.columns.get(field.name)
    if rule is None:
        limit, sensitive = (policy.default.get(group, Limit("exact")) if group != "other" else Limit("exact")), False
    else:
        limit, sensitive = rule.bound, rule.sensitive
    if limit.kind == "exact" or limit.value is None:
        return Bound("exact", sensitive=sensitive)
    if elements is not None:  # a vector's bound is that of each element; only its own rule may give it one
        field, group = pa.field(field.name, elements), family(elements)
    if group == "other":
        raise PolicyError(
            f"policy: column {field.name!r} is {field.type}, which has no lossy form: write {field.name}: exact"
        )
    if limit.kind == "psnr":
        if elements is None:
            raise PolicyError(
                f"policy: column {field.name!r} is {field.type}: psnr bounds vectors and images: use abs or range"
            )
        return _nonzero("abs", psnr_share(limit.value) * _width(field, span), sensitive)
    if limit.kind == "pointwise":
        return _nonzero("pointwise", limit.value, sensitive)
    if limit.kind == "range":
        return _nonzero("abs", limit.value * _width(field, span), sensitive)
    if not limit.timed:
        return _nonzero("abs", limit.value, sensitive)
    if group != "temporal":
        raise PolicyError(f"policy: column {field.name!r} is {field.type}: a bound with a time unit needs a time type")
    return _nonzero("abs", limit.value / unit_nanoseconds(field.type), sensitive)


def psnr_share(decibels: Fraction) -> Fraction:
    """The largest error over the peak that keeps a peak signal-to-noise ratio: 10^(-dB/20), rounded down to 30 digits.

    A mean of squares is at most the largest square. So where no element is off by more than this share of the peak,
    10 log10(peak^2 / mean squared error) is at least `decibels`, of each vector and of any number of them.
    """
    power = decibels / 20
    if power.denominator == 1:
        return Fraction(1, 10 ** int(power))
    with localcontext(prec=30, rounding=ROUND_CEILING):
        exponent = Decimal(power.numerator) / Decimal(power.denominator)
        return Fraction((10**-exponent).next_minus())


def _nonzero(kind: Literal["abs", "pointwise"], value: Fraction, sensitive: bool) -> Bound:
    return Bound(kind, value, sensitive) if value > 0 else Bound("exact", sensitive=sensitive)


def _width(field: pa.Field, span: tuple[Any, Any] | None) -> Fraction:
    if span is None or span[0] is None or span[1] is None:
        return Fraction(0)
    low, high = (_fraction(field, end) for end in span)
    return Fraction(0) if low is None or high is None else max(high - low, Fraction(0))


def _fraction(field: pa.Field, value: Any) -> Fraction | None:
    if isinstance(value, pa.Scalar):
        value = value.value if family(field.type) == "temporal" else value.as_py()
    if isinstance(value, (Fraction, int)):
        return Fraction(value)
    if isinstance(value, Decimal):
        return Fraction(value) if value.is_finite() else None
    if family(field.type) == "temporal" and not isinstance(value, float):
        return Fraction(pa.scalar(value, type=field.type).value)
    return Fraction(float(value)) if math.isfinite(value) else None
