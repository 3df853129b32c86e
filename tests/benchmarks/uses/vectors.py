"""Images and vectors: bytes of an archive's column against image formats and plain coders at the same largest error."""

from __future__ import annotations

import ast
import io
import lzma
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zstandard
from pcodec import ChunkConfig, standalone

from ae_core.codec import Codec
from ae_core.columns import check_block
from ae_core.fitting import train_codec
from ae_core.lake import block_rows, row_cells
from ae_core.pipeline import decode_block, encode_block
from ae_core.policy import Bound, ResolvedPolicy
from tests.benchmarks.uses.data import Figures

Numbers = npt.NDArray[Any]
PATCH = 32
WORDS, DOCUMENTS = 64, 12_000
LEVEL = 19


@dataclass(frozen=True)
class Result:
    """Bytes at one bound; a peer that cannot keep it is None. The model and its latents are in `ours`."""

    name: str
    vectors: int
    bound: str
    raw: int
    ours: int
    always: int
    coder: str
    peers: dict[str, int | None]


def ours(array: pa.Array, bound: Fraction, latents: str) -> tuple[int, str]:
    """(bytes of the blocks and one copy of the model, how it was coded), every element checked."""
    table = pa.table({"v": array})
    policy = ResolvedPolicy({"v": Bound("abs", bound) if bound else Bound("exact")})
    step = block_rows(row_cells(table.schema))
    blocks = [table.slice(first, step) for first in range(0, len(table), step)]
    codec, _ = train_codec(
        table.schema, blocks, policy, rows_served=len(table), latents="always" if latents == "always" else "auto"
    )
    model = codec.to_bytes()
    codec, size = Codec.from_bytes(model), len(model)
    for block in blocks:
        made = encode_block(codec, block)
        check_block(policy, block, decode_block(codec, made.latents, made.residuals, len(block)))
        size += len(made.residuals) + len(made.latents or b"")
    return size, codec.plan.columns[0].reason


def both(array: pa.Array, bound: Fraction) -> tuple[int, int, str]:
    """(bytes with the coder that was chosen, with an autoencoder whether it pays or not, what was chosen)."""
    size, coder = ours(array, bound, "auto")
    return size, size if "autoencoder" in coder else ours(array, bound, "always")[0], coder


def _plain(levels: Numbers) -> dict[str, int | None]:
    """Levels (vectors, elements) under plain coders, by vector or by element, whichever is smaller."""
    kind = np.min_scalar_type(int(levels.max() - levels.min()))
    cells = levels - levels.min()
    both = [np.ascontiguousarray(part) for part in (cells, cells.T)]
    zstd = zstandard.ZstdCompressor(level=LEVEL)
    config = ChunkConfig(compression_level=12)
    return {
        "quantise, zstd": min(len(zstd.compress(part.astype(kind).tobytes())) for part in both),
        "quantise, xz": min(len(lzma.compress(part.astype(kind).tobytes(), preset=9)) for part in both),
        "quantise, pcodec": min(
            len(standalone.simple_compress(part.astype(np.uint32).ravel(), config)) for part in both
        ),
    }


def _saved(image: Numbers, **how: Any) -> tuple[int, Numbers]:
    """(bytes, what comes back) of one picture."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, **how)
    return len(out.getvalue()), np.asarray(Image.open(out).convert("RGB" if image.ndim == 3 else "L"))


def _pictures(image: Numbers, bound: int) -> dict[str, int | None]:
    """One picture that holds all: quantised and then lossless, and lossy at the lowest quality that keeps the bound."""
    grid = (image.astype(int) + bound) // (2 * bound + 1)
    found: dict[str, int | None] = {
        "quantise, WebP": _saved(grid.astype(np.uint8), format="WEBP", lossless=True, method=6, quality=100)[0],
        "quantise, PNG": _saved(grid.astype(np.uint8), format="PNG", optimize=True)[0],
    }
    lossy = {"JPEG": {"format": "JPEG", "subsampling": 0, "optimize": True}, "WebP": {"format": "WEBP", "method": 6}}
    for name, how in lossy.items() if bound else ():
        fits = []
        for quality in range(5, 101, 5):
            size, back = _saved(image, quality=quality, **how)
            if np.abs(back.astype(int) - image.astype(int)).max() <= bound:
                fits.append(size)
        found[name] = min(fits) if fits else None
    return found


def _images() -> Iterator[Result]:
    from sklearn import datasets

    digits = (datasets.load_digits().images[:1794] * 15).astype(np.uint8)
    mosaic = digits.reshape(39, 46, 8, 8).swapaxes(1, 2).reshape(39 * 8, 46 * 8)
    yield from _image("digits, 8 x 8", digits, mosaic, (0, 22))
    photos = [image[:416, :640] for image in datasets.load_sample_images().images]
    cut = [p.reshape(13, PATCH, 20, PATCH, 3).swapaxes(1, 2).reshape(-1, PATCH, PATCH, 3) for p in photos]
    yield from _image("photos, patches of 32 x 32 x 3", np.concatenate(cut), np.concatenate(photos), (0, 4, 16))


def _image(name: str, vectors: Numbers, mosaic: Numbers, bounds: tuple[int, ...]) -> Iterator[Result]:
    array = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(vectors))
    for bound in bounds:
        levels = (vectors.astype(int).reshape(len(vectors), -1) + bound) // (2 * bound + 1)
        size, always, coder = both(array, Fraction(bound))
        peers = _plain(levels) | _pictures(mosaic, bound)
        yield Result(name, len(vectors), str(bound), vectors.nbytes, size, always, coder, peers)


def documents() -> list[str]:
    """Docstrings of Python's own library: real texts that every machine has."""
    found = []
    for path in sorted(Path(ast.__file__).parent.rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and (text := ast.get_docstring(node)):
                found.append(text)
    return found[:DOCUMENTS]


def _embeddings() -> Iterator[tuple[str, Numbers]]:
    from sklearn.datasets import load_digits
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import normalize

    words = TfidfVectorizer(min_df=3, sublinear_tf=True).fit_transform(documents())
    told = TruncatedSVD(WORDS, random_state=0).fit_transform(words)
    yield f"docstrings, {WORDS} of latent semantic analysis", normalize(told).astype(np.float32)
    digits = load_digits()
    net = MLPClassifier((64, 48), max_iter=60, random_state=0).fit(digits.data / 16, digits.target)
    hidden = digits.data / 16
    for weights, bias in zip(net.coefs_[:2], net.intercepts_[:2], strict=True):
        hidden = np.maximum(hidden @ weights + bias, 0)
    yield "digits, 48 of a classifier's last hidden layer", hidden.astype(np.float32)


def _vectors() -> Iterator[Result]:
    zstd = zstandard.ZstdCompressor(level=LEVEL)
    for name, cells in _embeddings():
        array = pa.FixedSizeListArray.from_arrays(pa.array(cells.ravel()), cells.shape[1])
        low, high = float(cells.min()), float(cells.max())
        step = (high - low) / 255
        eight = np.rint((cells - low) / step).astype(np.uint8)
        half = cells.astype(np.float16)
        told: dict[str, tuple[Numbers, float]] = {
            "int8, zstd": (eight, float(np.abs(eight * step + low - cells).max())),
            "float16, zstd": (half, float(np.abs(half.astype(np.float64) - cells).max())),
        }
        for peer, (coded, error) in told.items():
            bound = Fraction(error).limit_denominator(10**9)
            levels = np.rint(cells.astype(np.float64) / (2 * error)).astype(int)
            rival: int | None = min(
                len(zstd.compress(np.ascontiguousarray(part).tobytes())) for part in (coded, coded.T)
            )
            size, always, coder = both(array, bound)
            peers = {peer: rival} | _plain(levels)
            yield Result(name, len(cells), f"{error:.2g}", cells.nbytes, size, always, coder, peers)


def run(folder: Path) -> Figures:
    """A row for each set and bound; nothing of the demo is needed."""
    rows: list[tuple[object, ...]] = []
    for result in [*_images(), *_vectors()]:
        peers = {name: size for name, size in result.peers.items() if size is not None}
        best = min(peers, key=lambda name: peers[name])
        told = ", ".join(f"{name} {'-' if size is None else f'{size:,}'}" for name, size in result.peers.items())
        chosen = result.coder.partition(";")[2].strip() or "no autoencoder"
        sizes = (f"{size:,}" for size in (result.raw, result.ours, result.always))
        rows.append((result.name, result.bound, *sizes, f"{result.ours / peers[best]:.2f}", told, chosen))
        print(rows[-1], file=sys.stderr, flush=True)
    head = ["vectors", "largest error", "raw", "ours", "with an autoencoder", "of the best peer", "peers", "chosen"]
    return Figures(head, rows)
