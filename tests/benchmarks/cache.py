"""What peers measured before, by everything that decides it: they give the same bytes each time, and take minutes."""

from __future__ import annotations

import ast
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa

from tests.benchmarks.peers import Peer, Result

_CODE = Path(__file__).parent


class PeerCache:
    """Results in one JSON file, by digest of the tables, range, peer, its packages' versions and its code."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, dict[str, object]] = json.loads(path.read_text()) if path.exists() else {}

    def get(self, key: str) -> Result | None:
        """What was measured under the key, or None."""
        found = self._known.get(key)
        return None if found is None else Result(**found)  # type: ignore[arg-type]

    def put(self, key: str, result: Result) -> None:
        """Remember a result, also on disk."""
        self._known[key] = asdict(result)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        staged = self._path.with_suffix(".staged")
        staged.write_text(json.dumps(self._known, indent=1))
        staged.rename(self._path)


def key_of(tables: str, share: str, name: str, peer: Peer) -> str:
    """Key of one peer at one range over the tables with a digest."""
    versions = [f"{package} {version(package)}" for package in peer.packages]
    code = [_code_digest(module) for module in (*peer.modules, "fidelity")]
    return hashlib.sha256(json.dumps([tables, share, name, versions, code]).encode()).hexdigest()


def digest_of(tables: Sequence[pa.Table]) -> str:
    """SHA-256 over the contents of tables, however they are chunked."""
    digest = hashlib.sha256()
    for table in tables:
        sink = _Hashing(digest)
        with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), table.schema) as stream:
            stream.write_table(table.combine_chunks())
    return digest.hexdigest()


class _Hashing(io.RawIOBase):
    def __init__(self, digest: hashlib._Hash) -> None:
        self._digest = digest

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        self._digest.update(view)
        return view.nbytes


def _code_digest(module: str) -> str:
    """Digest of a module's code, the same when only its format or its comments change."""
    code = ast.dump(ast.parse((_CODE / f"{module}.py").read_text()))
    return hashlib.sha256(code.encode()).hexdigest()
