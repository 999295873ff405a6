"""Recognition of image files by their heads, so that a film is never read whole."""

import io
import os
import re
from contextlib import suppress
from functools import cache

from PIL import ExifTags, Image, UnidentifiedImageError

# Pillow's names of the kinds of files that are read, plug-ins for HEIF, JPEG XL and AVIF among
# them. Other kinds are not read: some start programs (EPS starts Ghostscript, under any file name),
# and others have readers that are hardly tested.
FORMATS = (
    "AVIF", "BMP", "DDS", "DIB", "GIF", "HEIF", "ICNS", "ICO", "JPEG", "JPEG2000", "JXL", "MPO",
    "PCX", "PNG", "PPM", "PSD", "QOI", "SGI", "TGA", "TIFF", "WEBP", "XBM",
)  # fmt: skip

# The beginning of images of phones that need a plug-in.
_HEIC = re.compile(rb"....ftyp(hei|hev|mif1|msf1)", re.DOTALL)

# Most bytes of a pixel in a file: four channels of 16 bits, not compressed.
_PIXEL_BYTES = 8
# Most other bytes of a file, beside its pixels, such as the short film of a phone's "live photo".
_OTHER_BYTES = 2**26

# Most bytes of a head. Heads of real images have some kilobytes. Colour profiles, or the depth of
# each pixel in portraits by phones, take some megabytes.
_HEAD_BYTES = 2**25
# Most reads of a head, which take 0.02 seconds. Heads of real images take hundreds of reads, or
# some thousands with long notes. A JPEG that goes on with zeros would be read byte by byte to its
# end.
_HEAD_READS = 20_000


class ImageReadError(ValueError):
    """An image that cannot be read."""


class _WholeFileError(Exception):
    """A reader of Pillow wants the whole file to tell more than its first bytes do."""


class _Head:
    """A file of which Pillow may read only the head. Reading further is an error."""

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
    """Refuse images without pixels, and images with more pixels than Pillow allows."""
    limit = Image.MAX_IMAGE_PIXELS or float("inf")
    if not 0 < width * height <= limit:
        raise ImageReadError(
            f"{width} x {height} pixels are more than the limit of {limit:,}, or none; such a file"
            " may exhaust memory. Raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        )


@cache
def _readable_formats():
    """The `FORMATS` that Pillow reads with the installed plug-ins."""
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


def read_open_file(file):
    """The bytes of an open file that begins as an image. Other files are not read, and raise an
    `ImageReadError`.
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


def read_file(path):
    """`read_open_file` of a path."""
    # A directory is no image, and reading a pipe would wait for a writer.
    if os.path.exists(path) and not os.path.isfile(path):
        raise ImageReadError("it is not a regular file")
    try:
        with open(path, "rb") as file:
            return read_open_file(file)
    except ImageReadError:
        raise
    except (OSError, ValueError) as error:
        problem = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise ImageReadError(problem) from error


def read_exif(path):
    """The metadata that a camera wrote into an image: `Exif` of Pillow."""
    with open(path, "rb") as file:
        try:
            image = open_image(_Head(file))
        except _WholeFileError:
            file.seek(0)
            image = open_image(io.BytesIO(read_open_file(file)))
        # Pillow would look for the metadata behind the pixels, and decode the pixels.
        is_png = image.format == "PNG" and "exif" not in image.info
        exif = Image.Exif() if is_png else image.getexif()
        # Read this part now, while the file is open. Pillow keeps it.
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
