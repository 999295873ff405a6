"""Predictions from arrays of other libraries, where those are."""

from itertools import product

import array_api_strict as strict
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from torch.overrides import TorchFunctionMode

from sksemobridge import (
    FewShotClassifier,
    MultilabelFewShotClassifier,
    SemanticBridge,
    SeMoBridgeClassifier,
)
from sksemobridge._utils import array_api

# What makes an array of each library on a device.
LIBRARIES = {
    "torch": lambda X: torch.asarray(X),
    "cuda": lambda X: torch.asarray(X, device="cuda"),
    "strict on another device": lambda X: strict.asarray(X, device=strict.Device("device1")),
}


@pytest.fixture(params=LIBRARIES)
def move(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no GPU")
    with sklearn.config_context(array_api_dispatch=True):
        yield LIBRARIES[request.param]


def classifiers(world, X, y):
    """Fitted classifiers: both kinds, trained, with and without text, with a class that has no
    shots, of two classes.
    """
    seen, codes, two = y != "dog", world.codes(y), np.isin(y, ["cat", "dog"])
    yield world.classifier(SeMoBridgeClassifier, solver="lbfgs").fit(X, y)
    yield world.classifier(priors="shots").fit(X[seen], y[seen]).with_classes(world.names)
    yield FewShotClassifier().fit(X, codes).with_unlabeled(X)
    yield world.zero_shot().fit(X, y)
    yield world.classifier().fit(X[two], y[two])


def assert_like(actual, given, expected):
    """An array of the library, precision and device of `given` with the values of `expected`."""
    assert type(actual) is type(given)
    assert actual.device == given.device
    assert actual.dtype == given.dtype
    np.testing.assert_allclose(array_api.to_numpy(actual), expected, rtol=1e-3, atol=1e-4)


def test_results_follow_the_queries(any_world, move):
    X, y = any_world.draw(4)
    both = [any_world.draw(6)[0].astype(dtype) for dtype in (np.float32, np.float64)]
    for classifier, queries in product(classifiers(any_world, X, y), both):
        given = move(queries)
        for method in ("predict_proba", "predict_log_proba", "decision_function"):
            assert_like(
                getattr(classifier, method)(given), given, getattr(classifier, method)(queries)
            )
        labels = classifier.predict(given)
        assert isinstance(labels, np.ndarray)
        assert (labels == classifier.predict(queries)).all()
        if isinstance(classifier, FewShotClassifier):
            expected = classifier.affinities(queries)
            for name, z in classifier.affinities(given).items():
                assert_like(z, given, expected[name])
        if hasattr(classifier, "score_samples"):
            assert_like(classifier.score_samples(given), given, classifier.score_samples(queries))
            assert isinstance(classifier.p_values(given), np.ndarray)
    for normalize, queries in product((True, False), both):
        bridge = SemanticBridge(any_world.text_encoder(), normalize=normalize).fit(X)
        assert_like(bridge.transform(move(queries)), move(queries), bridge.transform(queries))


def test_results_of_several_labels_follow_the_queries(any_world, move):
    X, y = any_world.draw(4)
    classifier = any_world.classifier(MultilabelFewShotClassifier)
    Y = {name: y == name for name in any_world.names}
    classifier.fit(X, pd.DataFrame(Y))
    for dtype in (np.float32, np.float64):
        queries = any_world.draw(6)[0].astype(dtype)
        given = move(queries)
        for method in ("predict_proba", "decision_function"):
            assert_like(
                getattr(classifier, method)(given), given, getattr(classifier, method)(queries)
            )
        for method in ("predict", "predict_together"):
            labels = getattr(classifier, method)(given)
            assert isinstance(labels, np.ndarray)
            np.testing.assert_array_equal(labels, getattr(classifier, method)(queries))


def test_many_rows_are_computed_in_blocks(any_world, move, monkeypatch):
    X, y = any_world.draw(4)
    classifier = any_world.classifier().fit(X, y)
    queries = any_world.draw(6)[0]
    expected = classifier.decision_function(queries), classifier.affinities(queries)["shots"]
    for block in ("HOST_BLOCK", "DEVICE_BLOCK"):
        monkeypatch.setattr(array_api, block, 7 * X.shape[1])
    for given in (queries, move(queries)):
        assert_like(classifier.decision_function(given), given, expected[0])
        assert_like(classifier.affinities(given)["shots"], given, expected[1])


def test_fitting_takes_them_to_the_host(any_world, move):
    X, y = any_world.draw(4)
    codes, weight, groups = any_world.codes(y), np.linspace(1, 2, len(y)), np.arange(len(y)) // 2
    classifier = any_world.classifier(class_names=any_world.names)
    expected = clone(classifier).fit(X, codes, weight, groups)
    fitted = classifier.fit(*map(move, (X, codes, weight, groups)))
    for name in ("classes_", "text_embeddings_", "coef_", "intercept_"):
        assert isinstance(getattr(fitted, name), np.ndarray)
        np.testing.assert_array_equal(getattr(fitted, name), getattr(expected, name))


def test_half_precision_is_computed_in_float32(world):
    X, y = world.draw(4)
    classifier, queries = world.classifier().fit(X, y), torch.asarray(X, dtype=torch.bfloat16)
    expected = classifier.predict_proba(queries.float().numpy())
    with sklearn.config_context(array_api_dispatch=True):
        probability = classifier.predict_proba(queries)
        assert probability.dtype == torch.float32
        np.testing.assert_allclose(probability, expected, rtol=1e-3, atol=1e-5)
        queries[[3, 5], 2] = torch.nan
        with pytest.raises(ValueError, match="NaN.* in 2 of 20 rows: 3, 5"):
            classifier.predict(queries)


class NoHost(TorchFunctionMode):
    """Within it, what would copy a tensor to the host is an error."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function.__name__ in ("cpu", "numpy", "tolist", "__array__", "__dlpack__"):
            raise RuntimeError(f"{function.__name__} copies to the host")
        return function(*args, **(kwargs or {}))


def test_queries_are_not_copied_through_the_host(world):
    X, y = world.draw(4)
    classifier = world.classifier().fit(X, y)
    bridge = SemanticBridge(world.text_encoder()).fit(X)
    queries = torch.asarray(X)
    with sklearn.config_context(array_api_dispatch=True), NoHost():
        with pytest.raises(RuntimeError, match="copies to the host"):
            np.asarray(queries)
        classifier.predict_proba(queries)
        classifier.affinities(queries)
        classifier.decision_function(queries)
        bridge.transform(queries)


def test_probabilities_have_the_precision_of_the_scores():
    scores = np.array([[0.0, -9.0, -80.0], [1.0, 2.0, 3.0]])
    before = scores.copy()
    for dtype, rounding in ((np.float32, 1e-6), (np.float64, 1e-14)):
        p = array_api.softmax(scores.astype(dtype))
        assert p.dtype == dtype
        np.testing.assert_allclose(p, np.exp(array_api.log_softmax(scores)), rtol=rounding)
    assert (scores == before).all()
