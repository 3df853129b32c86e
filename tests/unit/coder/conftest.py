"""Lets the coder's tests use the random models of the kernels' tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "kernels"))
