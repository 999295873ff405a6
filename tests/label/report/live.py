"""A page that is live in a test: a job whose model takes no time, and requests of a person's
browser.
"""

import http.client
import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from sksemobridge._label.clicks import Clicks
from sksemobridge._label.folder_job import Shots
from sksemobridge._label.report._server import serve
from sksemobridge._label.report._session import Session

CLASSES = ["bird", "clock", "fruit"]


class Job:
    """Pictures of one color for each class, in `photos`. The most likely class is that of the
    closest labelled color.
    """

    classes, shots, corrections = CLASSES, Shots([], [], []), {}

    def __init__(self, n=12):
        Path("photos").mkdir(exist_ok=True)
        self.colors, self.fits = np.eye(3)[np.arange(n) % 3] + np.arange(n)[:, None] / 100, []
        self.embeddings = self.colors
        self.paths = [os.path.join("photos", f"{i:03}.png") for i in range(n)]
        for path, color in zip(self.paths, self.colors):
            if not os.path.lexists(path):
                Image.new("RGB", (400, 300), tuple((100 * color).astype(int))).save(path)

    def readable(self):
        return self.paths

    def fit(self, clicks):
        self.fits.append(clicks)
        means = dict(zip(CLASSES, np.eye(3)))
        real = [os.path.realpath(path) for path in self.paths]
        for path, (_, label) in clicks.items():
            if label and label not in CLASSES:
                means[label] = self.embeddings[real.index(path)]
        proba = np.exp(-10 * ((self.embeddings[:, None] - [*means.values()]) ** 2).sum(axis=2))
        proba /= proba.sum(axis=1, keepdims=True)
        labels = np.array([*means])
        predicted = labels[proba.argmax(axis=1)].tolist()
        rows = [{"path": path, "label": label} for path, label in zip(self.paths, predicted)]
        classifier = SimpleNamespace(classes_=labels)
        best = np.sort(proba, axis=1)
        return SimpleNamespace(
            classifier=classifier,
            rows=rows,
            proba=lambda: np.hstack([proba, np.zeros((len(proba), 1))]),
            to_label=lambda: np.argsort(best[:, -1] - best[:, -2], kind="stable").tolist(),
        )


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
    """A page that is served, and a person who asks it."""

    def __init__(self, job=None, finish=None, labels="labels.clicks.csv", title="Label photos"):
        self.job, self.clicks, self.said = job or Job(), Clicks(labels), []
        self.clicks.begin()
        self.title = title
        self.session = Session(self.job, self.clicks)
        self.finish = finish or (lambda: (0, [f"{len(self.session.said)} labels are written."]))
        self.began = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        assert self.began.wait(60)
        self.enter(self.said[0].split()[-1])

    def _serve(self):
        def say(text):
            self.said.append(text)
            self.began.set()

        serve(self.session, lambda: self.finish(), self.title, say)

    def close(self):
        # It may end at this moment.
        with suppress(ConnectionError):
            self.enter().act("done")
        self.thread.join(60)
        assert not self.thread.is_alive()
        self.clicks.end()
