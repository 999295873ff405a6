"""The zero-shot classifier of CLIP as an estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.utils.validation import check_is_fitted, validate_data

from ._base import LinearClassifier
from ._model.linear import Linear
from ._model.mixture import Known
from ._model.pool import sorted_sample
from ._model.unlabeled import terms_with_unlabeled, typical_of_names
from ._texts.encode import embed_classes, read_logit_scale
from ._texts.prompts import ClassPrompts, describe_classes, is_sequence, why_unread
from ._utils.sklearn import checks_parameters
from ._utils.validation import (
    check_text_encoder,
    positions,
    require_width,
    validate_classes,
    validate_labels,
    validate_training_embeddings,
)


class ZeroShotClassifier(LinearClassifier):
    """Classify image embeddings by the names of the classes alone.

    Probabilities are `softmax(logit_scale * normalize(X) @ text_embeddings_.T)`.

    Parameters
    ----------
    text_encoder, prompts, class_names
        See `FewShotClassifier`. The text encoder is required.

    Attributes
    ----------
    coef_, intercept_, classes_, text_embeddings_, class_names_, prompts_, n_features_in_,
    feature_names_in_
        See `FewShotClassifier`. `intercept_` is zero before `with_unlabeled`.

    Examples
    --------
    >>> import numpy as np
    >>> from sksemobridge import PrecomputedTextEncoder, ZeroShotClassifier
    >>> encoder = PrecomputedTextEncoder(["a cat", "a dog"], np.eye(2), np.eye(2))
    >>> classifier = ZeroShotClassifier(encoder, prompts="a {}")
    >>> classifier = classifier.fit([[1, 0], [0, 1]], ["cat", "dog"])
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
        ZeroShotClassifier
            This estimator, fitted.
        """
        check_text_encoder(self)
        embeddings = None if X is None else validate_training_embeddings(self, X, reset=True)
        classes = np.unique(
            validate_labels(y, np.size(y) if embeddings is None else len(embeddings))
        )
        class_prompts = self._describe(classes, {})
        logit_scale = read_logit_scale(self.text_encoder)
        texts = embed_classes(self.text_encoder, class_prompts.prompts)
        if embeddings is not None:
            require_width(embeddings.shape[1], texts.shape[1])
        validate_data(self, texts if X is None else X, skip_check_array=True)
        self._set_fitted(TextModel(classes, class_prompts, texts, logit_scale, logit_scale))
        return self

    def with_classes(self, classes: ArrayLike) -> Self:
        """Return a fitted classifier with other classes.

        Parameters
        ----------
        classes : array-like of shape (C,)
            Labels. New ones need the text encoder.

        Returns
        -------
        ZeroShotClassifier
            A new classifier. This one does not change.
        """
        check_is_fitted(self)
        fitted: Any = self._fitted
        wanted = validate_classes(classes)
        indices = positions(fitted.classes, wanted)
        if self.text_encoder is None and np.any(indices < 0):
            check_text_encoder(self)
        class_prompts, texts = self._with_new_texts(wanted, indices)
        # A list of names has the order of the old classes.
        params = {"class_names": class_prompts.names} if is_sequence(self.class_names) else {}
        correction = fitted.correction and fitted.correction.for_classes(indices)
        state = TextModel(
            wanted, class_prompts, texts, fitted.logit_scale, fitted.scale, correction
        )
        return self._clone_with(state, **params)

    def _describe(self, classes, known_names):
        """`ClassPrompts` of the classes. Refuses classes without a name."""
        why = why_unread(classes.tolist(), self.prompts, self.class_names, known_names)
        if why is not None:
            raise ValueError(why)
        class_prompts = describe_classes(
            classes, self.text_encoder, self.prompts, self.class_names, known_names
        )
        if None in class_prompts.names:
            raise ValueError("class_names holds None, but without shots every class needs a name.")
        return class_prompts


@dataclass(frozen=True, eq=False)
class TextModel:
    """What `fit` learns, and what unlabelled images add to it."""

    classes: np.ndarray  # sorted labels
    class_prompts: ClassPrompts
    text_embeddings: np.ndarray  # `T_c (C, D)`
    logit_scale: float  # of the text encoder
    scale: float  # of the cosines to texts, after unlabelled images
    correction: Linear | None = None  # what unlabelled images add

    @property
    def decision(self):
        """The decision, a `Linear`."""
        by_names = self._by_names(self.scale)
        return by_names if self.correction is None else by_names + self.correction

    def _by_names(self, scale):
        return Linear(scale * self.text_embeddings, np.zeros(len(self.classes)))

    def with_unlabeled(self, X, groups=None):
        """The model that has learnt from unlabelled images `X (n, D)`. They replace older ones. The
        images of one of the `groups (n,)` are a burst.
        """
        texts, by_names = self.text_embeddings, self._by_names(self.logit_scale)
        pool = sorted_sample(X, len(texts), groups)
        pool = pool.take(typical_of_names(logsumexp(by_names(pool.X), axis=1)))
        no_shots = np.zeros((0, texts.shape[1])), np.zeros(0, dtype=np.intp), *np.zeros((2, 0))
        known = Known(texts, np.ones(len(texts), dtype=bool), 1.0, *no_shots)
        terms, factor = terms_with_unlabeled({"text": by_names}, pool, known, is_even=True)
        return replace(self, scale=factor * self.logit_scale, correction=terms["correction"])

    def without_unlabeled(self):
        """The model before learning from unlabelled images."""
        return replace(self, scale=self.logit_scale, correction=None)
