"""Reading one picture: as people see it, or an error that says why not."""

import io
import os
import struct
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, features
from sklearn.datasets import load_sample_images

from sksemobridge.encoders import CLIPImageEncoder, ImageReadError, read_image
from sksemobridge.encoders._heads import _readable_formats

from ..encoder_helpers import some_pictures

PIXELS = some_pictures(1, size=(24, 36))[0]
PICTURE = Image.fromarray(PIXELS)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def orientation_of(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def seen(source):
    image = read_image(source)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_all_sources_of_one_picture_are_seen_alike(tmp_path):
    content = encoded(PICTURE)
    # The content tells the kind, not the name.
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    for source in (
        str(path),
        path,
        np.str_(path),
        content,
        bytearray(content),
        memoryview(content),
        Image.open(path),
        PICTURE,
        PIXELS,
        np.asfortranarray(PIXELS),
        PIXELS[::-1][::-1],
    ):
        assert_array_equal(seen(source), PIXELS)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "BMP", "TIFF", "PNG", "JPEG2000"])
def test_common_kinds_are_read(kind):
    if kind == "JPEG2000" and not features.check("jpg_2000"):
        pytest.skip("this Pillow has no JPEG 2000")
    assert np.abs(seen(encoded(PICTURE, kind)).astype(int) - PIXELS).mean() < 12


def test_a_picture_for_print_is_converted():
    content = encoded(PICTURE.convert("CMYK"), "JPEG", quality=95)
    assert np.abs(seen(content).astype(int) - PIXELS).mean() < 8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "stored"),
    [(1, lambda a: a), (2, lambda a: a[:, ::-1]), (6, np.rot90)],
)
def test_pictures_stand_upright(kind, orientation, stored):
    options = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    picture = Image.fromarray(np.ascontiguousarray(stored(PIXELS)))
    upright = seen(encoded(picture, kind, exif=orientation_of(orientation), **options)).astype(int)
    assert upright.shape == PIXELS.shape
    assert np.abs(upright - PIXELS).mean() < 6


@pytest.mark.parametrize("orientation", [1, 6])
def test_jpegs_may_be_decoded_smaller_but_not_too_small(orientation):
    pixels = some_pictures(1, size=(600, 904))[0]
    content = encoded(Image.fromarray(pixels), "JPEG", quality=95, exif=orientation_of(orientation))
    full = read_image(content)
    assert read_image(content, shortest_side=151).size == full.size
    for shortest_side, shrink in ((150, 2), (101, 2), (100, 4), (50, 8), (5, 8)):
        small = read_image(content, shortest_side=shortest_side)
        assert min(small.size) == 600 // shrink
        again = np.asarray(full.resize(small.size, Image.Resampling.BOX)).astype(int)
        assert np.abs(np.asarray(small) - again).mean() < 3
    # Only files are.
    assert read_image(Image.open(io.BytesIO(content)), shortest_side=50).size == full.size


ENCODER = CLIPImageEncoder("mini", "bundled", precision="fp32", cache=None, normalize=True)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize(
    ("size", "least"), [((2003, 3001), 0.9999), ((601, 899), 0.999), ((311, 773), 0.999)]
)
def test_a_jpeg_whose_sides_cannot_be_divided_is_cropped_as_the_whole(size, least, orientation):
    for photo in load_sample_images().images:
        picture = Image.fromarray(photo).resize(size[::-1], Image.Resampling.BICUBIC)
        content = encoded(picture, "JPEG", quality=90, exif=orientation_of(orientation))
        fast, full = ENCODER.transform([content, seen(content)])
        assert fast @ full > least


@pytest.mark.filterwarnings("ignore")
def test_wrong_metadata_does_not_spoil_a_sound_picture():
    for exif in (b"Exif\x00\x00" + b"II*\x00garbage", orientation_of(9)):
        assert_array_equal(seen(encoded(PICTURE, exif=exif)), PIXELS)
    # Beside the orientation, a resolution of a type that Pillow reads and could not write.
    entries = struct.pack("<HHIHHHHI4s", 0x0112, 3, 1, 6, 0, 0x011A, 1, 4, b"abcd")
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x02\x00" + entries + bytes(4)
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(PIXELS)))
    assert_array_equal(seen(encoded(turned, exif=exif)), PIXELS)


def test_grey_and_black_and_white():
    grey = PIXELS[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    assert_array_equal(seen(grey), expected)
    assert_array_equal(seen(encoded(Image.fromarray(grey))), expected)
    assert set(np.unique(seen(encoded(Image.fromarray(grey > 100))))) == {0, 255}


def test_transparent_parts_are_white():
    alpha = np.full(PIXELS.shape[:2], 255, dtype=np.uint8)
    alpha[:10], alpha[10:14] = 0, 128
    both = np.dstack([PIXELS, alpha])
    expected = np.where(
        alpha[..., None] == 255,
        PIXELS,
        np.round(PIXELS * (alpha / 255)[..., None] + 255 - alpha[..., None]),
    )
    for source in (both, encoded(Image.fromarray(both)), Image.fromarray(both)):
        assert_allclose(seen(source), expected, atol=1)
        assert (seen(source)[:10] == 255).all()


def test_a_transparent_colour_and_transparent_greys_are_white():
    palette, stamped = PICTURE.quantize(16), PIXELS.copy()
    stamped[:5] = (1, 2, 3)
    grey = Image.fromarray(PIXELS[..., 0]).convert("LA")
    grey.putalpha(
        Image.fromarray(np.where(np.arange(36) < 9, 0, 255).astype(np.uint8)[None].repeat(24, 0))
    )
    is_third = np.asarray(palette) == 3
    first_rows, first_columns = np.indices(is_third.shape) < np.reshape([5, 9], (2, 1, 1))
    for content, expected, is_clear in (
        (encoded(palette), palette, np.zeros_like(is_third)),
        (encoded(palette, transparency=3), palette, is_third),
        (encoded(palette, transparency=bytes([255, 255, 255, 0] + [255] * 12)), palette, is_third),
        (
            encoded(Image.fromarray(stamped), transparency=(1, 2, 3)),
            Image.fromarray(stamped),
            first_rows,
        ),
        (encoded(grey), grey, first_columns),
    ):
        assert_array_equal(seen(content)[~is_clear], np.asarray(expected.convert("RGB"))[~is_clear])
        assert (seen(content)[is_clear] == 255).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_counts(kind):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert_allclose(seen(content), np.full((16, 16, 3), [255, 0, 0]), atol=3)


def test_the_given_image_is_left_as_it_is():
    image = Image.open(io.BytesIO(encoded(PICTURE, "JPEG", exif=orientation_of(6))))
    image.load()
    before = np.asarray(image).copy()
    assert seen(image).shape[:2] == PIXELS.shape[1::-1]
    assert_array_equal(np.asarray(image), before)
    assert image.getexif()[0x0112] == 6


# What cannot be read


def refused(source, message):
    with pytest.raises(ImageReadError, match=message):
        read_image(source)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused(kind, part):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    refused(content[: int(part * len(content))], "broken|cannot open|not an image")


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_broken_image_of_pillow_is_refused_each_time(kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = bytearray(encoded(Image.fromarray(noise), kind))
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(byte ^ 0x5A for byte in content[middle : middle + 100])
    image = Image.open(io.BytesIO(content))
    for _ in range(3):
        refused(image, "broken")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "the file is empty"),
        (b"this is not a picture", "not an image of a kind that is read"),
        (".", "not a regular file"),
        ("nul\0byte", "null byte"),
        ("", "no such file"),
        *((path, "no such file") for path in ("nothing.jpg", "https://a.org/b.jpg")),
        *(
            (other, "is not an image; give a path")
            for other in (None, 3, float("nan"), ["a.jpg"], {"path": "a.jpg"}, (PIXELS, "0045"))
        ),
        *(
            (np.zeros(shape, np.uint8), "must have the shape")
            for shape in ((4,), (4, 4, 1), (4, 4, 2), (3, 8, 8), (2, 4, 4, 3), (4, 0, 3))
        ),
        (Image.new("RGB", (0, 5)), "0 x 5 pixels are more than the limit of .*, or none"),
        *(
            (PIXELS.astype(dtype), f"must be uint8 from 0 to 255, not {np.dtype(dtype)}; .*round")
            for dtype in (np.float32, np.int64, np.uint16, bool)
        ),
        *(
            (encoded(Image.fromarray(values), "TIFF"), "unknown range; convert them to 8 bits")
            for values in (np.int32([[70000]]), np.int32([[-1]]), np.float32([[1]]))
        ),
    ],
)
def test_what_is_no_picture_is_refused(source, message):
    refused(source, message)


def test_a_heic_picture_without_its_plug_in_says_so(monkeypatch):
    readable = [kind for kind in _readable_formats() if kind != "HEIF"]
    monkeypatch.setattr("sksemobridge.encoders._heads._readable_formats", lambda: readable)
    for kind in (b"heic", b"mif1"):
        remedy = r"a HEIC image, .* pip install pillow-heif"
        refused(b"\0\0\0\x18ftyp" + kind + b"\0\0\0\0mif1heic", remedy)


@pytest.mark.parametrize(("package", "kind"), [("pillow_heif", "HEIF"), ("pillow_jxl", "JXL")])
def test_a_plug_in_that_is_there_is_used(package, kind):
    pytest.importorskip(package, reason=f"needs {package}")
    _readable_formats()
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(PIXELS)))
    for content in (
        encoded(PICTURE, kind, quality=95),
        encoded(turned, kind, quality=95, exif=orientation_of(6).tobytes()),
    ):
        assert np.abs(seen(content).astype(int) - PIXELS).mean() < 12


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes exist on POSIX systems only")
def test_what_would_wait_for_ever_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not a regular file")


@pytest.mark.skipif(not os.path.exists("/proc/kmsg"), reason="a system without such files")
def test_files_that_never_end_are_refused():
    for path in ("/proc/kmsg", "/proc/self/mem", "/proc/self/pagemap"):
        refused(path, "empty|Permission denied|not permitted")


def test_decompression_bombs_are_refused(limit_pixels):
    content = encoded(PICTURE)
    image = Image.open(io.BytesIO(content))
    # Pillow itself only warns up to twice its limit, and is silent about images that are already
    # open.
    for limit in (PIXELS[..., 0].size - 1, PIXELS[..., 0].size // 3):
        limit_pixels(limit)
        with warnings.catch_warnings(action="ignore"):
            refused(
                content,
                "exhaust memory. Raise PIL.Image.MAX_IMAGE_PIXELS|could be decompression bomb",
            )
            refused(image, "exhaust memory")
    # Pixels that are in memory do no harm.
    assert_array_equal(seen(PIXELS), PIXELS)
    limit_pixels(None)
    assert_array_equal(seen(content), PIXELS)


def test_content_that_starts_programs_is_refused_under_any_name(tmp_path):
    # Pillow starts Ghostscript to load such a file.
    path = tmp_path / "harmless.jpg"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    )
    for source in (path.read_bytes(), path):
        refused(source, "not an image of a kind that is read")


def test_an_open_file_is_read_as_its_path_is(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 20), "teal").save(path)
    with open(path, "rb") as file:
        file.read(5)
        found = read_image(file)
    assert (found.size, found.mode) == ((40, 20), "RGB")
    assert found.tobytes() == read_image(path).tobytes()
    text = tmp_path / "notes.txt"
    text.write_text("not an image")
    with open(text, "rb") as file, pytest.raises(ImageReadError, match="not an image"):
        read_image(file)
