"""The examples for labelling tools, against these tools where they are installed."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from sksemobridge.labelling import predict_folder

from .user_folder import CLASSES, fitted_to_shots

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def table(place):
    """Predictions of the user's `photos`."""
    return predict_folder(fitted_to_shots(), "photos", progress=False)


@pytest.fixture
def label_studio():
    return runpy.run_path(str(EXAMPLES / "label_studio.py"))


def annotated(tasks):
    """The export after a person has confirmed all predictions."""
    return [
        task | {"annotations": [{"result": p["result"]} for p in task["predictions"]]}
        for task in tasks
    ]


def test_labels_go_to_label_studio_and_back(table, label_studio):
    tasks = json.loads(json.dumps(label_studio["to_tasks"](table, "photos")))
    assert len(tasks) == len(table)
    paths, labels = label_studio["to_shots"](annotated(tasks), "photos")
    labelled = table[table["problem"] == ""]
    assert paths == labelled["path"].tolist()
    assert labels == labelled["label"].tolist()
    scores = [task["predictions"][0]["score"] for task in tasks if task["predictions"]]
    assert scores == labelled["probability"].tolist()


def test_tasks_without_one_label_by_a_person_are_no_shots(table, label_studio):
    first, second, third, *_ = annotated(
        label_studio["to_tasks"](table[table["problem"] == ""], "photos")
    )
    first["annotations"][0]["was_cancelled"] = True
    second["annotations"][0]["result"][0]["value"]["choices"] = ["bird", "clock"]
    third["annotations"].append(
        {"result": [third["annotations"][0]["result"][0] | {"value": {"choices": ["bird"]}}]}
    )
    paths, labels = label_studio["to_shots"]([first, second, third, {"data": {}}], "photos")
    assert len(paths) == 1
    assert labels == ["bird"]


def test_label_studio_takes_the_tasks(table, label_studio):
    interface = pytest.importorskip(
        "label_studio_sdk.label_interface", reason="needs label-studio-sdk"
    )
    choices = "".join(f'<Choice value="{name}"/>' for name in CLASSES)
    config = (
        '<Image name="image" value="$image"/><Choices name="label"'
        f' toName="image">{choices}</Choices>'
    )
    studio = interface.LabelInterface(f"<View>{config}</View>")
    for task in label_studio["to_tasks"](table, "photos"):
        assert studio.validate_task({"data": task["data"]})
        assert not any(
            studio.validate_prediction(p, return_errors=True) for p in task["predictions"]
        )
        assert all(studio.validate_annotation({"result": p["result"]}) for p in task["predictions"])


def test_a_model_labels_samples_of_fiftyone(table):
    fiftyone = pytest.importorskip("fiftyone", reason="needs fiftyone")
    from fiftyone.core.models import Model
    from fiftyone.utils.image import read

    model_class = runpy.run_path(str(EXAMPLES / "fiftyone_model.py"))["FewShotModel"]
    samples = [fiftyone.Sample(filepath=path) for path in table["path"][table["problem"] == ""]]
    with model_class(fitted_to_shots()) as model:
        assert isinstance(model, Model)
        assert (model.media_type, model.has_logits, model.has_embeddings) == ("image", False, False)
        for sample, label in zip(
            samples, model.predict_all([read(sample.filepath) for sample in samples])
        ):
            sample.add_labels(label, label_field="predictions")
        assert model.predict(read(samples[0].filepath)).label == samples[0].predictions.label
    predictions = [sample.predictions for sample in samples]
    labelled = table[table["problem"] == ""]
    assert [prediction.label for prediction in predictions] == labelled["label"].tolist()
    doubt = 1 - labelled["probability"] + labelled["runner_up_probability"]
    for name, values in {"confidence": labelled["probability"], "doubt": doubt}.items():
        found = [getattr(prediction, name) for prediction in predictions]
        np.testing.assert_allclose(found, values, atol=1e-5)
