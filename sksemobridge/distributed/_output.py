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

# Size and time of the file of an image. It changes when the file is replaced; null if the file cannot be seen.
VERSION = "file_version"


class OutputFolder:
    """A folder of Parquet files, which readers of Parquet take as one table.

    A file is written under a hidden name, and renamed when it is complete. So the files say which rows are done. Ray's own
    checkpoints (`CheckpointConfig`, Ray 2.60) do not see that a file is lost or changed, and to go on they need one more CPU
    and a gigabyte: with two CPUs, a job that was killed would wait for ever.
    """

    def __init__(self, location, columns):
        self.path = Path(os.path.abspath(location))
        # The key, and `VERSION` if the rows have it.
        self._columns = columns

    def locked(self):
        """A context that keeps other jobs out. They would remove unfinished files of this one."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            return FileLock(self.path / "_lock").acquire(timeout=0)
        except Timeout as error:
            raise RuntimeError(
                f"Another job is writing to {str(self.path)!r}. Call again when it has ended, or choose another output."
            ) from error

    def claim(self, manifest):
        """Note what the folder is for; `ValueError` if it holds other things than results of this job."""
        file, wanted = self.path / "_sksemobridge.json", json.loads(json.dumps(manifest, default=str))
        if not file.exists():
            if self._files():
                raise ValueError(f"The folder {str(self.path)!r} has Parquet files of another origin.")
            self._write(file.name, lambda path: path.write_text(json.dumps(wanted, indent=1)))
        found = json.loads(file.read_text())
        for name in [name for name in wanted | found if wanted.get(name) != found.get(name)]:
            raise ValueError(
                f"The folder {str(self.path)!r} has results of another job: its {name!r} is {found.get(name)}, that of this "
                f"job is {wanted.get(name)}. Choose another output, or delete that one to begin anew."
            )

    def settle(self, source):
        """Remove unfinished files, rows of another version than `versions_by_key` of the source has, and repeated rows.

        Returns the sorted keys that are left, and the number of errors among them.
        """
        for path in self.path.glob(".unfinished-*"):
            path.unlink()
        files = self._files()
        tables = [self._read(file, [*self._columns, "error"]) for file in files]
        rows = pd.concat([source[:0], *map(versions_by_key, tables)])
        now = source.reindex(rows.index).to_numpy()
        keep = pd.isna(now) | (now == rows.to_numpy())
        # Ray writes rows again if it repeats lost work.
        keep[keep] = ~rows.index[keep].duplicated()
        n_errors, ends = 0, np.cumsum([len(table) for table in tables])
        for file, table, kept in zip(files, tables, np.split(keep, ends)):
            n_errors += np.sum(kept & table["error"].is_valid().to_numpy())
            if not kept.all():
                self.write_part(self._read(file).filter(kept))
                file.unlink()
        return np.sort(rows.index[keep]), int(n_errors)

    def write_part(self, table):
        """Write rows as one file, completely or not at all. Returns their number as a table."""
        if len(table):
            self._write(f"part-{uuid.uuid4().hex}.parquet", lambda path: pq.write_table(table, path))
        return pa.table({"n_rows": [len(table)]})

    def _write(self, name, write):
        unfinished = self.path / f".unfinished-{uuid.uuid4().hex}"
        write(unfinished)
        unfinished.rename(self.path / name)

    def _read(self, file, columns=None):
        try:
            return pq.read_table(file, columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(
                f"{str(file)!r} is damaged ({error}). Delete it: the same call makes its rows again."
            ) from error

    def _files(self):
        return sorted(self.path.glob("*.parquet"))


def versions_by_key(table):
    """Versions of rows, or nulls without the column `VERSION`, indexed by the hashes of keys, the first column."""
    versions = table[VERSION].to_numpy(zero_copy_only=False) if VERSION in table.column_names else None
    return pd.Series(versions, index=hash_keys(table.column(0)), dtype=object)


def hash_keys(column):
    """A number of 64 bits for each key of a column. It depends on the values, not on their Arrow type."""
    return pd.util.hash_array(column.cast(pa.string()).to_numpy(zero_copy_only=False).astype(object))


def is_among(keys, sorted_keys):
    """Which keys are among sorted keys."""
    if not len(sorted_keys):
        return np.zeros(len(keys), dtype=bool)
    return sorted_keys[np.searchsorted(sorted_keys, keys).clip(max=len(sorted_keys) - 1)] == keys
