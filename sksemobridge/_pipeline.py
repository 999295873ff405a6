"""Pipelines from images to predictions in one estimator."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from ._few_shot_classifier import FewShotClassifier
from ._multilabel_classifier import MultilabelFewShotClassifier
from ._semobridge_classifier import SeMoBridgeClassifier
from ._utils.sklearn import LinkedToDocs, Method, offered_if
from .encoders import CLIPImageEncoder, CLIPTextEncoder, JoinedImageEncoder, JoinedTextEncoder


def _last_step_can(method: str) -> Callable[[Method], Method]:
    return offered_if(lambda pipeline: hasattr(pipeline.steps[-1][1], method))


class ImagePipeline(LinkedToDocs, Pipeline):
    """Pipeline from images to predictions in one estimator: scikit-learn's `Pipeline`, with the
    methods of the classifier.

    `make_semobridge_pipeline`, `make_few_shot_pipeline` and `make_multilabel_pipeline` make such
    pipelines. The first steps embed images and learn nothing. The last step is a classifier such as
    `SeMoBridgeClassifier`. With metadata routing, the classifier gets the arguments that its `fit`
    takes, and `groups` on request.

    Parameters
    ----------
    steps, transform_input, memory, verbose
        See `sklearn.pipeline.Pipeline`.

    Attributes
    ----------
    held_out_proba_, label_proba_
        See `FewShotClassifier`.

    Examples
    --------
    >>> from sksemobridge import make_few_shot_pipeline
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> images, labels = emoji.images, emoji.target_names[emoji.target]
    >>> pipeline = make_few_shot_pipeline("mini", "bundled").fit(images[:60:4], labels[:60:4])
    >>> pipeline.partial_fit(images[60:120:4], labels[60:120:4]).classes_.tolist()
    ['arrow', 'bird', 'building', 'celebration', 'clock']
    >>> pipeline.with_classes(["bird", "rainbow"]).classes_.tolist()
    ['bird', 'rainbow']
    """

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        **params: Any,
    ) -> Self:
        """Fit the classifier to the embeddings of images.

        Parameters
        ----------
        X, y
            Images and their labels.
        X_val, y_val : array-likes or None, default=None
            Validation images and their labels, for a last step that takes them, such as
            `SeMoBridgeClassifier`.
        **params
            See `sklearn.pipeline.Pipeline.fit`.

        Returns
        -------
        ImagePipeline
            This pipeline, fitted.
        """
        validation = {"X_val": X_val, "y_val": y_val}
        validation = {name: value for name, value in validation.items() if value is not None}
        is_embedded = "X_val" in (self.transform_input or ())  # by scikit-learn
        if X_val is not None and len(self.steps) > 1 and not is_embedded:
            # The first steps learn nothing from validation images.
            encoders = clone(self[:-1]).fit(X, y)
            validation["X_val"] = encoders.transform(X_val)
        if not get_config()["enable_metadata_routing"]:
            name = self.steps[-1][0]
            validation = {f"{name}__{key}": value for key, value in validation.items()}
        return super().fit(X, y, **validation, **params)

    @_last_step_can("partial_fit")
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, **params: Any
    ) -> Self:
        """Add images as shots, also of new classes.

        Parameters
        ----------
        X, y
            Images and their labels.
        classes : array-like or None, default=None
            Labels of more classes.
        **params
            See `partial_fit` of the classifier.

        Returns
        -------
        ImagePipeline
            This pipeline, fitted.
        """
        if params.get("X_val") is not None:
            params["X_val"] = self[:-1].transform(params["X_val"])
        self[-1].partial_fit(self[:-1].transform(X), y, classes=classes, **params)
        return self

    @_last_step_can("with_classes")
    def with_classes(self, classes: ArrayLike) -> Self:
        """Return a fitted pipeline with other classes.

        Parameters
        ----------
        classes : array-like of shape (C,)
            See `FewShotClassifier.with_classes`.

        Returns
        -------
        ImagePipeline
            A new pipeline. This one does not change.
        """
        return self._with_classifier(self[-1].with_classes(classes))

    @_last_step_can("with_unlabeled")
    def with_unlabeled(self, X: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Return a fitted pipeline that has also learnt from unlabelled images.

        Parameters
        ----------
        X, groups
            Images, and the burst of each, see `FewShotClassifier.with_unlabeled`.

        Returns
        -------
        ImagePipeline
            A new pipeline. This one does not change.
        """
        return self._with_classifier(self[-1].with_unlabeled(self[:-1].transform(X), groups))

    @_last_step_can("p_values")
    def p_values(self, X: ArrayLike) -> NDArray[Any]:
        """Return a p-value of each image.

        Parameters
        ----------
        X : list or array of n images

        Returns
        -------
        ndarray of shape (n,)
            See `FewShotClassifier.p_values`.
        """
        return self[-1].p_values(self[:-1].transform(X))

    @_last_step_can("predict_together")
    def predict_together(self, X: ArrayLike) -> NDArray[Any]:
        """Return which tags the images of a whole set have.

        Parameters
        ----------
        X : list or array of n images

        Returns
        -------
        ndarray of shape (n, K)
            See `MultilabelFewShotClassifier.predict_together`.
        """
        return self[-1].predict_together(self[:-1].transform(X))

    held_out_proba_ = property(
        lambda self: self[-1].held_out_proba_, doc="See `FewShotClassifier`."
    )
    label_proba_ = property(lambda self: self[-1].label_proba_, doc="See `FewShotClassifier`.")

    def _with_classifier(self, classifier):
        steps = [*copy.deepcopy(self.steps[:-1]), (self.steps[-1][0], classifier)]
        options = {name: getattr(self, name) for name in ("transform_input", "memory", "verbose")}
        return type(self)(steps, **options)


def make_semobridge_pipeline(
    model_name: str = "ViT-B-16",
    pretrained: str | os.PathLike[str] | None = "openai",
    *,
    encoder_params: Mapping[str, Any] | None = None,
    **classifier_params: Any,
) -> ImagePipeline:
    """Make a pipeline of an image encoder and the classifier of the SeMoBridge paper, with one CLIP
    model for images and texts.

    Parameters
    ----------
    model_name, pretrained : str
        See `CLIPImageEncoder`. The bridge needs one model with texts and a text projection.
    encoder_params : dict or None, default=None
        More parameters of `CLIPImageEncoder`. `device`, `precision`, `cache` and `progress` also
        hold for the texts.
    **classifier_params
        Parameters of `SeMoBridgeClassifier`, without `text_encoder`.

    Returns
    -------
    ImagePipeline
        Its steps are `"clipimageencoder"` and `"semobridgeclassifier"`.

    Raises
    ------
    ValueError
        If there are several models, or the model is of images only.

    Examples
    --------
    >>> from sksemobridge import make_semobridge_pipeline
    >>> pipeline = make_semobridge_pipeline("mini", "bundled", solver="lbfgs")
    >>> list(pipeline.named_steps)
    ['clipimageencoder', 'semobridgeclassifier']
    """
    if not isinstance(model_name, str):
        raise ValueError(
            "Several models have no text projection in common, which the bridge needs. Give one"
            " model, or use make_few_shot_pipeline."
        )
    images, texts = _encoders(model_name, pretrained, encoder_params or {})
    if not texts.has_text_:
        raise ValueError(
            f"{model_name} is a model of images only, and the bridge needs the projection of its"
            " texts. Use make_few_shot_pipeline, or a model with texts."
        )
    return ImagePipeline(
        [
            ("clipimageencoder", images),
            ("semobridgeclassifier", SeMoBridgeClassifier(texts, **classifier_params)),
        ]
    )


def make_few_shot_pipeline(
    model_name: str | Sequence[Any] = "ViT-B-16",
    pretrained: str | os.PathLike[str] | None = "openai",
    *,
    encoder_params: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    **classifier_params: Any,
) -> ImagePipeline:
    """Make a pipeline of an image encoder and a few-shot classifier, with one CLIP model for images
    and texts.

    Parameters
    ----------
    model_name, pretrained : str
        See `CLIPImageEncoder`. For several models, whose embeddings are concatenated, `model_name`
        is a list of pairs `(model_name, pretrained)`, or of names.
    encoder_params : dict, list of dict or None, default=None
        More parameters of `CLIPImageEncoder`, for all models or for each. `device`, `precision`,
        `cache` and `progress` also hold for the texts.
    **classifier_params
        Parameters of `FewShotClassifier`, without `text_encoder`.

    Returns
    -------
    ImagePipeline
        Its steps are `"clipimageencoder"`, or `"joinedimageencoder"` for several models, and
        `"fewshotclassifier"`. If no model has texts, the classifier has no text encoder, and labels
        are not read as words (`class_names="ignore"`).

    Examples
    --------
    >>> from sksemobridge import make_few_shot_pipeline
    >>> pipeline = make_few_shot_pipeline("mini", "bundled", prompts="a picture of a {}.")
    >>> list(pipeline.named_steps)
    ['clipimageencoder', 'fewshotclassifier']
    >>> pipeline = make_few_shot_pipeline([("ViT-B-32", "openai"), ("RN50", "openai")])
    """
    return _pipeline_of(
        FewShotClassifier, model_name, pretrained, encoder_params, classifier_params
    )


def make_multilabel_pipeline(
    model_name: str | Sequence[Any] = "ViT-B-16",
    pretrained: str | os.PathLike[str] | None = "openai",
    *,
    encoder_params: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    **classifier_params: Any,
) -> ImagePipeline:
    """Make a pipeline of an image encoder and a classifier of images with several labels, with one
    CLIP model for images and texts.

    Parameters
    ----------
    model_name, pretrained, encoder_params
        See `make_few_shot_pipeline`.
    **classifier_params
        Parameters of `MultilabelFewShotClassifier`, without `text_encoder`.

    Returns
    -------
    ImagePipeline
        Steps as in `make_few_shot_pipeline`, with the last step `"multilabelfewshotclassifier"`.

    Examples
    --------
    >>> from sksemobridge import make_multilabel_pipeline
    >>> pipeline = make_multilabel_pipeline("mini", "bundled", prompts="a picture of a {}.")
    >>> list(pipeline.named_steps)
    ['clipimageencoder', 'multilabelfewshotclassifier']
    """
    return _pipeline_of(
        MultilabelFewShotClassifier, model_name, pretrained, encoder_params, classifier_params
    )


def _pipeline_of(kind, model_name, pretrained, encoder_params, classifier_params):
    """The pipeline of one model or several, and a classifier of this kind."""
    is_one = isinstance(model_name, str)
    models = [(model_name, pretrained)] if is_one else list(model_name)
    models = [(model, pretrained) if isinstance(model, str) else tuple(model) for model in models]
    if encoder_params is None or isinstance(encoder_params, Mapping):
        encoder_params = [encoder_params or {}] * len(models)
    if len(encoder_params) != len(models):
        raise ValueError(
            f"encoder_params has {len(encoder_params)} items for {len(models)} models; give one"
            " dict for each, or one for all."
        )
    pairs = [_encoders(*model, params) for model, params in zip(models, encoder_params)]
    images, texts = map(list, zip(*pairs))
    text_encoder = None
    if any(encoder.has_text_ for encoder in texts):
        text_encoder = texts[0] if is_one else JoinedTextEncoder(texts)
    else:
        classifier_params = {"class_names": "ignore"} | classifier_params
    classifier = kind(text_encoder, **classifier_params)
    encoder = images[0] if is_one else JoinedImageEncoder(images)
    return ImagePipeline([(type(step).__name__.lower(), step) for step in (encoder, classifier)])


def _encoders(model_name, pretrained, params):
    """The image encoder and the text encoder of a model."""
    images = CLIPImageEncoder(model_name, pretrained, **params)
    shared = {name: getattr(images, name) for name in ("device", "precision", "cache", "progress")}
    return images, CLIPTextEncoder(model_name, pretrained, **shared)
