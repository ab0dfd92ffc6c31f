"""scikit-learn's own checks on an encoder of texts: the checks send numbers, which are written out as texts first."""

import importlib.util
import tempfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_array, validate_data

from sktl import TextCodesTransformer

if importlib.util.find_spec("sentence_transformers") is None:
    pytest.skip("texts need sktl[text]", allow_module_level=True)


class OnNumbers(TextCodesTransformer):
    """The same, but its rows are numbers, which are written out as texts before anything else."""

    stands_for = TextCodesTransformer

    def _texts(self, X, *, reset):
        X = check_array(X) if reset is None else validate_data(self, X, reset=reset)
        return [" ".join(f"{value:.3g}" for value in row) for row in X]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = True, False
        return tags


class Folder(str):
    """A path that does not show in the names of tests, which have to be the same in every process."""

    __slots__ = ()

    def __repr__(self):
        return "'tiny'"


FOLDER = tempfile.TemporaryDirectory(prefix="sktl-tiny-encoder-")
ENCODER = Folder(Path(FOLDER.name) / "encoder")  # written when the first check runs
ESTIMATORS = [OnNumbers(ENCODER, engine="torch"), OnNumbers(ENCODER, engine="torch", cache="memory")]


@pytest.fixture(scope="module", autouse=True)
def encoder():
    from tests.texts.tiny_encoders import save_tiny_encoder

    assert save_tiny_encoder(Path(FOLDER.name)) == ENCODER


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    state = np.random.get_state()
    check(estimator)
    if "order_invariance" in str(check):  # it permutes rows by NumPy's global generator
        np.random.set_state(state)


@pytest.mark.filterwarnings("ignore:Can't test estimator:UserWarning")
@parametrize_with_checks([TextCodesTransformer(ENCODER, engine="torch")])
def test_checks_that_need_no_rows(estimator, check):
    check(estimator)
