"""Large and damaged pictures: bounded memory, one error."""

import contextlib
import gzip
import io
import struct
import sys
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from sktl.backbones import Preprocessing
from sktl.exceptions import BadImageError
from sktl.images import _budget, _decode, _item_source, as_pictures
from sktl.images._resample import write_scaled
from tests.stress import picture_peaks, pictures

SEEN = Preprocessing(size=(32, 32))


def decoded(image):
    with contextlib.ExitStack() as held:
        return _decode.decode_image(image, held)


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read in Linux's units")
def test_a_large_picture_takes_what_is_counted_for_it():
    share = 0.2  # the stress program measures the largest
    counted = share * _budget.most_pixels("PNG") * _budget.BYTES_PER_PIXEL["PNG"]
    assert picture_peaks.measured("png", "RGBA", share=share) < 1.1 * counted + 10**8  # of strips


def test_damaged_pictures_are_bad_ones_and_nothing_else():
    result = pictures.run(80, 1)
    assert (result.n_cases, result.violations) == (80, [])


def test_formats_that_hold_several_copies_have_a_smaller_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    for name, refused in [("png", False), ("webp", True), ("jpg", False)]:
        path = tmp_path / f"picture.{name}"
        Image.new("RGB", (90, 90)).save(path)
        if refused:
            with pytest.raises(BadImageError, match=r"90 x 90 pixels; raise PIL\.Image\.MAX_IMAGE_PIXELS.*WEBP takes"):
                as_pictures([path]).check()
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        as_pictures([path]).batch([0], SEEN)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "L", "1", "CMYK", "I;16", "F", "I"])
def test_strips_are_the_whole_picture(mode, monkeypatch):
    values = np.random.default_rng(0).integers(0, 256, (37, 23, 3), dtype=np.uint8)
    image = Image.fromarray(values)
    image = (
        image.convert("L").convert("I" if mode == "I;16" else mode)
        if mode in ("I", "I;16", "F")
        else image.convert(mode)
    )
    if mode == "I;16":
        image = Image.fromarray((np.asarray(image) * 257).astype(np.uint16))
    if mode == "RGBA":
        image.putalpha(Image.fromarray(values[..., 0]))
    if mode == "F":
        image = Image.fromarray(np.asarray(image) / np.float32(255))
    whole = decoded(image)
    monkeypatch.setattr(_decode, "STRIP", 100)
    np.testing.assert_array_equal(decoded(image), whole)


def test_large_pictures_are_decoded_one_at_a_time():
    budget, order, together, sums = _budget.Budget(100), [], [], []

    def work(name, wanted):
        with budget.hold(wanted):
            order.append(name)
            together.append(min(wanted, 100))
            sums.append(sum(together))
            time.sleep(0.02)
            together.remove(min(wanted, 100))

    threads = [threading.Thread(target=work, args=item) for item in [("a", 80), ("b", 10**9), ("c", 10), ("d", 30)]]
    for thread in threads:
        thread.start()
        time.sleep(0.005)
    for thread in threads:
        thread.join(10)
    assert max(sums) <= 100
    assert order == ["a", "b", "c", "d"]  # what is small does not overtake
    with budget.hold(100):
        pass


def test_pixels_count_until_they_are_scaled(tmp_path, monkeypatch):
    """Else those of each thread would lie beside what the next one decodes."""
    path, budget = tmp_path / "picture.png", _budget.Budget(10**9)
    Image.new("RGB", (90, 90)).save(path)
    free = []

    def scaled(*args):
        free.append(budget._free)
        write_scaled(*args)

    monkeypatch.setattr(_decode, "DECODING", budget)
    monkeypatch.setattr(_item_source, "write_scaled", scaled)
    with Image.open(path) as opened:
        as_pictures([path, opened]).batch([0, 1], SEEN)
    counted = 90 * 90 * _budget.BYTES_PER_PIXEL["PNG"]
    assert all(10**9 - value >= counted for value in free)
    assert budget._free == 10**9


def test_what_a_header_does_not_tell_is_bounded_too(tmp_path):
    inner = io.BytesIO()
    Image.new("L", (3000, 3000)).save(inner, "PNG")
    png = inner.getvalue()
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 32, 32, 0, 0, 1, 32, len(png), 22) + png
    cards = ["SIMPLE  =                    T", "XTENSION= 'BINTABLE'", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 8"]
    cards += ["NAXIS2  = 8", "ZIMAGE  = T", "ZBITPIX = 8", "ZNAXIS  = 2", "ZNAXIS1 = 8", "ZNAXIS2 = 8"]
    cards += ["ZCMPTYPE= 'GZIP_1  '", "END"]
    head = b"".join(card.ljust(80).encode() for card in cards)
    table = head + b" " * (-len(head) % 2880) + gzip.compress(bytes(10**6))
    for name, data, message in [("a.ico", icon, "an icon that holds"), ("a.fits", table, "FITS")]:
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(BadImageError, match=message):
            as_pictures([path]).batch([0], SEEN)


def test_a_writable_picture_is_scaled_without_a_copy_and_left_as_it_is():
    values = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    before = values.copy()
    copied = as_pictures(np.asfortranarray(values)).batch([0], SEEN)
    assert torch.equal(as_pictures(values).batch([0], SEEN), copied)
    np.testing.assert_array_equal(values, before)
