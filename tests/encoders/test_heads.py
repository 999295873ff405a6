"""A file is judged by its head: what is no picture is not read, and a picture is read whole."""

import io
import os

import numpy as np
import pytest
from PIL import Image, features

from sksemobridge.encoders._heads import (
    ImageReadError,
    begins_as_image,
    read_file,
    read_open_file,
)

from ..encoder_helpers import some_pictures

PICTURE = Image.fromarray(some_pictures(1)[0])


def encoded(kind, **options):
    file = io.BytesIO()
    PICTURE.save(file, kind, **options)
    return file.getvalue()


class Counted(io.FileIO):
    """A file that counts the bytes that are read, and in how many parts."""

    n_bytes = n_reads = 0

    def read(self, size=-1):
        content = super().read(size)
        self.n_bytes += len(content)
        self.n_reads += 1
        return content


def refused(path, message):
    with Counted(path) as file, pytest.raises(ImageReadError, match=message):
        read_open_file(file)
    return file


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "WEBP", "AVIF"]
)
def test_a_picture_is_read_whole(tmp_path, kind):
    if kind in ("WEBP", "AVIF") and not features.check(kind.lower()):
        pytest.skip(f"this Pillow has no {kind}")
    path, content = tmp_path / "picture", encoded(kind)
    path.write_bytes(content)
    assert begins_as_image(path)
    assert read_file(path) == content


def test_a_picture_may_have_a_head_of_megabytes(tmp_path):
    # Portraits of phones keep the depth of each pixel before the pixels.
    content = encoded("JPEG")
    depth = b"\xff\xe1\xff\xffhttp://ns.adobe.com/xmp/extension/\0".ljust(65537, b"x")
    path = tmp_path / "portrait.jpg"
    path.write_bytes(content[:2] + 100 * depth + content[2:])
    assert len(read_file(path)) == len(content) + 100 * len(depth)


def test_of_what_is_no_picture_only_a_few_bytes_are_read(tmp_path):
    path = tmp_path / "film.jpg"
    path.write_bytes(b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(10**6))
    assert refused(path, "not an image of a kind that is read").n_bytes < 1000
    assert not begins_as_image(path)


@pytest.mark.parametrize("kind", ["JPEG", "GIF"])
def test_what_only_begins_as_a_picture_is_not_searched_to_its_end(tmp_path, kind):
    path = tmp_path / "picture"
    path.write_bytes(encoded(kind)[:16] + bytes(10**6))
    assert refused(path, "begins as an image and does not go on as one").n_bytes < 5 * 10**5
    assert not begins_as_image(path)


def test_a_picture_of_too_many_pixels_is_not_read(tmp_path, limit_pixels):
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    limit_pixels(200_000)
    with pytest.warns(Image.DecompressionBombWarning):
        file = refused(tmp_path / "large.png", "500 x 500 pixels are more than the limit")
    assert file.n_bytes < 1000


def test_more_bytes_than_a_picture_can_have_are_not_read(tmp_path, limit_pixels):
    path = tmp_path / "picture.png"
    path.write_bytes(encoded("PNG"))
    limit_pixels(10_000)
    os.truncate(path, 8 * 10_000 + 2**26 + 1)
    assert refused(
        path, "its 67,188,865 bytes are more than the limit of .* Raise PIL."
    ).n_bytes < (1000)
    os.truncate(path, 8 * 10_000 + 2**26)
    assert len(read_file(path)) == 8 * 10_000 + 2**26


def test_what_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(encoded("PNG"))

    class Large(Counted):
        def read(self, size=-1):
            if size == os.path.getsize(path):
                raise MemoryError
            return super().read(size)

    with Large(path) as file, pytest.raises(ImageReadError, match="do not fit into memory"):
        read_open_file(file)
