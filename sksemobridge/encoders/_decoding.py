"""Read one image from a file, bytes, pixels or Pillow, into an RGB image of Pillow."""

import hashlib
import io
import os
import threading
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from .._utils.array_api import to_numpy
from ._depth import in_8_bits, read_depth
from ._heads import ImageReadError, check_size, open_image, read_file, read_open_file

# Factors by which a JPEG may be shrunk while it is decoded, each with the least ratio of its
# shorter side to the input of the model afterwards. With smaller margins, some embeddings have
# cosines below 0.999 to the embeddings of whole images.
_SHRINKS = {8: 1.5, 4: 1.5, 2: 2}

# The first bytes of files that may have 16 bits a channel: PNG, and TIFF in two byte orders and two
# sizes.
_MAY_BE_DEEP = b"\x89PNG", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"

# Threads may read one open image one after the other. Threads with different images rarely wait for
# each other.
_LOCKS = [threading.Lock() for _ in range(64)]


class UnknownDepthError(Exception):
    """An image of 16 bits does not say how many bits it uses. The argument is the number of bits
    that its values need.
    """


def describe(source):
    """The name of a source in messages: its path, or the kind of object."""
    return (
        repr(os.fspath(source)) if isinstance(source, (str, os.PathLike)) else type(source).__name__
    )


def fetch(source, choose=int):
    """The content of a source, which is the bytes of a file or pixels. An `ImageReadError` says why
    a source has no content.

    `choose` is the argument of `decode`, for images of Pillow.
    """
    source = to_numpy(source)
    if isinstance(source, np.ndarray):
        check_pixel_type(source)
        if (
            not source.size
            or source.ndim != 2
            and (source.ndim != 3 or source.shape[2] not in (3, 4))
        ):
            raise ImageReadError(
                f"pixels must have the shape (h, w) or (h, w, 3 or 4), not {source.shape}"
            )
        # Pixels in memory may be any number.
        return source
    if isinstance(source, Image.Image):
        # Addresses are multiples of 16.
        with _LOCKS[id(source) // 16 % len(_LOCKS)]:
            return np.asarray(_decode_opened(source, choose=choose))
    if isinstance(source, (str, os.PathLike)):
        source = read_file(os.fspath(source))
    elif isinstance(source, io.BufferedReader):
        source = read_open_file(source)
    if not isinstance(source, (bytes, bytearray, memoryview)):
        raise ImageReadError(
            f"{source!r:.60} ({type(source).__name__}) is not an image; give a path, encoded bytes,"
            " an image of Pillow or a uint8 array"
        )
    if not len(source):
        raise ImageReadError("the file is empty")
    return source


def read_image(source: Any, *, shortest_side: int | None = None) -> Image.Image:
    """Read an image as people see it.

    The result is upright, of the first frame, in RGB, and white where the source is transparent.

    Parameters
    ----------
    source : path, bytes, file opened by `open(path, "rb")`, image of Pillow or uint8 array
        Arrays have the shape `(h, w)`, `(h, w, 3)` or `(h, w, 4)`. Of a file that does not begin as
        an image, only the beginning is read.
    shortest_side : int or None, default=None
        Pixels of the shorter side that are needed. A large JPEG may be read at a smaller size, with
        sides above this number, which takes a fraction of the time.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    ImageReadError
        If the image cannot be read. The error says why.
    """
    return decode(fetch(source), shortest_side)


def decode(content, shortest_side=None, resize=None, choose=int):
    """An RGB image of Pillow as people see it: upright, its first frame, on white where it is
    transparent.

    `content` is from `fetch`. With `shortest_side`, a JPEG may be shrunk while it is decoded, to
    sides longer than `shortest_side`. If the shrunk sides are no whole numbers,
    `resize(image, size, box)` resizes the part of the shrunk image that the whole image, of this
    size, covers. Values of 16 bits are scaled by the depth that the file declares, or else by
    `choose(bits)` of the bits that the values need. `ImageReadError` says why an image cannot be
    read.
    """
    if isinstance(content, np.ndarray):
        return _to_rgb(Image.fromarray(np.ascontiguousarray(content)))
    return _decode_opened(open_image(io.BytesIO(content)), shortest_side, resize, choose, content)


def image_digest(content):
    """Digest of the result of `fetch`. `decode` depends on nothing else."""
    is_pixels = isinstance(content, np.ndarray)
    digest = hashlib.sha256(f"pixels {content.shape} ".encode() if is_pixels else b"file ")
    digest.update(np.ascontiguousarray(content) if is_pixels else content)
    return digest.digest()


def has_unknown_depth(content):
    """Whether the content of a file has 16 bits, and does not say how many bits are used. Only the
    head is read.
    """
    if isinstance(content, np.ndarray) or bytes(content[:4]) not in _MAY_BE_DEEP:
        return False
    depth = read_depth(open_image(io.BytesIO(content)), content)
    return depth is not None and depth.declared is None


def _decode_opened(image, shortest_side=None, resize=None, choose=int, content=None):
    check_size(*image.size)
    size, shrink = image.size, 1
    depth = read_depth(image, content)
    # An image that the user opened has lost the low bytes.
    reopen = None if content is None else partial(_reopen, content)
    unread = getattr(image, "tile", None)
    try:
        if shortest_side is not None:
            shrink = _shrink_while_decoding(image, shortest_side)
        image.load()
        if resize is not None and image.size != tuple(side / shrink for side in size):
            image = resize(image, size, (0, 0, *(side / shrink for side in size)))
        # An image that the user opened is not changed.
        image = image.copy() if content is None else image
        _upright(image)
        return _to_rgb(image if depth is None else in_8_bits(image, depth, choose, reopen))
    except (ImageReadError, UnknownDepthError):
        raise
    # For broken files, readers raise OSError, SyntaxError, struct.error, zlib.error and others.
    except Exception as error:
        if unread:
            # Pillow marks some broken images as read. A second read would give half an image.
            image.tile = unread
        reason = str(error) or type(error).__name__
        raise ImageReadError(f"it is broken or of an unknown kind: {reason}") from error


def check_pixel_type(pixels):
    """Refuse pixels that are not uint8."""
    if pixels.dtype != np.uint8:
        raise ImageReadError(
            f"pixels must be uint8 from 0 to 255, not {pixels.dtype}; for values from 0 to 1 use "
            "(255 * pixels).round().astype('uint8'), and give embeddings to the classifier itself"
        )


def _shrink_while_decoding(image, shortest_side):
    """The factor by which the sides of a JPEG become shorter."""
    for shrink, margin in _SHRINKS.items():
        if image.format == "JPEG" and min(image.size) >= shrink * margin * shortest_side:
            image.draft(None, tuple(side // shrink for side in image.size))
            return shrink
    return 1


def _upright(image):
    """Turn a loaded image in place."""
    # Turn only after loading: some formats store the orientation behind the pixels. Broken metadata
    # do not break the pixels. Without a copy of the metadata, Pillow does not write them anew,
    # which fails for broken fields other than the orientation.
    with suppress(Exception):
        image.getexif()
        image.info.pop("exif", None)
        ImageOps.exif_transpose(image, in_place=True)


def _reopen(content, raw_mode):
    """The upright image of a file, read in another layout of its pixels."""
    image = open_image(io.BytesIO(content))
    image.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in image.tile
    ]
    image.load()
    _upright(image)
    return image


def _to_rgb(image):
    if image.mode == "F":
        raise ImageReadError(
            "its pixels are floating-point numbers of unknown range; convert them to 8 bits"
        )
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white
