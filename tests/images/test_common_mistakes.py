"""What users hold that is no list of pictures: the message says what to do."""

import pandas as pd
import pytest
from PIL import Image

from sktl import CNNCodesTransformer, DomainAdaptedClassifier, FineTunedClassifier
from sktl.exceptions import BadImageError
from sktl.images import as_pictures


def test_a_folder_is_told_from_a_picture(tmp_path):
    with pytest.raises(TypeError, match=r"path of a folder.*glob.*path\.parent\.name"):
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
