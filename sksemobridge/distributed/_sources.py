"""The source of a job: a dataset of Ray, images in a folder, Parquet files or WebDataset shards.

Tasks of Ray here ask for no CPU. After the loss of a node the remaining actors may hold all CPUs, and a task that
asked for one would never start, while the actors wait for its rows.
"""

import glob
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets._folder import IMAGE_SUFFIXES, list_files
from ._keys import VERSION_COLUMNS, digest_rows, is_among
from ._ray import import_ray

_KINDS = {".parquet": "Parquet", ".tar": "WebDataset shards"} | dict.fromkeys(IMAGE_SUFFIXES, "images")
_RESULT_COLUMNS = {"embedding", "error", "label", "probabilities", "top_labels", "top_probabilities"}


@dataclass
class Source:
    """Rows to work on."""

    # For the manifest and for messages.
    name: str
    # A dataset of Ray, or for paths of images an Arrow table in this process: a table can be cut into equal blocks,
    # and leaves all CPUs of the cluster to the actors.
    rows: Any
    # The column with images or embeddings.
    column: str
    # Each row has another key.
    key_columns: list
    # `VERSION_COLUMNS`, or none.
    version_columns: list

    @property
    def compared(self):
        """The columns by which the output has a row, or not."""
        return [*self.key_columns, *self.version_columns]

    def digests(self):
        """Digests of all rows, sorted by key; a `ValueError` if a key occurs more than once."""
        rows = digest_rows(self._tables(), self.key_columns, self.version_columns)
        rows = rows[np.argsort(rows[:, 0])]
        repeated = np.unique(rows[1:, 0][rows[1:, 0] == rows[:-1, 0]])
        if len(repeated):
            keys = (table.select(self.key_columns) for table in self._tables())
            found = (part.filter(digest_rows([part], self.key_columns)[:, 0] == repeated[0]) for part in keys)
            raise ValueError(
                f"{len(repeated)} keys of {self.name!r} are there more than once, such as "
                f"{next(filter(len, found)).to_pylist()[0]}. Give key_columns that tell all rows apart (now "
                f"{self.key_columns}), if need be a column that numbers them."
            )
        return rows

    def remaining(self, written, rows_per_block):
        """A dataset of the rows whose keys are not among `written`, which is sorted. Tables are cut into blocks."""
        ray = import_ray()
        if isinstance(self.rows, ray.data.Dataset):
            # By reference, so that each node fetches it once.
            options = {"keys": self.key_columns, "written": ray.put(written)}
            return self.rows.map_batches(
                _without_written, batch_format="pyarrow", fn_kwargs=options, num_cpus=0
            )
        rows = _without_written(self.rows, self.key_columns, written)
        starts = range(0, len(rows), rows_per_block)
        return ray.data.from_arrow([rows.slice(start, rows_per_block) for start in starts])

    def _tables(self):
        if isinstance(self.rows, import_ray().data.Dataset):
            return _tables(self.rows.select_columns(self.compared))
        return [self.rows.select(self.compared)]


def open_source(source, column, key_columns, *, is_embedding=False):
    """The `Source` of what a user gives, with images or embeddings in a column.

    Without `key_columns`, the key is the path of an image, or shard and key of WebDataset. For embeddings the keys are
    all other columns but the error and the version of the file. Errors say what to give if that is not clear.
    """
    ray = import_ray()
    import pyarrow as pa

    keys = [key_columns] if isinstance(key_columns, str) else key_columns
    if isinstance(source, ray.data.Dataset):
        return _from_dataset("a Ray dataset", source, column, keys, is_embedding)
    name = os.fspath(source)
    name = name if "://" in name else os.path.abspath(name)
    kind, files = _files_of_one_kind(name)
    if kind == "Parquet":
        rows = ray.data.read_parquet(files, num_cpus=0)
        return _from_dataset(name, rows, column, keys, is_embedding)
    if is_embedding:
        raise ValueError(
            f"{name!r} has {kind}, not embeddings. To predict from images the estimator must be a Pipeline "
            "whose first step is a CLIPImageEncoder, as make_semobridge_pipeline gives."
        )
    if kind == "WebDataset shards":
        keys = keys or ["__url__", "__key__"]
        suffixes = [column] if column else sorted(suffix[1:] for suffix in IMAGE_SUFFIXES)
        rows = ray.data.read_webdataset(files, decoder=None, num_cpus=0).map_batches(
            _image_of_sample, batch_format="pyarrow", fn_args=(suffixes, keys), num_cpus=0
        )
        return Source(name, rows, "image", keys, [])
    if "://" in name:
        raise ValueError(
            f"{name!r} has single images on a remote file system. Mount it on all machines, or pack the images "
            "into Parquet (a column with the bytes of each) or WebDataset shards, which are also much faster "
            "to read than single files."
        )
    if keys not in (None, ["path"]):
        raise ValueError(f"Images in a folder have the key column 'path' only, not {keys}.")
    try:
        rows = _with_versions(pa.table({"path": files}), "path")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"Rename the file {error.object!r}: its name is not UTF-8, as texts of Parquet are."
        ) from error
    return Source(name, rows, "path", ["path"], VERSION_COLUMNS)


def _from_dataset(name, rows, column, keys, is_embedding):
    import pyarrow as pa

    schema = rows.schema()
    if schema is None:
        raise ValueError(f"{name} has no rows.")
    types = dict(zip(schema.names, schema.types))
    named = ", ".join(types)
    is_path = types.get(column) in (pa.string(), pa.large_string())
    versions = VERSION_COLUMNS if types.keys() >= set(VERSION_COLUMNS) else []
    if column is None:
        raise ValueError(f"Say which column of {name} has the images: {named}.")
    if keys is None and is_embedding:
        keys = [key for key in types if key not in (column, "error", *versions)]
    elif keys is None and is_path:
        keys = [column]
    elif keys is None:
        raise ValueError(f"Say by key_columns which columns of {name} tell its rows apart: {named}.")
    missing = [wanted for wanted in [column, *keys] if wanted not in types]
    if missing or not keys:
        raise ValueError(f"{name} has no column {missing or 'for keys'}; its columns: {named}.")
    reserved = _RESULT_COLUMNS.union(VERSION_COLUMNS).intersection(keys)
    if reserved:
        raise ValueError(f"Rename the key column {min(reserved)!r}: the output has another of that name.")
    if is_path:
        # Each column once: the paths may be the keys.
        rows = pa.concat_tables(_tables(rows.select_columns(list(dict.fromkeys([*keys, column, *versions])))))
        if not versions:
            rows, versions = _with_versions(rows, column), VERSION_COLUMNS
    return Source(name, rows, column, list(keys), versions)


def _tables(dataset):
    return dataset.iter_batches(batch_size=None, batch_format="pyarrow")


def _with_versions(table, column):
    """A table with the version of each file that a column has the path of; null where it cannot be seen."""
    import pyarrow as pa

    batches = table.select([column]).to_batches(max_chunksize=2**16)
    versions = (_version(path) for batch in batches for path in batch[0].to_pylist())
    versions = np.fromiter(versions, dtype=(np.int64, 2), count=len(table))
    for name, values in zip(VERSION_COLUMNS, versions.T):
        table = table.append_column(name, pa.array(values, mask=values < 0))
    return table


def _version(path):
    try:
        status = os.stat(path)
    # A path may be null, too.
    except (OSError, TypeError, ValueError):
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _files_of_one_kind(name):
    """The files of a name, and their kind."""
    by_kind = defaultdict(list)
    for file in _list_files(name):
        kind = _KINDS.get(Path(file).suffix.lower())
        # Folders such as `_temporary` hold unfinished tables of other programs.
        if kind and (kind == "images" or "/_" not in file.partition(name)[2]):
            by_kind[kind].append(file)
    if len(by_kind) != 1:
        raise ValueError(
            f"{name!r} has {' and '.join(sorted(by_kind)) or 'neither images, Parquet nor WebDataset shards'}; "
            "give a folder or pattern with files of one kind (images, .parquet or .tar)."
        )
    return by_kind.popitem()


def _list_files(name):
    """The file of that name, or all files in the folder or of the pattern, sorted. Hidden ones are left out."""
    from pyarrow import fs

    if "://" not in name and glob.has_magic(name) and not os.path.exists(name):
        return _match(name)
    file_system, path = fs.FileSystem.from_uri(name)
    kind = file_system.get_file_info(path).type
    if kind == fs.FileType.NotFound:
        raise FileNotFoundError(f"There is no file or folder {name!r}.")
    if kind == fs.FileType.File:
        return [name]
    if "://" not in name:
        return list_files(name)
    start = name.removesuffix(path) if name.endswith(path) else f"{name.split('://')[0]}://"
    infos = file_system.get_file_info(fs.FileSelector(path, recursive=True))
    files = [info.path for info in infos if info.is_file]
    return sorted(start + file for file in files if not _is_hidden(file[len(path) :].split("/")))


def _match(pattern):
    """Files that match a pattern. `**` does not follow links, which may lead in circles."""
    parts = Path(pattern).parts
    n_fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    found = Path(*parts[:n_fixed]).glob(os.path.join(*parts[n_fixed:]))
    files = {str(path) for path in found if path.is_file() and not _is_hidden(path.parts[n_fixed:])}
    if not files:
        raise FileNotFoundError(f"No file matches {pattern!r}.")
    return sorted(files)


def _is_hidden(parts):
    return any(part.startswith(".") for part in parts)


def _image_of_sample(batch, suffixes, keys):
    """The first image of each sample of WebDataset, with the key columns."""
    import pyarrow as pa

    there = [batch[suffix].to_pylist() for suffix in suffixes if suffix in batch.column_names]
    samples = zip(*there) if there else [()] * len(batch)
    # Ray reads shards through pandas: a missing value may be NaN.
    images = [next((value for value in sample if isinstance(value, bytes)), None) for sample in samples]
    return batch.select(keys).append_column("image", pa.array(images, pa.binary()))


def _without_written(batch, keys, written):
    import ray

    if isinstance(written, ray.ObjectRef):
        written = ray.get(written)
    return batch.filter(~is_among(digest_rows([batch], keys)[:, 0], written))
