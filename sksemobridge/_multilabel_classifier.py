"""The classifier of images that have several labels: a linear model for each label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from ._base import BaseEmbeddingClassifier
from ._model.linear import Linear
from ._model.multilabel import TaggedImages, TagModel, fit_tags, tag_together
from ._texts.encode import read_texts
from ._texts.prompts import ClassPrompts
from ._utils.array_api import astype, sigmoid, to_numpy
from ._utils.sklearn import StrOptions, checks_parameters
from ._utils.tag_table import TagTable, read_tags
from ._utils.threads import one_thread
from ._utils.validation import (
    as_labels,
    check_text_encoder,
    listed,
    plural,
    require_width,
    validate_training_embeddings,
    validate_weights,
    warn_caller,
)


class MultilabelFewShotClassifier(BaseEmbeddingClassifier):
    """Find which labels (tags) CLIP image embeddings have, after a fit to a few tagged images and
    the names of the tags. An image has any number of tags.

    Each tag has a logistic regression, whose weights are drawn to the text of the tag, as strongly
    as is best for held-out images: `decision_function(X) == normalize(X) @ coef_.T +
    intercept_`. The :doc:`page of the guide </several_labels_method>` has the formulas.

    Parameters
    ----------
    text_encoder, prompts, class_names
        See `FewShotClassifier`. Tags take the place of labels. Without a text encoder, only images
        teach.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The tags: sorted if they came in sets, else names or numbers of the columns of `Y`.
    coef_, intercept_ : ndarrays of shape (K, D) and (K,)
        Weights on unit embeddings, also for one tag or two.
    thresholds_ : ndarray of shape (K,)
        `predict` gives a tag to images with at least this probability. A threshold is half of the
        largest expected F1 of the images of `fit`, each predicted by a model without it.
    text_scale_, C_ : float
        How strongly weights are drawn to the texts, in nats for a cosine of one, and the prior
        variance of the part of a weight that images teach. The text of a tag without text is zero.
    text_embeddings_, class_names_, prompts_, n_features_in_, feature_names_in_
        See `FewShotClassifier`.

    See Also
    --------
    FewShotClassifier : For images that have one label each.

    Examples
    --------
    >>> from sksemobridge import MultilabelFewShotClassifier, PrecomputedTextEncoder
    >>> texts = {"cat": [1.0, 0.0, 0.2], "dog": [0.0, 1.0, 0.2], "indoors": [0.1, 0.1, 1.0]}
    >>> encoder = PrecomputedTextEncoder.from_joint(texts)
    >>> X = [[0.9, 0.2, 0.9], [0.8, 0.1, 0.1], [0.1, 0.7, 0.9], [0.7, 0.9, 0.1]]
    >>> Y = [{"cat", "indoors"}, {"cat"}, {"dog", "indoors"}, {"cat", "dog"}]
    >>> classifier = MultilabelFewShotClassifier(encoder, prompts="{}").fit(X, Y)
    >>> classifier.classes_.tolist()
    ['cat', 'dog', 'indoors']
    >>> classifier.predict([[0.1, 0.9, 0.8]]).tolist()
    [[0, 1, 1]]
    """

    coef_: NDArray[Any]
    intercept_: NDArray[Any]
    thresholds_: NDArray[Any]
    _fitted: FittedTags
    # Arguments that metadata routing gives to `fit`.
    __metadata_request__fit = {"sample_weight": True}
    _parameter_constraints = {
        "text_encoder": "no_validation",  # by check_text_encoder
        "prompts": [str, Mapping, "array-like"],
        "class_names": [Mapping, StrOptions({"ignore"}), "array-like", None],
    }

    def __init__(
        self,
        text_encoder: Any = None,
        *,
        prompts: str | Sequence[str] | Mapping[Any, str | Sequence[str]] = "auto",
        class_names: Mapping[Any, str | None] | Sequence[str] | str | None = None,
    ) -> None:
        self.text_encoder = text_encoder
        self.prompts = prompts
        self.class_names = class_names

    @checks_parameters
    def fit(
        self,
        X: ArrayLike,
        Y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        y: Any = None,
    ) -> Self:
        """Learn from tagged images.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings, of any length. The result has the precision of `X`.
        Y : indicator matrix of shape (n, K), data frame, or list of n sets
            1 is a tag that the image has, 0 a tag that it does not have, and -1 or NaN a tag that
            nobody looked for: the image does not count for this tag. The columns of a data frame
            name the tags. An image has none of the tags that its set lacks.
        sample_weight : array-like of shape (n,) or None, default=None
            Weight of each image. A common factor changes nothing.
        y : any
            Another name of `Y`, as scikit-learn has it.

        Returns
        -------
        MultilabelFewShotClassifier
            This estimator, fitted.

        Raises
        ------
        ValueError
            If the input or two parameters do not fit each other, if no image has a tag, or if a tag
            has neither an answer nor a text.

        Warns
        -----
        UserWarning
            If all answers for a tag are yes, and some answers are missing.
        """
        return self._learn(X, either(Y, y), None, sample_weight, earlier=None)

    @checks_parameters
    def partial_fit(
        self,
        X: ArrayLike,
        Y: Any = None,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        y: Any = None,
    ) -> Self:
        """Add tagged images, also with new tags. The result is the same as of `fit` on all images.
        As long as no image has a tag, there is no tag to predict.

        Parameters
        ----------
        X, Y, sample_weight, y
            See `fit`. A tag of another data frame that this one lacks counts as not looked for. An
            image has none of the tags that its set lacks, as in `fit`.
        classes : array-like or None, default=None
            More tags, also tags that no image has.

        Returns
        -------
        MultilabelFewShotClassifier
            This estimator, fitted.
        """
        earlier = self._fitted if self.__sklearn_is_fitted__() else None
        return self._learn(X, either(Y, y), classes, sample_weight, earlier, may_be_empty=True)

    def _learn(self, X, Y, classes, sample_weight, earlier, may_be_empty=False):
        """`fit`, or `partial_fit` after an `earlier` state. If it fails, the estimator does not
        change.
        """
        if self.text_encoder is not None:
            check_text_encoder(self)
        embeddings = validate_training_embeddings(self, X, reset=earlier is None)
        table = read_tags(Y, len(embeddings))
        weight = validate_weights(sample_weight, len(embeddings))
        tags = all_tags(table, classes, earlier)
        if not (may_be_empty or len(tags)):
            raise ValueError("No image of Y has a tag. Give at least one image with a tag.")
        known_names = {} if earlier is None else self._known_names()
        class_prompts = self._describe(tags, known_names) if len(tags) else ClassPrompts([], [])
        texts = read_texts(self.text_encoder, class_prompts.prompts)
        if texts.embeddings is not None:
            require_width(embeddings.shape[1], texts.embeddings.shape[1])
        images = tagged_images(embeddings, table.for_classes(tags), weight)
        if earlier is not None:
            images = earlier.images_for(tags).joined(images)
        has_text = np.array([name is not None for name in class_prompts.names], dtype=bool)
        require_looked_at(tags, images, has_text)
        warn_of_yes_alone(tags, images, table.for_classes(tags))
        unit_texts = np.zeros((len(tags), embeddings.shape[1]))
        if texts.embeddings is not None:
            unit_texts[has_text] = texts.embeddings[has_text]
        with one_thread():
            model = fit_tags(images, unit_texts, texts.logit_scale)
        dtype = images.X.dtype
        fitted = FittedTags(
            classes=tags,
            class_prompts=class_prompts,
            text_embeddings=None
            if texts.embeddings is None
            else texts.embeddings.astype(dtype, copy=False),
            images=images,
            is_sets=table.is_sets,
            model=replace(model, linear=astype(model.linear, dtype)),
        )
        if earlier is None:
            validate_data(self, X, skip_check_array=True)
        self._set_fitted(fitted)
        return self

    def _set_fitted(self, fitted):
        super()._set_fitted(fitted)
        model = fitted.model
        self.coef_, self.intercept_ = model.linear.weights, model.linear.offsets
        self.thresholds_, self.text_scale_, self.C_ = model.thresholds, model.text_scale, model.C

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return which tags each image has: the tags with a probability of at least `thresholds_`.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings.

        Returns
        -------
        ndarray of shape (n, K)
            1 and 0, always of NumPy. Columns are in the order of `classes_`.
        """
        return self._apply(
            X, lambda logits: (to_numpy(sigmoid(logits)) >= self.thresholds_).astype(np.int64)
        )

    def score(self, X: ArrayLike, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of images that have exactly the tags which `predict` gives them.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings.
        y : indicator matrix of shape (n, K), data frame, or list of n sets
            As in `fit`. Columns of a data frame are compared by name. Columns of another matrix are
            in the order of `classes_`. Missing answers do not count, nor do images without any
            answer. No image is predicted to have a tag that `fit` did not see.
        sample_weight : array-like of shape (n,) or None, default=None
            Weight of each image.

        Returns
        -------
        float
            From 0 to 1.

        Raises
        ------
        ValueError
            If no image has an answer.
        """
        predicted = self.predict(X)
        table, weight = (
            read_tags(y, len(predicted)),
            validate_weights(sample_weight, len(predicted)),
        )
        if not table.is_sets and not hasattr(y, "columns"):
            if table.values.shape[1] != len(self.classes_):
                raise ValueError(
                    f"y has {table.values.shape[1]} columns, but there are {len(self.classes_)}"
                    " tags. Give a column for each of classes_, or a data frame."
                )
            table = replace(table, classes=self.classes_)
        right, has_answer = are_right(predicted, self.classes_, table)
        if not weight[has_answer].any():
            raise ValueError("y has no answer for any image, so nothing can be compared with it.")
        return float(np.average(right[has_answer], weights=weight[has_answer]))

    def predict_together(self, X: ArrayLike) -> NDArray[Any]:
        """Return which tags the images of a whole set have.

        By its probabilities, a tag is given to the images with the largest expected F1 of the set.
        If it is more probable that no image has the tag, no image gets the tag. For a set of some
        dozens of images or more, the result is a bit better than `predict` if tags are more or less
        frequent than in `fit`.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings of all images of the set.

        Returns
        -------
        ndarray of shape (n, K)
            1 and 0, as of `predict`.
        """
        check_is_fitted(self)
        probability = to_numpy(self.predict_proba(X)).astype(np.float64)
        return tag_together(probability).astype(np.int64)

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the probability of each tag. Probabilities are independent: rows do not sum to
        one.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings.

        Returns
        -------
        array of shape (n, K)
            Columns are in the order of `classes_`. Values have the precision of `X`.
        """
        return self._apply(X, sigmoid)

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logits of the tags.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings.

        Returns
        -------
        array of shape (n, K)
            Log-odds of each tag, also for one tag or two.
        """
        return self._apply(X, lambda logits: logits)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(frozen=True, eq=False)
class FittedTags:
    """`K` tags, the images of all calls, and a model of them, as they are saved."""

    classes: np.ndarray  # `(K,)`
    class_prompts: ClassPrompts
    text_embeddings: np.ndarray | None  # `T_k (K, D)`
    images: TaggedImages
    is_sets: bool  # whether the tags came in sets
    model: TagModel

    @property
    def decision(self) -> Linear:
        """The linear model of the tags."""
        return self.model.linear

    def images_for(self, tags):
        """The images, for these and further tags."""
        place = {tag: k for k, tag in enumerate(self.classes.tolist())}
        rest = self.images.weight if self.is_sets else np.zeros(len(self.images.weight))
        yes = np.zeros((len(rest), len(tags)))
        looked_at = np.repeat(rest[:, None], len(tags), axis=1)
        for k, tag in enumerate(tags.tolist()):
            if tag in place:
                yes[:, k] = self.images.yes[:, place[tag]]
                looked_at[:, k] = self.images.looked_at[:, place[tag]]
        return TaggedImages(self.images.X, self.images.weight, yes, looked_at)


def either(Y, y):
    """The argument that was given as `Y` or as `y`."""
    if Y is not None and y is not None:
        raise ValueError("Y and y are two names of one argument. Give one of them.")
    return y if Y is None else Y


def all_tags(table: TagTable, classes, earlier):
    """The tags of all calls: tags of sets sorted, and columns in the order in which they came."""
    if earlier is not None and earlier.is_sets != table.is_sets:
        raise ValueError(
            "Y was a list of sets in one call and a matrix in another. Give it in one form, because"
            " a matrix does not say what the tags of the sets are."
        )
    parts = [] if earlier is None else [earlier.classes]
    parts.append(table.classes)
    if classes is not None:
        parts.append(as_labels(classes, "classes"))
    kinds = {(isinstance(part[0], str), part.dtype.kind == "b") for part in parts if len(part)}
    if len(kinds) > 1:
        raise ValueError(
            "The tags mix kinds (text, numbers): a matrix without names of columns has numbered"
            " tags. Use one kind in every call."
        )
    tags = list(dict.fromkeys(tag for part in parts for tag in part.tolist()))
    return as_labels(sorted(tags) if table.is_sets else tags, "Y")


def tagged_images(X, table, weight):
    """`TaggedImages` of rows with a weight and an answer, or of all rows with a weight if no row
    has an answer.
    """
    kept, has_value = weight > 0, ~np.isnan(table.values).all(axis=1)
    if (kept & has_value).any():
        kept &= has_value
    values, weight = table.values[kept], weight[kept]
    looked_at = weight[:, None] * ~np.isnan(values)
    yes = weight[:, None] * (values == 1)
    return TaggedImages(X[kept], weight, yes, looked_at).pooled()


def are_right(predicted, tags, table):
    """Whether the predictions `(n, K)` for tags agree with all answers of each image, and whether
    the image has any answer.
    """
    answers = table.for_classes(tags).values
    is_other = [tag not in set(tags.tolist()) for tag in table.classes.tolist()]
    right = (np.isnan(answers) | (answers == predicted)).all(axis=1)
    has_other = (table.values[:, np.array(is_other, dtype=bool)] == 1).any(axis=1)
    return right & ~has_other, ~np.isnan(table.values).all(axis=1) | table.is_sets


def require_looked_at(tags, images, has_text):
    """Refuse tags that nobody looked for and that have no text."""
    missing = tags[~images.looked_at.any(axis=0) & ~has_text].tolist()
    if missing:
        raise ValueError(
            f"Nobody looked for the tags {missing}, and they have no text. Say of some images"
            " whether they have them, or give a text_encoder and a name in class_names."
        )


def warn_of_yes_alone(tags, images, table):
    """Warn of tags with missing answers whose given answers, in this call and earlier calls, are
    all yes.
    """
    is_yes_alone = images.yes.any(axis=0) & (images.yes == images.looked_at).all(axis=0)
    is_missing = np.isnan(table.values).any(axis=0) | ~images.looked_at.all(axis=0)
    if found := tags[is_yes_alone & is_missing].tolist():
        warn_caller(
            f"All answers for the {plural(len(found), 'tag')} {listed(found)} are yes, and others"
            " are missing, so far too many images may get"
            f" {'it' if len(found) == 1 else 'them'}. -1 and NaN mean that nobody looked: write 0"
            " for images that have not the tag."
        )
