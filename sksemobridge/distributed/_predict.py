"""Embeddings or images to predictions, one batch of a Ray dataset at a time."""

import numpy as np
from sklearn.pipeline import Pipeline

from ..encoders import CLIPImageEncoder
from ._columns import fixed_size_lists, without
from ._embed import EmbedImages


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
        Of images or embeddings, by default `"image"` or `"embedding"`.
    probabilities : bool, default=False
        Whether to give the probabilities of all classes.
    top_k : int or None, default=None
        Give this many most likely labels with their probabilities, the most likely first.
    keep : list of str or None, default=None
        Columns that are kept; by default all but the embeddings or images.

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
        import pyarrow as pa

        embeddings, errors = self._embed.embed(batch)
        valid = np.array([error is None for error in errors], dtype=bool)
        table = without(batch, self._column, "error") if self._keep is None else batch.select(self._keep)
        for name, column in self._predict(embeddings, valid).items():
            table = table.append_column(name, [column])
        return table.append_column("error", [pa.array(errors, pa.string())])

    def _predict(self, embeddings, valid):
        import pyarrow as pa

        classes = self._classifier.classes_
        # The type comes from the classes, so that it does not depend on which labels a batch has.
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
            columns["probabilities"] = fixed_size_lists(probabilities, valid)
        if self._top_k is not None:
            best = np.argsort(-probabilities, axis=1, kind="stable")[:, : self._top_k]
            labels = values.take(pa.array(best.reshape(-1)))
            columns["top_labels"] = pa.FixedSizeListArray.from_arrays(
                labels, self._top_k, mask=pa.array(~valid)
            )
            columns["top_probabilities"] = fixed_size_lists(
                np.take_along_axis(probabilities, best, axis=1), valid
            )
        return columns


def takes_images(estimator):
    """Whether an estimator is a pipeline that begins with an image encoder."""
    return isinstance(estimator, Pipeline) and isinstance(estimator[0], CLIPImageEncoder)


def check_top_k(top_k, classifier):
    """Raise a `ValueError` where there are not so many classes."""
    if top_k is not None and not 1 <= top_k <= len(classifier.classes_):
        raise ValueError(f"top_k={top_k}, but there are {len(classifier.classes_)} classes.")


class _ReadEmbeddings:
    """Takes embeddings from a column, with the errors that stand beside them."""

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
