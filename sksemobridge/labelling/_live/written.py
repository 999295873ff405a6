"""The written files as the last page links them: it stays when the program has ended."""

import base64
import mimetypes
import os
from pathlib import Path

from .._photos.folder_table import plain

# Bytes of the largest file that the page holds. Of larger ones, and of a folder, it has the path.
MOST_HELD_BYTES = 20_000_000


def linked_files(outputs):
    """What the page shows of written files, paths by what they are."""
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
