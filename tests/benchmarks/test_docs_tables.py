"""Tables of README and docs are those of the committed results, whose data has a source."""

import os
from hashlib import sha256
from pathlib import Path

import docs_tables
import pandas as pd
import pytest
import settings

TASKS = os.environ.get("SKSEMOBRIDGE_TASKS")


@pytest.fixture(scope="module")
def made_pages():
    return docs_tables.made_pages()


@pytest.mark.parametrize("page", sorted({table.page for table in docs_tables.TABLES}))
def test_the_tables_of_a_page_are_those_of_the_results(page, made_pages):
    text = (docs_tables.ROOT / page).read_text(encoding="utf-8")
    assert made_pages[page] == text


def test_a_table_is_put_in_place_of_the_one_between_its_comments():
    text = "| no |\n<!-- a -->\nwords\n\n| old |\n| row |\n\nmore\n| no |\n"
    expected = "| no |\n<!-- a -->\nwords\n\n| new |\n\n*From it.*\n\nmore\n| no |\n"
    made = docs_tables.with_table(text, "a", "| new |\n\n*From it.*")
    assert made == expected
    assert docs_tables.with_table(made, "a", "| new |\n\n*From it.*") == expected
    with pytest.raises(SystemExit, match="0 tables after '<!-- b -->'"):
        docs_tables.with_table(text, "b", "| new |")


def test_every_task_of_the_results_has_a_source_and_every_row_a_commit():
    sources = set(settings.families()) | {"emoji", "digits"}
    paths = sorted((docs_tables.HERE / "results").glob("*.csv"))
    assert {path.stem for path in paths} == {table.results for table in docs_tables.TABLES}
    for path in paths:
        rows = pd.read_csv(path, low_memory=False)
        assert "task" not in rows or set(rows.task) <= sources
        assert rows.commit.str.fullmatch(r"[0-9a-f]{10}").all()


@pytest.mark.skipif(TASKS is None, reason="SKSEMOBRIDGE_TASKS names no folder of task files")
def test_files_of_tasks_are_those_that_were_measured():
    files = {path.name: path for path in Path(TASKS).rglob("*.npz")}
    listed = pd.read_csv(docs_tables.HERE / "data.csv")
    here = listed[listed.file.isin(files)]
    assert len(here) > 0
    assert [sha256(files[name].read_bytes()).hexdigest() for name in here.file] == [*here.sha256]


def test_draws_are_counted_for_each_method():
    rows = [("a", method, seed) for method in "xy" for seed in range(3)] + [("a", "z", 0)]
    frame = pd.DataFrame(rows, columns=["task", "method", "seed"])
    assert docs_tables.counted_draws(frame) == "3 draws (z: 1 draw)"
    assert docs_tables.counted_draws(frame.drop(columns="method")) == "3 draws"
    assert docs_tables.counted_draws(frame[frame.method == "z"]) == "1 draw"
