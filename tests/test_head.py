"""The folded head of prediction gives what the plain definition of the affinities gives."""

import tracemalloc

import numpy as np
import pytest

from sksemobridge import SeMoBridgeClassifier

TEMPLATE = "a photo of a {}."
VOCABULARY = ["a photo of a cat.", "a photo of a dog.", "a photo of a hot dog."]
# Worlds and parameters for each way that the head goes.
WAYS = {
    "identity": ({"d": 24, "width": 16}, {"atol": 0.0}),
    "without text": ({}, {"text_encoder": None}),
    "few directions kept": ({"d": 24, "width": 16}, {"atol": 1.2}),
    "few directions cut": ({"d": 64, "width": 64}, {"atol": 0.4}),
    "trained": ({}, {"solver": "lbfgs", "max_iter": 5}),
    "trained without text": ({}, {"solver": "lbfgs", "text_encoder": None}),
    "bias": ({"bias": True}, {}),
    "trained, bias": ({"bias": True}, {"solver": "lbfgs", "max_iter": 5}),
    "words": ({}, {"vocabulary": VOCABULARY}),
    "trained, words": ({}, {"vocabulary": VOCABULARY, "solver": "lbfgs", "max_iter": 5}),
}


@pytest.fixture(params=WAYS)
def way(request, make_world):
    """A world, a classifier, and shots to fit it to."""
    of_world, params = WAYS[request.param]
    world = make_world(**of_world)
    X, y = world.draw(4)
    encoder = params.get("text_encoder", world.text_encoder())
    params = {name: value for name, value in params.items() if name != "text_encoder"}
    labels = y if encoder is not None else np.searchsorted(world.names, y)
    return world, SeMoBridgeClassifier(encoder, prompts=TEMPLATE, **params), X, labels


def weighted_sum(classifier, queries):
    return sum(classifier.blend_[name] * z for name, z in classifier.affinities(queries).items())


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-9), (np.float32, 1e-4)])
def test_logits_are_the_weighted_sum_of_the_affinities(way, dtype, rtol):
    world, classifier, X, y = way
    classifier.fit(X.astype(dtype), y)
    queries = world.draw(20)[0].astype(dtype)
    logits, expected = classifier.decision_function(queries), weighted_sum(classifier, queries)
    assert logits.dtype == dtype
    np.testing.assert_allclose(logits, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_queries_of_which_nothing_is_left(way, dtype):
    world, classifier, X, y = way
    classifier.fit(X.astype(dtype), y)
    queries = world.draw(2)[0].astype(dtype)
    queries[3] = 0
    basis = classifier._fitted.model.bridge.basis
    if basis is not None:
        queries[5] -= basis @ (basis.T @ queries[5])
        queries[7] = queries[5] + 1e-3 * queries[7]
    logits, expected = classifier.decision_function(queries), weighted_sum(classifier, queries)
    assert np.isfinite(logits).all()
    others = np.delete(np.arange(len(queries)), 5)  # the direction of a row of rounding errors is one too
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
        logits[others], expected[others], atol=(1e-3 if dtype == np.float32 else 1e-9) * scale
    )


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
@pytest.mark.parametrize("way", [name for name in WAYS if "bias" not in name], indirect=True)
def test_embeddings_of_any_length_have_the_same_logits(way):
    world, classifier, X, y = way
    classifier.fit(X.astype(np.float32), y)
    queries = world.draw(4)[0].astype(np.float32)
    expected = classifier.predict_proba(queries)
    for factor in (1e-30, 1e-10, 1e10, 1e25):
        scaled = classifier.predict_proba(queries * np.float32(factor))
        np.testing.assert_allclose(scaled, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("blend", ["auto", "paper"])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_memory_does_not_grow_with_the_queries(make_world, blend, method):
    world = make_world(d=64, width=64)
    X, y = world.draw(4)
    classifier = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, blend=blend)
    classifier.fit(X.astype(np.float32), y)

    def extra(n):
        queries = np.resize(X.astype(np.float32), (n, 64))
        ask = getattr(classifier, method)
        ask(queries[:10])
        tracemalloc.start()
        output = ask(queries)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak - output.nbytes

    block = 2**15  # rows, of 64 values
    assert extra(8 * block) < 1.1 * extra(3 * block)
