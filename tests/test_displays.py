"""What the display draws, by the data of its artists."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import GridSearchCV

from sksemobridge import PredictionsDisplay, make_few_shot_pipeline
from sksemobridge.datasets import load_emoji

from .encoder_helpers import some_emoji

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def pictures():
    """Shots and queries of three classes, and a pipeline fitted on the shots."""
    images, labels = some_emoji(("clock", "fruit", "mammal"), 8)
    pipeline = make_few_shot_pipeline("mini", "bundled").fit(images[::2], labels[::2])
    shots = {"shots": images[::2], "y_shots": labels[::2]}
    return SimpleNamespace(
        queries=images[1::2], y_queries=labels[1::2], pipeline=pipeline, shots=shots
    )


def pixels(ax):
    return np.asarray(ax.get_images()[0].get_array())


def test_predictions_show_each_picture_with_class_probability_and_closest_shots(pictures):
    pipeline, queries, shots = pictures.pipeline, pictures.queries, pictures.shots
    display = PredictionsDisplay.from_estimator(pipeline, queries, **shots, n_shots=2)
    embed = pipeline[:-1].transform
    closest = np.argsort(-cosine_similarity(embed(queries), embed(shots["shots"])), axis=1)[:, :2]
    predicted, probability = pipeline.predict(queries), pipeline.predict_proba(queries).max(axis=1)
    assert display.axes_.shape == (len(queries), 3)
    for i, (own, *beside) in enumerate(display.axes_):
        np.testing.assert_array_equal(pixels(own), queries[i])
        assert own.get_title() == f"{predicted[i]}\n{probability[i]:.0%}"
        assert own.title.get_color() == "black"
        for ax, j in zip(beside, closest[i]):
            np.testing.assert_array_equal(pixels(ax), shots["shots"][j])
            assert ax.get_title() == shots["y_shots"][j]


def test_wrong_predictions_are_red_and_say_what_is_right(pictures):
    display = PredictionsDisplay.from_predictions(
        pictures.queries[:2], ["clock", "fruit"], [0.9, 0.8], y_true=["clock", "clock"]
    )
    assert [ax.get_title() for ax in display.axes_[:, 0]] == ["clock\n90%", "fruit\n80%\nis: clock"]
    colors = [ax.title.get_color() for ax in display.axes_[:, 0]]
    assert colors == ["tab:green", "tab:red"]
    assert [ax.spines["left"].get_edgecolor() for ax in display.axes_[:, 0]] == [
        to_rgba(c) for c in colors
    ]


def test_a_search_is_drawn_as_its_best_pipeline_few_shots_only_once_and_large_pictures_small(
    pictures,
):
    search = GridSearchCV(pictures.pipeline, {"fewshotclassifier__vocabulary": [None]}, cv=2)
    search.fit(*pictures.shots.values())
    few = {name: part[:2] for name, part in pictures.shots.items()}
    large = np.kron(pictures.queries[0], np.ones((8, 4, 1), np.uint8))
    display = PredictionsDisplay.from_estimator(search, [large], **few)
    assert display.axes_.shape == (1, 3)
    assert max(pixels(display.axes_[0, 0]).shape) == 224


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_pred": ["a"]}, "inconsistent numbers of samples"),
        ({"y_shots": ["a"]}, "inconsistent numbers of samples"),
        (
            {"images": ["nothing.png"] * 2},
            "image 'nothing.png' cannot be read: there is no such file",
        ),
    ],
)
def test_predictions_that_do_not_fit_together_are_refused(change, message):
    images = load_emoji().images[:5]
    parts = {"images": images[:2], "y_pred": ["a", "b"], "probability": [0.5, 0.6]}
    parts |= {"shots": images[2:], "y_shots": ["a", "b", "c"], "closest": [[0], [1]]}
    with pytest.raises(ValueError, match=message):
        PredictionsDisplay.from_predictions(**parts | change)


def test_only_a_pipeline_is_taken(pictures):
    with pytest.raises(TypeError, match="must be a Pipeline from images, not FewShotClassifier"):
        PredictionsDisplay.from_estimator(pictures.pipeline[-1], pictures.queries)
