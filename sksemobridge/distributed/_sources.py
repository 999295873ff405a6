"""What a job reads: a dataset of Ray, images in a folder, Parquet or WebDataset shards.

Tasks of Ray here ask for no CPU. After the loss of a node the remaining actors may hold all CPUs, and a task that
asked for one would never start, while the actors wait for its rows.
"""

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets._folder import IMAGE_SUFFIXES
from ._keys import is_among, repeats, row_digests, sort_digests
from ._ray import import_ray

_IMAGE_COLUMN = "image"
_RESULT_COLUMNS = {"embedding", "error", "label", "probabilities", "top_labels", "top_probabilities"}


@dataclass
class Source:
    """Rows to work on.

    Attributes
    ----------
    rows : pyarrow.Table or ray.data.Dataset
        Paths of images are a table in this process, which can be cut evenly and leaves all CPUs of the cluster
        to the actors.
    column : str
        The column with images or embeddings.
    key_columns : list of str
        Columns that tell the rows apart.
    name : str
        The source as the user gave it, for the manifest.
    """

    rows: Any
    column: str
    key_columns: list
    name: str

    def __post_init__(self):
        reserved = sorted(_RESULT_COLUMNS.intersection(self.key_columns))
        if reserved:
            raise ValueError(f"Rename the key column {reserved[0]!r}: the output has another of that name.")

    def digests(self):
        """Sorted digests of all keys.

        Raises
        ------
        ValueError
            If a key occurs more than once.
        """
        if self._is_table():
            digests = np.sort(row_digests(self.rows.select(self.key_columns)))
        else:
            parts = self.rows.select_columns(self.key_columns).map_batches(
                _digest_batch, batch_format="pyarrow"
            )
            batches = parts.iter_batches(batch_size=None, batch_format="pyarrow")
            digests = sort_digests([b"".join(batch["digest"].to_pylist()) for batch in batches])
        repeated = repeats(digests)
        if len(repeated):
            raise ValueError(
                f"{len(repeated)} keys of {self.name!r} are there more than once, such as "
                f"{self._find(repeated[0])}. Give key_columns that tell all rows apart (now "
                f"{self.key_columns}), if need be a column that numbers them."
            )
        return digests

    def remaining(self, written, rows_per_block):
        """A dataset of the rows whose digests are not among `written`, which is sorted; tables are cut in blocks."""
        ray = import_ray()
        if self._is_table():
            table = _without_written(self.rows, self.key_columns, written)
            starts = range(0, len(table), rows_per_block)
            return ray.data.from_arrow([table.slice(start, rows_per_block) for start in starts])
        if not len(written):
            return self.rows
        return self.rows.map_batches(
            _without_written,
            batch_format="pyarrow",
            fn_kwargs={"keys": self.key_columns, "written": ray.put(written)},
            num_cpus=0,
        )

    def _is_table(self):
        import pyarrow as pa

        return isinstance(self.rows, pa.Table)

    def _find(self, digest):
        """The key with a digest."""
        if self._is_table():
            return _with_digest(self.rows.select(self.key_columns), digest).to_pylist()[0]
        keys = self.rows.select_columns(self.key_columns)
        return keys.map_batches(_with_digest, batch_format="pyarrow", fn_args=[digest]).take(1)[0]


def open_source(source, column, key_columns, *, is_embedding=False):
    """The rows of a source.

    Parameters
    ----------
    source : ray.data.Dataset, str or os.PathLike
        A path or address may name a file or a folder, a path also a pattern.
    column : str or None
    key_columns : str, list of str or None
        `None`: the path of an image; the shard and key of WebDataset; all columns but the embedding.
    is_embedding : bool, default=False
        Whether the column has embeddings rather than images.

    Raises
    ------
    FileNotFoundError
        If there is nothing of that name.
    ValueError
        If it is unclear what to read or what tells rows apart; the message says what to give.
    """
    ray = import_ray()
    key_columns = [key_columns] if isinstance(key_columns, str) else key_columns
    if isinstance(source, ray.data.Dataset):
        return _from_table(source, "a Ray dataset", column, key_columns, is_embedding)
    name = os.fspath(source)
    name = name if "://" in name else os.path.abspath(name)
    files = _list_files(name)
    kinds = {kind for kind in map(_kind, files) if kind}
    if len(kinds) != 1:
        raise ValueError(
            f"{name!r} has {' and '.join(sorted(kinds)) or 'neither images, Parquet nor WebDataset shards'}; "
            "give a folder or pattern with files of one kind (images, .parquet or .tar)."
        )
    kind = kinds.pop()
    files = [file for file in files if _kind(file) == kind]
    if kind == "Parquet":
        return _from_table(ray.data.read_parquet(files, num_cpus=0), name, column, key_columns, is_embedding)
    if is_embedding:
        raise ValueError(
            f"{name!r} has {kind}, not embeddings. To predict from images the estimator must be a Pipeline "
            "whose first step is a CLIPImageEncoder, as make_semobridge_pipeline gives."
        )
    if kind == "WebDataset shards":
        shards = ray.data.read_webdataset(files, decoder=None, num_cpus=0)
        suffixes = [column] if column else sorted(suffix[1:] for suffix in IMAGE_SUFFIXES)
        keys = key_columns or ["__url__", "__key__"]
        dataset = shards.map_batches(
            _image_of_sample,
            batch_format="pyarrow",
            fn_kwargs={"suffixes": suffixes, "keys": keys},
            num_cpus=0,
        )
        return Source(dataset, _IMAGE_COLUMN, keys, name)
    if "://" in name:
        raise ValueError(
            f"{name!r} has single images on a remote file system. Mount it on all machines, or pack the images "
            "into Parquet (a column with the bytes of each) or WebDataset shards, which are also much faster "
            "to read than single files."
        )
    if key_columns not in (None, ["path"]):
        raise ValueError(f"Images in a folder have the key column 'path' only, not {key_columns}.")
    import pyarrow as pa

    return Source(pa.table({"path": files}), "path", ["path"], name)


def _from_table(dataset, name, column, key_columns, is_embedding):
    import pyarrow as pa

    schema = dataset.schema()
    if schema is None:
        raise ValueError(f"{name} has no rows.")
    types = dict(zip(schema.names, schema.types))
    if column is None:
        raise ValueError(f"Say which column of {name} has the images: {', '.join(types)}.")
    is_path = types.get(column) in (pa.string(), pa.large_string())
    if key_columns is None and is_embedding:
        key_columns = [name for name in types if name not in (column, "error")]
    elif key_columns is None and is_path:
        key_columns = [column]
    elif key_columns is None:
        raise ValueError(
            f"Say by key_columns which columns of {name} tell its rows apart: {', '.join(types)}."
        )
    missing = [wanted for wanted in [column, *key_columns] if wanted not in types]
    if missing or not key_columns:
        raise ValueError(f"{name} has no column {missing or 'for keys'}; its columns: {', '.join(types)}.")
    if not is_path:
        return Source(dataset, column, list(key_columns), name)
    wanted = dataset.select_columns(list(dict.fromkeys([*key_columns, column])))
    batches = list(wanted.iter_batches(batch_size=None, batch_format="pyarrow"))
    return Source(pa.concat_tables(batches), column, list(key_columns), name)


def _kind(file):
    suffix = Path(file).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "images"
    return {".parquet": "Parquet", ".tar": "WebDataset shards"}.get(suffix)


def _list_files(name):
    """The file, the files of the folder or those of the pattern with that name, sorted; no hidden ones."""
    from pyarrow import fs

    if "://" not in name and glob.has_magic(name) and not os.path.exists(name):
        files = [path for path in glob.glob(name, recursive=True) if os.path.isfile(path)]
        if not files:
            raise FileNotFoundError(f"No file matches {name!r}.")
        return sorted(files)
    file_system, path = fs.FileSystem.from_uri(name)
    info = file_system.get_file_info(path)
    if info.type == fs.FileType.NotFound:
        raise FileNotFoundError(f"There is no file or folder {name!r}.")
    if info.type == fs.FileType.File:
        return [name]
    start = name[: len(name) - len(path)] if name.endswith(path) else f"{name.split('://')[0]}://"
    infos = file_system.get_file_info(fs.FileSelector(path, recursive=True))
    below = len(path.rstrip("/")) + 1
    return sorted(
        start + info.path
        for info in infos
        if info.type == fs.FileType.File
        and not any(part.startswith((".", "_")) for part in info.path[below:].split("/"))
    )


def _image_of_sample(batch, suffixes, keys):
    """The first image of each WebDataset sample, with the key columns."""
    import pyarrow as pa

    there = [batch[suffix].to_pylist() for suffix in suffixes if suffix in batch.column_names]
    # Ray reads shards through pandas: a missing value may be NaN.
    images = [
        next((value for value in sample if isinstance(value, bytes)), None)
        for sample in (zip(*there) if there else [()] * len(batch))
    ]
    return batch.select(keys).append_column(_IMAGE_COLUMN, pa.array(images, pa.binary()))


def _digest_batch(batch):
    import pyarrow as pa

    digests = row_digests(batch)
    buffers = [None, pa.py_buffer(digests)]
    return pa.table({"digest": pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(digests), buffers)})


def _with_digest(batch, digest):
    return batch.filter(row_digests(batch) == digest)


def _without_written(batch, keys, written):
    import ray

    if isinstance(written, ray.ObjectRef):
        written = ray.get(written)
    return batch.filter(~is_among(row_digests(batch.select(keys)), written))
