"""The source of a job: a dataset of Ray, images in a folder, Parquet files or WebDataset shards."""

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import fs

from ..datasets._folder import IMAGE_SUFFIXES, list_files
from ._digests import VERSION_COLUMNS, digest_rows, find

_KINDS = {".parquet": "Parquet", ".tar": "WebDataset shards"} | dict.fromkeys(IMAGE_SUFFIXES, "images")
_RESULTS = "embedding", "error", "label", "probabilities", "top_labels", "top_probabilities"
_ADDED_COLUMNS = {*_RESULTS, *VERSION_COLUMNS}
# After the loss of a node, the remaining actors may hold all CPUs. A task that asked for one would never start, while
# they wait for its rows.
NO_CPU = {"batch_format": "pyarrow", "num_cpus": 0}


@dataclass
class Source:
    """Rows to work on."""

    name: str
    # A dataset of Ray, or for paths of images an Arrow table in this process: a table can be cut into equal blocks,
    # and leaves all CPUs of the cluster to the actors.
    rows: Any
    # The column with images or embeddings.
    column: str
    key_columns: list
    # `VERSION_COLUMNS`, or none.
    version_columns: list

    @property
    def identity_columns(self):
        """The columns by which the output has a row, or not."""
        return [*self.key_columns, *self.version_columns]

    def digests(self):
        """Digests of all rows, sorted by key; a `ValueError` if there are none, or a key occurs more than once."""
        tables = _tables(self.rows, self.identity_columns)
        parts = [digest_rows(table, self.key_columns, self.version_columns) for table in tables]
        if not sum(map(len, parts)):
            raise ValueError(f"{self.name!r} has no rows.")
        digests = np.concatenate(parts)
        digests = digests[np.argsort(digests[:, 0])]
        keys = digests[:, 0]
        repeated = np.unique(keys[1:][keys[1:] == keys[:-1]])
        if len(repeated):
            examples = pa.concat_tables(
                table.filter(digest_rows(table, self.key_columns)[:, 0] == repeated[0])
                for table in _tables(self.rows, self.key_columns)
            )
            raise ValueError(
                f"{len(repeated)} keys of {self.name!r} are there more than once, such as {examples.to_pylist()[0]}. Give "
                f"key_columns that tell all rows apart (now {self.key_columns}), if need be a column that numbers them."
            )
        return digests

    def remaining(self, written, rows_per_block):
        """A dataset of the rows whose keys are not among `written`, which is sorted. Tables are cut into blocks."""
        import ray

        # By reference, so that each node fetches it once.
        keys, reference = self.key_columns, ray.put(written)

        def without_written(batch):
            return batch.filter(find(digest_rows(batch, keys)[:, 0], ray.get(reference)) < 0)

        if isinstance(self.rows, ray.data.Dataset):
            return self.rows.map_batches(without_written, **NO_CPU)
        rows = without_written(self.rows)
        starts = range(0, len(rows), rows_per_block)
        return ray.data.from_arrow([rows.slice(start, rows_per_block) for start in starts])


def open_source(source, column, key_columns, *, is_embedding=False):
    """The `Source` of what a user gives, with images or embeddings in a column.

    Without `key_columns`, the key is the path of an image, or shard and key of WebDataset. For embeddings the keys are
    all other columns but the error and the version of the file. Errors say what to give if that is not clear.
    """
    import ray

    keys = [key_columns] if isinstance(key_columns, str) else key_columns
    if isinstance(source, ray.data.Dataset):
        name, rows = "a Ray dataset", source
    else:
        name = os.fspath(source)
        name = name if "://" in name else os.path.abspath(name)
        try:
            kind, files, file_system = _files_of_one_kind(name)
            paths = pa.table({"path": files})
        except UnicodeEncodeError as error:
            raise ValueError(
                f"Rename the file {error.object!r}: its name is not UTF-8, as texts of Parquet are."
            ) from error
        if kind == "Parquet":
            rows = ray.data.read_parquet(files, filesystem=file_system, num_cpus=0)
        elif kind == "images":
            rows, column = paths, "path"
        else:
            keys = keys or ["__url__", "__key__"]
            suffixes = [column] if column else sorted(suffix[1:] for suffix in IMAGE_SUFFIXES)
            decoder = partial(_image_of_sample, suffixes=suffixes, keys=keys)
            rows = ray.data.read_webdataset(files, filesystem=file_system, decoder=decoder, num_cpus=0)
            column = "image"
    schema = rows.schema if isinstance(rows, pa.Table) else rows.schema()
    types = dict(zip(schema.names, schema.types)) if schema else {}
    named = ", ".join(types)
    if column not in types:
        what = "embeddings" if is_embedding else "images"
        raise ValueError(f"Say which column of {name} has the {what} (not {column!r}): {named}.")
    if is_embedding and not hasattr(types[column], "value_type"):
        raise ValueError(
            f"The column {column!r} of {name} holds no embeddings. To predict from images the estimator must be a Pipeline "
            "whose first step is a CLIPImageEncoder, as make_semobridge_pipeline gives."
        )
    is_path = types[column] in (pa.string(), pa.large_string())
    versions = VERSION_COLUMNS if types.keys() >= set(VERSION_COLUMNS) else []
    if keys is None and is_embedding:
        keys = [key for key in types if key not in (column, "error", *versions)]
    elif keys is None and is_path:
        keys = [column]
    if not keys or not types.keys() >= set(keys) or _ADDED_COLUMNS.intersection(keys):
        raise ValueError(
            f"Give key_columns that identify the rows of {name} (not {keys}), among {named}. Rename columns that the "
            "output adds, such as 'error' or 'label'."
        )
    if is_path:
        # Each column once: the paths may be the keys.
        columns = list(dict.fromkeys([*keys, column, *versions]))
        tables = list(_tables(rows, columns))
        rows = pa.concat_tables(tables) if tables else pa.table(dict.fromkeys(columns, []))
        if not versions:
            rows, versions = _with_versions(rows, column), VERSION_COLUMNS
    return Source(name, rows, column, list(keys), versions)


def _tables(rows, columns):
    """Arrow tables with some columns of a table, or of a dataset."""
    if isinstance(rows, pa.Table):
        return [rows.select(columns)]
    return rows.select_columns(columns).iter_batches(batch_size=None, batch_format="pyarrow")


def _files_of_one_kind(name):
    """The kind of the files in a folder or of a pattern, their paths in order, and their file system."""
    file_system, path = fs.FileSystem.from_uri(name)
    is_local = isinstance(file_system, fs.LocalFileSystem)
    if file_system.get_file_info(path).is_file:
        files = [path]
    elif is_local:
        files = list_files(path) if os.path.isdir(path) else _match(path)
    else:
        infos = file_system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        files = [info.path for info in infos if info.is_file and "/." not in info.path[len(path) :]]
    if not files:
        raise FileNotFoundError(f"There is no file or folder {name!r}.")
    by_kind = defaultdict(list)
    for file in sorted(files):
        kind = _KINDS.get(Path(file).suffix.lower())
        # Folders such as `_temporary` hold unfinished tables of other programs.
        is_read = is_local if kind == "images" else "/_" not in file.partition(path)[2]
        if kind and is_read:
            by_kind[kind].append(file)
    if len(by_kind) != 1:
        raise ValueError(
            f"{name!r} has {' and '.join(sorted(by_kind)) or 'neither images, Parquet nor WebDataset shards'}; give a folder or "
            "pattern with files of one kind (images, .parquet or .tar). Single images must lie on a disk that all machines "
            "see, not at an address."
        )
    return *by_kind.popitem(), file_system


def _match(pattern):
    """Files that match a pattern; hidden ones only if it names them.

    `**` does not follow links, which may lead in circles.
    """
    anchor, named = Path(pattern).anchor, set(Path(pattern).parts)
    found = (path for path in Path(anchor).glob(pattern.removeprefix(anchor)) if path.is_file())
    return [str(path) for path in found if not any(part[0] == "." for part in {*path.parts} - named)]


def _with_versions(table, column):
    """A table with size and time of each file whose path is in a column; null where the file cannot be seen."""
    versions = np.full((len(table), len(VERSION_COLUMNS)), -1)
    for row, path in enumerate(table[column]):
        # The path may be null, or have a null byte.
        with suppress(OSError, TypeError, ValueError):
            status = os.stat(path.as_py())
            versions[row] = status.st_size, status.st_mtime_ns
    for name, values in zip(VERSION_COLUMNS, versions.T):
        table = table.append_column(name, pa.array(values, mask=versions[:, 0] < 0))
    return table


def _image_of_sample(sample, suffixes, keys):
    """The keys of a sample of WebDataset, and its first image. What the sample lacks is None."""
    image = next((sample[suffix] for suffix in suffixes if suffix in sample), None)
    return {key: sample.get(key) for key in keys} | {"image": image}
