"""Chromium without a window, driven through a pipe by its DevTools protocol. Tests skip where there
is none.
"""

import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest

COMMAND = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)

# Pages wait a tenth as long: of a person, such as 1.5 s to look at a page, and for news. Shorter
# waits are parts of one movement, such as a click that is held.
HURRY = """
const wait = window.setTimeout.bind(window);
window.setTimeout = (action, time, ...rest) =>
  wait(action, time < 1000 ? time : time / 10, ...rest);
"""
NAVIGATED = {"code": -32000, "message": "Inspected target navigated or closed"}


def wait_until(condition):
    """Wait until a function returns a true value, for some minutes at most: a program may start
    slowly on a busy machine.
    """
    for _ in range(15_000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("waited in vain")


class Browser:
    """A browser with one page.

    Attributes
    ----------
    errors : list of str
        Errors of the page's programs, and what its policy of content has blocked.
    fetched : list of str
        Addresses that it asked for, without those that hold their own content.
    dialogs : list of str
        Kinds of questions that it asked; all are answered with yes.
    """

    def __init__(self, profile):
        if COMMAND is None or os.name != "posix":
            pytest.skip("needs Chromium")
        (from_test, to_browser), (from_browser, to_test) = os.pipe(), os.pipe()
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--remote-debugging-pipe",
        ]
        # The browser reads from 3 and writes to 4.
        shell = f'exec 3<&{from_test} 4>&{to_test}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", COMMAND, *options, f"--user-data-dir={profile}"],
            pass_fds=(from_test, to_test),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_test)
        os.close(to_test)
        self._to, self._from = os.fdopen(to_browser, "wb"), from_browser
        self._n_sent, self._session, self._rest = 0, None, b""
        self.errors, self.fetched, self.dialogs, self.origin = [], [], [], ""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    @contextmanager
    def hurrying(self):
        """Pages that are opened within this wait a tenth as long, see `HURRY`."""
        script = self.send("Page.addScriptToEvaluateOnNewDocument", source=HURRY)
        yield
        self.send("Page.removeScriptToEvaluateOnNewDocument", **script)

    def close(self):
        self._session = None
        # It may end before it answers.
        self._post("Browser.close")
        self._process.wait(30)
        self._to.close()
        os.close(self._from)

    def send(self, method, **params):
        """The result of a command."""
        answer = self._answer(method, **params)
        assert "error" not in answer, answer
        return answer["result"]

    def _answer(self, method, **params):
        number = self._post(method, **params)
        while (answer := self._next()).get("id") != number:
            pass
        return answer

    def _post(self, method, **params):
        self._n_sent += 1
        message = {"id": self._n_sent, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        return self._n_sent

    def _next(self):
        while b"\0" not in self._rest:
            assert select.select([self._from], [], [], 60)[0], "the browser says nothing more"
            part = os.read(self._from, 2**16)
            assert part, "the browser has ended"
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.errors.append(str(params["exceptionDetails"]))
            # The page before may still ask for something.
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                if params["entry"].get("url", self.origin).startswith(self.origin):
                    self.errors.append(str(params["entry"]))
            case "Network.requestWillBeSent" if not params["request"]["url"].startswith(
                ("data:", "blob:")
            ):
                if params["documentURL"].startswith(self.origin):
                    self.fetched.append(params["request"]["url"])
            case "Page.javascriptDialogOpening":
                self.dialogs.append(params["type"])
                self._post("Page.handleJavaScriptDialog", accept=True)
        return message

    def open(self, path):
        """Open a file or an address, and wait until it is there."""
        for seen in (self.errors, self.fetched, self.dialogs):
            seen.clear()
        url = path if isinstance(path, str) else path.absolute().as_uri()
        self.origin = "/".join(url.split("/", 3)[:3])
        self.send("Page.navigate", url=url)
        wait_until(lambda: self.run("document.readyState") == "complete")

    def run(self, program):
        """The value of an expression of JavaScript, waited for if it is a promise."""
        params = {"expression": program, "returnByValue": True, "awaitPromise": True}
        # A page that is loaded again just then does not answer.
        while (answer := self._answer("Runtime.evaluate", **params)).get("error") == NAVIGATED:
            pass
        result = answer["result"]
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def look(self, width, scheme, height=900):
        """Set the size of the window, and light or dark colors."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", features=features)

    def is_light(self):
        color = self.run("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, color[4:-1].split(","))) > 384

    def press(self, key, modifiers=0):
        """Press a key, with Alt (1), Ctrl (2), Meta (4) and Shift (8) held."""
        for kind in ("keyDown", "keyUp"):
            # Enter sends forms.
            typed = {"Enter": "\r"}.get(key, key)
            text = {"text": typed} if kind == "keyDown" and len(typed) == 1 else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=key, modifiers=modifiers, **text)
