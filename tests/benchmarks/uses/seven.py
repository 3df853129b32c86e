"""The seven things that autoencoders are known for, a measured line each, from the figures of the other parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.benchmarks.uses.data import Figures

Records = Sequence[Mapping[str, Any]]
Parts = Mapping[str, Records]
"""Name of a part -> its records; `demo` has one, what `make demo` measured."""
HEAD = ("what", "measured here")
QUANTISED = "quantise + best of pcodec, zstd, xz, brotli"
NOT_YET = "not measured yet"


def seven(parts: Parts) -> Figures:
    """A line for each; where a part has not been run, the line says so."""
    told: Sequence[tuple[str, str, Callable[[Records], str]]] = (
        ("dimensionality reduction", "dimensions", _dimensions),
        ("feature learning", "features", _features),
        ("compression", "demo", _compression),
        ("anomaly detection", "anomalies", _anomalies),
        ("generation", "generation", _generation),
        ("noise reduction", "denoising", _denoising),
        ("better than PCA", "previews", _previews),
    )
    return Figures(HEAD, [(what, tell(parts[part]) if parts.get(part) else NOT_YET) for what, part, tell in told])


def _dimensions(records: Records) -> str:
    lines = [
        f"{one['latents']} latents of {one['latent bits a row']} bits a row in all: numbers off by "
        f"{one['numbers off by, % of range']} % of their range, {one['right categories, %']} % of the categories right"
        for one in (*(one for one in records if one["chosen"]), records[-1])
    ]
    return f"flights, {'; '.join(dict.fromkeys(lines))}"


def _features(records: Records) -> str:
    ahead = [_count(records, "latents", peer) for peer in ("PCA, same d", "raw columns")]
    tasks = len({one["task"] for one in records})
    return (
        f"{tasks} tasks by {len(records) // tasks} learners: latents ahead of as many principal components in "
        f"{ahead[0]} of {len(records)}, of the raw columns in {ahead[1]}"
    )


def _count(records: Records, ours: str, theirs: str) -> int:
    return sum(float(one[ours]) > float(one[theirs]) for one in records)


def _compression(records: Records) -> str:
    (demo,) = records
    sizes = {"latentlake, all counted": demo["archive"], "quantise and the best plain coder": demo["peers"][QUANTISED]}
    sizes["Parquet with zstd, exact"] = demo["peers"]["Parquet zstd-19"]
    return "a year of flights: " + ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in sizes.items())


def _anomalies(records: Records) -> str:
    marks = [name for name in records[0] if name.endswith(": AUC / AP")]
    ours, peers = marks[0], marks[2:]

    def precision(one: Mapping[str, Any], mark: str) -> float:
        return float(one[mark].partition(" / ")[2])

    wins = [
        f"{peer.partition(':')[0]} on {sum(precision(one, ours) > precision(one, peer) for one in records)}"
        for peer in peers
    ]
    return f"average precision, of {len(records)} sets ahead of " + ", ".join(wins)


def _generation(records: Records) -> str:
    score = "trained here, tested on real rows"
    tables = dict.fromkeys(one["table"] for one in records)
    told = []
    for table in tables:
        own = [one for one in records if one["table"] == table]
        told.append(f"{table}: " + ", ".join(f"{one['rows from']} {one[score]}" for one in own))
    return f"a learner {score}; {'; '.join(told)}"


def _denoising(records: Records) -> str:
    told = [
        f"{one['table']}: {one['noisy']} → {one['latentlake denoise']}, kNN that is told where {one['kNN']}"
        for one in records
        if one["fault"] == "outliers"
    ]
    return f"outliers, error in % of a deviation; {'; '.join(told)}"


def _previews(records: Records) -> str:
    """Errors are better low, right categories high."""
    told = []
    for rows, word, sign in (("all numbers", "numbers", -1), ("all categories", "categories", 1)):
        own = [one for one in records if one["column"] == rows]
        wins = [
            sum(sign * float(one["ours"]) > sign * float(one[peer]) for one in own)
            for peer in ("PCA, equal bytes", "PCA, equal d")
        ]
        told.append(f"{word} on {wins[0]} and {wins[1]} of {len(own)} tables")
    return f"previews ahead of PCA at the same bytes, and at the same number of dimensions: {', '.join(told)}"
