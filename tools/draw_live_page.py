"""Draw stills of all views of the live page, and a recording of a folder that is labelled, for docs
and README, with the bundled model and pictures. It needs Chromium.

python tools/draw_live_page.py docs/images
"""

import base64
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).parents[1]))

from sksemobridge.datasets import load_emoji
from tests.browser import Browser, wait_until

CLASSES = ["bird", "building", "clock", "drink", "fruit", "ground vehicle", "heart", "mammal"]
COMMAND = "-m sksemobridge label photos --out labels.csv --report report.html --open --model mini"
# Pixels of the window: those of a small laptop.
SIZE = {"width": 1100, "height": 640}
# Colors of a still: more make the files larger, and look the same.
N_COLORS = 128
# Pixels of the recording: the window at three quarters.
FILM_SIZE = (825, 480)
# Seconds that the recording may take, so that a reader sees it to its end.
LONGEST_FILM = 15
# Pages that are looked through, and questions that are answered, before the stills of the rest.
N_PAGES = 4
N_ANSWERS = 6
IS_QUIET = """
!document.querySelector("[aria-busy=true]")
  && ![...document.images].some((image) => image.checkVisibility() && !image.complete)
"""


class Film:
    """Frames of a recording, and how many seconds each is shown."""

    def __init__(self):
        self.frames, self.seconds = [self._command()], [1.5]

    def _command(self):
        frame = Image.new("RGB", FILM_SIZE, "#16181d")
        text = "$ sksemobridge label photos --open"
        ImageDraw.Draw(frame).text((40, 40), text, "#e8e8e8", ImageFont.load_default(28))
        return frame

    def add(self, still, seconds, click=None):
        """Add what is in sight, and where the pointer has pressed, in pixels of the window."""
        frame = still.resize(FILM_SIZE, Image.Resampling.LANCZOS)
        if click is not None:
            x, y = (FILM_SIZE[0] / SIZE["width"] * place for place in click)
            pen = ImageDraw.Draw(frame, "RGBA")
            pen.circle((x, y), 14, fill=(255, 196, 0, 110), outline=(120, 80, 0, 255), width=2)
        self.frames.append(frame)
        self.seconds.append(seconds)

    def save(self, path):
        """Save the recording, faster if it would take too long."""
        speed = max(1, sum(self.seconds) / LONGEST_FILM)
        self.frames[0].save(
            path,
            save_all=True,
            append_images=self.frames[1:],
            duration=[int(1000 * seconds / speed) for seconds in self.seconds],
            loop=0,
            quality=75,
            method=6,
        )


class Person:
    """A person who knows the class of each picture by the name of its file."""

    def __init__(self, folder, address, true, files, images):
        self.files, self.film = files, Film()
        self.browser, self.true, self.images = Browser(f"{folder}/profile"), true, images
        self.browser.send(
            "Emulation.setDeviceMetricsOverride", deviceScaleFactor=1, mobile=False, **SIZE
        )
        self.browser.send("Emulation.setScrollbarsHidden", hidden=True)
        self.browser.open(address)
        self.run = self.browser.run
        self.wait()

    def wait(self):
        wait_until(lambda: self.run(IS_QUIET))
        wait_until(lambda: "Learning" not in self.run("document.body.innerText"))

    def press(self, key):
        # A page can be confirmed after a while.
        wait_until(lambda: self.run("!document.querySelector('#look:not([hidden]) .early')"))
        self.browser.press(key)
        self.wait()

    def go(self, view):
        self.run(f"location.hash = {view!r}")
        wait_until(lambda: self.run("document.body.dataset.view") == view.split("/")[0])
        self.wait()

    def sight(self):
        """What is in sight, when it moves no more."""
        time.sleep(0.5)
        content = base64.b64decode(self.browser.send("Page.captureScreenshot")["data"])
        return Image.open(io.BytesIO(content)).convert("RGB")

    def draw(self, name):
        """Save what is in sight as a still."""
        still = self.sight().quantize(N_COLORS)
        still.save(self.images / f"{name}.png", optimize=True)

    def film_for(self, seconds, clicked=None):
        """Add what is in sight to the recording, with the element that was clicked."""
        place = clicked and self.run(
            f"(box => [box.x + box.width / 2, box.y + box.height / 2])"
            f"({clicked}.getBoundingClientRect())"
        )
        self.film.add(self.sight(), seconds, place)

    def class_of(self, path):
        return self.true[int(re.search(r"IMG_(\d+)", path)[1])]

    def name_classes(self):
        """Give the first group of each class its name, drop the others, and type what is not
        there.
        """
        cards = self.run(
            "[...document.querySelectorAll('#suggestions .card')].map((card) =>"
            " [...card.querySelectorAll('img')].map((one) => one.src.match(/(\\d+)[?]/)[1]))"
        )
        left = [*CLASSES]
        self.film_for(1.5)
        for i, numbers in enumerate(cards):
            place = f"document.querySelectorAll('#suggestions .card')[{i}]"
            shown = {str(self.true[self.files[int(number)]]) for number in numbers}
            if len(shown) == 1 and (name := shown.pop()) in left:
                left.remove(name)
                self.run(
                    f"(field => {{ field.value = {name!r};"
                    f" field.dispatchEvent(new Event('input')); }})({place}.querySelector('input'))"
                )
            else:
                self.run(f"{place}.querySelector('.keep').click()")
        self.run("document.getElementById('own-name').focus()")
        for letter in ", ".join(left):
            self.browser.press(letter)
        self.draw("live_names")
        self.film_for(1.5, "document.getElementById('start')")
        self.run("document.getElementById('start').click()")
        wait_until(lambda: self.run("document.body.dataset.view") == "look")
        self.wait()

    def mark(self, is_filmed=False):
        """Mark the wrong tiles of a page, and return how many there are."""
        tiles = self.run(
            "[...document.querySelectorAll('#look-tiles .tile')]"
            ".map((tile) => [tile.ariaLabel, tile.dataset.label])"
        )
        wrong = [
            (i, self.class_of(text))
            for i, (text, label) in enumerate(tiles)
            if self.class_of(text) != label
        ]
        for i, label in wrong:
            tile = f"document.querySelectorAll('#look-tiles .tile')[{i}]"
            self.run(f"{tile}.click()")
            if self.run(f"{tile}.dataset.label") != label:
                self.say(label)
            if is_filmed:
                self.film_for(0.35, tile)
        return len(wrong)

    def choose(self, label):
        """Select the pictures of a class among those that were found."""
        found = self.run(
            "[...document.querySelectorAll('#find-tiles .tile')].map((t) => t.ariaLabel)"
        )
        for i in [i for i, text in enumerate(found) if self.class_of(text) == label]:
            self.run(f"document.querySelectorAll('#find-tiles .tile')[{i}].click()")

    def say(self, label):
        self.browser.press("/")
        for letter in label:
            self.browser.press(letter)
        self.press("Enter")

    def answer(self):
        self.say(self.class_of(self.run("document.getElementById('name').textContent")))


def main(images):
    images, emoji = Path(images).absolute(), load_emoji()
    names = emoji.target_names[emoji.target]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.mkdir("photos")
        rows = np.flatnonzero(np.isin(names, CLASSES))
        for i in rows:
            Image.fromarray(emoji.images[i]).save(f"photos/IMG_{i:04d}.png")
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "BROWSER": "true"}
        arguments = [sys.executable, *COMMAND.split()]
        server = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            address = next(
                filter(None, (re.search(r"http://\S+", line) for line in server.stderr))
            ).group()
            person = Person(folder, address, names, rows, images)
            person.name_classes()
            for page in range(N_PAGES):
                person.film_for(0.8)
                person.mark(is_filmed=page < 2)
                person.press("Enter")
            person.film_for(1)
            n_wrong = person.mark()
            if n_wrong:
                person.run("document.querySelector('.tile.changed').click()")
            person.draw("live_page")
            person.press("Enter")
            person.go("ask")
            for _ in range(N_ANSWERS):
                person.answer()
            person.draw("live_ask")
            person.film_for(0.8)
            person.go("classes/fruit")
            wait_until(lambda: "recognised" in person.run("document.body.innerText"))
            person.draw("live_classes")
            person.film_for(1)
            person.go(f"find/{rows.tolist().index(rows[names[rows] == 'fruit'][0])}")
            wait_until(lambda: person.run("document.querySelectorAll('#find-tiles .tile').length"))
            person.choose("fruit")
            person.draw("live_find")
            person.run("document.getElementById('done').click()")
            # The page shows once what the model doubts most, before it writes the files.
            wait_until(lambda: person.run("document.body.dataset.view") in ("look", "finish"))
            person.wait()
            if person.run("document.body.dataset.view") == "look":
                person.film_for(1)
                person.run("document.getElementById('done').click()")
            wait_until(lambda: "What next?" in person.run("document.body.innerText"))
            person.draw("live_end")
            person.film_for(1.5)
            person.film.save(images / "live.webp")
            person.browser.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
