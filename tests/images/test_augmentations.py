"""Random changes of pictures: what each word means, and that all estimators know the same ones."""

import numpy as np
import pytest
import torch
from torch import nn

from sktl.adaptation import DomainAdaptedClassifier, GradualAdaptedClassifier, SourceFreeAdaptedClassifier
from sktl.finetuning import FineTunedClassifier, FineTunedRegressor
from sktl.images import AUGMENTATIONS, augmented, distorted
from sktl.images._augmentations import cropped, flipped, shifted


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pictures():
    return torch.randint(0, 256, (6, 3, 20, 16), generator=generator(0), dtype=torch.uint8)


class TestWords:
    @pytest.mark.parametrize("word", [*AUGMENTATIONS, "distorted"])
    def test_pictures_stay_pictures(self, word, pictures):
        def change(drawn):
            return distorted(pictures, drawn) if word == "distorted" else augmented(word, pictures, drawn)

        before, changed = pictures.clone(), change(generator())
        assert changed.shape == pictures.shape
        assert changed.min() >= 0
        assert changed.max() <= 255
        assert not torch.equal(changed.float(), pictures.float())
        assert torch.equal(changed, change(generator()))
        assert torch.equal(pictures, before)

    def test_a_word_is_its_parts(self, pictures):
        drawn = generator()
        moved = shifted(pictures, drawn)
        assert torch.equal(augmented("shift_flip", pictures, generator()), flipped(moved, drawn))
        assert torch.equal(augmented("shift", pictures, generator()), moved)
        assert torch.equal(augmented("flip", pictures, generator()), flipped(pictures, generator()))
        assert augmented(None, pictures, generator()) is pictures

    @pytest.mark.parametrize("word", AUGMENTATIONS)
    def test_crops_alone_are_scaled(self, word, pictures):
        sides = augmented(word, pictures, generator(), (10, 12)).shape[-2:]
        assert sides == ((10, 12) if "crop" in word else (20, 16))

    def test_what_is_cropped_may_be_mirrored(self):
        ramp = torch.arange(32.0).expand(200, 3, 32, 32)
        rises = (augmented("crop_flip", ramp, generator()).diff(dim=3).mean((1, 2, 3)) > 0).sum()
        assert 70 < rises < 130
        assert (augmented("crop", ramp, generator()).diff(dim=3).mean((1, 2, 3)) > 0).all()

    def test_a_callable_is_given_the_generator(self, pictures):
        def brighter(X, drawn):
            return X + torch.rand(1, generator=drawn)

        expected = pictures + torch.rand(1, generator=generator())
        assert torch.equal(augmented(brighter, pictures, generator()), expected)


class TestChanges:
    def test_crop_of_everything_is_the_picture(self):
        pictures = torch.arange(2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
        same = cropped(pictures, generator(0), (8, 8), area=(1, 1), ratio=(1, 1))
        assert torch.allclose(same, pictures.float(), atol=1e-2)

    def test_flips_are_of_whole_pictures(self):
        pictures = torch.arange(64 * 3 * 4 * 4).reshape(64, 3, 4, 4)
        found = flipped(pictures, generator(0))
        is_same, is_mirrored = ((found == p).flatten(1).all(1) for p in (pictures, pictures.flip(3)))
        assert (is_same ^ is_mirrored).all()
        assert 10 < is_mirrored.sum() < 54

    def test_shift_moves_each_picture_as_a_whole(self):
        pictures = torch.zeros(50, 1, 9, 9, dtype=torch.uint8)
        pictures[:, 0, 4, 4] = 1
        places = shifted(pictures, generator(0)).flatten(1)
        assert (places.sum(1) == 1).all()
        rows, columns = places.argmax(1) // 9, places.argmax(1) % 9
        assert set(rows.tolist()) == set(columns.tolist()) == {2, 3, 4, 5, 6}


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class TestEstimators:
    KINDS = (
        FineTunedClassifier, FineTunedRegressor, DomainAdaptedClassifier, SourceFreeAdaptedClassifier,
        GradualAdaptedClassifier,
    )  # fmt: skip

    @pytest.mark.parametrize("kind", KINDS)
    def test_all_know_the_same_words(self, kind):
        (words,) = (c.options for c in kind._parameter_constraints["augment"] if hasattr(c, "options"))
        assert words - {"auto"} == set(AUGMENTATIONS)
        (listed,) = (line for line in kind.__doc__.splitlines() if line.startswith("    augment : "))
        assert all(f'"{word}"' in listed for word in words)

    @pytest.mark.parametrize("word", AUGMENTATIONS)
    def test_a_word_is_what_its_function_does(self, word):
        rng = np.random.default_rng(0)
        X, y = rng.integers(0, 256, (16, 12, 12, 3), dtype=np.uint8), np.arange(16) % 2
        marked = np.where(np.arange(16) < 8, y, -1)

        def as_function(pictures, drawn):
            return AUGMENTATIONS[word](pictures, drawn, (12, 12))

        common = {"image_size": 12, "preprocessing": {"crop_pct": 1.0}, "random_state": 0, "batch_size": 4}
        tuned, adapted = (
            [model.set_params(augment=augment).fit(X, target).predict_proba(X) for augment in (word, as_function, None)]
            for model, target in (
                (FineTunedClassifier(network(), strategy="full", max_steps=3, cache=None, **common), y),
                (DomainAdaptedClassifier(network(), max_epochs=1, **common), marked),
            )
        )
        for named, by_function, unchanged in (tuned, adapted):
            assert np.array_equal(named, by_function)
            assert not np.array_equal(named, unchanged)
