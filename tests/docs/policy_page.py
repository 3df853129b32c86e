"""docs/policy.md, written from the models that read a policy: `python -m tests.docs.policy_page > docs/policy.md`."""

from __future__ import annotations

import sys
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ae_core.policy import Check, ColumnRule, Policy
from ae_core.retirement import Expire, Retire

EXAMPLE = """\
version: 1
partition_keys: [month]
latents: auto
default: {float: {range: 0.001}, integer: exact, decimal: exact, temporal: exact}
columns:
  dep_delay: {abs: 2}
  time_hour: {abs: 5min}
  distance: {range: 0.01}
  pressure: {pointwise: 0.001}
  tailnum: exact
  passenger_name: {bound: exact, sensitive: true}
checks:
  - name: mean delay by carrier
    sql: select carrier, avg(dep_delay) from t group by carrier
    tolerance: {abs: 0.5}
retire:
  expire: {enabled: true, grace: 30d, wait: 24h, replica: s3://other-bucket/copy}
"""

HEAD = f"""# The policy: what each column may lose

A YAML file. `latentlake plan LAKE -o policy.yaml` proposes one with a reason for each column; `--range R` on the
command line is the short form "every integer, float and decimal within R of its range, the rest exact". A column that
no rule names keeps every bit. What is misspelt, negative or impossible for a column's type is refused, with the line,
before anything is read. This page is written by `python -m tests.docs.policy_page` from the models; a test fails where
they differ.

```yaml
{EXAMPLE}```

## Bounds
| written | allows |
|---|---|
| `exact` | nothing: every bit comes back |
| `{{abs: 2}}` | 2 either way, in the column's own units; for times also `{{abs: 5min}}` (ns, us, ms, s, min, h, d) |
| `{{range: 0.01}}` | one percent of the column's max − min over all partitions, fixed when it is first resolved |
| `{{pointwise: 0.001}}` | a thousandth of each value; zero stays zero |
| `{{psnr: 40}}` | of vectors: 40 dB of the elements' max − min, kept by [a largest error](uses.md#images-and-vectors) |

Bounds hold for each cell, checked in exact arithmetic; a cell that fails is stored exactly. Null, NaN and the
infinities stay what they are. Strings, booleans, binary and nested types have no lossy form: [types.md](types.md)
lists what each type can lose. Decimal text is taken as it is written: `0.01` is one hundredth, not the nearest double.
"""

SECTIONS: tuple[tuple[str, type[BaseModel], str], ...] = (
    ("The file", Policy, ""),
    ("A column, long form", ColumnRule, "`dep_delay: {abs: 2}` is short for `dep_delay: {bound: {abs: 2}}`."),
    ("A check", Check, "[guide-auditor.md](guide-auditor.md) shows checks at work."),
    ("`retire`", Retire, "[retire.md](retire.md) says what the commands do."),
    ("`retire: expire`", Expire, "Off unless it is switched on."),
)


def page() -> str:
    """The page as the models have it today."""
    parts = [HEAD]
    for title, model, note in SECTIONS:
        rows = "\n".join(_row(name, field) for name, field in model.model_fields.items())
        parts.append(
            f"## {title}\n{note}{chr(10) * 2 if note else ''}| field | default | what it is |\n|---|---|---|\n{rows}\n"
        )
    return "\n".join(parts)


def _row(name: str, field: Any) -> str:
    if not field.description:
        raise ValueError(f"the field {name} has no description")
    return f"| `{name}` | {_default(name, field)} | {field.description} |"


def _default(name: str, field: Any) -> str:
    if field.is_required():
        return "has to be there"
    value = field.get_default(call_default_factory=True)
    assert value is not PydanticUndefined
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, float) and name in ("grace", "wait"):
        value = f"{value / 86_400:g}d"
    text = yaml.safe_dump(list(value) if isinstance(value, tuple) else value, default_flow_style=True)
    return f"`{text.removesuffix(chr(10)).removesuffix('...').strip()}`"


if __name__ == "__main__":
    sys.stdout.write(page())
