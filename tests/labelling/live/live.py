"""A page that is live in a test: a job with a tiny encoder of colours, and requests of a person's
browser.
"""

import http.client
import io
import json
import os
import shutil
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from sklearn.preprocessing import FunctionTransformer

from sksemobridge.labelling._answers.answers_file import Answers
from sksemobridge.labelling._command.read_folder import read_annotations
from sksemobridge.labelling._live.arrivals import Arrivals
from sksemobridge.labelling._live.server import serve
from sksemobridge.labelling._live.session import Session
from sksemobridge.labelling._photos.folder_job import FolderJob
from sksemobridge.labelling._photos.folder_pipeline import pipeline_of
from sksemobridge.labelling._photos.labelled_images import LabelledImages
from sksemobridge.labelling._photos.picture_index import Pictures

CLASSES = ["bird", "clock", "fruit"]
# Colours have three dimensions, and words of other classes the others.
WIDTH = 8


@cache
def color_of(content):
    """The color of a picture, as its embedding. Many jobs have the same pictures."""
    with Image.open(io.BytesIO(content)) as picture:
        return np.pad(np.array(picture.getpixel((0, 0)), dtype=float), (0, WIDTH - 3))


@cache
def embed_text(text):
    rng = np.random.default_rng([*text.encode(errors="surrogatepass")])
    other = np.pad(rng.normal(size=WIDTH - 3), (3, 0))
    named = [name in text for name in CLASSES]
    return np.eye(3, WIDTH)[named.index(True)] if sum(named) == 1 else other / np.linalg.norm(other)


class TinyText:
    """A text encoder of a user: it knows the colours of three classes."""

    logit_scale_ = 10.0

    def transform(self, texts):
        return np.array([embed_text(text) for text in texts])


def paint(n=12):
    """Make `n` pictures of one color each, which are close to those of the classes in turn."""
    Path("photos").mkdir(exist_ok=True)
    for i in range(n):
        path = Path("photos", f"{i:03}.png")
        if not os.path.lexists(path):
            path.write_bytes(picture(i))


@cache
def picture(i):
    """The content of a file."""
    color, file = 150 * np.eye(3)[i % 3] + i, io.BytesIO()
    Image.new("RGB", (200, 150), tuple(color.astype(int))).save(file, "PNG")
    return file.getvalue()


def files_here():
    return [str(path) for path in sorted(Path("photos").iterdir())]


def make_job(n=12, classes=CLASSES, corrections=None, answers=None, bursts=None, shots=()):
    """The job of the pictures in `photos`, and what was said of them. `bursts` are lists of
    numbers, and `shots` labels of pictures in `shots`.
    """
    paint(n)
    files = files_here()
    shot_files = [str(Path("shots", f"{i}.png")) for i in range(len(shots))]
    for file in shot_files:
        Path(file).parent.mkdir(exist_ok=True)
        shutil.copy(files[0], file)
    folders = {"photos": "photos", "shots": "shots"}
    pictures = Pictures(folders, {"photos": files, "shots": shot_files})
    if bursts is not None:
        bursts = {pictures.real_of[files[i]]: n for n, burst in enumerate(bursts) for i in burst}
    corrections = corrections or {}
    pipeline = pipeline_of(FunctionTransformer(), TinyText())
    problems, colors = {}, []
    for path in files:
        try:
            colors.append(color_of(Path(path).read_bytes()))
        except OSError as error:
            problems[path] = str(error)
    X = np.stack(colors)
    columns = (np.array(column, dtype=object) for column in (shot_files, [*shots]))
    real = [pictures.real_of[file] for file in shot_files]
    given_shots = LabelledImages(*columns, X[np.zeros(len(shots), dtype=int)], real)
    said = read_annotations(answers, pictures, classes, corrections)
    parts = {"classes": classes, "corrections": corrections, "bursts": bursts}
    return FolderJob(pipeline, files, problems, X, pictures, given_shots, **parts), said


class Asks:
    """A person's browser, as far as requests go."""

    def ask(self, path, data=None, method=None, **headers):
        """Status, headers and content of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {
            name.replace("_", "-"): value for name, value in headers.items() if value is not None
        }
        if self.cookie is not None:
            headers.setdefault("Cookie", self.cookie)
        if data is not None:
            data = data if isinstance(data, bytes) else json.dumps(data).encode()
            headers.setdefault("Content-Type", "application/json")
        connection.request(method or ("GET" if data is None else "POST"), path, data, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    def enter(self, address=None):
        """Take the cookie of a page, and keep its address."""
        if address is not None:
            self.address, self.cookie = address, None
            self.port, self.secret = (
                urlsplit(address).port,
                urlsplit(address).query.removeprefix("secret="),
            )
        _, headers, _ = self.ask(f"/?secret={self.secret}")
        self.cookie = headers["set-cookie"].split(";")[0]
        return self

    def act(self, action, tab="a", **values):
        status, _, content = self.ask(f"/{action}", {"tab": tab} | values)
        return status, json.loads(content)

    def state(self, tab="a", since=None):
        return self.act("state", tab, since=since)[1]


class Live(Asks):
    """A page that is served, and a person who asks it. Params are those of `make_job`."""

    def __init__(self, write=None, answers="labels.answers.jsonl", title="Label photos", **params):
        self.answers, self.said, self.title = Answers(answers), [], title
        self.answers.begin()
        self.job, said = make_job(answers=self.answers, **params)
        anew = params | {"n": 0, "answers": self.answers}
        arrivals = Arrivals(files_here, lambda job: make_job(**anew)[0])
        self.session = Session(self.job, said, self.answers, arrivals)
        self.write = write or (lambda labels: (0, [count(labels.annotations)]))
        self.began = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        assert self.began.wait(60)
        self.enter(self.said[0].split()[-1])

    def _serve(self):
        def say(text):
            self.said.append(text)
            self.began.set()

        serve(self.session, lambda *parts: self.write(*parts), self.title, say)

    def labels(self):
        """Labels that were said, by number."""
        number_of = self.session.files.pictures.number_of
        return {number_of[real]: label for real, label in self.session.annotations.labels().items()}

    def close(self):
        # It may end at this moment.
        with suppress(ConnectionError):
            self.enter()
            if not self.session.snapshot().classes:
                # Without a class there is nothing to write.
                self.act("add", names=["bird"])
            self.act("end")
        self.thread.join(60)
        assert not self.thread.is_alive()
        self.answers.end()


def count(said):
    return f"{len(said.answers)} labels are written."
