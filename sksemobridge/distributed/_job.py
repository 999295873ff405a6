"""A job from images or embeddings to files. An interrupted job can be continued. The output has
each key once.
"""

import os
import warnings
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads

from ..datasets import is_image, list_files
from ._output import VERSION, OutputFolder, hash_keys, is_among, versions_by_key
from ._steps import EmbedImages

# Tasks ask for no CPU: after the loss of a node, actors may hold all CPUs, and wait for the rows of
# these tasks.
_NO_CPU = {"batch_format": "pyarrow", "num_cpus": 0}
# Ray would repeat a task that always kills its actor for ever.
_MAX_TASK_RETRIES = 8


class JobReport(NamedTuple):
    """The result of a job."""

    n_rows: int  # rows of the source
    n_new: int  # rows that this call wrote
    n_errors: int  # rows of the output with an error


def run_job(
    source, output, step, *, key_column="path", n_actors=None, num_gpus=None, rows_per_file=4096
):
    """Embed images or predict on a cluster, into Parquet files with each key exactly once.

    If the job ends early, the same call continues it. The output has the key and the columns of the
    step. For a folder or list of images, the output also has `file_version` (size and time): files
    that have changed since then are taken again. The file `_sksemobridge.json` in the output
    describes the job, with the classes in the order of the probabilities.

    Parameters
    ----------
    source : ray.data.Dataset, str, os.PathLike or list of paths
        A dataset, which is read twice and must give the same keys; for `EmbedImages`, a folder of
        images or a list of their paths, the same on all machines; for `Predict`, a folder of
        Parquet files.
    output : str or os.PathLike
        A folder that all machines can use. Only one job can write to it.
    step : EmbedImages or Predict
    key_column : str, default="path"
        Column of a dataset that tells its rows apart: texts or numbers.
    n_actors : int or None, default=None
        Number of processes with the model. By default the number grows with the cluster. Each
        process has one CPU.
    num_gpus : float or None, default=None
        GPUs for each actor. By default an actor has one GPU if the cluster has GPUs and the step is
        `EmbedImages`.
    rows_per_file : int, default=4096
        Approximate number of rows in a file. A killed job loses about this many rows of each actor.

    Returns
    -------
    JobReport
        A named tuple: `n_rows`, rows of the source; `n_new`, rows that this call wrote; and
        `n_errors`, rows of the output with an error.
    """
    import ray.data

    has_images, step = isinstance(step, EmbedImages), copy(step)
    actors = _actor_options(has_images, n_actors, num_gpus)
    # A wrong name of a model is an error here, and not in actors that cannot start.
    manifest = {"step": type(step).__name__, **step.describe()}
    name, rows = (
        os.path.abspath(source) if isinstance(source, str | os.PathLike) else "the source",
        source,
    )
    if not isinstance(source, ray.data.Dataset):
        if has_images:
            step.column = key_column = "path"
        rows = _list_images(source, rows_per_file) if has_images else _open_parquet(name)
    names = rows.schema().names if rows.schema() else []
    for column in (step.column, key_column):
        if column not in names:
            raise ValueError(f"{name} has no column {column!r}. Its columns are {names}.")
    identity = [key_column, *({VERSION} & set(names))]
    versions = _versions(name, rows, identity)
    manifest |= {"source": name, "column": step.column, "key_column": key_column}
    folder = OutputFolder(output, identity)
    with folder.locked():
        folder.claim(manifest)
        written, n_errors = folder.settle(versions)
        n_new = int(np.sum(~is_among(versions.index, written)))
        if n_new:
            # A larger batch would make Ray join the blocks of a small job.
            size = min(
                1024, rows_per_file, max(1, n_new // int(4 * ray.cluster_resources()["CPU"]))
            )
            column, step.column = step.column, "_input"
            actors |= {"fn_constructor_args": [step], "batch_size": size, "batch_format": "pyarrow"}
            _write(rows, column, identity, written, actors, folder, rows_per_file)
            # Versions are not compared here: the next call finds files that changed meanwhile.
            written, n_errors = folder.settle(versions[:0])
    n_missing = np.sum(~is_among(versions.index, written))
    if n_missing:
        raise RuntimeError(
            f"{n_missing} of {len(versions)} keys of {name} are missing. Call again, unless it"
            " gives others each time."
        )
    return JobReport(len(versions), n_new, n_errors)


def _actor_options(has_images, n_actors, num_gpus):
    """Arguments of `map_batches` for the actors. Without room for them, Ray would wait for ever."""
    import ray

    if not ray.is_initialized():
        ray.init()
    resources = ray.cluster_resources()
    num_gpus = int(has_images and "GPU" in resources) if num_gpus is None else num_gpus
    n = n_actors or 1
    # One CPU stays free, since other processes read the dataset.
    if n > resources["CPU"] - 1 or n * num_gpus > resources.get("GPU", 0):
        raise ValueError(
            f"The cluster has no room for {n} actors of one CPU and {num_gpus:g} GPUs, and a CPU"
            f" for reading: it has {resources['CPU']:g} CPUs and {resources.get('GPU', 0):g} GPUs."
        )
    pool = ray.data.ActorPoolStrategy(min_size=n, max_size=n_actors)
    return {"compute": pool, "num_cpus": 1, "num_gpus": num_gpus}


def _list_images(source, rows_per_file):
    """A dataset with paths and versions of the images of a folder or list."""
    import ray

    if isinstance(source, str | os.PathLike):
        source = [path for path in list_files(os.path.abspath(source)) if is_image(path)]
    paths = list(map(os.fspath, source))
    if not paths:
        raise ValueError("The source has no images.")
    columns = {"path": paths, VERSION: map(_version_of_file, paths)}
    try:
        table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    except UnicodeEncodeError as error:
        raise ValueError(f"Rename the file {error.object!r}: its name is not UTF-8.") from error
    # Blocks are small enough that all actors are busy until near the end.
    n_blocks = max(4 * int(ray.cluster_resources()["CPU"]), len(table) // rows_per_file)
    return ray.data.from_arrow(table, override_num_blocks=max(1, min(n_blocks, len(table))))


def _version_of_file(path):
    with suppress(OSError, ValueError):  # no such file, or a null byte
        status = os.stat(path)
        return f"{status.st_size} bytes, {status.st_mtime_ns} ns"


def _open_parquet(folder):
    """A dataset of the Parquet files of a folder."""
    import ray

    files = [str(file) for file in sorted(Path(folder).glob("*.parquet"))]
    if not files:
        raise ValueError(
            f"There are no .parquet files in {folder!r}. For images, begin with EmbedImages."
        )
    pads.dataset(files, format="parquet").count_rows()  # unlike Ray, Arrow names a damaged file
    return ray.data.read_parquet(files, num_cpus=0)


def _versions(name, rows, identity):
    """`versions_by_key` of all rows; a `ValueError` if a key occurs more than once."""
    batches = rows.select_columns(identity).iter_batches(batch_size=None, batch_format="pyarrow")
    versions = pd.concat(map(versions_by_key, batches))
    n_repeated = versions.index.duplicated().sum()
    if n_repeated:
        raise ValueError(
            f"{n_repeated} rows of {name!r} repeat a {identity[0]!r}. Choose another key_column."
        )
    return versions


class _Actor:
    def __init__(self, step):
        self._step = step

    def __call__(self, batch):
        return self._step(batch)


def _write(rows, column, identity, written, actors, folder, rows_per_file):
    """Send the rows whose keys are not among `written` through actors, and write the results."""
    import ray

    reference = ray.put(written)  # each node fetches it once

    def without_written(batch):
        batch = batch.filter(~is_among(hash_keys(batch[identity[0]]), ray.get(reference)))
        kept = [*identity, *({"error"} & set(batch.column_names))]
        return batch.select(kept).append_column("_input", batch[column])

    rows = rows.map_batches(without_written, **_NO_CPU)
    # Ray deprecates max_task_retries as an option here, and has no other limit of retries.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        results = rows.map_batches(_Actor, **actors, max_task_retries=_MAX_TASK_RETRIES)
    results = results.map_batches(folder.write_part, batch_size=rows_per_file, **_NO_CPU)
    for _ in results.iter_batches(batch_size=None):
        pass
