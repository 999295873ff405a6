"""Labels in sidecars beside the pictures."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sksemobridge.labelling._photos.sidecars import (
    EMPTY,
    NotMergedError,
    keywords,
    merged,
    write_sidecars,
)

from ...user_folder import SHOTS, rows_of

# As other programs write them: a list in an own description, comments, odd spaces and references.
OTHERS = b"""\
<?xpacket begin='\xef\xbb\xbf' id='W5M0MpCehiHzreSzNTczkc9d'?>
<!-- by hand -->
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk="a>b">
<r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
 <r:Description r:about='' xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmp:Rating='4'
   xmlns:d="urn:mine" d:note="two&#10;lines &lt;here&gt;"/>
 <r:Description r:about='' xmlns:dc='http://purl.org/dc/elements/1.1/'>
  <dc:subject><r:Bag><r:li>mine</r:li>
     <r:li>cat</r:li></r:Bag></dc:subject>
  <dc:title><![CDATA[a & b]]></dc:title>
 </r:Description>
</r:RDF>
</x:xmpmeta>
<?xpacket end='w'?>
   """
needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")


def exiftool(*args):
    run = subprocess.run(["exiftool", *args], capture_output=True, text=True, check=True)
    return run.stdout


def lists_in(path):
    """Lists of keywords, as exiftool reads them."""
    names = ["-XMP-dc:Subject", "-XMP-lr:HierarchicalSubject", "-XMP-digiKam:TagsList"]
    (found,) = json.loads(exiftool("-j", *names, path))
    lists = [found.get(name.partition(":")[2], []) for name in names]
    return [[part] if isinstance(part, str) else part for part in lists]


@pytest.mark.parametrize("label", ["cat", "animal|cat", "animal/cat", "a & <b>", "Ü"])
@pytest.mark.parametrize("content", [EMPTY, OTHERS])
def test_all_else_in_a_sidecar_stays(content, label):
    labelled = merged(content, keywords(label))
    assert merged(labelled, keywords(label)) == labelled
    for line in content.split(b"\n"):
        assert line.partition(b"</r:Bag>")[0] in labelled
    again = merged(merged(labelled, keywords("dog|poodle")), keywords(label))
    assert again == labelled
    # Without a label it is as it was.
    assert merged(labelled, keywords(None)) == content


@pytest.mark.parametrize("description", ["<r:Description r:about='x' xmp:Rating='4' />", ""])
def test_all_lists_are_in_one_description_also_where_none_has_content(description):
    around = OTHERS.partition(b" <r:Desc")[0], b"</r:RDF>" + OTHERS.partition(b"</r:RDF>")[2]
    spaces = " xmlns:xmp='http://ns.adobe.com/xap/1.0/'"
    description = description.replace(" r:about", f"{spaces} r:about").encode()
    content = b"%b %b\n%b" % (around[0], description, around[1])
    labelled = merged(content, keywords("animal/cat"))
    assert labelled.count(b"<r:Description ") == labelled.count(b"</r:Description>") == 1
    assert labelled.count(b"</r:Bag>") + labelled.count(b"</r:Seq>") == 6
    assert description.removesuffix(b"/>") in labelled
    assert labelled.startswith(around[0])
    assert labelled.endswith(around[1])
    assert merged(labelled, keywords("animal/cat")) == labelled
    without = merged(labelled, keywords(None))
    assert b"cat" not in without
    assert merged(without, keywords("animal/cat")) == labelled


@given(st.text(min_size=1), st.text(min_size=1))
@example("0", "00/0")
def test_a_second_run_changes_what_the_first_one_wrote(first, second):
    labelled = merged(OTHERS, keywords(first))
    assert merged(labelled, keywords(second)) == merged(OTHERS, keywords(second))
    assert merged(labelled, keywords("")) == OTHERS


def test_a_keyword_of_a_person_stays_when_the_label_goes():
    labelled = merged(OTHERS, keywords("cat"))
    assert labelled.count(b"<r:li>cat</r:li>") > 1
    assert b"<r:li>cat</r:li>" in merged(labelled, keywords("dog"))


@needs_exiftool
def test_exiftool_reads_the_lists_and_a_path_of_keywords(tmp_path):
    file = tmp_path / "a.jpg.xmp"
    file.write_bytes(merged(EMPTY, keywords("animal/big cat")))
    assert lists_in(file) == [["animal", "big cat"], ["animal|big cat"], ["animal/big cat"]]
    assert "OK" in exiftool("-validate", file)
    exiftool("-XMP-dc:Subject+=mine", "-XMP-xmp:Rating=3", file)
    # What another program wrote anew.
    file.write_bytes(merged(file.read_bytes(), keywords("dog")))
    assert lists_in(file) == [["mine", "dog"], ["dog"], ["dog"]]
    assert "3" in exiftool("-XMP-xmp:Rating", file)
    assert "OK" in exiftool("-validate", file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no XML"),
        (b"my notes", "no XML"),
        (b"<a/>", "no XMP"),
        (OTHERS.decode().encode("utf-16"), "not in UTF-8"),
        (b'<?xml version="1.0" encoding="latin-1"?><a/>', "latin-1, not in UTF-8"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]>' + EMPTY.partition(b"\n")[2], "document type"),
        (OTHERS.replace(b"r:Bag", b"r:Box"), "subject is no list"),
        (
            EMPTY.replace(b"rdf:about", b"xmlns:d='http://purl.org/dc/elements/1.1/' d:subject"),
            "no",
        ),
    ],
)
def test_what_cannot_be_merged_is_refused(content, reason):
    with pytest.raises(NotMergedError, match=reason):
        merged(content, keywords("cat"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"<dc:note>%b</dc:note>" % (b"a &amp; b\n" * 400_000)),
        (b"", b"<dc:note>%b</dc:note>" % (b"<dc:part> </dc:part>" * 40_000)),
        (b"<r:li>more</r:li> " * 40_000, b""),
    ],
    ids=["text", "elements", "keywords"],
)
def test_much_else_in_a_sidecar_stays_too(before, after):
    """Where the time grows with the square of the size, this test takes minutes."""
    content = OTHERS.replace(b"<r:li>mine", before + b"<r:li>mine")
    content = content.replace(b"</dc:title>", b"</dc:title>" + after)
    labelled = merged(content, keywords("dog"))
    assert b"<r:li>dog</r:li>" in labelled
    assert merged(labelled, keywords(None)) == content


def rows_with_labels(*paths):
    return [{"path": str(path), "label": "cat", "problem": ""} for path in paths]


def test_a_very_large_sidecar_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("sksemobridge.labelling._photos.sidecars.LARGEST_SIDECAR", 2_000_000)
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(EMPTY + b" " * 2_000_000)
    said = write_sidecars(rows_with_labels(tmp_path / "a.jpg"))
    assert said[0] == "Sidecars: 0 new, 0 changed, 0 as they were."
    assert said[1] == f"Sidecars left as they are (1): {sidecar} (it has more than 2 MB)"
    assert b"cat" not in sidecar.read_bytes()


def test_a_name_that_is_too_long_stops_its_own_sidecar_alone(tmp_path):
    paths = [tmp_path / name for name in ("a.jpg", f"{'b' * 251}.jpg", "c.jpg")]
    said = write_sidecars(rows_with_labels(*paths))
    assert said[0] == "Sidecars: 2 new, 0 changed, 0 as they were."
    assert said[1].startswith(f"Sidecars left as they are (1): {paths[1]}.xmp (")
    assert sorted(os.listdir(tmp_path)) == ["a.jpg.xmp", "c.jpg.xmp"]


def test_a_disk_that_is_full_midway_loses_no_sidecar_and_what_was_written_is_counted(
    tmp_path, monkeypatch
):
    paths = [tmp_path / f"{name}.jpg" for name in "abc"]
    for path in paths[1:]:
        Path(f"{path}.xmp").write_bytes(OTHERS)
    calls, fsync = [], os.fsync

    def full_after_two(file):
        calls.append(file)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_after_two)
        said = write_sidecars(rows_with_labels(*paths))
    assert said[0] == "Sidecars: 1 new, 1 changed, 0 as they were."
    assert said[1] == f"Sidecars left as they are (1): {paths[2]}.xmp (No space left on device)"
    assert Path(f"{paths[2]}.xmp").read_bytes() == OTHERS
    assert len(os.listdir(tmp_path)) == 3
    said = write_sidecars(rows_with_labels(*paths))
    assert said == ["Sidecars: 0 new, 1 changed, 2 as they were."]


def digests(folder):
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_command_writes_sidecars_and_nothing_else_into_photos(label):
    Path("photos/bird.png.xmp").write_bytes(OTHERS)
    Path("photos/clock.png.xmp").write_text("my notes")
    before = digests("photos")
    status, said = label(f"{SHOTS} --out a.csv --sidecars")
    assert status == 1  # as without sidecars: a file could not be read
    assert "Sidecars: 4 new, 1 changed, 0 as they were." in said
    assert "left as they are (1): photos" in said
    assert "clock.png.xmp (it is no XML" in said
    after = digests("photos")
    new = {path for path in after if path not in before}
    assert {path.removesuffix(".xmp") for path in new} <= {*before}
    assert len(new) == 4
    assert {path for path in before if before[path] != after[path]} == {"photos/bird.png.xmp"}
    assert after.keys() >= before.keys()
    # Neither they nor those of others are files to label.
    said = label(f"{SHOTS} --out b.csv --sidecars")[1]
    assert "Sidecars: 0 new, 0 changed, 5 as they were." in said
    assert digests("photos") == after
    assert rows_of("b.csv") == rows_of("a.csv")
    assert not any(".xmp" in row["path"] for row in rows_of("a.csv"))


def test_a_corrected_label_takes_the_place_of_the_earlier_one(label):
    label(f"{SHOTS} --out a.csv --sidecars")
    Path("said.csv").write_text("photos/bird.png,animal/wren\nphotos/clock.png,none of these\n")
    said = label(f"{SHOTS} --out b.csv --sidecars --corrections said.csv")[1]
    before, after = ([row["label"] for row in rows_of(name)] for name in ("a.csv", "b.csv"))
    n_changed = sum(np.array(before) != after)
    assert n_changed >= 2  # those of the two corrections; the model may learn from them
    assert f"Sidecars: 0 new, {n_changed} changed, {6 - n_changed} as they were." in said
    content = Path("photos/bird.png.xmp").read_bytes()
    assert content == merged(EMPTY, keywords("animal/wren"))
    assert Path("photos/clock.png.xmp").read_bytes() == EMPTY


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_a_sidecar_that_is_changed_keeps_its_mode(tmp_path):
    sidecar = tmp_path / "bird.png.xmp"
    sidecar.write_bytes(EMPTY)
    sidecar.chmod(0o640)
    row = {"path": str(tmp_path / "bird.png"), "label": "wren", "problem": ""}
    assert write_sidecars([row]) == ["Sidecars: 0 new, 1 changed, 0 as they were."]
    assert sidecar.stat().st_mode & 0o777 == 0o640
