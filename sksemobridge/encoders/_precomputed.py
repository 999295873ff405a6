"""Text embeddings that were computed elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from .._utils.array_api import l2_normalize, to_numpy
from .._utils.sklearn import Interval, prints_itself
from .._utils.threads import threads_for
from .._utils.validation import LARGEST_FACTOR, as_words, listed
from ._shared import TextEncoder, list_texts


@prints_itself
@dataclass(repr=False, eq=False)
class PrecomputedTextEncoder(TextEncoder):
    """Look up text embeddings that were computed elsewhere.

    If you have only final embeddings, use `from_joint`.

    Parameters
    ----------
    texts : sequence of n str
    eos : array-like of shape (n, d)
        Embeddings of the texts before the text projection.
    projection : array-like of shape (d, D) or None
        `W`, the text projection. `from_joint` sets it to None.
    projection_bias : array-like of shape (D,) or None, default=None
        `b_W`, if the model has a bias.
    logit_scale : float, default=100.0
        The factor of cosine similarities before the softmax, at most a million.

    Attributes
    ----------
    projection_, projection_bias_, logit_scale_
        The parameters. For `projection=None`, `projection_` is the identity.

    Examples
    --------
    >>> from sksemobridge import PrecomputedTextEncoder
    >>> eos, projection = [[1.0, 0.0], [0.0, 1.0]], [[2.0], [3.0]]
    >>> encoder = PrecomputedTextEncoder(["a cat", "a dog"], eos, projection)
    >>> encoder.transform(["a dog", "a cat"])
    array([[3.],
           [2.]])
    """

    _parameter_constraints = {
        "texts": ["array-like"],
        "eos": ["array-like"],
        "projection": ["array-like", None],
        "projection_bias": ["array-like", None],
        "logit_scale": [Interval(Real, 0, LARGEST_FACTOR, closed="right")],
    }

    texts: Sequence[str]
    eos: ArrayLike
    projection: ArrayLike | None
    _: KW_ONLY
    projection_bias: ArrayLike | None = None
    logit_scale: float = 100.0

    @classmethod
    def from_joint(
        cls, embeddings_by_class_name: Mapping[str, ArrayLike], *, logit_scale: float = 100.0
    ) -> Self:
        """Make an encoder from a text embedding of each class name, in the joint space of images
        and texts.

        `FewShotClassifier` needs no more. `SeMoBridgeClassifier`, and `SemanticBridge` without
        words, also need the projection `W`. Without `W`, both take the identity.

        Parameters
        ----------
        embeddings_by_class_name : mapping from str to array-like of shape (D,) or (p, D)
            One embedding of each name, or the embeddings of `p` prompts. `_` in a name is read as a
            space. A data frame of pandas has a column for each name.
        logit_scale : float, default=100.0
            See the class.

        Returns
        -------
        PrecomputedTextEncoder

        Raises
        ------
        ValueError
            If the embeddings have different widths.

        Examples
        --------
        >>> from sksemobridge import PrecomputedTextEncoder, ZeroShotClassifier
        >>> texts = {"cat": [1.0, 0.0], "dog": [[0.0, 1.0], [0.1, 0.9]]}
        >>> encoder = PrecomputedTextEncoder.from_joint(texts)
        >>> ZeroShotClassifier(encoder).fit(None, ["cat", "dog"]).predict([[0.9, 0.2]]).tolist()
        ['cat']
        """
        names, rows = list_texts(list(embeddings_by_class_name)), []
        for name in names:
            # Look up each name, because `values` of a data frame is an array.
            embeddings = embeddings_by_class_name[name]
            embeddings = _floats(embeddings, f"embeddings of {name!r}", ensure_2d=False)
            # Of several prompts, only the directions count, as in `_texts.encode`.
            rows.append(
                embeddings if embeddings.ndim == 1 else l2_normalize(embeddings).mean(axis=0)
            )
        if len({row.shape for row in rows}) != 1 or rows[0].ndim != 1:
            raise ValueError(
                "The embeddings must be vectors (D,) or matrices (p, D) of one width D."
            )
        return cls(names, np.stack(rows), None, logit_scale=logit_scale)

    def __repr__(self):
        # scikit-learn would print the embeddings, in each error about a classifier with them.
        texts = list(self.texts) if isinstance(self.texts, Iterable) else [self.texts]
        first = ", ".join(f"{text!r:.40}" for text in texts[:3])
        more = ", ..." if len(texts) > 3 else ""
        shape = getattr(self.eos, "shape", "given as a list")
        return f"{type(self).__name__}({len(texts)} texts: {first}{more}; eos {shape})"

    # Whether the texts are class names, so that no prompts are made from them.
    takes_class_names = property(lambda self: self.projection is None)

    def _embed(self, texts, project):
        self._validate_params()
        rows, eos, projection, bias = self._table()
        if project:
            # A user may have replaced `encode`.
            eos = self.encode(texts)
            with threads_for(eos.size * projection.shape[1]):
                return eos @ projection + (0 if bias is None else bias)
        texts = self._as_known(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in rows]
        if missing:
            raise ValueError(
                f"{len(missing)} of the texts are not among the {len(rows)} that were precomputed:"
                f" {listed(map(repr, missing), 3)}. Embed them too, or use CLIPTextEncoder."
            )
        return eos[[rows[text] for text in texts]]

    projection_ = property(lambda self: self._table()[2])
    projection_bias_ = property(lambda self: self._table()[3])

    @property
    def logit_scale_(self) -> float:
        self._validate_params()
        return float(self.logit_scale)

    def _as_known(self, texts):
        return list(map(as_words, texts)) if self.takes_class_names else texts

    def _table(self):
        """The row of each text, the embeddings, the projection and its bias, with checked
        shapes.
        """
        texts = self._as_known(list_texts(self.texts))
        eos = _floats(self.eos, "eos")
        projection, bias = self.projection, self.projection_bias
        projection = (
            np.eye(eos.shape[1]) if projection is None else _floats(projection, "projection")
        )
        bias = None if bias is None else _floats(bias, "projection_bias", ensure_2d=False)
        fits = (len(texts), len(projection)) == eos.shape
        if not fits or (bias is not None and bias.shape != projection.shape[1:]):
            raise ValueError(
                f"{len(texts)} texts, eos {eos.shape}, projection {projection.shape} and"
                f" projection_bias {np.shape(bias)} do not fit together. Their shapes must be n,"
                " (n, d), (d, D) and (D,)."
            )
        rows = {}
        for row, text in enumerate(texts):
            first = rows.setdefault(text, row)
            if not np.array_equal(eos[first], eos[row]):
                raise ValueError(
                    f"The text {text!r} has two embeddings, in rows {first} and {row} of eos."
                )
        return rows, eos, projection, bias

    @property
    def _n_features_out(self):
        return self._table()[2].shape[1]


def _floats(values, name, **options):
    return check_array(to_numpy(values), dtype=[np.float64, np.float32], input_name=name, **options)
