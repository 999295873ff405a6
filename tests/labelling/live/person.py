"""A person in front of the live page: what is in sight, and what is pressed."""

import json

from ...browser import wait_until

# The page does nothing, and all that is in sight is there.
IS_QUIET = """
!document.querySelector("[aria-busy=true]")
  && [...document.images].every((image) =>
    image.complete || image.loading === "lazy" || !image.checkVisibility())
"""


class Person:
    """Opens a page that is served, and uses it."""

    def __init__(self, browser, page, view=""):
        self.browser, self.page, self.run = browser, page, browser.run
        browser.open(page.address)
        self.wait()
        if view:
            self.go(view)

    def wait(self):
        """Until the page has done what was asked."""
        wait_until(lambda: self.run(IS_QUIET))

    def wait_for(self, text, name="body"):
        wait_until(lambda: text in self.text(name))

    def wait_for_frame(self):
        """Until the next frame was drawn: a browser says only then that a dialog was closed."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.wait()

    def go(self, view):
        self.run(f"location.hash = {view!r}")
        wait_until(lambda: self.view == view.split("/")[0])
        self.wait()

    @property
    def view(self):
        return self.run("document.body.dataset.view")

    def wait_until_seen(self):
        """Until the page of "Look through", if it is in sight, can be confirmed."""
        wait_until(lambda: self.run("!document.querySelector('#look:not([hidden]) .early')"))

    def press(self, *keys, modifiers=0):
        for key in keys:
            if key == "Enter":
                self.wait_until_seen()
            self.browser.press(key, modifiers)
            self.wait()

    def type(self, text):
        """Letters, as fast as a person is."""
        for letter in text:
            self.browser.press(letter)

    def text(self, name):
        """What is written in an element that is in sight, or nothing."""
        return (
            self.run(f"document.getElementById({name!r})?.innerText ?? ''")
            if (name != "body")
            else self.run("document.body.innerText")
        )

    def all(self, selector, of="innerText"):
        """A property of all elements that are in sight."""
        return self.run(
            f"[...document.querySelectorAll({selector!r})]"
            f".filter((one) => one.checkVisibility()).map((one) => one.{of})"
        )

    def click(self, selector, which=0, modifiers=0, count=1):
        """Click the middle of an element, as a mouse does."""
        if selector == "#rest-right":
            self.wait_until_seen()
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, selector, which, modifiers, count)
        self.wait()

    def mouse(self, kind, selector, which=0, modifiers=0, count=1):
        x, y = self.run(
            f"(({{ x, y, width, height }}) => [x + width / 2, y + height / 2])"
            f"([...document.querySelectorAll({selector!r})]"
            f".filter((one) => one.checkVisibility()).at({which}).getBoundingClientRect())"
        )
        self.browser.send(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button="left",
            clickCount=count,
            modifiers=modifiers,
        )

    def click_text(self, text, selector="button"):
        texts = self.all(selector)
        self.click(selector, next(i for i, one in enumerate(texts) if text in one))

    def fill(self, name, text):
        """Replace what is written in a field."""
        self.run(
            f"(field => {{ field.value = {json.dumps(text)};"
            f" field.dispatchEvent(new Event('input')); }})(document.getElementById({name!r}))"
        )

    # "Look through"

    def tiles(self):
        """Number, and label that it will get, of each tile."""
        return [
            (int(number), label)
            for number, label in self.run(
                "[...document.querySelectorAll('#look-tiles .tile')]"
                ".map(({ dataset }) => [dataset.number, dataset.label])"
            )
        ]

    # "Ask"

    def asked(self):
        """Number of the picture that is asked for."""
        return int(self.run("document.getElementById('ask').dataset.number"))

    def choices(self):
        """Key and name of the classes that are offered."""
        return self.run(
            "[...document.querySelectorAll('.view:not([hidden]) .likely .choice:not([hidden])')]"
            ".map((one) => [one.querySelector('kbd').textContent,"
            " one.querySelector('.what').textContent])"
        )

    def key_of(self, name):
        return next(key for key, other in self.choices() if other == name)
