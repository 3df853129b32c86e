"""A real Prefect server on a real PostgreSQL, and workers, each a process that tests may kill."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import State

BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(what: str, ready: Callable[[], Any], seconds: float = 120.0) -> Any:
    """The first true answer of `ready`."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.5)
    return found


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's programs."""
    places = [Path(found).resolve().parent for found in [shutil.which("pg_ctl")] if found]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


class Postgres:
    """A database server in a folder of its own; it refuses to run as root and is then run as `postgres`."""

    def __init__(self, programs: Path) -> None:
        # not among the tests' own folders, which only their owner may enter
        self.folder = folder = Path(tempfile.mkdtemp(prefix="latentlake-postgres-"))
        self._programs, self.port = programs, free_port()
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(folder, "postgres")
        self._run("initdb", "-D", folder / "data", "-U", "prefect", "--auth=trust", "--no-sync")
        options = f"-p {self.port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-D", folder / "data", "-o", options, "-l", folder / "log", "-w", "start")
        self._run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "prefect", "prefect")

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://prefect@127.0.0.1:{self.port}/prefect"

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "stop", "-m", "fast")
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: object) -> None:
        command = [*self._as, str(self._programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


@dataclass
class Stack:
    """The server and its workers; `environment` is that of a client. Without a database it keeps a file of its own."""

    folder: Path
    database: Postgres | None
    base: Mapping[str, str]
    port: int = field(default_factory=free_port)
    server: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.base,
            "PREFECT_HOME": str(self.folder / "home"),
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }

    def start_server(self) -> None:
        environment = {k: v for k, v in self.environment.items() if k != "PREFECT_API_URL"}
        if self.database is not None:
            environment["PREFECT_API_DATABASE_CONNECTION_URL"] = self.database.url
        command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        self.server = self._start("server", command, environment)
        wait_for("the Prefect server", self._healthy, 180)

    def stop_server(self) -> None:
        assert self.server is not None
        kill(self.server)

    def start_worker(self, **more: str) -> subprocess.Popen[bytes]:
        name = f"worker-{len(self.workers)}"
        command = ["prefect", "worker", "start", "--pool", "latentlake", "--name", name]
        more = {"PREFECT_WORKER_QUERY_SECONDS": "2", **more}
        worker = self._start(name, command, self.environment | more)
        self.workers.append(worker)
        return worker

    @contextlib.contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        """What speaks to the server."""
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_API_URL, temporary_settings

        url = self.environment["PREFECT_API_URL"]
        with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
            yield client

    def run(self, deployment: str, **parameters: Any) -> UUID:
        """Ask for a run; its id."""
        with self.client() as client:
            found = client.read_deployment_by_name(deployment)
            return client.create_flow_run_from_deployment(found.id, parameters=parameters).id

    def state(self, run: UUID) -> State:
        with self.client() as client:
            state = client.read_flow_run(run).state
        assert state is not None
        return state

    def ended(self, run: UUID, seconds: float = 180.0) -> State:
        """Its last state."""
        found: State = wait_for(f"run {run}", lambda: state if (state := self.state(run)).is_final() else None, seconds)
        return found

    def artifacts(self) -> set[str]:
        """Keys of all artifacts."""
        with self.client() as client:
            return {one["key"] for one in client.request("POST", "/artifacts/filter", json={}).json()}

    def events(self, name: str, archive: Path | str) -> list[dict[str, Any]]:
        """The payloads of the events of a name about an archive, newest first."""
        with self.client() as client:
            asked = {"filter": {"event": {"name": [name]}}, "limit": 50}
            found = client.request("POST", "/events/filter", json=asked).json()["events"]
        return [one["payload"] for one in found if one["payload"].get("archive") == str(archive)]

    def stop(self) -> None:
        for process in [*self.workers, self.server]:
            if process is not None:
                kill(process)
        if self.database is not None:
            self.database.stop()

    def start_dask(self, workers: int, **more: str) -> tuple[str, list[Path]]:
        """A Dask scheduler with workers of one thread each: its address, and the workers' logs."""
        address = f"tcp://127.0.0.1:{free_port()}"
        scheduler = ["dask", "scheduler", "--host", address, "--no-dashboard", "--no-show"]
        self.workers.append(self._start("dask", scheduler, self.environment | more))
        for number in range(workers):
            command = ["dask", "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
            self.workers.append(self._start(f"dask-{number}", command, self.environment | more))
        return address, [self.folder / f"dask-{number}.log" for number in range(workers)]

    def _start(self, name: str, command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                env=dict(environment),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
