"""Every mode of PIL against a conversion worked out by NumPy or by PIL itself."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from sktl._preprocessing import Preprocessing
from sktl.images import as_pictures

rng = np.random.default_rng(0)
RGBA = rng.integers(0, 256, (6, 8, 4), dtype=np.uint8)
RGB, L = RGBA[..., :3].copy(), RGBA[..., 0].copy()
AS_IS = Preprocessing(size=(6, 8), crop_pct=1.0)


def pixels(*items, preprocessing=AS_IS):
    return as_pictures(list(items)).batch(range(len(items)), preprocessing).permute(0, 2, 3, 1).numpy()


def composited(rgba):
    alpha = rgba[..., 3:] / 255
    return np.floor(rgba[..., :3] * alpha + 255 * (1 - alpha) + 0.5 + 1e-9)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"])
def test_opaque_modes(mode):
    image = Image.fromarray(RGB).convert(mode)
    np.testing.assert_array_equal(pixels(image)[0], np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_composited_over_white(mode):
    image = Image.fromarray(RGBA)
    if mode == "LA":
        image = Image.merge("LA", (Image.fromarray(L), Image.fromarray(RGBA[..., 3])))
    elif mode == "PA":
        image = image.convert("PA")
    np.testing.assert_array_equal(pixels(image)[0], composited(np.asarray(image.convert("RGBA"))))


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_premultiplied_modes(mode):
    image = Image.fromarray(RGBA).convert("LA" if mode == "La" else "RGBA").convert(mode)
    straight = image.convert(mode.upper()).convert("RGBA")
    np.testing.assert_array_equal(pixels(image)[0], composited(np.asarray(straight)))


def png(image, **kwargs):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **kwargs)
    return Image.open(buffer)


def test_transparent_colours():
    key = tuple(map(int, RGB[2, 3]))
    found = pixels(png(Image.fromarray(RGB), transparency=key))[0]
    np.testing.assert_array_equal(found, np.where((key == RGB).all(axis=2, keepdims=True), 255, RGB))
    found = pixels(png(Image.fromarray(L), transparency=int(L[1, 1])))[0]
    np.testing.assert_array_equal(found[..., 0], np.where(L[1, 1] == L, 255, L))
    palette = Image.fromarray(RGB).quantize(4)
    index, colours = np.asarray(palette), np.asarray(palette.convert("RGB"))
    for transparency, alpha in ((1, np.where(index == 1, 0, 255)), (bytes([9, 99, 199, 255]), None)):
        alpha = np.frombuffer(transparency, np.uint8)[index] if alpha is None else alpha
        expected = composited(np.dstack([colours, alpha]))
        np.testing.assert_array_equal(pixels(png(palette, transparency=transparency))[0], expected)


def test_rgba_arrays_and_files_agree(tmp_path):
    Image.fromarray(RGBA).save(tmp_path / "a.png")
    for preprocessing in (AS_IS, Preprocessing(size=(5, 5))):
        from_file = as_pictures([tmp_path / "a.png"]).batch([0], preprocessing)
        for X in (RGBA[None], RGBA[None] / 255, torch.from_numpy(RGBA[None])):
            assert torch.equal(as_pictures(X).batch([0], preprocessing), from_file)
    np.testing.assert_array_equal(pixels(tmp_path / "a.png")[0], composited(RGBA))


@pytest.mark.parametrize("strip", [1, 2**22], ids=["strips", "whole"])
@pytest.mark.parametrize("light", [255, 230])
def test_drawings_in_white_alone_are_seen_on_black(tmp_path, monkeypatch, light, strip):
    monkeypatch.setattr("sktl.images._decode.STRIP", strip)
    opacity = rng.integers(0, 256, (6, 8), dtype=np.uint8)
    opacity[0], opacity[1, :4] = 0, 255
    drawn = np.dstack([np.full((6, 8, 3), light, np.uint8), opacity])
    drawn[opacity < 100, :3] = 7  # the colour of what is hardly there means nothing
    expected = np.floor(drawn[..., :3] * (opacity[..., None] / 255) + 0.5 + 1e-9)
    Image.fromarray(drawn).save(tmp_path / "a.png")
    grey = Image.merge("LA", [Image.fromarray(np.ascontiguousarray(drawn[..., i])) for i in (0, 3)])
    for item in (tmp_path / "a.png", Image.fromarray(drawn), grey):
        np.testing.assert_array_equal(pixels(item)[0], expected)
    dark = drawn.copy()
    dark[1, 0, 1] = 100  # one pixel that white would not swallow
    arrays = as_pictures(np.stack([drawn, dark, drawn])).batch(range(3), AS_IS).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(arrays, np.stack([expected, composited(dark), expected]))
    np.testing.assert_array_equal(pixels(Image.fromarray(dark))[0], composited(dark))
    nothing = np.dstack([np.full((6, 8, 3), 255, np.uint8), np.zeros((6, 8), np.uint8)])
    assert (pixels(Image.fromarray(nothing)) == 255).all()


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_sixteen_bits(mode, tmp_path):
    deep = rng.integers(0, 65536, (6, 8), dtype=np.uint16)
    stored = deep.astype(">u2") if mode == "I;16B" else deep
    image = Image.frombytes(mode, (8, 6), (stored.astype(np.int32) if mode == "I" else stored).tobytes())
    expected = np.repeat(np.rint(deep / 257)[..., None], 3, axis=2)
    np.testing.assert_array_equal(pixels(image)[0], expected)
    np.testing.assert_array_equal(as_pictures(deep[None]).batch([0], AS_IS)[0].permute(1, 2, 0).numpy(), expected)
    if mode == "I;16":
        image.save(tmp_path / "a.png")
        np.testing.assert_array_equal(pixels(tmp_path / "a.png")[0], expected)


def test_float_images():
    values = rng.random((6, 8), dtype=np.float32)
    np.testing.assert_array_equal(pixels(Image.fromarray(values))[0, ..., 0], np.rint(values * 255))
    for bad in (Image.fromarray(values * 2), Image.fromarray(values * np.nan)):
        with pytest.raises(ValueError, match=r"\[0\] PIL image: float pixels .*\[0, 1\]"):
            pixels(bad)
    with pytest.raises(ValueError, match=r"integer pixels from -5 to -5; they must lie within 0\.\.65535"):
        pixels(Image.new("I", (8, 6), -5))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff"])
def test_exif_orientation(orientation, suffix, tmp_path):
    image = Image.fromarray(RGB).resize((64, 48))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif)
    with Image.open(tmp_path / f"a.{suffix}") as stored:
        upright = ImageOps.exif_transpose(stored).convert("RGB")
        stored.load()
    preprocessing = Preprocessing(size=upright.size[::-1], crop_pct=1.0)
    for item in (tmp_path / f"a.{suffix}", stored):
        np.testing.assert_array_equal(pixels(item, preprocessing=preprocessing)[0], np.asarray(upright))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_is_ignored():
    image = Image.fromarray(RGB)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    np.testing.assert_array_equal(pixels(Image.open(buffer))[0], RGB)


def test_gif_and_other_formats(tmp_path):
    image = Image.fromarray(RGB)
    for suffix in ("bmp", "gif", "webp", "ppm", "tif"):
        image.save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
        expected = np.asarray(Image.open(tmp_path / f"a.{suffix}").convert("RGB"))
        np.testing.assert_array_equal(pixels(tmp_path / f"a.{suffix}")[0], expected)
