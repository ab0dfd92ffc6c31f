"""What users hold that is no list of pictures: the message says what to do."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from torch import nn

from sktl import CNNCodesTransformer, DomainAdaptedClassifier, FineTunedClassifier
from sktl.exceptions import BadImageError, PictureWarning
from sktl.images import as_pictures


def test_a_folder_is_told_from_a_picture(tmp_path):
    with pytest.raises(TypeError, match=r"path of a folder.*load_pictures\(.*glob"):
        as_pictures(tmp_path)


@pytest.mark.parametrize("estimator", [CNNCodesTransformer(), FineTunedClassifier(), DomainAdaptedClassifier()])
def test_a_column_of_paths_beside_others(estimator, tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    frame = pd.DataFrame({"path": [str(path)] * 4, "age": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(ValueError, match=r"pictures in column 'path' beside age.*ColumnTransformer"):
        estimator.fit(frame, [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"sample_domain=df\['domain'\]"):
        estimator.fit(frame.rename(columns={"age": "domain"}), [0, 1, 0, 1])


def test_text_is_cut_and_sent_elsewhere():
    with pytest.raises(BadImageError, match="TfidfVectorizer") as caught:
        as_pictures(["A film that one should see. " * 400] * 3).check()
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize("cache", [None, "memory"])
def test_bad_files_are_named_at_once_or_become_nan(cache, tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(9)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    for cut in (2, 7):
        paths[cut].write_bytes(paths[cut].read_bytes()[:2000])
    with torch.random.fork_rng():
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    codes = CNNCodesTransformer(net, engine="torch", batch_size=2, cache=cache)
    with pytest.raises(BadImageError) as caught:
        codes.fit_transform(paths)
    assert sorted(caught.value.failures) == [2, 7]
    paths[4].unlink()
    with pytest.warns(PictureWarning, match=r"3 of 9.*\[2\].*truncated.*\[4\].*no such file.*\[7\]") as record:
        found = clone(codes).set_params(on_bad="report").fit_transform(paths)
    assert np.flatnonzero(np.isnan(found).all(axis=1)).tolist() == [2, 4, 7]
    (said,) = [one.message for one in record if isinstance(one.message, PictureWarning)]
    failures = said.failures
    assert list(failures) == [2, 4, 7]
    assert str(paths[4]) in failures[4]
    copied = pickle.loads(pickle.dumps(said))
    assert (str(copied), copied.failures) == (str(said), failures)
    sound = [i for i in range(9) if i not in (2, 4, 7)]
    np.testing.assert_array_equal(found[sound], codes.fit_transform([paths[i] for i in sound]))


def test_generators_are_told_how():
    with pytest.raises(TypeError, match=r"Use list\(X\)"):
        as_pictures(path for path in ["a.png"])
