"""Results of a benchmark in a CSV file that grows row by row, so that an interrupted run can continue."""

import csv
from pathlib import Path


class Results:
    """Rows of a CSV file, each found by its key.

    Parameters
    ----------
    path : path
        Created if it does not exist.
    key : sequence of str
        The columns that identify a row.
    values : sequence of str
        The columns that were measured.

    Raises
    ------
    ValueError
        If the file has other columns.
    """

    def __init__(self, path, key, values):
        self.path, self.key, self.columns = Path(path), tuple(key), (*key, *values)
        self.rows = {}
        if self.path.exists():
            self._read()
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
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

    def _read(self):
        with self.path.open(newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file)) or [[]]
        if tuple(header) != self.columns:
            raise ValueError(
                f"{str(self.path)!r} has the columns {', '.join(header)}; expected {', '.join(self.columns)}. "
                "Name another file, or remove this one to start anew."
            )
        # A run that was killed while it wrote leaves half a line.
        whole = [dict(zip(header, line)) for line in lines if len(line) == len(header)]
        self.rows = {self._key(row): row for row in whole}
        if len(whole) < len(lines) or not self.path.read_bytes().endswith(b"\n"):
            self._rewrite()

    def _rewrite(self):
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows.values())
