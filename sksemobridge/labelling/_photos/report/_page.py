"""A page as one file: template, style, program, and the data that the program shows."""

import base64
import hashlib
import io
import os
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from tqdm.contrib.concurrent import thread_map

from ....encoders._decoding import ImageReadError, decode, fetch
from ..folder_table import count_files, plain, was_read
from ..picture_index import real_paths

# Most thumbnails in a page. They take about 15 MB.
N_THUMBNAILS = 2000
# Pixels of the longer side of a thumbnail.
SIDE = 160
# Pictures to label next.
N_NEXT = 20


def report(path, folder, labels, lines):
    """A page for a file at `path`, from `FolderLabels`. `lines` are its summary.

    The first `N_THUMBNAILS` pictures, in the order of doubt, are in the page. The others are read
    from their files.
    """
    data = page_data(labels)
    readable = [item for item in data["pictures"] if item["readable"]]
    readable.sort(key=lambda item: item["probability"] or item["runner_up_probability"] or 0.0)
    wanted = [item["path"] for item in data["doubtful"] + readable][:N_THUMBNAILS]
    small = dict(zip(wanted, thread_map(thumbnail, wanted, desc="thumbnails")))
    place = Path(path).absolute().parent
    for item in data["pictures"] + data["doubtful"]:
        file = item["path"]
        item |= {"path": plain(file), "thumbnail": small.get(file), "address": address(file, place)}
    title = plain(f"Labels of {os.fspath(folder)}")
    lines = [plain(line) for line in [count_files(labels.rows)[0], *lines]]
    page, _ = render("page.html", "page.css", "page.js", title=title, summary=lines, data=data)
    return page


def page_data(labels):
    """What the page shows, as plain lists and mappings."""
    answers = labels.said.answers
    real_of = real_paths(row["path"] for row in labels.rows)
    real = [real_of[row["path"]] for row in labels.rows]
    pictures = [
        {name: plain(value) for name, value in row.items()}
        | {name: None if row[name] is None else str(row[name]) for name in ("label", "runner_up")}
        | {"path": row["path"], "readable": was_read(row), "given": path in answers}
        for row, path in zip(labels.rows, real)
    ]
    readable = [row for row, item in enumerate(pictures) if item["readable"]]
    here = dict(zip(real, (row["path"] for row in labels.rows)))
    return {
        "classes": [str(label) for label in labels.classifier.classes_],
        "pictures": pictures,
        "next": [readable[i] for i in labels.to_label() if not pictures[readable[i]]["given"]][
            :N_NEXT
        ],
        "doubtful": labels.doubtful_shots(),
        "corrections": {
            plain(here.get(path, answer.path)): answer.label for path, answer in answers.items()
        },
    }


def thumbnail(path):
    """The data address of a small picture, or None if it cannot be read."""
    try:
        content = jpeg(fetch(path), SIDE)
    except ImageReadError:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode('ascii')}"


def jpeg(content, side):
    """A picture of at most `side` pixels as a JPEG, from the content of a file."""
    picture = decode(content, shortest_side=side)
    picture.thumbnail((side, side))
    file = io.BytesIO()
    picture.save(file, "JPEG")
    return file.getvalue()


def address(path, folder):
    """The address of a file for a page in a folder. It is relative, so both can be moved."""
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # another drive of Windows
        return Path(path).as_uri()
    # Names may be no text. A colon would begin the address of another kind.
    return quote(os.fsencode(relative.replace(os.sep, "/")))


def render(template, style, script, **values):
    """A page, and the hashes of its style and program: it runs no other program, and has no other
    style.
    """
    parts = {}
    for name, file in (("style", style), ("script", script)):
        text = (files(__package__) / file).read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
        parts[name] = {"text": Markup(text), "hash": f"sha256-{digest}"}
    environment = Environment(loader=PackageLoader(__package__, "."), autoescape=True)
    hashes = {name: part["hash"] for name, part in parts.items()}
    return environment.get_template(template).render(**parts, **values), hashes
