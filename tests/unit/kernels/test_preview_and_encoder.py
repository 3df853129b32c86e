"""Preview decoder and encoder compute the reference's integers and refuse what they cannot look up."""

import numpy as np
import pytest
from frozen_models import random_encoder, random_preview

from ae_core.errors import Corrupt
from ae_core.kernels import encoder, preview, reference
from ae_core.kernels.bounds import check_preview_bounds
from ae_core.kernels.frozen import PreviewHead

HEADS = (
    PreviewHead(levels=101, specials=0, radices=(101,), ordinal=True),
    PreviewHead(levels=70_000, specials=2, radices=(256, 256, 2), ordinal=True),
    PreviewHead(levels=3, specials=1, radices=(3,), ordinal=False),
    PreviewHead(levels=4000, specials=0, radices=(63, 64), ordinal=False),
    PreviewHead(levels=1, specials=3, radices=(1,), ordinal=False),
)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("hidden", [5, 32])
def test_preview_equals_the_reference_on_every_kind_of_head(seed, hidden):
    model = random_preview(seed, (16, 3, 7), hidden, HEADS)
    check_preview_bounds(model)
    z = np.random.default_rng(seed).integers(0, model.levels, (300, 3))
    codes = preview.preview_codes(model, z.astype(np.int32))
    assert codes.dtype == np.int32
    assert np.array_equal(codes, reference.preview_codes(model, z))
    assert all((codes[:, c] < head.levels + head.specials).all() for c, head in enumerate(HEADS))
    assert (codes >= 0).all()


def test_latents_outside_their_levels_are_refused():
    model = random_preview(0, (16, 3), 8, HEADS)
    for z in ([[16, 0]], [[-1, 0]]):
        with pytest.raises(Corrupt):
            preview.preview_codes(model, np.array(z))
    assert preview.preview_codes(model, np.zeros((0, 2), np.int32)).shape == (0, len(HEADS))


@pytest.mark.parametrize("seed", range(5))
def test_latents_equal_the_reference_and_stay_in_their_levels(seed):
    model = random_encoder(seed, (5, 300, 2), (16, 9))
    symbols = np.random.default_rng(seed).integers(0, model.alphabets, (500, 3)).astype(np.uint16)
    z = encoder.encode_latents(model, symbols)
    assert np.array_equal(z, reference.encode_latents(model, symbols))
    assert z.dtype == np.uint16
    assert (z < np.array(model.levels)).all()
    assert len(np.unique(z[:, 0])) > 3


def test_symbols_outside_their_alphabet_are_refused():
    model = random_encoder(0, (5, 300, 2), (16, 9))
    with pytest.raises(Corrupt):
        encoder.encode_latents(model, np.array([[5, 0, 0]], np.uint16))
