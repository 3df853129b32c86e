"""What the log adds up to: the state after a commit, how a commit changes it, and its bytes as a checkpoint.

A checkpoint is the state as canonical JSON, so that the same commits give the same bytes: one that was damaged can be
made again. Whoever adds a field to `State` adds it to `advance`, `checkpoint_bytes` and `read_checkpoint`, all below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ae_core.archive.fields import Fields, as_number, as_text, canonical_json, parse_json
from ae_core.archive.format import (
    Commit,
    ObjectRef,
    SharedRef,
    object_dict,
    read_object,
    read_shared,
    shared_dict,
)
from ae_core.archive.level import LEAST, Level, read_level
from ae_core.archive.names import checked, checkpoint_number, is_sha256
from ae_core.archive.originals import OnlyCopy, only_copy_dict, read_only_copy
from ae_core.errors import Corrupt

CHECKPOINT_EVERY = 50
"""Commits between two checkpoints at least: an eighth of the log where that is more, or 400, so that the checkpoints of
a long log do not outweigh it."""
CHECKPOINT_AT_MOST = 400
MAX_CHECKPOINT = 64 << 20
"""Most bytes of a checkpoint; a larger state has none, and is read from its commits."""


@dataclass(frozen=True)
class Logged:
    """A commit as it stands in the log; `sha256` is that of its file, which `sha256sum` prints too."""

    commit: Commit
    sha256: str
    length: int


@dataclass(frozen=True)
class State:
    """What the log says up to commit `head` (-1: nothing yet), whose file has the SHA-256 `sha256` and states `level`.

    `partitions` are the manifests and `changed` the numbers of the commits that named them; `shared` are the shared
    objects by SHA-256 in the order in which they came; `condemned` the names that are dead for good; `only_copies` the
    partitions whose originals are about to be deleted, or of which some are gone; `operations` the number of the commit
    that did each operation; `reports` the reports of commits that say nothing of partitions (trainings, failures) with
    their numbers. `bytes` counts the files of all commits with the reports and checkpoints that they name. `recent` are
    the commits after the checkpoint that was read, if any; `checkpoint` is the newest that is named, `covered` the
    number that it tells of.
    """

    head: int = -1
    sha256: str = ""
    level: Level | None = None
    partitions: Mapping[str, ObjectRef] = field(default_factory=dict)
    changed: Mapping[str, int] = field(default_factory=dict)
    shared: Mapping[str, SharedRef] = field(default_factory=dict)
    condemned: frozenset[str] = frozenset()
    only_copies: Mapping[str, OnlyCopy] = field(default_factory=dict)
    operations: Mapping[str, int] = field(default_factory=dict)
    reports: tuple[tuple[int, ObjectRef], ...] = ()
    bytes: int = 0
    recent: tuple[Logged, ...] = ()
    checkpoint: ObjectRef | None = None
    covered: int = -1

    def done(self, op_key: str) -> int | None:
        """Number of the commit that did the operation `op_key`, if any."""
        return self.operations.get(op_key)

    @property
    def checkpoint_due(self) -> bool:
        """Whether the next commit should name a checkpoint of this state."""
        wait = min(max(CHECKPOINT_EVERY, self.head // 8), CHECKPOINT_AT_MOST)
        return self.head - self.covered >= wait


def advance(state: State, commits: Iterable[Logged]) -> State:
    """The state after more commits, which have to follow it."""
    new = tuple(commits)
    if not new:
        return state
    partitions, changed = dict(state.partitions), dict(state.changed)
    shared, condemned, operations = dict(state.shared), set(state.condemned), dict(state.operations)
    reports, size, only_copies = list(state.reports), state.bytes, dict(state.only_copies)
    for logged in new:
        commit = logged.commit
        for change in commit.changes:
            if change.manifest is None:
                partitions.pop(change.partition, None)
                changed.pop(change.partition, None)
            else:
                partitions[change.partition] = change.manifest
                changed[change.partition] = commit.number
        shared.update((ref.sha256, ref) for ref in commit.shared)
        condemned.update(commit.condemned)
        _follow_originals(only_copies, commit)
        operations.setdefault(commit.op_key, commit.number)
        if commit.report is not None and not (commit.changes or commit.intents or commit.expired):
            reports.append((commit.number, commit.report))
        size += logged.length + sum(ref.length for ref in (commit.report, commit.checkpoint) if ref is not None)
        if commit.checkpoint is not None:
            state = replace(state, checkpoint=commit.checkpoint, covered=checkpoint_number(commit.checkpoint.name))
    return replace(
        state,
        head=new[-1].commit.number,
        sha256=new[-1].sha256,
        level=new[-1].commit.level,
        partitions=partitions,
        changed=changed,
        shared={sha: ref for sha, ref in shared.items() if condemned.isdisjoint(ref.names)},
        condemned=frozenset(condemned),
        only_copies=only_copies,
        operations=operations,
        reports=tuple(one for one in reports if one[1].name not in condemned),
        bytes=size,
        recent=state.recent + new,
    )


def _follow_originals(only_copies: dict[str, OnlyCopy], commit: Commit) -> None:
    """What a commit says about originals; a partition that is removed leaves nothing to be the only copy of."""
    for change in commit.changes:
        if change.manifest is None:
            only_copies.pop(change.partition, None)
    for intent in commit.intents:
        only_copies[intent.partition] = OnlyCopy(commit.number, intent)
    for expired in commit.expired:
        held = only_copies.get(expired.partition)
        if held is None or held.number != expired.intent:
            continue
        if expired.gone:
            only_copies[expired.partition] = replace(held, expired=expired)
        else:
            del only_copies[expired.partition]


def checkpoint_bytes(state: State, archive: str) -> bytes:
    """The checkpoint of a state of the archive with that uid."""
    return canonical_json(
        {
            "archive": archive,
            "bytes": state.bytes,
            "condemned": sorted(state.condemned),
            "number": state.head,
            "only_copies": [only_copy_dict(held) for held in state.only_copies.values()],
            "operations": [[key, number] for key, number in state.operations.items()],
            "partitions": [
                [partition, ref.name, ref.length, ref.sha256, state.changed[partition]]
                for partition, ref in sorted(state.partitions.items())
            ],
            "reports": [[number, object_dict(ref)] for number, ref in state.reports],
            "sha256": state.sha256,
            "shared": [shared_dict(ref) for ref in state.shared.values()],
            **(state.level or LEAST).to_json(),
        }
    )


def read_checkpoint(data: bytes, ref: ObjectRef, archive: str) -> State:
    """Inverse of `checkpoint_bytes` for the object `ref`; the caller has checked the SHA-256 of `data`.

    Raises
    ------
    Corrupt, UnsupportedFormat
        If it is malformed, is about another archive, or needs a newer release.
    """
    fields = Fields(parse_json(data, ref.name), ref.name)
    level = read_level(fields)
    number = fields.number("number")
    if fields.text("archive") != archive or number != checkpoint_number(ref.name):
        raise Corrupt(f"{ref.name}: is about commit {number} of archive {fields.text('archive')}")
    rows = fields.items("partitions", _read_row)
    shared = fields.items("shared", read_shared)
    return State(
        head=number,
        sha256=fields.sha256("sha256"),
        level=level,
        partitions={partition: manifest for partition, manifest, _ in rows},
        changed={partition: changed for partition, _, changed in rows},
        shared={one.sha256: one for one in shared},
        condemned=frozenset(checked(name) for name in fields.items("condemned", as_text)),
        only_copies={held.intent.partition: held for held in fields.items("only_copies", read_only_copy)},
        operations=dict(fields.items("operations", _read_operation)),
        reports=fields.items("reports", _read_report),
        bytes=fields.number("bytes"),
    )


def _read_row(value: object, where: str) -> tuple[str, ObjectRef, int]:
    if not isinstance(value, list) or len(value) != 5:
        raise Corrupt(f"{where} should be a list of five")
    partition, name, length, sha256, changed = value
    if not is_sha256(as_text(sha256, where)):
        raise Corrupt(f"{where} holds no SHA-256")
    ref = ObjectRef(checked(as_text(name, where)), as_number(length, where), sha256)
    return as_text(partition, where), ref, as_number(changed, where)


def _read_operation(value: object, where: str) -> tuple[str, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise Corrupt(f"{where} should be a list of two")
    return as_text(value[0], where), as_number(value[1], where)


def _read_report(value: object, where: str) -> tuple[int, ObjectRef]:
    if not isinstance(value, list) or len(value) != 2:
        raise Corrupt(f"{where} should be a list of two")
    return as_number(value[0], where), read_object(value[1], where)
