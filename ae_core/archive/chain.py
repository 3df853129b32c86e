"""The marker and every commit, for a verification: which are sound, and which break the chain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ae_core.archive.fields import MAX_COMMIT, sha256_hex
from ae_core.archive.findings import Finding, Problem
from ae_core.archive.format import Commit, read_commit, read_marker
from ae_core.archive.log import READERS, newest_listed
from ae_core.archive.names import MARKER, WITNESSES, commit_name, witnessed
from ae_core.archive.store import Store
from ae_core.errors import Corrupt
from ae_core.threads import ordered_map


@dataclass
class Chain:
    """The log as far as it is sound.

    Attributes
    ----------
    uid : the archive's, None if the marker is not sound.
    commits : the sound commits by number.
    hashes : SHA-256 of the file of every readable commit; -1 stands for the marker.
    top : number of the newest commit that is there or was there.
    expected : SHA-256 that a commit must have by what stands after it, or by the witness of its writer.
    sizes : bytes of each file that was read, by name.
    """

    uid: str | None = None
    commits: dict[int, Commit] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=dict)
    top: int = -1
    expected: dict[int, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether no commit is lost."""
        return len(self.commits) == self.top + 1

    @property
    def head(self) -> int:
        """Number of the newest sound commit; -1 if there is none."""
        return max(self.commits, default=-1)

    def add(self, name: str, problem: Problem, detail: str) -> None:
        """Note what is wrong with one file."""
        self.findings.append(Finding(name, problem, detail))


def check_chain(store: Store) -> Chain:
    """Read the marker and all commits, and compare each with its neighbours and witnesses."""
    chain = Chain()
    _read_marker(chain, store)
    witnesses = list(filter(None, (witnessed(entry.name) for entry in store.list(WITNESSES))))
    seen = dict(witnesses)
    chain.top = max(newest_listed(store), *seen, -1) if seen else newest_listed(store)
    while store.size(commit_name(chain.top + 1)) is not None:  # a listing may be stale
        chain.top += 1
    for number, data in _read_all(chain, store):
        _check_commit(chain, number, data)
    for number in sorted({n for n, sha256 in witnesses if chain.hashes.get(n, sha256) != sha256}):
        chain.add(commit_name(number), "foreign", f"{commit_name(number)}: is not the commit that was acknowledged")
    seen |= {number: sha256 for number, sha256 in witnesses if chain.hashes.get(number) == sha256}
    foreign = _foreign_links(chain.commits, chain.hashes)
    for number, reason in foreign.items():
        chain.add(link_name(number), "foreign", f"{link_name(number)}: {reason}")
    chain.commits = {number: commit for number, commit in chain.commits.items() if number not in foreign}
    chain.expected = seen | {number - 1: commit.parent for number, commit in chain.commits.items()}
    if -1 in foreign:
        chain.uid = None
    return chain


def link_name(number: int) -> str:
    """Name of a link of the chain: that of a commit, for -1 that of the marker."""
    return commit_name(number) if number >= 0 else MARKER


def _read_marker(chain: Chain, store: Store) -> None:
    data = _small(chain, MARKER, _read(store, MARKER))
    if data is None:
        return
    try:
        chain.uid = read_marker(data, MARKER).archive
        chain.hashes[-1] = sha256_hex(data)  # the marker stands before commit 0
    except Corrupt as damage:
        chain.add(MARKER, "damaged", str(damage))


def _read(store: Store, name: str) -> bytes | Corrupt | None:
    try:
        return store.read(name, MAX_COMMIT)
    except Corrupt as damage:
        return damage


def _read_all(chain: Chain, store: Store) -> Iterator[tuple[int, bytes]]:
    """The files of all commits that can be read; those that cannot are among the findings."""
    numbers = range(chain.top + 1)
    files = ordered_map(lambda number: _read(store, commit_name(number)), numbers, threads=READERS)
    for number, data in zip(numbers, files, strict=True):
        small = _small(chain, commit_name(number), data)
        if small is not None:
            yield number, small


def _small(chain: Chain, name: str, data: bytes | Corrupt | None) -> bytes | None:
    """What was read of a marker or commit; what kept it from being read is added to the findings."""
    chain.sizes[name] = len(data) if isinstance(data, bytes) else 0
    if data is None:
        chain.add(name, "missing", f"{name}: missing")
    elif isinstance(data, Corrupt):
        chain.add(name, "damaged", str(data))
    return data if isinstance(data, bytes) else None


def _check_commit(chain: Chain, number: int, data: bytes) -> None:
    """One commit by itself."""
    name = commit_name(number)
    try:
        commit = read_commit(data, name)
    except Corrupt as damage:
        chain.add(name, "damaged", str(damage))
        return
    if commit.number != number:
        chain.add(name, "foreign", f"{name}: is commit {commit.number}, stored under another number")
        return
    chain.hashes[number] = sha256_hex(data)
    chain.commits[number] = commit


def _foreign_links(commits: Mapping[int, Commit], hashes: Mapping[int, str]) -> dict[int, str]:
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
