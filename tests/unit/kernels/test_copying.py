"""Copy candidates follow their rules: history classes, restarts at blocks, checks against other keys."""

import numpy as np
import pytest
from frozen_models import random_group, random_symbols

from ae_core.kernels.copying import copy_features
from ae_core.kernels.frozen import Candidate
from ae_core.kernels.reference import CopyTable


def by_reference(key, position, symbols, starts):
    dummy = np.zeros(9, np.int32), np.zeros(1, np.int16)
    values, classes = [], []
    for first, end in zip(starts, [*starts[1:], len(symbols)], strict=True):
        table = CopyTable(Candidate(position, key, *dummy), end - first)
        for row in symbols[first:end]:
            value, kind = table.look_up(row)
            values.append(value)
            classes.append(kind)
            table.update(row, int(row[position]))
    return values, classes


def test_the_class_tells_the_history_of_the_key():
    symbols = np.array([[0, x] for x in (5, 5, 5, 5, 5, 5, 5, 5, 7, 7, 5, 7)], np.uint16)
    values, classes = copy_features((0,), 1, symbols, 100)
    assert classes.tolist() == [0, 2, 3, 4, 5, 6, 7, 8, 8, 1, 3, 1]
    assert values.tolist() == [0, 5, 5, 5, 5, 5, 5, 5, 5, 7, 7, 5]


def test_an_empty_key_is_the_previous_row():
    symbols = np.array([[x] for x in (3, 3, 4, 4)], np.uint16)
    values, classes = copy_features((), 0, symbols, 100)
    assert values.tolist() == [0, 3, 3, 4]
    assert classes.tolist() == [0, 2, 3, 1]


@pytest.mark.parametrize("key", [(), (0,), (0, 2), (0, 1, 2, 3)])
def test_fast_tables_equal_the_reference_through_blocks_and_collisions(key):
    symbols = random_symbols(1, 1500, (300, 17, 200, 90, 9))
    for blocks in (1500, 40, np.array([0, 7, 8, 900])):
        starts = list(range(0, 1500, blocks)) if isinstance(blocks, int) else blocks.tolist()
        values, classes = copy_features(key, 4, symbols, blocks)
        expected = by_reference(key, 4, symbols, starts)
        assert (values.tolist(), classes.tolist()) == expected


def test_training_features_are_what_the_coder_uses():
    group = random_group(1, (7, 9), keys=((1, (0,)),))
    table = CopyTable(group.candidates[0], 50)
    symbols = random_symbols(2, 50, (7, 9))
    values, classes = copy_features((0,), 1, symbols, 50)
    for row, value, kind in zip(symbols, values, classes, strict=True):
        assert table.look_up(row) == (value, kind)
        table.update(row, int(row[1]))
