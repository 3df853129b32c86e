"""fade: partitions keep their latents alone, a preview with measured errors and no bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import TypeAdapter

from ae_core.archive import retire
from ae_core.archive.layers import OPEN_LATENTS
from ae_core.archive.reader import Snapshot, open_snapshot
from ae_core.archive.stage import Proposal, put_report
from ae_core.dataset import Archive, Partition
from ae_core.errors import NotCommitted
from ae_core.jobs import fade_worker
from ae_core.jobs.apart import run_apart
from ae_core.jobs.chosen import Rules, chosen
from ae_core.jobs.encode import versions
from ae_core.jobs.fade_worker import FadeProof, FadeRequest
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.request import checked_note
from ae_core.jobs.retire_results import FadedPartition, FadeResult
from ae_core.jobs.target import writer_name
from ae_core.jobs.verify import preview_digest
from ae_core.records import latent_bytes, layer_sizes
from ae_core.retirement import Retire
from ae_core.selection import Where

KEPT = frozenset({"latents", OPEN_LATENTS})


def fade(
    archive: str,
    *,
    reason: str = "",
    where: Where = None,
    partitions: Sequence[str] = (),
    policy: str | Retire | None = None,
    only_copy_accepted: bool = False,
    dry_run: bool = True,
    threads: int = 0,
    progress: Progress = silent,
) -> FadeResult:
    """Drop the residuals of the chosen partitions; the bytes go with gc, after the retention.

    Columns that latents do not hold are lost whole, the others keep the errors of a preview, which their certificates
    state. Nothing is faded while one of the chosen is refused: the result says why.

    Parameters
    ----------
    policy : rules, or a policy file, that may pin more partitions than the policy recorded with them.
    dry_run : change nothing, and tell what would go.

    Raises
    ------
    UsageError
        When nothing was chosen, or the reason is longer than 1000 characters or holds credentials.
    DataWouldBeLost, CommitConflict
        When a partition became an only copy, or changed, while this ran.
    NotCommitted, Corrupt
        When the fresh process does not find what was staged.
    """
    reason = checked_note(reason, "--reason")
    snapshot = open_snapshot(archive)
    rules = Rules(snapshot, policy)
    opened = Archive(snapshot)
    found = [Partition(opened, manifest) for manifest in chosen(snapshot, where, partitions, need="fade")]
    rows = tuple(_row(snapshot, rules, partition, accepted=only_copy_accepted) for partition in found)
    due = [p for p, row in zip(found, rows, strict=True) if row.action == "fade"]
    commit = None
    if due and not dry_run and not any(row.action == "refused" for row in rows):
        commit = _fade(snapshot, due, reason, only_copy_accepted, threads, progress)
    return FadeResult(snapshot.archive.store.url, dry_run, reason, rows, commit)


def _fade(
    snapshot: Snapshot,
    partitions: Sequence[Partition],
    reason: str,
    accepted: bool,
    threads: int,
    progress: Progress,
) -> int:
    archive, state = snapshot.archive, snapshot.state
    archive.store.probe()
    fading: list[retire.Fading] = []
    for partition in partitions:
        progress("fade", len(fading), len(partitions))
        fading.append(retire.Fading(partition.manifest, preview_digest(partition, threads=threads)))
    proposal = retire.stage_faded(archive, fading, kept=KEPT)
    proofs = _prove(archive.store.url, proposal, [partition.id for partition in partitions], threads)
    wrong = [proof for proof in proofs if proof.problem is not None]
    if wrong:
        raise NotCommitted(f"{wrong[0].partition}: {wrong[0].problem}; nothing was faded")
    seen = [{"digest": proof.digest, "partition": proof.partition, "rows": proof.rows} for proof in proofs]
    report = put_report(archive, {"kind": "fading", "partitions": seen, "versions": versions()})
    done = retire.commit_faded(
        archive, state, proposal, report=report, reason=reason, only_copy=accepted, writer=writer_name()
    )
    progress("fade", len(partitions), len(partitions))
    return done.number


def _prove(url: str, proposal: Proposal, partitions: Sequence[str], threads: int) -> list[FadeProof]:
    request = FadeRequest(url, proposal.to_json(), tuple(partitions), threads)
    answer = run_apart(fade_worker, TypeAdapter(FadeRequest).dump_json(request))
    proofs = TypeAdapter(list[FadeProof]).validate_python(answer["proofs"])
    if [proof.partition for proof in proofs] != list(partitions):
        raise NotCommitted("the verifying process answered about other partitions; nothing was faded")
    return proofs


def _row(snapshot: Snapshot, rules: Rules, partition: Partition, *, accepted: bool) -> FadedPartition:
    manifest = partition.manifest
    residuals = manifest.layer("residuals")
    latents = manifest.layer("latents")
    why = None
    if latents is None:
        why = f"it has no latents: {_no_latents(partition)}"
    elif rules.of(manifest).pinned:
        why = "its policy says pinned"
    elif all(bound.exact for bound in partition.bounds.values()):
        why = "its policy keeps every value exact"
    elif partition.id in snapshot.state.only_copies and not accepted:
        why = "its originals are gone or going: it is the only copy (--only-copy-accepted fades it all the same)"
    action: Literal["fade", "faded", "refused"]
    action = "refused" if why else "fade" if residuals is not None else "faded"
    return FadedPartition(
        partition=partition.id,
        action=action,
        reason=why or ("" if residuals is not None else "it keeps its latents alone already"),
        rows=partition.rows,
        bytes_kept=latent_bytes(layer_sizes(manifest)),
        bytes_dropped=residuals.file.length if residuals and not why else 0,
        lost_columns=partition.left_out("preview") if latents else (),
    )


def _no_latents(partition: Partition) -> str:
    return partition.manifest.no_latents_reason or partition.certificate.no_latents or "its latents were dropped"
