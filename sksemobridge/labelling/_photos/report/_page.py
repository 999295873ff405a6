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

from ....encoders import ImageReadError, read_image
from ..folder_table import count_files, plain, was_read
from ..picture_index import real_paths

# Most thumbnails in a page: about 15 MB.
N_THUMBNAILS = 2000
# Pixels of the longer side of a thumbnail.
THUMBNAIL_SIDE = 160
# Number of pictures to label next.
N_NEXT = 20
# Mark of a page of this command, among its first bytes.
MARK = '<meta name="generator" content="sksemobridge label">'
# Folders of the parts of a page: parts of this page alone, and parts that the live page has, too.
PLACES = (files(__package__), files("sksemobridge.labelling._web"))
IMPORT = re.compile(r'^import [^;]+ from "[^"]*?([^"/]+)";\n', re.MULTILINE)


def report(path, folder, labels, lines):
    """A page for a file at `path`, from `FolderLabels`. `lines` are its summary.

    The first `N_THUMBNAILS` pictures, in the order of doubt, are in the page. The browser reads the
    other pictures from their files.
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
    """The data that the page shows, as plain lists and dicts."""
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
        content = jpeg(path, THUMBNAIL_SIDE)
    except ImageReadError:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode('ascii')}"


def jpeg(source, side):
    """A picture of at most `side` pixels as a JPEG. `source` is for `read_image`."""
    picture = read_image(source, shortest_side=side)
    picture.thumbnail((side, side))
    file = io.BytesIO()
    picture.save(file, "JPEG")
    return file.getvalue()


def address(path, folder):
    """The address of a file, relative to the folder of a page, so that both can move together."""
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # another drive of Windows
        return Path(path).as_uri()
    # Names may hold bytes that are no text, and a colon would end the scheme of an address.
    return quote(os.fsencode(relative.replace(os.sep, "/")))


def render(**values):
    """The page with these values. Hashes keep the page from running other scripts or having other
    styles.
    """
    texts = {
        "style": source("controls.css") + source("page.css"),
        "script": '"use strict";\n' + program("page.js"),
    }
    inline = {}
    for name, text in texts.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
        inline[name] = {"text": Markup(text), "hash": f"sha256-{digest}"}
    environment = Environment(loader=PackageLoader(__package__, "."), autoescape=True)
    return environment.get_template("page.html").render(mark=Markup(MARK), **inline, **values)


def source(name):
    """The text of a part of a page."""
    return next(place / name for place in PLACES if (place / name).is_file()).read_text("utf-8")


def program(name):
    """A module and the modules that it imports, as one program: a page in a file cannot import
    modules.
    """
    modules = []
    _take_with_imports(name, modules)
    text = IMPORT.sub("", "".join(map(source, modules)))
    return re.sub("^export ", "", text, flags=re.MULTILINE)


def _take_with_imports(name, modules):
    for other in IMPORT.findall(source(name)):
        if other not in modules:
            _take_with_imports(other, modules)
    modules.append(name)
