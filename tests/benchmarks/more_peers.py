"""All peers: the simple ones, and those that need more than the demo wants to load."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from tests.benchmarks import deepsqueeze, plain
from tests.benchmarks.fidelity import Bounds
from tests.benchmarks.openzl_coder import AVAILABLE, OPENZL
from tests.benchmarks.peers import PEERS, Peer

OPENZL_NAME, DEEPSQUEEZE_NAME = "quantise + OpenZL", "autoencoder after DeepSqueeze"
_PACKAGES = ("numpy", "pyarrow", "pcodec", "zstandard", "brotli")


def _openzl(table: pa.Table, bounds: Bounds) -> bytes:
    return plain.encode(table, bounds, OPENZL)


def _from_openzl(data: bytes) -> pa.Table:
    return plain.decode(data, OPENZL)


_MORE: Mapping[str, Peer] = {
    OPENZL_NAME: Peer(
        _openzl,
        _from_openzl,
        lossless=False,
        packages=(*_PACKAGES, "openzl"),
        modules=("plain", "coders", "openzl_coder"),
    ),
    DEEPSQUEEZE_NAME: Peer(
        deepsqueeze.encode,
        deepsqueeze.decode,
        lossless=False,
        packages=(*_PACKAGES, "torch"),
        modules=("plain", "coders", "deepsqueeze", "deepsqueeze_net"),
        trained=True,
    ),
}
MISSING: Mapping[str, str] = {} if AVAILABLE else {OPENZL_NAME: "pip install openzl==0.3.0"}
ALL_PEERS: Mapping[str, Peer] = {**PEERS, **{name: peer for name, peer in _MORE.items() if name not in MISSING}}
