"""Small pictures first, whole ones at the end."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from sktl.finetuning import FineTunedClassifier, FineTunedRegressor
from sktl.finetuning._progressive_resizing import ProgressiveResizing, resized

PICTURES = np.random.default_rng(0).integers(0, 256, (12, 40, 40, 3), dtype=np.uint8)
LABELS = np.arange(12) % 2


class Watched(nn.Module):
    """A small network that notes the sizes of pictures it is given in training."""

    def __init__(self, side=None):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.Identity() if side else nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4 * side**2 if side else 4, 2)
        self.seen = []

    def forward(self, pictures):
        if self.training and torch.is_grad_enabled():
            self.seen.append(tuple(pictures.shape[-2:]))
        return self.head(self.pool(self.convolution(pictures)).flatten(1))


def watched(side=None):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Watched(side)


def seen_by(model):
    """Return the sizes that the fitted network was trained on, by epoch."""
    (network,) = (part for part in model.module_.modules() if isinstance(part, Watched))
    return network.seen


class StoppedError(Exception):
    pass


class Stop(Callback):
    """Ends training after the second epoch."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            raise StoppedError


class TestSizes:
    @pytest.mark.parametrize(
        ("start", "size", "n_epochs", "expected"),
        [
            (0.5, (224, 224), 10, [128] * 3 + [160] * 2 + [192] * 3 + [224] * 2),  # 112, 149, 187 to multiples of 32
            (0.5, (224, 224), 4, [128, 160, 192, 224]),
            (0.25, (48, 48), 4, [12, 24, 36, 48]),
            (0.5, (224, 224), 1, [224]),
            (0.5, (224, 224), 2, [128, 224]),
            (1.0, (60, 60), 3, [60] * 3),
            (0.01, (1, 1), 4, [1] * 4),
        ],
    )
    def test_four_stages_grow_linearly_and_the_last_epoch_is_whole(self, start, size, n_epochs, expected):
        resizing = ProgressiveResizing(start, size, n_epochs)
        assert [resizing.size_at(epoch) for epoch in range(n_epochs)] == [(side, side) for side in expected]
        assert resizing.size_at(n_epochs + 5) == size

    def test_height_and_width_keep_their_proportion(self):
        assert ProgressiveResizing(0.5, (128, 256), 4).size_at(0) == (64, 128)

    def test_pictures_are_as_pillow_resizes_them(self):
        pictures = torch.from_numpy(PICTURES[:2]).permute(0, 3, 1, 2)
        found = resized(pictures, (16, 20))
        for picture, ours in zip(PICTURES, found):
            expected = np.asarray(Image.fromarray(picture).resize((20, 16), Image.Resampling.BILINEAR), float)
            assert np.abs(ours.permute(1, 2, 0).numpy() - expected).max() <= 1.0  # pillow rounds twice
        assert resized(pictures, (40, 40)) is pictures


class TestTraining:
    @pytest.mark.parametrize("strategy", ["full", "lp-ft", "scratch", "gradual"])
    def test_an_epoch_has_its_size(self, strategy):
        model = FineTunedClassifier(
            watched(), strategy=strategy, image_size=40, progressive_resizing=0.5, max_epochs=4, batch_size=12,
            random_state=0,
        ).fit(PICTURES, LABELS)  # fmt: skip
        assert seen_by(model) == [(20, 20), (27, 27), (33, 33), (40, 40)]

    def test_a_resumed_training_goes_on_in_its_size(self, tmp_path):
        asked = {"image_size": 40, "progressive_resizing": 0.5, "max_epochs": 4, "batch_size": 6, "random_state": 0}
        network = watched()
        whole = FineTunedClassifier(network, **asked).fit(PICTURES, LABELS)

        stopped = FineTunedClassifier(network, **asked, checkpoint_dir=tmp_path, callbacks=[Stop()])
        with pytest.raises(StoppedError):
            stopped.fit(PICTURES, LABELS)
        again = FineTunedClassifier(network, **asked, checkpoint_dir=tmp_path).fit(PICTURES, LABELS)
        np.testing.assert_array_equal(again.predict_proba(PICTURES), whole.predict_proba(PICTURES))

    def test_another_start_is_another_training(self, tmp_path):
        model = FineTunedClassifier(
            watched(), image_size=40, progressive_resizing=0.5, max_epochs=2, checkpoint_dir=tmp_path, random_state=0
        )
        first = clone(model).fit(PICTURES, LABELS)
        other = clone(model).set_params(progressive_resizing=None).fit(PICTURES, LABELS)
        assert not np.array_equal(first.predict_proba(PICTURES), other.predict_proba(PICTURES))

    def test_predictions_see_whole_pictures(self):
        model = FineTunedClassifier(
            watched(), image_size=40, progressive_resizing=0.5, max_epochs=2, strategy="full", random_state=0
        ).fit(PICTURES, LABELS)
        with torch.no_grad():
            expected = model.module_(torch.from_numpy(PICTURES).permute(0, 3, 1, 2)).softmax(1)
        np.testing.assert_allclose(model.predict_proba(PICTURES), expected, atol=1e-5)

    def test_a_regressor_takes_it_too(self):
        model = FineTunedRegressor(
            watched(), image_size=40, progressive_resizing=0.5, max_epochs=2, batch_size=12, random_state=0
        ).fit(PICTURES, LABELS.astype(float))
        assert seen_by(model) == [(20, 20), (40, 40)]

    def test_frozen_layers_that_run_once_see_whole_pictures(self):
        asked = {"image_size": 40, "strategy": "lp-ft", "freeze_until": "pool", "max_epochs": 3, "random_state": 0}
        network = watched()
        with_, without = (
            FineTunedClassifier(network, progressive_resizing=start, **asked).fit(PICTURES, LABELS)
            for start in (0.5, None)
        )
        np.testing.assert_array_equal(with_.predict_proba(PICTURES), without.predict_proba(PICTURES))

    def test_rows_know_no_size(self):
        rows = np.random.default_rng(0).normal(size=(30, 4))
        with_, without = (
            FineTunedClassifier(progressive_resizing=start, max_epochs=2, random_state=0).fit(rows, rows[:, 0] > 0)
            for start in (0.5, None)
        )
        np.testing.assert_array_equal(with_.predict_proba(rows), without.predict_proba(rows))


class TestBadInput:
    def test_a_network_of_one_size_is_told_before_training(self):
        model = FineTunedClassifier(watched(side=40), image_size=40, progressive_resizing=0.5)
        with pytest.raises(ValueError, match=r"does not take .*Use progressive_resizing=None"):
            model.fit(PICTURES, LABELS)
        assert not hasattr(model, "classes_")

    @pytest.mark.parametrize("start", [0, -0.5, 1.5, "half", np.nan])
    def test_no_share(self, start):
        with pytest.raises(ValueError, match="progressive_resizing"):
            FineTunedClassifier(progressive_resizing=start).fit(PICTURES, LABELS)
