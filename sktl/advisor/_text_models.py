"""Words and letters as features of texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion

MOST_CHARACTERS = 5_000_000  # of all texts, up to which letters are looked at first: about half a minute of work


def words(**options: Any) -> TfidfVectorizer:
    """Return tf-idf of words."""
    return TfidfVectorizer(sublinear_tf=True, **options)


def pairs_of_words() -> TfidfVectorizer:
    """Return tf-idf of words and of pairs of words."""
    return words(ngram_range=(1, 2))


def letters() -> TfidfVectorizer:
    """Return tf-idf of two to five letters in a row within words."""
    return words(analyzer="char_wb", ngram_range=(2, 5), max_features=100_000)


def words_and_letters() -> FeatureUnion:
    """Return words, pairs of words and letters side by side.

    Of few texts a linear classifier learns more by all three than by one: a pair tells "not good" from "good", and
    letters join forms of a word that few texts share.
    """
    return FeatureUnion([("words", pairs_of_words()), ("letters", letters())])


def are_short(texts: Iterable[str]) -> bool:
    """Whether all texts together are short enough for letters to be looked at."""
    left = MOST_CHARACTERS
    for text in texts:
        left -= len(text)
        if left < 0:
            return False
    return True
