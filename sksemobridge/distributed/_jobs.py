"""Jobs from files to files. They can be continued, and give each key once."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from ..encoders import JoinedImageEncoder
from ..encoders._image_encoder import READING_VERSION
from ._digests import find
from ._output import OutputFolder
from ._sources import NO_CPU, open_source
from ._stages import EmbedImages, Predict, check_top_k, takes_images

# Ray repeats a task whose actor died at most this often. Ray has no limit by default, so a task that always fails would
# not end.
_MAX_TASK_RETRIES = 8


@dataclass(frozen=True)
class JobReport:
    """The result of a job, as counted in its output.

    Attributes
    ----------
    n_rows : int
        Rows of the source. Each is in the output exactly once.
    n_before, n_new : int
        Rows that earlier calls wrote, and rows that this call wrote.
    n_errors : int
        Rows of the output with an error instead of a result.
    n_repeats_dropped : int
        Repeated rows that this call removed. Ray writes them if it repeats lost work.
    n_others : int
        Rows of the output whose key is no longer in the source.
    n_changed : int
        Rows of earlier calls whose file has changed. They also count in `n_new`.
    compared : tuple of str
        Columns that identify finished rows. Without `file_size` and `file_modified`, an image that was replaced under
        the same key keeps its old row.
    """

    n_rows: int
    n_before: int
    n_new: int
    n_errors: int
    n_repeats_dropped: int
    n_others: int
    n_changed: int
    compared: tuple


def embed_dataset(
    source,
    output,
    encoder,
    *,
    image_column=None,
    key_columns=None,
    dtype="float32",
    concurrency=None,
    num_cpus=1,
    num_gpus=None,
    batch_size=1024,
    rows_per_file=4096,
):
    """Embed images on a cluster, into Parquet files with each key exactly once.

    The output has the key columns, `embedding` (vectors of fixed size, or null) and `error` (the reason for a null, or
    null). If the images are paths, it also has `file_size` (bytes) and `file_modified` (nanoseconds since 1970). If the
    job ends early, the same call continues it. Files that have changed since then are embedded again.

    Parameters
    ----------
    source : ray.data.Dataset, str or os.PathLike
        A dataset; a folder or a pattern of images, with the same path on all machines; Parquet files with a column of
        paths or of encoded bytes; or WebDataset shards (`.tar`). It is read twice, and must give the same keys both
        times.
    output : str or os.PathLike
        A folder that all machines can use, or an address that pyarrow knows, such as `s3://bucket/folder`.
    encoder : CLIPImageEncoder
    image_column : str or None, default=None
        Column with the images. For WebDataset, it is the ending of their names. It is not needed for a folder, and for
        WebDataset with one image in each sample.
    key_columns : str, list of str or None, default=None
        Columns that identify a row. The output keeps them. By default this is the path of the image, or `__url__` and
        `__key__` of WebDataset.
    dtype : {"float32", "float16"}, default="float32"
        Type of the embeddings.
    concurrency : int, tuple of two int or None, default=None
        Number of actors, or their smallest and largest number in a pool that grows with the cluster. By default there
        are as many as the nodes have room for, with one CPU left for reading and writing.
    num_cpus : float, default=1
        CPUs for each actor.
    num_gpus : float or None, default=None
        GPUs for each actor. By default this is one if the cluster has GPUs.
    batch_size : int, default=1024
        Images in one call of the encoder. (Its own `batch_size` is for the model.)
    rows_per_file : int, default=4096
        Approximate number of rows in a file. An actor that dies loses about as much work.

    Returns
    -------
    JobReport

    Raises
    ------
    ImportError
        If Ray is not installed.
    ValueError
        If keys of the source are not unique, if the output has results of another job, model or source, if the name of
        a file is not UTF-8, or if the cluster has no room for the actors.
    RuntimeError
        If another job writes to the output, or if keys are missing at the end. The next call continues.

    Examples
    --------
    >>> from sksemobridge import CLIPImageEncoder
    >>> from sksemobridge.distributed import embed_dataset
    >>> encoder = CLIPImageEncoder("ViT-B-16", pretrained="openai")
    >>> embed_dataset("/data/photos", "/data/embeddings", encoder)  # doctest: +SKIP
    """
    actors = _actor_options(concurrency, num_cpus, num_gpus)
    opened = open_source(source, image_column, key_columns)
    manifest = {"job": "embed", "model": _describe_encoder(encoder), "dtype": str(np.dtype(dtype))}
    params = {"image_column": opened.column, "dtype": dtype, "keep": opened.identity_columns}
    actors |= {"fn": EmbedImages, "fn_constructor_args": [encoder], "fn_constructor_kwargs": params}
    return _run(opened, output, manifest, actors, batch_size, rows_per_file)


def predict_dataset(
    source,
    output,
    estimator,
    *,
    column=None,
    key_columns=None,
    probabilities=False,
    top_k=None,
    concurrency=None,
    num_cpus=1,
    num_gpus=None,
    batch_size=1024,
    rows_per_file=4096,
):
    """Predict on a cluster, into Parquet files with each key exactly once.

    The output has the key columns and the columns of `Predict`. The file `_sksemobridge.json` in it lists the classes
    in the order of the probabilities. A repeated call continues, as in `embed_dataset`.

    Parameters
    ----------
    source : ray.data.Dataset, str or os.PathLike
        Embeddings, such as the output of `embed_dataset`. A pipeline that begins with a `CLIPImageEncoder` takes images
        as in `embed_dataset`.
    estimator : fitted classifier or Pipeline
    column : str or None, default=None
        Column with the embeddings (by default `"embedding"`) or with the images.
    key_columns : str, list of str or None, default=None
        Columns that identify a row. The output keeps them. By default these are all columns except embeddings, errors,
        `file_size` and `file_modified`. For images, see `embed_dataset`.
    probabilities : bool, default=False
        Whether the output has the probabilities of all classes.
    top_k : int or None, default=None
        Number of most probable labels in the output, with their probabilities.
    output, concurrency, num_cpus, num_gpus, batch_size, rows_per_file
        See `embed_dataset`. For embeddings, `num_gpus=None` means no GPU.

    Returns
    -------
    JobReport

    Raises
    ------
    ImportError, ValueError, RuntimeError
        See `embed_dataset`.

    Examples
    --------
    >>> from sksemobridge.distributed import predict_dataset
    >>> predict_dataset("/data/embeddings", "/data/labels", classifier, top_k=5)  # doctest: +SKIP
    """
    check_is_fitted(estimator)
    check_top_k(top_k, estimator)
    is_embedding = not takes_images(estimator)
    if is_embedding:
        model = {"classifier": joblib.hash(estimator)}
        column, num_gpus = column or "embedding", num_gpus or 0
    else:
        model = {"encoder": _describe_encoder(estimator[0]), "classifier": joblib.hash(estimator[1:])}
    actors = _actor_options(concurrency, num_cpus, num_gpus)
    opened = open_source(source, column, key_columns, is_embedding=is_embedding)
    options = {"probabilities": probabilities, "top_k": top_k}
    manifest = {"job": "predict", "model": model, "classes": estimator.classes_.tolist(), **options}
    params = {"column": opened.column, "keep": opened.identity_columns, **options}
    actors |= {"fn": Predict, "fn_constructor_args": [estimator], "fn_constructor_kwargs": params}
    return _run(opened, output, manifest, actors, batch_size, rows_per_file)


def _run(opened, output, manifest, actors, batch_size, rows_per_file):
    """Write the rows that the output does not have, or has in another version. Returns the `JobReport`."""
    folder = OutputFolder(output, opened.key_columns, opened.version_columns)
    if f"{folder.location}/".startswith(f"{opened.name}/"):
        raise ValueError(f"The output {folder.location!r} lies in the source {opened.name!r}.")
    digests = opened.digests()
    manifest |= {"source": opened.name, "column": opened.column}
    manifest |= {"key_columns": opened.key_columns, "compared": opened.identity_columns}
    with folder.locked():
        folder.claim(manifest)
        written, n_changed, n_repeats = folder.settle(digests)
        n_before = int(np.sum(find(digests[:, 0], written) >= 0))
        n_new = len(digests) - n_before
        if n_new:
            # Small enough that all actors are busy until near the end.
            rows_per_block = min(rows_per_file, max(1, n_new // (4 * actors["compute"].min_size)))
            # A larger batch would make Ray join blocks.
            actors["batch_size"] = min(batch_size, rows_per_block)
            _write(opened.remaining(written, rows_per_block), actors, folder, rows_per_file)
            # No versions to compare: only repeats are removed. The next call finds files that changed meanwhile.
            written, _, n_more_repeats = folder.settle(digests[:0])
            n_repeats += n_more_repeats
        n_errors = folder.n_errors()
    n_missing = np.sum(find(digests[:, 0], written) < 0)
    if n_missing:
        raise RuntimeError(
            f"{n_missing} of {len(digests)} keys of {opened.name!r} are not in {folder.location!r}; "
            "call again to add them. If they are missing again, the source gives other keys each time."
        )
    return JobReport(
        n_rows=len(digests),
        n_before=n_before,
        n_new=n_new,
        n_errors=n_errors,
        n_repeats_dropped=n_repeats,
        n_others=len(written) - len(digests),
        n_changed=n_changed,
        compared=tuple(opened.identity_columns),
    )


def _write(rows, actors, folder, rows_per_file):
    """Send the rows through actors, and write the results."""
    # Ray deprecates max_task_retries as an option here, and has nothing else to limit retries.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        results = rows.map_batches(**actors, batch_format="pyarrow", max_task_retries=_MAX_TASK_RETRIES)
    written = results.map_batches(folder.write_part, batch_size=rows_per_file, **NO_CPU)
    try:
        for _ in written.iter_batches(batch_size=None):
            pass
    except Exception as error:
        error.add_note(
            f"What was written to {folder.location!r} stays: the same call goes on from there. Actors that die repeatedly "
            "have most often too little memory: lower batch_size, n_jobs of the encoder, or concurrency."
        )
        raise


def _actor_options(concurrency, num_cpus, num_gpus):
    """Arguments of `map_batches` for the actors; `ValueError` if the cluster has no room for them."""
    try:
        import ray.data
    except ImportError as error:
        error.add_note("Large jobs run on Ray Data: pip install 'sksemobridge[ray]'.")
        raise
    if num_cpus <= 0:
        raise ValueError(f"num_cpus={num_cpus}, but an actor needs CPUs; a fraction will do.")
    if not ray.is_initialized():
        ray.init()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = (np.array([node.get(kind, 0) for node in nodes]) for kind in ("CPU", "GPU"))
    if num_gpus is None:
        num_gpus = 1 if gpus.any() else 0
    # An actor lies on one node.
    n_fitting = np.minimum(cpus // num_cpus, gpus // num_gpus if num_gpus else np.inf).sum()
    # `n_filling` is the fewest actors that may leave no node a whole free CPU. With one fewer, some node always has one.
    n_filling = ((cpus - 1) // num_cpus + 1).clip(min=0).sum()
    room = int(max(0, min(n_fitting, n_filling - 1)))
    if concurrency is None:
        concurrency = max(1, room)
    least, most = concurrency if isinstance(concurrency, tuple) else (concurrency, concurrency)
    if least > room:
        raise ValueError(
            f"The nodes of the cluster have room for {room} actors of {num_cpus:g} CPUs and {num_gpus:g} GPUs besides a CPU "
            f"for reading and writing, not for {least}. Lower concurrency, num_cpus or num_gpus, or start more nodes."
        )
    # Few tasks in advance: if an actor is lost, its tasks are repeated.
    pool = ray.data.ActorPoolStrategy(min_size=least, max_size=most, max_tasks_in_flight_per_actor=2)
    return {"compute": pool, "num_cpus": num_cpus, "num_gpus": num_gpus}


def _describe_encoder(encoder):
    """All that embeddings depend on, apart from the images."""
    if isinstance(encoder, JoinedImageEncoder):
        return [_describe_encoder(one) for one in encoder.encoders]
    # A wrong parameter or name should be an error here, and not of actors that cannot start.
    clone(encoder).fit().get_feature_names_out()
    source = encoder._source()
    # Local files count by content: next time, the model may lie elsewhere, and another one here.
    files = {Path(path).name: digest for path, digest in source.files}
    name = {"files": files} if files else {"name": str(source)}
    normalize = bool(encoder.normalize)
    return {"reading": READING_VERSION, **name, "precision": encoder.precision, "normalize": normalize}
