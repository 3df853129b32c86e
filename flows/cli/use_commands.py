"""Commands that put a trained model to use. Only `dimensions` imports torch; none imports Prefect.

Bodies import what they need when they run, so that `--help` stays fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.cli.console import human_bytes, print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from ae_core.jobs.use_results import Anomalies, Features

LEAN = ("features", "encode", "anomalies", "sample", "denoise")
"""Those that read an archive and train nothing."""

OutFile = Annotated[
    str,
    typer.Argument(
        metavar="OUT",
        help="Parquet file to write; must not exist.",
        show_default=False,
        callback=options.without_credentials,
    ),
]
Lake = Annotated[
    str,
    typer.Argument(
        metavar="LAKE",
        help="Path or URL of a folder of Parquet files: the new rows.",
        callback=options.without_credentials,
    ),
]


def features(
    archive: options.Archive,
    out: OutFile,
    where: options.Where = None,
    snapshot: options.Snapshot = None,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Write the latents as a Parquet table: partition keys, row, z_0, z_1, ..., aligned with the rows.

    Reads the latents alone: faded partitions have features too.

    For archives that you trust: it has no --untrusted.

    Example: latentlake features flights.archive features.parquet --where 'month>=10'
    """
    from ae_core.jobs.features import features as write_features

    with progress_bar() as progress:
        result = write_features(archive, out, where=where, snapshot=snapshot, threads=threads, progress=progress)
    return print_json(result) if json else _print_features(result)


def encode(
    archive: options.Archive,
    lake: Lake,
    out: OutFile,
    where: options.Where = None,
    snapshot: options.Snapshot = None,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Write the features of new rows by an archive's newest model of their columns; nothing is archived.

    For archives that you trust: it has no --untrusted.

    Example: latentlake encode flights.archive new-flights features.parquet
    """
    from ae_core.jobs.features import encode as write_features

    with progress_bar() as progress:
        result = write_features(archive, lake, out, where=where, snapshot=snapshot, threads=threads, progress=progress)
    return print_json(result) if json else _print_features(result)


def dimensions(
    lake: options.Lake,
    policy: options.PolicyFile = None,
    range_: options.Range = None,
    where: options.Where = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write one self-contained page; must not exist.")
    ] = None,
    png: Annotated[
        str | None, typer.Option("--png", metavar="FILE", help="Draw the plots as a picture; must not exist.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Show error, rate and bytes by latent dimension, and the dimension that a training chooses, and why.

    Trains a small network for each number of dimensions, on a sample: minutes. Nothing is archived.

    Example: latentlake dimensions flights --range 0.01 --html dimensions.html
    """
    from ae_core.jobs.dimensions import dimensions as try_dimensions

    with progress_bar() as progress:
        result = try_dimensions(lake, policy=policy, range_=range_, where=where, html=html, png=png, progress=progress)
    if json:
        return print_json(result)
    print_table(
        [
            "",
            "dimensions>",
            "preview error>",
            "numbers off, % of range>",
            "right categories, %>",
            "latent bits/row>",
            "latents>",
            "residuals>",
            "model>",
            "in all>",
        ],
        [
            (
                "->" if one.chosen else "",
                one.dims if one.live == one.dims else f"{one.dims} ({one.live} used)",
                f"{one.preview_loss:.3f}",
                f"{one.numeric_error:.2f}",
                f"{one.accuracy:.1f}",
                f"{one.latent_bits:.2f}",
                human_bytes(one.latent_bytes),
                human_bytes(one.residual_bytes),
                human_bytes(one.model_bytes),
                human_bytes(one.total_bytes),
            )
            for one in result.trials
        ],
    )
    say(result.reason)
    say(f"  {result.rows:,} rows, short trainings on {result.sample_rows:,} of them, {result.seconds:.0f} s")
    for written in (result.html, result.png):
        if written is not None:
            say(f"  wrote {written}")
    return None


def anomalies(
    archive: options.Archive,
    out: OutFile,
    lake: Annotated[
        str | None,
        typer.Option(
            "--lake",
            metavar="LAKE",
            help="Score these new rows; nothing of them is archived.",
            callback=options.without_credentials,
        ),
    ] = None,
    where: options.Where = None,
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, metavar="N", help="Write only so many rows, the most surprising first."),
    ] = None,
    false_alarms: Annotated[
        float | None,
        typer.Option("--false-alarms", metavar="R", help="Call surprising what this share of archived rows exceeds."),
    ] = None,
    quantile: Annotated[
        float | None, typer.Option("--quantile", metavar="Q", help="Or what lies above this quantile of the rows.")
    ] = None,
    snapshot: options.Snapshot = None,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Write how surprising each row is, in bits, and which columns make it so.

    OUT gets partition keys, row, error (of the autoencoder), bits (under the whole model), whether that is above the
    threshold (0.1 % false alarms unless said otherwise), bits_latents and bits_<column>.

    For archives that you trust: it has no --untrusted.

    Example: latentlake anomalies flights.archive odd.parquet --top 100 --where month=3
    """
    from ae_core.jobs.anomalies import anomalies as write_anomalies

    with progress_bar() as progress:
        result = write_anomalies(
            archive,
            out,
            lake=lake,
            where=where,
            top=top,
            false_alarms=false_alarms,
            quantile=quantile,
            snapshot=snapshot,
            threads=threads,
            progress=progress,
        )
    return print_json(result) if json else _print_anomalies(result)


def sample(
    archive: options.Archive,
    out: options.Out,
    rows: Annotated[int, typer.Option("--rows", min=1, metavar="N", help="How many rows.", show_default=False)],
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="S", help="Equal seeds give equal rows.")] = 0,
    where: options.Where = None,
    snapshot: options.Snapshot = None,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Draw new rows from the model, with the archive's types, categories, nulls and ranges.

    No guarantee of privacy: a model may repeat what it learned by heart. Sensitive columns are withheld or numbered.

    For archives that you trust: it has no --untrusted.

    Example: latentlake sample flights.archive made-up --rows 1000000 --seed 1
    """
    from ae_core.jobs.sample import sample as draw

    with progress_bar() as progress:
        result = draw(
            archive, out, rows=rows, seed=seed, where=where, snapshot=snapshot, threads=threads, progress=progress
        )
    if json:
        return print_json(result)
    say(f"{result.rows:,} rows in {len(result.partitions)} files under {result.out} ({result.seconds:.1f} s)")
    if result.thrown_away:
        share = result.thrown_away / result.drawn
        say(f"  {share:.1%} of the rows drawn named a value that the model does not know and were thrown away")
    for name, why in result.withheld.items():
        say(f"  column {name}: {why}")
    return None


def denoise(
    archive: options.Archive,
    out: options.Out,
    where: options.Where = None,
    evidence: Annotated[
        float, typer.Option("--evidence", metavar="BITS", help="What a replacement has to save: 10 is 1,024 to 1.")
    ] = 10.0,
    fill: Annotated[
        str | None, typer.Option("--fill", metavar="A,B", help="Fill all nulls of these columns.", show_default=False)
    ] = None,
    snapshot: options.Snapshot = None,
    threads: options.Threads = 0,
    json: options.Json = False,
) -> None:
    """Write partitions with noise replaced by what the model expects, each change listed in _changes.parquet.

    A cell is replaced where the rest of its row and the rows before speak against it strongly enough.

    For archives that you trust: it has no --untrusted.

    Example: latentlake denoise flights.archive clean --where month=3 --fill air_time
    """
    from ae_core.jobs.denoise import denoise as write_denoised

    with progress_bar() as progress:
        result = write_denoised(
            archive,
            out,
            where=where,
            evidence=evidence,
            fill=options.split_names(fill) or (),
            snapshot=snapshot,
            threads=threads,
            progress=progress,
        )
    if json:
        return print_json(result)
    print_table(
        ["column", "replaced>", "of them nulls filled>"],
        [(one.name, f"{one.replaced:,}", f"{one.filled:,}") for one in result.columns],
    )
    say(f"{result.changed:,} cells of {result.rows:,} rows replaced ({result.seconds:.1f} s); see {result.changes}")
    if result.untouched:
        say(f"  columns that the model does not predict, left as they are: {', '.join(result.untouched)}")
    return None


def _print_features(result: Features) -> None:
    say(
        f"{result.rows:,} rows of {result.partitions} partitions in {result.out}: {', '.join(result.columns)} "
        f"(model {result.model[:12]}, {result.seconds:.1f} s)"
    )


def _print_anomalies(result: Anomalies) -> None:
    print_table(
        ["partition", "row>", "bits>", "error>", "bits of the columns that cost most"],
        [
            (
                row.partition,
                row.row,
                f"{row.bits:.1f}",
                f"{row.error:.3f}",
                ", ".join(f"{name} {bits:.1f}" for name, bits in row.columns.items()),
            )
            for row in result.most
        ],
    )
    say(f"{result.written:,} of {result.rows:,} rows written to {result.out} ({result.seconds:.1f} s)")
    say(
        f"  {result.share:.3%} of the rows take more than {result.threshold:.1f} bits; {result.expected:.3%} is usual"
        + (": MORE THAN CHANCE MAKES OF IT" if result.jumped else "")
    )
    if result.unscored:
        say(f"  columns without bits of their own: {', '.join(result.unscored)}")
