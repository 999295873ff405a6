"""The examples for labelling tools, against the packages of these tools where they are installed."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from sksemobridge import predict_folder

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
    return [task | {"annotations": [{"result": p["result"]} for p in task["predictions"]]} for task in tasks]


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
    first, second, third, *_ = annotated(label_studio["to_tasks"](table[table["problem"] == ""], "photos"))
    first["annotations"][0]["was_cancelled"] = True
    second["annotations"][0]["result"][0]["value"]["choices"] = ["bird", "clock"]
    third["annotations"].append(
        {"result": [third["annotations"][0]["result"][0] | {"value": {"choices": ["bird"]}}]}
    )
    paths, labels = label_studio["to_shots"]([first, second, third, {"data": {}}], "photos")
    assert len(paths) == 1
    assert labels == ["bird"]


def test_label_studio_takes_the_tasks(table, label_studio):
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason="needs label-studio-sdk")
    choices = "".join(f'<Choice value="{name}"/>' for name in CLASSES)
    config = f'<Image name="image" value="$image"/><Choices name="label" toName="image">{choices}</Choices>'
    studio = interface.LabelInterface(f"<View>{config}</View>")
    for task in label_studio["to_tasks"](table, "photos"):
        assert studio.validate_task({"data": task["data"]})
        assert not any(studio.validate_prediction(p, return_errors=True) for p in task["predictions"])
        assert all(studio.validate_annotation({"result": p["result"]}) for p in task["predictions"])


@pytest.fixture
def fiftyone():
    return pytest.importorskip("fiftyone", reason="needs fiftyone")


@pytest.fixture
def model_class(fiftyone):
    return runpy.run_path(str(EXAMPLES / "fiftyone_model.py"))["FewShotModel"]


def check_predictions(samples, table):
    """Predictions of samples are those of the labelled rows of a table."""
    predictions = [sample.predictions for sample in samples]
    labelled = table[table["problem"] == ""]
    assert [prediction.label for prediction in predictions] == labelled["label"].tolist()
    expected = {
        "confidence": labelled["probability"],
        "doubt": 1 - labelled["probability"] + labelled["runner_up_probability"],
        "p_value": labelled["p_value"],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(
            [getattr(prediction, name) for prediction in predictions], values, atol=1e-5
        )


def test_a_model_labels_samples_of_fiftyone(table, fiftyone, model_class):
    from fiftyone.core.models import Model
    from fiftyone.utils.image import read

    samples = [fiftyone.Sample(filepath=path) for path in table["path"][table["problem"] == ""]]
    with model_class(fitted_to_shots()) as model:
        assert isinstance(model, Model)
        assert (model.media_type, model.has_logits, model.has_embeddings) == ("image", False, False)
        for sample, label in zip(samples, model.predict_all([read(sample.filepath) for sample in samples])):
            sample.add_labels(label, label_field="predictions")
        assert model.predict(read(samples[0].filepath)).label == samples[0].predictions.label
    check_predictions(samples, table)


# Packages of fiftyone warn of each other.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_learns_from_a_field_and_fills_another(table, fiftyone, model_class):
    from fiftyone.core.config import FiftyOneConfigError

    try:
        dataset = fiftyone.Dataset()
    except FiftyOneConfigError:
        pytest.skip("needs the database of fiftyone")
    for name in CLASSES:
        for path in sorted(Path("shots", name).absolute().iterdir()):
            label = fiftyone.Classification(label=name)
            dataset.add_sample(fiftyone.Sample(filepath=str(path), ground_truth=label))
    paths = table["path"][table["problem"] == ""]
    dataset.add_samples([fiftyone.Sample(filepath=str(Path(path).absolute())) for path in paths])
    model = model_class.from_labels(dataset, "ground_truth", model_name="mini", pretrained="bundled")
    sizes, predict_all = [], model.predict_all
    model.predict_all = lambda images: sizes.append(len(images)) or predict_all(images)
    dataset.apply_model(model, "predictions", batch_size=4)
    assert sizes == [4, 4, 4, 4, 2]
    check_predictions(dataset.exists("ground_truth", False), table)


@pytest.fixture
def studio(monkeypatch, tmp_path):
    """LightlyStudio with an empty database; it tells nobody."""
    monkeypatch.setenv("LIGHTLY_STUDIO_ANALYTICS_ENABLED", "0")
    studio = pytest.importorskip("lightly_studio", reason="needs lightly-studio")
    studio.db_manager.connect(db_file=str(tmp_path / "studio.db"))
    yield studio
    studio.db_manager.close()


# Packages of LightlyStudio warn of each other.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_operator_learns_from_classes_in_lightly_studio(table, studio):
    from lightly_studio.core.annotation import CreateClassification
    from lightly_studio.plugins.operator_context import ExecutionContext
    from lightly_studio.resolvers.image_filter import ImageFilter
    from lightly_studio.resolvers.sample_resolver.sample_filter import SampleFilter

    operator = runpy.run_path(str(EXAMPLES / "lightly_studio_operator.py"))["FewShotOperator"]()
    dataset = studio.ImageDataset.create()
    Path("photos/broken.jpg").unlink()
    for folder in ("shots", "photos"):
        dataset.add_images_from_path(folder, embed=False)

    def run(context_filter=None):
        return operator.execute(
            session=dataset.session,
            context=ExecutionContext(dataset.collection_id, context_filter),
            parameters={"model": "mini", "pretrained": "bundled"},
        )

    assert not run().success
    for sample in dataset:
        folder = Path(sample.file_path_abs).parent
        if folder.parent.name == "shots":
            sample.add_annotation(CreateClassification(class_name=folder.name))
    photos = [sample for sample in dataset if "photos" in Path(sample.file_path_abs).parts]
    first = ImageFilter(sample_filter=SampleFilter(sample_ids=[photos[0].sample_id]))
    assert "Learnt from 12 images, predicted 1;" in run(first).message
    # The second run learns from no prediction of the first, and replaces them.
    for _ in range(2):
        assert "Learnt from 12 images, predicted 18;" in run().message
    labelled = table[table["problem"] == ""].set_index("path")
    for sample in photos:
        (prediction,) = sample.annotations
        row = labelled.loc[str(Path(sample.file_path_abs).relative_to(Path.cwd()))]
        assert (prediction.class_name, prediction.annotation_source) == (row["label"], "sksemobridge")
        assert prediction.confidence == pytest.approx(row["probability"], abs=1e-5)
        assert sample.metadata["p_value"] == pytest.approx(row["p_value"], abs=1e-5)
