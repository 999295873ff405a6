"""The live page answers to its own browser, and to nobody else."""

import io
import json
import os
import re
import socket
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from PIL import Image

from sksemobridge import labelling
from sksemobridge.labelling._live.shown_bursts import ShownBursts
from sksemobridge.labelling._messages import UsageError

from ...browser import wait_until
from ...user_folder import link
from .conftest import start_no_browser
from .live import Live, paint


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory):
    """One page for all tests of what changes nothing."""
    with pytest.MonkeyPatch.context() as patch:
        start_no_browser(patch)
        patch.setattr("sksemobridge.labelling._live.server.FAREWELL", 0)
        patch.chdir(tmp_path_factory.mktemp("unchanged"))
        page = Live()
        yield page
        page.close()


def test_a_secret_in_the_address_becomes_a_cookie(live):
    page = live()
    status, headers, _ = page.ask(f"/?secret={page.secret}", Cookie="")
    assert (status, headers["location"]) == (303, "/")
    assert "; HttpOnly" in headers["set-cookie"]
    assert "SameSite=" in headers["set-cookie"]
    status, headers, content = page.ask("/")
    assert status == 200
    assert page.secret.encode() not in content


def test_the_program_says_what_the_page_knows_by_its_types(unchanged):
    source = Path(labelling.__file__).parent / "_live" / "static" / "state.js"
    types = source.read_text("utf-8").partition("@typedef {object} State")[2]
    known = re.findall(r"@property \{.*\} (\w+)$", types.partition(" *\n")[0], re.MULTILINE)
    assert sorted(known) == sorted(unchanged.state())


@pytest.mark.parametrize(
    "path", ["/", "/picture/0", "/picture/0?small", "/_live/static/live.js", "/nothing"]
)
def test_nobody_without_the_secret_learns_anything(unchanged, path):
    for cookie in ("", "sksemobridge=x", "é", "secret={}", "{}"):
        status, _, content = unchanged.ask(path, Cookie=cookie.format("0" * 43))
        assert (status, content) == (403, b"Open the address that the command printed.")


def test_a_wrong_secret_opens_nothing(live):
    page = live()
    page.cookie = None
    for secret in ("", "x", "%00", "%C3%A9", "%FF", "0" * 5000):
        assert page.ask(f"/?secret={secret}")[0] == 403


def test_nobody_without_the_secret_does_anything(live):
    page = live()
    data = {"tab": "a", "number": 0, "label": "bird", "begin": True}
    for action in ("state", "say", "page", "undo", "skip", "check", "add", "drop", "done", "end"):
        for headers in (
            {"Cookie": ""},
            {"Origin": "http://evil.example"},
            {"Sec_Fetch_Site": "same-site"},
        ):
            assert page.ask(f"/{action}", data, **headers)[0] == 403
        assert page.ask(f"/{action}", data, Content_Type="text/plain")[0] == 415
    assert page.state()["changes"] == 0
    assert page.thread.is_alive()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost:1", "LOCALHOST:65535"])
def test_a_tunnel_may_change_the_port(live, name):
    data = {"tab": "a", "number": 0, "label": "bird"}
    assert live().ask("/say", data, Host=name, Origin=f"http://{name}")[0] == 200


NAMES = [
    "evil.example",
    "127.0.0.1.evil.example",
    "evil-localhost",
    "a@localhost",
    "localhost/a",
    "0.0.0.0",
    "",
]


@pytest.mark.parametrize("name", NAMES)
def test_another_name_is_refused(unchanged, name):
    page = unchanged
    assert page.ask("/", Host=name)[0] == 403
    for origin in (
        f"http://{name}",
        f"https://{name}:{page.port}",
        name,
        "null",
        "localhost",
        "file://",
    ):
        assert page.ask("/", Origin=origin)[0] == 403
    # A name that leads to this machine is an attack of a page elsewhere.
    assert page.ask(f"/?secret={page.secret}", Host=name)[0] == 403


def test_other_machines_cannot_connect(live):
    here = "127.0.0.2" if sys.platform == "linux" else socket.gethostbyname(socket.gethostname())
    port = live().port
    with socket.socket() as other, pytest.raises(OSError, match="refused"):
        other.connect((here, port))


def test_every_answer_has_its_policy(live):
    page = live()
    asked = [(path, {}) for path in ("/", "/picture/0", "/picture/99", "/nothing", "/say")]
    for path, options in [*asked, ("/state", {"data": {"tab": "a"}}), ("/", {"Cookie": ""})]:
        _, headers, _ = page.ask(path, **options)
        policy = "default-src 'none'; base-uri 'none'; form-action 'none'"
        assert headers["content-security-policy"].startswith(policy)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers


NO_NUMBERS = [b"-1", b"12", b"true", b'"0"']
NO_LABELS = [b"null", b'"%s"' % (b"a" * 101), b'"a\\nb"', b'"\\ud800"']


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"x" * 200_000, 413),
        *((body, 400) for body in (b"", b"null", b"{}", b"\xff", b"[" * 9000)),
        (b'{"tab": "a", "number": ' + b"9" * 9000 + b', "label": "bird"}', 400),
        *((b'{"tab": "a", "number": %s, "label": "bird"}' % number, 409) for number in NO_NUMBERS),
        *((b'{"tab": "a", "number": 0, "label": %s}' % label, 409) for label in NO_LABELS),
        (b'{"tab": ["a"], "number": 0, "label": "bird"}', 400),
        (b'{"tab": "a", "number": 0, "label": "bird", "since": "x"}', 400),
    ],
)
def test_a_request_that_does_not_fit_changes_nothing(unchanged, body, status):
    page = unchanged
    before = page.answers.path.read_bytes()
    assert page.ask("/say", body)[0] == status
    assert page.answers.path.read_bytes() == before
    assert page.state()["changes"] == 0


# Every field of every action with a value of another kind.
OTHERS = (None, True, -1, 1.5, "x", "", [], [[]], {}, [{}], [None])
FIELDS = {
    "say": {"number": 0, "label": "bird"},
    "say_same": {"numbers": [0], "label": "bird", "alone": False},
    "page": {"pictures": [{"number": 0, "shown": "bird", "label": "bird"}]},
    "skip": {"number": 0},
    "check": {"begin": True, "among": "rest"},
    "planting": {"on": True},
    "card": {"how": "kept", "into": "owl", "name": "bird", "number": 0},
    "add": {"names": ["owl"]},
    "rename": {"name": "bird", "into": "owl"},
    "join": {"names": ["bird"], "into": "clock"},
    "drop": {"name": "bird"},
    "look": {"n_images": 6, "among": "rest", "name": "bird", "without": [0]},
    "look_at_class": {"name": "bird", "start": 0, "n_images": 6},
    "suggest": {"n_names": 3},
}


@pytest.mark.parametrize("action", FIELDS)
def test_a_value_of_another_kind_is_no_fault(live, action):
    page = live()
    for name in FIELDS[action]:
        for other in OTHERS:
            status, _ = page.act(action, **FIELDS[action] | {name: other})
            assert status in (200, 400, 409), (name, other)
        needs = {"tab": "a"} | FIELDS[action]
        del needs[name]
        assert page.ask(f"/{action}", needs)[0] in (200, 400)
    for part in ("number", "shown", "label") if action == "page" else ():
        for other in OTHERS:
            picture = FIELDS["page"]["pictures"][0] | {part: other}
            assert page.act("page", pictures=[picture])[0] in (200, 409), (part, other)


@pytest.mark.parametrize("error", [KeyError("x"), AttributeError("y"), ValueError("z")])
@pytest.mark.parametrize("path", ["/state", "/picture/0"])
def test_a_fault_of_ours_prints_its_traceback_and_says_so(live, monkeypatch, capfd, error, path):
    page = live()
    with monkeypatch.context() as patch:
        patch.setattr(page.session.files, "jpeg", Mock(side_effect=error))
        patch.setattr(ShownBursts, "count", Mock(side_effect=error))
        status, _, content = page.ask(path, {"tab": "a"} if path == "/state" else None)
    assert status == 500
    failed = json.loads(content)["failed"]
    assert failed.startswith(f"This is a fault of sksemobridge ({type(error).__name__}: {error}).")
    assert f"{type(error).__name__}: {error}" in capfd.readouterr().err
    assert page.state()["total"] == 12


def test_bodies_have_a_length(live):
    page = live()
    with socket.create_connection(("127.0.0.1", page.port)) as connection:
        head = (
            "POST /say HTTP/1.1\r\nHost: localhost\r\nCookie:"
            f" {page.cookie}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode() + b"1\r\n{\r\n")
        assert b" 413 " in connection.recv(100)


def test_a_body_that_never_comes_keeps_nobody_waiting(live, monkeypatch):
    monkeypatch.setattr("sksemobridge.labelling._live.server.REQUEST_PATIENCE", 0.1)
    page = live()
    head = f"POST /say HTTP/1.1\r\nHost: localhost\r\nCookie: {page.cookie}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", page.port)) as connection:
        connection.sendall(head.encode())
        assert b" 408 " in connection.recv(100)
    monkeypatch.setattr("sksemobridge.labelling._live.server.REQUEST_PATIENCE", 3600)
    with socket.create_connection(("127.0.0.1", page.port)) as connection:
        connection.sendall(head.encode())
        page.act("state")
        assert page.act("end")[0] == 200
        page.thread.join(60)
        assert not page.thread.is_alive()


def test_pictures_have_numbers(unchanged):
    for number in ("-1", "12", "1.0", "x", "%C2%B9", "9" * 5000, "..%2f..%2fetc%2fpasswd", "%00"):
        assert unchanged.ask(f"/picture/{number}")[0] == 404


def test_a_picture_is_encoded_anew(live):
    page = live()
    file = Path(page.session.files.pictures.paths[0])
    file.write_bytes(file.read_bytes() + b"<script>alert(1)</script>")
    status, headers, content = page.ask("/picture/0")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert b"script" not in content
    assert Image.open(io.BytesIO(content)).size == (200, 150)
    assert Image.open(io.BytesIO(page.ask("/picture/0?small")[2])).size == (160, 120)


def link_of_a_folder(file):
    file.parent.rename("elsewhere")
    link(Path("elsewhere").absolute(), file.parent)


SWAPS = {
    "link": lambda file: link(Path("photos/001.png").absolute(), file),
    "link of a folder": link_of_a_folder,
    "pipe": os.mkfifo,
    "gone": lambda file: None,
    "text": lambda file: file.write_text("root:x:0:0"),
    "folder": Path.mkdir,
}


@pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no pipes of this kind, and few links"
)
@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS)
def test_a_file_that_was_swapped_is_not_given(live, swap):
    page, file = live(), Path("photos/000.png")
    if swap is not link_of_a_folder:
        file.unlink()
    swap(file)
    status, headers, content = page.ask("/picture/0")
    assert (status, headers["content-type"].split(";")[0]) == (404, "text/plain")
    assert b"root" not in content
    assert 0 not in [item["number"] for item in page.state()["queue"]]
    assert page.act("say", number=0, label="bird")[0] == 409


def test_a_picture_is_read_once_for_both_of_its_sizes(live):
    page = live()
    assert page.ask("/picture/0")[0] == 200
    os.remove("photos/000.png")
    status, _, content = page.ask("/picture/0?small")
    assert (status, Image.open(io.BytesIO(content)).size) == (200, (160, 120))
    assert page.act("say", number=0, label="bird")[0] == 200
    assert page.ask("/picture/0")[0] == 404


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text_break_no_answer(live):
    paint()
    os.rename("photos/000.png", name := os.path.join("photos", "bad\udcff.png"))
    params = {
        "answers": "bad\udcff.answers.jsonl",
        "title": "Label bad\udcff",
        "write": lambda *_: (0, ["bad\udcff"]),
    }
    page = live(n=0, **params)
    number = page.session.files.pictures.paths.index(name)
    assert page.ask("/")[0] == 200
    _, state = page.act("say", number=number, label="bird")
    assert state["recent"][0]["name"] == os.path.join("photos", "bad\\udcff.png")
    assert page.act("done")[0] == 200


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [(OSError("disk full"), 507, "Not saved: disk full"), (UsageError("too few"), 409, "too few")],
)
def test_files_that_cannot_be_written_do_not_end_it(live, error, status, message):
    def fails(*_):
        raise error

    page = live(write=fails)
    assert page.act("done") == (status, {"failed": message})
    assert page.act("say", number=0, label="bird")[0] == 200
    page.write = lambda *_: (0, [])
    assert page.act("done")[1]["written"] == []


@pytest.mark.skipif(sys.platform == "win32", reason="a program of a shell")
def test_the_address_for_the_browser_is_good_for_one_visit(live, monkeypatch, tmp_path):
    visited = tmp_path / "visited"
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\necho "$1" > {visited}.tmp && mv {visited}.tmp {visited}\n')
    program.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{program} %s")
    page = live()
    wait_until(visited.exists)
    once = visited.read_text().strip().split("secret=")[1]
    assert once != page.secret
    page.cookie = None
    assert [page.ask(f"/?secret={once}")[0] for _ in range(2)] == [303, 403]
