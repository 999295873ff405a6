"""The few-shot classifier over CLIP image embeddings: a linear model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._base import LinearClassifier
from ._fitted import Fitted
from ._model.decision import LinearModel
from ._model.fit import fit_model
from ._shot_classifier import ShotClassifier, put_classes_with_shots_first, warn_of_labels
from ._texts.words import word_span
from ._utils.array_api import softmax
from ._utils.sklearn import Interval, StrOptions, checks_parameters
from ._utils.threads import one_thread
from ._utils.validation import require_width


class FewShotClassifier(ShotClassifier, LinearClassifier):
    """Classify CLIP image embeddings, after a fit to a few labelled images (shots) and the names of
    the classes.

    The classifier is linear: the decision is `normalize(X) @ coef_.T + intercept_`. A row of zeros
    has no direction: `fit` warns of it, and its decision is `intercept_`. The guide explains
    parameters and formulas: https://sksemobridge.github.io/sksemobridge/

    Parameters
    ----------
    text_encoder : object or None, default=None
        `CLIPTextEncoder`, or another object with `transform` and `logit_scale_`. The same model
        must have embedded the images.
    prompts : "auto", str, list of str or mapping, default="auto"
        Templates with `{}` for the name, or a mapping from labels or names to lists of whole
        prompts.
    class_names : mapping, sequence, "ignore" or None, default=None
        A mapping from labels to names (None: no text), or a list of names in the order of the
        sorted labels. By default the label is the name, if it is text, and `_` is read as a space.
        `"ignore"` uses no names. Tools such as `VotingClassifier` number labels that are text. The
        sorted list of all labels, or a mapping with the labels as keys, also names these numbers.
    vocabulary : "auto", sequence of str or None, default="auto"
        Words that help if classes have no names. `"auto"` is a bundled list.
    priors : array-like of shape (C,), Series, mapping, "shots" or None, default=None
        Probability of each class, in the order of `classes_`. A Series or mapping goes by label,
        and may have labels that a fold lacks. `"shots"` takes the shares of the shots. None: equal,
        as with `class_weight="balanced"` elsewhere: a weight of a class is a prior here.
    label_noise : "auto" or float, default="auto"
        Share of wrong labels. `"auto"` estimates it, and 0 trusts all labels.
    store_held_out : bool, default=False
        Whether `fit` keeps `held_out_proba_`. `fit` then takes up to three times as long.

    Attributes
    ----------
    classes_, n_features_in_, feature_names_in_
        Sorted labels `(C,)`, the width `D` of the embeddings, and the names of the columns of `X`,
        if any.
    coef_, intercept_ : ndarrays of shape (C, D) and (C,), or (1, D) and (1,) for two classes
        As in scikit-learn's `LogisticRegression`.
    text_embeddings_, class_names_, prompts_
        Unit text embeddings `(C, D)`, names and prompts of the classes. None without text.
    blend_ : dict
        The scales `"text"` and `"shots"`, and `"trust"`, the probability that the texts help.
    held_out_proba_, label_proba_ : ndarrays of shape (n, C) and (n,)
        For each shot: its probabilities by a model without the shot (NaN if the shot was not held
        out), and the probability that its label is right (one if the label cannot be judged).

    See Also
    --------
    SeMoBridgeClassifier : The method of the SeMoBridge paper.
    ZeroShotClassifier : Classifies by names alone.

    Examples
    --------
    >>> from sksemobridge import PrecomputedTextEncoder, FewShotClassifier
    >>> texts = {"cat": [1.0, 0.0, 0.2], "dog": [0.0, 1.0, 0.2]}
    >>> encoder = PrecomputedTextEncoder.from_joint(texts)
    >>> X = [[0.9, 0.2, 0.3], [0.8, 0.1, 0.0], [0.1, 0.7, 0.2], [0.3, 0.9, 0.1]]
    >>> y = ["cat", "cat", "dog", "dog"]
    >>> classifier = FewShotClassifier(encoder, prompts="{}").fit(X, y)
    >>> classifier.predict([[0.2, 0.8, 0.0]]).tolist()
    ['dog']
    """

    _parameter_constraints = {
        "text_encoder": "no_validation",  # by check_text_encoder
        "prompts": [str, Mapping, "array-like"],
        "class_names": [Mapping, StrOptions({"ignore"}), "array-like", None],
        "vocabulary": [StrOptions({"auto"}), "array-like", None],
        "priors": ["array-like", Mapping, StrOptions({"shots"}), None],
        "label_noise": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "store_held_out": ["boolean"],
    }

    _reads_projection = False
    _fitted: Fitted[LinearModel]

    def __init__(
        self,
        text_encoder: Any = None,
        *,
        prompts: str | Sequence[str] | Mapping[Any, str | Sequence[str]] = "auto",
        class_names: Mapping[Any, str | None] | Sequence[str] | str | None = None,
        vocabulary: str | Sequence[str] | None = "auto",
        priors: ArrayLike | Mapping[Any, float] | Literal["shots"] | None = None,
        label_noise: float | Literal["auto"] = "auto",
        store_held_out: bool = False,
    ) -> None:
        self.text_encoder = text_encoder
        self.prompts = prompts
        self.class_names = class_names
        self.vocabulary = vocabulary
        self.priors = priors
        self.label_noise = label_noise
        self.store_held_out = store_held_out

    @checks_parameters
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Learn from labelled shots.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings, of any length. The result has the precision of `X`.
        y : array-like of shape (n,)
            Labels. Each class may have any number of shots.
        sample_weight : array-like of shape (n,) or None, default=None
            Weight of each shot within its class. Rows of weight zero are dropped.
        groups : array-like of shape (n,) or None, default=None
            Equal values mark copies of one image, which count as one image. Images of a group with
            several labels are not held out. A row whose group is None or NaN is an image by itself.
            By default near copies are found, with a warning. `[None] * n` says that there are no
            copies.

        Returns
        -------
        FewShotClassifier
            This estimator, fitted.

        Raises
        ------
        ValueError, FloatingPointError
            If the input or two parameters do not fit each other, or if training diverges.
        """
        return self._learn(X, y, None, sample_weight, groups, earlier=None)

    @checks_parameters
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Add shots, also of new classes. The result is the same as of `fit` on all shots together.

        Parameters
        ----------
        X, y, sample_weight, groups
            See `fit`. Equal `groups` in several calls also mark copies of one image, but None and
            NaN never do.
        classes : array-like or None, default=None
            Labels of more classes. Classes without shots need text.

        Returns
        -------
        FewShotClassifier
            This estimator, fitted.
        """
        earlier = self._fitted if self.__sklearn_is_fitted__() else None
        return self._learn(X, y, classes, sample_weight, groups, earlier)

    def _fit_model(self, classes, memory, texts):
        # The model is fitted to the classes with shots. Other classes have only a name.
        known = put_classes_with_shots_first(memory.grouped_shots, texts, len(classes))
        words = None if texts.embeddings is not None else self._word_span(memory)
        with one_thread():
            model, judged, label_weight = fit_model(
                known.shots, known.texts, words, self.label_noise, self.store_held_out
            )
        warn_of_labels(
            label_weight, known, classes, "Check the shots with the lowest label_proba_."
        )
        model = model.rounded(memory.shots.X.dtype)
        if len(known.classes) < len(classes):
            model = model.for_classes(known.number, texts.embeddings)
            if judged.held_out_logits is not None:
                logits = np.full((len(judged.right), len(classes)), -np.inf)
                logits[:, known.classes] = judged.held_out_logits
                judged = replace(judged, held_out_logits=logits)
        return model, judged

    def _word_span(self, memory):
        """The directions of words that help if classes have no text, or None."""
        # Embedding thousands of words takes long, so words are used only if the user does without
        # names.
        is_meant = self.text_encoder is None or self._ignores_names()
        words = word_span(self.text_encoder, self.vocabulary if is_meant else None)
        if words is not None:
            require_width(memory.shots.X.shape[1], len(words))
        return words

    def _set_fitted(self, fitted):
        super()._set_fitted(fitted)
        self.blend_ = fitted.model.blend()
        memory = fitted.memory
        if (logits := memory.judged.held_out_logits) is not None:
            log_prior = 0.0 if fitted.log_prior is None else fitted.log_prior
            self.held_out_proba_ = memory.for_rows(softmax(logits + log_prior))
        if self.label_noise != 0:
            self.label_proba_ = memory.for_rows(memory.judged.right)

    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        """Return how typical each image is of the classes.

        The score is the sum of the largest decision (without the correction) and the largest
        cosines to class means and texts, each divided by its standard deviation over the held-out
        shots. `with_unlabeled` changes nothing.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings.

        Returns
        -------
        array of shape (n,)
            A higher score is more typical.
        """
        return self._compute(X, self._fitted.model.typicality_scores)

    def p_values(self, X: ArrayLike) -> NDArray[Any]:
        """Return a conformal p-value of each image. The p-value is low for images of none of the
        classes.

        The p-value is the share of held-out shots that are not more typical than the image. In the
        mean over the classes, at most about `alpha` of their images have a p-value of at most
        `alpha`. The share of all images may be larger, if harder classes have more images: 36 % for
        0.2, on a set of 13 uneven classes with 8 shots of each. With one shot of each class, or for
        classes that have only a name, classes are compared with other classes. The share then holds
        in the mean over several sets (20 and 21 % for 0.2), and may be twice as large in a single
        set.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings.

        Returns
        -------
        ndarray of shape (n,)
            P-values are one if no shot can be held out.
        """
        return self._compute(X, self._fitted.model.p_values)

    def affinities(self, X: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return the terms of the decision, whose sum is the logits.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings.

        Returns
        -------
        dict of arrays of shape (n, C)
            `"shots"` and `"correction"`, with text also `"text"`, and with `priors` also `"prior"`.
        """
        return self._compute(X, lambda X: self._fitted.model.affinities(X, self._fitted.log_prior))
