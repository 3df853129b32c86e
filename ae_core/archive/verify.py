"""Is the archive what its head says? Every byte that a snapshot relies on is read and compared.

`verify` goes from the marker over every commit to all that they refer to (older snapshots included) and names what is
missing, cut, changed or foreign, with the blocks that are lost. What nobody refers to is counted as orphans: leftovers
of writers that were stopped. A lost newest commit shows by the witness that its writer left; against someone who takes
both away only `expect_head` helps.

Objects are read in threads, each in pieces: what is held does not grow with the archive.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ae_core.archive.chain import Chain, check_chain
from ae_core.archive.fields import MAX_COMMIT, sha256_hex
from ae_core.archive.findings import Finding, Problem, VerifyReport
from ae_core.archive.format import Commit, LayerFile, ObjectRef, SharedRef, read_manifest, read_marker, read_table
from ae_core.archive.log import Archive, read_state
from ae_core.archive.names import MARKER, checkpoint_number, commit_name, commit_number, witnessed
from ae_core.archive.reader import Snapshot
from ae_core.archive.store import Store, open_store
from ae_core.errors import ArchiveDamaged, Corrupt, UsageError
from ae_core.threads import ordered_map

READERS = 8
"""Objects that are read at once where the caller does not say: disks and stores answer several sooner than one."""

Progress = Callable[[int, int], None]
"""Called with the bytes checked so far and in all (as far as known)."""


@dataclass(frozen=True)
class Decoded:
    """What a fresh decode of a partition gave: the digest of the rebuilt data, or why there is none."""

    partition: str
    digest: str | None
    problem: str | None = None


Decode = Callable[[Snapshot, Sequence[str]], Iterator[Decoded]]
"""Decodes partitions of a snapshot completely, anew."""


def verify(
    url: str,
    *,
    decode: Decode | None = None,
    chosen: Callable[[str], bool] | None = None,
    share: float | None = None,
    snapshot: int | None = None,
    expect_head: str | None = None,
    threads: int = 0,
    progress: Progress | None = None,
    store: Store | None = None,
) -> VerifyReport:
    """Read and compare every object that the archive's log refers to.

    Parameters
    ----------
    decode
        For a deep check: decodes partitions of the newest snapshot; their digests are compared with the manifests'.
    chosen
        Says of a partition's id whether it is looked at; all if None. The log and shared objects always are.
    share
        Read, and decode, this share of the partitions, at least one, picked at random; of the others only the manifests
        are read, and whether their layers are there with their length.
    snapshot
        Look only at what this snapshot needs, and decode that one.
    expect_head
        SHA-256 that the newest commit must have.

    Raises
    ------
    UsageError
        If there is no archive or snapshot as asked, or none of its partitions is meant.
    UnsupportedFormat
        If the archive needs a newer release.
    """
    store = store or open_store(url)
    listed = {entry.name: entry.size for entry in store.list("")}
    if not any(name == MARKER or commit_number(name) is not None for name in listed):
        raise UsageError(f"no archive at {store.url}: neither {MARKER} nor commits are there")
    chain = check_chain(store)
    if snapshot is not None and snapshot > chain.top:
        raise UsageError(f"there is no snapshot {snapshot}: the newest is {chain.top}")
    refs = _collect(chain, snapshot, chosen)
    if chosen is not None and not refs.versions:
        raise UsageError(f"none of the partitions asked for is in {store.url}")
    total = sum(size or 0 for size in listed.values())
    check = _Check(store, refs, chain, threads or READERS, progress, total, findings=list(chain.findings))
    for name, size in chain.sizes.items():
        check.count(name, size)
    head_sha256 = _check_head(check, expect_head)
    read = _sample(refs, share)
    for found in ordered_map(check.run, check.units(read), threads=check.threads):
        check.take(found)
    held = sorted(pid for pid, ref in refs.head.items() if ref in read)
    decoded = _check_decoding(check, snapshot, held, decode) if decode else 0
    # an object whose commit or manifest is damaged looks like an orphan and is none
    whole = chosen is None and snapshot is None and chain.complete and not check.unread
    orphans = [size or 0 for name, size in listed.items() if check.is_orphan(name)]
    return VerifyReport(
        head=chain.head if snapshot is None else snapshot,
        head_sha256=head_sha256,
        partitions=len(held),
        decoded=decoded,
        objects=check.objects,
        bytes=check.bytes,
        sized=check.sized,
        orphans=len(orphans) if whole else None,
        orphan_bytes=sum(orphans) if whole else None,
        findings=tuple(dict.fromkeys(check.findings)),
    )


# --- what the log refers to -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Refs:
    """All that the readable commits refer to; `head` is the manifests of the snapshot that counts as newest."""

    versions: tuple[tuple[str, ObjectRef], ...]
    shared: tuple[SharedRef, ...]
    others: tuple[ObjectRef, ...]
    condemned: frozenset[str]
    head: dict[str, ObjectRef]


def _collect(chain: Chain, snapshot: int | None, chosen: Callable[[str], bool] | None) -> _Refs:
    condemned = frozenset(name for commit in chain.commits.values() for name in commit.condemned)
    last = chain.top if snapshot is None else snapshot
    commits = [commit for number, commit in sorted(chain.commits.items()) if number <= last]
    versions: dict[tuple[str, ObjectRef], None] = {}
    head: dict[str, ObjectRef] = {}
    for commit in commits:
        for change in commit.changes:
            head.pop(change.partition, None)
            if change.manifest is not None and change.manifest.name not in condemned:
                versions[change.partition, change.manifest] = None
                head[change.partition] = change.manifest
    meant = versions if snapshot is None else dict.fromkeys(head.items())
    shared = {ref for commit in commits for ref in commit.shared if condemned.isdisjoint(ref.names)}
    others = [ref for commit in commits for ref in _named(commit)]
    return _Refs(
        tuple((pid, ref) for pid, ref in meant if chosen is None or chosen(pid)),
        tuple(sorted(shared, key=lambda ref: ref.names)),
        tuple(ref for ref in others if ref.name not in condemned),
        condemned,
        {pid: ref for pid, ref in head.items() if chosen is None or chosen(pid)},
    )


def _named(commit: Commit) -> list[ObjectRef]:
    return [ref for ref in (commit.report, commit.checkpoint) if ref is not None]


def _sample(refs: _Refs, share: float | None) -> frozenset[ObjectRef]:
    """The manifests of the partitions that are read in full."""
    manifests = [ref for _, ref in refs.versions]
    if share is None:
        return frozenset(manifests)
    now = list(refs.head.values())
    picked = random.sample(now, min(len(now), max(1, round(share * len(now)))))
    return frozenset(picked)


# --- the work -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layer:
    """A layer file of some version of a partition; with `read` it is read, else only looked up."""

    partition: str
    manifest: ObjectRef
    layer: LayerFile
    block_rows: tuple[int, ...]
    read: bool


_Unit = SharedRef | ObjectRef | _Layer


@dataclass
class _Found:
    """What one unit of work came to."""

    findings: list[Finding] = field(default_factory=list)
    sizes: list[tuple[str, int | None]] = field(default_factory=list)
    layers: tuple[_Layer, ...] | None = None


@dataclass
class _Check:
    """The work in progress of one verification; units run in threads, what they find is taken in order."""

    store: Store
    refs: _Refs
    chain: Chain
    threads: int
    progress: Progress | None
    total: int
    findings: list[Finding] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    objects: int = 0
    bytes: int = 0
    sized: int = 0
    unread: int = 0

    def count(self, name: str, size: int | None) -> None:
        """One object is checked: read, or for None only looked up."""
        self.known.add(name)
        if size is None:
            self.sized += 1
        else:
            self.objects += 1
            self.bytes += size
        if self.progress:
            self.progress(self.bytes, max(self.bytes, self.total))

    def take(self, found: _Found) -> None:
        """Add what a unit came to."""
        self.findings += found.findings
        for name, size in found.sizes:
            self.count(name, size)

    def is_orphan(self, name: str) -> bool:
        """Whether nobody refers to an object, dead or alive."""
        return name not in self.known and name not in self.refs.condemned and witnessed(name) is None

    def units(self, read: Collection[ObjectRef]) -> Iterator[_Unit]:
        """All that has to be looked at, each object once."""
        yield from self.refs.shared
        yield from self.refs.others
        claimed: set[str] = set()
        manifests = ordered_map(
            lambda one: self.manifest(*one, one[1] in read), self.refs.versions, threads=self.threads
        )
        for found in manifests:
            self.take(found)
            self.unread += found.layers is None
            for one in found.layers or ():
                if one.layer.file.name not in claimed:
                    claimed.add(one.layer.file.name)
                    yield one

    def run(self, unit: _Unit) -> _Found:
        """Look at one unit."""
        if isinstance(unit, SharedRef):
            return self.shared(unit)
        return self.layer(unit) if isinstance(unit, _Layer) else self.object(unit)

    def whole(self, ref: ObjectRef, found: _Found) -> tuple[Problem, str] | None:
        """What is wrong with an object, if anything."""
        found.sizes.append((ref.name, ref.length))
        try:
            stored = self.store.digest(ref.name)
        except Corrupt as damage:
            return "damaged", str(damage)
        if stored is None:
            return "missing", f"{ref.name}: missing"
        size, sha256 = stored
        if size != ref.length:
            return "damaged", f"{ref.name}: {size} bytes, should be {ref.length}"
        return None if sha256 == ref.sha256 else ("damaged", f"{ref.name}: SHA-256 {sha256}, should be {ref.sha256}")

    def looked_up(self, ref: ObjectRef, found: _Found) -> tuple[Problem, str] | None:
        """What is wrong with an object as far as its length tells."""
        found.sizes.append((ref.name, None))
        try:
            size = self.store.size(ref.name)
        except Corrupt as damage:
            return "damaged", str(damage)
        if size is None:
            return "missing", f"{ref.name}: missing"
        return None if size == ref.length else ("damaged", f"{ref.name}: {size} bytes, should be {ref.length}")

    def object(self, ref: ObjectRef) -> _Found:
        """A report or checkpoint; a checkpoint can be made again from the commits."""
        found = _Found()
        problem = self.whole(ref, found)
        if problem is not None:
            mendable = self.chain.complete and checkpoint_number(ref.name) >= 0
            found.findings.append(Finding(ref.name, *problem, mendable=mendable, wanted=ref, current=False))
        return found

    def shared(self, shared: SharedRef) -> _Found:
        """Both copies of a shared object; one intact copy makes the other mendable."""
        found = _Found()
        wrong = [(ref, self.whole(ref, found)) for ref in shared.twins]
        intact = any(problem is None for _, problem in wrong)
        for ref, problem in wrong:
            if problem is not None:
                kind, detail = problem
                note = "its twin is intact" if intact else "its twin is lost too"
                words = f"{detail}; {note}"
                one = Finding(ref.name, kind, words, mendable=intact, wanted=ref, copies=shared.names)
                found.findings.append(one)
        if intact and shared.kind == "table":
            ref = shared.twins[0 if wrong[0][1] is None else 1]
            try:  # a table record whose hash is right must also be readable
                read_table(self.store.get(ref.name, ref.length, ref.sha256), ref.name)
            except Corrupt as damage:
                found.findings.append(Finding(ref.name, "damaged", str(damage)))
        return found

    def manifest(self, partition: str, ref: ObjectRef, read: bool) -> _Found:
        """A manifest and the layers that it names."""
        found = _Found()
        current = self.refs.head.get(partition) == ref
        problem = self.whole(ref, found)
        if problem is None:
            try:
                manifest = read_manifest(self.store.get(ref.name, ref.length, ref.sha256), ref.name)
            except Corrupt as damage:
                problem = "damaged", str(damage)
        if problem is not None:
            found.findings.append(Finding(ref.name, *problem, partition, wanted=ref, current=current))
            return found
        if manifest.partition != partition or manifest.archive != (self.chain.uid or manifest.archive):
            detail = f"{ref.name}: is about {manifest.partition} of {manifest.archive}"
            found.findings.append(Finding(ref.name, "foreign", detail, partition, current=current))
        held = {one.sha256 for one in self.refs.shared}
        needed = {manifest.table, manifest.model or manifest.table} if self.chain.complete else set()
        for sha256 in sorted(needed - held):
            detail = f"{ref.name}: needs {sha256}, which no commit holds"
            found.findings.append(Finding(ref.name, "foreign", detail, partition, current=current))
        found.layers = tuple(
            _Layer(partition, ref, layer, manifest.block_rows, read)
            for layer in manifest.layers
            if layer.file.name not in self.refs.condemned
        )
        return found

    def layer(self, one: _Layer) -> _Found:
        """A layer file; if it is damaged, which of its blocks are."""
        found, layer = _Found(), one.layer
        problem = self.whole(layer.file, found) if one.read else self.looked_up(layer.file, found)
        if problem is None:
            return found
        lost = tuple(index for index in range(len(layer.blocks)) if not self.block_intact(layer, index))
        kind, detail = problem
        which = (
            f"blocks {', '.join(map(str, lost))} of {len(layer.blocks)} are lost" if lost else "all blocks are intact"
        )
        found.findings.append(
            Finding(
                layer.file.name,
                kind,
                f"{detail}; {which}",
                one.partition,
                layer.layer,
                lost,
                wanted=layer.file,
                current=self.refs.head.get(one.partition) == one.manifest,
                block_rows=one.block_rows,
            )
        )
        return found

    def block_intact(self, layer: LayerFile, index: int) -> bool:
        """Whether a block of a damaged file is as it was; of the only block nothing but the file tells."""
        block = layer.blocks[index]
        if block.sha256 is None:
            return False
        try:
            self.store.get_range(layer.file.name, block.offset, block.length, block.sha256)
        except Corrupt:
            return False
        return True


def _check_head(check: _Check, expect_head: str | None) -> str:
    """SHA-256 of the newest commit's file ("" without any), compared with the one expected."""
    number = check.chain.head
    found = check.chain.hashes.get(number, "") if number >= 0 else ""
    if expect_head is not None and found != expect_head:
        name = commit_name(max(number, 0))
        detail = f"{name}: head is {found or 'missing'}, not {expect_head} as expected"
        check.findings.append(Finding(name, "foreign", detail))
    return found


# --- decoding -------------------------------------------------------------------------------------


def _check_decoding(check: _Check, number: int | None, partitions: Iterable[str], decode: Decode) -> int:
    """Number of partitions that decode to the digest of their manifest; those with findings are not tried."""
    damaged = {finding.partition for finding in check.findings}
    sound = [partition for partition in partitions if partition not in damaged]
    data = check.store.read(MARKER, MAX_COMMIT)
    if check.chain.uid is None or data is None or not sound:
        return 0
    archive = Archive(check.store, read_marker(data, MARKER), sha256_hex(data))
    try:
        snapshot = Snapshot(archive, read_state(archive, number=number))
    except (ArchiveDamaged, Corrupt):
        return 0  # what stands against it is among the findings
    good = 0
    for done in decode(snapshot, sound):
        ref = snapshot.state.partitions[done.partition]
        wanted = snapshot.manifest(done.partition).digest
        if done.digest is None:
            detail = f"partition {done.partition}: {done.problem}"
            check.findings.append(Finding(ref.name, "undecodable", detail, done.partition))
        elif done.digest != wanted:
            detail = f"partition {done.partition}: decodes to {done.digest}, not {wanted}"
            check.findings.append(Finding(ref.name, "differs", detail, done.partition))
        else:
            good += 1
    return good
