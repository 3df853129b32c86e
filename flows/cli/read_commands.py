"""Commands that read an archive. None of them imports Prefect or torch.

Bodies import what they need when they run, so that `--help` stays fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ae_core.errors import UsageError
from flows.cli import options
from flows.cli.console import human_bytes, human_ratio, note, print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from ae_core.jobs.results import DecodeResult, VerifyResult


def ls(
    archive: options.Archive,
    where: options.Where = None,
    snapshot: options.Snapshot = None,
    untrusted: options.Untrusted = False,
    cap: options.Cap = None,
    json: options.Json = False,
) -> None:
    """List the partitions of an archive with their layers, sizes and ratios.

    Example: latentlake ls flights.archive --where 'month>=10'
    """
    from ae_core.records import latent_bytes

    caps = options.caps_of(cap, untrusted=untrusted)
    if caps:
        from ae_core.untrusted import jobs

        listing = jobs.list_archive(archive, where=where, snapshot=snapshot, caps=caps, notice=note)
    else:
        from ae_core.jobs.listing import list_archive

        listing = list_archive(archive, where=where, snapshot=snapshot)
    if json:
        return print_json(listing)
    print_table(
        [
            "partition",
            "rows>",
            "files>",
            "source>",
            "latents>",
            "residuals>",
            "ratio>",
            "worst error/bound>",
            "commit>",
        ],
        [
            (
                row.partition,
                f"{row.rows:,}",
                row.files,
                human_bytes(row.source_bytes),
                human_bytes(latent_bytes(row.layers)) if "latents" in row.layers else "-",
                human_bytes(row.layers.get("residuals")) if "residuals" in row.layers else "-",
                human_ratio(row.ratio),
                human_ratio(row.worst_ratio) or "exact",
                row.commit,
            )
            for row in listing.partitions
        ],
    )
    totals = listing.totals
    say(
        f"snapshot {listing.snapshot}: {len(listing.partitions)} partitions, {totals.rows:,} rows, "
        f"{human_bytes(totals.source_bytes)} of Parquet in {human_bytes(totals.archive_bytes)}"
    )
    say(
        f"  latents {human_bytes(totals.latents)}, residuals {human_bytes(totals.residuals)}, "
        f"models {human_bytes(totals.models)}, metadata {human_bytes(totals.metadata)}"
    )
    return None


def show(
    archive: options.Archive,
    partition: Annotated[str, typer.Argument(metavar="PARTITION", help="For instance month=3.", show_default=False)],
    snapshot: options.Snapshot = None,
    untrusted: options.Untrusted = False,
    cap: options.Cap = None,
    json: options.Json = False,
) -> None:
    """Show one partition: its files, layers, bounds and what each column lost.

    Example: latentlake show flights.archive month=3
    """
    from flows.cli.certificates import print_certificate

    caps = options.caps_of(cap, untrusted=untrusted)
    if caps:
        from ae_core.untrusted import jobs

        detail = jobs.show_partition(archive, partition, snapshot=snapshot, caps=caps, notice=note)
    else:
        from ae_core.jobs.listing import show_partition

        detail = show_partition(archive, partition, snapshot=snapshot)
    if json:
        return print_json(detail)
    say(f"{detail.partition} in snapshot {detail.snapshot}: {detail.rows:,} rows, model {detail.model[:12]}")
    for name, size in detail.layers.items():
        say(f"  layer {name}: {human_bytes(size)}")
    if detail.no_latents_reason:
        say(f"  no latents: {detail.no_latents_reason}")
    for file in detail.files:
        say(f"  file {file.name}: {file.rows:,} rows, {human_bytes(file.bytes)}, sha256 {file.sha256[:12]}")
    return print_certificate(detail.certificate)


def decode(
    archive: options.Archive,
    out: options.Out,
    where: options.Where = None,
    columns: Annotated[str | None, typer.Option("--columns", metavar="A,B", help="Only these columns.")] = None,
    rows: Annotated[
        str | None, typer.Option("--rows", metavar="FIRST:END", help="Only these rows of each partition.")
    ] = None,
    layer: Annotated[
        str, typer.Option("--layer", metavar="preview|bounded", help="preview: approximate, from the latents alone.")
    ] = "bounded",
    snapshot: options.Snapshot = None,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Leave out what is damaged, report each row range that is lost, exit 1.")
    ] = False,
    unify: Annotated[
        bool,
        typer.Option("--unify", help="One schema for all files: null where one lacks a column, types widened."),
    ] = False,
    threads: options.Threads = 0,
    untrusted: options.Untrusted = False,
    cap: options.Cap = None,
    json: options.Json = False,
) -> None:
    """Write partitions back as Parquet files, each value within its bound, with a report of the losses.

    Example: latentlake decode flights.archive march --where month=3 --columns dep_delay,carrier
    """
    caps = options.caps_of(cap, untrusted=untrusted)
    if caps and salvage:
        raise UsageError("--salvage is for archives of your own: with --untrusted it is all or nothing")
    if caps and unify:
        raise UsageError("--unify is for archives of your own: decode as it is, then join the files")
    with progress_bar() as progress:
        chosen: dict[str, Any] = {
            "where": where,
            "columns": options.split_names(columns),
            "rows": rows,
            "layer": layer,
            "snapshot": snapshot,
            "threads": threads,
            "progress": progress,
        }
        if caps:
            from ae_core.untrusted import jobs

            result = jobs.decode(archive, out, caps=caps, notice=note, **chosen)
        else:
            from ae_core.jobs.decode import decode as decode_archive

            result = decode_archive(archive, out, salvage=salvage, unify=unify, **chosen)
    if json:
        print_json(result)
    else:
        _print_decoded(result)
    if result.lost:
        raise typer.Exit(1)


def _print_decoded(result: DecodeResult) -> None:
    count = sum(len(partition.files) for partition in result.partitions)
    say(f"{result.rows:,} rows in {count} files under {result.out} ({result.layer}, {result.seconds:.1f} s)")
    if result.left_out:
        say(f"  columns without a preview, left out: {', '.join(result.left_out)}")
    for lost in result.lost:
        stop = "the end" if lost.stop is None else f"{lost.stop - 1:,}"
        say(f"LOST {lost.partition}, rows {lost.start:,} to {stop}: {lost.problem}")


def verify(
    archive: options.Archive,
    deep: Annotated[bool, typer.Option("--deep", help="Decode everything and compare with the certificates.")] = False,
    where: options.Where = None,
    sample: Annotated[
        str | None,
        typer.Option("--sample", metavar="SHARE", help="Read this share of the partitions (5%), the rest by size."),
    ] = None,
    mend: Annotated[bool, typer.Option("--mend", help="Restore models and tables from their intact twins.")] = False,
    repair_from: Annotated[
        str | None,
        typer.Option(
            "--repair-from",
            metavar="REPLICA",
            help="Restore what a copy of it still has.",
            callback=options.without_credentials,
        ),
    ] = None,
    snapshot: options.Snapshot = None,
    threads: options.Threads = 0,
    untrusted: options.Untrusted = False,
    cap: options.Cap = None,
    json: options.Json = False,
) -> None:
    """Check every object of an archive: presence, length, SHA-256 and the chain of commits; restore what is lost.

    Example: latentlake verify flights.archive --deep --where month=3
    """
    caps = options.caps_of(cap, untrusted=untrusted)
    if caps and (mend or repair_from):
        raise UsageError("--untrusted goes with neither --mend nor --repair-from: it writes nothing into an archive")
    with progress_bar() as progress:
        chosen: dict[str, Any] = {
            "deep": deep,
            "where": where,
            "sample": sample,
            "snapshot": snapshot,
            "threads": threads,
            "progress": progress,
        }
        if caps:
            from ae_core.untrusted import jobs

            result = jobs.verify(archive, caps=caps, notice=note, **chosen)
        else:
            from ae_core.jobs.verify import verify as verify_archive

            result = verify_archive(archive, mend=mend, repair_from=repair_from, **chosen)
    if json:
        print_json(result)
    else:
        _print_verified(result)
    if not result.ok:
        raise typer.Exit(1)


def _print_verified(result: VerifyResult) -> None:
    for repair in result.repaired:
        say(f"REPAIRED {repair.name} from the {repair.origin}")
    for finding in result.findings:
        kind, _, detail = finding.problem.partition(": ")
        say(f"{kind.upper()} {detail}{'' if finding.current else ' (the newest snapshot does not need it)'}")
        for first, end in finding.rows:
            which = f"columns {', '.join(finding.columns)}" if finding.columns else "all"
            say(f"  {finding.partition}, rows {first:,} to {end - 1:,}: {which} lost")
        if finding.readable:
            say(f"  {finding.readable}")
        if finding.mendable:
            say("  --mend restores it")
    state = "no damage found" if result.ok else f"{len(result.findings)} damaged"
    how = f"read, {result.sized} more only looked up" if result.sized else "every byte read"
    how += f", {result.decoded} partitions decoded" if result.deep else ""
    say(f"snapshot {result.snapshot}: {result.objects} objects, {human_bytes(result.bytes)}, {how}: {state}")
    if result.orphans:
        say(f"  {result.orphans} orphans ({human_bytes(result.orphan_bytes)}): harmless, latentlake gc removes them")


def audit(
    archive: options.Archive,
    lake: Annotated[
        str | None,
        typer.Option(
            "--lake",
            metavar="LAKE",
            help="Measure afresh against the originals.",
            callback=options.without_credentials,
        ),
    ] = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write the loss report as a page; must not exist.")
    ] = None,
    redact: Annotated[
        bool, typer.Option("--redact", help="With --html or --export: show no value of any column.")
    ] = False,
    export: Annotated[
        str | None,
        typer.Option("--export", metavar="DIR", help="Write page, figures and head digest for an auditor to keep."),
    ] = None,
    query: Annotated[
        str | None,
        typer.Option("--query", metavar="SQL", help="How much this SELECT over the table t changes; needs DuckDB."),
    ] = None,
    expect_head: Annotated[
        str | None, typer.Option("--expect-head", metavar="SHA256", help="Refuse an archive with another head commit.")
    ] = None,
    where: options.Where = None,
    sample: Annotated[
        str | None, typer.Option("--sample", metavar="SHARE", help="Only this share of them (5%), picked anew.")
    ] = None,
    snapshot: options.Snapshot = None,
    threads: options.Threads = 0,
    untrusted: options.Untrusted = False,
    cap: options.Cap = None,
    json: options.Json = False,
) -> None:
    """Prove what was lost: decode, compare with the recorded digests, and list the errors of every column.

    Example: latentlake audit flights.archive --lake flights --html audit.html
    Example: latentlake audit flights.archive --lake flights --query "select avg(dep_delay) from t"
    """
    caps = options.caps_of(cap, untrusted=untrusted)
    if caps and (lake or html or query or export or sample):
        raise UsageError(
            "--untrusted audits every partition and opens and writes no other file: "
            "leave out --lake, --html, --query, --export and --sample"
        )
    if redact and html is None and export is None:
        raise UsageError("--redact is for the page: give --html FILE or --export DIR too")
    if query is not None:
        from ae_core.jobs.query import audit_query
        from flows.cli.certificates import print_query

        if html is not None or export is not None:
            raise UsageError("--query answers one query: leave out --html and --export")
        answer = audit_query(
            archive, query, lake=lake, expect_head=expect_head, where=where, snapshot=snapshot, threads=threads
        )
        return print_json(answer) if json else print_query(answer)
    from flows.cli.certificates import print_audit

    with progress_bar() as progress:
        chosen: dict[str, Any] = {
            "expect_head": expect_head,
            "where": where,
            "snapshot": snapshot,
            "threads": threads,
            "progress": progress,
        }
        if caps:
            from ae_core.untrusted import jobs

            result = jobs.audit(archive, caps=caps, notice=note, **chosen)
        else:
            from ae_core.jobs.export import audit as audit_archive
            from ae_core.selection import parse_share

            share = 1.0 if sample is None else parse_share(sample)
            result = audit_archive(archive, lake=lake, html=html, export=export, redact=redact, sample=share, **chosen)
    if json:
        print_json(result)
    else:
        print_audit(result)
    if not result.ok:
        raise typer.Exit(1)
    return None


def log(
    archive: options.Archive,
    snapshot: options.Snapshot = None,
    untrusted: options.Untrusted = False,
    cap: options.Cap = None,
    json: options.Json = False,
) -> None:
    """List the commits of an archive: what changed, when, by which run, and how many bytes.

    Example: latentlake log flights.archive
    """
    caps = options.caps_of(cap, untrusted=untrusted)
    if caps:
        from ae_core.untrusted import jobs

        history = jobs.archive_log(archive, snapshot=snapshot, caps=caps, notice=note)
    else:
        from ae_core.jobs.listing import archive_log

        history = archive_log(archive, snapshot=snapshot)
    if json:
        return print_json(history)
    return print_table(
        ["commit>", "time", "what", "partitions", "bytes>", "writer", "sha256"],
        [
            (
                commit.n,
                commit.time,
                commit.message,
                ", ".join(commit.partitions),
                human_bytes(commit.bytes),
                commit.writer,
                commit.sha256[:12],
            )
            for commit in history.commits
        ],
    )
