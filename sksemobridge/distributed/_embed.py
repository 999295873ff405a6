"""Images to embeddings, one batch of a Ray dataset at a time."""

import warnings

import numpy as np
from sklearn.base import clone

from ..encoders import ImageReadError
from ._columns import fixed_size_lists, without
from ._trial import TrialReader, actor_was_restarted

# Rows for which an actor that was restarted is careful: more than the two tasks that it can have been given
# before it died.
_CAREFUL_ROWS = 20_000


class EmbedImages:
    """Embed a column of images, for `ray.data.Dataset.map_batches` with `batch_format="pyarrow"`.

    Each actor loads the model once. An image that cannot be read is a row with a null embedding and the reason
    in the column `error`, which is null in all other rows.

    An actor that Ray started again after its process had died, of too little memory for instance, reads the
    next 20,000 images in a child process of limited memory first. An image that ends the child is
    such a row too, so that it does not end one actor after the other.

    Parameters
    ----------
    encoder : CLIPImageEncoder
        Its `on_error` and `progress` have no effect here.
    image_column : str, default="image"
        Paths, encoded bytes or uint8 pixels.
    dtype : {"float32", "float16"}, default="float32"
        Of the column `embedding` in the result.
    keep : list of str or None, default=None
        Columns that are kept; by default all but the images.

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
        # Loads the model, so that one that cannot be had is an error at once.
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
        others = without(batch, self.image_column, "embedding", "error")
        table = others if self.keep is None else batch.select(self.keep)
        valid = [error is None for error in errors]
        table = table.append_column("embedding", fixed_size_lists(embeddings, valid))
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
            # A file that came while the batch was read.
            return embedding, None
        return 0, f"its embedding has values that are no numbers in {self.dtype}"

    def _as_dtype(self, embeddings):
        with np.errstate(over="ignore"):
            return embeddings.astype(self.dtype)

    def _set_aside(self, images):
        """Why images must not be read by this process, or None."""
        if self._careful_rows <= 0:
            return [None] * len(images)
        self._careful_rows -= len(images)
        with TrialReader() as trial:
            return [trial.reason_against(image) for image in images]


def _strings(values):
    import pyarrow as pa

    return pa.array(values, pa.string())
