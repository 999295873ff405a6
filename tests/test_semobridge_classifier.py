"""The classifier of the SeMoBridge paper as an estimator."""

from itertools import product

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    PrecomputedTextEncoder,
    SeMoBridgeClassifier,
)
from sksemobridge._semobridge.score import Hyperparameters
from sksemobridge.datasets import load_emoji

from .made_up import World


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


def test_decisions_of_several_images_can_be_compared(world):
    """Logarithms of the score have another height for each image."""
    (X, y), (queries, labels) = world.draw(8, noise=2.5), world.draw(100, noise=2.5)
    classifier = semobridge(world, class_names=world.names).fit(X, y)
    calibrated = CalibratedClassifierCV(classifier, cv=3, ensemble=False).fit(X, y)
    expected = classifier.score(queries, labels)
    assert calibrated.score(queries, labels) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("priors", [None, [5, 4, 3, 2, 1]])
def test_decisions_are_the_logarithms_of_probabilities(world, priors):
    X, y = world.draw(3)
    classifier = semobridge(world, priors=priors).fit(X, y)
    decision, proba = classifier.decision_function(X), classifier.predict_proba(X)
    np.testing.assert_allclose(np.exp(decision), proba, rtol=1e-9)
    assert np.isfinite(classifier.set_params(temperature=1e6).fit(X, y).decision_function(X)).all()
    two = semobridge(world).fit(X, y).with_classes(["cat", "dog"])
    odds = np.diff(np.log(two.predict_proba(X)))[:, 0]
    np.testing.assert_allclose(two.decision_function(X), odds, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("weight", ["lambda1", "lambda2", "lambda3"])
def test_affinities_have_cosines_that_do_not_count_in_the_score(world, weight):
    X, y = world.draw(4)
    without = semobridge(world, **{weight: 0.0}).fit(X, y).affinities(X)
    expected = semobridge(world).fit(X, y).affinities(X)
    assert set(without) == set(expected) == {"z1", "z2", "z3"}
    for name, cosines in expected.items():
        np.testing.assert_allclose(without[name], cosines, atol=1e-6)


def test_lengths_that_differ_much_matter_and_a_warning_says_so(world):
    X, y = world.draw(4)
    classifier = semobridge(world)
    expected = classifier.fit(X, y).image_means_
    np.testing.assert_allclose(classifier.fit(7 * X, y).image_means_, expected)
    longer = X * np.where(np.arange(len(X)) % 4, 1, 10)[:, None]
    with pytest.warns(UserWarning, match="rows of X have lengths .* longer rows count more"):
        classifier.fit(longer, y)
    assert np.abs(classifier.image_means_ - expected).max() > 1e-3


@pytest.mark.parametrize("solver", ["closed_form", "lbfgs"])
def test_a_device_that_is_not_here_is_an_error(world, solver):
    with pytest.raises(ValueError, match="device='cuda:99'"):
        semobridge(world, solver=solver, device="cuda:99").fit(*world.draw(2))


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


# Full rank


def test_a_closed_form_that_keeps_all_directions_is_warned_of(world):
    X, y = world.draw(3)
    texts = dict(zip(world.names, world.text_encoder().transform(world.texts)))
    encoder = PrecomputedTextEncoder.from_joint(texts)
    with pytest.warns(UserWarning, match="keeps all 16 directions .* is the identity"):
        semobridge(world, atol=0.0).fit(X, y)
    # Without warnings: where there is no projection, nothing could be cut off, and a trained bridge
    # begins there.
    identity = SeMoBridgeClassifier(encoder).fit(X, y)
    assert identity.rank_ == X.shape[1]
    SeMoBridgeClassifier(encoder, solver="lbfgs", tol=1e-2).fit(X, y)
    SeMoBridgeClassifier().fit(X, world.codes(y))


# Validation images


def test_validation_images_choose_the_numbers_that_are_auto(world):
    X, y = world.draw(2, noise=5.0)
    X_val, y_val = world.draw(200, noise=5.0)
    default = semobridge(world, smoothness=1.5).fit(X, y)
    chosen = semobridge(world, smoothness=1.5).fit(X, y, X_val=X_val, y_val=y_val)
    assert chosen.score(X_val, y_val) > default.score(X_val, y_val)
    assert chosen.smoothness_ == 1.5
    assert chosen.lambda2_ != default.lambda2_
    again = semobridge(world, smoothness=1.5).fit(X, y, X_val=X_val, y_val=y_val)
    np.testing.assert_array_equal(again.predict_proba(X), chosen.predict_proba(X))
    other = chosen.with_classes(["cat", "dog"])
    assert other.lambda2_ == chosen.lambda2_


def test_validation_images_are_forgotten(world):
    (X, y), (X_val, y_val) = world.draw(3, noise=7.0), world.draw(60, noise=7.0)
    validation = {"X_val": X_val, "y_val": y_val}
    first, second = slice(0, None, 2), slice(1, None, 2)
    expected = [semobridge(world).fit(X, y, **params) for params in ({}, validation)]
    assert expected[0].lambda2_ != expected[1].lambda2_
    for params, whole in zip(({}, validation), expected):
        grown = semobridge(world).fit(X[first], y[first], **validation)
        grown.partial_fit(X[second], y[second], **params)
        assert grown.lambda2_ == pytest.approx(whole.lambda2_)


def test_weights_of_validation_images(world):
    (X, y), (X_val, y_val) = world.draw(2, noise=10.0), world.draw(100, noise=10.0)
    used = np.arange(len(y_val)) % 3 > 0
    expected = semobridge(world).fit(X, y, X_val=X_val[used], y_val=y_val[used])
    assert expected.lambda2_ != semobridge(world).fit(X, y).lambda2_
    for weight in (used, 7.0 * used):
        weighted = semobridge(world)
        weighted.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
        assert weighted.lambda2_ == expected.lambda2_
        assert weighted.temperature_ == pytest.approx(expected.temperature_)


@pytest.mark.parametrize("solver", ["closed_form", "adamw"])
def test_a_repeated_validation_image_is_one_that_weighs_more(world, solver):
    (X, y), (X_val, y_val) = world.draw(2, noise=2.5), world.draw(9, noise=2.5)
    classifier = semobridge(world, solver=solver, max_iter=5, learning_rate=0.1)
    rows = np.repeat(np.arange(len(y_val)), np.arange(len(y_val)) % 5 + 1)
    repeated = classifier.fit(X, y, X_val=X_val[rows], y_val=y_val[rows]).predict_proba(X_val)
    weight = {"sample_weight_val": np.bincount(rows)}
    weighted = classifier.fit(X, y, X_val=X_val, y_val=y_val, **weight).predict_proba(X_val)
    np.testing.assert_allclose(repeated, weighted, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:.* validation images are shots")
@pytest.mark.parametrize("per_class", [1, 2, 4])
@pytest.mark.parametrize("with_text", [True, False])
@pytest.mark.parametrize("of_validation", [True, False])
def test_a_weight_goes_to_zero_without_a_jump(make_world, per_class, with_text, of_validation):
    """In the limit the row is dropped."""
    world = make_world()
    (X, y), (X_val, y_val) = world.draw(per_class, noise=2.5), world.draw(9, noise=2.5)
    (queries, _), (more, labels) = world.draw(5), world.draw(1, noise=3)
    weight, weight_val = np.ones(len(y) + 5), np.ones(len(y_val) + 5)

    def decision(least):
        weight[-5:] = weight_val[-5:] = least
        shots = np.vstack([X, more]), np.append(y, labels)
        validation = {"X_val": np.vstack([X_val, more]), "y_val": np.append(y_val, labels)}
        validation = validation | {"sample_weight_val": weight_val} if of_validation else {}
        kind = {} if with_text else {"text_encoder": None, "class_names": "ignore"}
        classifier = semobridge(world).set_params(**kind)
        classifier.fit(*shots, sample_weight=weight, **validation)
        return classifier.decision_function(queries)

    dropped = decision(0)
    for least in (1e-3, 1e-4, 1e-9):
        tolerance = (1e-6 + 50 * least) * np.abs(dropped - dropped.mean()).max()
        np.testing.assert_allclose(decision(least), dropped, rtol=0, atol=tolerance)


SHARPNESSES = ["alpha", "beta", "gamma"]
LARGE = [*product(SHARPNESSES, [1e5, 1e6]), ("temperature", 1e6), ("smoothness", 1e6)]
SMALL = [*product([*SHARPNESSES, "lambda2", "lambda3"], [1e-39, 1e-300]), ("temperature", 1e-6)]
OTHER = [("smoothness", -1e3), ("smoothness", -1e6), ("lambda1", 1e300), ("lambda3", 1e300)]


@pytest.mark.parametrize(("name", "value"), [*LARGE, *SMALL, *OTHER])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_number_of_the_score_gives_finite_probabilities(world, name, value, dtype):
    queries = world.draw(3)[0].astype(dtype)
    for per_class, kind in product((1, 3), ({}, {"text_encoder": None, "class_names": "ignore"})):
        X, y = world.draw(per_class)
        classifier = semobridge(world).set_params(**kind, **{name: value}).fit(X.astype(dtype), y)
        assert np.isfinite(classifier.decision_function(queries)).all()
        assert np.isfinite(classifier.predict_proba(queries)).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *product(["temperature"], [1e39, 1e-46]),
        ("smoothness", -1e7),
        ("learning_rate", 1e39),
        *product(["lambda_c", "lambda_b"], [1e20]),
        *product(SHARPNESSES, [-1.0, 1e300]),
        *product(["lambda1", "lambda2", "lambda3"], [-1.0, np.inf]),
    ],
)
def test_a_number_out_of_range_is_an_error_that_says_the_range(world, name, value):
    message = f"The '{name}' parameter of SeMoBridgeClassifier must be .* in the range"
    with pytest.raises(ValueError, match=message):
        semobridge(world, **{name: value}).fit(*world.draw(2))


@pytest.mark.parametrize(
    "given",
    [
        {"gamma": 1e6},
        {"smoothness": -1e6},
        dict.fromkeys(SHARPNESSES, 1e6),
        dict.fromkeys(SHARPNESSES, 1e-6),
    ],
)
@pytest.mark.parametrize("with_validation", [False, True])
def test_what_is_estimated_can_be_given(world, given, with_validation):
    (X, y), queries = world.draw(2), world.draw(9)[0]
    validation = dict(zip(("X_val", "y_val"), world.draw(9))) if with_validation else {}
    classifier = semobridge(world, **given).fit(X, y, **validation)
    names = [*Hyperparameters._fields, "temperature"]
    found = {name: getattr(classifier, f"{name}_") for name in names}
    expected = classifier.predict_proba(queries)
    again = classifier.set_params(**found).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(queries), expected)


def test_a_step_of_adamw_takes_no_whole_bridge_away(world):
    wrong = semobridge(world, solver="adamw", max_iter=2, learning_rate=0.5, weight_decay=2.0)
    with pytest.raises(ValueError, match=r"learning_rate \* weight_decay is 1, but"):
        wrong.fit(*world.draw(2))


def test_a_temperature_changes_no_predictions(world):
    X, y = world.draw(2)
    queries = world.draw(9)[0].astype(np.float32)
    expected = semobridge(world, temperature=1.0).fit(X, y).predict(queries)
    for temperature in (1e-6, 1e6):
        found = semobridge(world, temperature=temperature).fit(X, y).predict(queries)
        np.testing.assert_array_equal(found, expected)


def test_adamw_keeps_its_best_step(world):
    (X, y), (X_val, y_val) = world.draw(2, noise=2.5), world.draw(60, noise=2.5)
    start = {"alpha": 1, "beta": 1, "gamma": 1, "lambda1": 0.5, "lambda2": 0.5, "lambda3": 0.5}
    start |= {"smoothness": 0.01, "learning_rate": 0.5, "solver": "adamw"}

    def score(max_iter, **validation):
        classifier = semobridge(world, **start, max_iter=max_iter)
        return classifier.fit(X, y, **validation).score(X_val, y_val)

    best = max(score(steps) for steps in range(1, 9))
    assert score(8, X_val=X_val, y_val=y_val) == best


def test_wrong_validation_images_are_errors(world):
    (X, y), (X_val, y_val) = world.draw(2), world.draw(3)
    both = {"X_val": X_val, "y_val": y_val}
    for validation, message in (
        ({"X_val": X_val}, "y_val is missing"),
        ({"y_val": y_val}, "X_val is missing"),
        ({"sample_weight_val": np.ones(3)}, "sample_weight_val weighs them. X_val and y_val are"),
        ({"X_val": X_val[:, :-1], "y_val": y_val}, "X_val has 15 features, but X has 16"),
        ({"X_val": X_val, "y_val": np.where(y_val == "cat", "cow", y_val)}, "without shots: cow"),
        ({"X_val": X_val, "y_val": y_val[1:]}, r"y_val has the shape \(14,\); give \(15,\)"),
        ({"X_val": X_val, "y_val": [None, *y_val[1:]]}, "y_val contains NaN or None"),
        (both | {"sample_weight_val": [1]}, r"sample_weight_val has the shape \(1,\)"),
        (both | {"sample_weight_val": np.zeros(15)}, "value of sample_weight_val is zero"),
        ({"X_val": np.where(X_val > 0, np.nan, 0), "y_val": y_val}, "X_val contains NaN"),
        ({"X_val": ["a.jpg"], "y_val": ["cat"]}, "X_val holds paths"),
    ):
        with pytest.raises(ValueError, match=message):
            semobridge(world).fit(X, y, **validation)


def test_validation_images_of_zeros_are_named(world):
    (X, y), (X_val, y_val) = world.draw(2), world.draw(3)
    X_val[1] = 0
    with pytest.warns(UserWarning, match="X_val has nothing but zeros in 1 of 15 rows: 1"):
        semobridge(world).fit(X, y, X_val=X_val, y_val=y_val)


def test_a_search_takes_validation_images_of_any_number(world):
    (X, y), (X_val, y_val) = world.draw(4), world.draw(4)
    search = GridSearchCV(semobridge(world), {"lambda3": [0.0, 0.1]}, cv=2, error_score="raise")
    # Those that are as many as the images are cut to the folds.
    search.fit(X, y, X_val=X_val, y_val=y_val)
    search.fit(X, y, X_val=X_val[:-1], y_val=y_val[:-1])


def test_candidates_are_drawn_by_random_state(world):
    (X, y), (X_val, y_val) = world.draw(2, noise=5.0), world.draw(200, noise=5.0)

    def lambda2(**params):
        return semobridge(world, **params).fit(X, y, X_val=X_val, y_val=y_val).lambda2_

    assert lambda2() == lambda2(random_state=0, n_candidates=1000)
    assert lambda2(random_state=1) != lambda2()
    assert lambda2(n_candidates=10) != lambda2()
    with pytest.raises(ValueError, match="'n_candidates' parameter .* Got True"):
        lambda2(n_candidates=True)


def test_shots_among_validation_images_are_said(world):
    (X, y), (others, labels) = world.draw(2), world.draw(1)
    validation = {"X_val": np.vstack([X[:4], others]), "y_val": np.append(y[:4], labels)}
    with pytest.warns(UserWarning, match="4 of the 9 validation images are shots"):
        semobridge(world).fit(X, y, **validation)


class Tasks:
    """A callback that lists the tasks which have begun and ended. A search gives it to its
    classifiers.
    """

    max_propagation_depth = None

    def __init__(self):
        self.begun, self.ended = [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.ended.append(context.task_name)
        self.fitted = fitted_estimator


needs_callbacks = pytest.mark.skipif(
    not hasattr(SeMoBridgeClassifier, "set_callbacks"), reason="needs scikit-learn 1.9"
)


@needs_callbacks
@pytest.mark.parametrize("solver", ["closed_form", "lbfgs", "adamw"])
@pytest.mark.filterwarnings("ignore:The bridge did not converge")
def test_callbacks_are_told_of_each_step(world, solver):
    X, y = world.draw(3)
    tasks = Tasks()
    plain = semobridge(world, solver=solver, max_iter=4, temperature=1.0).fit(X, y)
    # The same training is remembered, but told all the same.
    told = semobridge(world, solver=solver, max_iter=4, temperature=1.0).set_callbacks(tasks)
    for _ in range(2):
        tasks.__init__()
        told.fit(X, y)
        n_losses = len(told.loss_curve_ or [])
        assert tasks.begun.count("step") == tasks.ended.count("step") >= n_losses
        assert (n_losses > 0) == (solver != "closed_form")
        assert tasks.begun.count("fit") == tasks.ended.count("fit") == 1
        np.testing.assert_array_equal(tasks.fitted.predict_proba(X), plain.predict_proba(X))
    np.testing.assert_array_equal(told.bridge_, plain.bridge_)


@needs_callbacks
@pytest.mark.filterwarnings("ignore:The bridge did not converge")
def test_a_search_gives_its_callbacks_to_the_classifiers(world):
    X, y = world.draw(4)
    tasks = Tasks()
    grid = {"alpha": [1.0, 2.0]}
    search = GridSearchCV(semobridge(world, solver="lbfgs", max_iter=2), grid, cv=2)
    search.set_callbacks(tasks).fit(X, y)
    # Each of the five fits makes at least a step.
    assert tasks.begun.count("step") == tasks.ended.count("step") >= 5
    assert not hasattr(search.best_estimator_, "_skl_callbacks")


# Wrong labels


def with_wrong_labels(world):
    """Shots, of which a fifth have the label of another class, and queries."""
    (X, y), queries = world.draw(10, noise=1.5), world.draw(60, noise=1.5)
    wrong = y.copy()
    wrong[::5] = np.roll(y, 10)[::5]
    return (X, wrong), queries


def test_wrong_labels_do_not_make_probabilities_cautious(world):
    shots, (queries, labels) = with_wrong_labels(world)
    losses, confidence = {}, {}
    for label_noise in ("auto", 0.2, 0):
        classifier = world.classifier(SeMoBridgeClassifier, label_noise=label_noise).fit(*shots)
        proba = classifier.predict_proba(queries)
        losses[label_noise] = log_loss(labels, proba)
        confidence[label_noise] = proba.max(axis=1).mean()
    assert max(losses["auto"], losses[0.2]) < 0.7 * losses[0]
    assert confidence["auto"] > confidence[0] + 0.1


def test_a_trained_bridge_learns_less_from_labels_that_look_wrong(world):
    shots, (queries, labels) = with_wrong_labels(world)
    params = {"solver": "lbfgs", "device": "cpu"}
    trusting = world.classifier(SeMoBridgeClassifier, label_noise=0, **params).fit(*shots)
    classifier = world.classifier(SeMoBridgeClassifier, **params)
    with pytest.warns(UserWarning, match="of 50 shots hardly count, .* labels look wrong"):
        classifier.fit(*shots)
    losses = [log_loss(labels, c.predict_proba(queries)) for c in (classifier, trusting)]
    assert losses[0] < 0.7 * losses[1]


@pytest.mark.parametrize("solver", ["closed_form", "lbfgs"])
def test_label_noise_changes_nothing_where_all_numbers_are_given(world, solver):
    shots, (queries, _) = with_wrong_labels(world)
    given = dict(alpha=5, beta=2, gamma=3, lambda1=1, lambda2=0.5, lambda3=0.1, smoothness=0.01)
    given |= {"solver": solver, "device": "cpu", "temperature": 50}
    every = [
        world.classifier(SeMoBridgeClassifier, label_noise=label_noise, **given).fit(*shots)
        for label_noise in ("auto", 0.3, 0)
    ]
    for other in every[1:]:
        np.testing.assert_array_equal(other.predict_proba(queries), every[0].predict_proba(queries))


# Names that say nothing


@pytest.mark.parametrize("solver", ["closed_form", "lbfgs"])
@pytest.mark.parametrize("per_class", [1, 4])
def test_names_of_other_classes_are_not_used(world, solver, per_class):
    (X, y), (queries, labels) = world.draw(per_class, noise=1.0), world.draw(60, noise=1.0)
    params = {"solver": solver, "device": "cpu"}
    names = dict(zip(world.names, np.roll(world.names, 2)))
    classifier = world.classifier(SeMoBridgeClassifier, class_names=names, **params)
    with pytest.warns(
        UserWarning, match="no better than chance on the shots, so that they are not used"
    ):
        found = classifier.fit(X, y)
    without = world.classifier(SeMoBridgeClassifier, class_names="ignore", **params)
    assert (found.alpha_, found.lambda1_) == (None, None)
    accuracy = without.fit(X, y).score(queries, labels)
    assert found.score(queries, labels) > accuracy - 0.05
    # The cosines are there, and whoever gives their weight uses them.
    assert found.affinities(queries)["z1"].shape == (len(queries), len(world.names))
    given = world.classifier(SeMoBridgeClassifier, class_names=names, lambda1=1.0, **params)
    with pytest.warns(UserWarning, match="better than chance on the shots.* better, as if names"):
        assert given.fit(X, y).alpha_ is not None


@pytest.mark.filterwarnings("ignore:The names of the classes are no")
def test_a_class_with_only_a_name_is_there_where_names_are_not_used(world):
    X, y = world.draw(4, noise=1.0)
    names = dict(zip(world.names, np.roll(world.names, 2)))
    others = y != world.names[0]
    classifier = world.classifier(SeMoBridgeClassifier, class_names=names)
    classifier.partial_fit(X[others], y[others], classes=world.names)
    assert classifier.predict_proba(X).shape == (len(X), len(world.names))
    assert np.isfinite(classifier.predict_log_proba(X)).all()


# Near copies


def test_near_copies_count_as_one_image():
    encoders = {"model_name": "mini", "pretrained": "bundled", "device": "cpu"}
    data, rng = load_emoji(), np.random.default_rng(0)
    X = CLIPImageEncoder(**encoders).transform(data.images)
    y = data.target_names[data.target]
    rows = np.repeat(np.flatnonzero(np.arange(len(X)) % 12 == 0), 5)
    spread = 0.02 * np.linalg.norm(X, axis=1).mean() / np.sqrt(X.shape[1])
    copies = X[rows] + spread * rng.normal(size=(len(rows), X.shape[1]))
    queries = np.setdiff1d(np.arange(len(X)), rows)

    def loss(**params):
        classifier = SeMoBridgeClassifier(CLIPTextEncoder(**encoders)).fit(
            copies, y[rows], **params
        )
        return log_loss(y[queries], classifier.predict_proba(X[queries]))

    with pytest.warns(UserWarning, match="shots are near copies of others"):
        found = loss()
    by_hand, apart = loss(groups=rows), loss(groups=[None] * len(rows))
    assert found == pytest.approx(by_hand, abs=0.02)
    assert found < apart - 0.1


def test_copies_are_shots_as_in_the_paper_where_all_numbers_are_given():
    world = World(width=80, d=80)
    X, y = world.draw(2)
    given = dict(alpha=5, beta=2, gamma=3, lambda1=1, lambda2=0.5, lambda3=0.1, smoothness=0.01)
    classifier = world.classifier(SeMoBridgeClassifier, temperature=None, **given)
    copies = np.repeat(X, 3, axis=0) * np.tile([1, 1.0001, 1.0002], len(X))[:, None]
    few = classifier.fit(X, y).predict_proba(X)
    np.testing.assert_allclose(classifier.fit(copies, np.repeat(y, 3)).predict_proba(X), few)
