"""What the model without a shot says of it."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from sksemobridge import SeMoBridgeClassifier

TEMPLATE = "a photo of a {}."


def classifier_of(world, **params):
    return SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, store_held_out=True, **params)


@pytest.mark.parametrize("solver", ["closed_form", "lbfgs"])
def test_each_row_of_fit_has_probabilities(world, solver):
    X, y = world.draw([1, 2, 3, 4, 5])
    held_out = classifier_of(world, solver=solver).fit(X, y).held_out_proba_
    assert held_out.shape == (len(y), 5)
    np.testing.assert_allclose(held_out.sum(axis=1), 1)


def test_they_are_about_what_fits_without_the_shot_say(world):
    X, y = world.draw(6, noise=2.0)
    classifier = classifier_of(world)
    held_out = classifier.fit(X, y).held_out_proba_
    rows = np.arange(len(y))
    without = np.vstack([classifier.fit(X[rows != i], y[rows != i]).predict_proba(X[[i]]) for i in rows])
    fitted = classifier.fit(X, y).predict_proba(X)
    loss, expected, too_low = (log_loss(y, p) for p in (held_out, without, fitted))
    assert too_low < 0.9 * expected
    assert loss == pytest.approx(expected, rel=0.2)
    agree = held_out.argmax(axis=1) == without.argmax(axis=1)
    assert agree.mean() > 0.85


def test_pooled_copies_share_and_weight_zero_is_nan(world):
    X, y = world.draw(3)
    X, y = np.vstack([X, X[:2]]), np.concatenate([y, y[:2]])
    weight = np.ones(len(y))
    weight[4] = 0
    held_out = classifier_of(world).fit(X, y, sample_weight=weight).held_out_proba_
    np.testing.assert_array_equal(held_out[-2:], held_out[:2])
    assert np.isnan(held_out[4]).all()
    assert np.isfinite(np.delete(held_out, 4, axis=0)).all()


def test_without_text_the_only_shot_of_a_class_is_not_held_out(world):
    X, y = world.draw([1, 3, 3, 3, 3])
    classifier = SeMoBridgeClassifier(class_names="ignore", store_held_out=True).fit(X, y)
    is_only = y == np.unique(y)[0]
    np.testing.assert_array_equal(np.isnan(classifier.held_out_proba_).all(axis=1), is_only)


def test_after_partial_fit_all_rows_are_there_in_their_order(world):
    (X, y), (more, y_more) = world.draw(2), world.draw(2)
    weight = np.ones(len(y_more))
    weight[0] = 0
    grown = classifier_of(world).fit(X, y).partial_fit(more, y_more, sample_weight=weight)
    weight = np.concatenate([np.ones(len(y)), weight])
    at_once = classifier_of(world).fit(
        np.vstack([X, more]), np.concatenate([y, y_more]), sample_weight=weight
    )
    np.testing.assert_allclose(grown.held_out_proba_, at_once.held_out_proba_, atol=1e-6)


def test_it_is_there_only_where_it_was_asked_for(world):
    X, y = world.draw(3)
    classifier = classifier_of(world).fit(X, y)
    assert not hasattr(classifier.with_classes(["cat", "dog"]), "held_out_proba_")
    assert not hasattr(classifier.set_params(store_held_out=False).fit(X, y), "held_out_proba_")
    with pytest.raises(ValueError, match="needs blend"):
        classifier_of(world, blend="paper").fit(X, y)
