"""The pipeline of a folder, from any encoder, and the names of its models."""

from ... import FewShotClassifier, ImagePipeline


def pipeline_of(encoder, text_encoder):
    """The pipeline from any transformer of paths, before it is fitted. Without a text encoder,
    labels are not read as words.
    """
    params = {"class_names": "ignore"} if text_encoder is None else {}
    classifier = FewShotClassifier(text_encoder, **params)
    return ImagePipeline([("encoder", encoder), ("classifier", classifier)])


def with_classifier(pipeline, classifier):
    """The pipeline with another classifier."""
    *before, (name, _) = pipeline.steps
    return ImagePipeline([*before, (name, classifier)])


def model_names(encoder):
    """Names of the models of an image encoder. Encoders of other packages have none."""
    encoders = getattr(encoder, "encoders", [encoder])
    return [encoder.model_name for encoder in encoders if hasattr(encoder, "model_name")]
