"""The file of answers: nothing that was confirmed is lost, and nothing of others is overwritten."""

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sksemobridge.labelling._answers.answers_file import Answers, digest_of
from sksemobridge.labelling._answers.event_kinds import KINDS
from sksemobridge.labelling._answers.events import PictureEvent
from sksemobridge.labelling._answers.history import undone

HEADER = {"format": "sksemobridge answers", "version": 1}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def begun():
    """Begins a file of answers, after the one before has ended."""
    with ExitStack() as last:

        def begin(path="labels.answers.jsonl"):
            last.close()
            return last.enter_context(Answers(path))

        yield begin


def say(answers, path, label="bird", **values):
    picture = PictureEvent(path, size=1, sha256="a", label=label, taught=True)
    return answers.append("say", pictures=(picture,), **values)


def said(answers):
    return [(part.path, part.label) for event in answers.events for part in event.pictures]


# Names of files are bytes, of which Python makes text.
FILES = (
    st.binary(min_size=1, max_size=40)
    .map(os.fsdecode)
    .filter(
        lambda name: "\0" not in name and not name.startswith("/") and ".." not in name.split("/")
    )
)
FILES = FILES.filter(lambda name: name.strip("./"))
# As `st.text()` has them. What UTF-8 can encode it finds out letter by letter, for seconds.
LETTERS = st.characters(exclude_categories=["Cs"])
NAMES = st.text(LETTERS, min_size=1, max_size=20)
PICTURES = st.builds(
    PictureEvent,
    path=FILES,
    root=st.sampled_from(["photos", "shots"]),
    size=st.none() | st.integers(0, 2**50),
    sha256=st.none() | NAMES,
    label=st.just("") | NAMES,
    shown=NAMES,
    taught=st.booleans(),
    likely=st.lists(st.tuples(NAMES, st.floats(0, 1)), max_size=3).map(tuple),
    n_columns=st.integers(0, 2000),
)
VALUES = {
    "pictures": st.lists(PICTURES, min_size=1, max_size=3).map(tuple),
    "names": st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    "into": NAMES,
    "of": st.integers(1, 100),
    "path": FILES,
    "size": st.integers(1, 2**50),
    "sha256": NAMES,
}
EVENTS = st.sampled_from([*KINDS]).flatmap(
    lambda kind: st.fixed_dictionaries(
        {"kind": st.just(kind), "who": st.text(LETTERS, max_size=9), "tab": NAMES}
        | {name: VALUES[name] for name in KINDS[kind].needs}
        | ({"among": st.sampled_from(KINDS[kind].among)} if KINDS[kind].among else {})
    )
)


@pytest.mark.skipif(sys.platform == "win32", reason="names of files are text there")
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(EVENTS, max_size=5))
def test_every_byte_of_a_name_and_every_value_comes_back(events):
    Path("any.jsonl").unlink(missing_ok=True)
    with Answers("any.jsonl") as answers:
        for event in events:
            answers.append(**event)
    again = Answers("any.jsonl")
    assert again.events == answers.events
    assert (again.damaged, [*again.unknown]) == ([], [])
    lines = Path("any.jsonl").read_bytes().splitlines()
    assert len(lines) == len(events) + 1
    assert json.loads(lines[0]) == HEADER
    for line, event in zip(lines[1:], events):
        assert json.loads(line)["kind"] == event["kind"]


def test_it_is_only_appended_to_with_growing_numbers_and_times(begun):
    contents = []
    for path in ("a.png", "b.png", "a.png"):
        answers = begun()
        say(answers, path, who="anna", tab="x")
        contents.append(answers.path.read_bytes())
    for before, after in zip(contents, contents[1:]):
        assert after.startswith(before)
    numbers = [event.id for event in answers.events]
    assert numbers == sorted({*numbers})
    times = [event.when for event in answers.events]
    assert times == sorted(times)
    assert {(event.who, event.tab) for event in answers.events} == {("anna", "x")}


def test_any_cut_keeps_all_earlier_lines_and_the_next_begins_a_new_one(begun):
    answers = begun()
    names = ["a.png", "b,c.png", "two\nlines.png"]
    for name in names:
        say(answers, name)
    content = answers.path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(ends[0], len(content)):
        answers.path.write_bytes(content[:cut])
        # A line that lacks nothing but its end counts.
        n_whole = sum(end <= cut + 1 for end in ends[1:])
        again = begun()
        assert said(again) == [(name, "bird") for name in names[:n_whole]]
        assert len(again.damaged) == (cut + 1 not in ends and cut not in ends)
        say(again, "d.png", "clock")
        assert again.path.read_bytes().startswith(content[:cut])
        assert said(begun())[n_whole:] == [("d.png", "clock")]


DAMAGED = [
    b"\xff\xfe",
    b"{",
    b"[]",
    b"null",
    b"1" * 5000,
    b"[" * 100_000,
    b'{"kind": 1}',
    b'{"kind": "say"}',
    b'{"kind": "say", "pictures": []}',
    b'{"kind": "say", "pictures": [{"path": "a.png"}]}',
    b'{"kind": "say", "pictures": [{"path": 1, "label": "x"}]}',
    b'{"kind": "say", "pictures": [{"path": "a.png", "label": "x", "taught": "yes"}]}',
    b'{"kind": "say", "pictures": [{"path": "a.png", "label": "x", "likely": [["b", 2]]}]}',
    b'{"kind": "say", "pictures": [{"path": "a.png", "label": "x", "likely": [1]}]}',
    b'{"kind": "say", "pictures": [{"path": "a.png", "label": "x", "n_columns": -1}]}',
    b'{"kind": "say", "pictures": [{"path": "a.png", "label": "x", "n_columns": 1%s}]}'
    % (b"0" * 30),
    b'{"kind": "say", "id": true, "pictures": [{"path": "a.png", "label": "x"}]}',
    b'{"kind": "rename", "names": ["a"]}',
    b'{"kind": "add", "names": [1]}',
    *(
        b'{"kind": "%s", %s}' % parts
        for parts in (
            (b"rename", b'"into": "a"'),
            (b"join", b'"names": ["a"]'),
            (b"join", b'"into": "a"'),
            (b"drop", b'"into": "a"'),
            (b"add", b'"into": "a"'),
            (b"skip", b'"pictures": []'),
            (b"undo", b'"id": 7'),
            (b"page", b'"pictures": [{"path": "a.png"}]'),
            (b"planted", b'"pictures": []'),
            (b"planted", b'"pictures": [{"path": "a.png", "label": "x"}]'),
            (b"planted", b'"pictures": [{"path": "a.png", "shown": "x"}]'),
            (b"check", b'"pictures": [{"path": "a.png"}]'),
            (b"wrote", b'"size": 1, "sha256": "a"'),
            (b"wrote", b'"path": "a", "sha256": "a"'),
            (b"wrote", b'"path": "a", "size": 1'),
        )
    ),
    b'{"kind": "add", "names": ["\\ud800"]}',
    b'{"kind": "say", "pictures": [{"path": "a.png", "label": "\\ud800"}]}',
    b'{"kind": "card", "names": ["a"]}',
    b'{"kind": "card", "names": ["a"], "among": "lost"}',
    b'{"kind": "planting", "among": "perhaps"}',
    b'{"kind": "check", "among": "all", "pictures": [{"path": "a.png", "shown": "x"}]}',
    *(
        b'{"kind": "say", "pictures": [{"path": %s, "label": "x"}]}' % path
        for path in (
            b'"/etc/passwd"',
            b'"../a.png"',
            b'"a/../../b.png"',
            b'""',
            b'"."',
            b'"a\\u0000"',
        )
    ),
]


@pytest.mark.parametrize("line", DAMAGED)
def test_a_damaged_line_is_passed_over_alone_named_and_kept(begun, line):
    answers = begun()
    say(answers, "a.png")
    with open(answers.path, "ab") as file:
        file.write(line + b"\n")
    answers = begun()
    say(answers, "b.png")
    answers = begun()
    assert said(answers) == [("a.png", "bird"), ("b.png", "bird")]
    assert answers.damaged == [3]
    (note,) = answers.notes()
    assert note == "Passed over damaged lines of 'labels.answers.jsonl' (1): 3."
    assert line in answers.path.read_bytes()


def test_kinds_and_fields_of_later_versions_are_kept_passed_over_and_named(begun):
    answers = begun()
    with open(answers.path, "ab") as file:
        file.write(b'{"kind": "wish", "id": 7}\n')
        file.write(b'{"kind": "say", "mood": 1, "pictures": [{"path": "a.png", "label": ""}]}\n')
    answers = begun()
    assert said(answers) == [("a.png", "")]
    assert [*answers.notes()] == [
        "Passed over lines of 'labels.answers.jsonl' of kinds that only others know: 'wish' (1)."
    ]
    assert say(answers, "b.png").id > 2
    assert b"wish" in answers.path.read_bytes()


def test_a_damaged_first_line_loses_no_other(begun):
    answers = begun()
    say(answers, "a.png")
    header, rest = answers.path.read_bytes().split(b"\n", 1)
    answers.path.write_bytes(header[:-5] + b"\n" + rest)
    assert said(begun()) == [("a.png", "bird")]


@pytest.mark.parametrize("content", ["path,label\na.png,bird\n", "my notes", "\0", "{}", "[]\n[]"])
def test_a_file_of_another_kind_is_refused_and_kept(content):
    Path("notes.jsonl").write_text(content)
    with pytest.raises(ValueError, match="'notes.jsonl' is no file of answers"):
        Answers("notes.jsonl")
    assert Path("notes.jsonl").read_text() == content


def test_a_file_of_a_later_version_is_refused():
    Path("new.jsonl").write_text(json.dumps(HEADER | {"version": 2}) + "\n")
    with pytest.raises(ValueError, match="'new.jsonl' is of version 2; .* update"):
        Answers("new.jsonl")


def test_an_empty_file_is_begun(begun):
    Path("labels.answers.jsonl").touch()
    say(begun(), "a.png")
    assert said(begun()) == [("a.png", "bird")]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("room", [0, 1, 20])
def test_a_full_disk_changes_nothing(begun, room):
    import resource

    answers = begun()
    say(answers, "a.png")
    before = answers.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            say(answers, "b.png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert answers.path.read_bytes() == before
    say(answers, "b.png")
    assert said(answers) == said(begun()) == [("a.png", "bird"), ("b.png", "bird")]


def test_what_is_not_synced_is_not_said(begun, monkeypatch):
    answers = begun()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            say(answers, "a.png")
    assert said(answers) == said(begun()) == []


def test_one_page_at_a_time_whatever_link_leads_there(begun):
    begun()
    with pytest.raises(ValueError, match="belongs to an open page"):
        Answers("labels.answers.jsonl").begin()
    if sys.platform != "win32":
        os.symlink("labels.answers.jsonl", "link.jsonl")
        with pytest.raises(ValueError, match="belongs to an open page"):
            Answers("link.jsonl").begin()


def rewrite(path):
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


CHANGES = {
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "another": rewrite,
    "as long": lambda path: path.write_bytes(path.read_bytes().replace(b"a.png", b"b.png")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_program_does_not_lose_its_changes(begun, change):
    answers = begun()
    say(answers, "a.png")
    os.utime(answers.path, ns=(1, 1))
    change(answers.path)
    content = answers.path.read_bytes()
    with pytest.raises(OSError, match="changed by another program"):
        say(answers, "c.png")
    assert answers.path.read_bytes() == content


def test_a_removed_file_comes_back(begun):
    answers = begun()
    say(answers, "a.png")
    answers.path.unlink()
    say(answers, "c.png")
    assert said(begun()) == [("a.png", "bird"), ("c.png", "bird")]


def test_what_was_written_is_known_by_its_content(begun):
    answers = begun()
    assert not answers.is_changed("labels.csv")
    answers.append_written("labels.csv", b"table")
    Path("labels.csv").write_text("another")
    assert not answers.owns("labels.csv")
    assert answers.is_changed("labels.csv")
    Path("labels.csv").write_text("table")
    assert answers.owns("labels.csv")
    assert begun().owns(os.path.abspath("labels.csv"))
    # Killed before the next table was moved: the old one is still of this command.
    begun().append_written("labels.csv", b"another table")
    assert begun().owns("labels.csv")
    # Both may be moved.
    os.mkdir("moved")
    for name in ("labels.csv", "labels.answers.jsonl"):
        os.rename(name, f"moved/{name}")
    moved = begun("moved/labels.answers.jsonl")
    assert moved.owns("moved/labels.csv")
    assert not moved.owns("labels.csv")
    assert digest_of(b"table") == (5, moved.events[0].sha256)


def test_the_last_event_of_a_number_is_taken_back(begun):
    answers = begun()
    first, second = say(answers, "a.png"), say(answers, "b.png")
    answers.append("undo", of=first.id)
    answers.append("undo", of=99)
    assert undone(answers.events) == {0}
    answers.append("undo", of=second.id)
    assert undone(answers.events) == {0, 1}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="other systems have no such files")
def test_a_pipe_is_refused_at_once():
    os.mkfifo("pipe.jsonl")
    with pytest.raises(ValueError, match=r"--answers: 'pipe.jsonl' is no regular file"):
        Answers("pipe.jsonl")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_answers_in_another_encoding_are_refused_and_kept(begun, encoding):
    answers = begun()
    say(answers, "a.png")
    content = answers.path.read_text().encode(encoding)
    answers.path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is in UTF-(16|32).*; save it as UTF-8"):
        Answers(answers.path)
    assert answers.path.read_bytes() == content
