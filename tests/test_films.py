"""Films and other large files beside photos cost neither memory nor time, and each has its
reason.
"""

import io
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sksemobridge import CLIPImageEncoder, make_few_shot_pipeline
from sksemobridge.datasets import load_emoji
from sksemobridge.labelling import predict_folder

from .made_up import peak_memory
from .user_folder import CLASSES

MB = 2**20
# How films begin: MP4, QuickTime, AVI, Matroska, MPEG, and one of which nothing is written yet.
FILMS = (
    b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41",
    b"\0\0\0\x14ftypqt  \0\0\2\0qt  ",
    b"RIFF\xf0\xff\xff\x0fAVI LIST",
    b"\x1aE\xdf\xa3\x01\0\0\0\0\0\0\x1fB\x86\x81\x01",
    b"\0\0\1\xba!\0\1\0\1\x80\x07\x0b",
    b"",
)


def encoded(kind):
    file = io.BytesIO()
    Image.fromarray(load_emoji().images[0]).save(file, kind)
    return file.getvalue()


# Some begin as pictures do.
PICTURES = tuple(encoded(kind)[:n] for kind in ("JPEG", "PNG", "TIFF", "GIF") for n in (16, 60))


def write_sparse(path, head, n_bytes):
    """A file that is as large, and of which only the beginning lies on the disk."""
    path.write_bytes(head)
    try:
        os.truncate(path, n_bytes)
    except OSError:
        pytest.skip("this file system takes no such files")
    if getattr(path.stat(), "st_blocks", 2**60) * 512 > MB:
        path.unlink()
        pytest.skip("this file system has no sparse files")


@pytest.fixture
def films(tmp_path):
    """A hundred films of 150 MB and one of 40 GB."""
    folder = tmp_path / "films"
    folder.mkdir()
    write_sparse(folder / "long.mp4", FILMS[0], 40 * 1024 * MB)
    heads = FILMS + PICTURES
    for i in range(100):
        write_sparse(folder / f"{i:02d}.mov", heads[i % len(heads)], 150 * MB)
    return folder


def peak_of(function):
    """The most memory that this process has at a time while a function runs."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak up to now
    except OSError:
        pytest.skip("this system counts peaks from the start of a process")
    function()
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts memory in this way")
def test_a_folder_of_films_adds_little_memory_to_a_run_of_the_command(label, films):
    def run(name):
        options = f"--classes {','.join(CLASSES)} --model mini --no-cache"
        assert label(f"photos {options} --out {name}.csv --report {name}.html")[0] == 1

    without = peak_of(lambda: run("without"))
    films.rename("photos/films")
    assert peak_of(lambda: run("with")) - without < 200 * MB
    without, with_films = (
        Path(f"{name}.csv").read_text("utf-8-sig").splitlines() for name in ("without", "with")
    )
    problems = [line for line in with_films if "films" in line]
    assert len(problems) == 101
    assert all(re.search("not an image|broken|cannot open", line) for line in problems)
    assert [line for line in with_films if line not in problems] == without


def test_a_picture_that_cannot_be_read_leaves_nothing_in_memory(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    for i in range(12):
        (tmp_path / f"{i}.png").write_bytes(content[: -100 - i])
    encoder = CLIPImageEncoder("mini", "bundled", on_error="nan")
    encoder.transform([content])
    paths = sorted(map(str, tmp_path.glob("[0-9]*.png")))

    def embed():
        with pytest.warns(UserWarning, match="12 of 12 images .* broken"):
            encoder.transform(paths)

    # One file, and little else: not twelve.
    assert peak_memory(embed) < 4 * len(content)


def test_the_table_says_why_the_model_cannot_take_a_picture(tmp_path):
    images = load_emoji().images[:2]
    pipeline = make_few_shot_pipeline("mini", "bundled").fit(images, ["a", "b"])
    Image.new("RGB", (60_000, 1)).save(tmp_path / "narrow.png")
    Image.fromarray(images[0]).save(tmp_path / "whole.png")
    table = predict_folder(pipeline, tmp_path, progress=False)
    narrow, whole = table["problem"]
    assert re.fullmatch(r"3840000 x 64 pixels are more than the limit of .*", narrow)
    assert whole == ""
