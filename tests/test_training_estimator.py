"""Trained solvers in the estimator: convergence, interruption, progress."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier

TEMPLATE = "a photo of a {}."


def classifier_of(world, **params):
    return SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, **params)


@pytest.mark.parametrize("name", ["square", "rectangular"])
@pytest.mark.parametrize("class_bias", [True, False])
def test_the_papers_recipe_equals_the_published_implementation(name, class_bias):
    data = dict(np.load(Path(__file__).parent / "data" / f"{name}.npz"))
    tag = ("bias" if class_bias else "nobias") + "_200"
    n_classes, n_prompts, d = data["eos"].shape
    prompts = {c: [f"prompt {j} of {c}" for j in range(n_prompts)] for c in range(n_classes)}
    texts = [text for c in prompts for text in prompts[c]]
    encoder = PrecomputedTextEncoder(texts, data["eos"].reshape(-1, d), data["projection"])
    for i, settings in enumerate(json.loads(str(data["params"]))):
        classifier = SeMoBridgeClassifier(
            encoder,
            prompts=prompts,
            solver="adamw",
            atol=0.3,
            blend="paper",
            class_bias=class_bias,
            max_iter=200,
            **settings,
        ).fit(data["shots"], data["shot_labels"])
        np.testing.assert_allclose(classifier.loss_curve_, data[f"loss_{tag}"], rtol=1e-4)
        for key, z in classifier.affinities(data["queries"]).items():
            np.testing.assert_allclose(z, data[f"{key}_{tag}"], rtol=0, atol=1e-3)
        scores = np.exp(classifier.decision_function(data["queries"]))
        np.testing.assert_allclose(scores, data[f"blend{i}_{tag}"], rtol=0, atol=1e-3)


def test_stopping_before_convergence_warns_except_for_the_recipe(world):
    X, y = world.draw(3)
    with pytest.warns(ConvergenceWarning, match="did not converge in 3 iterations"):
        classifier_of(world, solver="lbfgs", max_iter=3, blend="paper").fit(X, y)
    adamw = classifier_of(world, solver="adamw", max_iter=3).fit(X, y)
    assert adamw.n_iter_ == len(adamw.loss_curve_) == 3
    assert adamw.class_bias_.shape == (5, world.projection.shape[0])
    assert classifier_of(world, solver="adamw", max_iter=3, class_bias=False).fit(X, y).class_bias_ is None


@pytest.mark.parametrize("solver", ["adamw", "lbfgs"])
def test_fits_repeat_bit_by_bit(world, solver):
    X, y = world.draw(3)
    classifier = classifier_of(world, solver=solver, max_iter=50 if solver == "adamw" else None, tol=1e-4)
    first = classifier.fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(classifier.fit(X, y).predict_proba(X), first)


def test_a_fit_that_fails_in_training_leaves_the_estimator_as_it_was(world):
    X, y = world.draw(3)
    diverging = {"solver": "adamw", "learning_rate": 1e38, "max_iter": 5}
    classifier = classifier_of(world).fit(X, y).set_params(**diverging)
    before = pickle.dumps(classifier)
    for call in (classifier.fit, classifier.partial_fit):
        with pytest.raises(FloatingPointError), np.errstate(all="ignore"):
            call(X[:9], y[:9])
        assert pickle.dumps(classifier) == before
    with pytest.raises(FloatingPointError), np.errstate(all="ignore"):
        (new := classifier_of(world, **diverging)).fit(X, y)
    assert not hasattr(new, "classes_")


def test_a_loss_that_is_not_finite_says_what_to_change(world):
    X, y = world.draw(3)
    with (
        pytest.raises(FloatingPointError, match="learning_rate"),
        np.errstate(all="ignore"),
    ):
        classifier_of(world, solver="adamw", learning_rate=1e38, max_iter=5).fit(X, y)


@pytest.mark.parametrize("solver", ["adamw", "lbfgs"])
def test_progress_is_silent_by_default(world, solver, capsys):
    X, y = world.draw(2)
    params = {"solver": solver, "max_iter": 5 if solver == "adamw" else None, "blend": "paper", "tol": 1e-3}
    classifier_of(world, **params).fit(X, y)
    assert capsys.readouterr() == ("", "")
    classifier_of(world, verbose=1, **params).fit(X, y)
    assert solver in capsys.readouterr().err


@pytest.mark.parametrize("solver", ["closed_form", "adamw", "lbfgs"])
def test_scikit_learns_callbacks_hear_of_every_iteration(world, solver):
    pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9")
    heard = []

    class Listener:
        def setup(self, estimator, context):
            heard.append("setup")

        def on_fit_task_begin(self, estimator, context, **kwargs):
            heard.append("begin")

        def on_fit_task_end(self, estimator, context, **kwargs):
            heard.append("end")
            return False

        def teardown(self, estimator, context):
            heard.append("teardown")

    X, y = world.draw(2)
    params = {} if solver == "lbfgs" else {"max_iter": 5}
    classifier = classifier_of(world, solver=solver, tol=1e-3, **params).set_callbacks(Listener())
    classifier.fit(X, y)
    n_entries = 0 if solver == "closed_form" else len(classifier.loss_curve_)
    assert heard.count("begin") == heard.count("end") == n_entries + 1
    assert heard[0] == "setup"
    assert heard[-1] == "teardown"
    with pytest.raises(ValueError, match="NaN"):
        classifier.fit(np.full_like(X, np.nan), y)


def test_no_training_array_is_shared_with_the_caller(world):
    X, y = world.draw(3)
    classifier = classifier_of(world, solver="lbfgs", tol=1e-3).fit(X, y)
    expected = classifier.predict_proba(X.copy())
    queries = X.copy()
    X[:] = 0
    np.testing.assert_array_equal(classifier.predict_proba(queries), expected)
