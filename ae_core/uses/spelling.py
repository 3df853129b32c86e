"""Words that one typing error apart are near each other: one letter more, less or other, or two swapped."""

from __future__ import annotations

from collections.abc import Sequence


class Spelling:
    """Finds the words of a dictionary that are near a word, by what is left of both when a letter is dropped."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)
        self._left: dict[str, list[int]] = {}
        for number, word in enumerate(self._words):
            for rest in _rests(word):
                self._left.setdefault(rest, []).append(number)

    def near(self, word: str) -> list[int]:
        """Numbers of the near words, the word itself left out, in order."""
        found = {number for rest in _rests(word) for number in self._left.get(rest, ())}
        return sorted(number for number in found if _one_error(word, self._words[number]))


def _rests(word: str) -> set[str]:
    return {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}


def _one_error(a: str, b: str) -> bool:
    if a == b:
        return False
    if len(a) != len(b):
        return abs(len(a) - len(b)) == 1  # they share a rest, so one letter is all
    other = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
    swapped = len(other) == 2 and other[1] == other[0] + 1
    return len(other) == 1 or (swapped and a[other[0]] == b[other[1]] and a[other[1]] == b[other[0]])
