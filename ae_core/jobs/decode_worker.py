"""The fresh process of a deep verification: `python -m ae_core.jobs.decode_worker`.

It reads one request (JSON) from stdin, opens the archive with the public reader, and writes one line of JSON for every
partition, in order, as soon as it is decoded. Nothing of the process that asks is shared.
"""

from __future__ import annotations

import json
import sys

from pydantic import TypeAdapter

from ae_core.archive.reader import open_snapshot
from ae_core.archive.verify import Decoded
from ae_core.errors import LatentlakeError
from ae_core.jobs.deep import DecodeRequest, decode_partitions
from ae_core.jobs.fresh import end


def main() -> int:
    """Answer the request on stdin; the exit code is that of the first error, 0 when every partition was answered."""
    request = TypeAdapter(DecodeRequest).validate_json(sys.stdin.buffer.read())
    try:
        snapshot = open_snapshot(request.archive, number=request.snapshot)
        for done in decode_partitions(snapshot, request.partitions, threads=request.threads):
            sys.stdout.write(json.dumps(TypeAdapter(Decoded).dump_python(done)) + "\n")
            sys.stdout.flush()
    except LatentlakeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    end(main())
