"""Small pictures inside a page, and links to files beside it."""

import base64
import io
import os
from pathlib import Path
from urllib.parse import quote

from ..encoders._pictures import ImageReadError, decode, fetch

# Pixels of the longer side, and the quality of the JPEG: about 5 kB for each.
_SIDE, _QUALITY = 160, 75


def thumbnails(paths, *, progress):
    """Data addresses of small pictures, by path; without those that cannot be read."""
    from tqdm.contrib.concurrent import thread_map  # the package is imported without it

    made = thread_map(_thumbnail, paths, desc="thumbnails", disable=not progress)
    return {path: data for path, data in zip(paths, made) if data is not None}


def _thumbnail(path):
    try:
        picture = decode(fetch(path), shortest_side=_SIDE)
    except ImageReadError:
        return None
    picture.thumbnail((_SIDE, _SIDE))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def address(path, folder):
    """The address of a file for a page in a folder: relative, so that both can be moved together."""
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # another drive of Windows
        return Path(path).as_uri()
    # Names may be no text. A colon would begin the address of another kind.
    return quote(os.fsencode(relative.replace(os.sep, "/")))
