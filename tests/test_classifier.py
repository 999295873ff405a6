"""The classifier with text: API rules, labels, errors, and manners that scikit-learn's checks cannot see."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier, ZeroShotClassifier

TEMPLATE = "a photo of a {}."
BLENDS = ["auto", "paper"]


def classifier_of(world, **params):
    return SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, **params)


def state(estimator):
    return pickle.dumps(estimator.__dict__)


# Configurations with text: width, bias of the projection, precision.
@pytest.fixture(
    params=[
        {},
        {"d": 10, "width": 18},
        {"bias": True},
        {"dtype": np.float32},
        {"d": 10, "width": 18, "bias": True, "dtype": np.float32},
    ],
    ids=["square", "wide", "bias", "float32", "wide-bias-float32"],
)
def any_world(request, make_world):
    return make_world(**request.param)


@pytest.mark.parametrize("blend", BLENDS)
def test_learns_from_shots(any_world, blend):
    X, y = any_world.draw(4)
    queries, truth = any_world.draw(40)
    classifier = classifier_of(any_world, blend=blend).fit(X, y)
    assert classifier.score(queries, truth) > 0.8
    assert classifier.classes_.tolist() == sorted(any_world.names)
    width = X.shape[1]
    assert classifier.text_embeddings_.shape == (5, width)
    assert classifier.prototypes_.shape == classifier.image_means_.shape == (5, width)
    assert classifier.bridge_.shape == (width, any_world.projection.shape[0])
    assert classifier.class_bias_ is None
    assert classifier.n_iter_ == 1
    assert 0 < classifier.rank_ <= min(any_world.projection.shape)
    for name in ("text_embeddings_", "prototypes_", "image_means_", "bridge_"):
        assert getattr(classifier, name).dtype == X.dtype
    assert classifier.decision_function(queries).dtype == X.dtype


@pytest.mark.parametrize("blend", BLENDS)
def test_rows_of_probabilities_sum_to_one(any_world, blend):
    X, y = any_world.draw(3)
    classifier = classifier_of(any_world, blend=blend).fit(X, y)
    for queries in (X, X.astype(np.float32), X.astype(np.float16), X.tolist()):
        probability = classifier.predict_proba(queries)
        assert probability.dtype == classifier.predict_log_proba(queries).dtype == np.float64
        np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("blend", BLENDS)
def test_probabilities_are_the_softmax_of_the_decision_function(any_world, blend):
    X, y = any_world.draw(3)
    classifier = classifier_of(any_world, blend=blend).fit(X, y)
    decision = classifier.decision_function(X)
    np.testing.assert_allclose(classifier.predict_proba(X), softmax(decision, axis=1), rtol=1e-5)
    np.testing.assert_allclose(
        classifier.predict_log_proba(X), np.log(classifier.predict_proba(X)), rtol=1e-3, atol=1e-5
    )
    assert (classifier.predict(X) == classifier.classes_[decision.argmax(axis=1)]).all()


def test_the_decision_is_the_weighted_sum_of_the_affinities(any_world):
    X, y = any_world.draw(3)
    classifier = classifier_of(any_world).fit(X, y)
    affinities = classifier.affinities(X)
    assert set(classifier.blend_) == set(affinities) == {"z1", "z2", "z3", "z4", "correction"}
    assert classifier.blend_["correction"] == 1
    fused = sum(classifier.blend_[name] * z for name, z in affinities.items())
    np.testing.assert_allclose(classifier.decision_function(X), fused, rtol=1e-4, atol=1e-4)


def test_two_classes_give_log_odds_of_the_second(world):
    X, y = world.draw([3, 3, 0, 0, 0])
    classifier = classifier_of(world).fit(X, y)
    decision = classifier.decision_function(X)
    assert decision.shape == (len(X),)
    proba = classifier.predict_proba(X)
    np.testing.assert_allclose(decision, np.log(proba[:, 1] / proba[:, 0]), rtol=1e-6)


@pytest.mark.parametrize("blend", BLENDS)
def test_one_class_has_probability_one(world, blend):
    X, y = world.draw([3, 0, 0, 0, 0])
    classifier = classifier_of(world, blend=blend).fit(X, y)
    assert (classifier.predict_proba(X) == 1).all()
    assert (classifier.predict(X) == y).all()


@pytest.mark.parametrize("blend", BLENDS)
def test_one_shot_per_class(world, blend):
    X, y = world.draw(1)
    classifier = classifier_of(world, blend=blend).fit(X, y)
    for z in classifier.affinities(X).values():
        assert np.isfinite(z).all()
    assert np.isfinite(classifier.decision_function(X)).all()


def test_one_shot_of_each_of_many_classes_is_no_reason_to_warn():
    X = np.random.default_rng(0).normal(size=(40, 8))
    SeMoBridgeClassifier().fit(X, np.arange(40))


def test_without_text_the_bridge_is_the_identity(world):
    X, y = world.draw(3)
    codes = np.unique(y, return_inverse=True)[1]
    classifier = SeMoBridgeClassifier().fit(X, codes)
    assert classifier.text_embeddings_ is None
    assert classifier.rank_ == X.shape[1]
    np.testing.assert_array_equal(classifier.bridge_, np.eye(X.shape[1]))
    affinities = classifier.affinities(X)
    assert affinities.keys() == {"z2", "z4", "correction"}
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    centred = unit - np.stack([unit[codes == c].mean(axis=0) for c in np.unique(codes)]).mean(axis=0)
    images = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    means = np.stack([images[codes == c].mean(axis=0) for c in np.unique(codes)])
    cosines = images @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T

    def above_mean(z):
        return z - z.mean(axis=1, keepdims=True)

    # Classes with as many shots lean on the mean class alike.
    share = above_mean(affinities["z2"]) / above_mean(cosines)
    np.testing.assert_allclose(share, share[0, 0])
    assert 0 < share[0, 0] <= 1


def test_whitening_can_be_left_out(world):
    X, y = world.draw(4)
    assert "z4" not in classifier_of(world, whiten=False).fit(X, y).blend_
    assert "z4" in classifier_of(world, whiten=True).fit(X, y).blend_
    assert "z4" not in classifier_of(world, blend="paper").fit(X, y).affinities(X)


# Labels and words


@pytest.mark.parametrize(
    "make",
    [
        lambda names: np.array(names),
        lambda names: np.array(names, dtype=object),
        lambda names: pd.Series(names, dtype="category"),
        lambda names: list(names),
    ],
    ids=["str", "object", "category", "list"],
)
def test_labels_of_text_need_no_names(world, make):
    X, y = world.draw(3)
    classifier = classifier_of(world).fit(X, make(y))
    assert classifier.classes_.tolist() == sorted(world.names)
    assert set(classifier.predict(X)) <= set(world.names)


@pytest.mark.parametrize("labels", [[10, 20, 30, 40, 50], [1.0, 2.0, 3.0, 4.0, 5.0]], ids=["int", "float"])
@pytest.mark.parametrize("as_mapping", [True, False])
def test_numbers_are_named_by_class_names(world, labels, as_mapping):
    X, y = world.draw(3)
    codes = np.array(labels)[np.unique(y, return_inverse=True)[1]]
    names = dict(zip(labels, world.names)) if as_mapping else world.names
    classifier = classifier_of(world, class_names=names).fit(X, codes)
    expected = classifier_of(world).fit(X, y)
    np.testing.assert_array_equal(classifier.text_embeddings_, expected.text_embeddings_)
    assert classifier.classes_.tolist() == labels
    assert (
        classifier.predict(X) == np.array(labels)[np.searchsorted(world.names, expected.predict(X))]
    ).all()


def test_boolean_labels(world):
    X, y = world.draw([3, 3, 0, 0, 0])
    names = {False: sorted(set(y))[0], True: sorted(set(y))[1]}
    classifier = classifier_of(world, class_names=names).fit(X, y == names[True])
    assert classifier.classes_.dtype == bool
    assert classifier.predict(X).dtype == bool


def test_underscores_of_labels_are_read_as_spaces(world):
    X, y = world.draw(3)
    joined = np.char.replace(y, " ", "_")
    expected = classifier_of(world).fit(X, y)
    np.testing.assert_array_equal(
        classifier_of(world).fit(X, joined).text_embeddings_, expected.text_embeddings_
    )


def test_numbers_without_names_warn_once(world):
    X, y = world.draw(2)
    codes = np.unique(y, return_inverse=True)[1]
    encoder = world.text_encoder()
    encoder.texts = [f"a photo of a {i}." for i in range(5)]
    with pytest.warns(UserWarning, match="labels are not text") as caught:
        SeMoBridgeClassifier(encoder, prompts=TEMPLATE).fit(X, codes)
    assert len(caught) == 1
    prompts = {i: [f"a photo of a {i}."] for i in range(5)}
    SeMoBridgeClassifier(encoder, prompts=prompts).fit(X, codes)


def test_names_without_text_encoder_warn_once(world):
    X, y = world.draw(2)
    with pytest.warns(UserWarning, match="no text_encoder") as caught:
        SeMoBridgeClassifier().fit(X, y)
    assert len(caught) == 1
    codes = np.unique(y, return_inverse=True)[1]
    with pytest.warns(UserWarning, match="no text_encoder"):
        SeMoBridgeClassifier(class_names=world.names).fit(X, codes)


def test_a_label_without_a_name_is_named(world):
    X, y = world.draw(2)
    names = {name: name for name in world.names if name != "hot dog"}
    with pytest.raises(ValueError, match="class_names has no name for 'hot dog'"):
        classifier_of(world, class_names=names).fit(X, y)
    with pytest.raises(ValueError, match="4 names for 5 classes"):
        classifier_of(world, class_names=world.names[:4]).fit(X, y)


def test_a_missing_prompt_is_named(world):
    X, y = world.draw(2)
    prompts = {name: [f"a photo of a {name}."] for name in world.names if name != "bird"}
    with pytest.raises(ValueError, match="no entry for 'bird'"):
        classifier_of(world).set_params(prompts=prompts).fit(X, y)
    with pytest.raises(ValueError, match="not among"):
        classifier_of(world).set_params(prompts="an image of {}").fit(X, y)


def test_prompts_are_found_by_label_then_by_name(world):
    X, y = world.draw(2)
    codes = np.unique(y, return_inverse=True)[1]
    by_label = {i: [f"a photo of a {name}."] for i, name in enumerate(world.names)}
    by_name = {name: [f"a photo of a {name}."] for name in world.names}
    expected = classifier_of(world).fit(X, y).text_embeddings_
    first = classifier_of(world).set_params(prompts=by_label).fit(X, codes)
    second = classifier_of(world, class_names=world.names).set_params(prompts=by_name).fit(X, codes)
    np.testing.assert_array_equal(first.text_embeddings_, expected)
    np.testing.assert_array_equal(second.text_embeddings_, expected)


# Shots


def test_float16_is_computed_in_float32(world):
    X, y = world.draw(3)
    half = X.astype(np.float16)
    classifier = classifier_of(world).fit(half, y)
    expected = classifier_of(world).fit(half.astype(np.float32), y)
    np.testing.assert_array_equal(classifier.prototypes_, expected.prototypes_)
    assert classifier.decision_function(half).dtype == np.float32


@pytest.mark.parametrize("solver", ["closed_form", "lbfgs", "adamw"])
@pytest.mark.parametrize("blend", BLENDS)
def test_the_precision_of_the_shots_is_that_of_the_fitted_arrays_and_of_nothing_else(world, solver, blend):
    X, y = world.draw(4)
    single, double = X.astype(np.float32), X.astype(np.float32).astype(np.float64)
    params = {"solver": solver, "blend": blend, "max_iter": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        of_single, of_double = (classifier_of(world, **params).fit(shots, y) for shots in (single, double))
    for name in ("text_embeddings_", "prototypes_", "image_means_", "bridge_"):
        assert getattr(of_single, name).dtype == np.float32
        assert getattr(of_double, name).dtype == np.float64
        # Both were computed in the same numbers, and cast at the end.
        np.testing.assert_array_equal(getattr(of_single, name), getattr(of_double, name).astype(np.float32))
    assert of_single.blend_ == of_double.blend_
    for classifier in (of_single, of_double):
        assert classifier.decision_function(single).dtype == np.float32
        assert classifier.decision_function(double).dtype == np.float64


def test_rows_of_weight_zero_are_dropped(world):
    X, y = world.draw(3)
    weight = np.ones(len(X))
    weight[::4] = 0
    dropped = classifier_of(world).fit(X, y, sample_weight=weight)
    without = classifier_of(world).fit(X[weight > 0], y[weight > 0])
    assert state(dropped) == state(without)
    only_one = (y == "cat").astype(float)
    assert classifier_of(world).fit(X, y, sample_weight=only_one).classes_.tolist() == ["cat"]


def test_copies_of_one_image_are_held_out_together_and_count_as_one(world):
    X, y = world.draw(4, noise=3.0)
    rng = np.random.default_rng(1)
    copies = np.repeat(X, 5, axis=0) + rng.normal(scale=1e-4, size=(5 * len(X), X.shape[1]))
    groups = np.repeat(np.arange(len(X)), 5)
    queries, truth = world.draw(40, noise=3.0)
    alone = classifier_of(world).fit(X, y)
    grouped = classifier_of(world).fit(copies, np.repeat(y, 5), groups=groups)
    ungrouped = classifier_of(world).fit(copies, np.repeat(y, 5))
    assert grouped.blend_ == pytest.approx(alone.blend_, rel=1e-2)
    np.testing.assert_allclose(grouped.predict_proba(queries), alone.predict_proba(queries), atol=0.02)
    # Taken for independent shots, the copies vouch for each other.
    losses = [log_loss(truth, model.predict_proba(queries)) for model in (alone, ungrouped)]
    assert losses[1] > 1.1 * losses[0]


@pytest.mark.parametrize("groups", [list("aabbccddee"), np.arange(10) // 2, np.array(list("aabbccddee"))])
def test_groups_of_any_kind(world, groups):
    X, y = world.draw(2)
    order = np.argsort(y, kind="stable")
    classifier = classifier_of(world).fit(X[order], y[order], groups=groups)
    assert np.isfinite(list(classifier.blend_.values())).all()


# Errors


@pytest.mark.parametrize(("bad", "word"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_rows_that_are_not_finite_are_named(world, bad, word):
    X, y = world.draw(3)
    broken = X.copy()
    broken[[2, 7], 0] = bad
    with pytest.raises(ValueError, match=f"{word} in 2 of 15 rows: 2, 7"):
        classifier_of(world).fit(broken, y)
    classifier = classifier_of(world).fit(X, y)
    with pytest.raises(ValueError, match="rows: 2, 7"):
        classifier.predict(broken)


def test_another_width_than_the_text_is_named(world):
    X, y = world.draw(3)
    with pytest.raises(ValueError, match="X has 9 features, but the text encoder's embeddings have 16"):
        classifier_of(world).fit(X[:, :9], y)
    with pytest.raises(ValueError, match="9 features"):
        classifier_of(world).fit(X, y).predict(X[:, :9])


def test_a_blend_of_nothing_is_refused(world):
    X, y = world.draw(3)
    zero = {"blend": "paper", "lambda1": 0, "lambda2": 0, "lambda3": 0}
    with pytest.raises(ValueError, match="all zero"):
        classifier_of(world, **zero).fit(X, y)
    codes = np.unique(y, return_inverse=True)[1]
    with pytest.raises(ValueError, match="lambda1 weighs the text"):
        SeMoBridgeClassifier(**{**zero, "lambda1": 1.0}).fit(X, codes)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"blend": "mean"}, "blend"),
        ({"atol": -0.1}, "atol"),
        ({"alpha": -1}, "alpha"),
        ({"lambda_it": 1.5}, "lambda_it"),
        ({"solver": "sgd"}, "solver"),
        ({"prompts": "no braces"}, "no '{}'"),
        ({"prompts": []}, "empty list"),
        ({"prompts": {"cat": []}}, "no entry|one or more"),
        ({"class_names": 3}, "class_names"),
        ({"text_encoder": "ViT-B-16"}, "text_encoder"),
    ],
)
def test_bad_parameters_are_named(world, params, message):
    X, y = world.draw(2)
    with pytest.raises(ValueError, match=message):
        classifier_of(world).set_params(**params).fit(X, y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [(-1.0, "Negative"), (np.nan, "NaN"), (0.0, "zero")],
)
def test_bad_weights_are_named(world, weight, message):
    X, y = world.draw(2)
    with pytest.raises(ValueError, match=message):
        classifier_of(world).fit(X, y, sample_weight=np.full(len(X), weight))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"class_names": "ignore", "lambda2": 0, "lambda3": 0}, "lambda1 weighs the text"),
        (
            {"vocabulary": ["a photo of a cat.", "a photo of a dog."], "lambda1": 0, "lambda2": 0},
            "lambda3 weighs z3",
        ),
    ],
)
def test_a_blend_of_affinities_that_are_not_there_is_refused(world, params, message):
    X, y = world.draw(3)
    with pytest.raises(ValueError, match=f"are all zero.*{message}"):
        classifier_of(world, blend="paper", **params).fit(X, y)


def test_with_words_the_cutoff_is_of_no_account(world):
    X, y = world.draw(3)
    words = [f"a photo of a {name}." for name in world.names]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier = classifier_of(world, vocabulary=words, atol=1e9).fit(X, y)
    assert classifier.rank_ == len(words) - 1


def test_a_cutoff_above_everything_warns_and_stays_finite(any_world):
    X, y = any_world.draw(3)
    for blend in BLENDS:
        classifier = classifier_of(any_world, blend=blend, atol=1e6)
        with pytest.warns(UserWarning, match="cuts off every direction"):
            classifier.fit(X, y)
        assert classifier.rank_ == 0
        assert np.isfinite(classifier.predict_proba(X)).all()


def test_a_zero_embedding_stays_finite(any_world):
    X, y = any_world.draw(3)
    X[0] = 0
    for blend in BLENDS:
        classifier = classifier_of(any_world, blend=blend).fit(X, y)
        assert np.isfinite(classifier.predict_proba(X)).all()


# Manners


@pytest.mark.parametrize("blend", BLENDS)
def test_fit_and_predict_leave_everything_else_alone(any_world, blend):
    X, y = any_world.draw(3)
    X.flags.writeable = False
    classifier = classifier_of(any_world, blend=blend)
    before = pickle.dumps((X, y, classifier.get_params()))
    classifier.fit(X, y)
    assert pickle.dumps((X, y, classifier.get_params())) == before
    fitted = state(classifier)
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function", "affinities"):
        getattr(classifier, method)(X)
    assert state(classifier) == fitted
    assert state(classifier.fit(X, y)) == fitted


def test_memory_maps_are_read(world, tmp_path):
    X, y = world.draw(3)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert state(classifier_of(world).fit(mapped, y)) == state(classifier_of(world).fit(X, y))


@pytest.mark.parametrize("blend", BLENDS)
def test_order_and_subsets_of_queries_do_not_matter(any_world, blend):
    X, y = any_world.draw(3)
    queries, _ = any_world.draw(6)
    classifier = classifier_of(any_world, blend=blend).fit(X, y)
    whole = classifier.predict_proba(queries)
    tolerance = 1e-4 if X.dtype == np.float32 else 1e-9
    order = np.random.default_rng(0).permutation(len(queries))
    np.testing.assert_allclose(classifier.predict_proba(queries[order]), whole[order], rtol=tolerance)
    np.testing.assert_allclose(classifier.predict_proba(queries[:1]), whole[:1], rtol=tolerance)


@pytest.mark.parametrize("blend", BLENDS)
def test_clone_and_pickle(any_world, blend):
    X, y = any_world.draw(3)
    classifier = classifier_of(any_world, blend=blend)
    copy = clone(classifier)
    assert state(copy.fit(X, y)) == state(classifier.fit(X, y))
    loaded = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))


def test_nested_parameters_can_be_set(world):
    classifier = classifier_of(world)
    classifier.set_params(text_encoder__logit_scale=50.0)
    assert classifier.text_encoder.logit_scale == 50.0


def test_data_frames_keep_feature_names(world):
    X, y = world.draw(3)
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])])
    classifier = classifier_of(world).fit(frame, y)
    assert classifier.feature_names_in_.tolist() == list(frame.columns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.predict(frame)


def test_model_selection(world):
    X, y = world.draw(8)
    assert cross_val_score(classifier_of(world), X, y, cv=4).mean() > 0.7
    search = GridSearchCV(classifier_of(world), {"atol": ["auto", 0.3], "blend": BLENDS}, cv=2)
    assert search.fit(X, y).best_score_ > 0.7
    pipeline = make_pipeline(FunctionTransformer(), classifier_of(world))
    weight = np.linspace(1, 2, len(X))
    pipeline.fit(X, y, semobridgeclassifier__sample_weight=weight)
    assert pipeline.score(X, y) > 0.7


# Zero-shot


def test_zero_shot_only_reads_the_classes(any_world):
    X, y = any_world.draw(2)
    classifier = ZeroShotClassifier(any_world.text_encoder(), prompts=TEMPLATE).fit(X, y)
    other = ZeroShotClassifier(any_world.text_encoder(), prompts=TEMPLATE).fit(-X, y)
    np.testing.assert_array_equal(classifier.predict_proba(X), other.predict_proba(X))
    few_shot = classifier_of(any_world).fit(X, y)
    np.testing.assert_allclose(
        classifier.decision_function(X), 20 * few_shot.affinities(X)["z1"], rtol=1e-4, atol=1e-5
    )
    loaded = pickle.loads(pickle.dumps(clone(classifier).fit(X, y)))
    assert (loaded.predict(X) == classifier.predict(X)).all()
    assert classifier.decision_function(X).dtype == X.dtype


def test_zero_shot_log_odds_of_two_classes(world):
    X, y = world.draw([2, 2, 0, 0, 0])
    classifier = ZeroShotClassifier(world.text_encoder(), prompts=TEMPLATE).fit(X, y)
    assert classifier.decision_function(X).shape == (4,)
    with pytest.raises(ValueError, match="9 features"):
        ZeroShotClassifier(world.text_encoder(), prompts=TEMPLATE).fit(X[:, :9], y)


# What reviewers found


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_labels_and_groups_are_named(world, missing):
    X, y = world.draw(2)
    labels = y.astype(object)
    labels[3] = missing
    with pytest.raises(ValueError, match=r"y contains NaN or None in rows \[3\]"):
        classifier_of(world).fit(X, labels)
    with pytest.raises(ValueError, match=r"groups contains NaN or None in rows \[3\]"):
        classifier_of(world).fit(X, y, groups=labels)
    with pytest.raises(ValueError, match="mixes kinds"):
        classifier_of(world, blend="paper").fit(X, y, groups=np.array(["a", 1] * 5, dtype=object))


@pytest.mark.parametrize(("dtype", "factors"), [(np.float32, [1e-30, 1e25]), (np.float64, [1e-290, 1e200])])
def test_embeddings_of_any_length(world, dtype, factors):
    X, y = world.draw(3)
    X = X.astype(dtype)
    classifier = classifier_of(world, blend="paper", lambda3=0).fit(X, y)
    for factor in factors:
        np.testing.assert_allclose(
            classifier.predict_proba(X * dtype(factor)), classifier.predict_proba(X), rtol=1e-4
        )


def test_names_without_an_order_are_refused(world):
    X, y = world.draw(2)
    with pytest.raises(TypeError, match="no order"):
        classifier_of(world, class_names=set(world.names)).fit(X, y)


def test_a_text_encoder_that_cannot_be_pickled_works_all_the_same(world):
    X, y = world.draw(2)
    encoder = world.text_encoder()

    class Unpicklable:
        projection_, projection_bias_, logit_scale_ = encoder.projection_, None, 20.0
        encode, transform = staticmethod(encoder.encode), staticmethod(encoder.transform)

        def __init__(self):
            self.secret = lambda: None

    classifier = SeMoBridgeClassifier(Unpicklable(), prompts=TEMPLATE).fit(X, y)
    np.testing.assert_allclose(
        classifier.predict_proba(X), classifier_of(world).fit(X, y).predict_proba(X), rtol=1e-9
    )


def test_warnings_point_at_the_caller(world):
    X, y = world.draw(2)
    with pytest.warns(UserWarning, match="no text_encoder") as caught:
        SeMoBridgeClassifier().fit(X, y)
    assert caught[0].filename == __file__


def test_zero_shot_warns_of_numbers_too(world):
    X, y = world.draw(2)
    encoder = world.text_encoder()
    encoder.texts = [f"a photo of a {i}." for i in range(5)]
    with pytest.warns(UserWarning, match="labels are not text"):
        ZeroShotClassifier(encoder, prompts=TEMPLATE).fit(X, np.searchsorted(world.names, y))


@pytest.mark.parametrize(
    "images",
    [
        ["a.jpg", "b.jpg"],
        np.array(["a.jpg", "b.jpg"]),
        [Path("a.jpg"), Path("b.jpg")],
        [b"1", b"2"],
        [Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4))],
        np.zeros((2, 4, 4, 3), dtype=np.uint8),
        [np.zeros((4, 4, 3), dtype=np.uint8), np.zeros((5, 4, 3), dtype=np.uint8)],
        "a.jpg",
    ],
)
def test_images_in_place_of_embeddings_are_named(images):
    with pytest.raises(ValueError, match="X holds images or their paths. Embed them with CLIPImageEncoder"):
        SeMoBridgeClassifier().fit(images, [0, 1])


@pytest.mark.parametrize("device", ["cuda:99", "nowhere"])
def test_a_device_that_is_not_there_is_named(world, device):
    X, y = world.draw(2)
    with pytest.raises(ValueError, match=f"device='{device}'"):
        classifier_of(world, solver="lbfgs", device=device).fit(X, y)


def test_a_refit_of_zero_shot_that_fails_changes_nothing():
    encoder = PrecomputedTextEncoder(["a ant", "a cat"], np.eye(2), np.eye(2))
    classifier = ZeroShotClassifier(encoder, prompts="a {}").fit(np.eye(2), ["ant", "cat"])
    with pytest.raises(ValueError, match="a dog"):
        classifier.fit(np.eye(2), ["cat", "dog"])
    assert classifier.predict(np.eye(2)).tolist() == ["ant", "cat"]
