"""The written files, as the last page links them. This page stays when the program has ended."""

import base64
import mimetypes
import os
from pathlib import Path

from .._photos.folder_table import plain

# Bytes of the largest file that the page holds. For a larger file, or a folder, the page has the
# path.
MOST_HELD_BYTES = 20_000_000


def linked_files(outputs):
    """The data that the page shows of written files. `outputs` are paths by kind."""
    return [_linked(what, Path(path)) for what, path in outputs.items() if path is not None]


def _linked(what, path):
    is_held = path.is_file() and path.stat().st_size <= MOST_HELD_BYTES
    return {
        "what": what,
        "name": plain(path.name),
        "path": plain(os.path.abspath(path)),
        "media": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        "content": base64.b64encode(path.read_bytes()).decode() if is_held else None,
    }
