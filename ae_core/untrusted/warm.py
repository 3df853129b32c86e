"""Every kernel that decoding uses, compiled or loaded by running it on a few rows of our own.

A confined process can neither write the cache of compiled kernels nor afford the memory of a compiler. So all kernels
are brought in while it still reads nothing but its own code.
"""

from __future__ import annotations

import contextlib

import numpy as np

from ae_core import mixing
from ae_core.coder import blocks
from ae_core.coder.weights import pack_tensors, unpack_tensors
from ae_core.errors import Corrupt
from ae_core.kernels.frozen import COPY_CLASSES, Candidate, FrozenGroup, FrozenPreview, PreviewHead
from ae_core.kernels.preview import preview_codes
from ae_core.mixing.plan import NOW, OWN, ColumnModel, MixingPlan, Tap
from ae_core.mixing.text import decode_text


def load_kernels() -> None:
    """Run each decoding kernel once, with every type of argument that it is called with."""
    unpack_tensors(pack_tensors({"w": np.ones((2, 2), np.int8)}))
    for weight in (1, 300):  # packed as int8 and as int16
        with contextlib.suppress(Corrupt):
            blocks.decode_block(_group(weight), b"", np.zeros((1, 2), np.uint16))
    preview_codes(_preview(), np.zeros((1, 1), np.uint16))
    reference = (0,)
    model = ColumnModel(
        column=1,
        residual=True,
        contexts=(((OWN, 0, reference), (NOW, 0, ())),),
        taps=(Tap(1, (-1,), 1), Tap(0, reference, 1)),
        again=(-1,),
    )
    mixing.decode_block(MixingPlan((4, 4), (5, 5), (model,)), b"", 2)
    decode_text(b"\n", 1)


def _group(weight: int) -> FrozenGroup:
    return FrozenGroup(
        alphabets=(2, 2),
        coded=(False, True),
        T=np.zeros((4, 1), np.int16),
        c0=np.zeros(1, np.int32),
        b0=np.zeros(1, np.int32),
        M=np.zeros((1, 1), np.int16),
        W=(np.full((1, 1), weight, np.int16),),
        bw=(np.zeros(1, np.int16),),
        V=(np.zeros((1, 2), np.int16),),
        bv=(np.zeros(2, np.int32),),
        candidates=(Candidate(1, (0,), np.zeros(COPY_CLASSES, np.int32), np.zeros(1, np.int16)),),
    )


def _preview() -> FrozenPreview:
    head = PreviewHead(levels=2, specials=0, radices=(2,), ordinal=False)
    zeros = np.zeros((1, 2), np.int16)
    return FrozenPreview(
        levels=(1,), P=np.zeros((1, 1), np.int16), b=np.zeros(1, np.int16), V=zeros, bv=zeros[0], heads=(head,)
    )
