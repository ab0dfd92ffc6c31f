"""What the warning of other shares of classes says."""

import numpy as np
import pytest

from sktl.adaptation.joint._shares import warn_of_shares


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ([0.7, 0.3], "more of a, less of b."),
        ([0.2, 0.4, 0.4], "more of c, b, less of a."),
        ([0.4, 0.2, 0.2, 0.2], "more of a, less of"),
    ],
)
def test_a_class_is_named_on_its_side_alone(shares, says):
    classes = np.array(list("abcd")[: len(shares)])
    with pytest.warns(UserWarning, match=says.replace(".", r"\.")) as said:
        warn_of_shares(np.array(shares), np.full(len(shares), 1 / len(shares)), classes, uses_target=True)
    more, less = str(said[0].message).partition("more of ")[2].split(". ")[0].split("less of ")
    assert not set(more.replace(",", " ").split()) & set(less.replace(",", " ").split())
