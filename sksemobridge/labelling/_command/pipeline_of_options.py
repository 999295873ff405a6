"""The pipeline that options ask for: of models, of embeddings of the user, or of an earlier run."""

import os
from pathlib import Path

import joblib
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ... import ImagePipeline, make_few_shot_pipeline, trusted_types
from ...encoders import ImageEncoder
from .._messages import UsageError, naming, print_message
from .._photos.embeddings_file import EmbeddingsOfFile, read_embeddings, text_encoder_of
from .._photos.folder_pipeline import pipeline_of
from .._photos.folder_table import image_pipeline
from .options import MODEL


def pipeline_of_options(options, paths):
    """The pipeline that the options ask for. `paths` are the files that it will embed."""
    if options.model_file is not None:
        return _saved_pipeline(options, paths)
    if options.embeddings is not None:
        return pipeline_of_embeddings(options)
    pipeline = pipeline_of_models(options.model, _cache_folder(options), progress=True)
    return _with_all_read(pipeline, options, paths)


def pipeline_of_models(models, cache, *, progress):
    """The pipeline of these models, or of the usual model, before it is fitted."""
    first, *more = [(name, "auto") for name in models or [MODEL]]
    model = ([first, *more],) if more else first
    return make_few_shot_pipeline(*model, encoder_params={"cache": cache, "progress": progress})


def pipeline_of_embeddings(options):
    """The pipeline from a file of embeddings, before it is fitted."""
    content = read_embeddings(options.embeddings, options.photos)
    text_encoder = text_encoder_of(content, *options.model)
    return pipeline_of(EmbeddingsOfFile(content.path, options.photos), text_encoder)


def _saved_pipeline(options, paths):
    """The fitted pipeline of `--model-file`."""
    path = options.model_file
    with naming("--model-file"):
        open(path, "rb").close()
    try:
        if Path(path).suffix.lower() == ".joblib":
            estimator = joblib.load(path)
        else:
            import skops.io

            estimator = skops.io.load(path, trusted=trusted_types())
        estimator = getattr(estimator, "best_estimator_", estimator)
        takes_embeddings = not isinstance(estimator, Pipeline) and is_classifier(estimator)
        if takes_embeddings:
            check_is_fitted(estimator)
        else:
            pipeline = image_pipeline(estimator)
    # Files that --save did not write raise errors of all kinds.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UsageError(f"--model-file: {path!r} cannot be used: {reason}") from error
    if takes_embeddings:
        pipeline = _on_embeddings(estimator, options)
    elif options.embeddings is not None:
        raise UsageError(
            f"--embeddings: {path!r} has an encoder of images; leave --embeddings out, or give a"
            " classifier of embeddings"
        )
    if options.alpha and not hasattr(pipeline[-1], "p_values"):
        raise UsageError(
            f"--alpha: the {type(pipeline[-1]).__name__} of --model-file has no p-values"
        )
    if "cache" in pipeline[0].get_params():
        pipeline[0].set_params(cache=_cache_folder(options))
    return _with_all_read(pipeline, options, paths)


def _on_embeddings(classifier, options):
    """The pipeline of a saved classifier that takes the embeddings of a file."""
    path, width = options.model_file, classifier.n_features_in_
    if options.embeddings is None:
        raise UsageError(
            f"--model-file: {path!r} is a classifier of embeddings; give --embeddings with those of"
            " PHOTOS, by the same model"
        )
    content = read_embeddings(options.embeddings, options.photos)
    if content.images.shape[1] != width:
        raise UsageError(
            f"--embeddings: {content.path!r} has rows of {content.images.shape[1]} numbers, and"
            f" {path!r} learnt from rows of {width}; give embeddings by the same model"
        )
    encoder = EmbeddingsOfFile(content.path, options.photos)
    return ImagePipeline([("encoder", encoder), ("classifier", classifier)])


def _with_all_read(pipeline, options, paths):
    """The pipeline, which reads all of these files with `--read-all`."""
    if options.read_all and isinstance(pipeline[0], ImageEncoder):
        pipeline[0].forget_files(paths)
    return pipeline


def _cache_folder(options):
    """The folder that keeps embeddings between runs, in the user's folder for caches. "memory" if
    no folder is wanted, or if the folder cannot be made.
    """
    if options.no_cache:
        return "memory"
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches, "sksemobridge", "embeddings")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # the latter if there is no home folder
        print_message(f"Note: Embeddings are not kept for the next run: {error}.")
        return "memory"
    print_message(f"Embeddings are kept in {str(folder)!r}.")
    return folder
