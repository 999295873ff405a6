"""The output of a job: a folder of Parquet files in which each key occurs once."""

import json
import os
import uuid
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from pyarrow import fs

from ._digests import digest_rows, find, is_changed

_MANIFEST = "_sksemobridge.json"
_UNFINISHED = "_unfinished"
_LOCK = "_lock"
# A task of Ray reads the keys of this many files.
_FILES_PER_TASK = 256


class OutputFolder:
    """A folder of Parquet files, which readers of Parquet take as one table.

    Its location is a path, or an address that pyarrow knows. A file is written in a sub-folder, and moved when it is
    complete.
    """

    def __init__(self, location, key_columns, version_columns=()):
        location = os.fspath(location)
        self.location = location if "://" in location else os.path.abspath(location)
        self._key_columns, self._version_columns = key_columns, version_columns
        self._fs, self._path = fs.FileSystem.from_uri(self.location)
        self._is_local = isinstance(self._fs, fs.LocalFileSystem)

    def locked(self):
        """A context that keeps other jobs out. They would remove the unfinished files of this one.

        Addresses have no locks.
        """
        if not self._is_local:
            return nullcontext()
        self._fs.create_dir(self._path)
        try:
            return FileLock(f"{self._path}/{_LOCK}").acquire(timeout=0)
        except Timeout as error:
            raise RuntimeError(
                f"Another job is writing to {self.location!r}. Call again when it has ended, or choose another output."
            ) from error

    def claim(self, manifest):
        """Create the folder for a job; `ValueError` if it holds other things than results of this job."""
        content = json.dumps(manifest, indent=1, default=str).encode()
        self._fs.create_dir(f"{self._path}/{_UNFINISHED}")
        if not self._fs.get_file_info(f"{self._path}/{_MANIFEST}").is_file:
            if self._files():
                raise ValueError(f"The folder {self.location!r} has Parquet files of another origin.")
            self._write(_MANIFEST, lambda stream: stream.write(content))
        with self._fs.open_input_stream(f"{self._path}/{_MANIFEST}") as stream:
            found, wanted = json.loads(stream.read()), json.loads(content)
        for name in wanted.keys() | found.keys():
            if wanted.get(name) != found.get(name):
                raise ValueError(
                    f"The folder {self.location!r} has results of another job: its {name!r} is {found.get(name)}, that of "
                    f"this job is {wanted.get(name)}. Choose another output, or delete that one to begin anew."
                )

    def settle(self, sorted_digests):
        """Remove unfinished files, rows of another version than in `sorted_digests`, and second copies of rows.

        Returns the sorted digests of the keys that are left, how many rows of another version were removed, and how
        many copies.
        """
        import ray

        @ray.remote
        def digest(files):
            columns = [*self._key_columns, *self._version_columns]
            tables = (pq.read_table(file, columns=columns, filesystem=self._fs) for file in files)
            return [digest_rows(table, self._key_columns, self._version_columns) for table in tables]

        self._fs.delete_dir_contents(f"{self._path}/{_UNFINISHED}", missing_dir_ok=True)
        files = self._files()
        tasks = [digest.remote(files[i : i + _FILES_PER_TASK]) for i in range(0, len(files), _FILES_PER_TASK)]
        parts = [part for chunk in ray.get(tasks) for part in chunk]
        keep = [~is_changed(part, sorted_digests) for part in parts]
        keys = np.concatenate([sorted_digests[:0, 0], *(part[kept, 0] for part, kept in zip(parts, keep))])
        keys.sort()
        n_changed = sum(map(len, parts)) - len(keys)
        is_repeat = keys[1:] == keys[:-1]
        repeated, seen = keys[1:][is_repeat], set()
        for file, part, kept in zip(files, parts, keep):
            for row in np.flatnonzero(kept & (find(part[:, 0], repeated) >= 0)):
                kept[row] = part[row, 0] not in seen
                seen.add(part[row, 0])
            if not kept.all():
                if kept.any():
                    self.write_part(pq.read_table(file, filesystem=self._fs).filter(kept))
                self._fs.delete_file(file)
        return np.delete(keys, 1 + np.flatnonzero(is_repeat)), n_changed, len(repeated)

    def n_errors(self):
        """The number of rows with an error."""
        schema = pa.schema({"error": pa.string()})
        dataset = pads.dataset(self._files(), schema, format="parquet", filesystem=self._fs)
        return dataset.count_rows(filter=pads.field("error").is_valid())

    def write_part(self, table):
        """Write rows as one file, completely or not at all. Returns their number as a table."""
        if len(table):
            # A task that Ray repeats may write its rows twice, under two names. `settle` keeps one.
            self._write(f"part-{uuid.uuid4().hex}.parquet", lambda stream: pq.write_table(table, stream))
        return pa.table({"n_rows": [len(table)]})

    def _write(self, name, write):
        unfinished = f"{self._path}/{_UNFINISHED}/{uuid.uuid4().hex}"
        with self._fs.open_output_stream(unfinished) as stream:
            write(stream)
        if self._is_local:
            # Otherwise a power cut could leave the name without the content.
            with open(unfinished, "rb+") as file:
                os.fsync(file)
        self._fs.move(unfinished, f"{self._path}/{name}")

    def _files(self):
        infos = self._fs.get_file_info(fs.FileSelector(self._path))
        return sorted(info.path for info in infos if info.path.endswith(".parquet"))
