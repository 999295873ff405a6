"""Pictures of 16 bits that hold fewer: as bright as the same pictures in 8 bits."""

import io
import struct
import zlib

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, TiffImagePlugin, TiffTags

from sksemobridge.encoders import CLIPImageEncoder
from sksemobridge.encoders._decoding import decode, fetch

from ..encoder_helpers import some_pictures

COLOURS = some_pictures(1, size=(24, 36))[0].copy()
COLOURS[0, :2] = [[0], [255]]


def seen(content):
    return np.asarray(decode(fetch(content)))


def deep(pixels, bits):
    """The same picture in more bits."""
    return np.round(pixels * ((2**bits - 1) / 255)).astype(np.uint16)


def png(values, declared=None):
    """A PNG of 16 bits by hand: Pillow writes none of colours."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width, n_channels = np.atleast_3d(values).shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[n_channels]
    content = b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    )
    content += chunk(b"tEXt", b"Comment\0sBIT")
    if declared:
        content += chunk(b"sBIT", bytes([declared] * n_channels))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return content + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(values, largest=None, **options):
    buffer, tags = io.BytesIO(), TiffImagePlugin.ImageFileDirectory_v2()
    if largest:
        tags[281] = largest
        tags.tagtype[281] = TiffTags.LONG
    Image.fromarray(values).save(buffer, "TIFF", tiffinfo=tags, **options)
    return buffer.getvalue()


def tiff_of_colours(values, order):
    """A TIFF of 16-bit colours by hand."""
    (height, width, _), data = values.shape, values.astype(f"{order}u2").tobytes()
    entries = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 3, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
    ]
    entries += [(273, 4, 1, 14), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(data))]
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 14 + len(data))
    body = b"".join(
        struct.pack(f"{order}HHI", tag, kind, n)
        + (
            struct.pack(f"{order}HH", value, 0)
            if kind == 3 and n == 1
            else struct.pack(f"{order}I", value)
        )
        for tag, kind, n, value in entries
    )
    bits = struct.pack(f"{order}HHH", 16, 16, 16)
    return head + bits + data + struct.pack(f"{order}H", len(entries)) + body + bytes(4)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_values_of_fewer_bits_have_the_full_range(bits):
    grey = COLOURS[..., 0]
    for content in (
        png(deep(grey, bits)),
        tiff(deep(grey, bits)),
        tiff(deep(grey, bits), compression="tiff_lzw"),
        png(deep(COLOURS, bits)),
        png(np.dstack([deep(COLOURS, bits), np.full_like(grey, 65535, np.uint16)])),
        png(np.dstack([deep(grey, bits), np.full_like(grey, 65535, np.uint16)])),
        tiff_of_colours(deep(COLOURS, bits), "<"),
        tiff_of_colours(deep(COLOURS, bits), ">"),
    ):
        got = seen(content)
        expected = (
            COLOURS if np.ptp(got.astype(int), axis=2).any() else grey[..., None].repeat(3, 2)
        )
        assert_allclose(got.astype(int), expected, atol=1)


def test_the_declared_depth_counts_first():
    dark = deep(COLOURS[..., 0] // 4, 12)
    for content in (png(dark, declared=12), tiff(dark, largest=4095)):
        assert_allclose(seen(content)[..., 0].astype(int), COLOURS[..., 0] // 4, atol=1)
    assert_allclose(
        seen(png(deep(COLOURS // 4, 12), declared=12)).astype(int), COLOURS // 4, atol=1
    )
    # PNG wants values that are scaled to all bits, however few are significant.
    scaled = deep(COLOURS[..., 0], 16)
    assert_array_equal(seen(png(scaled, declared=12)), seen(png(scaled)))
    for wrong in (png(scaled, declared=200), tiff(scaled, largest=2**31)):
        assert_array_equal(seen(wrong), seen(png(scaled)))


@pytest.fixture
def encoder():
    return CLIPImageEncoder("mini", "bundled", precision="fp32", cache=None, normalize=True)


def test_all_pictures_of_a_call_have_one_range(encoder, tmp_path):
    bright, dark = COLOURS[..., 0], COLOURS[..., 0] // 5
    files = [png(deep(dark, 12)), bright, tiff(deep(bright, 12)), png(deep(dark, 10), declared=10)]
    files.append(Image.fromarray(deep(dark, 12)))
    expected = encoder.transform([dark, bright, bright, dark, dark])
    for cache in (None, tmp_path, tmp_path):
        encoder.set_params(cache=cache)
        with pytest.warns(UserWarning, match="3 of 5 images have 16 bits .* need 12, so") as warned:
            got = encoder.transform(files)
        assert len(warned) == 1
        assert (got * expected).sum(axis=1).min() > 0.999
    # Alone, the dark picture has another range, also with the same cache.
    with pytest.warns(UserWarning, match="1 of 1 .* need 10"):
        alone = encoder.transform(files[:1])
    assert (alone * expected[0]).sum() < 0.999
    encoder.transform([png(deep(bright, 16))])


def test_an_unreadable_picture_beside_them_is_named(encoder):
    files = [png(deep(COLOURS, 12)), b"no picture", png(deep(COLOURS, 12))[:-200]]
    with pytest.raises(ValueError, match="Image 1 .* cannot be read"):
        encoder.transform(files)
    encoder.set_params(on_error="nan")
    with (
        pytest.warns(UserWarning, match="1 of 3 images have 16 bits"),
        pytest.warns(UserWarning, match="2 of 3 .*: 1 .*, 2 "),
    ):
        embeddings = encoder.transform(files)
    assert np.isfinite(embeddings).all(axis=1).tolist() == [True, False, False]
