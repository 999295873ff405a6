"""Whole jobs: from files to files, resumable, with every key once."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._keys import is_among
from ._output import OutputFolder
from ._sources import open_source
from ._stages import EmbedImages, Predict, check_top_k, takes_images

# How often Ray repeats a task whose actor died. Ray's default has no limit, and a task that always fails would
# never end.
_MAX_TASK_RETRIES = 8


@dataclass(frozen=True)
class JobReport:
    """What a job has done, counted in its output.

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
        Rows of the output whose key the source no longer has.
    """

    n_rows: int
    n_before: int
    n_new: int
    n_errors: int
    n_repeats_dropped: int
    n_others: int


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
    null, else null). The same call, after whatever ended the first, goes on where that stopped.

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
    stage = {
        "fn": EmbedImages,
        "fn_constructor_args": [encoder],
        "fn_constructor_kwargs": {"image_column": opened.column, "dtype": dtype, "keep": opened.key_columns},
        "batch_size": batch_size,
    }
    return _run(opened, output, manifest, stage, (concurrency, num_cpus, num_gpus), rows_per_file)


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
        Columns that tell rows apart; the output keeps them. `None`: all but the embeddings; for images as in
        `embed_dataset`.
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
    options = {"probabilities": probabilities, "top_k": top_k}
    if takes_images(estimator):
        opened = open_source(source, column, key_columns)
        model = {"encoder": _describe_encoder(estimator[0]), "classifier": joblib.hash(estimator[1:])}
    else:
        opened = open_source(source, column or "embedding", key_columns, is_embedding=True)
        model = {"classifier": joblib.hash(estimator)}
        num_gpus = num_gpus or 0
    manifest = {
        "job": "predict",
        "model": model,
        "classes": np.asarray(estimator.classes_).tolist(),
        **options,
    }
    stage = {
        "fn": Predict,
        "fn_constructor_args": [estimator],
        "fn_constructor_kwargs": {"column": opened.column, "keep": opened.key_columns, **options},
        "batch_size": batch_size,
    }
    return _run(opened, output, manifest, stage, (concurrency, num_cpus, num_gpus), rows_per_file)


def _run(opened, output, manifest, stage, actors, rows_per_file):
    """Run a stage over all rows of a source that are not in the output yet."""
    keys = opened.key_columns
    folder = OutputFolder(output, keys)
    if f"{folder.location}/".startswith(f"{opened.name}/"):
        raise ValueError(f"The output {folder.location!r} lies in the source {opened.name!r}.")
    options, n_actors = _actor_options(*actors)
    wanted = opened.digests()
    with folder.locked():
        folder.claim(manifest | {"source": opened.name, "column": opened.column, "key_columns": keys})
        return _fill(folder, opened, wanted, stage, options, n_actors, rows_per_file)


def _fill(folder, opened, wanted, stage, options, n_actors, rows_per_file):
    """Write the rows that are `wanted` and not in the folder yet."""
    import ray

    before, n_dropped = folder.settle()
    n_before = int(is_among(wanted, before).sum())
    n_open = len(wanted) - n_before
    if n_open:
        # Small enough that all actors are busy until near the end.
        rows_per_block = min(rows_per_file, max(1, n_open // (4 * n_actors)))
        rows = opened.remaining(before, rows_per_block)
        # A larger batch would make Ray join blocks.
        stage["batch_size"] = min(stage["batch_size"], rows_per_block)
        with warnings.catch_warnings():
            # Ray 2.60 deprecates options of actors that have no name of their own in map_batches, and offers
            # nothing else to bound retries.
            warnings.simplefilter("ignore", DeprecationWarning)
            results = rows.map_batches(**stage, batch_format="pyarrow", **options)
        parts = results.map_batches(
            _write_part,
            batch_format="pyarrow",
            batch_size=rows_per_file,
            fn_kwargs={"folder": folder},
            # After the loss of a node, actors may hold all CPUs; a task that asked for one would never start.
            num_cpus=0,
        )
        try:
            for _ in parts.iter_batches(batch_size=None):
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
    after, n_repeats = folder.settle() if n_open else (before, 0)
    n_done = int(is_among(wanted, after).sum())
    if n_done < len(wanted):
        raise RuntimeError(
            f"{len(wanted) - n_done} of {len(wanted)} keys of {opened.name!r} are not in {folder.location!r}; "
            "call again to add them. If they are missing again, the source gives other keys each time."
        )
    return JobReport(
        n_rows=len(wanted),
        n_before=n_before,
        n_new=n_done - n_before,
        n_errors=folder.n_errors(),
        n_repeats_dropped=n_dropped + n_repeats,
        n_others=len(after) - n_done,
    )


def _actor_options(concurrency, num_cpus, num_gpus):
    """Options of `map_batches` for the actors, and their number to begin with."""
    import ray

    if num_cpus <= 0:
        raise ValueError(f"num_cpus={num_cpus}, but an actor needs CPUs; a fraction will do.")
    if not ray.is_initialized():
        ray.init()
    resources = ray.cluster_resources()
    n_cpus, n_gpus = resources.get("CPU", 0), resources.get("GPU", 0)
    if num_gpus is None:
        num_gpus = 1 if n_gpus else 0
    if concurrency is None:
        concurrency = max(1, min(_places(num_cpus, num_gpus), int((n_cpus - 1) // num_cpus)))
    least, most = concurrency if isinstance(concurrency, tuple) else (concurrency, concurrency)
    if least * num_cpus + 1 > n_cpus:
        raise ValueError(
            f"{least} actors of {num_cpus} CPUs leave no CPU for reading and writing: the cluster has "
            f"{n_cpus:g}. Lower concurrency or num_cpus."
        )
    options = {
        # Few tasks in advance: they are repeated when an actor is lost.
        "compute": ray.data.ActorPoolStrategy(min_size=least, max_size=most, max_tasks_in_flight_per_actor=2),
        "num_cpus": num_cpus,
        "num_gpus": num_gpus,
        "max_task_retries": _MAX_TASK_RETRIES,
    }
    return options, least


def _places(num_cpus, num_gpus):
    """How many actors the machines of a cluster have room for."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    by_cpus = [node.get("CPU", 0) // num_cpus for node in nodes]
    by_gpus = [node.get("GPU", 0) // num_gpus for node in nodes] if num_gpus else by_cpus
    return int(sum(map(min, by_cpus, by_gpus)))


def _write_part(batch, folder):
    import pyarrow as pa

    if len(batch):
        folder.write_part(batch)
    return pa.table({"n_rows": [len(batch)]})


def _describe_encoder(encoder):
    """What embeddings depend on, apart from the images."""
    encoder._validate_params()
    # A wrong name is an error here, not in actors that cannot start.
    encoder._embedding_width()
    source = encoder._source()
    description = {"precision": encoder.precision, "normalize": bool(encoder.normalize)}
    if source.files:
        # By content: a model may lie elsewhere next time, and another may lie here.
        description["files"] = {Path(path).name: digest for path, digest in source.files}
    else:
        description["name"] = str(source)
    return description
