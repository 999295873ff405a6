"""The zero-shot classifier of CLIP as an estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import validate_data

from ._base import EmbeddingClassifier
from ._model.linear import Linear, total
from ._model.unlabeled import Known, sorted_sample, terms_with_unlabeled, typical_of_names
from ._texts.encode import embed_classes, read_logit_scale
from ._texts.prompts import ClassPrompts, describe_classes
from ._utils.sklearn import checks_parameters
from ._utils.validation import (
    check_text_encoder,
    require_width,
    validate_labels,
    validate_training_embeddings,
)


class ZeroShotClassifier(EmbeddingClassifier):
    """Classify image embeddings by the names of the classes alone.

    Probabilities are `softmax(logit_scale * normalize(X) @ text_embeddings_.T)`.

    Parameters
    ----------
    text_encoder, prompts, class_names
        See `SeMoBridgeClassifier`. The text encoder is required.

    Attributes
    ----------
    coef_, intercept_, classes_, text_embeddings_, class_names_, prompts_, n_features_in_, feature_names_in_
        See `SeMoBridgeClassifier`. `intercept_` is zero before `with_unlabeled`.

    Examples
    --------
    >>> import numpy as np
    >>> from sksemobridge import PrecomputedTextEncoder, ZeroShotClassifier
    >>> encoder = PrecomputedTextEncoder(["a cat", "a dog"], np.eye(2), np.eye(2))
    >>> classifier = ZeroShotClassifier(encoder, prompts="a {}").fit([[1, 0], [0, 1]], ["cat", "dog"])
    >>> classifier.predict([[0.9, 0.2]]).tolist()
    ['cat']
    """

    _fitted: TextModel
    _parameter_constraints = {
        "text_encoder": "no_validation",  # by check_text_encoder
        "prompts": [str, Mapping, "array-like"],
        "class_names": [Mapping, "array-like", None],
    }

    def __init__(
        self,
        text_encoder: Any,
        *,
        prompts: str | Sequence[str] | Mapping[Any, str | Sequence[str]] = "auto",
        class_names: Mapping[Any, str | None] | Sequence[str] | str | None = None,
    ) -> None:
        self.text_encoder = text_encoder
        self.prompts = prompts
        self.class_names = class_names

    @checks_parameters
    def fit(self, X: ArrayLike | None, y: ArrayLike) -> Self:
        """Read the classes, and embed their prompts. Images teach nothing here.

        Parameters
        ----------
        X : array-like of shape (n, D) or None
            Image embeddings. Only their width is checked.
        y : array-like of shape (n,)
            Labels. If `X` is None, `y` may have any length.

        Returns
        -------
        self : object
        """
        check_text_encoder(self)
        embeddings = None if X is None else validate_training_embeddings(self, X, reset=True)
        classes = np.unique(validate_labels(y, np.size(y) if embeddings is None else len(embeddings)))
        class_prompts = describe_classes(classes, self.text_encoder, self.prompts, self.class_names)
        if None in class_prompts.names:
            raise ValueError("class_names holds None, but without shots every class needs a name.")
        logit_scale = read_logit_scale(self.text_encoder)
        texts = embed_classes(self.text_encoder, class_prompts.prompts)
        if embeddings is not None:
            require_width(embeddings.shape[1], texts.shape[1])
        validate_data(self, texts if X is None else X, skip_check_array=True)
        linear = Linear(logit_scale * texts, np.zeros(len(texts)))
        self._set_fitted(TextModel(classes, texts, linear, linear, class_prompts))
        return self


@dataclass(frozen=True, eq=False)
class TextModel:
    """What `fit` learns: the classifier, class texts `T_c (C, D)`, and the classifier before unlabelled images."""

    classes: np.ndarray
    text_embeddings: np.ndarray
    linear: Linear
    of_texts: Linear
    class_prompts: ClassPrompts

    def with_unlabeled(self, X):
        """The model that has learnt from unlabelled images `X (n, D)`. They replace earlier ones."""
        texts = self.text_embeddings
        X = sorted_sample(X, len(texts))
        X = X[typical_of_names(self.of_texts(X))]
        no_shots = np.zeros((0, texts.shape[1])), np.zeros(0, dtype=np.intp), np.zeros(0)
        known = Known(texts, np.ones(len(texts), dtype=bool), 1.0, *no_shots)
        terms, _ = terms_with_unlabeled({"text": self.of_texts}, X, known, is_even=True)
        return replace(self, linear=total(terms.values()))
