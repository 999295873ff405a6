"""The classifier of the SeMoBridge paper as an estimator."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from sksemobridge import SeMoBridgeClassifier


def semobridge(world, **params):
    return world.classifier(SeMoBridgeClassifier, **params)


def test_the_closed_form_has_the_arrays_of_the_paper(any_world):
    X, y = any_world.draw(4)
    classifier = semobridge(any_world).fit(X, y)
    assert classifier.prototypes_.shape == classifier.image_means_.shape == (5, X.shape[1])
    assert classifier.bridge_.shape == (X.shape[1], any_world.projection.shape[0])
    assert classifier.class_bias_ is None
    assert classifier.loss_curve_ is None
    assert classifier.n_iter_ == 1
    assert 0 < classifier.rank_ <= min(any_world.projection.shape)
    assert classifier.temperature_ > 0
    for method in ("with_unlabeled", "score_samples", "p_values"):
        assert not hasattr(classifier, method)


@pytest.mark.parametrize("solver", ["lbfgs", "adamw"])
@pytest.mark.filterwarnings("ignore:The bridge did not converge")
def test_a_trained_bridge_has_a_loss_and_a_bias_of_each_class(world, solver):
    X, y = world.draw(3)
    classifier = semobridge(world, solver=solver, max_iter=8).fit(X, y)
    assert len(classifier.loss_curve_) >= classifier.n_iter_ > 1
    assert classifier.class_bias_.shape == (5, world.projection.shape[0])
    assert (
        semobridge(world, solver=solver, max_iter=8, class_bias=False).fit(X, y).class_bias_ is None
    )


def test_numbers_that_are_given_stay(world):
    X, y = world.draw(2)
    given = {"alpha": 3.0, "lambda3": 0.7, "smoothness": 1.0, "temperature": 5.0}
    classifier = semobridge(world, **given).fit(X, y)
    for name, value in given.items():
        assert getattr(classifier, f"{name}_") == value
    assert semobridge(world, temperature=None).fit(X, y).temperature_ == 1


def test_without_text_there_are_two_terms(world):
    X, y = world.draw(3)
    for classifier in (SeMoBridgeClassifier(), semobridge(world, class_names="ignore")):
        classifier.fit(X, world.codes(y))
        assert set(classifier.affinities(X)) == {"z2", "z3"}
        assert classifier.alpha_ is None
        assert classifier.lambda1_ is None
        assert classifier.text_embeddings_ is None
        assert classifier.score(X, world.codes(y)) > 0.8


def test_lengths_that_differ_much_matter_and_a_warning_says_so(world):
    X, y = world.draw(4)
    classifier = semobridge(world)
    expected = classifier.fit(X, y).image_means_
    np.testing.assert_allclose(classifier.fit(7 * X, y).image_means_, expected)
    longer = X * np.where(np.arange(len(X)) % 4, 1, 10)[:, None]
    with pytest.warns(UserWarning, match="rows of X have lengths .* longer rows count more"):
        classifier.fit(longer, y)
    assert np.abs(classifier.image_means_ - expected).max() > 1e-3


def test_a_device_that_is_not_here_is_an_error(world):
    with pytest.raises(ValueError, match="device='cuda:99'"):
        semobridge(world, solver="lbfgs", device="cuda:99").fit(*world.draw(2))


@pytest.mark.filterwarnings("ignore:The bridge did not converge")
def test_a_grid_goes_over_solvers_and_numbers(world):
    X, y = world.draw(4)
    grid = [
        {"solver": ["closed_form"], "lambda2": [0.1, 1.0], "text_encoder__logit_scale": [20.0]},
        {"solver": ["lbfgs"], "lambda_c": [0.0, 0.1], "max_iter": [5]},
    ]
    search = GridSearchCV(semobridge(world), grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
