"""Files that the last page links."""

import base64
import os
from pathlib import Path

from sksemobridge.labelling._live import written
from sksemobridge.labelling._live.written import linked_files


def test_small_files_are_held_and_folders_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").write_bytes(b"path,label\r\n")
    Path("sorted").mkdir()
    table, folder = linked_files({"table": "labels.csv", "report": None, "folder": "sorted"})
    assert table["media"] == "text/csv"
    assert base64.b64decode(table["content"]) == b"path,label\r\n"
    assert table["path"] == os.path.abspath("labels.csv")
    assert folder["name"] == "sorted"
    assert folder["content"] is None
    monkeypatch.setattr(written, "MOST_HELD_BYTES", 3)
    assert linked_files({"table": "labels.csv"})[0]["content"] is None
