"""The output of a job: a folder of Parquet files in which each key occurs once."""

import hashlib
import json
import os
import uuid
from contextlib import contextmanager

import numpy as np
from filelock import FileLock, Timeout

from ._keys import digest_rows, is_among, is_changed

_MANIFEST = "_sksemobridge.json"
_UNFINISHED = "_unfinished"
_LOCK = "_lock"
# A task of Ray reads the keys of so many files.
_FILES_PER_TASK = 256


class OutputFolder:
    """A folder of Parquet files, which readers of Parquet take as one table.

    Its location is a path, or an address that pyarrow knows. A file is written in a sub-folder, and moved when it is
    complete. Its name is a digest of its keys, so that a second write of the same rows replaces the first.
    """

    def __init__(self, location, key_columns, version_columns=()):
        from pyarrow import fs

        location = os.fspath(location)
        self.location = location if "://" in location else os.path.abspath(location)
        self._columns = key_columns, version_columns
        self._fs, self._path = fs.FileSystem.from_uri(self.location)
        self._is_local = isinstance(self._fs, fs.LocalFileSystem)

    @contextmanager
    def locked(self):
        """Keep other jobs out: they would remove the unfinished files of this one. Addresses have no locks."""
        if not self._is_local:
            yield
            return
        self._fs.create_dir(self._path)
        lock = FileLock(f"{self._path}/{_LOCK}", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise RuntimeError(
                f"Another job is writing to {self.location!r}. Call again when it has ended, or choose another output."
            ) from error
        try:
            yield
        finally:
            lock.release()

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
                    f"The folder {self.location!r} has results of another job: its {name!r} is "
                    f"{found.get(name)}, that of this job is {wanted.get(name)}. Choose another output, or "
                    "delete that one to begin anew."
                )

    def settle(self, sorted_rows):
        """Remove unfinished files, rows of another version than in `sorted_rows`, and second copies of rows.

        Returns the sorted digests of the keys that are left, how many rows of another version were removed, and how
        many copies.
        """
        import ray

        self._fs.delete_dir_contents(f"{self._path}/{_UNFINISHED}", missing_dir_ok=True)
        files, digest = self._files(), ray.remote(_digest_files)
        chunks = [files[i : i + _FILES_PER_TASK] for i in range(0, len(files), _FILES_PER_TASK)]
        chunks = ray.get([digest.remote(chunk, self._fs, *self._columns) for chunk in chunks])
        parts = [part for chunk in chunks for part in chunk]
        keep = [~is_changed(part, sorted_rows) for part in parts]
        keys = np.concatenate([sorted_rows[:0, 0], *(part[kept, 0] for part, kept in zip(parts, keep))])
        keys.sort()
        n_changed = sum(map(len, parts)) - len(keys)
        is_repeat = keys[1:] == keys[:-1]
        repeated, seen = keys[1:][is_repeat], set()
        for file, part, kept in zip(files, parts, keep):
            for row in np.flatnonzero(kept & is_among(part[:, 0], repeated)):
                kept[row] = part[row, 0] not in seen
                seen.add(part[row, 0])
            if not kept.all():
                self._drop_rows(file, kept)
        return np.delete(keys, 1 + np.flatnonzero(is_repeat)), n_changed, len(repeated)

    def n_errors(self):
        """The number of rows with an error."""
        import pyarrow as pa
        import pyarrow.dataset as pads

        schema = pa.schema({"error": pa.string()})
        dataset = pads.dataset(self._files(), schema, format="parquet", filesystem=self._fs)
        return dataset.count_rows(filter=pads.field("error").is_valid())

    def write_part(self, table):
        """Write rows as one file, completely or not at all. Returns their number as a table."""
        import pyarrow as pa

        if len(table):
            keys = np.sort(digest_rows([table], self._columns[0]), axis=None)
            self._write_table(table, hashlib.blake2b(keys, digest_size=16).hexdigest())
        return pa.table({"n_rows": [len(table)]})

    def _drop_rows(self, file, keep):
        import pyarrow.parquet as pq

        if keep.any():
            # A random name: a later file may have the keys of this one.
            self._write_table(pq.read_table(file, filesystem=self._fs).filter(keep), uuid.uuid4().hex)
        self._fs.delete_file(file)

    def _write_table(self, table, name):
        import pyarrow.parquet as pq

        self._write(f"part-{name}.parquet", lambda stream: pq.write_table(table, stream))

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
        from pyarrow import fs

        infos = self._fs.get_file_info(fs.FileSelector(self._path))
        return sorted(info.path for info in infos if info.path.endswith(".parquet"))


def _digest_files(files, file_system, key_columns, version_columns):
    import pyarrow.parquet as pq

    columns = [*key_columns, *version_columns]
    tables = (pq.read_table(file, columns=columns, filesystem=file_system) for file in files)
    return [digest_rows([table], key_columns, version_columns) for table in tables]
