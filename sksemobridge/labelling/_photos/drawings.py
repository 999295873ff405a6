"""Whether pictures are drawn icons, the only ones that the model mini knows."""

import numpy as np

from ..._utils.rows import evenly_spaced
from ...encoders._decoding import decode
from ...encoders._heads import ImageReadError, read_image_file

# Pictures that are looked at, and their pixels.
N_LOOKED_AT = 24
SIDE = 48
# How far a colour may be from that of the border, of 255: JPEG moves colours.
SAME_COLOR = 16
# Least share of the border with one colour, in the median of the pictures: 0.99 of icons, also as
# JPEG; in 1,000 draws of 12 photographs of 29 things or of 19 kinds of places at most 0.96.
LEAST_BORDER = 0.97


def are_icons(paths):
    """Whether pictures have a border of one colour, as drawn icons have. Those that cannot be read
    say nothing.
    """
    shares = [share_of_border(paths[row]) for row in evenly_spaced(len(paths), N_LOOKED_AT)]
    found = [share for share in shares if share is not None]
    return not found or float(np.median(found)) >= LEAST_BORDER


def share_of_border(path):
    """The share of the border of a picture that has its usual colour, None if it cannot be read."""
    try:
        picture = decode(read_image_file(path), shortest_side=SIDE)
    except (OSError, ImageReadError):
        return None
    pixels = np.asarray(picture.resize((SIDE, SIDE)), dtype=float)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return float(np.mean(np.abs(border - np.median(border, axis=0)).max(axis=1) <= SAME_COLOR))
