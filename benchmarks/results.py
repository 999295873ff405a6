"""Rows of a CSV file, written one by one, so that an interrupted run can continue."""

import csv
import subprocess
from pathlib import Path


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


class Results:
    """Rows by their key.

    Parameters
    ----------
    path : path
        Created if it does not exist. A file with other columns is refused.
    key, values : sequence of str
        The columns that identify a row, and those that were measured.
    """

    def __init__(self, path, key, values):
        self.path, self.key, self.columns = Path(path), tuple(key), (*key, *values)
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
        return tuple(map(str, key)) in self.rows

    def append(self, row):
        """Add a row, a mapping from all columns, to the file at once."""
        row = {column: str(row[column]) for column in self.columns}
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)
        self.rows[self._key(row)] = row

    def forget(self, unwanted):
        """Drop the rows for which `unwanted(row)` is true."""
        self.rows = {key: row for key, row in self.rows.items() if not unwanted(row)}
        self._rewrite()

    def _key(self, row):
        return tuple(row[column] for column in self.key)

    def _rewrite(self):
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows.values())
