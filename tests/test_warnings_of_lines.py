"""Warnings name the line of the user's code, from however deep, and by default a line hears each once."""

import ast
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

import sktl
from sktl import DomainAdaptedClassifier, FineTunedClassifier
from sktl._warn_once import warn_user

DEEP = make_pipeline(StandardScaler(), DomainAdaptedClassifier(max_epochs=1, random_state=0))


@pytest.fixture
def labelled():
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, 3)) + np.repeat([[0], [3]], 10, axis=0), np.repeat([0, 1], 10)


def lines_of(found, text: str) -> list[str]:
    lines = Path(__file__).read_text().splitlines()
    assert {w.filename for w in found} == {__file__}
    return [lines[w.lineno - 1].strip() for w in found if text in str(w.message)]


def test_the_line_is_the_users_behind_a_pipeline(labelled):
    with pytest.warns(UserWarning, match="No row is unlabelled") as found:
        DEEP.fit(*labelled)  # this line
    assert lines_of(found, "No row") == ["DEEP.fit(*labelled)  # this line"]


def test_the_line_is_the_users_from_inside_the_loop_of_epochs(labelled):
    class Warns(Callback):
        def on_epoch_end(self, net, **kwargs):
            warn_user("from here")  # a callback is the user's code

    net = FineTunedClassifier(strategy="scratch", max_epochs=1, callbacks=[Warns()])
    with pytest.warns(UserWarning, match="from here") as found:
        net.fit(*labelled)
    assert lines_of(found, "from here") == ['warn_user("from here")  # a callback is the user\'s code']


def test_a_line_hears_the_same_text_once_by_default():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        for _ in range(3):
            warn_user("said")  # in a loop
        warn_user("said")  # elsewhere
    assert lines_of(found, "said") == ['warn_user("said")  # in a loop', 'warn_user("said")  # elsewhere']


def test_no_module_counts_the_frames_by_itself():
    found = []
    for file in Path(sktl.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "stacklevel":
                found.append(f"{file.name}:{node.value.lineno}")
    assert not found
