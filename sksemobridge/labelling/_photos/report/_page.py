"""A page as one file: template, style, program, and the data that the program shows."""

import base64
import hashlib
import io
import os
import re
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
THUMBNAIL_SIDE = 160
# Pictures to label next.
N_NEXT = 20
# What says that a page is of this command. It is among the first bytes.
MARK = '<meta name="generator" content="sksemobridge label">'
# Where parts of a page are: of this one alone, and those that the live page has too.
PLACES = (files(__package__), files("sksemobridge.labelling._live") / "static")
IMPORT = re.compile(r'^import [^;]+ from "[^"]*?([^"/]+)";\n', re.MULTILINE)


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
    return render(title=title, summary=lines, data=data)


def is_own_page(path):
    """Whether a file is a page of this command."""
    with open(path, "rb") as file:
        return MARK.encode() in file.read(1000)


def page_data(labels):
    """What the page shows, as plain lists and mappings."""
    answers = labels.annotations.answers
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
        content = jpeg(fetch(path), THUMBNAIL_SIDE)
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


def render(**values):
    """The page with these values. It runs no program but its own, and has no other style."""
    texts = {
        "style": source("controls.css") + source("page.css"),
        "script": '"use strict";\n' + program("page.js"),
    }
    parts = {}
    for name, text in texts.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
        parts[name] = {"text": Markup(text), "hash": f"sha256-{digest}"}
    environment = Environment(loader=PackageLoader(__package__, "."), autoescape=True)
    return environment.get_template("page.html").render(mark=Markup(MARK), **parts, **values)


def source(name):
    """A part of a page, as it is in its file."""
    return next(place / name for place in PLACES if (place / name).is_file()).read_text("utf-8")


def program(name):
    """A module after those that it imports, as one program: a page that is a file imports none."""
    modules = []
    _take_with_imports(name, modules)
    text = IMPORT.sub("", "".join(map(source, modules)))
    return re.sub("^export ", "", text, flags=re.MULTILINE)


def _take_with_imports(name, modules):
    for other in IMPORT.findall(source(name)):
        if other not in modules:
            _take_with_imports(other, modules)
    modules.append(name)
