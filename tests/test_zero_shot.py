"""The zero-shot classifier; that it is linear is tested with the few-shot one."""

import numpy as np
import pytest
from sklearn.preprocessing import normalize


def test_it_is_the_cosine_to_the_texts(any_world):
    X, y = any_world.draw(2)
    classifier = any_world.zero_shot().fit(X, y)
    texts = normalize(any_world.text_encoder().transform(any_world.texts))
    np.testing.assert_allclose(classifier.text_embeddings_, texts)
    np.testing.assert_allclose(classifier.coef_, 20 * texts)
    np.testing.assert_array_equal(classifier.intercept_, 0)
    expected = 20 * normalize(X) @ texts.T
    np.testing.assert_allclose(classifier.decision_function(X), expected, rtol=1e-4, atol=1e-5)
    assert classifier.decision_function(X).dtype == X.dtype


def test_it_only_reads_the_classes(world):
    X, y = world.draw(2)
    expected = world.zero_shot().fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(world.zero_shot().fit(-X, y).predict_proba(X), expected)
    without_images = world.zero_shot().fit(None, world.names)
    assert without_images.n_features_in_ == X.shape[1]
    np.testing.assert_array_equal(without_images.predict_proba(X), expected)


def test_what_does_not_fit_is_refused(world):
    X, y = world.draw([2, 2, 0, 0, 0])
    with pytest.raises(ValueError, match="y is None|requires y"):
        world.zero_shot().fit(None, None)
    with pytest.raises(ValueError, match="every class needs a name"):
        world.zero_shot(class_names={"bird": "bird", "cat": None}).fit(X, y)
