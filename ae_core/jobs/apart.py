"""Work in a fresh process with cold caches: what the running process believes proves nothing about what is stored."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter

from ae_core.errors import Corrupt, NotCommitted
from ae_core.jobs import verify_worker
from ae_core.jobs.fresh import fresh_environment
from ae_core.jobs.verify_worker import PartitionProof, VerifyRequest
from ae_core.lake import LakePartition
from ae_core.policy import Check

VERIFY_SECONDS = 6 * 3600.0
"""A verifying process that has not answered by then is taken for hung."""


def run_apart(module: ModuleType, request: bytes) -> Any:
    """What `python -m module` answers to a request, both of them JSON.

    Raises
    ------
    NotCommitted
        When the process dies or gives no answer.
    Corrupt
        When what it read from the store is damaged.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", module.__name__],
            input=request,
            capture_output=True,
            env=fresh_environment(),
            timeout=VERIFY_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotCommitted("the verifying process gave no answer; nothing was committed, run again") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        kind = Corrupt if done.returncode == Corrupt.exit_code else NotCommitted
        raise kind(f"the verifying process ended with {done.returncode} and said: {said[-1]}; nothing was committed")
    return json.loads(done.stdout)


def prove_apart(
    archive: str,
    proposal: str,
    sources: Sequence[LakePartition],
    *,
    threads: int = 0,
    checks: Sequence[Check] = (),
) -> list[PartitionProof]:
    """What a fresh process finds when it decodes partitions and compares them with their sources, in their order.

    Parameters
    ----------
    proposal : JSON of what is staged; an empty proposal looks at what is committed.
    checks : queries of the policy that have to answer nearly the same on the rebuilt data.

    Raises
    ------
    NotCommitted, Corrupt
        As `run_apart`.
    """
    request = VerifyRequest(archive, proposal, tuple(sources), threads, tuple(checks))
    answer = run_apart(verify_worker, TypeAdapter(VerifyRequest).dump_json(request))
    proofs = TypeAdapter(list[PartitionProof]).validate_python(answer["proofs"])
    if [proof.partition for proof in proofs] != [source.id for source in sources]:
        raise NotCommitted("the verifying process answered about other partitions; nothing was committed")
    return proofs
