"""The output of a job: a folder of Parquet files in which each key occurs once."""

import json
import os
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from .._utils.files import new_file

# Column with size and time of the file of an image, null if the file cannot be seen.
VERSION = "file_version"


class OutputFolder:
    """A folder of Parquet files, which readers of Parquet take as one table.

    A file is written under a hidden name, and renamed when it is complete. The files thus tell
    which rows are done. Ray's own checkpoints do not see that a file is lost or changed.
    """

    def __init__(self, location, columns):
        self.path = Path(os.path.abspath(location))
        self._columns = columns  # the key, and `VERSION` if the rows have it

    def locked(self):
        """Context that keeps other jobs out, which would remove unfinished files of this job."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            return FileLock(self.path / "_lock").acquire(timeout=0)
        except Timeout as error:
            raise RuntimeError(f"Another job is writing to {str(self.path)!r}.") from error

    def claim(self, manifest):
        """Write into the folder which job it is for. Raises a `ValueError` if the folder holds
        anything but results of this job.
        """
        file, wanted = (
            self.path / "_sksemobridge.json",
            json.loads(json.dumps(manifest, default=str)),
        )
        if not file.exists():
            if any(self.path.glob("*.parquet")):
                raise ValueError(
                    f"The folder {str(self.path)!r} has Parquet files of another origin."
                )
            with new_file(file) as unfinished:
                unfinished.write_text(json.dumps(wanted, indent=1))
        found = json.loads(file.read_text())
        differing = [name for name in wanted | found if wanted.get(name) != found.get(name)]
        if differing:
            raise ValueError(
                f"{str(self.path)!r} has results of another job, with other {differing}."
            )

    def settle(self, source):
        """Remove unfinished files, rows whose version differs from the version in `source` (see
        `versions_by_key`), and repeated rows.

        Return the sorted keys that are left, and the number of errors among them.
        """
        for path in self.path.glob(".unfinished-*"):
            path.unlink()
        files = sorted(self.path.glob("*.parquet"))
        tables = [pq.read_table(file, columns=[*self._columns, "error"]) for file in files]
        rows = pd.concat([source[:0], *map(versions_by_key, tables)])
        now = source.reindex(rows.index).to_numpy()
        keep = pd.isna(now) | (now == rows.to_numpy())
        # Ray writes rows again if it repeats lost work.
        keep[keep] = ~rows.index[keep].duplicated()
        n_errors, ends = 0, np.cumsum([len(table) for table in tables])
        for file, table, kept in zip(files, tables, np.split(keep, ends)):
            n_errors += np.sum(kept & table["error"].is_valid().to_numpy())
            if not kept.all():
                self.write_part(pq.read_table(file).filter(kept))
                file.unlink()
        return np.sort(rows.index[keep]), int(n_errors)

    def write_part(self, table):
        """Write rows as one file, completely or not at all. Return the table with the number of
        rows.
        """
        if len(table):
            name = uuid.uuid4().hex
            unfinished = self.path / f".unfinished-{name}"
            pq.write_table(table, unfinished)
            unfinished.rename(self.path / f"part-{name}.parquet")
        return pa.table({"n_rows": [len(table)]})


def versions_by_key(table):
    """Versions of rows, or nulls without the column `VERSION`, indexed by the hashes of keys, the
    first column.
    """
    versions = (
        table[VERSION].to_numpy(zero_copy_only=False) if VERSION in table.column_names else None
    )
    return pd.Series(versions, index=hash_keys(table.column(0)), dtype=object)


def hash_keys(column):
    """A number of 64 bits for each key of a column. The number depends on the value, not on its
    Arrow type.
    """
    return pd.util.hash_array(
        column.cast(pa.string()).to_numpy(zero_copy_only=False).astype(object)
    )


def is_among(keys, sorted_keys):
    """Whether each key is among sorted keys."""
    if not len(sorted_keys):
        return np.zeros(len(keys), dtype=bool)
    return sorted_keys[np.searchsorted(sorted_keys, keys).clip(max=len(sorted_keys) - 1)] == keys
