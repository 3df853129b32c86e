"""Any table of codes under any plan: the fast coder is the reference's, comes back, and no bytes hurt it."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ae_core.errors import Corrupt
from ae_core.mixing import MixingPlan, decode_block, encode_block, reference
from ae_core.mixing.plan import (
    AGAINST,
    BUCKET,
    CHANGE,
    COARSE,
    ENERGY,
    FRACTION,
    GUESS,
    NOW,
    OWN,
    RESIDUAL,
    RUN,
    ColumnModel,
    Tap,
)

LEVELS = st.sampled_from([0, 1, 2, 3, 9, 16, 17, 200, 5000, 70_000, 1 << 30, 1 << 44])
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def models(draw, column, known, levels):
    keys = [(-1,), (-2,), (-7,)] + [(c,) for c in known] + ([tuple(known[:2])] if len(known) > 1 else [])
    guided = levels > 0 and draw(st.booleans())
    kinds = [OWN, COARSE, RUN] + ([GUESS, AGAINST, RESIDUAL, ENERGY, FRACTION] if guided else [])
    kinds += [NOW, BUCKET, CHANGE] if known else []

    def feature():
        kind = draw(st.sampled_from(kinds))
        if kind >= NOW:
            return kind, draw(st.sampled_from(known)), draw(st.sampled_from(keys)) if kind == CHANGE else ()
        if kind in (GUESS, ENERGY, FRACTION):
            return kind, draw(st.integers(0, 4)), ()
        return kind, 0, draw(st.sampled_from(keys))

    pool = [feature() for _ in range(draw(st.integers(1, 4)))]
    contexts = draw(st.lists(st.lists(st.sampled_from(pool), max_size=3).map(tuple), min_size=1, max_size=4))
    selector = draw(st.sampled_from([None, pool[0]]))
    again = draw(st.sampled_from([None, *keys]))
    if not guided:
        return ColumnModel(column, False, tuple(contexts), selector, again=again)
    taps = [Tap(column, draw(st.sampled_from(keys)), draw(st.integers(-9000, 9000)))]
    if known:
        taps.append(
            Tap(
                draw(st.sampled_from(known)), draw(st.sampled_from([(), (-1,)])), draw(st.integers(-(1 << 26), 1 << 26))
            )
        )
    residual, constant = draw(st.booleans()), draw(st.integers(-5000, 5000))
    return ColumnModel(column, residual, tuple(contexts), selector, constant, tuple(taps), again)


@st.composite
def tables(draw, most_rows=150):
    columns, rows = draw(st.integers(1, 4)), draw(st.integers(0, most_rows))
    levels = [draw(LEVELS) for _ in range(columns)]
    sizes = [n + draw(st.integers(0 if n else 1, 6)) for n in levels]
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    spread = draw(st.sampled_from([1, 3, 1000]))
    codes = np.stack([np.abs(rng.normal(0, n / spread, rows)).astype(np.int64) % n for n in sizes], 1)
    order = draw(st.permutations(range(columns)))
    coded = order[: draw(st.integers(1, columns))]
    known = [c for c in range(columns) if c not in coded]
    found = []
    for column in coded:
        found.append(draw(models(column, tuple(known), levels[column])))
        known.append(column)
    return MixingPlan(tuple(levels), tuple(sizes), tuple(found)), codes


@SLOW
@given(tables(), st.integers(0, 255), st.integers(0, 1 << 20))
def test_reference_and_fast_agree_and_come_back(table, byte, place):
    plan, codes = table
    assert MixingPlan.from_bytes(plan.to_bytes()) == plan
    data = encode_block(plan, codes)
    assert data == reference.encode_block(plan, codes)
    assert np.array_equal(decode_block(plan, data, len(codes), codes), codes)
    coded = {model.column for model in plan.models}
    first = plan.models[0].column
    part = decode_block(plan, data, len(codes), codes, wanted=[first])
    assert np.array_equal(part[:, first], codes[:, first])

    hurt = bytearray(data + b"\0")
    hurt[place % len(hurt)] = byte
    wrong = decode_block(plan, bytes(hurt), len(codes), codes)
    assert ((wrong >= 0) & (wrong < np.array(plan.sizes))).all()
    assert all(np.array_equal(wrong[:, c], codes[:, c]) for c in range(len(plan.sizes)) if c not in coded)


@SLOW
@given(tables(most_rows=5), st.data())
def test_damaged_plans_are_refused_or_harmless(table, data):
    plan, codes = table
    raw = bytearray(plan.to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        other = MixingPlan.from_bytes(bytes(raw[: data.draw(st.integers(1, len(raw)))]))
    except Corrupt:
        return
    if len(other.sizes) == codes.shape[1] and (codes < np.array(other.sizes)).all():
        assert np.array_equal(decode_block(other, encode_block(other, codes), len(codes), codes), codes)


def test_given_codes_outside_their_domain_are_refused():
    plan = MixingPlan((3, 3), (4, 4), (ColumnModel(1, False, (((NOW, 0, ()),),)),))
    with pytest.raises(Corrupt, match="outside its domain"):
        decode_block(plan, b"", 2, np.full((2, 2), 9, np.int32))
