"""Accuracy on held-out shots, and doubtful labels."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sksemobridge import (
    FewShotClassifier,
    SeMoBridgeClassifier,
    ShotEvaluation,
    ZeroShotClassifier,
    evaluate_shots,
    make_few_shot_pipeline,
)

from .encoder_helpers import some_emoji

CLASSES = ("bird", "clock", "fruit", "heart", "mammal", "media button", "person at work")
UNNAMED = FewShotClassifier(class_names="ignore")


@pytest.fixture(scope="module")
def pipeline():
    return make_few_shot_pipeline("mini", "bundled")


@pytest.fixture(scope="module")
def shots():
    """Pictures and labels of seven classes."""
    return some_emoji(CLASSES, 12)


@pytest.fixture(scope="module")
def embedded(pipeline, shots):
    images, labels = shots
    return pipeline[:-1].transform(images), labels


def test_the_accuracies_are_those_of_the_classifiers(pipeline, shots, embedded):
    X, y = embedded
    evaluation = evaluate_shots(pipeline, *shots)
    classifier = clone(pipeline[-1]).set_params(store_held_out=True).fit(X, y)
    np.testing.assert_allclose(evaluation.held_out_proba, classifier.held_out_proba_)
    predicted = classifier.classes_[classifier.held_out_proba_.argmax(axis=1)]
    assert evaluation.accuracy == np.mean(predicted == y)
    assert dict(zip(evaluation.classes, evaluation.n_shots)) == {
        name: sum(y == name) for name in CLASSES
    }
    zero_shot = ZeroShotClassifier(pipeline[-1].text_encoder).fit(None, y)
    assert evaluation.names_accuracy == zero_shot.score(X, y)


@pytest.mark.parametrize(
    ("n_classes", "per_class", "width"), [(3, 10, 64), (3, 16, 512), (10, 4, 512)]
)
def test_labels_that_mean_nothing_are_predicted_as_by_guessing(n_classes, per_class, width):
    rng = np.random.default_rng(0)
    y, accuracies = np.repeat(np.arange(n_classes), per_class), []
    for _ in range(8):
        X = rng.normal(size=(len(y), width))
        accuracies.append(evaluate_shots(UNNAMED, X, y).accuracy)
    assert np.mean(accuracies) < 1 / n_classes + 0.1


def test_a_wrong_label_is_doubtful(pipeline, embedded):
    X, y = embedded
    y = y.copy()
    y[np.flatnonzero(y == "bird")[0]] = "heart"
    evaluation = evaluate_shots(pipeline[-1], X, y)
    assert evaluation.doubtful[0] == np.flatnonzero(y == "heart")[0]
    assert evaluation.label_proba[evaluation.doubtful[0]] < 0.5
    assert np.all(np.diff(evaluation.label_proba[evaluation.doubtful]) >= 0)


def test_pictures_that_are_there_twice_are_named(embedded):
    X, y = embedded
    assert not len(evaluate_shots(UNNAMED, X[::12], y[::12]).duplicates)
    rows = [0, 20, 40, 20, 60, 20]
    duplicates = evaluate_shots(UNNAMED, X[rows], y[[0, 20, 40, 60, 60, 20]]).duplicates
    assert duplicates.tolist() == [[3, 1], [5, 1]]


def test_an_expected_share_of_wrong_labels_is_kept(pipeline, embedded):
    X, y = embedded
    classifier = FewShotClassifier(pipeline[-1].text_encoder, label_noise=0.2)
    expected = classifier.fit(X, y).label_proba_
    np.testing.assert_array_equal(evaluate_shots(classifier, X, y).label_proba, expected)


def test_copies_of_an_image_do_not_help_to_predict_each_other():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 64)), rng.integers(2, size=20)
    twice = np.vstack([X, X + rng.normal(scale=1e-2, size=X.shape)])
    apart, together = (
        evaluate_shots(UNNAMED, twice, np.tile(y, 2), groups=groups)
        for groups in (np.arange(40), np.tile(np.arange(20), 2))
    )
    assert apart.accuracy > 0.9 > together.accuracy


def test_what_cannot_be_compared_is_nan(pipeline, embedded):
    X, y = embedded
    first = np.unique(y, return_index=True)[1]
    unnamed = evaluate_shots(UNNAMED, X[first], y[first])
    assert np.isnan([unnamed.accuracy, unnamed.names_accuracy]).all()
    assert "No shot could be held out, so probabilities are a rough guess" in str(unnamed)
    assert "%" not in str(unnamed)
    assert str(evaluate_shots(pipeline[-1], X[:1], y[:1])).startswith(
        f"1 shot of 1 class: {y[0]} 1\n"
    )


@pytest.mark.parametrize(("per_class", "is_compared"), [(3, False), (4, True)])
def test_the_summary_has_three_lines_and_compares_from_four_shots_of_a_class(
    per_class, is_compared, pipeline, embedded
):
    X, y = embedded
    rows = np.concatenate([np.flatnonzero(y == name)[:per_class] for name in CLASSES])
    evaluation = evaluate_shots(pipeline[-1], X[rows], y[rows])
    classes, accuracy, doubtful = str(evaluation).splitlines()
    assert "7 classes: bird" in classes
    n_right = round(len(rows) * evaluation.accuracy)
    assert f": {n_right} of {len(rows)}, {evaluation.accuracy:.1%}" in accuracy
    assert (f" (names alone {evaluation.names_accuracy:.1%})" in accuracy) == is_compared
    n_doubtful = len(evaluation.doubtful)
    assert doubtful.startswith(f"{n_doubtful} shot" if n_doubtful else "No label looks doubtful")


def test_a_search_is_evaluated(pipeline, embedded):
    search = GridSearchCV(pipeline[-1], {"prompts": ["{}"]}, cv=2).fit(*embedded)
    assert evaluate_shots(search, *embedded).accuracy > 0


@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(), SeMoBridgeClassifier(), ZeroShotClassifier(None)],
)
def test_other_classifiers_are_refused(estimator, embedded):
    message = "evaluate_shots needs a FewShotClassifier.*cross_val_predict"
    with pytest.raises(TypeError, match=message):
        evaluate_shots(estimator, *embedded)


@pytest.mark.filterwarnings("ignore:The shots of .* fit the name of another class better")
def test_a_name_that_two_shots_contradict_is_doubtful(pipeline, shots, embedded):
    assert evaluate_shots(pipeline, *shots).doubtful_names.tolist() == []
    X, y = embedded
    classifier = clone(pipeline[-1])
    names = {name: name for name in CLASSES} | {"heart": "clock", "clock": "heart", "bird": None}
    classifier.set_params(class_names=names)
    evaluation = evaluate_shots(classifier, X, y)
    assert sorted(evaluation.doubtful_names) == ["clock", "heart"]
    names = ", ".join(evaluation.doubtful_names)
    assert f"2 classes with a doubtful name: {names}\n" in str(evaluation)
    _, first = np.unique(y, return_index=True)
    for rows, groups in ((first, None), (np.arange(len(y)), y)):
        one_image = evaluate_shots(classifier, X[rows], y[rows], groups=groups)
        assert one_image.doubtful_names.tolist() == []


def test_a_classifier_that_is_fitted_already_is_evaluated_as_it_is(pipeline, embedded):
    X, y = embedded
    classifier = clone(pipeline[-1]).set_params(store_held_out=True).fit(X, y)
    found, expected = ShotEvaluation.from_fitted(classifier, X, y), evaluate_shots(classifier, X, y)
    assert str(found) == str(expected)
    assert np.array_equal(found.held_out_proba, expected.held_out_proba)
    with pytest.raises(NotFittedError, match="store_held_out=True, or call evaluate_shots"):
        ShotEvaluation.from_fitted(clone(pipeline[-1]).fit(X, y), X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ShotEvaluation.from_fitted(classifier, X[1:], y[1:])
    with pytest.raises(ValueError, match="labels of no class: tench"):
        ShotEvaluation.from_fitted(classifier, X, ["tench", *y[1:]])
