"""How long a person waits for the live page, in milliseconds by the clock and of the processor.

    python benchmarks/live.py
    python benchmarks/live.py --pictures 1000 --classes 20 --answers 500 --large 24

The page's own server answers requests of this program, as it answers a browser. Embeddings are made
up (512 features), and most pictures are small files. "an answer" and "undo" are of one picture,
while the model does not learn. "a page" is "the rest is right" for so many pictures: the model
begins to learn at once. "the next page" is the request for its pictures, just after that. "a start"
is that of a folder with `--answers` answers, without embeddings: until what was said is known, and
until the model has learnt it. "thumbnails" are those of half of the pictures of 12 megapixels, two
requests at a time; the page asks for them while the page before is looked at. Values of answers are
medians.
"""

import argparse
import http.client
import json
import os
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import tasks
from PIL import Image
from sklearn.preprocessing import FunctionTransformer
from timing import timed

from sksemobridge import PrecomputedTextEncoder
from sksemobridge.labelling._answers.answers_file import Answers, digest_of
from sksemobridge.labelling._answers.events import PictureEvent
from sksemobridge.labelling._command.read_folder import read_annotations
from sksemobridge.labelling._live.server import serve
from sksemobridge.labelling._live.session import Session
from sksemobridge.labelling._photos.folder_job import FolderJob
from sksemobridge.labelling._photos.folder_pipeline import pipeline_of
from sksemobridge.labelling._photos.labelled_images import LabelledImages
from sksemobridge.labelling._photos.picture_index import Pictures

WIDTH = 512
# Numbers of pictures of a page.
PAGES = (24, 60)
# Answers and undos, fewer than the model learns from.
N_ANSWERS = 4
# Pixels of a large picture.
LARGE = (4000, 3000)


class Person:
    """A browser's requests to a session."""

    def __init__(self, session):
        ready, self.session, self.cookie = threading.Event(), session, None

        def say(text):
            if text.startswith("The page: "):
                self.address = urlsplit(text.split()[-1])
                ready.set()

        def write(labels):
            return 0, []

        self.thread = threading.Thread(target=serve, args=(session, write, "live", say))
        self.thread.start()
        ready.wait()
        self.cookie = self.ask(f"/?{self.address.query}")[1]["set-cookie"].split(";")[0]

    def ask(self, path, data=None):
        """Content and headers of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.address.port)
        headers = {"Content-Type": "application/json"}
        if self.cookie is not None:
            headers["Cookie"] = self.cookie
        body = None if data is None else json.dumps({"tab": "a"} | data)
        connection.request("GET" if data is None else "POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status >= 400:
            raise SystemExit(f"{path}: {content!r}")
        return content, answer.headers

    def act(self, action, **data):
        return json.loads(self.ask(f"/{action}", data)[0])

    def page(self, n, **data):
        """Pictures of a page, as its answer has them."""
        groups = self.act("look", n_images=n, **data)["look"]["groups"]
        return [
            {"number": item["number"], "shown": group["label"], "label": group["label"]}
            for group in groups
            for item in group["pictures"]
        ]

    def look(self, page):
        """Load the small pictures of a page."""
        with ThreadPoolExecutor(2) as two:
            [*two.map(lambda item: self.ask(f"/picture/{item['number']}?small"), page)]

    def wait(self):
        """Wait until the model has learnt."""
        while self.act("state")["learning"]:
            time.sleep(0.2)


def paint(n, n_large):
    """Files of pictures, of which the last are large."""
    os.mkdir("photos")
    Image.new("RGB", (320, 240), "teal").save("small.jpg")
    small, rng = Path("small.jpg").read_bytes(), np.random.default_rng(0)
    for number in range(n):
        # What follows the end of a JPEG is not shown.
        Path("photos", f"{number:06}.jpg").write_bytes(small + str(number).encode())
    for number in range(n - n_large, n):
        coarse = rng.integers(0, 255, (750, 1000, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize(LARGE, Image.Resampling.BILINEAR)
        picture.save(Path("photos", f"{number:06}.jpg"), quality=90)


class Folder:
    """The pictures in this folder, with embeddings `X (n, D)` and `labels (n,)`."""

    def __init__(self, X, labels, classes, text_encoder):
        self.X, self.labels, self.classes = X, labels, classes
        self.text_encoder = text_encoder
        self.files = [str(path) for path in sorted(Path("photos").iterdir())]

    def annotations(self, name):
        """The job, its annotations, and the file of answers of this name."""
        answers = Answers(name)
        answers.begin()
        pictures = Pictures({"photos": "photos"}, {"photos": self.files})
        annotations = read_annotations(answers, pictures, self.classes, {})
        pipeline = pipeline_of(FunctionTransformer(), self.text_encoder)
        pipeline[-1].set_params(prompts="{}")
        parts = {"shots": LabelledImages.none(self.X), "classes": self.classes}
        return FolderJob(pipeline, self.files, {}, self.X, pictures, **parts), annotations, answers

    def answer(self, n, name):
        """A file of this name with `n` answers."""
        likely = tuple((name, 0.15) for name in self.classes[:5])
        with Answers(name) as answers:
            for number in np.linspace(0, len(self.files) - 1, n).astype(int):
                size, sha256 = digest_of(Path(self.files[number]).read_bytes())
                path = Path(self.files[number]).name
                answered = {"label": self.labels[number], "taught": True, "likely": likely}
                part = PictureEvent(path, size=size, sha256=sha256, n_columns=1000, **answered)
                answers.append("say", pictures=(part,))


def made_up(n, n_classes):
    """The pictures in this folder with made-up embeddings."""
    task = tasks.made_up(n_classes, -(-n // n_classes), WIDTH)
    labels = [f"class {code}" for code in task.y[:n]]
    classes = [f"class {code}" for code in range(n_classes)]
    texts = task.text_encoder.transform(classes)
    encoder = PrecomputedTextEncoder.from_joint(dict(zip(classes, texts)))
    return Folder(task.X[:n], labels, classes, encoder)


def both_timed(function, *args, **kwargs):
    """Milliseconds of a call by the clock and of the processor, and what it returns."""
    cpu = time.process_time()
    seconds, result = timed(function, *args, **kwargs)
    return (1000 * seconds, 1000 * (time.process_time() - cpu)), result


def measure(args):
    """Times by what is timed."""
    paint(args.pictures, args.large)
    folder, times = made_up(args.pictures, args.classes), defaultdict(list)
    person = Person(Session(*folder.annotations("answers.jsonl")))
    for number in range(N_ANSWERS):
        name = folder.classes[number % args.classes]
        times["an answer"].append(both_timed(person.act, "say", number=number, label=name)[0])
        times["undo"].append(both_timed(person.act, "undo")[0])
    for n in PAGES:
        page = person.page(n)
        person.look(page)
        times[f"a page of {n}"].append(both_timed(person.act, "page", pictures=page)[0])
        times[f"the next page of {n}"].append(both_timed(person.page, n)[0])
        person.wait()
    large = [{"number": number} for number in range(args.pictures - args.large, args.pictures)]
    half = len(large) // 2
    times[f"thumbnails of {half}"].append(both_timed(person.look, large[:half])[0])
    person.act("end")
    person.thread.join()
    folder.answer(args.answers, "earlier.jsonl")
    time_of, (job, annotations, answers) = both_timed(folder.annotations, "earlier.jsonl")
    times[f"a start with {args.answers} answers: what was said"].append(time_of)
    time_of, _ = both_timed(Session, job, annotations, answers)
    times[f"a start with {args.answers} answers: learning"].append(time_of)
    return times


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--answers", type=int, default=5000)
    parser.add_argument("--large", type=int, default=48, help="pictures of 12 megapixels")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place, chdir(place):
        times = measure(args)
        rows = [
            [what, *(f"{value:.0f}" for value in np.median(of, axis=0))]
            for what, of in times.items()
        ]
        print(tasks.table(["ms", "clock", "processor"], rows))


if __name__ == "__main__":
    main()
