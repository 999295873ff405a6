"""Batches of a Ray dataset: images to embeddings, and either to predictions."""

import warnings

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ..encoders import CLIPImageEncoder, ImageReadError
from ._sandbox import Sandbox, actor_was_restarted

# How many rows a restarted actor reads in the sandbox first: more than the two tasks that its predecessor can have
# held.
_CAREFUL_ROWS = 20_000


class EmbedImages:
    """Embed a column of images, for `ray.data.Dataset.map_batches` with `batch_format="pyarrow"`.

    Each actor loads the model once. An image that cannot be read is a row with a null embedding and the reason
    in the column `error`, which is null in all other rows.

    When an actor dies, of too little memory for instance, Ray starts it again. It then reads the next 20,000
    images in a child process of limited memory first, and an image that ends the child becomes a row with an
    error, too. So one image cannot end one actor after the other.

    Parameters
    ----------
    encoder : CLIPImageEncoder
        Its `on_error` and `progress` are ignored.
    image_column : str, default="image"
        Paths, encoded bytes or uint8 pixels.
    dtype : {"float32", "float16"}, default="float32"
        Of the column `embedding` in the result.
    keep : list of str or None, default=None
        Columns to keep; by default all but the images.

    See Also
    --------
    embed_dataset : From files to files, resumable.

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

    >>> import ray  # doctest: +SKIP
    >>> dataset.map_batches(
    ...     EmbedImages,
    ...     fn_constructor_args=[encoder],
    ...     batch_format="pyarrow",
    ...     batch_size=1024,
    ...     compute=ray.data.ActorPoolStrategy(size=4),
    ... )  # doctest: +SKIP
    """

    def __init__(self, encoder, *, image_column="image", dtype="float32", keep=None):
        self.image_column = image_column
        self.dtype = np.dtype(dtype)
        self.keep = keep
        self._encoder = clone(encoder).set_params(on_error="nan", progress=False)
        self._strict = clone(self._encoder).set_params(on_error="raise")
        # Loads the model, so that a missing one is an error at once.
        self._encoder.transform([])
        self._careful_rows = _CAREFUL_ROWS if actor_was_restarted() else 0

    def __call__(self, batch):
        """The batch with embeddings and errors in place of images.

        Parameters
        ----------
        batch : pyarrow.Table of n rows

        Returns
        -------
        pyarrow.Table of n rows
        """
        embeddings, errors = self.embed(batch)
        others = _without(batch, self.image_column, "embedding", "error")
        table = others if self.keep is None else batch.select(self.keep)
        valid = [error is None for error in errors]
        table = table.append_column("embedding", _fixed_size_lists(embeddings, valid))
        return table.append_column("error", [_strings(errors)])

    def embed(self, batch):
        """Embeddings `(n, D)` of the images of a batch, and for each the reason why it has none, or None."""
        images = batch[self.image_column].to_pylist()
        errors = self._set_aside(images)
        rows = [row for row, error in enumerate(errors) if error is None]
        found, reasons = self._transform([images[row] for row in rows])
        embeddings = np.zeros((len(images), found.shape[1]), dtype=self.dtype)
        embeddings[rows] = found
        for row, reason in zip(rows, reasons):
            errors[row] = reason
        return embeddings, errors

    def _transform(self, images):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*cannot be read and have rows of NaN")
            embeddings = self._as_dtype(self._encoder.transform(images))
        reasons = [None] * len(images)
        for row in np.flatnonzero(~np.isfinite(embeddings).all(axis=1)):
            embeddings[row], reasons[row] = self._read_again(images[row])
        return embeddings, reasons

    def _read_again(self, image):
        try:
            embedding = self._as_dtype(self._strict.transform([image])[0])
        except ImageReadError as error:
            return 0, str(error.__cause__)
        if np.isfinite(embedding).all():
            # The file appeared after the first look.
            return embedding, None
        return 0, f"its embedding has values that are no numbers in {self.dtype}"

    def _as_dtype(self, embeddings):
        with np.errstate(over="ignore"):
            return embeddings.astype(self.dtype)

    def _set_aside(self, images):
        """For each image the reason why this process must not read it, or None."""
        if self._careful_rows <= 0:
            return [None] * len(images)
        self._careful_rows -= len(images)
        with Sandbox() as sandbox:
            return [sandbox.reason_against(image) for image in images]


class Predict:
    """Predict from a column of embeddings or of images, for `ray.data.Dataset.map_batches`.

    Use `batch_format="pyarrow"`. The result has the columns `label`, on request `probabilities` (float32, in
    the order of `estimator.classes_`), `top_labels` and `top_probabilities`, and `error`. A row without
    embedding has nulls and the reason.

    Parameters
    ----------
    estimator : fitted classifier or Pipeline
        A pipeline that begins with a `CLIPImageEncoder` predicts from images, and each actor loads its model
        once; all others predict from embeddings.
    column : str or None, default=None
        Column with images or embeddings, by default `"image"` or `"embedding"`.
    probabilities : bool, default=False
        Whether to give the probabilities of all classes.
    top_k : int or None, default=None
        Give this many most likely labels with their probabilities, the most likely first.
    keep : list of str or None, default=None
        Columns to keep; by default all but the embeddings or images.

    See Also
    --------
    predict_dataset : From files to files, resumable.

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
        if takes_images(estimator):
            self._column = column or "image"
            self._embed = EmbedImages(estimator[0], image_column=self._column)
            self._classifier = estimator[1:]
        else:
            self._column = column or "embedding"
            self._embed = _ReadEmbeddings(self._column)
            self._classifier = estimator
        check_top_k(top_k, self._classifier)
        self._probabilities = probabilities
        self._top_k = top_k
        self._keep = keep

    def __call__(self, batch):
        """The batch with predictions in place of embeddings or images.

        Parameters
        ----------
        batch : pyarrow.Table of n rows

        Returns
        -------
        pyarrow.Table of n rows
        """
        embeddings, errors = self._embed.embed(batch)
        valid = np.array([error is None for error in errors], dtype=bool)
        table = _without(batch, self._column, "error") if self._keep is None else batch.select(self._keep)
        for name, column in self._predict(embeddings, valid).items():
            table = table.append_column(name, [column])
        return table.append_column("error", [_strings(errors)])

    def _predict(self, embeddings, valid):
        import pyarrow as pa

        classes = self._classifier.classes_
        # From all classes, so that the type does not depend on the labels of one batch.
        values = pa.array(classes.tolist())
        X, anything = embeddings[valid], valid.any()
        codes = np.searchsorted(classes, self._classifier.predict(X)) if anything else []
        columns = {"label": values.take(_spread(codes, valid))}
        if not self._probabilities and self._top_k is None:
            return columns
        probabilities = np.zeros((len(valid), len(classes)), dtype=np.float32)
        if anything:
            probabilities[valid] = self._classifier.predict_proba(X)
        if self._probabilities:
            columns["probabilities"] = _fixed_size_lists(probabilities, valid)
        if self._top_k is not None:
            best = np.argsort(-probabilities, axis=1, kind="stable")[:, : self._top_k]
            labels = values.take(pa.array(best.reshape(-1)))
            columns["top_labels"] = pa.FixedSizeListArray.from_arrays(
                labels, self._top_k, mask=pa.array(~valid)
            )
            columns["top_probabilities"] = _fixed_size_lists(
                np.take_along_axis(probabilities, best, axis=1), valid
            )
        return columns


def takes_images(estimator):
    """Whether an estimator is a pipeline that begins with an image encoder."""
    return isinstance(estimator, Pipeline) and isinstance(estimator[0], CLIPImageEncoder)


def check_top_k(top_k, classifier):
    """Raise a `ValueError` if there are fewer classes."""
    if top_k is not None and not 1 <= top_k <= len(classifier.classes_):
        raise ValueError(f"top_k={top_k}, but there are {len(classifier.classes_)} classes.")


class _ReadEmbeddings:
    """Reads embeddings from a column, and errors from the column `error`."""

    def __init__(self, column):
        self._column = column

    def embed(self, batch):
        import pyarrow.compute as pc

        column = batch[self._column]
        errors = [None] * len(batch)
        known = batch["error"].to_pylist() if "error" in batch.column_names else errors
        there = column.is_valid().to_numpy()
        widths = pc.unique(pc.list_value_length(column.drop_null())).to_pylist()
        if len(widths) > 1:
            raise ValueError(f"The column {self._column!r} has vectors of different lengths: {widths[:5]}.")
        embeddings = np.zeros((len(batch), widths[0] if widths else 0), dtype=np.float32)
        embeddings[there] = pc.list_flatten(column).to_numpy().reshape(there.sum(), embeddings.shape[1])
        for row in np.flatnonzero(~there):
            errors[row] = known[row] or "there is no embedding"
        for row in np.flatnonzero(~np.isfinite(embeddings).all(axis=1)):
            errors[row] = "its embedding has values that are no numbers"
        return embeddings, errors


def _spread(codes, valid):
    """Codes of valid rows as an Arrow array over all rows, null in the others."""
    import pyarrow as pa

    spread = np.zeros(len(valid), dtype=np.int64)
    spread[valid] = codes
    return pa.array(spread, mask=~valid)


def _without(table, *names):
    """A table without some columns, which it need not have."""
    return table.drop_columns([name for name in names if name in table.column_names])


def _fixed_size_lists(values, valid):
    """A column of vectors, null where they are not valid.

    Parameters
    ----------
    values : ndarray of shape (n, D)
    valid : sequence of n bool

    Returns
    -------
    pyarrow.FixedSizeListArray
    """
    import pyarrow as pa

    mask = pa.array(~np.asarray(valid, dtype=bool))
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=mask)


def _strings(values):
    import pyarrow as pa

    return pa.array(values, pa.string())
