"""A page as one file: template, style, program, and the data that the program shows."""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from .._utils.files import new_file
from ._thumbnails import address, thumbnails


def write_page(path, title, summary, data, *, n_thumbnails, progress):
    """Write a page of `content`, with the lines of a summary above it.

    The first `n_thumbnails` pictures, in the order of doubt, are in the page. The others are read from their files.

    Raises
    ------
    OSError
        If it cannot be written, or exists.
    """
    wanted = list(dict.fromkeys(item["file"] for item in _in_order(data)))[:n_thumbnails]
    small, folder = thumbnails(wanted, progress=progress), Path(path).absolute().parent
    for item in [*data["pictures"], *data["shots"]]:
        file = item.pop("file")
        item |= {"thumbnail": small.get(file), "address": address(file, folder)}
    environment = Environment(
        loader=PackageLoader(__package__, "."), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("page.html").render(
        title=title, summary=summary, data=data, style=_part("page.css"), script=_part("page.js")
    )
    with new_file(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8")


def _in_order(data):
    """Doubtful shots, pictures that could be read, the most doubtful first, and after each its closest shots."""
    readable = [item for item in data["pictures"] if item["readable"]]
    items = [data["shots"][i] for i in data["doubtful"]]
    for item in sorted(
        readable, key=lambda item: item["probability"] or item["runner_up_probability"] or 0.0
    ):
        items += [item, *(data["shots"][i] for i in item["closest"])]
    return items


def _part(name):
    """A file of this package, and its hash: the page runs no other program, and has no other style."""
    text = (files(__package__) / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return {"text": Markup(text), "hash": f"sha256-{digest}"}
