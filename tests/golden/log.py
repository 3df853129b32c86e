"""What only years of use write into a log, in a golden archive: originals expired, a partition gone, a checkpoint."""

from __future__ import annotations

from unittest.mock import patch

from ae_core.archive.commit import append
from ae_core.archive.format import Change
from ae_core.archive.log import open_archive, read_state
from ae_core.archive.originals import Expired, Intent, Original
from ae_core.archive.reader import Snapshot
from ae_core.archive.stage import Proposal
from ae_core.archive.state import State

LAKE = "s3://golden/lake"
FATES = {"month=2": ("changed", "kept"), "month=3": ("deleted", "absent")}


def age(root: str) -> None:
    """The originals of two partitions expire; one is removed, which was the only copy; its objects are condemned.

    The removal names a checkpoint, of the state in which that partition was the only copy.
    """
    archive = open_archive(root)

    def commit(step: str, proposal: Proposal) -> None:
        append(archive, lambda _: proposal, op_key=step, since=read_state(archive).head, writer="golden")

    state = read_state(archive)
    kept = {name: Snapshot(archive, state).manifest(name) for name in FATES}
    intents = tuple(
        Intent(
            name, state.partitions[name].sha256, LAKE,
            tuple(Original(f"{name}/{one.name}", one.size, one.token, one.sha256) for one in kept[name].sources),
        )
        for name in FATES
    )  # fmt: skip
    commit("intend", Proposal(intents=intents))
    intended = read_state(archive).head
    ends = [
        Expired(
            one.partition, intended, tuple(zip((file.path for file in one.files), FATES[one.partition], strict=True))
        )
        for one in intents
    ]
    commit("expire", Proposal(expired=tuple(ends)))
    gone = "month=3"
    with patch.object(State, "checkpoint_due", property(lambda _: True)):
        commit("remove", Proposal(changes=(Change(gone, None),), reason="a golden archive forgets", only_copy=True))
    layers = (layer.file.name for layer in kept[gone].layers)
    commit("condemn", Proposal(condemned=(state.partitions[gone].name, *layers)))
