"""`sksemobridge label --open` as its user has it: a program that is stopped, killed, and begun
again.
"""

import os
import re
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from sksemobridge.labelling._command.cli import main

from ...browser import wait_until
from ...programs import start_program
from ...user_folder import SHOTS, fill, rows_of
from .conftest import start_no_browser
from .live import Asks
from .person import Person

pytest.importorskip("uvicorn")
FILES = "--out labels.csv --report page.html --sort-into sorted --open"


class Program(Asks):
    """The command in a process of its own, and the page that it serves."""

    def __init__(self, arguments=FILES):
        code = "import sys; from sksemobridge.labelling._command.cli import main; sys.exit(main())"
        self.said = Path("said.txt")
        self.process = start_program(
            code, "label", *SHOTS.split(), *arguments.split(), output=self.said
        )
        wait_until(lambda: not self.process.is_alive() or "Ctrl-C" in self.text())
        if address := re.search(r"http://\S+", self.text()):
            self.enter(address[0])

    def text(self):
        return self.said.read_text()

    def interrupt(self):
        """Press Ctrl-C. What the open page is told of the end, for which the program waits."""
        os.kill(self.process.pid, signal.SIGINT)
        told = []
        wait_until(lambda: told.append(self.state().get("ended")) or told[-1])
        return told[-1]

    def status(self):
        """The exit status of a program that ends."""
        self.process.join(120)
        return self.process.exitcode


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache that knows the pictures and texts, so that no program loads the model."""
    folder, cache = tmp_path_factory.mktemp("folder"), tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(cache))
        fill(folder)
        assert main(["label", *SHOTS.split(), "--out", "labels.csv"]) == 1
    return str(cache)


class Command(Asks):
    """The command in a thread, for what a process does not change. `said` gives what it says."""

    def __init__(self, said, arguments=FILES):
        self.thread = threading.Thread(target=self._run, args=[arguments])
        self.thread.start()
        text = []

        def is_served():
            text.append(said())
            return not self.thread.is_alive() or "Ctrl-C" in "".join(text)

        wait_until(is_served)
        self.enter(re.search(r"http://\S+", "".join(text))[0])

    def _run(self, arguments):
        self.status = main(["label", *SHOTS.split(), *arguments.split()])

    def end(self):
        self.act("end")
        self.thread.join(120)
        return self.status


@pytest.fixture
def known_place(place, cache, monkeypatch):
    """The folder of a user, in a cache."""
    start_no_browser(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", cache)


@pytest.fixture
def command(known_place, monkeypatch, capsys, ends_soon):
    begun = []

    def start(*arguments):
        begun.append(Command(lambda: capsys.readouterr().err, *arguments))
        return begun[-1]

    yield start
    # No page in the browser needs to hear of it.
    monkeypatch.setattr("sksemobridge.labelling._live.server.FAREWELL", 0)
    for command in begun:
        with suppress(ConnectionError):
            command.end()


@pytest.fixture
def program(known_place):
    if sys.platform == "win32":
        pytest.skip("signals")
    begun = []

    def start(*arguments):
        begun.append(Program(*arguments))
        return begun[-1]

    yield start
    for program in begun:
        program.process.kill()
        program.process.join(60)


def label_all(program, label=None):
    for item in program.state()["queue"]:
        program.act("say", number=item["number"], label=label or Path(item["name"]).stem)


def test_a_program_that_is_killed_goes_on_and_after_ctrl_c_its_page_is_told_of_the_files(program):
    page = program()
    label_all(page)
    page.process.kill()
    assert page.status() == -signal.SIGKILL
    assert not os.path.exists("labels.csv")
    page = program()
    assert page.state()["labelled"] == 6
    assert page.secret not in Path(f"/proc/{page.process.pid}/cmdline").read_text()
    told = page.interrupt()
    assert page.status() == 1  # one file is broken
    assert told["files"][0]["name"] == "labels.csv"
    assert any("labels.csv" in line for line in told["written"])
    assert "6 files labelled, 1 skipped, 1 no image: labels.csv" in page.text()
    table = {row["path"]: row["label"] for row in rows_of("labels.csv")}
    assert table["photos/more/bird.png"] == "bird"
    assert Path("sorted/bird/more/bird.png").exists()


def test_the_same_command_goes_on_with_the_files_that_it_wrote(program, label):
    page = program()
    label_all(page)
    page.act("end")
    assert page.status() == 1
    page = program()
    # After “Done” too, Ctrl-C writes what was said since.
    assert page.act("done")[0] == 200
    page.act("say", number=0, label="fruit")
    page.interrupt()
    assert page.status() == 1
    assert rows_of("labels.csv")[0]["label"] == "fruit"
    assert Path("sorted/fruit/bird.png").exists()
    assert not Path("sorted/bird/bird.png").exists()
    # Not a table that somebody changed.
    with open("labels.csv", "a") as file:
        file.write("mine\n")
    status, said = label(f"{SHOTS} {FILES}")
    assert status == 2
    assert "--out: 'labels.csv' exists, and nothing is overwritten" in said


def test_done_writes_and_goes_on(command):
    page = command()
    label_all(page)
    assert page.act("done")[0] == 200
    assert rows_of("labels.csv")[0]["label"] == "bird"
    page.act("say", number=0, label="fruit")
    assert page.act("done")[0] == 200
    assert rows_of("labels.csv")[0]["label"] == "fruit"
    assert Path("sorted/fruit/bird.png").exists()
    assert not Path("sorted/bird/bird.png").exists()
    assert page.end() == 1


def test_a_file_that_came_meanwhile_is_not_overwritten(command):
    page = command()
    label_all(page)
    Path("labels.csv").write_text("mine")
    status, answer = page.act("done")
    assert (status, "'labels.csv' could not be written: it exists" in answer["failed"]) == (
        507,
        True,
    )
    assert Path("labels.csv").read_text() == "mine"
    os.remove("labels.csv")
    assert page.act("end")[0] == 200
    page.thread.join(60)
    assert page.status == 1


def test_files_of_the_command_are_not_labelled(label):
    files = "--out photos/labels.csv --report photos/page.html --overwrite"
    tables = []
    for _ in range(2):
        label(f"{SHOTS} {files}")
        tables.append(rows_of("photos/labels.csv"))
    assert [row["path"] for row in tables[0]] == [row["path"] for row in tables[1]]


def test_copies_and_sidecars_may_be_asked_for_at_the_end(command):
    page = command("--out labels.csv --open")
    told = page.act("done")[1]
    assert told["further"] == {"sort_into": "labels_sorted", "sidecars": True}
    assert not list(Path("photos").glob("*.xmp"))
    told = page.act("also", name="sidecars")[1]
    assert told["further"] == {"sort_into": "labels_sorted"}
    assert "Sidecars: 6 new, 0 changed, 0 as they were." in told["written"]
    assert Path("photos/bird.png.xmp").exists()
    status, told = page.act("also", name="sidecars")
    assert (status, told["failed"]) == (409, "This was asked for already, or cannot be written.")
    # A folder of a person is not used, and the files can still be written.
    Path("labels_sorted").mkdir()
    Path("labels_sorted/mine.txt").touch()
    status, told = page.act("also", name="sort_into")
    assert status == 409
    assert "no new or empty folder" in told["failed"]
    Path("labels_sorted/mine.txt").unlink()
    page.act("say", number=0, label="fruit")
    told = page.act("also", name="sort_into")[1]
    assert told["further"] == {}
    assert {file["what"] for file in told["files"]} == {"table", "folder", "sidecars"}
    assert Path("labels_sorted/fruit/bird.png").exists()
    # Both follow the labels from then on.
    assert "fruit" in Path("photos/bird.png.xmp").read_text()
    page.act("say", number=0, label="clock")
    page.end()
    assert "clock" in Path("photos/bird.png.xmp").read_text()
    assert Path("labels_sorted/clock/bird.png").exists()


def test_the_last_page_has_buttons_for_them(command, browser):
    page = command("--out labels.csv --open")
    browser.look(1366, "light", 640)
    person = Person(browser, page)
    person.click("#done")
    wait_until(lambda: person.all("#further button"))
    person.click_text("Write sidecars", "#further button")
    wait_until(lambda: person.all("#further button") == ["Sort into folders"])
    assert "Sidecars: 6 new" in person.text("finish")
    person.click_text("Sort into folders", "#further button")
    wait_until(lambda: Path("labels_sorted").is_dir() and not person.all("#further button"))
    assert "labels_sorted" in person.text("files")
    assert "labels.csv\nthe table" in person.text("files")
    assert "the label of a.jpg in a.jpg.xmp" in person.text("files")
    assert "sort by probability" in person.text("finish")
    for number in range(6):
        page.act("say", number=number, label="fruit")
    person.click_text("Back to the pictures")
    person.click("#done")
    person.wait_for("every label is by you", "finish")
    assert browser.errors == []
