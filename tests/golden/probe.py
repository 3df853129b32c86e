"""What has to be the same wherever it runs: `python -m tests.golden.probe LAKE ARCHIVE` prints it as JSON.

The lake is that of `forms`, and the archive holds its model alone. Partitions are encoded with that model; all golden
archives are decoded, previews too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ae_core.archive.format import Manifest, read_manifest
from ae_core.archive.log import open_archive
from ae_core.archive.reader import open_snapshot
from ae_core.archive.stage import Proposal
from ae_core.jobs.encode import encode_partition
from ae_core.jobs.plan import survey
from ae_core.jobs.prepare import Prepared, prepare
from ae_core.jobs.request import CompressRequest
from ae_core.lake import LakePartition
from tests.golden import forms
from tests.golden.decode import GOLDEN, digests


def prepared(lake: str, archive: str) -> tuple[Prepared, tuple[LakePartition, ...]]:
    """The held model, or the one made by hand where there is none, and the partitions of the lake."""
    request = CompressRequest(lake=lake, archive=archive, policy=forms.POLICY, page_data=False)
    found = survey(request)
    return prepare(request, found, found.groups[0]), found.due


def layers(
    ready: Prepared, partitions: Sequence[LakePartition], *, threads: int = 1, workers: int = 1
) -> dict[str, list[str]]:
    """SHA-256 of every layer file of the partitions, staged in this order, and the digest of what they decode to."""

    def stage(partition: LakePartition) -> Manifest:
        staged = encode_partition(ready, partition, threads=threads)
        (change,) = Proposal.from_json(staged.proposal).changes
        assert change.manifest is not None
        ref = change.manifest
        return read_manifest(open_archive(ready.archive).store.get(ref.name, ref.length, ref.sha256), ref.name)

    with ThreadPoolExecutor(workers) as pool:
        manifests = list(pool.map(stage, partitions))
    return {m.partition: [*(layer.file.sha256 for layer in m.layers), m.digest] for m in manifests}


def everything(lake: str, archive: str, threads: int = 1) -> dict[str, Any]:
    """Layers and digests."""
    with forms.by_hand():
        ready, due = prepared(lake, archive)
        assert open_snapshot(archive).number == ready.since  # the held model was taken
        encoded = layers(ready, due, threads=threads)
    return {"layers": encoded, "digests": digests(GOLDEN, threads)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(everything(sys.argv[1], sys.argv[2])))
