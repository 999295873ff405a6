"""What the displays draw, by the data of their artists."""

from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import GridSearchCV

from sksemobridge import PredictionsDisplay, make_semobridge_pipeline
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
    pipeline = make_semobridge_pipeline("mini", "bundled").fit(images[::2], labels[::2])
    shots = {"shots": images[::2], "y_shots": labels[::2]}
    return SimpleNamespace(queries=images[1::2], y_queries=labels[1::2], pipeline=pipeline, shots=shots)


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
        # Without labels nothing is right or wrong.
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
    assert [ax.spines["left"].get_edgecolor() for ax in display.axes_[:, 0]] == [to_rgba(c) for c in colors]


def test_pictures_may_be_files_and_are_drawn_small(pictures, tmp_path):
    path = tmp_path / "large.png"
    Image.fromarray(pictures.queries[0]).resize((720, 360)).save(path)
    display = PredictionsDisplay.from_estimator(pictures.pipeline, [path])
    assert pixels(display.axes_[0, 0]).shape == (112, 224, 3)


def test_a_search_is_drawn_as_its_best_pipeline_and_few_shots_only_once(pictures):
    search = GridSearchCV(pictures.pipeline, {"semobridgeclassifier__vocabulary": [None]}, cv=2)
    search.fit(*pictures.shots.values())
    few = {name: part[:2] for name, part in pictures.shots.items()}
    assert PredictionsDisplay.from_estimator(search, pictures.queries[:1], **few).axes_.shape == (1, 3)


def test_a_row_has_about_eight_pictures(pictures):
    display = PredictionsDisplay.from_estimator(pictures.pipeline, pictures.queries[:5], **pictures.shots)
    places = [ax.get_subplotspec() for ax in display.axes_[:, 0]]
    assert [place.rowspan.start for place in places] == [0, 0, 1, 1, 2]


def test_a_display_can_be_drawn_in_the_place_of_given_axes(pictures):
    figure, axes = plt.subplots(1, 2)
    display = PredictionsDisplay.from_estimator(pictures.pipeline, pictures.queries[:4], ax=axes[1])
    assert display.figure_ is figure
    assert display.ax_ is axes[1]
    first = display.axes_
    assert display.plot() is display
    assert display.figure_ is not figure
    assert display.axes_.shape == first.shape
    for place in (figure.add_axes([0, 0, 1, 1]), figure):
        with pytest.raises(ValueError, match="ax must be one Axes in a grid"):
            display.plot(place)


def test_matplotlib_is_named_when_missing(pictures, without):
    without("matplotlib")
    with pytest.raises(ImportError, match="PredictionsDisplay requires matplotlib"):
        PredictionsDisplay.from_predictions(pictures.queries[:1], ["a"], [1.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": []}, "images is empty"),
        ({"y_pred": ["a"]}, "inconsistent numbers of samples"),
        ({"closest": [[0], [5]]}, "positions of the 3 shots"),
        ({"closest": [[-1], [0]]}, "positions of the 3 shots"),
        ({"closest": [0, 1]}, "positions of the 3 shots"),
        ({"closest": [[0.5], [1.0]]}, "positions of the 3 shots"),
        ({"y_shots": ["a"]}, "inconsistent numbers of samples"),
        ({"y_shots": None}, "y_shots .their labels. and closest .* belong together"),
        ({"probability": np.eye(2)}, "1d array"),
        ({"y_true": np.eye(2)}, "1d array"),
        ({"images": ["nothing.png"] * 2}, "image 'nothing.png' cannot be read: there is no such file"),
    ],
)
def test_predictions_that_do_not_fit_together_are_refused(change, message):
    images = load_emoji().images[:5]
    parts = {"images": images[:2], "y_pred": ["a", "b"], "probability": [0.5, 0.6]}
    parts |= {"shots": images[2:], "y_shots": ["a", "b", "c"], "closest": [[0], [1]]}
    PredictionsDisplay(**parts)
    with pytest.raises(ValueError, match=message):
        PredictionsDisplay.from_predictions(**parts | change)


def test_what_no_pipeline_can_predict_is_refused(pictures):
    pipeline, queries = pictures.pipeline, pictures.queries
    for estimator, X, params, error, message in (
        (pipeline[-1], queries, {}, TypeError, "must be a fitted Pipeline .* got SeMoBridgeClassifier"),
        (clone(pipeline), queries, {}, NotFittedError, "not fitted"),
        (pipeline, [], {}, ValueError, "X is empty"),
        (pipeline, queries[:2], {"shots": [], "y_shots": []}, ValueError, "shots is empty"),
        (pipeline, None, {}, TypeError, "got NoneType"),
        (pipeline, queries, {"n_shots": 0}, ValueError, "n_shots"),
        (pipeline, queries, {"y": pictures.y_queries[:3]}, ValueError, "inconsistent numbers of samples"),
    ):
        with pytest.raises(error, match=message):
            PredictionsDisplay.from_estimator(estimator, X, **params)
