"""Depth of images of 16 bits, which often hold values of 8, 10, 12 or 14 bits, and their conversion
to 8 bits.
"""

import sys
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from PIL import Image

# Numbers of bits that cameras use.
DEPTHS = 8, 10, 12, 14, 16

# Grey with transparency, as Pillow reads it in newer versions.
_GREY_ALPHA = "LA;16B", "RGBA"


class Depth(NamedTuple):
    """The storage of an image of 16 bits."""

    declared: int | None  # the bits that the file says it uses
    raw_mode: str  # Pillow's name of the layout

    def bits(self, highest, choose):
        """The number of bits of the full range. Without a declared depth, the result is
        `choose(bits)` of the bits that `highest` needs.
        """
        if self.declared is None:
            return choose(next(bits for bits in DEPTHS if highest < 1 << bits))
        # If values need more bits than the file declares, they are scaled to all 16 bits, as in
        # PNG.
        return self.declared if highest < 1 << self.declared else 16


def read_depth(image, content=None):
    """The `Depth` of an unread image of Pillow, of this content of a file; None if its pixels have
    8 bits.
    """
    options = image.tile[0].args if getattr(image, "tile", None) else ""
    raw_mode = str(options[0] if isinstance(options, tuple) and options else options)
    # Grey keeps its 16 bits. For colours, Pillow keeps the high bytes only.
    is_colour = (
        raw_mode.startswith(("RGB;16", "RGBA;16", "RGBX;16"))
        or (raw_mode, image.mode) == _GREY_ALPHA
    )
    if not image.mode.startswith("I") and not is_colour:
        return None
    return Depth(_declared(image, content), raw_mode)


def _declared(image, content):
    if image.format not in ("PNG", "TIFF", None):
        return 16  # Pillow has scaled the values
    declared = 0
    # A broken file does not declare its depth.
    with suppress(Exception):
        if image.format == "TIFF":
            # MaxSampleValue, or else BitsPerSample, by which Pillow does not scale.
            largest, stored = (int(np.max(image.tag_v2.get(tag, 0))) for tag in (281, 258))
            declared = largest.bit_length() or stored % 16
        at = 8
        while image.format == "PNG" and (kind := bytes(content[at + 4 : at + 8])) not in (
            b"IDAT",
            b"",
        ):
            if kind == b"sBIT":
                declared = content[at + 8]
            at += 12 + int.from_bytes(content[at : at + 4], "big")
    return declared if 0 < declared <= 16 else None


def in_8_bits(image, depth, choose, reopen):
    """An image of 16 bits, converted to 8 bits. `reopen(raw_mode)` reads the image in another
    layout, and is None if the image cannot be read again.
    """
    if image.mode.startswith("I"):
        # These values have the byte order of this machine.
        values = np.array(image, dtype=np.int32)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(
                "its pixels are 32-bit integers of unknown range; convert them to 8 bits"
            )
        return Image.fromarray(_scaled(values, depth.bits(int(values.max()), choose)))
    pixels = np.array(image)
    bits = 16 if reopen is None else depth.bits(256 * int(pixels[..., :3].max()) + 255, choose)
    if bits == 16:
        return image
    if depth.raw_mode == _GREY_ALPHA[0]:
        # The four bytes of a pixel become four channels: the second is the low byte of grey.
        low = np.asarray(reopen("RGBA"))[..., [1, 1, 1]]
    else:
        # In the other byte order, Pillow keeps the low bytes.
        layout, _, order = depth.raw_mode.rpartition(";16")
        is_big = order == "B" or (order == "N" and sys.byteorder == "big")
        low = np.asarray(reopen(f"{layout};16{'L' if is_big else 'B'}"))
    for channel in range(3):
        pixels[..., channel] = _scaled(
            pixels[..., channel].astype(np.int32) << 8 | low[..., channel], bits
        )
    return Image.fromarray(pixels)


def _scaled(values, bits):
    """Values of `bits` bits, scaled to 8 bits in place, since such an image may be large."""
    largest = (1 << bits) - 1
    values *= 255
    values += largest // 2
    values //= largest
    return values.astype(np.uint8)
