"""The search finds the keys that make a column cheap and keeps nothing that does not pay."""

import numpy as np

from ae_core.kernels.candidates import find_candidates


def table(rows=40_000):
    """Columns: a, b random; c remembers the last (a, b); noise; d a slowly drifting function of b."""
    rng = np.random.default_rng(0)
    a, b, noise = rng.integers(0, 30, rows), rng.integers(0, 25, rows), rng.integers(0, 16, rows)
    c, d = np.zeros(rows, int), np.zeros(rows, int)
    by_pair, by_b = rng.integers(0, 60, (30, 25)), rng.integers(0, 200, 25)
    for row in range(rows):
        if rng.random() < 0.02:
            by_pair[a[row], b[row]] = rng.integers(0, 60)
        if rng.random() < 0.01:
            by_b[b[row]] = rng.integers(0, 200)
        c[row], d[row] = by_pair[a[row], b[row]], by_b[b[row]]
    return np.stack([a, b, noise, c, d], axis=1).astype(np.uint16), (30, 25, 16, 60, 200)


def test_the_true_keys_are_found_and_noise_gets_none():
    symbols, alphabets = table()
    found = find_candidates(symbols, alphabets, (True,) * 5, block_rows=20_000)
    assert (3, (0, 1)) in found
    assert (4, (1,)) in found
    assert {position for position, _ in found} == {3, 4}
    assert found == sorted(found, key=lambda candidate: candidate[0])


def test_given_positions_are_keys_but_get_no_candidates():
    symbols, alphabets = table(20_000)
    coded = (False, False, False, True, False)
    assert (3, (0, 1)) in find_candidates(symbols, alphabets, coded, block_rows=20_000)
    assert {p for p, _ in find_candidates(symbols, alphabets, coded, block_rows=20_000)} == {3}


def test_no_more_candidates_than_asked_and_none_from_nothing():
    symbols, alphabets = table(20_000)
    found = find_candidates(symbols, alphabets, (True,) * 5, block_rows=20_000, max_per_position=1)
    assert sorted(position for position, _ in found) == [3, 4]
    assert find_candidates(symbols, alphabets, (True,) * 5, block_rows=20_000, max_per_position=0) == []
    assert find_candidates(symbols[:0], alphabets, (True,) * 5, block_rows=20_000) == []
    assert find_candidates(symbols[:1], alphabets, (True,) * 5, block_rows=20_000) == []
