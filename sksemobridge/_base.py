"""Base classes of the classifiers: labels and probabilities from scores, and learning from
unlabelled images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ._fitted import Fitted
from ._model.class_means import relative_weight
from ._model.decision import LinearModel
from ._model.mixture import Prior
from ._model.unlabeled import with_unlabeled, without_unlabeled
from ._texts.encode import embed_classes
from ._texts.prompts import ClassPrompts, describe_classes, why_no_texts
from ._utils.array_api import apply_in_blocks, l2_normalize, namespace, softmax, to_numpy
from ._utils.same_image import are_among
from ._utils.saving import KEPT, SavedEstimator
from ._utils.threads import one_thread, threads_for
from ._utils.validation import (
    group_codes,
    validate_embeddings,
    validate_training_embeddings,
    warn_caller,
)

# Two embeddings of one text by one model have at least this cosine, in any precision and on any
# device.
SAME_TEXT = 0.99


def _log_of_softmax(logits):
    # Like in scikit-learn, the logarithm of zero is -inf, so that both methods agree.
    with np.errstate(divide="ignore"):
        return namespace(logits).log(softmax(logits))


def log_odds_if_two(logits):
    """The logits `(n, C)`, or the log-odds of the second of two classes `(n,)`."""
    return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits


class BaseEmbeddingClassifier(ClassifierMixin, SavedEstimator):
    """Base class of all classifiers of embeddings, of one label or of several.

    With `array_api_dispatch=True` of scikit-learn, results have the array library and the device of
    `X`. Labels are always NumPy. The memory for intermediate results does not grow with the number
    of rows.
    """

    classes_: NDArray[Any]
    # The fitted state: `classes`, `class_prompts`, `text_embeddings`, and a `decision` with
    # `decide(X)`.
    _fitted: Any

    text_encoder: Any
    prompts: str | Sequence[str] | Mapping[Any, str | Sequence[str]]
    class_names: Mapping[Any, str | None] | Sequence[str] | str | None

    def _apply(self, X, finish):
        return self._compute(X, lambda X: apply_in_blocks(self._decision_, X, finish))

    def _compute(self, X, function):
        """Call `function` with checked queries."""
        check_is_fitted(self)
        X = validate_embeddings(self, X, reset=False)
        with one_thread():
            return function(X)

    def _describe(self, classes, known_names):
        """`ClassPrompts` of the classes."""
        without_texts = ClassPrompts([None] * len(classes), [None] * len(classes))
        if self._ignores_names():
            return without_texts
        if self.text_encoder is None:
            has_prompts = not (isinstance(self.prompts, str) and self.prompts == "auto")
            if self.class_names is not None or has_prompts:
                warn_caller(
                    "There are class_names or prompts but no text_encoder, so they are not used."
                    " Pass text_encoder=CLIPTextEncoder(...) of the model that embedded the images"
                    " to use them."
                )
            return without_texts
        why = why_no_texts(classes.tolist(), self.prompts, self.class_names, known_names)
        if why is not None:
            warn_caller(why)
            return without_texts
        return describe_classes(
            classes, self.text_encoder, self.prompts, self.class_names, known_names
        )

    def _ignores_names(self):
        return isinstance(self.class_names, str) and self.class_names == "ignore"

    def _known_names(self):
        """The name of each class of `fit`, by label."""
        return (
            {}
            if self.class_names_ is None
            else dict(zip(self.classes_.tolist(), self.class_names_))
        )

    def _set_fitted(self, fitted):
        # Attributes of an earlier fit go, since not every fit has all attributes.
        for name in [name for name in vars(self) if name.endswith("_") and name not in KEPT]:
            delattr(self, name)
        self._fitted = fitted
        self.classes_ = fitted.classes
        self.text_embeddings_ = fitted.text_embeddings
        has_text, prompts = fitted.text_embeddings is not None, fitted.class_prompts
        self.class_names_ = np.array(prompts.names, dtype=object) if has_text else None
        self.prompts_ = prompts.prompts if has_text else None
        self._decision_ = fitted.decision  # the final "_" keeps it out of files


class EmbeddingClassifier(BaseEmbeddingClassifier):
    """Base class of classifiers that give each image one label."""

    _fitted: Fitted[Any]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable label of each image.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings.

        Returns
        -------
        ndarray of shape (n,)
            Labels of `classes_`, always of NumPy.
        """
        return self._apply(
            X, lambda logits: self.classes_[to_numpy(namespace(logits).argmax(logits, axis=1))]
        )

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the probabilities of the classes: the softmax of the logits.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings.

        Returns
        -------
        array of shape (n, C)
            Columns are in the order of `classes_`. Values have the precision of `X`.
        """
        return self._apply(X, softmax)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings.

        Returns
        -------
        array of shape (n, C)
            Values are -inf if the probability is too small for the precision of `X`.
        """
        return self._apply(X, _log_of_softmax)

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logits of the classes, as scikit-learn's linear classifiers.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings.

        Returns
        -------
        array of shape (n, C), or (n,) for two classes
            Logits. For two classes, the log-odds of the second.
        """
        return self._apply(X, log_odds_if_two)

    def _with_new_texts(self, classes, indices):
        """`ClassPrompts` and `T_c` of other classes: classes of `fit` at `indices`, and new classes
        at each -1.
        """
        texts, added = self._fitted.text_embeddings, None
        is_new = indices < 0
        if texts is not None:
            texts = texts[indices]
            if is_new.any() and self.text_encoder is not None:
                added = self._describe(classes[is_new], self._known_names())
                first = next(i for i, prompts in enumerate(self.prompts_) if prompts is not None)
                again, *new = embed_classes(
                    self.text_encoder, [self.prompts_[first], *added.prompts]
                )
                before = self.text_embeddings_[first]
                if again.shape != before.shape or again @ before <= SAME_TEXT:
                    raise ValueError(
                        f"text_encoder has changed: it embeds {self.prompts_[first][0]!r}"
                        " differently than in fit, so new classes could not be compared with the"
                        " old ones. Set the encoder of fit."
                    )
                texts[is_new] = new
        return self._fitted.class_prompts.for_classes(indices, added), texts


class LinearClassifier(EmbeddingClassifier):
    """A classifier whose decision is linear in unit embeddings, and that can learn from unlabelled
    images.
    """

    coef_: NDArray[Any]
    intercept_: NDArray[Any]
    _fitted: Fitted[LinearModel]

    def with_unlabeled(self, X: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Return a fitted classifier that has also learnt from unlabelled images. These images
        replace the images of an earlier call.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings, if possible of all classes. Near copies, such as frames of a film,
            count once, and so do shots, which may be among the images or not.
        groups : array-like of shape (n,) or None, default=None
            Equal values mark images of one burst, which together count as one image. An image with
            None or NaN is a burst by itself.

        Returns
        -------
        estimator
            A new classifier. This one does not change.

        Warns
        -----
        UserWarning
            If far more of the images than expected are less typical of the classes than the median
            shot.
        """
        taught, untypical = self._taught_by(X, groups)
        if untypical:
            warn_caller(
                f"{untypical:.0%} of the images are less typical of the classes than the median"
                " shot, where about half are expected: perhaps shots of a class are of one session"
                " (give these the same groups in fit, and add shots from elsewhere), or many images"
                " are of no class."
            )
        return taught

    def _taught_by(self, X: ArrayLike, groups: ArrayLike | None = None) -> tuple[Self, float]:
        """`with_unlabeled`, and the share of the images that are less typical than the median shot,
        or zero if this is not far more than half.
        """
        check_is_fitted(self)
        embeddings = validate_training_embeddings(self, X, reset=False)
        codes, fitted = group_codes(groups, len(embeddings)), self._fitted
        # A class without text may be "everything else".
        is_even = fitted.log_prior is None and None not in fitted.class_prompts.names
        with threads_for(embeddings.size * len(self.classes_)):
            # Shots among the images are left out, since they have taught already.
            is_new = ~are_among(l2_normalize(embeddings), l2_normalize(fitted.memory.shots.X))
            model, untypical = with_unlabeled(
                fitted.model, embeddings[is_new], codes[is_new], self._prior(), is_even
            )
            return self._clone_with(replace(fitted, model=model)), untypical

    def _prior(self):
        """The evidence of texts and shots on the class means."""
        fitted, memory = self._fitted, self._fitted.memory
        images, shots, texts = memory.grouped_shots.images(), memory.shots, fitted.text_embeddings
        weights = np.empty((2, len(images.codes)))
        weights[:, images.image_of_shot] = memory.judged.omega, memory.judged.rest
        return Prior(
            texts=None if texts is None else texts.astype(np.float64),
            has_text=np.array([name is not None for name in fitted.class_prompts.names]),
            trust=fitted.model.trust,
            u=images.u,
            codes=images.codes,
            weight=weights[0],
            rest=weights[1],
            n_shots=relative_weight(shots.codes, shots.weight).sum(),
        )

    def _without_unlabeled(self):
        """The classifier before it learnt from unlabelled images."""
        fitted = self._fitted
        return self._clone_with(replace(fitted, model=without_unlabeled(fitted.model)))

    def _set_fitted(self, fitted):
        super()._set_fitted(fitted)
        self.coef_, self.intercept_ = self._decision_.coef_and_intercept()
