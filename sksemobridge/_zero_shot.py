"""The zero-shot classifier of CLIP as an estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted, validate_data

from ._base import LinearClassifier
from ._fitted import Fitted
from ._model.decision import LinearModel
from ._model.linear import Linear
from ._model.shots import ShotMemory
from ._texts.encode import embed_classes, read_logit_scale
from ._texts.prompts import describe_classes, is_sequence, why_no_texts
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
        if not len(classes):
            raise ValueError("y is empty; give at least one label.")
        class_prompts = self._describe(classes, {})
        logit_scale = read_logit_scale(self.text_encoder)
        texts = embed_classes(self.text_encoder, class_prompts.prompts)
        if embeddings is not None:
            require_width(embeddings.shape[1], texts.shape[1])
        validate_data(self, texts if X is None else X, skip_check_array=True)
        model = LinearModel(
            terms={"text": Linear(logit_scale * texts, np.zeros(len(classes)))},
            scales={"text": logit_scale},
            trust=1.0,
            has_only_name=np.ones(len(classes), dtype=bool),
        )
        memory = ShotMemory.without_shots(texts)
        self._set_fitted(Fitted(classes, class_prompts, texts, memory, model))
        return self

    def with_classes(self, classes: ArrayLike) -> Self:
        """Return a fitted classifier with other classes.

        Parameters
        ----------
        classes : array-like of shape (C,)
            Labels. New classes need the text encoder.

        Returns
        -------
        ZeroShotClassifier
            A new classifier. This one does not change.
        """
        check_is_fitted(self)
        fitted = self._fitted
        wanted = validate_classes(classes)
        indices = positions(fitted.classes, wanted)
        if self.text_encoder is None and np.any(indices < 0):
            check_text_encoder(self)
        class_prompts, texts = self._with_new_texts(wanted, indices)
        # A list of names has the order of the old classes.
        params = {"class_names": class_prompts.names} if is_sequence(self.class_names) else {}
        other = fitted.for_classes(wanted, indices, class_prompts, texts)
        return self._clone_with(other, **params)

    def _describe(self, classes, known_names):
        """`ClassPrompts` of the classes. Refuses classes without a name."""
        why = why_no_texts(classes.tolist(), self.prompts, self.class_names, known_names)
        if why is not None:
            raise ValueError(why)
        class_prompts = describe_classes(
            classes, self.text_encoder, self.prompts, self.class_names, known_names
        )
        if None in class_prompts.names:
            raise ValueError("class_names holds None, but without shots every class needs a name.")
        return class_prompts
