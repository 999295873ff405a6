"""Rows of a CSV file, written draw by draw, so that an interrupted run can continue."""

import csv
import io
import subprocess
import sys
from functools import cache
from pathlib import Path

import joblib
import numpy as np
import pandas as pd


@cache
def commit():
    """The commit of the code, with a "+" if programs have changed since."""
    folder = Path(__file__).parent
    try:
        head = _git(folder, "rev-parse", "--short=10", "HEAD")
        changed = _git(folder, "status", "--porcelain", "-uno", "--", ":/*.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def _git(folder, *arguments):
    run = subprocess.run(
        ["git", "-C", folder, *arguments], capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def in_words(value):
    """A value as files have it: six digits of a number, and nothing for NaN."""
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.6g}"
    return str(value)


class Results:
    """Rows by their key, with the commit of the code that measured each.

    Parameters
    ----------
    path : path
        Created if it does not exist. A file with other columns is refused.
    key, values : sequence of str
        The columns that identify a row, and those that were measured.
    """

    def __init__(self, path, key, values):
        self.path, self.key = Path(path), tuple(key)
        self.columns = (*key, *values, "commit")
        lines = [self.columns]
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                lines = [tuple(line) for line in csv.reader(file)] or lines
        if lines[0] != self.columns:
            raise SystemExit(
                f"{str(path)!r} has the columns {', '.join(lines[0])}. Name another file."
            )
        # A run that was killed while it wrote leaves half a line.
        whole = [
            dict(zip(self.columns, line)) for line in lines[1:] if len(line) == len(self.columns)
        ]
        self.rows = {self._key(row): row for row in whole}
        self._rewrite()

    def __contains__(self, key):
        return tuple(map(in_words, key)) in self.rows

    def seen(self, *columns):
        """The values of some columns of the key that rows have, as tuples of text."""
        return {tuple(row[column] for column in columns) for row in self.rows.values()}

    def extend(self, rows):
        """Add rows, mappings from the columns but the commit, to the file at once."""
        rows = [{**row, "commit": commit()} for row in rows]
        rows = [{column: in_words(row[column]) for column in self.columns} for row in rows]
        with self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(self._text(rows))
        self.rows |= {self._key(row): row for row in rows}

    def measure(self, function, jobs, n_jobs):
        """Add the rows that a function returns for each tuple of arguments, as they come."""
        print(f"{len(jobs)} draws to go", file=sys.stderr)
        with joblib.parallel_config("loky", n_jobs=n_jobs, inner_max_num_threads=1):
            calls = (joblib.delayed(function)(*job) for job in jobs)
            found = joblib.Parallel(return_as="generator_unordered")(calls)
            for done, rows in enumerate(found, start=1):
                self.extend(rows)
                print(f"\r{done} of {len(jobs)}", end="", file=sys.stderr)

    def forget(self, unwanted):
        """Drop the rows for which `unwanted(row)`, a mapping of texts, is true."""
        self.rows = {key: row for key, row in self.rows.items() if not unwanted(row)}
        self._rewrite()

    def frame(self):
        """All rows, with numbers where a column has only these."""
        return pd.read_csv(self.path, low_memory=False)

    def _key(self, row):
        return tuple(row[column] for column in self.key)

    def _text(self, rows):
        text = io.StringIO()
        csv.DictWriter(text, self.columns, lineterminator="\n").writerows(rows)
        return text.getvalue()

    def _rewrite(self):
        header = dict(zip(self.columns, self.columns))
        text = self._text([header, *self.rows.values()])
        self.path.write_text(text, encoding="utf-8", newline="")
