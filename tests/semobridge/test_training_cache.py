"""A bridge is trained once for equal content."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._semobridge import training_cache
from sksemobridge._semobridge.bridge_fit import bridge_classes
from sksemobridge._semobridge.score import START
from sksemobridge._semobridge.training_cache import trained_bridge
from sksemobridge._semobridge.validation_images import Judge, Validation
from sksemobridge._utils.lru import LRUCache

from .worlds import ClassTexts, bridge_options, make_problem, make_shots, make_training

GIVEN = {"solver": "lbfgs", "max_iter": 3, "device": "cpu"}
OPTIONS = bridge_options(**GIVEN)


@pytest.fixture
def trainings(monkeypatch):
    """A list that grows with each training, and an empty cache."""
    calls, train = [], training_cache.train_bridge

    def counted(*arguments):
        calls.append(arguments)
        return train(*arguments)

    monkeypatch.setattr(training_cache, "train_bridge", counted)
    monkeypatch.setattr(
        training_cache,
        "_trained",
        LRUCache(max_size=training_cache.MOST_BYTES, size_of=training_cache._bytes),
    )
    return calls


def test_equal_content_is_trained_once(trainings):
    first, second = make_problem(), make_problem()
    others = bridge_options(**GIVEN, verbose=1, alpha=3.0, temperature=None, n_candidates=9)
    results = [
        trained_bridge(make_training(options, **problem))
        for problem, options in (
            (first, OPTIONS),
            (second, others),
        )
    ]
    assert len(trainings) == 1
    assert results[0] is results[1]
    assert not results[0].bridge.flags.writeable


@pytest.mark.parametrize("name", ["X", "share", "bridge", "texts", "eos", "options", "left_out"])
def test_whatever_trains_the_bridge_trains_another(trainings, name):
    problem = make_problem() | {"options": OPTIONS}
    trained_bridge(make_training(**problem))
    texts = problem["texts"]
    changed = {
        "X": 1.01 * problem["X"],
        "share": np.where(problem["share"] == 0.25, [0.1, 0.4] * 6 + [0.2], problem["share"]),
        "bridge": replace(problem["bridge"], text_length=3.0),
        "texts": replace(texts, logit_scale=21.0),
        "eos": replace(texts, eos_directions=texts.eos_directions[::-1].copy()),
        "options": bridge_options(**GIVEN, lambda_c=0.2),
        "left_out": np.arange(13) % 3 == 0,
    }
    part = "texts" if name == "eos" else name
    trained_bridge(make_training(**problem | {part: changed[name]}))
    assert len(trainings) == 2


def test_another_judge_of_the_steps_trains_another_bridge(trainings):
    problem, options = make_problem(identity=True, text=False), bridge_options("adamw", max_iter=2)
    X, codes = problem["X"], problem["codes"]
    closed = bridge_classes(make_shots(X, codes), ClassTexts(), bridge_options())
    judge = Judge(Validation(X, codes, np.ones(13)), START, closed)
    factors = replace(closed.count_factors, length=closed.count_factors.length**2)
    others = [
        judge._replace(validation=judge.validation._replace(weight=np.arange(1.0, 14))),
        judge._replace(hyperparameters=START._replace(beta=2.0)),
        judge._replace(closed=replace(closed, count_factors=factors)),
    ]
    for each in (judge, *others, judge):
        trained_bridge(make_training(options, **problem, judge=each))
    assert len(trainings) == 4


def test_the_bytes_of_all_bridges_are_bounded(trainings, monkeypatch):
    problem = make_problem()
    size = training_cache._bytes(trained_bridge(make_training(OPTIONS, **problem)))
    small = LRUCache(max_size=2 * size, size_of=training_cache._bytes)
    monkeypatch.setattr(training_cache, "_trained", small)
    options = [bridge_options(**GIVEN, lambda_c=value) for value in (0.1, 0.2, 0.3)]
    trainings.clear()
    for each in (*options, options[2], options[1], options[0]):
        trained_bridge(make_training(each, **problem))
    assert len(trainings) == 4


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
def test_a_search_over_the_numbers_of_the_score_trains_once_for_each_fold(trainings, world):
    X, y = world.draw(4)
    classifier = world.classifier(SeMoBridgeClassifier, solver="lbfgs", max_iter=3, device="cpu")
    grid = {"alpha": [1.0, 6.0], "lambda2": [0.1, 0.5], "smoothness": [0.0, 0.5]}
    GridSearchCV(classifier, grid, cv=2).fit(X, y)
    # Two folds, and the best candidate on all shots.
    assert len(trainings) == 3
