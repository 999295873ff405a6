"""What both classifiers that learn from shots do: parameters, and how much shots count."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, FewShotClassifier, SeMoBridgeClassifier

from .encoder_helpers import some_emoji
from .made_up import World, every_model, peak_memory
from .versions import needs_sklearn


def test_learns_from_shots(any_world, kind):
    X, y = any_world.draw(4)
    queries, truth = any_world.draw(40)
    classifier = any_world.classifier(kind).fit(X, y)
    assert classifier.score(queries, truth) > 0.8
    assert classifier.classes_.tolist() == any_world.names
    assert classifier.text_embeddings_.shape == (5, X.shape[1])
    assert (
        classifier.text_embeddings_.dtype == classifier.decision_function(queries).dtype == X.dtype
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_probabilities_are_the_softmax_of_the_decision(world, kind, dtype):
    X, y = world.draw(3)
    classifier = world.classifier(kind).fit(X.astype(dtype), y)
    for queries in (X, X.astype(np.float32), X.astype(np.float16), X.tolist()):
        probability, decision = (
            classifier.predict_proba(queries),
            classifier.decision_function(queries),
        )
        assert probability.dtype == classifier.predict_log_proba(queries).dtype == decision.dtype
        rounding = 10 * np.finfo(probability.dtype).eps
        np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=0, atol=rounding)
        np.testing.assert_allclose(probability, softmax(decision, axis=1), rtol=1e-5)
        log_proba = classifier.predict_log_proba(queries)
        np.testing.assert_allclose(log_proba, np.log(probability), rtol=1e-3, atol=1e-5)
        assert (classifier.predict(queries) == classifier.classes_[decision.argmax(axis=1)]).all()


@pytest.mark.parametrize("with_text", [True, False])
@pytest.mark.parametrize(
    "counts", [[3, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [2, 1, 0, 0, 0], [1, 1, 1, 1, 1]]
)
def test_few_classes_and_few_shots(world, kind, counts, with_text):
    X, y = world.draw(counts)
    classifier = world.classifier(kind) if with_text else kind()
    labels = y if with_text else world.codes(y)
    classifier.fit(X, labels)
    assert np.isfinite(classifier.decision_function(X)).all()
    assert classifier.score(X, labels) == 1
    if counts[1] == 0:
        assert (classifier.predict_proba(X) == 1).all()


@pytest.mark.parametrize(
    ("dtype", "factors"), [(np.float32, [1e-30, 1e25]), (np.float64, [1e-290, 1e200])]
)
def test_embeddings_of_any_length(world, kind, dtype, factors):
    X, y = world.draw(3)
    X = X.astype(dtype)
    classifier = world.classifier(kind).fit(X, y)
    for factor in factors:
        scaled = classifier.predict_proba(X * dtype(factor))
        np.testing.assert_allclose(scaled, classifier.predict_proba(X), rtol=1e-3, atol=1e-6)
    X[0] = 0
    assert np.isfinite(classifier.predict_proba(X)).all()


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_memory_does_not_grow_with_the_queries(make_world, kind, method):
    world = make_world(d=64, width=64, dtype=np.float32)
    X, y = world.draw(4)
    ask = getattr(world.classifier(kind).fit(X, y), method)

    def extra(n):
        queries = np.resize(X, (n, 64))
        # Of several threads, chance decides how many blocks there are at a time.
        with threadpool_limits(1):
            return peak_memory(lambda: ask(queries)) - ask(queries).nbytes

    block = 2**15  # rows, of 64 values
    assert extra(8 * block) < 1.1 * extra(3 * block)


# Parameters


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"text_encoder": "ViT-B-16"}, "text_encoder"),
        ({"priors": [0.5, 0.5]}, "priors must be 5 positive"),
        ({"priors": [1, 1, 1, 1, np.nan]}, "priors must be 5 positive"),
        ({"priors": list("abcde")}, r"priors must be numbers; got \['a'"),
        ({"priors": pd.Series(range(1, 5), index=World().names[1:])}, "are missing bird"),
        ({"priors": pd.Series(1.0, index=[*World().names, "bird"])}, "have a label twice"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(world, kind, params, message):
    with pytest.raises(ValueError, match=message):
        world.classifier(kind).set_params(**params).fit(*world.draw(2))


@pytest.mark.parametrize("counts", [[4, 2, 2, 1, 3], [4, 2, 0, 0, 0]])
def test_priors_are_added_to_the_logits(world, kind, counts):
    X, y = world.draw(counts)
    n_classes = np.count_nonzero(counts)
    priors = np.arange(1.0, n_classes + 1)

    def log_odds(model):
        log_proba = model.predict_log_proba(X)
        return log_proba - log_proba[:, :1]

    def shift(priors):
        without = log_odds(world.classifier(kind).fit(X, y))
        return log_odds(world.classifier(kind, priors=priors).fit(X, y)) - without

    expected = np.log(priors / priors[0])
    np.testing.assert_allclose(shift(priors), np.tile(expected, (len(X), 1)), atol=1e-9)
    np.testing.assert_allclose(shift((3e307 * priors).tolist()), shift(priors), atol=1e-9)
    # A Series and a mapping go by the labels.
    by_label = pd.Series(priors, index=np.unique(y))[::-1]
    for labelled in (by_label, by_label.to_dict()):
        np.testing.assert_allclose(shift(labelled), shift(priors), atol=1e-9)
    shares = np.array(counts[:n_classes]) / counts[0]
    np.testing.assert_allclose(shift("shots"), np.tile(np.log(shares), (len(X), 1)), atol=1e-9)


@pytest.mark.parametrize("priors", [[4, 2, 2, 1, 3], "shots"])
def test_priors_of_other_classes(world, priors):
    X, y = world.draw([4, 2, 2, 1, 3])

    def shift(rows, priors, classes):
        fitted = [world.classifier(priors=p).fit(X[rows], y[rows]) for p in (priors, None)]
        with_prior, even = (model.with_classes(classes).decision_function(X) for model in fitted)
        return with_prior - even

    np.testing.assert_allclose(
        shift(slice(None), priors, ["bird", "cat"]), np.log(2 / 4), atol=1e-9
    )
    # A class that has only a name is as frequent as the others on average, or as one shot.
    known, share = (priors, 1.0) if priors == "shots" else ([4, 2, 1, 3], 2.5)
    np.testing.assert_allclose(
        shift(y != "dog", known, ["bird", "dog"]), np.log(share / 4), atol=1e-9
    )


# Shots


CLOSED_FORM = {"kind": SeMoBridgeClassifier}
TRAINED = CLOSED_FORM | {"solver": "lbfgs", "max_iter": 5}
quiet = pytest.mark.filterwarnings("ignore:The rows of X have lengths|The bridge did not converge")


@st.composite
def problems(draw):
    world = World(seed=draw(st.integers(0, 1000)), bias=draw(st.booleans()))
    X, y = world.draw(draw(st.lists(st.integers(1, 5), min_size=5, max_size=5)))
    params = draw(st.sampled_from([{}, CLOSED_FORM, TRAINED, {"label_noise": 0}]))
    return world, world.classifier(**params), X, y


@quiet
@given(problems(), st.integers(0, 100))
def test_order_of_rows_and_names_of_groups_do_not_matter(problem, seed):
    _, classifier, X, y = problem
    rng = np.random.default_rng(seed)
    groups, order = rng.integers(0, 6, len(X)), rng.permutation(len(X))
    renamed = np.array(list("fbdcae"))[groups]
    for before, after in ((None, None), (groups, renamed[order])):
        expected = classifier.fit(X, y, groups=before).predict_proba(X)
        shuffled = classifier.fit(X[order], y[order], groups=after).predict_proba(X)
        np.testing.assert_array_equal(shuffled, expected)


@quiet
@pytest.mark.filterwarnings("ignore:sample_weight is the same for all shots of a class")
@given(problems(), st.lists(st.integers(1, 4), min_size=25, max_size=25), st.floats(1e-3, 1e3))
def test_a_repeated_row_is_a_heavier_row_and_weights_are_relative(problem, repeats, factor):
    _, classifier, X, y = problem
    repeats = np.array(repeats[: len(X)])
    weighted = classifier.fit(X, y, sample_weight=repeats).predict_proba(X)
    repeated = classifier.fit(np.repeat(X, repeats, axis=0), np.repeat(y, repeats)).predict_proba(X)
    np.testing.assert_allclose(repeated, weighted, rtol=1e-9)
    scaled = classifier.fit(X, y, sample_weight=factor * repeats).predict_proba(X)
    np.testing.assert_allclose(scaled, weighted, rtol=1e-4, atol=1e-8)


@every_model
@pytest.mark.filterwarnings("ignore:sample_weight is the same for all shots of a class")
@pytest.mark.parametrize("ratio", [1e3, 1e24, 1e200])
@pytest.mark.parametrize("with_groups", [False, True])
def test_weights_of_any_ratio(world, params, ratio, with_groups):
    X, y = world.draw(4)
    queries, truth = world.draw(20)
    groups = np.arange(len(X)) // 2 if with_groups else None
    for heavy in (np.arange(len(X)) % 3 == 0, np.isin(y, ["cat", "dog"]), np.arange(len(X)) == 3):
        weight = np.where(heavy, min(ratio, 1e100), min(1, 1e100 / ratio))
        classifier = world.classifier(**params).fit(X, y, sample_weight=weight, groups=groups)
        assert np.isfinite(classifier.predict_proba(queries)).all()
        assert classifier.score(queries, truth) > 0.7


@every_model
def test_only_fitted_arrays_have_the_precision_of_the_shots(world, params):
    X, y = world.draw(4)
    single = X.astype(np.float32)
    double = single.astype(np.float64)
    by_single, by_double = (world.classifier(**params).fit(shots, y) for shots in (single, double))
    is_bridged = isinstance(by_single, SeMoBridgeClassifier)
    for name in ("text_embeddings_", "prototypes_" if is_bridged else "coef_"):
        actual, expected = getattr(by_single, name), getattr(by_double, name)
        assert (actual.dtype, expected.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    if is_bridged:
        assert by_single.temperature_ == pytest.approx(by_double.temperature_, rel=1e-6)
    else:
        assert by_single.blend_ == by_double.blend_
    for queries in (single, double):
        assert by_single.decision_function(queries).dtype == queries.dtype
    half = X.astype(np.float16)
    by_half, expected = (
        clone(by_single).fit(shots, y) for shots in (half, half.astype(np.float32))
    )
    assert pickle.dumps(by_half) == pickle.dumps(expected)


@pytest.mark.parametrize(
    "given",
    [{"class_names": World().names}, {"prompts": "a {}."}, {"prompts": {"cat": ["a cat."]}}],
)
def test_names_without_a_text_encoder_warn_once_in_the_code_of_the_caller(world, given):
    X, y = world.draw(2)
    with pytest.warns(UserWarning, match="class_names or prompts but no text_encoder") as caught:
        FewShotClassifier(**given).fit(X, world.codes(y))
    assert [warning.filename for warning in caught] == [__file__]


def test_labels_that_are_text_need_no_text_encoder(world, kind):
    kind().fit(*world.draw(2))  # without a warning


@pytest.mark.parametrize("make", [FewShotClassifier, SeMoBridgeClassifier])
def test_single_images_without_names_warn_that_nothing_checks_probabilities(world, make):
    (X, y), (more, _) = world.draw(1), world.draw(1)
    codes = world.codes(y)
    both, codes_of_both = np.vstack([X, more]), np.tile(codes, 2)
    classifier = make()
    with pytest.warns(UserWarning, match="Each class has one image and no name") as caught:
        classifier.fit(X, codes)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.partial_fit(more[:1], codes[:1])
        make().fit(both, codes_of_both)
        make().fit(X[:1], codes[:1])
        world.classifier().fit(X, y)
    with pytest.warns(UserWarning, match="Each class has one image"):
        make().fit(both, codes_of_both, groups=codes_of_both)


# In scikit-learn's tools


@needs_sklearn("1.7", "sends no weights to the score of a pipeline")
def test_weights_and_groups_reach_the_classifier_through_a_pipeline(world):
    X, y = world.draw(6)
    shots = {"sample_weight": np.linspace(1, 2, len(y)), "groups": np.arange(len(y)) // 2}
    with sklearn.config_context(enable_metadata_routing=True):
        classifier = world.classifier().set_fit_request(sample_weight=True, groups=True)
        pipeline = make_pipeline(FunctionTransformer(), classifier).fit(X, y, **shots)
    expected = world.classifier().fit(X, y, **shots).predict_proba(X)
    np.testing.assert_array_equal(pipeline.predict_proba(X), expected)


def test_groups_of_folds_go_to_fit_only_where_a_user_says_so(world, kind):
    X, y = world.draw(4)
    persons = np.tile(np.arange(10), 2)
    folds = {"cv": GroupKFold(2), "scoring": "neg_log_loss"}
    alone = cross_val_score(world.classifier(kind), X, y, groups=persons, **folds)
    folds["params"] = {"groups": persons}
    with sklearn.config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError, match=r"\[groups\] .*set_fit_request"):
            cross_val_score(world.classifier(kind), X, y, **folds)
        for_folds, for_both = [
            cross_val_score(world.classifier(kind).set_fit_request(groups=groups), X, y, **folds)
            for groups in (False, True)
        ]
    np.testing.assert_array_equal(for_folds, alone)
    assert (for_both != alone).any()


def test_images_that_are_all_zeros_teach_nothing(world, kind):
    for classifier in (kind(), world.classifier(kind)):
        with (
            pytest.warns(UserWarning, match="nothing but zeros in 2 of 2 rows"),
            pytest.raises(ValueError, match="nothing but zeros, .* Embed"),
        ):
            classifier.set_params(class_names="ignore").fit(np.zeros((2, 16)), ["a", "b"])


@pytest.mark.parametrize("as_number", [False, True])
def test_priors_by_label_hold_in_folds_that_lack_a_class(world, kind, as_number):
    X, y = world.draw(4)
    priors = dict(zip(world.names[::-1], [1.0, 2.0, 3.0, 4.0, 5.0]))  # bird 5, ..., hot dog 1
    kept = ~np.isin(y, ["cat", "fire truck"])
    labels = world.codes(y) if as_number else y
    classifier = world.classifier(kind, class_names=world.names)
    by_label = clone(classifier).set_params(priors=priors).fit(X[kept], labels[kept])
    expected = clone(classifier).set_params(priors=[5, 3, 1]).fit(X[kept], labels[kept])
    np.testing.assert_array_equal(by_label.predict_proba(X), expected.predict_proba(X))


def test_priors_by_label_hold_for_other_classes(world, kind):
    X, y = world.draw(4)
    priors = dict(zip(world.names, [1.0, 2.0, 3.0, 4.0, 5.0]))
    part = world.classifier(kind, priors=priors).fit(X, y).with_classes(["cat", "hot dog"])
    assert part.priors == priors
    even = world.classifier(kind).fit(X, y).with_classes(["cat", "hot dog"])
    shift = part.decision_function(X) - even.decision_function(X)
    np.testing.assert_allclose(shift, np.log(5 / 2), atol=1e-9)


def test_priors_by_label_are_never_those_of_two_sides(world, kind):
    X, y = world.draw(4)
    classifier = kind(priors=dict.fromkeys(world.names, 1.0), class_names="ignore")
    with pytest.raises(ValueError, match="priors have 5 labels, but the labels are 0 and 1"):
        classifier.fit(X, (y == "cat").astype(int))


def test_embeddings_without_their_mean_are_warned_of_where_there_are_texts(kind):
    images, y = some_emoji(["bird", "clock", "fruit"], 3)
    X, texts = (
        CLIPImageEncoder("mini", "bundled").transform(images),
        CLIPTextEncoder("mini", "bundled"),
    )
    kind(texts).fit(X, y)
    with pytest.warns(
        UserWarning, match="as if each column had been centred.* Leave this step out"
    ):
        make_pipeline(StandardScaler(), kind(texts)).fit(X, y)
    make_pipeline(StandardScaler(), kind(class_names="ignore")).fit(X, y)


# Names that shots contradict


@every_model
@pytest.mark.parametrize("per_class", [1, 4])
def test_names_of_other_classes_are_warned_of_with_three_pairs(world, params, per_class):
    X, y = world.draw(per_class, noise=0.6)
    names = dict(zip(world.names, np.roll(world.names, 2).tolist()))
    message = (
        "no better than chance on the shots.* The shots of 5 of 5 classes fit the name of another"
        " class better, .*: 'bird' -> 'fire truck' .like 'bird'., 'cat' -> 'hot dog' .like 'cat'.,"
        " 'dog' -> 'bird' .like 'dog'. and 2 more. Look"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        world.classifier(class_names=names, **params).fit(X, y)
    assert sum("names or labels" in str(warning.message) for warning in caught) == 1
    world.classifier(**params).fit(X, y)


@every_model
def test_two_exchanged_names_of_five_are_warned_of(world, params):
    X, y = world.draw(2, noise=0.6)
    names = {name: name for name in world.names} | {"cat": "dog", "dog": "cat"}
    with pytest.warns(UserWarning, match="2 of 5 classes .*'cat' -> 'dog' .like 'cat'., 'dog'"):
        world.classifier(class_names=names, **params).fit(X, y)


@every_model
def test_names_that_say_nothing_are_warned_of(world, params):
    X, y = world.draw(4)
    other_model = np.random.default_rng(1).permutation(X.shape[1])
    with pytest.warns(UserWarning, match="no better than chance on the shots"):
        world.classifier(**params).fit(X[:, other_model], y)


def test_only_classes_with_shots_and_text_are_judged_by_their_names(world):
    X, y = world.draw([2, 2, 0, 2, 0], noise=0.6)
    names = dict(zip(world.names, ["cat", "bird", "dog", None, "hot dog"]))
    with pytest.warns(UserWarning, match="2 of 5 classes .*'bird' -> 'cat' .like 'bird'"):
        world.classifier(class_names=names).partial_fit(X, y, classes=world.names)


# Weights of classes


def test_weights_that_differ_between_classes_only_are_warned_of(world, kind):
    X, y = world.draw(3)
    classifier = world.classifier(kind)
    with pytest.warns(UserWarning, match="changes nothing.* predicted as 'dog', set priors"):
        weighted = classifier.fit(X, y, sample_weight=np.where(y == "dog", 100.0, 1.0))
    np.testing.assert_allclose(
        weighted.predict_proba(X), clone(classifier).fit(X, y).predict_proba(X), atol=1e-6
    )


@pytest.mark.parametrize("weight", [lambda y: [7.0] * len(y), lambda y: np.arange(1.0, len(y) + 1)])
def test_other_weights_are_not_warned_of(world, kind, weight):
    X, y = world.draw([3, 3, 3, 3, 3])
    world.classifier(kind).fit(X, y, sample_weight=weight(y))
    X, y = world.draw([1, 2, 3, 4, 5])
    balanced = compute_sample_weight("balanced", y)
    world.classifier(kind).fit(X, y, sample_weight=balanced)
    bag = np.where(y == "dog", [0.0, 2.0] * 7 + [0.0], 1.0)
    world.classifier(kind).fit(X, y, sample_weight=bag)


def test_class_weight_is_refused_in_a_short_message_that_names_priors(world, kind):
    with pytest.raises(ValueError, match="Invalid parameter 'class_weight'") as caught:
        world.classifier(kind).set_params(class_weight="balanced")
    assert caught.value.__notes__ == ["A weight of a class is a prior here: set priors."]
    assert len(str(caught.value)) < 1000
