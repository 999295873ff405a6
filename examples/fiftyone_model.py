"""
A model for FiftyOne
====================

FiftyOne shows a dataset of images, and people label them there. This model learns from the labels
of a field. `dataset.apply_model(model, "predictions")` fills another field with label, confidence,
doubt and p-value. Sort by doubt in the app, or with
`dataset.sort_by("predictions.doubt", reverse=True)`. Then the images that need a person come first.

If an image is broken, its batch gets no predictions. Apply the model again to
`dataset.exists("predictions", False)`, without `batch_size`.
"""

# sphinx_gallery_thumbnail_path = "generated/cards/fiftyone_model.png"

import fiftyone
import numpy as np
from fiftyone.core.models import Model

from sksemobridge import make_few_shot_pipeline


class FewShotModel(Model):
    """A fitted pipeline as a model of FiftyOne."""

    def __init__(self, pipeline):
        self.pipeline = pipeline

    @classmethod
    def from_labels(cls, dataset, field, **params):
        """Learn from the samples with a classification in `field`. `params` go to
        `make_few_shot_pipeline`.
        """
        labelled = dataset.exists(f"{field}.label")
        paths, labels = labelled.values(["filepath", f"{field}.label"])
        return cls(make_few_shot_pipeline(**params).fit(paths, labels))

    media_type = "image"
    transforms = None
    preprocess = False
    ragged_batches = False  # images of a batch may differ in size

    def predict(self, image):
        """The `fiftyone.Classification` of pixels."""
        return self.predict_all([image])[0]

    def predict_all(self, images):
        """One `fiftyone.Classification` for each image, with `doubt` (0 to 1) and `p_value` (low:
        none of the classes).
        """
        X = self.pipeline[:-1].transform(list(images))
        proba, p_values = self.pipeline[-1].predict_proba(X), self.pipeline[-1].p_values(X)
        best = proba.argmax(axis=1)
        ranked = np.sort(proba, axis=1)
        second = ranked[:, -2] if proba.shape[1] > 1 else np.zeros(len(proba))
        return [
            fiftyone.Classification(
                label=str(self.pipeline.classes_[i]),
                confidence=float(p[i]),
                doubt=float(1 - p[i] + other),
                p_value=float(p_value),
            )
            for i, p, other, p_value in zip(best, proba, second, p_values)
        ]


# %%
# A trial on pictures of the package. A third of them have a label.
if __name__ == "__main__":
    from pathlib import Path

    from PIL import Image

    from sksemobridge.datasets import load_emoji

    emoji, dataset = load_emoji(), fiftyone.Dataset()
    for i in range(0, 120, 3):
        path = Path(f"{i}.png").absolute()
        Image.fromarray(emoji.images[i]).save(path)
        label = (
            fiftyone.Classification(label=emoji.target_names[emoji.target[i]])
            if i % 9 == 0
            else None
        )
        dataset.add_sample(fiftyone.Sample(filepath=str(path), ground_truth=label))
    model = FewShotModel.from_labels(
        dataset, "ground_truth", model_name="mini", pretrained="bundled"
    )
    dataset.apply_model(model, "predictions", batch_size=16)
    first = dataset.sort_by("predictions.doubt", reverse=True).first()
    print(dataset.count_values("predictions.label"), first.filepath, first.predictions)
