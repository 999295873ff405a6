"""Which files are images: judged by their heads, so that a film is never read whole."""

import io
import os
import re
from contextlib import suppress
from functools import cache

from PIL import ExifTags, Image, UnidentifiedImageError

# Pillow's names of the kinds of files that are read, plug-ins for HEIF, JPEG XL and AVIF among
# them. No others: some start programs (EPS starts Ghostscript, under any file name) or have readers
# that few images ever went through.
FORMATS = (
    "AVIF", "BMP", "DDS", "DIB", "GIF", "HEIF", "ICNS", "ICO", "JPEG", "JPEG2000", "JXL", "MPO",
    "PCX", "PNG", "PPM", "PSD", "QOI", "SGI", "TGA", "TIFF", "WEBP", "XBM",
)  # fmt: skip

# How images of phones begin, which need a plug-in.
_HEIC = re.compile(rb"....ftyp(hei|hev|mif1|msf1)", re.DOTALL)

# A pixel takes no more bytes in a file: four channels of 16 bits, not compressed.
_PIXEL_BYTES = 8
# Beside its pixels, a file may hold so much else, such as the short film of a phone's "live photo".
_OTHER_BYTES = 2**26

# A head is no longer than this. Heads of real images have some kilobytes. Some megabytes are
# profiles of colours, or the depth of each pixel in portraits by phones.
_HEAD_BYTES = 2**25
# A head is read in no more parts than this, which takes 0.02 seconds. Heads of real images take
# hundreds, or some thousands with long notes. A JPEG that goes on with zeros would be read byte by
# byte to its end.
_HEAD_READS = 20_000


class ImageReadError(ValueError):
    """An image that cannot be read."""


class _WholeFileError(Exception):
    """A reader of Pillow wants the whole file to tell more than its first bytes do."""


class _Head:
    """A file of which Pillow may read the head. More of it is an error."""

    def __init__(self, file):
        self._file, self.seek, self.tell = file, file.seek, file.tell
        self._n_reads = self._n_bytes = 0

    def read(self, size=-1):
        if size is None or size < 0:
            raise _WholeFileError
        content = self._file.read(min(size, _HEAD_BYTES + 1))
        self._n_reads += 1
        self._n_bytes += len(content)
        if self._n_reads > _HEAD_READS or self._n_bytes > _HEAD_BYTES:
            raise ImageReadError("it is broken: it begins as an image and does not go on as one")
        return content


def check_size(width, height):
    """Refuse images without pixels, and with more than Pillow allows."""
    limit = Image.MAX_IMAGE_PIXELS or float("inf")
    if not 0 < width * height <= limit:
        raise ImageReadError(
            f"{width} x {height} pixels are more than the limit of {limit:,}, or none; such a file"
            " may exhaust memory. Raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        )


@cache
def _readable_formats():
    """Of `FORMATS`, those that Pillow reads with the plug-ins that are installed."""
    Image.init()
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    with suppress(ImportError):
        import pillow_jxl  # noqa: F401  (registers itself)
    return [kind for kind in FORMATS if kind in Image.OPEN]


def open_image(file):
    """An image of Pillow from an open file. Most readers read its head only."""
    try:
        return Image.open(file, formats=_readable_formats())
    except UnidentifiedImageError as error:
        file.seek(0)
        problem = "its content is not an image of a kind that is read"
        if _HEIC.match(file.read(12)):
            problem = "it is a HEIC image, which needs a package: pip install pillow-heif"
        raise ImageReadError(problem) from error
    except (_WholeFileError, ImageReadError):
        raise
    except Exception as error:
        raise ImageReadError(f"Pillow cannot open it: {error}") from error


def read_image(file):
    """The bytes of an open file that begins as an image; `ImageReadError` for others, which are
    not read.
    """
    n_bytes = os.fstat(file.fileno()).st_size
    # Some files in /proc have no size, and no end.
    if not n_bytes:
        raise ImageReadError("the file is empty")
    with suppress(_WholeFileError):
        check_size(*open_image(_Head(file)).size)
    limit = _PIXEL_BYTES * (Image.MAX_IMAGE_PIXELS or float("inf")) + _OTHER_BYTES
    if n_bytes > limit:
        raise ImageReadError(
            f"its {n_bytes:,} bytes are more than the limit of {limit:,}; such a file may exhaust"
            " memory. Raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        )
    file.seek(0)
    try:
        return file.read(n_bytes)
    except MemoryError:
        raise ImageReadError(f"its {n_bytes:,} bytes do not fit into memory") from None


def read_image_file(path):
    """`read_image` of a path."""
    # A directory, or a pipe, which would wait for a writer.
    if os.path.exists(path) and not os.path.isfile(path):
        raise ImageReadError("it is not a regular file")
    try:
        with open(path, "rb") as file:
            return read_image(file)
    except ImageReadError:
        raise
    except (OSError, ValueError) as error:
        problem = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise ImageReadError(problem) from error


def read_exif(path):
    """What a camera wrote into an image beside its pixels: `Exif` of Pillow."""
    with open(path, "rb") as file:
        try:
            image = open_image(_Head(file))
        except _WholeFileError:
            file.seek(0)
            image = open_image(io.BytesIO(read_image(file)))
        # Pillow would look for it behind the pixels, and decode them.
        is_png = image.format == "PNG" and "exif" not in image.info
        exif = Image.Exif() if is_png else image.getexif()
        # This part is read when it is asked for first, and kept.
        exif.get_ifd(ExifTags.IFD.Exif)
        return exif


def begins_as_image(path):
    """Whether a file is an image by its head."""
    if not os.path.isfile(path):  # reading a pipe would wait for a writer
        return False
    try:
        with open(path, "rb") as file:
            open_image(_Head(file))
    except _WholeFileError:
        return True
    except (OSError, ImageReadError):
        return False
    return True
