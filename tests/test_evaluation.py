"""Accuracy on held-out shots, and doubtful labels."""

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sksemobridge import (
    FewShotClassifier,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
    evaluate_shots,
    make_few_shot_pipeline,
)
from sksemobridge._evaluation import Answered, share_right, weights_of_answers

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
    assert doubtful.startswith(f"{len(evaluation.doubtful)} shot")


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


def test_the_share_that_is_right_is_the_mean_probability_and_checks_outweigh_it():
    proba = np.tile([[0.8, 0.1, 0.1]], (200, 1))
    before = share_right(proba)
    assert before.estimate == pytest.approx(0.8)
    assert before.low < 0.8 < before.high
    after = share_right(proba, n_checked=400, n_right=380)
    assert 0.92 < after.estimate < 0.95
    assert after.high - after.low < (before.high - before.low) / 2
    # Images that are surely right are so up to one of them.
    certain = share_right(np.eye(3)[np.zeros(50, dtype=int)])
    assert (certain.estimate, certain.high) == (1, 1)
    assert 0.9 < certain.low < 1


def answered(proba, codes, rounds=0, n_others=0):
    """Answers to images with these probabilities."""
    rounds = np.broadcast_to(rounds, len(codes))
    return Answered(proba, codes, weights_of_answers(rounds, proba.argmax(axis=1)), n_others)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("power", "is_corrected"), [(0.05, True), (0.8, False)])
def test_answers_correct_probabilities_far_too_high_and_small_differences_are_chance(
    power, is_corrected
):
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(3000, 4))
    believed, true = softmax(logits), softmax(power * logits)
    labels = (rng.random((3000, 1)) > true.cumsum(axis=1)).sum(axis=1)
    right = np.mean(logits.argmax(axis=1) == labels)
    asked = np.flatnonzero(believed.max(axis=1) < 0.8)[:400]
    said = answered(believed[asked], labels[asked], np.arange(400) // 100)
    before, after = share_right(believed), share_right(believed, [said])
    assert (abs(after.estimate - before.estimate) > 0.02) == is_corrected
    assert (abs(after.estimate - right) < abs(before.estimate - right) / 2) == is_corrected


def test_one_wrong_click_moves_the_estimate_little():
    sure = np.tile([[0.999, 0.001]], (100, 1))
    slip = answered(sure[:10], (np.arange(10) == 3).astype(int))
    assert share_right(sure, [slip]).estimate > 0.98


def test_an_answer_counts_half_of_one_in_the_next_round_and_pages_of_one_class_as_a_root():
    weights = weights_of_answers([3, 3, 7, 7, 7, 7, 7], ["a", "b", "a", "b", "b", "b", "b"])
    np.testing.assert_allclose(weights, [0.5, 0.5, 1, 0.5, 0.5, 0.5, 0.5])
    assert weights_of_answers([], []).shape == (0,)


def test_columns_that_are_not_listed_share_the_rest():
    proba = np.array([[0.6, 0.1, 0.1, 0.1, 0.1]] * 30)
    rest = np.random.default_rng(0).dirichlet([9, 1, 1], 40)
    whole = answered(proba, np.ones(30, dtype=int))._replace(weights=np.ones(30))
    listed = whole._replace(proba=proba[:, :2], n_others=3)
    assert share_right(rest, [whole]).estimate < share_right(rest).estimate - 0.1
    np.testing.assert_allclose(share_right(rest, [listed]), share_right(rest, [whole]))


def test_the_share_that_is_right_is_one_by_a_temperature_and_counts():
    """The temperature has a Cauchy prior, and a beta distribution has nine of ten cases between its
    ends.
    """
    rng = np.random.default_rng(1)
    proba, asked = rng.dirichlet([3, 1, 1, 0.9], size=(2, 40))
    codes = asked.argmin(axis=1)
    said = answered(asked, codes)
    logs = np.linspace(-4, 1, 51)
    loss = np.log(1 + (logs / 0.03) ** 2)
    for p, code, weight in zip(asked, codes, said.weights):
        powers = p ** np.exp(logs)[:, None]
        # One of twenty answers is a slip.
        p_answer = 0.95 * powers[:, code] / powers.sum(axis=1) + 0.05 / 4
        loss -= weight * np.log(p_answer)
    mean = np.exp(-loss) @ logs / np.exp(-loss).sum()
    assert mean < -0.5
    powers = proba ** np.exp(mean)
    right = (powers / powers.sum(axis=1, keepdims=True)).max(axis=1).mean()
    # The standard deviation of the logarithm of its odds is 0.6.
    worth = 1 / (0.36 * right * (1 - right)) - 1
    n_right, n = worth * right + 9, worth + 12
    low, high = beta.ppf([0.05, 0.95], n_right, n - n_right)
    expected = n_right / n, np.floor(40 * low) / 40, np.ceil(40 * high) / 40
    found = share_right(proba, [said], n_checked=12, n_right=9)
    np.testing.assert_allclose(found, expected)
