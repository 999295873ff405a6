"""Systems that lack what Linux has: each is taken away here, and the package goes on."""

import os
import subprocess
import sys
from unittest.mock import Mock

import pytest

from sksemobridge import CLIPImageEncoder
from sksemobridge._utils import files
from sksemobridge.datasets import load_emoji

from ..programs import run_program

# What a process of Windows does not find. scikit-learn knows by other ways where it is.
WITHOUT = """
import builtins, os, sys
import filelock, sklearn

for name in ("fcntl", "resource"):
    sys.modules[name] = None
for name in ("fork", "register_at_fork"):
    delattr(os, name)
opened = builtins.open

def open_without_proc(file, *args, **kwargs):
    if str(file).startswith("/proc"):
        raise FileNotFoundError(file)
    return opened(file, *args, **kwargs)

builtins.open = open_without_proc

from sksemobridge import CLIPImageEncoder, FewShotClassifier
from sksemobridge.datasets import load_emoji

emoji = load_emoji()
images, y = emoji.images[::24], emoji.target[::24]
encoder = CLIPImageEncoder("mini", "bundled", cache=sys.argv[1])
X = encoder.transform(images)
print(len(FewShotClassifier(class_names="ignore").fit(X, y).predict_proba(X)), "predicted")
"""


def test_without_fcntl_resource_fork_and_proc(tmp_path):
    # So that the process need not import torch, which takes seconds.
    encoder = CLIPImageEncoder("mini", "bundled", cache=tmp_path / "cache")
    encoder.transform(load_emoji().images[::24])
    done = run_program(WITHOUT, str(tmp_path / "cache"))
    assert done.stdout.endswith("predicted\n"), done.stderr


def test_a_file_that_comes_meanwhile_is_kept(tmp_path):
    path = tmp_path / "table.csv"

    def write():
        with files.new_file(path) as unfinished:
            unfinished.write_text("new")
            path.write_text("theirs")

    with pytest.raises(OSError, match="table.csv' could not be written: it exists"):
        write()
    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["table.csv"]


@pytest.mark.skipif(os.name == "nt", reason="a device and links")
def test_what_is_replaced_stays_until_the_new_file_is_complete(tmp_path, monkeypatch):
    path, link = tmp_path / "table.csv", tmp_path / "link.csv"
    path.write_text("old")
    link.symlink_to(path.name)

    def write(path):
        with files.new_file(path, replace=True) as unfinished:
            unfinished.write_text("new")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Mock(side_effect=OSError("No space left on device")))
        with pytest.raises(OSError, match="table.csv' could not be written: No space left"):
            write(path)
    assert path.read_text() == "old"
    write(link)
    assert link.is_symlink()
    assert path.read_text() == "new"
    with pytest.raises(OSError, match="'/dev/null' could not be written: it is no regular file"):
        write("/dev/null")
    assert sorted(os.listdir(tmp_path)) == ["link.csv", "table.csv"]


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "table.csv"
    path.write_text("old")
    path.chmod(mode)
    with files.new_file(path, replace=True) as unfinished:
        unfinished.write_text("new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", mode)


KILLED = """
import os, signal, sys
from sksemobridge._utils.files import new_file

with new_file(sys.argv[1]) as unfinished:
    unfinished.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows kills in another way")
def test_what_a_killed_run_left_is_cleared_by_the_next_and_nothing_of_others(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.csv"], check=False)
    left = os.listdir(tmp_path)
    assert len(left) == 1
    (tmp_path / ".others").mkdir()
    with files.new_file(tmp_path / "b.csv") as outer:
        outer.write_text("b")
        # One that is written at the same time stays.
        with files.new_file(tmp_path / "c.csv") as inner:
            inner.write_text("c")
            assert left[0] not in os.listdir(tmp_path)
        assert outer.exists()
    assert sorted(os.listdir(tmp_path)) == [".others", "b.csv", "c.csv"]
