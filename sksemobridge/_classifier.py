"""The few-shot classifier over CLIP image embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from ._base import EmbeddingClassifier, require_linear
from ._fitted import FittedState, require_shots
from ._model.class_means import effective_numbers
from ._model.method import LinearMethod
from ._model.shots import Rows, ShotMemory
from ._paper.method import PaperMethod
from ._paper.parameters import PaperBlend, Training
from ._texts.encode import read_texts
from ._texts.prompts import ClassPrompts, describe_classes, is_sequence
from ._utils.array_api import softmax
from ._utils.sklearn import Interval, StrOptions, checks_parameters, offered_if
from ._utils.validation import (
    check_text_encoder,
    positions,
    require_width,
    validate_classes,
    validate_groups,
    validate_labels,
    validate_priors,
    validate_training_embeddings,
    validate_weights,
    warn_caller,
)


class SeMoBridgeClassifier(EmbeddingClassifier):
    """Classify CLIP image embeddings, after a fit to a few labelled images (shots) and the names of
    the classes.

    The classifier is linear: the decision is `normalize(X) @ coef_.T + intercept_`. A row of zeros
    has no direction: `fit` warns of it, and its decision is `intercept_`. The guide explains
    parameters and formulas: https://github.com/sksemobridge/sksemobridge/tree/main/docs

    Parameters
    ----------
    text_encoder : object or None, default=None
        `CLIPTextEncoder`, or another object with `transform` and `logit_scale_`. Its model must be
        that of the images.
    prompts : "auto", str, list of str or mapping, default="auto"
        Templates with `{}` for the name, or a mapping from labels or names to lists of whole
        prompts.
    class_names : mapping, sequence, "ignore" or None, default=None
        A mapping from labels to names (None: no text), or a list of names in the order of the
        sorted labels. By default the label is the name, and `_` is read as a space. `"ignore"` uses
        no names.
    vocabulary : "auto", sequence of str or None, default="auto"
        Words that help if classes have no names. `"auto"` is a bundled list.
    blend : "auto" or PaperBlend, default="auto"
        `PaperBlend()` is the method of the SeMoBridge paper (arXiv 2509.26036).
    solver : {"closed_form", "lbfgs", "adamw"} or Training, default="closed_form"
        How the bridge of the paper is computed. All but `"closed_form"` need `PaperBlend`.
    priors : array-like of shape (C,), "shots" or None, default=None
        Probability of each class, in the order of `classes_`. `"shots"` takes the shares of the
        shots. None: equal.
    label_noise : "auto" or float, default="auto"
        Share of wrong labels. `"auto"` estimates it, and 0 trusts all labels.
    store_held_out : bool, default=False
        Whether `fit` keeps `held_out_proba_`. It then takes up to three times as long.

    Attributes
    ----------
    classes_, n_features_in_, feature_names_in_
        Sorted labels `(C,)`, the width `D` of the embeddings, and the names of the columns of `X`,
        if any.
    coef_, intercept_ : ndarrays of shape (C, D) and (C,), or (1, D) and (1,) for two classes
        As in scikit-learn's `LogisticRegression`. With `PaperBlend`, there are none.
    text_embeddings_, class_names_, prompts_
        Unit text embeddings `(C, D)`, names and prompts of the classes. None without text.
    blend_ : dict
        The scales `"text"` and `"shots"`, and `"trust"`, the probability that the texts help.
    held_out_proba_, label_proba_ : ndarrays of shape (n, C) and (n,)
        For each shot: its probabilities by a model without it (NaN if it was not left out), and the
        probability that its label is right (one if this cannot be judged).
    prototypes_, image_means_, bridge_, class_bias_, rank_, temperature_, loss_curve_, n_iter_
        See `PaperBlend`.

    Examples
    --------
    >>> from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier
    >>> texts = {"cat": [1.0, 0.0, 0.2], "dog": [0.0, 1.0, 0.2]}
    >>> encoder = PrecomputedTextEncoder.from_joint(texts)
    >>> X = [[0.9, 0.2, 0.3], [0.8, 0.1, 0.0], [0.1, 0.7, 0.2], [0.3, 0.9, 0.1]]
    >>> y = ["cat", "cat", "dog", "dog"]
    >>> classifier = SeMoBridgeClassifier(encoder, prompts="{}").fit(X, y)
    >>> classifier.predict([[0.2, 0.8, 0.0]]).tolist()
    ['dog']
    """

    _parameter_constraints = {
        "text_encoder": "no_validation",  # by check_text_encoder
        "prompts": [str, Mapping, "array-like"],
        "class_names": [Mapping, StrOptions({"ignore"}), "array-like", None],
        "vocabulary": [StrOptions({"auto"}), "array-like", None],
        "blend": [StrOptions({"auto"}), PaperBlend],
        "solver": [StrOptions({"closed_form", "lbfgs", "adamw"}), Training],
        "priors": ["array-like", StrOptions({"shots"}), None],
        "label_noise": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "store_held_out": ["boolean"],
    }

    _fitted: FittedState

    def __init__(
        self,
        text_encoder: Any = None,
        *,
        prompts: str | Sequence[str] | Mapping[Any, str | Sequence[str]] = "auto",
        class_names: Mapping[Any, str | None] | Sequence[str] | str | None = None,
        vocabulary: str | Sequence[str] | None = "auto",
        blend: Literal["auto"] | PaperBlend = "auto",
        solver: Literal["closed_form", "lbfgs", "adamw"] | Training = "closed_form",
        priors: ArrayLike | Literal["shots"] | None = None,
        label_noise: float | Literal["auto"] = "auto",
        store_held_out: bool = False,
    ) -> None:
        self.text_encoder = text_encoder
        self.prompts = prompts
        self.class_names = class_names
        self.vocabulary = vocabulary
        self.blend = blend
        self.solver = solver
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
            Image embeddings, of any length (but see `PaperBlend`). The result has the precision of
            `X`.
        y : array-like of shape (n,)
            Labels. Each class may have any number of shots.
        sample_weight : array-like of shape (n,) or None, default=None
            Weight of each shot within its class. Rows of weight zero are dropped.
        groups : array-like of shape (n,) or None, default=None
            Equal values mark copies of one image, which count as one image. By default near copies
            are found, with a warning. `range(n)` says that there are none.

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
        """Add shots, also of new classes. The result is that of `fit` on all shots together.

        Parameters
        ----------
        X, y, sample_weight, groups
            See `fit`. Equal `groups` in several calls also mark copies of one image.
        classes : array-like or None, default=None
            Labels of more classes. Classes without shots need text.
        """
        earlier = self._fitted if self.__sklearn_is_fitted__() else None
        return self._learn(X, y, classes, sample_weight, groups, earlier)

    def _learn(self, X, y, classes, sample_weight, groups, earlier):
        """`fit`, or `partial_fit` after an `earlier` state. If it fails, the estimator does not
        change.
        """
        method = self._method()
        method.check()
        # 1. Input: rows with a weight, and the sorted labels of all classes.
        rows = self._read(X, y, sample_weight, groups, reset=earlier is None)
        classes = validate_classes(classes, earlier and earlier.classes, rows.labels)
        # 2. Texts: from labels to names to prompts to one unit embedding `T_c` of each class.
        class_prompts = self._describe(classes, {} if earlier is None else self._known_names())
        texts = read_texts(self.text_encoder, class_prompts.prompts, method.reads_projection)
        for part in (texts.embeddings, texts.projection):
            if part is not None:
                require_width(rows.embeddings.shape[1], part.shape[1])
        # 3. Shots: equal rows become one shot. Near copies count as one image.
        memory = ShotMemory()
        if earlier is not None:
            memory = earlier.memory.for_classes(positions(earlier.classes, classes))
        memory = memory.add(rows, np.searchsorted(classes, rows.labels.astype(classes.dtype)))
        require_shots(classes, memory.shots.codes, class_prompts)
        memory = method.join_copies(memory)
        # 4. Model: that of `_model/fit.py`, which is linear, or that of `_paper/model.py`.
        fit = _fit_classes(method, memory.grouped_shots, texts, classes)
        # 5. State: what predictions and later calls need. Texts have the precision of the shots.
        dtype = memory.shots.X.dtype
        state = FittedState(
            classes=classes,
            model=fit.model,
            memory=memory,
            text_embeddings=None if texts.embeddings is None else texts.embeddings.astype(dtype),
            class_prompts=class_prompts,
            log_prior=self._log_prior(memory, len(classes)),
            right=fit.right,
            belief=fit.belief,
            held_out_logits=fit.held_out_logits,
        )
        if earlier is None:
            validate_data(self, X, skip_check_array=True)
        self._set_fitted(state)
        return self

    def _method(self):
        """What fits a model to the shots: the paper's method, or the default."""
        params = self.vocabulary, self.solver, self.label_noise, self.store_held_out
        is_default = isinstance(self.blend, str)
        return (
            LinearMethod(self.text_encoder, *params)
            if is_default
            else PaperMethod(self.blend, *params)
        )

    def _is_linear(self):
        return self._method().is_linear and (
            not self.__sklearn_is_fitted__() or hasattr(self, "coef_")
        )

    def _read(self, X, y, sample_weight, groups, reset):
        """The checked input as `Rows`."""
        if self.text_encoder is not None:
            check_text_encoder(self)
        embeddings = validate_training_embeddings(self, X, reset=reset)
        labels = validate_labels(y, len(embeddings))
        weight = validate_weights(sample_weight, len(embeddings))
        return Rows(
            embeddings, labels, weight, validate_groups(groups, len(embeddings))
        ).with_weight()

    def _describe(self, classes, known_names):
        """`ClassPrompts` of the classes."""
        without_texts = ClassPrompts([None] * len(classes), [None] * len(classes))
        if isinstance(self.class_names, str) and self.class_names == "ignore":
            return without_texts
        if self.text_encoder is None:
            if self.class_names is not None or any(isinstance(label, str) for label in classes):
                warn_caller(
                    "There are names of classes but no text_encoder, so the names are not used."
                    " Pass text_encoder=CLIPTextEncoder(...) of the model that embedded the images"
                    " to use them."
                )
            return without_texts
        return describe_classes(
            classes, self.text_encoder, self.prompts, self.class_names, known_names
        )

    def _log_prior(self, memory, n_classes):
        """Logarithms of `priors`. A class without shots counts as if it had one."""
        if self.priors is None:
            return None
        if not isinstance(self.priors, str):
            return validate_priors(self.priors, n_classes)
        images = memory.grouped_shots.images()
        seen, codes = np.unique(images.codes, return_inverse=True)
        counts = np.ones(n_classes)
        counts[seen], _ = effective_numbers(codes, images.weight, 1.0)
        return np.log(counts / counts.sum())

    def _set_fitted(self, fitted):
        super()._set_fitted(fitted)
        for name, value in fitted.model.attributes().items():
            setattr(self, f"{name}_", value)
        if fitted.held_out_logits is not None:
            self.held_out_proba_ = fitted.for_rows(
                softmax(fitted.with_prior(fitted.held_out_logits))
            )
        if self.label_noise != 0 and hasattr(self, "coef_"):
            self.label_proba_ = fitted.for_rows(fitted.right)

    def with_classes(self, classes: ArrayLike) -> Self:
        """Return a fitted classifier with other classes: fewer of them, or new ones that have only
        a name.

        Parameters
        ----------
        classes : array-like of shape (C,)
            Labels. New classes need the text encoder of `fit`, and a name if `class_names` is
            given.
        """
        check_is_fitted(self)
        fitted: Any = self._fitted
        wanted = validate_classes(classes)
        indices = positions(fitted.classes, wanted)
        class_prompts, texts = self._with_new_texts(wanted, indices)
        memory = fitted.memory.for_classes(indices)
        require_shots(wanted, memory.shots.codes, class_prompts)
        # A list of names, and priors, have the order of the old classes.
        params: dict[str, Any] = {}
        if texts is not None and is_sequence(self.class_names):
            params["class_names"] = class_prompts.names
        log_prior = fitted.log_prior
        if log_prior is not None and isinstance(self.priors, str):
            log_prior = self._log_prior(memory, len(wanted))
        elif log_prior is not None:
            # A new class counts as frequent as the other classes are on average.
            prior = np.where(indices < 0, np.exp(log_prior).mean(), np.exp(log_prior)[indices])
            params["priors"] = prior / prior.sum()
            log_prior = np.log(params["priors"])
        state = fitted.for_classes(wanted, indices, class_prompts, texts, log_prior)
        return self._clone_with(state, **params)

    @offered_if(require_linear)
    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        """Return how typical each row of `X (n, D)` is of the classes, shape (n,). A higher score
        is more typical.

        It is the sum of the largest decision (without the correction) and the largest cosines to
        class means and texts, each divided by its standard deviation over the held-out shots.
        `with_unlabeled` changes nothing.
        """
        return self._compute(X, lambda X: self._fitted.labelled_model.typicality_scores(X))

    @offered_if(require_linear)
    def p_values(self, X: ArrayLike) -> NDArray[Any]:
        """Return a conformal p-value of each row of `X (n, D)`, shape (n,). It is low for images of
        none of the classes.

        It is the share of held-out shots that are not more typical than the image. At most about
        `alpha` of the images of the classes have a p-value of at most `alpha`. If no shot can be
        left out, all values are one.
        """
        return self._compute(X, lambda X: self._fitted.labelled_model.p_values(X))

    def affinities(self, X: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return the terms of the decision for `X (n, D)`, a dict of arrays of shape (n, C).

        These are `"shots"` and `"correction"`, with text also `"text"`, and with `priors` also
        `"prior"`. Their sum is the decision. `PaperBlend` has cosines instead, `"z1"`, `"z2"` and
        `"z3"`.
        """
        return self._compute(X, lambda X: self._fitted.model.affinities(X, self._fitted.log_prior))


def _fit_classes(method, shots, texts, classes):
    """The `FitResult` for all classes. The method gets those with shots, numbered from zero, and
    then the texts of others.
    """
    with_shots, codes = np.unique(shots.codes, return_inverse=True)
    number = np.full(len(classes), -1)
    number[with_shots] = np.arange(len(with_shots))
    texts_first = texts.take(np.append(with_shots, np.flatnonzero(number < 0)))
    fit = method.fit(replace(shots, codes=codes), texts_first, classes[with_shots])
    if len(with_shots) == len(classes):
        return fit
    logits = fit.held_out_logits
    if logits is not None:
        logits = np.full((len(codes), len(classes)), -np.inf)
        logits[:, with_shots] = fit.held_out_logits
    return fit._replace(
        model=fit.model.for_classes(number, texts.embeddings), held_out_logits=logits
    )
