"""From images to predictions in one estimator."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline

from ._classifier import SeMoBridgeClassifier
from ._utils.sklearn import Method, offered_if
from .encoders import CLIPImageEncoder, CLIPTextEncoder, JoinedImageEncoder, JoinedTextEncoder


def _shared_parameter(name: str) -> property:
    """A parameter that is read from the first encoder in a pipeline, and set on all encoders."""

    def read(pipeline):
        for encoder in pipeline._encoders():
            return getattr(encoder, name)
        raise AttributeError(f"No step of the pipeline has a parameter {name!r}.")

    def write(pipeline, value):
        for encoder in pipeline._encoders():
            setattr(encoder, name, value)

    return property(read, write, doc=f"`{name}` of the first encoder. Setting it sets all encoders.")


def _last_step_can(method: str) -> Callable[[Method], Method]:
    return offered_if(lambda pipeline: hasattr(pipeline.steps[-1][1], method))


class SeMoBridgePipeline(Pipeline):
    """From images to predictions in one estimator: scikit-learn's `Pipeline`, with the methods of the classifier.

    `make_semobridge_pipeline` makes such a pipeline. The first steps embed images and learn nothing. The last step is a
    classifier such as `SeMoBridgeClassifier`.

    Parameters
    ----------
    steps, transform_input, memory, verbose
        See `sklearn.pipeline.Pipeline`.

    Attributes
    ----------
    model_name, pretrained
        Model of the encoders. They are also parameters of the pipeline: `set_params` and searches set them on all encoders.
    held_out_proba_, label_proba_
        See `SeMoBridgeClassifier`.

    Examples
    --------
    >>> from sksemobridge import make_semobridge_pipeline
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> images, labels = emoji.images, emoji.target_names[emoji.target]
    >>> pipeline = make_semobridge_pipeline("mini", "bundled").fit(images[:60:4], labels[:60:4])
    >>> pipeline.partial_fit(images[60:120:4], labels[60:120:4]).classes_.tolist()
    ['arrow', 'bird', 'building', 'celebration', 'clock']
    >>> pipeline.with_classes(["bird", "rainbow"]).classes_.tolist()
    ['bird', 'rainbow']

    A search for the best model:

    >>> from sklearn.model_selection import GridSearchCV
    >>> search = GridSearchCV(pipeline, {"model_name": ["ViT-B-16", "ViT-L-14"], "pretrained": ["openai"]})
    """

    model_name = _shared_parameter("model_name")
    pretrained = _shared_parameter("pretrained")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name, with `deep` also `model_name` and `pretrained`; see `sklearn.pipeline.Pipeline`."""
        params = super().get_params(deep)
        if deep and self._encoders():
            params |= {"model_name": self.model_name, "pretrained": self.pretrained}
        return params

    @_last_step_can("partial_fit")
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Add images `X` as shots, also of new classes; see `SeMoBridgeClassifier.partial_fit`."""
        embeddings = self[:-1].transform(X)
        self[-1].partial_fit(embeddings, y, classes=classes, sample_weight=sample_weight, groups=groups)
        return self

    @_last_step_can("with_classes")
    def with_classes(self, classes: ArrayLike) -> Self:
        """Return a fitted pipeline with other classes; see `SeMoBridgeClassifier.with_classes`."""
        return self._with_classifier(self[-1].with_classes(classes))

    @_last_step_can("with_unlabeled")
    def with_unlabeled(self, X: ArrayLike) -> Self:
        """Return a fitted pipeline that has also learnt from unlabelled images `X`; see `SeMoBridgeClassifier`."""
        return self._with_classifier(self[-1].with_unlabeled(self[:-1].transform(X)))

    @_last_step_can("p_values")
    def p_values(self, X: ArrayLike) -> NDArray[Any]:
        """Return a p-value of each image of `X`; see `SeMoBridgeClassifier.p_values`."""
        return self[-1].p_values(self[:-1].transform(X))

    held_out_proba_ = property(lambda self: self[-1].held_out_proba_, doc="See `SeMoBridgeClassifier`.")
    label_proba_ = property(lambda self: self[-1].label_proba_, doc="See `SeMoBridgeClassifier`.")

    def _encoders(self):
        # Several models have names of their own.
        if isinstance(self.steps[0][1], JoinedImageEncoder):
            return []
        params = super().get_params(deep=True)
        return [part for name, part in params.items() if f"{name}__model_name" in params]

    def _with_classifier(self, classifier):
        steps = [*copy.deepcopy(self.steps[:-1]), (self.steps[-1][0], classifier)]
        return type(self)(steps, memory=self.memory, verbose=self.verbose)


def make_semobridge_pipeline(
    model_name: str | Sequence[Any] = "ViT-B-16",
    pretrained: str | os.PathLike[str] | None = "openai",
    *,
    encoder_params: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    **classifier_params: Any,
) -> SeMoBridgePipeline:
    """Make a pipeline of an image encoder and a few-shot classifier, with one CLIP model for images and texts.

    Parameters
    ----------
    model_name, pretrained : str
        See `CLIPImageEncoder`. For several models, whose embeddings lie side by side, `model_name` is a list of pairs
        `(model_name, pretrained)`, or of names.
    encoder_params : dict, list of dict or None, default=None
        More parameters of `CLIPImageEncoder`, for all models or for each. `device`, `precision` and `cache` also hold for the
        texts.
    **classifier_params
        Parameters of `SeMoBridgeClassifier`, without `text_encoder`.

    Returns
    -------
    SeMoBridgePipeline
        Its steps are `"clipimageencoder"`, or `"joinedimageencoder"` for several models, and `"semobridgeclassifier"`. If no
        model has texts, the classifier has no text encoder, and labels are no words (`class_names="ignore"`).

    Examples
    --------
    >>> from sksemobridge import make_semobridge_pipeline
    >>> pipeline = make_semobridge_pipeline("mini", "bundled", prompts="a picture of a {}.")
    >>> list(pipeline.named_steps)
    ['clipimageencoder', 'semobridgeclassifier']
    >>> pipeline = make_semobridge_pipeline([("ViT-B-32", "openai"), ("RN50", "openai")])
    """
    is_one = isinstance(model_name, str)
    models = [(model_name, pretrained)] if is_one else list(model_name)
    models = [(model, pretrained) if isinstance(model, str) else tuple(model) for model in models]
    if not models or any(len(model) != 2 for model in models):
        raise ValueError(
            f"model_name={model_name!r} is no name, and no list of pairs (model_name, pretrained)."
        )
    if encoder_params is None or isinstance(encoder_params, Mapping):
        encoder_params = [encoder_params or {}] * len(models)
    if len(encoder_params) != len(models):
        raise ValueError(
            f"encoder_params has {len(encoder_params)} items for {len(models)} models; give one dict for each, or one for all."
        )
    for name in classifier_params:
        if name == "text_encoder":
            raise TypeError(
                "make_semobridge_pipeline makes the text_encoder itself. For another one, write "
                "SeMoBridgePipeline([('encoder', CLIPImageEncoder(...)), ('classifier', SeMoBridgeClassifier(text_encoder))])."
            )
        if name in CLIPImageEncoder().get_params():
            raise TypeError(f"{name} is a parameter of the encoder: write encoder_params={{{name!r}: ...}}.")
    images = [CLIPImageEncoder(*model, **params) for model, params in zip(models, encoder_params)]
    texts = [
        CLIPTextEncoder(*model, device=encoder.device, precision=encoder.precision, cache=encoder.cache)
        for model, encoder in zip(models, images)
    ]
    text_encoder = None
    if any(encoder.has_text_ for encoder in texts):
        text_encoder = texts[0] if is_one else JoinedTextEncoder(texts)
    else:
        classifier_params = {"class_names": "ignore"} | classifier_params
    classifier = SeMoBridgeClassifier(text_encoder, **classifier_params)
    name, encoder = (
        ("clipimageencoder", images[0]) if is_one else ("joinedimageencoder", JoinedImageEncoder(images))
    )
    return SeMoBridgePipeline([(name, encoder), ("semobridgeclassifier", classifier)])
