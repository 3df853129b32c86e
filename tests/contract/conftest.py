"""One ground after the other for the same tests: the local disk, and every store behind its real protocol."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ae_core.archive.objects import ObjectStore
from ae_core.archive.store import Store, open_store
from ae_core.remote.objects import Objects, Patience
from ae_core.remote.places import locate
from tests.contract import servers

QUICK = ("local", "moto")
FULL = ("seaweedfs", "azurite", "fakegcs")


def kinds(*names: str, ci: bool = True) -> list[object]:
    """Parameters for `ground`: those that need more than Python are left to the full set (and its fixed slice)."""
    full = [pytest.mark.full, *([pytest.mark.ci] if ci else [])]
    return [pytest.param(name, marks=() if name in QUICK else full) for name in names]


EVERY = kinds(*QUICK, *FULL)
REMOTE = kinds("moto", *FULL)
NIGHTLY = kinds("moto", *FULL, ci=False)


@dataclass(frozen=True)
class Ground:
    """A store to work on, in a place of its own."""

    kind: str
    root: str
    server: servers.Server | None

    def url(self, path: str) -> str:
        """Where `path` is."""
        return f"{self.root}/{path}"

    def store(self, path: str = "archive", patience: Patience | None = None) -> Store:
        """A store for an archive there."""
        if self.server is None:
            return open_store(self.url(path), create=True)
        return ObjectStore(locate(self.url(path)), patience)

    def objects(self) -> Objects:
        """The objects of the ground."""
        return Objects(locate(self.url("x")))

    def put(self, path: str, local: Path) -> None:
        """Copy a file there."""
        if self.server is None:
            target = Path(self.url(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(local.read_bytes())
        else:
            place = locate(self.url(path))
            self.objects().put_file(str(local), place.path)

    def names(self, path: str) -> list[str]:
        """What is below `path`."""
        if self.server is None:
            top = Path(self.url(path))
            return sorted(str(one.relative_to(top)) for one in top.rglob("*") if one.is_file())
        top = locate(self.url(path)).path
        return sorted(name[len(top) + 1 :] for name in self.objects().find(top))

    def bytes(self, path: str) -> bytes:
        """What a file holds."""
        if self.server is None:
            return Path(self.url(path)).read_bytes()
        return self.objects().read(locate(self.url(path)).path, 0, 1 << 30)


Running = Callable[[str], servers.Server]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start a server of a kind, once; without its tool a test is skipped, or fails where tools are required."""
    found: dict[str, servers.Server] = {}
    with contextlib.ExitStack() as stack:

        def start(kind: str) -> servers.Server:
            if kind not in found:
                try:
                    found[kind] = stack.enter_context(servers.start(kind, tmp_path_factory.mktemp(kind)))
                except servers.Missing as tool:
                    if os.environ.get("LATENTLAKE_REQUIRE_TOOLS"):
                        pytest.fail(f"{tool} is missing (LATENTLAKE_REQUIRE_TOOLS is set)")
                    pytest.skip(f"{tool} is missing")
            return found[kind]

        yield start


Using = Callable[[servers.Server, Mapping[str, Mapping[str, object]]], None]


@pytest.fixture
def using(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Using:
    """Let this process and its children know store profiles and the variables that they name."""
    known: dict[str, Mapping[str, object]] = {}
    monkeypatch.setenv("LATENTLAKE_STORES", str(tmp_path / "stores.toml"))
    # nothing of whoever runs the tests may be used
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)

    def use(server: servers.Server, profiles: Mapping[str, Mapping[str, object]]) -> None:
        known.update(profiles)
        servers.write_settings(tmp_path / "stores.toml", known)
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)

    return use


@pytest.fixture
def ground(request: pytest.FixtureRequest, running: Running, using: Using, tmp_path: Path) -> Ground:
    """The ground of the kind that the test is parametrised with (indirectly)."""
    kind = request.param
    if kind == "local":
        return Ground(kind, str(tmp_path / "ground"), None)
    server = running(kind)
    using(server, {kind: server.profile, **server.other_profiles})
    return Ground(kind, server.url(f"{request.node.name.split('[')[0]}-{tmp_path.name}"), server)
