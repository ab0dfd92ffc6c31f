"""What is done to pictures before published weights, against timm's and torchvision's own transforms."""

import functools

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from timm.data import create_transform, resolve_data_config

from sktl._preprocessing import Preprocessing
from sktl.backbones._backbone import _preprocessing_of
from sktl.backbones._registry import find_network, timm_preprocessing
from sktl.images import as_pictures
from sktl.images._resample import placement


def pictures(n, seed=0):
    """Return pictures of odd sizes that have detail at every scale."""
    rng = np.random.default_rng(seed)
    found = []
    for height, width in rng.integers(24, 420, (n, 2)):
        coarse = rng.integers(0, 256, (max(2, height // 6), max(2, width // 6), 3), dtype=np.uint8)
        found.append(Image.fromarray(coarse).resize((int(width), int(height)), Image.Resampling.BICUBIC))
    return found


@functools.cache
def published():
    """Return, by all that decides where pixels go, the preprocessing here and the transform there, to uint8."""
    found = {}
    for name in timm.list_pretrained():
        ours = find_network(f"timm/{name}")[0].preprocessing(f"timm/{name}", name.partition(".")[2] or "default")
        config = resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict())
        assert (ours.mean, ours.std) == (tuple(config["mean"]), tuple(config["std"])), name
        key = ours.size, config["crop_pct"], config["crop_mode"], config["interpolation"], ours.fill
        found.setdefault(key, (name, ours, functools.partial(create_transform, **config, normalize=False)))
    for name in torchvision.models.list_models(module=torchvision.models):
        for entry in torchvision.models.get_model_weights(name):
            ours, theirs = find_network(name)[0].preprocessing(name, entry.name), entry.transforms()
            assert (ours.mean, ours.std) == (tuple(theirs.mean), tuple(theirs.std)), entry
            theirs.mean, theirs.std = [0.0] * 3, [1.0] * 3
            key = tuple(theirs.crop_size), tuple(theirs.resize_size), theirs.interpolation
            found.setdefault(key, (f"{name} {entry.name}", ours, lambda theirs=theirs: theirs))
    return list(found.values())


def differs(ours, transform, images):
    """Return the largest and the mean difference in grey levels."""
    worst, mean = 0, 0.0
    for image in images:
        there = transform(image)
        there = (there * 255).round() if there.is_floating_point() else there
        here = as_pictures([image]).batch([0], ours)[0]
        assert here.shape == there.shape
        difference = (here.float() - there.float()).abs()
        worst, mean = max(worst, int(difference.max())), max(mean, float(difference.mean()))
    return worst, mean


def test_a_published_configuration_of_each_kind():
    by_kind = {}
    for name, ours, make in published():
        kind = ours.crop_mode, ours.interpolation, ours.size[0] == ours.size[1], ours.crop_pct > 1, "." in name
        exact = (ours.size[0] / ours.crop_pct).is_integer()
        by_kind.setdefault((*kind, exact), []).append((ours.size, name, ours, make))
    assert len(by_kind) >= 8
    for found in by_kind.values():
        _, name, ours, make = min(found, key=lambda one: one[:2])
        worst, mean = differs(ours, make(), pictures(3))
        assert worst <= 2, name
        assert mean < 0.25, name


@pytest.mark.slow
def test_every_published_configuration():
    images = pictures(50)
    faults, found = [], []
    for name, ours, make in published():
        worst, mean = differs(ours, make(), images)
        found.append((worst, mean))
        if worst > 2 or mean >= 0.25:
            faults.append((name, worst, mean))
    print(len(found), "configurations; worst and largest mean:", np.max(found, axis=0))
    assert not faults


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40), (33, 17)])
@pytest.mark.parametrize("crop_pct", [1.0, 0.9, 0.875, 1.15])
def test_every_mode_at_any_size(mode, size, crop_pct):
    images = pictures(4, seed=1)
    ours = Preprocessing(size=size, crop_pct=crop_pct, crop_mode=mode, interpolation="bicubic", mean=(0.2, 0.4, 0.6))
    theirs = create_transform(
        (3, *size), crop_pct=crop_pct, crop_mode=mode, interpolation="bicubic", mean=ours.mean, normalize=False
    )
    worst, mean = differs(ours, theirs, images)
    assert worst <= 2
    assert mean < 0.25


def test_nearest_is_that_of_pillow():
    image = pictures(1)[0]
    for size in (16, 90, 300):
        ours = Preprocessing(size=size, crop_pct=1.0, interpolation="nearest")
        theirs = create_transform((3, size, size), crop_pct=1.0, interpolation="nearest", normalize=False)
        # Where a pixel lies just between two, float32 and float64 may choose differently.
        assert (as_pictures([image]).batch([0], ours)[0] != theirs(image)).float().mean() < 0.15


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_enlarged_and_reduced_sizes_of_torchvision(interpolation):
    for resize in range(40, 72):
        crop_pct = 32 / resize
        ours = timm_preprocessing(
            {"input_size": (3, 32, 32), "crop_pct": crop_pct, "interpolation": interpolation, "crop_mode": "center"}
        )
        theirs = create_transform((3, 32, 32), crop_pct=crop_pct, interpolation=interpolation)
        assert placement((100, 173), ours)[0][0] == theirs.transforms[0].size


def test_modules_of_timm_bring_their_own():

    module = torch.nn.Identity()
    module.pretrained_cfg = {"input_size": (3, 48, 64), "crop_pct": 0.9, "crop_mode": "squash", "mean": (0.5,) * 3,
                             "std": (0.5,) * 3, "interpolation": "bilinear"}  # fmt: skip
    found = _preprocessing_of(module)
    assert (found.crop_mode, found.scaled_size, found.size) == ("squash", (53, 71), (48, 64))


@pytest.mark.parametrize(
    "given", [{"crop_pct": 0}, {"crop_pct": float("inf")}, {"crop_pct": 300.0}, {"crop_mode": "x"}]
)
def test_impossible_ones_are_refused(given):
    with pytest.raises(ValueError, match=rf"Preprocessing\.{next(iter(given))} must be"):
        Preprocessing(**given)
