"""A job from images or embeddings to files. It can be continued, and gives each key once."""

import os
import warnings
from collections import namedtuple
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads

from ..datasets._folder import is_image, list_files
from ._output import VERSION, OutputFolder, hash_keys, is_among, versions_by_key

_ADDED = {"embedding", "label", "probabilities", "top_labels", "top_probabilities", "error", VERSION}
# After the loss of a node, the remaining actors may hold all CPUs. A task that asked for one would never start, while
# they wait for its rows.
_NO_CPU = {"batch_format": "pyarrow", "num_cpus": 0}
# Ray would repeat a task that always kills its actor for ever.
_MAX_TASK_RETRIES = 8
_JobReport = namedtuple("JobReport", ["n_rows", "n_new", "n_errors"])


def run_job(
    source,
    output,
    step,
    *,
    key_column="path",
    n_actors=None,
    num_cpus=1,
    num_gpus=None,
    rows_per_file=4096,
):
    """Embed images or predict on a cluster, into Parquet files with each key exactly once.

    If the job ends early, the same call continues it. The output has the key and the columns of the step. For a folder or
    list of images, it also has `file_version` (size and time): files that have changed since then are taken again. The
    file `_sksemobridge.json` in it describes the job, with the classes in the order of the probabilities.

    Parameters
    ----------
    source : ray.data.Dataset, str, os.PathLike or list of paths
        A dataset; a folder of images, or a list of their paths, which must be the same on all machines; or for predictions
        from embeddings, a folder of Parquet files. A dataset is read twice, and must give the same keys both times.
    output : str or os.PathLike
        A folder that all machines can use. Only one job can write to it.
    step : EmbedImages or Predict
    key_column : str, default="path"
        Column of a dataset that tells its rows apart: texts or numbers.
    n_actors : int or None, default=None
        Number of processes with the model. By default it grows with the cluster.
    num_cpus, num_gpus : float, default=1 and None
        CPUs and GPUs for each actor. By default it has a GPU if the cluster has some and the step takes images.
    rows_per_file : int, default=4096
        Approximate number of rows in a file. A job that is killed loses about as much work of each actor.

    Returns
    -------
    named tuple
        `n_rows` of the source; `n_new` that this call wrote, because they were missing or their file has changed; and
        `n_errors`, rows of the output with an error instead of a result.

    Examples
    --------
    >>> from sksemobridge.distributed import EmbedImages, Predict, run_job
    >>> run_job("/data/photos", "/data/embeddings", EmbedImages(encoder))  # doctest: +SKIP
    >>> run_job("/data/embeddings", "/data/labels", Predict(classifier, top_k=5))  # doctest: +SKIP
    """
    try:
        import ray.data
    except ImportError as error:
        error.add_note("Large jobs run on Ray Data: pip install 'sksemobridge[ray]'.")
        raise
    actors, step = _actor_options(step, n_actors, num_cpus, num_gpus), copy(step)
    # A wrong name of a model should be an error here, and not of actors that cannot start.
    manifest = {"step": type(step).__name__, **step.describe()}
    name, rows = os.path.abspath(source) if isinstance(source, str | os.PathLike) else "the source", source
    if not isinstance(source, ray.data.Dataset):
        if step.takes_images:
            step.column, key_column = "path", "path"
        rows = _list_images(source, rows_per_file) if step.takes_images else _open_parquet(name)
    with _clear_errors(name):
        step.keep = _columns_to_keep(name, rows, step, key_column)
        versions = _versions(name, rows, step.keep)
    folder = OutputFolder(output, step.keep)
    with folder.locked():
        folder.claim(manifest | {"source": name, "column": step.column, "key_column": key_column})
        written, n_errors = folder.settle(versions)
        n_new = int(np.sum(~is_among(versions.index, written)))
        if n_new:
            # A larger batch would make Ray join the blocks of a small job.
            size = min(1024, rows_per_file, max(1, n_new // int(4 * ray.cluster_resources()["CPU"])))
            actors |= {"fn_constructor_args": [step], "batch_size": size, "batch_format": "pyarrow"}
            _write(rows, key_column, written, actors, folder, rows_per_file)
            # Without versions: the next call finds files that changed meanwhile.
            written, n_errors = folder.settle(versions[:0])
    n_missing = np.sum(~is_among(versions.index, written))
    if n_missing:
        raise RuntimeError(
            f"{n_missing} of {len(versions)} keys of {name!r} are not in {str(folder.path)!r}; call again to add them. If "
            "they are missing again, the source gives other keys each time."
        )
    return _JobReport(len(versions), n_new, n_errors)


def _list_images(source, rows_per_file):
    """A dataset with paths and versions of the images of a folder or list."""
    import ray

    if isinstance(source, str | os.PathLike):
        source = [path for path in list_files(os.path.abspath(source)) if is_image(Path(path))]
    paths = list(map(os.fspath, source))
    try:
        columns = {"path": paths, VERSION: map(_version_of_file, paths)}
        table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    except UnicodeEncodeError as error:
        raise ValueError(f"Rename the file {error.object!r}: its name is not UTF-8.") from error
    # Small enough that all actors are busy until near the end.
    n_blocks = max(4 * int(ray.cluster_resources()["CPU"]), len(table) // rows_per_file)
    return ray.data.from_arrow(table, override_num_blocks=max(1, min(n_blocks, len(table))))


def _open_parquet(folder):
    """A dataset of the Parquet files of a folder. Unlike Ray, Arrow names a damaged one."""
    import ray

    files = [str(file) for file in sorted(Path(folder).glob("*.parquet"))]
    if not files:
        raise ValueError(
            f"{folder!r} is no folder of .parquet files, such as run_job writes with EmbedImages. To predict from images, the "
            "estimator must be a Pipeline that begins with an image encoder."
        )
    with _clear_errors(folder):
        pads.dataset(files, format="parquet").count_rows()
    return ray.data.read_parquet(files, num_cpus=0)


def _version_of_file(path):
    # It may not be there, or have a null byte.
    with suppress(OSError, ValueError):
        status = os.stat(path)
        return f"{status.st_size} bytes, {status.st_mtime_ns} ns"


@contextmanager
def _clear_errors(name):
    """A context that turns errors of reading, which Ray wraps, into a `ValueError`."""
    import ray

    try:
        yield
    except (ray.exceptions.RayError, pa.ArrowInvalid, OSError) as error:
        cause = getattr(error, "cause", error)
        raise ValueError(f"{name} cannot be read. Make damaged files again: {cause}") from error


def _columns_to_keep(name, rows, step, key):
    """The key, and `VERSION` if the rows have it; a `ValueError` if they are not what the step takes."""
    schema = rows.schema()
    types = dict(zip(schema.names, schema.types)) if schema else {}
    for column, parameter in ((step.column, "column of the step"), (key, "key_column")):
        if column not in types:
            raise ValueError(f"{name} has no column {column!r}. As {parameter}, give one of {list(types)}.")
    if key in _ADDED or pa.types.is_binary(types[key]):
        raise ValueError(f"The column {key!r} of {name} cannot be the key, which is a text or number.")
    if not step.takes_images and not hasattr(types[step.column], "value_type"):
        raise ValueError(
            f"The column {step.column!r} of {name} holds no embeddings. To predict from images, the estimator must be a "
            "Pipeline that begins with an image encoder."
        )
    return [key, VERSION] if VERSION in types else [key]


def _versions(name, rows, columns):
    """`versions_by_key` of all rows; a `ValueError` if there are none, or a key occurs more than once."""
    rows = rows.select_columns(columns)
    parts = [versions_by_key(batch) for batch in rows.iter_batches(batch_size=None, batch_format="pyarrow")]
    if not sum(map(len, parts)):
        raise ValueError(f"{name!r} has no rows.")
    versions = pd.concat(parts)
    repeated = versions.index[versions.index.duplicated()].unique()
    if len(repeated):
        keys = (batch.column(0) for batch in rows.iter_batches(batch_size=None, batch_format="pyarrow"))
        example = next(key[i].as_py() for key in keys for i in np.flatnonzero(hash_keys(key) == repeated[0]))
        raise ValueError(
            f"{len(repeated)} keys of {name!r} are there more than once, such as {example!r} in {columns[0]!r}. Give a "
            "key_column that tells all rows apart, if need be one that numbers them."
        )
    return versions


class _Actor:
    def __init__(self, step):
        self._step = step

    def __call__(self, batch):
        return self._step(batch)


def _actor_options(step, n_actors, num_cpus, num_gpus):
    """Arguments of `map_batches` for the actors; `ValueError` if the cluster has no room for them."""
    import ray

    if not ray.is_initialized():
        ray.init()
    resources = ray.cluster_resources()
    num_gpus = int(step.takes_images and "GPU" in resources) if num_gpus is None else num_gpus
    n = n_actors or 1
    # A dataset is read by other processes.
    if not 0 < n * num_cpus <= resources["CPU"] - 1 or n * num_gpus > resources.get("GPU", 0):
        raise ValueError(
            f"The cluster has no room for {n} actors of {num_cpus:g} CPUs and {num_gpus:g} GPUs besides a CPU for reading: "
            f"it has {resources['CPU']:g} CPUs and {resources.get('GPU', 0):g} GPUs."
        )
    pool = ray.data.ActorPoolStrategy(min_size=n, max_size=n_actors)
    return {"compute": pool, "num_cpus": num_cpus, "num_gpus": num_gpus}


def _write(rows, key, written, actors, folder, rows_per_file):
    """Send the rows whose keys are not among `written`, which is sorted, through actors, and write the results."""
    import ray

    # By reference, so that each node fetches it once.
    reference = ray.put(written)

    def without_written(batch):
        return batch.filter(~is_among(hash_keys(batch[key]), ray.get(reference)))

    rows = rows.map_batches(without_written, **_NO_CPU)
    # Ray deprecates max_task_retries as an option here, and has nothing else to limit retries.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        results = rows.map_batches(_Actor, **actors, max_task_retries=_MAX_TASK_RETRIES)
    results = results.map_batches(folder.write_part, batch_size=rows_per_file, **_NO_CPU)
    try:
        for _ in results.iter_batches(batch_size=None):
            pass
    except Exception as error:
        error.add_note(
            f"What was written to {str(folder.path)!r} stays: the same call goes on from there. Actors that die repeatedly "
            "have most often too little memory: lower n_actors, rows_per_file, or n_jobs of the encoder."
        )
        raise
