"""Data sets of torch and torchvision as X give what their pictures give."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from torch import nn
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2.functional import pil_to_tensor

from sktl import CNNCodesTransformer, DomainAdaptedClassifier, FineTunedClassifier, ProtoNetClassifier
from sktl.adaptation import SourceFreeAdaptedClassifier, stack_domains
from sktl.exceptions import BadImageError
from sktl.fewshot import FewShotClassifier, FewShotRegressor, ProtoNetLearner
from sktl.finetuning import FineTunedRegressor
from sktl.images import as_pictures


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


NETWORK = network()
CODES = CNNCodesTransformer(NETWORK, engine="torch")


class Held(Dataset):
    """Pictures in any form, counted as they are read."""

    def __init__(self, pictures, targets=None):
        self.pictures, self.labels, self.read = pictures, targets, []

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, i):
        self.read.append(int(i))
        picture = self.pictures[i]
        if isinstance(picture, Exception):
            raise picture
        return picture if self.labels is None else (picture, self.labels[i])


class Stream(IterableDataset):
    def __iter__(self):
        yield Image.new("RGB", (8, 8)), 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    top = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(12):
        path = top / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 128, (32, 32, 3), dtype=np.uint8) + np.uint8(127 * (i % 2))).save(path)
    return top


@pytest.fixture(scope="module")
def paths(folder):
    return [str(path) for label in "ab" for path in sorted((folder / label).iterdir())]


def pil(paths):
    return [Image.open(path).convert("RGB") for path in paths]


FORMS = {
    "folder": lambda folder, paths: ImageFolder(folder),
    "folder with a transform": lambda folder, paths: ImageFolder(folder, transform=pil_to_tensor),
    "part": lambda folder, paths: Subset(ImageFolder(folder), list(range(12))),
    "PIL": lambda folder, paths: Held(pil(paths), [0] * 12),
    "alone": lambda folder, paths: Held(pil(paths)),
    "tensors": lambda folder, paths: Held([pil_to_tensor(image) for image in pil(paths)], [0] * 12),
    "floats": lambda folder, paths: Held([pil_to_tensor(image) / 255 for image in pil(paths)], [0] * 12),
    "arrays": lambda folder, paths: Held([np.asarray(image) for image in pil(paths)], [0] * 12),
    "RGBA": lambda folder, paths: Held([np.asarray(image.convert("RGBA")) for image in pil(paths)], [0] * 12),
    "TensorDataset": lambda folder, paths: TensorDataset(torch.stack([pil_to_tensor(i) for i in pil(paths)])),
    "pairs": lambda folder, paths: list(ImageFolder(folder)),
}


@pytest.mark.parametrize("cache", [None, "memory"])
@pytest.mark.parametrize("form", FORMS)
def test_codes_are_those_of_the_pictures(form, cache, folder, paths):
    codes = CNNCodesTransformer(NETWORK, engine="torch", cache=cache)
    found = codes.fit_transform(FORMS[form](folder, paths))
    np.testing.assert_array_equal(found, CODES.fit_transform(paths))


def test_a_folder_goes_by_its_files_and_others_are_read_when_asked_for(folder, paths):
    source = as_pictures(ImageFolder(folder))
    assert source.read(3) == (folder / "a" / sorted(path.name for path in (folder / "a").iterdir())[3]).read_bytes()
    held = Held(pil(paths), [0] * 12)
    source = as_pictures(held)
    source.read(7)
    assert set(held.read) <= {0, 7}


@pytest.mark.parametrize(
    "model",
    [
        FineTunedClassifier(NETWORK, image_size=32, max_epochs=1),
        DomainAdaptedClassifier(NETWORK, image_size=32, max_epochs=1),
        ProtoNetClassifier(backbone=NETWORK, image_size=32),
        FewShotClassifier(encoder=CODES),
        ProtoNetLearner("conv4", image_size=16, n_way=2, n_query=1, n_episodes=2, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_every_estimator_takes_them(model, folder, paths):
    data = ImageFolder(folder)
    y = np.array(data.targets)
    if isinstance(model, DomainAdaptedClassifier):
        y[::3] = -1
    with pytest.raises(ValueError, match=r"not taken in silence.*y=dataset\.targets"):
        model.fit(data, None)
    model.fit(data, y)
    if hasattr(model, "predict"):
        answers = [model.predict(X) for X in (data, Held(pil(paths), y), paths)]
        np.testing.assert_array_equal(answers[0], answers[2])
        np.testing.assert_array_equal(answers[1], answers[2])


@pytest.mark.parametrize("model", [FineTunedRegressor(NETWORK), FewShotRegressor(encoder=CODES)])
def test_how_targets_are_passed(model, folder, paths):
    with pytest.raises(ValueError, match=r"y=dataset\.tensors\[1\]"):
        model.fit(TensorDataset(torch.zeros(4, 3, 8, 8), torch.zeros(4)), None)
    with pytest.raises(ValueError, match=r"y=\[subset\.dataset\.targets\[i\] for i in subset\.indices\]"):
        model.fit(Subset(ImageFolder(folder), [0, 1]), None)
    with pytest.raises(ValueError, match=r"y=\[dataset\[i\]\[1\] for i in range\(len\(dataset\)\)\]"):
        model.fit(Held(pil(paths), [0] * 12), None)


def test_in_pipelines_folds_and_stacks(folder, paths):
    data = ImageFolder(folder)
    pipeline = make_pipeline(CODES, LogisticRegression())
    expected = cross_val_predict(pipeline, paths, data.targets, cv=3)
    np.testing.assert_array_equal(cross_val_predict(pipeline, data, data.targets, cv=3), expected)
    X, y, _ = stack_domains(data, data.targets, data)
    assert len(X) == len(y) == 24
    fitted = FineTunedClassifier(NETWORK, image_size=32, max_epochs=1, random_state=0).fit(data, data.targets)
    adapted = SourceFreeAdaptedClassifier(fitted, max_epochs=1, random_state=0).fit(data)
    np.testing.assert_array_equal(adapted.predict(data), adapted.predict(paths))


def test_rows_stay_rows():
    rng = np.random.default_rng(0)
    rows, y = rng.normal(size=(20, 5)).astype(np.float32), np.arange(20) % 2
    expected = ProtoNetClassifier().fit(rows, y).decision_function(rows)
    for data in (TensorDataset(torch.from_numpy(rows), torch.from_numpy(y)), Held(list(rows), y)):
        np.testing.assert_array_equal(ProtoNetClassifier().fit(data, y).decision_function(data), expected)


def test_what_cannot_be_taken_is_named(paths):
    with pytest.raises(TypeError, match=r"Stream, which has no length"):
        CODES.fit(Stream())
    with pytest.raises(TypeError, match="no picture in the first place"):
        CODES.fit(Held([{"image": 1}] * 3))
    with pytest.raises(ValueError, match=r"X\[1\] holds floats from"):
        CODES.fit_transform(Held([torch.zeros(3, 8, 8), torch.full((3, 8, 8), 3.0)]))
    bad = Held([*pil(paths[:2]), OSError("image file is truncated")])
    with pytest.raises(BadImageError, match=r"\[2\] item 2 of Held: image file is truncated"):
        CODES.fit_transform(bad)
    with pytest.raises(ValueError, match="0 sample"):
        CODES.fit(Held([]))
