"""Steps for batches of a Ray dataset: from images to embeddings, and from either to predictions."""

import warnings
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ..encoders import ImageEncoder, ImageReadError


class EmbedImages:
    """Embed a column of images, for `ray.data.Dataset.map_batches` with `batch_format="pyarrow"`.

    Each actor loads the model once. The result has as many rows as the input, with the columns `embedding` and `error`.
    If an image cannot be read, its embedding is null, and `error` has the reason. Else `error` is null.

    Parameters
    ----------
    encoder : CLIPImageEncoder
        Its `on_error`, `progress` and `output` have no effect.
    image_column : str, default="image"
        Paths, encoded bytes or uint8 pixels.
    dtype : {"float32", "float16"}, default="float32"
        Type of the embeddings.
    keep : list of str or None, default=None
        Columns to keep. By default these are all except the images.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from sksemobridge import CLIPImageEncoder
    >>> from sksemobridge.distributed import EmbedImages
    >>> embed = EmbedImages(CLIPImageEncoder("mini", pretrained="bundled"))
    >>> table = embed(pa.table({"id": [7], "image": ["missing.jpg"]}))
    >>> table.to_pylist()
    [{'id': 7, 'embedding': None, 'error': 'there is no such file'}]

    In a pipeline of Ray Data:

    >>> actors = ray.data.ActorPoolStrategy(size=4)  # doctest: +SKIP
    >>> options = {"batch_format": "pyarrow", "batch_size": 1024, "compute": actors}  # doctest: +SKIP
    >>> dataset.map_batches(EmbedImages, fn_constructor_args=[encoder], **options)  # doctest: +SKIP
    """

    def __init__(self, encoder, *, image_column="image", dtype="float32", keep=None):
        self.image_column = image_column
        self.dtype = np.dtype(dtype)
        self.keep = keep
        self._encoder = clone(encoder).set_params(on_error="nan", progress=False, output="numpy")
        self._encoder.set_output(transform="default")
        # Loads the model, so that a missing one is an error at once.
        self._encoder.transform([])

    def __call__(self, batch):
        """A table with embeddings and errors in place of images."""
        embeddings, errors = self.embed(batch)
        return _result(batch, self.keep, self.image_column, {"embedding": _vectors(embeddings)}, errors)

    def embed(self, batch):
        """The embeddings of readable images, and for each image None or the reason why it has no embedding."""
        images = batch[self.image_column].to_pylist()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*cannot be read and have rows of NaN")
            embeddings = self._encoder.transform(images)
        errors, strict = np.full(len(images), None), clone(self._encoder).set_params(on_error="raise")
        for row in np.flatnonzero(~np.isfinite(embeddings).all(axis=1)):
            try:
                # Its file may be there by now.
                embeddings[row] = strict.transform([images[row]])[0]
            except ImageReadError as error:
                errors[row] = str(error.__cause__)
        with np.errstate(over="ignore"):
            embeddings = embeddings.astype(self.dtype)
        is_good = np.isfinite(embeddings).all(axis=1)
        problem = f"its embedding has values that are no numbers in {self.dtype}"
        errors[~is_good & np.equal(errors, None)] = problem
        return embeddings[is_good], errors


class Predict:
    """Predict from a column of embeddings or images, for `ray.data.Dataset.map_batches` with `batch_format="pyarrow"`.

    The result has the columns `label` and `error`, and on request `probabilities` (float32, in the order of
    `estimator.classes_`), `top_labels` and `top_probabilities`. In a row without an embedding they are null, and
    `error` has the reason.

    Parameters
    ----------
    estimator : fitted classifier or Pipeline
        A pipeline that begins with a `CLIPImageEncoder` predicts from images. Each actor loads its model once. All
        others predict from embeddings.
    column : str or None, default=None
        Column with images (by default `"image"`) or embeddings (by default `"embedding"`).
    probabilities : bool, default=False
        Whether the result has the probabilities of all classes.
    top_k : int or None, default=None
        Number of most probable labels in the result, with their probabilities. The most probable comes first.
    keep : list of str or None, default=None
        Columns to keep. By default these are all except embeddings or images.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sksemobridge.distributed import Predict
    >>> classifier = KNeighborsClassifier(1).fit([[0.0, 1.0], [1.0, 0.0]], ["up", "right"])
    >>> predict = Predict(classifier, top_k=1)
    >>> predict(pa.table({"id": [7, 8], "embedding": [[0.1, 0.9], None]})).select(["id", "label"]).to_pylist()
    [{'id': 7, 'label': 'up'}, {'id': 8, 'label': None}]
    """

    def __init__(self, estimator, *, column=None, probabilities=False, top_k=None, keep=None):
        check_top_k(top_k, estimator)
        if takes_images(estimator):
            self._column = column or "image"
            self._embed = EmbedImages(estimator[0], image_column=self._column).embed
            self._classifier = estimator[1:]
        else:
            self._column = column or "embedding"
            self._embed = partial(_read_embeddings, name=self._column)
            self._classifier = estimator
        self._probabilities = probabilities
        self._top_k = top_k
        self._keep = keep

    def __call__(self, batch):
        """A table with predictions and errors in place of embeddings or images."""
        embeddings, errors = self._embed(batch)
        return _result(batch, self._keep, self._column, self._predict(embeddings), errors)

    def _predict(self, X):
        classes = self._classifier.classes_
        # Made of all classes, so that the type does not depend on the labels of one batch.
        values = pa.array(classes)
        # scikit-learn refuses to predict nothing.
        codes = np.searchsorted(classes, self._classifier.predict(X)) if len(X) else []
        columns = {"label": values.take(pa.array(codes, pa.int64()))}
        if not self._probabilities and self._top_k is None:
            return columns
        probabilities = np.zeros((len(X), len(classes)), dtype=np.float32)
        if len(X):
            probabilities[:] = self._classifier.predict_proba(X)
        if self._probabilities:
            columns["probabilities"] = _vectors(probabilities)
        if self._top_k is not None:
            best = np.argsort(-probabilities, axis=1, kind="stable")[:, : self._top_k]
            labels = values.take(pa.array(best.reshape(-1)))
            columns["top_labels"] = pa.FixedSizeListArray.from_arrays(labels, self._top_k)
            columns["top_probabilities"] = _vectors(np.take_along_axis(probabilities, best, axis=1))
        return columns


def takes_images(estimator):
    """Whether an estimator is a pipeline that begins with an image encoder."""
    return isinstance(estimator, Pipeline) and isinstance(estimator[0], ImageEncoder)


def check_top_k(top_k, classifier):
    """Raise a `ValueError` if there are fewer classes."""
    if top_k is not None and not 1 <= top_k <= len(classifier.classes_):
        raise ValueError(f"top_k={top_k}, but there are {len(classifier.classes_)} classes.")


def _read_embeddings(batch, name):
    """Embeddings and errors of a table, in the form of `EmbedImages.embed`."""
    column = batch[name]
    if isinstance(column.type, pa.BaseExtensionType):
        # Ray makes tensors of arrays of NumPy; Arrow holds them as lists.
        column = column.cast(column.type.storage_type)
    widths = pc.unique(pc.list_value_length(column.drop_null())).to_pylist() or [1]
    if len(widths) > 1:
        raise ValueError(f"The column {name!r} has vectors of different lengths: {widths[:5]}.")
    embeddings = pc.list_flatten(column).to_numpy().astype(np.float32).reshape(-1, widths[0])
    is_good = np.isfinite(embeddings).all(axis=1)
    known = batch["error"].to_pylist() if "error" in batch.column_names else [None] * len(batch)
    errors = np.array([error or "there is no embedding" for error in known], dtype=object)
    problem = "its embedding has values that are no numbers"
    errors[column.is_valid().to_numpy()] = np.where(is_good, None, problem)
    return embeddings[is_good], errors


def _result(batch, keep, replaced, columns, errors):
    """Columns `keep` of a batch (None: all but `replaced`), `columns` with nulls in rows with an error, and errors."""
    if keep is None:
        keep = [name for name in batch.column_names if name not in (replaced, *columns, "error")]
    table, valid = batch.select(keep), np.equal(errors, None)
    rows = pa.array(np.cumsum(valid) - 1, mask=~valid)
    for name, values in columns.items():
        table = table.append_column(name, values.take(rows))
    return table.append_column("error", pa.array(errors, pa.string()))


def _vectors(values):
    """The rows of an array `(n, D)` as lists of fixed size."""
    return pa.FixedSizeListArray.from_arrays(values.reshape(-1), values.shape[1])
