"""
An operator for LightlyStudio
=============================

LightlyStudio shows a dataset of images, and people give them classes there. An operator in its menu learns from these classes
and their names. It gives all images a predicted class with a confidence. The metadata `doubt` and `p_value` show which images
need a person first.

There are two ways to install the operator. In the `pyproject.toml` of your package, add the line
`few_shot = "my_package.my_module:FewShotOperator"` below `[project.entry-points."lightly_studio.plugins"]`. Or register it in a
program: `lightly_studio.plugins.operator_registry.operator_registry.register(FewShotOperator())`.
"""

# sphinx_gallery_thumbnail_path = "generated/cards/lightly_studio_operator.png"

import numpy as np
from lightly_studio.core.annotation import ClassificationAnnotation, CreateClassification
from lightly_studio.core.image.image_sample import ImageSample
from lightly_studio.plugins.base_operator import BaseOperator, OperatorResult
from lightly_studio.plugins.operator_context import ExecutionContext, OperatorScope
from lightly_studio.plugins.parameter import StringParameter
from lightly_studio.resolvers import image_resolver

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, SeMoBridgeClassifier

PREDICTED = "sksemobridge"


class FewShotOperator(BaseOperator):
    """Learns from the images to which a person gave one class, and predicts the class of all selected images."""

    name = "Few-shot classes"
    description = (
        "Learn from the classes of some images and predict those of all. Earlier predictions are replaced."
    )
    supported_scopes = [OperatorScope.ROOT, OperatorScope.IMAGE]
    parameters = [
        StringParameter("model", "CLIP model of open_clip", "ViT-B-16"),
        StringParameter("pretrained", "its weights", "openai"),
    ]

    def execute(self, *, session, context, parameters):
        def images(**filters):
            found = image_resolver.get_all_by_collection_id(session, context.collection_id, **filters)
            return [ImageSample(image) for image in found.samples]

        samples, model = images(), (parameters["model"], parameters["pretrained"])
        X = CLIPImageEncoder(*model, on_error="nan").transform([sample.file_path_abs for sample in samples])
        readable = np.isfinite(X).all(axis=1)
        classes = [
            {
                a.class_name
                for a in sample.annotations
                if isinstance(a, ClassificationAnnotation) and a.annotation_source != PREDICTED
            }
            for sample in samples
        ]
        shots = [i for i, names in enumerate(classes) if len(names) == 1 and readable[i]]
        y = [name for i in shots for name in classes[i]]
        if len(set(y)) < 2:
            return OperatorResult(False, "First give a class to some images of at least two classes.")
        classifier = SeMoBridgeClassifier(CLIPTextEncoder(*model)).fit(X[shots], y)

        wanted = {sample.sample_id for sample in images(filters=context.context_filter)}
        rows = [i for i, sample in enumerate(samples) if readable[i] and sample.sample_id in wanted]
        proba, p_values = classifier.predict_proba(X[rows]), classifier.p_values(X[rows])
        for i, p, p_value in zip(rows, proba, p_values):
            sample, (second, first) = samples[i], np.argsort(p)[-2:]
            for annotation in sample.annotations:
                if annotation.annotation_source == PREDICTED:
                    sample.delete_annotation(annotation)
            best = CreateClassification(class_name=classifier.classes_[first], confidence=p[first])
            sample.add_annotation(best, annotation_source=PREDICTED)
            sample.metadata.update(doubt=float(1 - p[first] + p[second]), p_value=float(p_value))
        unused = f"{np.sum(~readable)} cannot be read, {sum(len(names) > 1 for names in classes)} have several classes"
        return OperatorResult(True, f"Learnt from {len(y)} images, predicted {len(rows)}; {unused}.")


# %%
# A trial on pictures of the package. A third of them have a class. `lightly_studio.start_gui()` would show the dataset.
if __name__ == "__main__":
    from pathlib import Path

    from lightly_studio import ImageDataset, db_manager
    from PIL import Image

    from sksemobridge.datasets import load_emoji

    db_manager.connect(db_file="trial.db")
    emoji, dataset = load_emoji(), ImageDataset.create()
    for i in range(0, 120, 3):
        Path("pictures").mkdir(exist_ok=True)
        Image.fromarray(emoji.images[i]).save(f"pictures/{i}.png")
    dataset.add_images_from_path("pictures", embed=False)
    for sample in list(dataset)[::3]:
        name = emoji.target_names[emoji.target[int(Path(sample.file_name).stem)]]
        sample.add_annotation(CreateClassification(class_name=name))
    context, mini = ExecutionContext(dataset.collection_id), {"model": "mini", "pretrained": "bundled"}
    print(FewShotOperator().execute(session=dataset.session, context=context, parameters=mini).message)
    first = max(dataset, key=lambda sample: sample.metadata["doubt"])
    print(first.file_name, [(a.class_name, a.confidence) for a in first.annotations], first.metadata["doubt"])
