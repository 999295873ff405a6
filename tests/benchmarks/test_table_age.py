"""Tables that are older than what they measure are found."""

import subprocess

import docs_tables
import pandas as pd
import pytest
import table_age

BEFORE = 'def size(x):\n    """Old words."""\n    return len(x)\n'


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """`commit(text)` commits a module of that text, and gives the name of the commit."""
    monkeypatch.setattr(table_age, "ROOT", tmp_path)
    monkeypatch.setattr(table_age, "MEASURED", {"clicks": ("package",)})

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        run = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()

    def commit(text):
        (tmp_path / "package").mkdir(exist_ok=True)
        (tmp_path / "package" / "module.py").write_text(text)
        git("add", "package")
        git("commit", "-q", "-m", "change")
        return git("rev-parse", "--short=10", "HEAD")

    git("init", "-q")
    return commit


def run(monkeypatch, capsys, commit):
    """The exit status and what is printed, where all rows are of a commit."""
    monkeypatch.setattr(table_age, "rows_of", lambda name: pd.DataFrame({"commit": [commit]}))
    with pytest.raises(SystemExit) as stop:
        table_age.main()
    return stop.value.code, capsys.readouterr().out


def test_a_table_is_old_if_the_code_has_changed_since(repository, monkeypatch, capsys):
    first = repository(BEFORE)
    assert run(monkeypatch, capsys, first) == (0, "")
    # Words and layout measure nothing.
    repository(BEFORE.replace("Old", "New") + "# A comment.\n")
    assert run(monkeypatch, capsys, first) == (0, "")
    last = repository(BEFORE.replace("len(x)", "len(x) + 1"))
    status, printed = run(monkeypatch, capsys, first)
    assert status == 1
    assert f"clicks.csv of {first} is older than package/module.py. Tables: README.md" in printed
    assert run(monkeypatch, capsys, last) == (0, "")


def test_a_commit_that_is_not_there_is_told(repository, monkeypatch, capsys):
    repository(BEFORE)
    status, printed = run(monkeypatch, capsys, "0123456789")
    assert status == 1
    assert "clicks.csv of 0123456789 cannot be compared" in printed


def test_each_file_of_results_says_what_it_measures():
    assert set(docs_tables.MEASURED) == {table.results for table in docs_tables.TABLES}
    paths = {path for paths in docs_tables.MEASURED.values() for path in paths}
    assert [path for path in paths if not (docs_tables.ROOT / path).exists()] == []
