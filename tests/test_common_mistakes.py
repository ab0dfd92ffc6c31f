"""The commonest mistakes of the first hour: messages say what was expected, what came, and what to do."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from sktl import CNNCodesTransformer, DomainAdaptedClassifier, FineTunedClassifier
from sktl.adaptation import SourceFreeAdaptedClassifier
from sktl.fewshot import FewShotClassifier, ProtoNetLearner
from sktl.metrics import get_domain_scorer

PICTURES = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3)).astype(np.uint8)
LABELS = np.arange(12) % 2
ROWS, KINDS = load_iris(return_X_y=True)


def head():
    return FineTunedClassifier(strategy="head", image_size=32, random_state=0).fit(PICTURES, LABELS)


MISTAKES = {
    "a folder": (
        lambda: CNNCodesTransformer().fit_transform("/"),
        ["X is the path of a folder, '/'", "pass a list of its files", "load_pictures('/')"],
    ),
    "a generator": (
        lambda: CNNCodesTransformer().fit_transform(path for path in ["a.jpg"]),
        ["X must be arrays", "got generator", "Use list(X)"],
    ),
    "files that are not there": (
        lambda: CNNCodesTransformer().fit_transform(["a.jpg", "b.jpg"]),
        ["2 of 2 pictures cannot be read", "[0] a.jpg: no such file, [1] b.jpg: no such file", "take them out"],
    ),
    "text": (
        lambda: CNNCodesTransformer().fit_transform(["a film that was not bad at all " * 30] * 2),
        ["2 of 2 pictures cannot be read", "it looks like text", "TfidfVectorizer"],
    ),
    "rows that are no pictures": (
        lambda: CNNCodesTransformer().fit_transform(ROWS),
        ["Rows of width 4 are no flattened square pictures", "pass their image_shape"],
    ),
    "one picture": (
        lambda: head().predict(PICTURES[0]),
        ["X has shape (32, 32, 3): one picture without its batch axis", "Pass X[None]"],
    ),
    "floats beyond 1": (
        lambda: CNNCodesTransformer().fit_transform(PICTURES.astype(float)),
        ["X holds floats from 0 to 254; floats must lie within [0, 1]", "divide by 255, or cast to uint8"],
    ),
    "lengths": (
        lambda: FineTunedClassifier().fit(PICTURES, LABELS[:5]),
        ["y must have one entry a row: expected 12, got 5"],
    ),
    "a network's name": (
        lambda: CNNCodesTransformer("resnet81").fit(PICTURES),
        ["There is no backbone 'resnet81'", "Did you mean 'resnet18'", "sktl.list_backbones"],
    ),
    "a layer's name": (
        lambda: CNNCodesTransformer(layers="block.5").fit(PICTURES),
        ["The network has no layer 'block.5'", "Did you mean 'blocks.5'", "Its layers are"],
    ),
    "a loss's name": (
        lambda: DomainAdaptedClassifier(loss="corl").fit(ROWS, KINDS),
        ["loss must be one of", "got 'corl'", "Did you mean 'coral'?"],
    ),
    "a scorer's name": (
        lambda: get_domain_scorer("entropi"),
        ["The scorer must be one of", "got 'entropi'", "Did you mean 'entropy'?"],
    ),
    "no label": (
        lambda: DomainAdaptedClassifier().fit(ROWS, np.full(150, -1)),
        ["y holds no label: all 150 rows are -1 or missing", "Give labels of the source rows"],
    ),
    "too few domains": (
        lambda: DomainAdaptedClassifier().fit(ROWS, KINDS, sample_domain=KINDS[:4]),
        ["sample_domain must have one entry a row: expected 150, got 4"],
    ),
    "too many ways": (
        lambda: ProtoNetLearner(n_way=10).fit(ROWS, KINDS),
        ["n_way=10 classes are drawn for an episode, but there are only 3", "Lower n_way"],
    ),
    "too many shots": (
        lambda: ProtoNetLearner(n_way=2, n_shot=100).fit(ROWS, KINDS),
        ["n_shot + n_query = 100 + 5 = 105 rows", "0 (50)", "Lower n_shot"],
    ),
    "a source that is not fitted": (
        lambda: SourceFreeAdaptedClassifier(FineTunedClassifier()).fit(ROWS),
        ["FineTunedClassifier is not fitted", "Fit it", "or pass labelled source rows"],
    ),
    "weights that are not there": (
        lambda: CNNCodesTransformer("resnet18", weights="none.pth").fit(PICTURES),
        ["weights='none.pth': there is no such file"],
    ),
    "another encoder and backbone": (
        lambda: FewShotClassifier(backbone="resnet18", encoder=CNNCodesTransformer()).fit(PICTURES, LABELS),
        ["backbone", "encoder"],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_message_helps(name):
    mistake, parts = MISTAKES[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        mistake()
    said = str(caught.value)
    assert not [part for part in parts if part not in said], said
    assert len(said) < 600
