"""Steps for batches of a Ray dataset: from images to embeddings, and from either to predictions."""

import warnings
from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..encoders import ImageEncoder, ImageReadError, JoinedImageEncoder
from ..encoders._image_encoder import READING_VERSION


class EmbedImages:
    """Embed a column of images, for `run_job`, or for `ray.data.Dataset.map_batches` with `batch_format="pyarrow"`.

    The images are replaced by the columns `embedding` and `error`. If an image cannot be read, its embedding is null, and
    `error` has the reason. Else `error` is null. Each process loads the model once. How many of their 16 bits pictures use is
    decided for each batch, if they do not say it.

    Parameters
    ----------
    encoder : CLIPImageEncoder
        Its `on_error` and `progress` have no effect.
    column : str, default="image"
        Column with paths, encoded bytes or uint8 pixels.
    dtype : {"float32", "float16"}, default="float32"
        Type of the embeddings.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from sksemobridge import CLIPImageEncoder
    >>> from sksemobridge.distributed import EmbedImages
    >>> embed = EmbedImages(CLIPImageEncoder("mini", pretrained="bundled"))
    >>> embed(pa.table({"id": [7], "image": ["missing.jpg"]})).to_pylist()
    [{'id': 7, 'embedding': None, 'error': 'there is no such file'}]
    """

    takes_images = True
    # Columns to keep; None for all but the images.
    keep = None

    def __init__(self, encoder, *, column="image", dtype="float32"):
        self.column = column
        self._dtype = np.dtype(dtype)
        self._encoder = clone(encoder).set_params(on_error="nan", progress=False)
        self._encoder.set_output(transform="default")

    def __call__(self, batch):
        """A table with embeddings and errors in place of images."""
        embeddings, errors = self.embed(batch[self.column].to_pylist())
        return _result(self, batch, {"embedding": _vectors(embeddings)}, errors)

    def embed(self, images):
        """The embeddings of readable images, and for each image None or the reason why it has no embedding."""
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
            embeddings = embeddings.astype(self._dtype)
        is_good = np.isfinite(embeddings).all(axis=1)
        problem = f"its embedding has values that are no numbers in {self._dtype}"
        errors[~is_good & np.equal(errors, None)] = problem
        return embeddings[is_good], errors

    def describe(self):
        """All that results depend on, apart from the images. A wrong parameter or name of the encoder is an error."""
        clone(self._encoder).fit().get_feature_names_out()
        encoders = (
            self._encoder.encoders if isinstance(self._encoder, JoinedImageEncoder) else [self._encoder]
        )
        models = []
        for encoder in encoders:
            source = encoder._source()
            # Local files count by content: next time, the model may lie elsewhere, and another one here.
            files = {Path(path).name: digest for path, digest in source.files} or str(source)
            models.append([files, encoder.precision, bool(encoder.normalize)])
        return {"models": models, "reading": READING_VERSION, "dtype": str(self._dtype)}


class Predict:
    """Predict from a column of embeddings or images, for `run_job` or `ray.data.Dataset.map_batches`, as `EmbedImages`.

    The column is replaced by the columns `label` and `error`, and on request `probabilities` (float32, in the order of
    `estimator.classes_`), `top_labels` and `top_probabilities`. In a row without an embedding they are null, and
    `error` has the reason.

    Parameters
    ----------
    estimator : fitted classifier or Pipeline
        A pipeline that begins with a `CLIPImageEncoder` predicts from images, all others from embeddings.
    column : str or None, default=None
        Column with images (by default `"image"`) or embeddings (by default `"embedding"`).
    probabilities : bool, default=False
        Whether the result has the probabilities of all classes.
    top_k : int or None, default=None
        Number of most probable labels in the result, with their probabilities. The most probable comes first.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sksemobridge.distributed import Predict
    >>> classifier = KNeighborsClassifier(1).fit([[0.0, 1.0], [1.0, 0.0]], ["up", "right"])
    >>> predict = Predict(classifier)
    >>> predict(pa.table({"id": [7, 8], "embedding": [[0.1, 0.9], None]})).to_pylist()
    [{'id': 7, 'label': 'up', 'error': None}, {'id': 8, 'label': None, 'error': 'there is no embedding'}]
    """

    keep = None

    def __init__(self, estimator, *, column=None, probabilities=False, top_k=None):
        check_is_fitted(estimator)
        if top_k is not None and not 1 <= top_k <= len(estimator.classes_):
            raise ValueError(f"top_k={top_k}, but there are {len(estimator.classes_)} classes.")
        self.takes_images = isinstance(estimator, Pipeline) and isinstance(estimator[0], ImageEncoder)
        self.column = column or ("image" if self.takes_images else "embedding")
        self._embed = EmbedImages(estimator[0]) if self.takes_images else None
        self._classifier = estimator[1:] if self.takes_images else estimator
        self._probabilities = probabilities
        self._top_k = top_k

    def __call__(self, batch):
        """A table with predictions and errors in place of embeddings or images."""
        if self.takes_images:
            embeddings, errors = self._embed.embed(batch[self.column].to_pylist())
        else:
            embeddings, errors = _read_embeddings(batch, self.column)
        return _result(self, batch, self._predict(embeddings), errors)

    def describe(self):
        """All that results depend on, apart from images or embeddings."""
        model = {"classifier": joblib.hash(self._classifier), "classes": self._classifier.classes_.tolist()}
        encoder = self._embed.describe() if self._embed else {}
        return {**encoder, **model, "probabilities": self._probabilities, "top_k": self._top_k}

    def _predict(self, X):
        classes, n_classes = self._classifier.classes_, len(self._classifier.classes_)
        # Made of all classes, so that the type does not depend on the labels of one batch.
        values = pa.array(classes)
        # scikit-learn refuses to predict nothing.
        codes = np.searchsorted(classes, self._classifier.predict(X)) if len(X) else np.zeros(0, int)
        columns = {"label": values.take(pa.array(codes))}
        if self._probabilities or self._top_k:
            probabilities = self._classifier.predict_proba(X) if len(X) else np.zeros((0, n_classes))
            probabilities = probabilities.astype(np.float32)
        if self._probabilities:
            columns["probabilities"] = _vectors(probabilities)
        if self._top_k:
            best = np.argsort(-probabilities, axis=1, kind="stable")[:, : self._top_k]
            labels = values.take(pa.array(best.reshape(-1)))
            columns["top_labels"] = pa.FixedSizeListArray.from_arrays(labels, self._top_k)
            columns["top_probabilities"] = _vectors(np.take_along_axis(probabilities, best, axis=1))
        return columns


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


def _result(step, batch, columns, errors):
    """The columns that a step keeps, `columns` with nulls in rows with an error, and errors."""
    replaced = (step.column, *columns, "error")
    keep = [name for name in batch.column_names if name not in replaced] if step.keep is None else step.keep
    table, valid = batch.select(keep), np.equal(errors, None)
    rows = pa.array(np.cumsum(valid) - 1, mask=~valid)
    for name, values in columns.items():
        table = table.append_column(name, values.take(rows))
    return table.append_column("error", pa.array(errors, pa.string()))


def _vectors(values):
    """The rows of an array `(n, D)` as lists of fixed size."""
    return pa.FixedSizeListArray.from_arrays(values.reshape(-1), values.shape[1])
