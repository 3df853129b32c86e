"""Installs the project with its tested set of dependencies into the Python that runs this; used by the Makefile.

    python infra/install.py [--torch-index URL] [ARGUMENTS FOR PIP ...]

PyPI's torch for Linux brings several gigabytes of CUDA. Nobody gets these unasked: where the configured indexes would
deliver that build, the index of CPU wheels is used. With --torch-index the build is the caller's choice.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "infra" / "constraints.txt"


def pip(*arguments: str) -> None:
    """Run pip in this Python; what it prints is shown. Raises CalledProcessError when it fails."""
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)


def brings_cuda(options: list[str]) -> bool:
    """True when the torch that pip would choose needs CUDA packages."""
    pin = next(line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch=="))
    asked = ["install", "--dry-run", "--quiet", "--ignore-installed", "--no-deps", "--report", "-", *options, pin]
    answer = subprocess.run([sys.executable, "-m", "pip", *asked], check=True, capture_output=True, text=True)
    (torch,) = json.loads(answer.stdout)["install"]
    needs = torch["metadata"].get("requires_dist", [])
    return any(need.startswith(("nvidia", "cuda", "triton")) and "extra ==" not in need for need in needs)


def main() -> None:
    """Install dependencies under the constraints, then the project itself, editable."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-index", default="", help="index of torch wheels, such as " + CPU_WHEELS)
    arguments, options = parser.parse_known_args()
    index = arguments.torch_index
    if not index and sys.platform == "linux" and brings_cuda(options):
        print(f"the default torch would bring CUDA: taking the CPU build from {CPU_WHEELS}", flush=True)
        index = CPU_WHEELS
    if index:
        options += ["--extra-index-url", index]
    held = ["--constraint", str(CONSTRAINTS), "--quiet", *options]
    pip("install", *held, "setuptools", "torch")
    pip("install", *held, "--no-build-isolation", "--editable", f"{ROOT}[dev]")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        print(error.stderr or "", file=sys.stderr, end="")
        sys.exit(
            f"pip failed ({error.returncode}); nothing is wrong with the clone: mend the network and run make again"
        )
