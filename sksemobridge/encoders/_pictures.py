"""Read one picture from a file, bytes, pixels or an image of Pillow, into an RGB image of Pillow."""

import hashlib
import io
import math
import os
import re
import stat
import threading
from contextlib import suppress
from functools import cache

import numpy as np

from .._utils.array_api import to_numpy
from ._depth import colours_in_8_bits, grey_in_8_bits, read_depth

# Pillow's names of the kinds of files that are read, plug-ins for HEIF, JPEG XL and AVIF among them. No others:
# some start programs (EPS starts Ghostscript, under any file name) or have readers that few pictures ever went through.
FORMATS = (
    "AVIF", "BMP", "DDS", "DIB", "GIF", "HEIF", "ICNS", "ICO", "JPEG", "JPEG2000", "JXL", "MPO", "PCX", "PNG", "PPM",
    "PSD", "QOI", "SGI", "TGA", "TIFF", "WEBP", "XBM",
)  # fmt: skip

# How files of kinds begin that need a plug-in, and what they need.
_PLUG_INS = {
    rb"....ftyp(hei|hev|mif1|msf1)": "a HEIC picture, which needs pillow-heif: pip install 'sksemobridge[heic]'",
    rb"....ftypavi[fs]": "an AVIF picture, which needs Pillow 11.3 or newer: pip install --upgrade pillow",
    rb"\xff\x0a|....JXL ": "a JPEG XL picture, which needs a plug-in of Pillow: pip install pillow-jxl-plugin",
}

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://|data:", re.IGNORECASE)

# The largest pixels have four channels of 16 bits. A file with more bytes a pixel is no picture.
_PIXEL_BYTES = 8

# A JPEG may be shrunk by a factor while it is decoded. Afterwards, its shorter side must still be this many times as
# long as the input of the model. With smaller margins, some embeddings of photographs or noise by the bundled model
# have cosines below 0.999 to those of whole pictures.
_SHRINKS = {8: 1.5, 4: 1.5, 2: 2}

# The first bytes of files that may have 16 bits a channel: PNG, and TIFF in two byte orders and two sizes.
_MAY_BE_DEEP = b"\x89PNG", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"

# Threads read several parts of one open image, or file, one after the other. Different ones rarely wait for each other.
_LOCKS = [threading.Lock() for _ in range(64)]


def _lock_of(source):
    # Addresses are multiples of 16.
    return _LOCKS[id(source) // 16 % len(_LOCKS)]


class ImageReadError(ValueError):
    """An image that cannot be read."""


class UnknownDepthError(ImageReadError):
    """A picture of 16 bits does not say how many of them it uses. Its values need `bits`."""

    def __init__(self, bits):
        super().__init__(f"it does not say how many of its 16 bits it uses; its values need {bits}")
        self.bits = bits


def needed_bits(bits):
    """For `choose` in `decode`: a picture of 16 bits has as many bits as its values need."""
    return bits


def describe(source):
    """The name of a source in messages: its path, or the kind of object."""
    if isinstance(source, (str, os.PathLike)):
        return repr(os.fspath(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"{len(source):,} encoded bytes"
    if isinstance(source, np.ndarray):
        return f"array of shape {source.shape}"
    if isinstance(source, tuple) and len(source) == 2:
        return f"{describe(source[0])} in the box {source[1]}"
    if isinstance(source, dict) and source.get("path") is not None:
        return describe(source["path"])
    return repr(source.full_name) if is_a(source, "fsspec.core.OpenFile") else type(source).__name__


def fetch(source, choose=needed_bits):
    """The content of a source, which is the bytes of a file or pixels. `ImageReadError` says why there is none.

    `choose` is that of `decode`, for sources whose content is pixels.
    """
    source = to_numpy(source)
    if isinstance(source, np.ndarray):
        return _check_pixels(source)
    if is_a(source, "PIL.Image.Image"):
        # The image is read only now, by the reader that opened it.
        if getattr(source, "tile", None) and source.format not in FORMATS:
            raise ImageReadError(
                f"it is of the kind {source.format}; call its load() first if you trust its origin"
            )
        with _lock_of(source):
            return np.asarray(_to_picture(source, choose=choose))
    if isinstance(source, tuple) and len(source) == 2:
        return _crop(decode(fetch(source[0], choose), choose=choose), source[1])
    # As `datasets.Image(decode=False)` gives it.
    if isinstance(source, dict) and source.keys() >= {"bytes", "path"}:
        return fetch(source["path"] if source["bytes"] is None else source["bytes"], choose)
    if isinstance(source, (str, os.PathLike)):
        source = _read_file(os.fspath(source))
    elif is_a(source, "fsspec.core.OpenFile"):
        source = _read_open_file(source)
    elif not isinstance(source, (bytes, bytearray, memoryview)):
        raise ImageReadError(
            f"{source!r:.60} ({type(source).__name__}) is not an image; give a path, encoded bytes, an image "
            "of Pillow or a uint8 array, or (image, box)"
        )
    if not len(source):
        raise ImageReadError("the file is empty")
    return source


def decode(content, shortest_side=None, fit=None, choose=needed_bits):
    """An RGB image of Pillow as people see it: upright, its first frame, on white where it is transparent.

    `content` is from `fetch`. With `shortest_side` a JPEG may be shrunk while it is decoded, which is much faster. Its
    sides stay longer than that. If they are no whole numbers, `fit(image, size, box)` resizes the part of the image that is
    the picture, whose whole size is `size`. `ImageReadError` says why an image cannot be read.

    Values of 16 bits are scaled by the depth that the file declares, or else by `choose(bits)` of those that they need.
    """
    from PIL import Image

    if isinstance(content, np.ndarray):
        return _to_rgb(Image.fromarray(np.ascontiguousarray(content)))
    return _to_picture(open_picture(io.BytesIO(content)), shortest_side, fit, choose, content)


def picture_digest(content):
    """Digest of the result of `fetch`. `decode` depends on nothing else."""
    is_pixels = isinstance(content, np.ndarray)
    digest = hashlib.sha256(f"pixels {content.shape} ".encode() if is_pixels else b"file ")
    digest.update(np.ascontiguousarray(content) if is_pixels else content)
    return digest.digest()


def has_unknown_depth(content):
    """Whether the content of a file has 16 bits, and does not say how many of them are used. Reads its head only."""
    if isinstance(content, np.ndarray) or bytes(content[:4]) not in _MAY_BE_DEEP:
        return False
    depth = read_depth(open_picture(io.BytesIO(content)), content)
    return depth is not None and depth.declared is None


def _to_picture(image, shortest_side=None, fit=None, choose=needed_bits, content=None):
    check_size(*image.size)
    size, shrink = image.size, 1
    depth = read_depth(image, content)
    unread = getattr(image, "tile", None)
    try:
        if shortest_side is not None:
            shrink = _shrink_while_decoding(image, shortest_side)
        image.load()
        if fit is not None and image.size != tuple(side / shrink for side in size):
            image = fit(image, size, (0, 0, *(side / shrink for side in size)))
        # An image that the user opened stays as it is.
        image = image.copy() if content is None else image
        _upright(image)
        return _to_rgb(image if depth is None else _in_8_bits(image, depth, choose, content))
    except ImageReadError:
        raise
    # For broken files, readers raise OSError, SyntaxError, struct.error, zlib.error and others.
    except Exception as error:
        if unread:
            # Pillow takes some broken images for read. Read once more, such an image would be half a picture.
            image.tile = unread
        reason = str(error) or type(error).__name__
        raise ImageReadError(f"it is broken or of an unknown kind: {reason}") from error


def is_a(value, name):
    """Whether a value is of the class of this name, whose package need not be imported."""
    return any(f"{kind.__module__}.{kind.__qualname__}" == name for kind in type(value).__mro__)


def check_pixel_type(pixels):
    """Refuse pixels that are not uint8."""
    if pixels.dtype != np.uint8:
        raise ImageReadError(
            f"pixels must be uint8 from 0 to 255, not {pixels.dtype}; for values from 0 to 1 use "
            "(255 * pixels).round().astype('uint8')"
        )


def _check_pixels(pixels):
    check_pixel_type(pixels)
    if pixels.ndim != 2 and (pixels.ndim != 3 or pixels.shape[2] not in (3, 4)):
        raise ImageReadError(f"pixels must have the shape (h, w), (h, w, 3) or (h, w, 4), not {pixels.shape}")
    if np.ma.is_masked(pixels):
        raise ImageReadError("some of its pixels are masked; fill them, for example with pixels.filled(255)")
    if not pixels.size:
        raise ImageReadError(f"the picture has no pixels, its shape is {pixels.shape}")
    # However many: they are in memory already.
    return pixels


def _read_file(path):
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ImageReadError(
                "it is a directory; sksemobridge.datasets.load_image_folder lists the images in one"
            )
        if not stat.S_ISREG(status.st_mode):
            raise ImageReadError("it is not a regular file")
        _check_bytes(status.st_size)
        with open(path, "rb") as file:
            # No more than that: files in /proc may be longer than their size says, or have no end.
            return file.read(status.st_size)
    except ImageReadError:
        raise
    except (OSError, ValueError) as error:
        problem = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        if isinstance(path, str) and _ADDRESS.match(path):
            problem = (
                "addresses are not fetched; download the file and give its path, or give fsspec.open(address) if "
                "you trust where it leads"
            )
        raise ImageReadError(problem) from error


def _read_open_file(source):
    try:
        with _lock_of(source), source as file:
            # One byte more than a picture may have is enough to refuse it.
            content = file.read(-1 if _limit() == math.inf else _PIXEL_BYTES * _limit() + 1)
    except FileNotFoundError as error:
        raise ImageReadError("there is no such file") from error
    # Each system has errors of its own.
    except Exception as error:
        raise ImageReadError(str(error) or type(error).__name__) from error
    _check_bytes(len(content))
    return content


def _limit():
    """The most pixels that Pillow allows."""
    from PIL import Image

    return math.inf if Image.MAX_IMAGE_PIXELS is None else Image.MAX_IMAGE_PIXELS


def _check_bytes(n):
    if n > _PIXEL_BYTES * _limit():
        raise _too_large(f"it has more bytes than {_limit():,} pixels take")


def _crop(picture, box):
    """The pixels of a picture inside a box `(left, top, right, bottom)`, which may reach beyond its sides."""
    try:
        # `(image, "0045")` is an image with a label.
        left, top, right, bottom = (
            "" if isinstance(box, (str, bytes)) else (round(float(side)) for side in box)
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise ImageReadError(f"the box {box!r:.60} is not (left, top, right, bottom) in pixels") from error
    pixels = np.asarray(picture)[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if not pixels.size:
        raise ImageReadError(
            f"the box {box} holds no pixel of the picture of {picture.width} x {picture.height}"
        )
    return pixels


@cache
def _readable_formats():
    """Of `FORMATS`, those that Pillow reads with the plug-ins that are installed."""
    from PIL import Image

    Image.init()
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    with suppress(ImportError):
        import pillow_jxl  # noqa: F401  (registers itself)
    return [kind for kind in FORMATS if kind in Image.OPEN]


def open_picture(file):
    """An image of Pillow from a path or a `BytesIO`. Only its head is read."""
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(file, formats=_readable_formats())
    except UnidentifiedImageError as error:
        head = bytes(file.getbuffer()[:12]) if isinstance(file, io.BytesIO) else b""
        plug_in = next((need for begin, need in _PLUG_INS.items() if re.match(begin, head, re.DOTALL)), None)
        problem = f"it is {plug_in}" if plug_in else "its content is not an image of a kind that is read"
        raise ImageReadError(problem) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(str(error)) from error
    except Exception as error:
        raise ImageReadError(f"Pillow cannot open it: {error}") from error


def _shrink_while_decoding(image, shortest_side):
    """By which factor the sides of a JPEG become shorter."""
    for shrink, margin in _SHRINKS.items():
        if image.format == "JPEG" and min(image.size) >= shrink * margin * shortest_side:
            image.draft(None, tuple(side // shrink for side in image.size))
            return shrink
    return 1


def check_size(width, height):
    """Refuse pictures without pixels, and with more than Pillow allows."""
    if not width or not height:
        raise ImageReadError(f"the picture has no pixels, its size is {width} x {height}")
    if width * height > _limit():
        raise _too_large(f"{width} x {height} pixels are more than the limit of {_limit():,}")


def _too_large(reason):
    return ImageReadError(
        f"{reason}; such a file may be made to exhaust memory. Raise PIL.Image.MAX_IMAGE_PIXELS if you "
        "trust it"
    )


def _upright(image):
    """Turn a loaded image in place."""
    from PIL import ImageOps

    # Only after loading: some formats store the orientation behind the pixels. Where the metadata are broken, the picture is
    # not. Without a copy of them, Pillow does not write them anew, which fails at others than the orientation.
    with suppress(Exception):
        image.getexif()
        image.info.pop("exif", None)
        ImageOps.exif_transpose(image, in_place=True)


def _in_8_bits(image, depth, choose, content):
    from PIL import Image

    def reopen(raw_mode):
        again = open_picture(io.BytesIO(content))
        again.tile = [
            tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
            for tile in again.tile
        ]
        again.load()
        _upright(again)
        return again

    if image.mode.startswith("I"):
        return Image.fromarray(grey_in_8_bits(image, depth, choose))
    # An image that the user opened has lost the low bytes.
    return image if content is None else colours_in_8_bits(image, depth, choose, reopen)


def _to_rgb(image):
    from PIL import Image

    if image.mode == "F":
        raise ImageReadError("its pixels are floating-point numbers of unknown range; convert them to 8 bits")
    if image.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in image.info:
        return image if image.mode == "RGB" else image.convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white
