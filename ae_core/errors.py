"""One error tree, grouped by what a handler does, with the exit code of the command line.

Exit codes: 1 damage found or a bound violated; 2 usage or policy; 3 the store is not safe to commit to;
4 not committed, or outcome unknown; 5 refused because data would be lost.
Messages are one line: what is wrong, where, and what to do.
"""

from __future__ import annotations

from typing import ClassVar


class LatentlakeError(Exception):
    """Root of every error that this project raises on purpose."""

    exit_code: ClassVar[int] = 1


# --- 1: what was stored or rebuilt is not what it should be ------------------------------------


class Corrupt(LatentlakeError):
    """Stored bytes are missing, cut, changed or malformed; the message names the object."""


class ArchiveDamaged(Corrupt):
    """The commit chain or the set of objects of an archive has a hole."""


class BoundViolated(LatentlakeError):
    """A rebuilt cell differs from its original by more than its column allows."""


class CheckFailed(LatentlakeError):
    """A query of the policy's checks answers too differently on rebuilt data; the partition was not committed."""


# --- 2: the caller has to change something ------------------------------------------------------


class UsageError(LatentlakeError):
    """The command or call cannot be carried out as it was asked."""

    exit_code = 2


class PolicyError(UsageError):
    """A policy is malformed or does not fit the table."""


class LakeError(UsageError):
    """The lake is missing, empty, or holds something that is not a readable partition."""


class OutputExists(UsageError):
    """The output exists already and is never overwritten."""


class UnsupportedFormat(UsageError):
    """The archive needs a newer release than this one."""


class SnapshotExpired(UsageError):
    """The snapshot is older than what gc keeps: some of its objects are given up. Newer ones can be read."""


class NoLatents(UsageError):
    """The partition has no latents (or no preview), for a reason that its manifest states."""


class LayerMissing(UsageError):
    """The layer that was asked for is not kept; the message names the one that is."""


class LimitReached(UsageError):
    """What a stranger's archive asks for is beyond a cap, or its decoding process was stopped by one."""


class StoreDenied(UsageError):
    """The store knows no such credentials, or they may not do this; the message says whose they were."""


class ModelError(UsageError):
    """A frozen model does not satisfy the bounds that integer arithmetic needs."""


# --- 3: the store ---------------------------------------------------------------------------------


class StoreUnsafe(LatentlakeError):
    """The store does not honour create-if-absent, or cannot be written."""

    exit_code = 3


class StoreUnreachable(StoreUnsafe):
    """The store gave no answer in time; the same may be asked again."""


# --- 4: nothing, or not everything, was committed --------------------------------------------------


class NotCommitted(LatentlakeError):
    """The commit did not land; what was written before it is invisible and harmless."""

    exit_code = 4


class SourceChanging(NotCommitted):
    """A source file kept changing while it was read."""


class CommitConflict(NotCommitted):
    """Another writer committed something that this commit may not be put on top of."""


class ArchiveBusy(NotCommitted):
    """Another run is at work on the archive."""


class CommitUnknown(NotCommitted):
    """The outcome of the commit is unknown: the store did not answer."""


class PartialBatch(NotCommitted):
    """Some partitions were committed and some were not; the message says which."""


# --- 5: data would be lost ----------------------------------------------------------------------------


class DataWouldBeLost(LatentlakeError):
    """Refused: the operation would remove the last copy of something."""

    exit_code = 5
