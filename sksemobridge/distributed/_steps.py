"""Steps for batches of a Ray dataset: from images to embeddings, and from embeddings to
predictions.
"""

from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.base import clone

from ..encoders import embed_images
from ..encoders._image_encoder import READING_VERSION


class EmbedImages:
    """Embed a column of images, for `run_job`, or for `ray.data.Dataset.map_batches` with
    `batch_format="pyarrow"`.

    The images are replaced by the columns `embedding` and `error`. If an image cannot be read, its
    embedding is null, and `error` has the reason. Each process loads the model once. The depth of
    16-bit pictures is chosen for each batch.

    Parameters
    ----------
    encoder : CLIPImageEncoder
        Encoder, whose `on_error` and `progress` have no effect.
    column : str, default="image"
        Column with paths, encoded bytes or uint8 pixels.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from sksemobridge import CLIPImageEncoder
    >>> from sksemobridge.distributed import EmbedImages
    >>> table = pa.table({"id": [7], "image": ["missing.jpg"]})
    >>> EmbedImages(CLIPImageEncoder("mini", "bundled"))(table).to_pylist()
    [{'id': 7, 'embedding': None, 'error': 'there is no such file'}]
    """

    def __init__(self, encoder, *, column="image"):
        self.column = column
        self._encoder = clone(encoder).set_params(progress=False).set_output(transform="default")

    def __call__(self, batch):
        images = batch[self.column].to_pylist()
        embeddings, problems = embed_images(self._encoder, images)
        errors = np.array([problems.get(row) for row in range(len(images))], dtype=object)
        columns = {"embedding": embeddings[np.equal(errors, None)]}
        return _result(batch, self.column, columns, errors)

    def describe(self):
        """All that results depend on, apart from the images.

        Returns
        -------
        dict
            Facts that two jobs must have in common to write into one folder.

        Raises
        ------
        ValueError, ModelLoadError
            If a parameter or the name of the model is wrong.
        """
        clone(self._encoder).fit().get_feature_names_out()
        models = []
        for encoder in getattr(self._encoder, "encoders", [self._encoder]):
            source = encoder._source()
            # Local files count by content: later, the model may lie elsewhere, and another model
            # here.
            files = {Path(path).name: digest for path, digest in source.files} or str(source)
            models.append([files, encoder.precision, bool(encoder.normalize)])
        return {"models": models, "reading": READING_VERSION}


class Predict:
    """Predict from a column of embeddings, for `run_job` or `ray.data.Dataset.map_batches`, as
    `EmbedImages`.

    The column is replaced by the columns `label` and `error`, and on request `probabilities`
    (float32, in the order of `estimator.classes_`). In a row without an embedding, these columns
    are null, and `error` has the reason.

    Parameters
    ----------
    estimator : fitted classifier
        Classifier of embeddings. From a pipeline with an image encoder, take `pipeline[-1]`.
    column : str, default="embedding"
        Column with embeddings.
    probabilities : bool, default=False
        Whether the result has the probabilities of all classes.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sksemobridge.distributed import Predict
    >>> classifier = KNeighborsClassifier(1).fit([[0.0, 1.0], [1.0, 0.0]], ["up", "right"])
    >>> table = pa.table({"id": [7, 8], "embedding": [[0.1, 0.9], None]})
    >>> for row in Predict(classifier)(table).to_pylist():
    ...     print(row)
    {'id': 7, 'label': 'up', 'error': None}
    {'id': 8, 'label': None, 'error': 'there is no embedding'}
    """

    def __init__(self, estimator, *, column="embedding", probabilities=False):
        self.column = column
        self._classifier = estimator
        self._probabilities = probabilities

    def __call__(self, batch):
        X, errors = _read_embeddings(batch, self.column)
        classes = self._classifier.classes_
        # scikit-learn refuses an empty X.
        codes = (
            np.searchsorted(classes, self._classifier.predict(X)) if len(X) else np.zeros(0, int)
        )
        # Labels are taken from all classes, so that the type does not depend on the labels of a
        # batch.
        columns = {"label": pa.array(classes).take(pa.array(codes))}
        if self._probabilities:
            probabilities = (
                self._classifier.predict_proba(X) if len(X) else np.zeros((0, len(classes)))
            )
            columns["probabilities"] = probabilities.astype(np.float32)
        return _result(batch, self.column, columns, errors)

    def describe(self):
        """All that results depend on, apart from the embeddings.

        Returns
        -------
        dict
            Facts that two jobs must have in common to write into one folder.
        """
        model = {
            "classifier": joblib.hash(self._classifier),
            "classes": self._classifier.classes_.tolist(),
        }
        return model | {"probabilities": self._probabilities}


def _read_embeddings(batch, name):
    """The embeddings of a table, and for each row None or the reason why it has no embedding."""
    column = batch[name]
    if isinstance(column.type, pa.BaseExtensionType):
        # Ray makes tensors of NumPy arrays, and Arrow holds tensors as lists.
        column = column.cast(column.type.storage_type)
    widths = pc.unique(pc.list_value_length(column.drop_null())).to_pylist() or [1]
    if len(widths) > 1:
        raise ValueError(f"The column {name!r} has vectors of different lengths: {widths[:5]}.")
    embeddings = pc.list_flatten(column).to_numpy().astype(np.float32).reshape(-1, widths[0])
    is_good = np.isfinite(embeddings).all(axis=1)
    given = batch["error"].to_pylist() if "error" in batch.column_names else [None] * len(batch)
    errors = np.array([error or "there is no embedding" for error in given], dtype=object)
    errors[column.is_valid().to_numpy()] = np.where(is_good, None, "its embedding is not finite")
    return embeddings[is_good], errors


def _result(batch, replaced, columns, errors):
    """A batch with `columns` in place of the column `replaced`, and with a column of errors. Rows
    with an error have nulls.
    """
    table = batch.select(
        [name for name in batch.column_names if name not in (replaced, *columns, "error")]
    )
    valid = np.equal(errors, None)
    rows = pa.array(np.cumsum(valid) - 1, mask=~valid)
    for name, values in columns.items():
        if isinstance(values, np.ndarray):
            # Lists have no fixed size, since Arrow 25 does not read lists of a fixed size with a
            # null from Parquet.
            ends = pa.array(np.arange(len(values) + 1) * values.shape[1], pa.int32())
            values = pa.ListArray.from_arrays(ends, values.ravel())
        table = table.append_column(name, values.take(rows))
    return table.append_column("error", pa.array(errors, pa.string()))
