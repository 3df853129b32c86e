"""Is the archive what its head says? Every byte that a snapshot relies on is read and compared.

`verify` goes from the marker over every commit to all that they refer to (older snapshots included) and names what is
missing, cut, changed or foreign, with the blocks that are lost. What nobody refers to is counted as orphans: leftovers
of writers that were stopped. A lost newest commit shows by the witness that its writer left; against someone who takes
both away only `expect_head` helps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal

from ae_core.archive.fields import MAX_COMMIT, sha256_hex
from ae_core.archive.format import (
    Commit,
    LayerFile,
    Manifest,
    ObjectRef,
    SharedRef,
    read_commit,
    read_manifest,
    read_marker,
    read_table,
)
from ae_core.archive.log import Archive, read_state
from ae_core.archive.names import COMMITS, MARKER, WITNESSES, commit_name, commit_number, witnessed
from ae_core.archive.reader import Snapshot
from ae_core.archive.store import Store, open_store
from ae_core.errors import ArchiveDamaged, Corrupt, LatentlakeError, UnsupportedFormat, UsageError

Problem = Literal["missing", "damaged", "foreign", "undecodable", "differs"]
"""missing, changed or cut, of another archive or place, not decodable, decodes to other data than was certified."""

Progress = Callable[[int, int], None]
"""Called with the bytes checked so far and in all (as far as known)."""

Decode = Callable[[Snapshot, Manifest], str]
"""Decodes a partition completely and returns the digest of the rebuilt data."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: the file, what is wrong with it, and whom it concerns.

    `blocks` are the numbers of the blocks of a layer file that are lost; the others can still be read. `mendable` says
    that an intact twin holds the same bytes.
    """

    name: str
    problem: Problem
    detail: str
    partition: str | None = None
    layer: str | None = None
    blocks: tuple[int, ...] = ()
    mendable: bool = False


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` saw; `head` is -1 for an archive without commits, `objects` and `bytes` what was checked."""

    head: int
    head_sha256: str
    partitions: int
    decoded: int
    objects: int
    bytes: int
    orphans: int
    orphan_bytes: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def damaged_partitions(self) -> tuple[str, ...]:
        """Partitions that a finding concerns."""
        return tuple(sorted({finding.partition for finding in self.findings if finding.partition is not None}))


@dataclass
class _Check:
    """The work in progress of one verification."""

    store: Store
    progress: Progress | None
    findings: list[Finding] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    objects: int = 0
    bytes: int = 0
    total: int = 0

    def add(self, name: str, problem: Problem, detail: str, partition: str | None = None) -> None:
        self.findings.append(Finding(name, problem, detail, partition))

    def count(self, name: str, size: int) -> None:
        """One object is checked."""
        self.known.add(name)
        self.objects += 1
        self.bytes += size
        if self.progress:
            self.progress(self.bytes, max(self.bytes, self.total))

    def whole(self, ref: ObjectRef) -> tuple[Problem, str] | None:
        """What is wrong with an object, if anything."""
        self.count(ref.name, ref.length)
        try:
            found = self.store.digest(ref.name)
        except Corrupt as damage:
            return "damaged", str(damage)
        if found is None:
            return "missing", f"{ref.name}: missing"
        size, sha256 = found
        if size != ref.length:
            return "damaged", f"{ref.name}: {size} bytes, should be {ref.length}"
        return None if sha256 == ref.sha256 else ("damaged", f"{ref.name}: SHA-256 {sha256}, should be {ref.sha256}")


def verify(
    url: str,
    *,
    decode: Decode | None = None,
    partitions: Collection[str] | None = None,
    expect_head: str | None = None,
    progress: Progress | None = None,
    store: Store | None = None,
) -> VerifyReport:
    """Read and compare every object that the archive's log refers to.

    Parameters
    ----------
    decode
        For a deep check: decodes a partition of the newest snapshot; its digest is compared with the manifest's.
    partitions
        Ids of the partitions to check (marker, commits and shared objects are always checked); all if None.
    expect_head
        SHA-256 that the newest commit must have.

    Raises
    ------
    UsageError
        If there is no archive at `url`, or none of its partitions is meant.
    UnsupportedFormat
        If the archive needs a newer release.
    """
    store = store or open_store(url)
    listed = {entry.name: entry.size for entry in store.list("")}
    if not any(name == MARKER or commit_number(name) is not None for name in listed):
        raise UsageError(f"no archive at {store.url}: neither {MARKER} nor commits are there")
    check = _Check(store, progress, total=sum(size or 0 for size in listed.values()))
    uid, commits, top = _check_log(check)
    refs = _collect(commits, complete=len(commits) == top + 1)
    if partitions is not None and not any(pid in partitions for pid, _ in refs.manifests):
        raise UsageError(f"none of the partitions asked for is in {store.url}")
    head_sha256 = _check_head(check, commits, expect_head)
    for shared in refs.shared:
        _check_shared(check, shared)
    for ref in refs.reports:
        _report_object(check, ref, None)
    for partition, ref in refs.manifests:
        skip = partitions is not None and partition not in partitions
        _check_partition(check, uid, partition, ref, refs, skip=skip)
    held = refs.head.keys() if partitions is None else refs.head.keys() & set(partitions)
    decoded = _check_decoding(check, uid, sorted(held), decode) if decode else 0
    orphans = [
        size or 0
        for name, size in listed.items()
        if name not in check.known and name not in refs.condemned and witnessed(name) is None
    ]
    return VerifyReport(
        head=max(commits, default=-1),
        head_sha256=head_sha256,
        partitions=len(held),
        decoded=decoded,
        objects=check.objects,
        bytes=check.bytes,
        orphans=len(orphans),
        orphan_bytes=sum(orphans),
        findings=tuple(dict.fromkeys(check.findings)),
    )


# --- marker and log -------------------------------------------------------------------------------


def _check_log(check: _Check) -> tuple[str | None, dict[int, Commit], int]:
    """The archive's uid if the marker is sound, the sound commits by number, and the number of the newest."""
    data = _read_small(check, MARKER)
    uid = None
    if data is not None:
        try:
            uid = read_marker(data, MARKER).archive
        except Corrupt as damage:
            check.add(MARKER, "damaged", str(damage))
            data = None
    hashes: dict[int, str] = {} if data is None else {-1: sha256_hex(data)}  # the marker stands before commit 0
    commits: dict[int, Commit] = {}
    numbers = (commit_number(entry.name) for entry in check.store.list(COMMITS))
    seen = dict(filter(None, (witnessed(entry.name) for entry in check.store.list(WITNESSES))))
    top = max((number for number in (*numbers, *seen) if number is not None), default=-1)
    while check.store.size(commit_name(top + 1)) is not None:  # a listing may be stale
        top += 1
    for number in range(top + 1):
        _check_commit(check, number, hashes, commits)
    for number in sorted(n for n in commits if seen.get(n, hashes[n]) != hashes[n]):
        check.add(commit_name(number), "foreign", f"{commit_name(number)}: is not the commit that was acknowledged")
    foreign = _foreign_links(commits, hashes)
    for number, reason in foreign.items():
        name = commit_name(number) if number >= 0 else MARKER
        check.add(name, "foreign", f"{name}: {reason}")
    sound = {number: commit for number, commit in commits.items() if number not in foreign}
    return None if -1 in foreign else uid, sound, top


def _check_commit(check: _Check, number: int, hashes: dict[int, str], commits: dict[int, Commit]) -> None:
    """One commit by itself."""
    name = commit_name(number)
    data = _read_small(check, name)
    if data is None:
        return
    try:
        commit = read_commit(data, name)
    except Corrupt as damage:
        check.add(name, "damaged", str(damage))
        return
    if commit.number != number:
        check.add(name, "foreign", f"{name}: is commit {commit.number}, stored under another number")
        return
    hashes[number] = sha256_hex(data)
    commits[number] = commit


def _foreign_links(commits: dict[int, Commit], hashes: dict[int, str]) -> dict[int, str]:
    """Links of the chain (-1 is the marker) that fit neither neighbour; both sides of a break that could be either."""
    broken = {number for number in commits if commits[number].parent != hashes.get(number - 1, commits[number].parent)}
    foreign: dict[int, str] = {}
    for number in sorted(broken):
        before, after = number - 1 in broken, number + 1 in broken
        follows = number + 1 in commits and not after  # the next commit stands by this one
        if before and not after:
            continue  # the break behind a foreign link, which is named already
        if after or not follows:
            foreign[number] = "does not continue the log before it"
        if not after and (follows or number == 0):
            foreign[number - 1] = "is not what the log after it continues"
    return foreign


def _read_small(check: _Check, name: str) -> bytes | None:
    """A marker's or commit's bytes; what keeps it from being read is added to the findings."""
    try:
        data = check.store.read(name, MAX_COMMIT)
        check.count(name, len(data or b""))
        if data is None:
            check.add(name, "missing", f"{name}: missing")
    except Corrupt as damage:
        check.known.add(name)
        check.add(name, "damaged", str(damage))
        return None
    return data


def _check_head(check: _Check, commits: dict[int, Commit], expect_head: str | None) -> str:
    """SHA-256 of the newest commit's file ("" without any), compared with the one expected."""
    data = check.store.read(commit_name(max(commits)), MAX_COMMIT) if commits else None
    found = sha256_hex(data) if data else ""
    if expect_head is not None and found != expect_head:
        name = commit_name(max(commits, default=0))
        check.add(name, "foreign", f"{name}: head is {found or 'missing'}, not {expect_head} as expected")
    return found


# --- objects --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Refs:
    """All that the readable commits refer to (`complete`: none is lost); `head` is the newest snapshot's manifests."""

    manifests: tuple[tuple[str, ObjectRef], ...]
    shared: tuple[SharedRef, ...]
    reports: tuple[ObjectRef, ...]
    condemned: frozenset[str]
    head: dict[str, ObjectRef]
    complete: bool


def _collect(commits: dict[int, Commit], *, complete: bool) -> _Refs:
    condemned = frozenset(name for commit in commits.values() for name in commit.condemned)
    manifests: dict[tuple[str, ObjectRef], None] = {}
    head: dict[str, ObjectRef] = {}
    for _, commit in sorted(commits.items()):
        for change in commit.changes:
            head.pop(change.partition, None)
            if change.manifest is not None and change.manifest.name not in condemned:
                manifests[change.partition, change.manifest] = None
                head[change.partition] = change.manifest
    shared = {ref for commit in commits.values() for ref in commit.shared if condemned.isdisjoint(ref.names)}
    reports = [commit.report for commit in commits.values() if commit.report is not None]
    return _Refs(
        tuple(manifests),
        tuple(sorted(shared, key=lambda ref: ref.names)),
        tuple(ref for ref in reports if ref.name not in condemned),
        condemned,
        head,
        complete,
    )


def _check_shared(check: _Check, shared: SharedRef) -> None:
    """Both copies of a shared object; one intact copy makes the other mendable."""
    wrong = [(ref, check.whole(ref)) for ref in shared.twins]
    intact = any(problem is None for _, problem in wrong)
    for ref, problem in wrong:
        if problem is not None:
            kind, detail = problem
            note = "its twin is intact" if intact else "its twin is lost too"
            check.findings.append(Finding(ref.name, kind, f"{detail}; {note}", mendable=intact))
    if intact and shared.kind == "table":
        _parsed(check, shared.twins[0 if wrong[0][1] is None else 1])


def _parsed(check: _Check, ref: ObjectRef) -> None:
    """A table record whose hash is right must also be readable."""
    try:
        read_table(check.store.get(ref.name, ref.length, ref.sha256), ref.name)
    except Corrupt as damage:
        check.add(ref.name, "damaged", str(damage))


def _report_object(check: _Check, ref: ObjectRef, partition: str | None) -> bool:
    """Whether an object is intact; if not it is added to the findings."""
    problem = check.whole(ref)
    if problem is not None:
        check.add(ref.name, *problem, partition)
    return problem is None


def _check_partition(
    check: _Check, uid: str | None, partition: str, ref: ObjectRef, refs: _Refs, *, skip: bool
) -> None:
    """A manifest and its layer files; with `skip` they are only noted as no orphans."""
    if skip:
        check.known.add(ref.name)
    elif not _report_object(check, ref, partition):
        return
    try:
        manifest = read_manifest(check.store.get(ref.name, ref.length, ref.sha256), ref.name)
    except Corrupt as damage:
        if not skip:
            check.add(ref.name, "damaged", str(damage), partition)
        return
    layers = [layer for layer in manifest.layers if layer.file.name not in refs.condemned]
    if skip:
        check.known.update(layer.file.name for layer in layers)
        return
    if manifest.partition != partition or manifest.archive != (uid or manifest.archive):
        check.add(ref.name, "foreign", f"{ref.name}: is about {manifest.partition} of {manifest.archive}", partition)
    shared = {one.sha256 for one in refs.shared}
    needed = {manifest.table, manifest.model or manifest.table} if refs.complete else set()
    for sha256 in sorted(needed - shared):
        check.add(ref.name, "foreign", f"{ref.name}: needs {sha256}, which no commit holds", partition)
    for layer in layers:
        _check_layer(check, partition, layer)


def _check_layer(check: _Check, partition: str, layer: LayerFile) -> None:
    """A layer file; if it is damaged, which of its blocks are."""
    if layer.file.name in check.known:
        return
    problem = check.whole(layer.file)
    if problem is None:
        return
    lost = tuple(index for index in range(len(layer.blocks)) if not _block_intact(check.store, layer, index))
    kind, detail = problem
    which = f"blocks {', '.join(map(str, lost))} of {len(layer.blocks)} are lost" if lost else "all blocks are intact"
    check.findings.append(Finding(layer.file.name, kind, f"{detail}; {which}", partition, layer.layer, lost))


def _block_intact(store: Store, layer: LayerFile, index: int) -> bool:
    block = layer.blocks[index]
    if block.sha256 is None:
        return False
    try:
        store.get_range(layer.file.name, block.offset, block.length, block.sha256)
    except Corrupt:
        return False
    return True


# --- decoding -------------------------------------------------------------------------------------


def _check_decoding(check: _Check, uid: str | None, partitions: list[str], decode: Decode) -> int:
    """Number of partitions that decode to the digest of their manifest."""
    data = check.store.read(MARKER, MAX_COMMIT)
    if uid is None or data is None:
        return 0
    archive = Archive(check.store, read_marker(data, MARKER), sha256_hex(data))
    try:
        snapshot = Snapshot(archive, read_state(archive))
    except (ArchiveDamaged, Corrupt):
        return 0  # what stands against it is among the findings
    return sum(_decodes(check, snapshot, partition, decode) for partition in partitions)


def _decodes(check: _Check, snapshot: Snapshot, partition: str, decode: Decode) -> bool:
    name = snapshot.state.partitions[partition].name
    if any(finding.partition == partition for finding in check.findings):
        return False
    try:
        manifest = snapshot.manifest(partition)
        digest = decode(snapshot, manifest)
    except UnsupportedFormat:
        raise
    except (LatentlakeError, ValueError) as error:  # ValueError: Arrow's, or blocks of another schema
        check.add(name, "undecodable", f"partition {partition}: {error}", partition)
        return False
    if digest != manifest.digest:
        check.add(name, "differs", f"partition {partition}: decodes to {digest}, not {manifest.digest}", partition)
        return False
    return True
