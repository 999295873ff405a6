"""A run of the command: from its options to the files that it writes."""

import os
from dataclasses import replace
from pathlib import Path

import joblib

from .._utils.saving import trusted_types
from ..datasets._folder import list_files
from .clicks import Clicks
from .folder_job import FolderLabels
from .folder_table import image_pipeline, label_files
from .messages import UsageError, naming, say
from .read_folder import folder_job, folder_pipeline, read_given
from .sort_into import earlier_copies
from .write_files import check_file, check_outputs, write_files


def run(options):
    """Label the folder, and return the exit status and lines for the person."""
    options.check()
    if options.open and options.labels is None:
        options = replace(options, labels=os.fspath(Path(options.out).with_suffix(".clicks.csv")))
    clicks = _clicks(options)
    check_outputs(options, clicks)
    if options.sort_into is not None:
        earlier_copies(options.photos, Path(options.sort_into))
    if options.model_file is not None:
        pipeline = _load(options)
        with naming("PHOTOS", ValueError):
            list_files(options.photos)
        pipeline[0].set_params(cache=cache_folder(options))
        labels = FolderLabels(pipeline, *label_files(pipeline, options.photos, options.alpha))
        return write_files(options, clicks, None, labels)
    if not options.open:
        job = _job(options, clicks)
        labels = job.fit(job.corrections | job.clicked, evaluate=True)
        return write_files(options, clicks, job, labels)
    clicks.begin()
    try:
        from .report._server import serve
        from .report._session import Session

        job = _job(options, clicks)
        session = Session(job, clicks)

        def finish():
            labels = job.fit(dict(session.said), evaluate=True)
            return write_files(options, clicks, job, labels, session.evidence())

        return serve(session, finish, f"Label {options.photos}", say)
    finally:
        clicks.end()


def _job(options, clicks):
    given = read_given(options, clicks)
    pipeline = folder_pipeline(options.model, cache_folder(options))
    return folder_job(options, given, pipeline, progress=True)


def _clicks(options):
    """The file of `--labels`, or None."""
    if options.labels is None:
        return None
    check_file("labels", options.labels)
    # With --overwrite, the table would take the place of the clicks.
    if os.path.realpath(options.labels) == os.path.realpath(options.out):
        raise UsageError("--labels: --out is the same file; give another name")
    if not options.open and not os.path.exists(options.labels):
        raise UsageError(
            f"--labels: there is no file {options.labels!r}, and without --open none is begun"
        )
    return Clicks(options.labels)


def cache_folder(options):
    """The folder that keeps embeddings between runs, in the user's folder for caches. "memory" if
    none is wanted, or if it cannot be made.
    """
    if options.no_cache:
        return "memory"
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches, "sksemobridge", "embeddings")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # the latter if there is no home folder
        say(f"Note: Embeddings are not kept for the next run: {error}.")
        return "memory"
    say(f"Embeddings are kept in {str(folder)!r}.")
    return folder


def _load(options):
    """The pipeline of --model-file."""
    path = options.model_file
    check_file("model_file", path)
    try:
        if Path(path).suffix.lower() == ".joblib":
            estimator = joblib.load(path)
        else:
            import skops.io

            estimator = skops.io.load(path, trusted=trusted_types())
        pipeline = image_pipeline(estimator)
    # Files that --save did not write raise errors of all kinds.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UsageError(f"--model-file: {path!r} cannot be used: {reason}") from error
    if options.alpha and not hasattr(pipeline[-1], "p_values"):
        raise UsageError(
            f"--alpha: the {type(pipeline[-1]).__name__} of --model-file has no p-values"
        )
    return pipeline
