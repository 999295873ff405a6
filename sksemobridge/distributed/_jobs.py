"""Jobs from files to files, which can be resumed and give each key once."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from ._keys import is_among
from ._output import OutputFolder
from ._sources import open_source
from ._stages import EmbedImages, Predict, check_top_k, takes_images

# How often Ray repeats a task whose actor died. By default without limit: a task that always fails would never end.
_MAX_TASK_RETRIES = 8


@dataclass(frozen=True)
class JobReport:
    """What a job has done, as counted in its output.

    Attributes
    ----------
    n_rows : int
        Rows of the source, each of which is in the output exactly once.
    n_before : int
        Rows that an earlier call wrote.
    n_new : int
        Rows that this call wrote.
    n_errors : int
        Rows of the output without a result, each with its reason.
    n_repeats_dropped : int
        Second copies of rows, which this call removed. A worker that lost its connection may write one.
    n_others : int
        Rows of the output whose key is no longer in the source.
    n_changed : int
        Rows that an earlier call wrote, and whose file has changed since. They are counted in `n_new`, too.
    compared : tuple of str
        Columns by which the call found what earlier calls had done. Without `file_size` and `file_modified`, an image
        that was replaced under the same key keeps its old row.
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

    The output has the key columns, `embedding` (vectors of fixed size, or null) and `error` (the reason for a
    null, else null). The same call, after whatever ended the first, goes on where that stopped. For paths of images
    the output has `file_size` (bytes) and `file_modified` (nanoseconds since 1970), too, and the same call embeds anew
    what has changed since.

    Parameters
    ----------
    source : ray.data.Dataset, str or os.PathLike
        A dataset; a folder or pattern of images, which all machines see under the same path; Parquet files
        with a column of paths or of encoded bytes; or WebDataset shards (`.tar`). Ray executes a dataset twice,
        first for its keys alone, and it must give the same keys both times.
    output : str or os.PathLike
        A folder that all machines see, or an address that pyarrow knows, such as `s3://bucket/folder`.
    encoder : CLIPImageEncoder
    image_column : str or None, default=None
        Column with the images; for WebDataset their ending. Not needed for a folder, and for WebDataset with
        one image in a sample.
    key_columns : str, list of str or None, default=None
        Columns that tell rows apart; the output keeps them. `None`: the path of the image; `__url__` and
        `__key__` of WebDataset.
    dtype : {"float32", "float16"}, default="float32"
        Of the embeddings.
    concurrency : int, tuple of two int or None, default=None
        Number of actors, or least and most of a pool that grows with the cluster. `None`: one actor for each GPU
        of the cluster; without GPUs, as many as its CPUs allow with one CPU left.
    num_cpus : float, default=1
        CPUs for each actor. At least one must be left for reading and writing.
    num_gpus : float or None, default=None
        GPUs for each actor; `None`: one if the cluster has GPUs.
    batch_size : int, default=1024
        Images in one call of the encoder, whose own `batch_size` is that of the model.
    rows_per_file : int, default=4096
        Roughly. An actor that dies loses about as much work.

    Returns
    -------
    JobReport

    Raises
    ------
    ImportError
        If Ray is not installed.
    ValueError
        If keys of the source are not unique, or the output has results of another job, model or source.
    RuntimeError
        If another job writes to the output, or keys are missing in the end. What was written stays; the next call
        goes on.

    See Also
    --------
    EmbedImages : The same step for a pipeline of your own.

    Examples
    --------
    >>> from sksemobridge import CLIPImageEncoder
    >>> from sksemobridge.distributed import embed_dataset
    >>> encoder = CLIPImageEncoder("ViT-B-16", pretrained="openai")
    >>> embed_dataset("/data/photos", "/data/embeddings", encoder)  # doctest: +SKIP
    """
    opened = open_source(source, image_column, key_columns)
    manifest = {"job": "embed", "model": _describe_encoder(encoder), "dtype": str(np.dtype(dtype))}
    stage = EmbedImages, encoder, {"image_column": opened.column, "dtype": dtype, "keep": opened.compared}
    return _run(opened, output, manifest, stage, batch_size, rows_per_file, concurrency, num_cpus, num_gpus)


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

    The output has the key columns and what `Predict` gives. A repeated call goes on where the last one stopped, as with
    `embed_dataset`.

    Parameters
    ----------
    source : ray.data.Dataset, str or os.PathLike
        Embeddings, such as the output of `embed_dataset`; or, for a pipeline that begins with a
        `CLIPImageEncoder`, images as `embed_dataset` takes them.
    output : str or os.PathLike
        As in `embed_dataset`.
    estimator : fitted classifier or Pipeline
    column : str or None, default=None
        Column with the embeddings, by default `"embedding"`, or with the images.
    key_columns : str, list of str or None, default=None
        Columns that tell rows apart; the output keeps them. `None`: all but the embeddings, their errors, `file_size`
        and `file_modified`; for images as in `embed_dataset`.
    probabilities : bool, default=False
        Whether to give the probabilities of all classes; the file `_sksemobridge.json` in the output has the
        classes in their order.
    top_k : int or None, default=None
        Give this many most likely labels with their probabilities.
    concurrency, num_cpus, num_gpus, batch_size, rows_per_file
        As in `embed_dataset`. For embeddings, `num_gpus=None` means no GPU.

    Returns
    -------
    JobReport

    Raises
    ------
    ImportError, ValueError, RuntimeError
        As `embed_dataset` does.

    Examples
    --------
    >>> from sksemobridge.distributed import predict_dataset
    >>> predict_dataset("/data/embeddings", "/data/labels", classifier, top_k=5)  # doctest: +SKIP
    """
    check_is_fitted(estimator)
    check_top_k(top_k, estimator)
    if takes_images(estimator):
        opened = open_source(source, column, key_columns)
        model = {"encoder": _describe_encoder(estimator[0]), "classifier": joblib.hash(estimator[1:])}
    else:
        opened = open_source(source, column or "embedding", key_columns, is_embedding=True)
        model = {"classifier": joblib.hash(estimator)}
        num_gpus = num_gpus or 0
    options = {"probabilities": probabilities, "top_k": top_k}
    classes = estimator.classes_.tolist()
    manifest = {"job": "predict", "model": model, "classes": classes, **options}
    stage = Predict, estimator, {"column": opened.column, "keep": opened.compared, **options}
    return _run(opened, output, manifest, stage, batch_size, rows_per_file, concurrency, num_cpus, num_gpus)


def _run(source, output, manifest, stage, batch_size, rows_per_file, *actors):
    """Write the rows of the source that the output does not have, or has in another version."""
    folder = OutputFolder(output, source.key_columns, source.version_columns)
    if f"{folder.location}/".startswith(f"{source.name}/"):
        raise ValueError(f"The output {folder.location!r} lies in the source {source.name!r}.")
    options, n_actors = _actor_options(*actors)
    rows = source.digests()
    manifest |= {"source": source.name, "column": source.column}
    manifest |= {"key_columns": source.key_columns, "compared": source.compared}
    with folder.locked():
        folder.claim(manifest)
        after, n_changed, n_repeats = folder.settle(rows)
        n_before = int(is_among(rows[:, 0], after).sum())
        n_open = len(rows) - n_before
        if n_open:
            # So small that all actors are busy until near the end.
            rows_per_block = min(rows_per_file, max(1, n_open // (4 * n_actors)))
            # A larger batch would make Ray join blocks.
            options["batch_size"] = min(batch_size, rows_per_block)
            _write(source.remaining(after, rows_per_block), stage, options, folder, rows_per_file)
            after, _, n_more_repeats = folder.settle(rows)
            n_repeats += n_more_repeats
        n_errors = folder.n_errors()
    n_done = int(is_among(rows[:, 0], after).sum())
    if n_done < len(rows):
        raise RuntimeError(
            f"{len(rows) - n_done} of {len(rows)} keys of {source.name!r} are not in {folder.location!r}; "
            "call again to add them. If they are missing again, the source gives other keys each time."
        )
    return JobReport(
        n_rows=len(rows),
        n_before=n_before,
        n_new=n_open,
        n_errors=n_errors,
        n_repeats_dropped=n_repeats,
        n_others=len(after) - n_done,
        n_changed=n_changed,
        compared=tuple(source.compared),
    )


def _write(rows, stage, options, folder, rows_per_file):
    """Send the rows through actors, and write the results."""
    import ray

    actor, model, parameters = stage
    with warnings.catch_warnings():
        # Ray deprecates max_task_retries as an option here, and has nothing else to limit retries.
        warnings.simplefilter("ignore", DeprecationWarning)
        results = rows.map_batches(
            actor,
            fn_constructor_args=[model],
            fn_constructor_kwargs=parameters,
            batch_format="pyarrow",
            max_task_retries=_MAX_TASK_RETRIES,
            **options,
        )
    written = results.map_batches(
        folder.write_part,
        batch_format="pyarrow",
        batch_size=rows_per_file,
        # After the loss of a node, actors may hold all CPUs. A task that asks for a CPU would never start.
        num_cpus=0,
    )
    try:
        for _ in written.iter_batches(batch_size=None):
            pass
    except Exception as error:
        note = f"What was written to {folder.location!r} stays: the same call goes on from there."
        if isinstance(error, ray.exceptions.RayActorError):
            note += (
                " Actors have died repeatedly, most often of too little memory: lower batch_size, n_jobs of "
                "the encoder, or the number of actors on a machine."
            )
        error.add_note(note)
        raise


def _actor_options(concurrency, num_cpus, num_gpus):
    """Options of `map_batches` for the actors, and how many there are at the start."""
    import ray

    if num_cpus <= 0:
        raise ValueError(f"num_cpus={num_cpus}, but an actor needs CPUs; a fraction will do.")
    if not ray.is_initialized():
        ray.init()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    n_cpus, n_gpus = (sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
    if num_gpus is None:
        num_gpus = 1 if n_gpus else 0
    if concurrency is None:
        wanted = {"CPU": num_cpus, "GPU": num_gpus}
        room = sum(min(node.get(kind, 0) // n for kind, n in wanted.items() if n) for node in nodes)
        concurrency = int(max(1, min(room, (n_cpus - 1) // num_cpus)))
    least, most = concurrency if isinstance(concurrency, tuple) else (concurrency, concurrency)
    if least * num_cpus + 1 > n_cpus:
        raise ValueError(
            f"{least} actors of {num_cpus} CPUs leave no CPU for reading and writing: the cluster has "
            f"{n_cpus:g}. Lower concurrency or num_cpus."
        )
    # Few tasks in advance: if an actor is lost, its tasks are repeated.
    pool = ray.data.ActorPoolStrategy(min_size=least, max_size=most, max_tasks_in_flight_per_actor=2)
    return {"compute": pool, "num_cpus": num_cpus, "num_gpus": num_gpus}, least


def _describe_encoder(encoder):
    """All that embeddings depend on, apart from the images."""
    # A wrong parameter or name should be an error here, and not of actors that cannot start.
    clone(encoder).fit().get_feature_names_out()
    source = encoder._source()
    # Local files count by content: next time, the model may lie elsewhere, and another one here.
    files = {Path(path).name: digest for path, digest in source.files}
    name = {"files": files} if files else {"name": str(source)}
    return {"precision": encoder.precision, "normalize": bool(encoder.normalize), **name}
