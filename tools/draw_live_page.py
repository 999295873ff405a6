"""Draw the picture in the README: the live page, with the bundled model and pictures. It needs
Chromium.

python tools/draw_live_page.py docs/images/live_page.png
"""

import base64
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from sksemobridge.datasets import load_emoji
from tests.browser import Browser, wait_until

CLASSES = ["bird", "building", "clock", "drink", "fruit", "ground vehicle", "heart", "mammal"]
N_ANSWERS = 10
NAMES = ",".join(CLASSES).replace("ground ", "")
COMMAND = f"-m sksemobridge label photos --out labels.csv --open --model mini --classes {NAMES}"


def main(path):
    path, emoji = Path(path).absolute(), load_emoji()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.mkdir("photos")
        for i in np.flatnonzero(np.isin(emoji.target_names[emoji.target], CLASSES)):
            Image.fromarray(emoji.images[i]).save(f"photos/IMG_{i:04d}.png")
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "BROWSER": "true"}
        arguments = [sys.executable, *COMMAND.split()]
        server = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)
        address = next(
            filter(None, (re.search(r"http://\S+", line) for line in server.stderr))
        ).group()
        browser = Browser(f"{folder}/profile")
        browser.send(
            "Emulation.setDeviceMetricsOverride",
            width=1100,
            height=640,
            deviceScaleFactor=1,
            mobile=False,
        )
        browser.send("Emulation.setScrollbarsHidden", hidden=True)
        browser.open(address)
        wait_until(lambda: "labelled 0 of" in browser.run("document.body.innerText"))
        for n in range(1, N_ANSWERS + 1):
            text = browser.run("document.body.innerText")
            # A person knows the class. Its key stands before its name.
            asked = int(re.search(r"IMG_(\d+)", text)[1])
            name = emoji.target_names[emoji.target[asked]].replace("ground ", "")
            browser.press(re.search(rf"(\d)\s+{name}\s", text)[1])
            wait_until(lambda: f"labelled {n} of" in browser.run("document.body.innerText"))  # noqa: B023
            wait_until(lambda: "learning" not in browser.run("document.body.innerText"))
        path.write_bytes(
            base64.b64decode(browser.send("Page.captureScreenshot", format="png")["data"])
        )
        browser.close()
        server.send_signal(signal.SIGINT)
        server.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
