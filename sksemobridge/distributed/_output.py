"""What a job writes: a folder of Parquet files in which each key occurs once, whatever happened."""

import hashlib
import json
import os
import uuid
from contextlib import contextmanager

import numpy as np
from filelock import FileLock, Timeout

from ._keys import is_among, repeats, row_digests, sort_digests

_MANIFEST = "_sksemobridge.json"
_UNFINISHED = "_unfinished"
_LOCK = "_lock"
# A task of Ray reads the keys of so many files.
_FILES_PER_TASK = 256


class OutputFolder:
    """A folder of Parquet files, which readers of Parquet take as one table.

    A file is written in a sub-folder and moved when it is whole. Its name is made of its keys, so that a second
    write of the same rows replaces the first.

    Parameters
    ----------
    location : str or os.PathLike
        A path, or an address that pyarrow knows, such as `s3://bucket/folder`.
    key_columns : list of str
    """

    def __init__(self, location, key_columns):
        from pyarrow import fs

        location = os.fspath(location)
        self.location = location if "://" in location else os.path.abspath(location)
        self.key_columns = key_columns
        self._fs, self._path = fs.FileSystem.from_uri(self.location)

    @contextmanager
    def locked(self):
        """Keep other jobs out, which would remove the unfinished files of this one. Addresses have no locks.

        Raises
        ------
        RuntimeError
            If another job is writing here.
        """
        from pyarrow import fs

        if not isinstance(self._fs, fs.LocalFileSystem):
            yield
            return
        self._fs.create_dir(self._path)
        lock = FileLock(os.path.join(self._path, _LOCK))
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RuntimeError(
                f"Another job is writing to {self.location!r}. Call again when it has ended, or choose another output."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def claim(self, manifest):
        """Make the folder for a job, or check that it belongs to the same job.

        Raises
        ------
        ValueError
            If it holds something else; the message says what differs.
        """
        from pyarrow import fs

        self._fs.create_dir(f"{self._path}/{_UNFINISHED}")
        path = f"{self._path}/{_MANIFEST}"
        if self._fs.get_file_info(path).type == fs.FileType.NotFound:
            if self.files():
                raise ValueError(f"The folder {self.location!r} has Parquet files of another origin.")
            self._write(_MANIFEST, lambda stream: stream.write(json.dumps(manifest, indent=1).encode()))
            return
        with self._fs.open_input_stream(path) as stream:
            found = json.loads(stream.read())
        for name in manifest.keys() | found.keys():
            if manifest.get(name) != found.get(name):
                raise ValueError(
                    f"The folder {self.location!r} has results of another job: its {name!r} is "
                    f"{found.get(name)}, that of this job is {manifest.get(name)}. Choose another output, or "
                    "delete that one to begin anew."
                )

    def files(self):
        """Paths of the Parquet files, for pyarrow."""
        from pyarrow import fs

        infos = self._fs.get_file_info(fs.FileSelector(self._path))
        return sorted(info.path for info in infos if info.path.endswith(".parquet"))

    def write_part(self, table):
        """Write rows as one file, whole or not at all."""
        import pyarrow.parquet as pq

        digests = np.sort(row_digests(table.select(self.key_columns)))
        name = f"part-{hashlib.blake2b(digests.tobytes(), digest_size=16).hexdigest()}.parquet"
        self._write(name, lambda stream: pq.write_table(table, stream))

    def settle(self):
        """Remove files that were not finished, and second copies of rows.

        Returns
        -------
        digests : ndarray, sorted
            Of the keys in the folder.
        n_dropped : int
            Rows removed.
        """
        self._fs.delete_dir_contents(f"{self._path}/{_UNFINISHED}", missing_dir_ok=True)
        digests = self._digests()
        repeated = repeats(digests)
        if not len(repeated):
            return digests, 0
        seen = set()
        for file in self.files():
            self._drop(file, repeated, seen)
        once = np.unique(digests)
        return once, len(digests) - len(once)

    def n_errors(self):
        """The number of rows with an error."""
        import pyarrow.dataset as pads

        if not self.files():
            return 0
        table = pads.dataset(self.files(), filesystem=self._fs)
        return table.count_rows(filter=pads.field("error").is_valid())

    def _digests(self):
        import ray

        files, read = self.files(), ray.remote(_digest_files)
        chunks = [files[i : i + _FILES_PER_TASK] for i in range(0, len(files), _FILES_PER_TASK)]
        return sort_digests(ray.get([read.remote(chunk, self._fs, self.key_columns) for chunk in chunks]))

    def _drop(self, file, repeated, seen):
        """Rewrite a file without the rows whose key is in `seen`."""
        import pyarrow.parquet as pq

        digests = row_digests(pq.read_table(file, columns=self.key_columns, filesystem=self._fs))
        keep = np.ones(len(digests), dtype=bool)
        for row in np.flatnonzero(is_among(digests, repeated)):
            keep[row] = digests[row] not in seen
            seen.add(digests[row])
        if not keep.all():
            if keep.any():
                rest = pq.read_table(file, filesystem=self._fs).filter(keep)
                # A random name, since a later file may have the keys of this one.
                self._write(f"part-{uuid.uuid4().hex}.parquet", lambda stream: pq.write_table(rest, stream))
            self._fs.delete_file(file)

    def _write(self, name, write):
        from pyarrow import fs

        unfinished = f"{self._path}/{_UNFINISHED}/{uuid.uuid4().hex}"
        with self._fs.open_output_stream(unfinished) as stream:
            write(stream)
        if isinstance(self._fs, fs.LocalFileSystem):
            # Without it, a power cut could leave the name without the content.
            _sync(unfinished)
        self._fs.move(unfinished, f"{self._path}/{name}")


def _sync(path):
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _digest_files(files, file_system, key_columns):
    import pyarrow.parquet as pq

    tables = (pq.read_table(file, columns=key_columns, filesystem=file_system) for file in files)
    return np.concatenate([row_digests(table) for table in tables])
