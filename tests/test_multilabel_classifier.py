"""What `MultilabelFewShotClassifier` does with tagged images."""

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, label_ranking_loss
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multioutput import ClassifierChain
from sklearn.preprocessing import MultiLabelBinarizer

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    MultilabelFewShotClassifier,
    PrecomputedTextEncoder,
    make_multilabel_pipeline,
    trusted_types,
)
from sksemobridge._model.multilabel import tag_together

from .encoder_helpers import some_emoji

TAGS = ["bird", "cat", "dog", "indoors", "night"]


class Tagged:
    """Images with some of five tags, and their texts."""

    def __init__(self, n=40, seed=0, width=24, noise=1.2, dtype=np.float64):
        rng = np.random.default_rng(0)
        means = rng.normal(size=(5, width))
        self.texts = dict(zip(TAGS, means + 0.7 * rng.normal(size=means.shape)))
        rng = np.random.default_rng(seed)
        self.Y = (rng.random((n, 5)) < 0.3).astype(int)
        X = self.Y @ means + 0.5 + noise * rng.normal(size=(n, width))
        self.X = X.astype(dtype)

    @property
    def sets(self):
        return [{TAGS[k] for k in np.flatnonzero(row)} for row in self.Y]

    @property
    def frame(self):
        return pd.DataFrame(self.Y, columns=TAGS)

    def classifier(self, **params):
        encoder = PrecomputedTextEncoder.from_joint(self.texts, logit_scale=20.0)
        return MultilabelFewShotClassifier(encoder, prompts="{}", **params)


@pytest.fixture(scope="module")
def tagged():
    return Tagged()


def assert_same_model(one, other, rtol=1e-7):
    assert one.classes_.tolist() == other.classes_.tolist()
    for name in ("coef_", "intercept_", "thresholds_"):
        a, b = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * max(np.abs(b).max(), 1))


def test_it_is_linear_in_unit_embeddings(tagged):
    fitted = tagged.classifier().fit(tagged.X, tagged.frame)
    unit = tagged.X / np.linalg.norm(tagged.X, axis=1, keepdims=True)
    logits = fitted.decision_function(tagged.X)
    np.testing.assert_allclose(logits, unit @ fitted.coef_.T + fitted.intercept_)
    proba = fitted.predict_proba(tagged.X)
    np.testing.assert_allclose(proba, 1 / (1 + np.exp(-logits)))
    np.testing.assert_array_equal(fitted.predict(tagged.X), proba >= fitted.thresholds_)
    together = fitted.predict_together(tagged.X)
    np.testing.assert_array_equal(together, tag_together(proba))
    assert together.dtype == fitted.predict(tagged.X).dtype == np.int64
    assert 0 < fitted.thresholds_.min() <= fitted.thresholds_.max() <= 0.5


@pytest.mark.parametrize("n_tags", [1, 2])
def test_one_tag_or_two_have_a_column_each(tagged, n_tags):
    names = TAGS[:n_tags]
    fitted = tagged.classifier().fit(tagged.X, tagged.frame[names])
    assert fitted.coef_.shape == (n_tags, 24)
    for method in ("predict", "predict_proba", "decision_function", "predict_together"):
        assert getattr(fitted, method)(tagged.X).shape == (40, n_tags)


def test_every_form_of_tags_gives_the_same_model(tagged):
    expected = tagged.classifier().fit(tagged.X, tagged.sets)
    assert expected.classes_.tolist() == TAGS
    assert_same_model(tagged.classifier().fit(tagged.X, tagged.frame), expected)
    polars = pl.DataFrame(tagged.Y, schema=TAGS)
    assert_same_model(tagged.classifier().fit(tagged.X, polars), expected)
    for Y in (tagged.Y, sparse.csr_array(tagged.Y)):
        numbered = tagged.classifier(class_names=TAGS).fit(tagged.X, Y)
        assert numbered.classes_.tolist() == [0, 1, 2, 3, 4]
        assert numbered.class_names_.tolist() == TAGS
        np.testing.assert_array_equal(numbered.coef_, expected.coef_)


def test_columns_keep_their_order(tagged):
    order = [3, 0, 4, 2, 1]
    mixed = tagged.classifier().fit(tagged.X, tagged.frame.iloc[:, order])
    assert mixed.classes_.tolist() == [TAGS[k] for k in order]
    expected = tagged.classifier().fit(tagged.X, tagged.frame).coef_[order]
    np.testing.assert_allclose(mixed.coef_, expected, rtol=0, atol=1e-2)
    with pytest.raises(ValueError, match="The classes are 'indoors', .* Give the order"):
        tagged.classifier(class_names=TAGS).fit(tagged.X, tagged.frame.iloc[:, order])


def test_names_help(tagged):
    few, test = tagged, Tagged(400, seed=1)
    with_names = few.classifier().fit(few.X[:12], few.frame[:12])
    without = few.classifier(class_names="ignore").fit(few.X[:12], few.frame[:12])
    assert without.text_embeddings_ is None
    scores = [
        average_precision_score(test.Y, fitted.predict_proba(test.X), average="macro")
        for fitted in (with_names, without)
    ]
    assert scores[0] > scores[1] + 0.02


def test_a_tag_of_no_image_has_its_name(tagged):
    Y = tagged.frame.astype(float)
    Y["dog"] = np.nan
    fitted = tagged.classifier().fit(tagged.X, Y)
    test = Tagged(400, seed=1)
    found = average_precision_score(test.Y[:, 2], fitted.predict_proba(test.X)[:, 2])
    assert found > test.Y[:, 2].mean() + 0.2
    # It counts as frequent as the others are.
    assert fitted.predict_proba(test.X)[:, 2].mean() == pytest.approx(0.3, abs=0.15)


def test_few_answers_hardly_change_how_often_a_tag_is_found(tagged):
    Y, test = tagged.frame.astype(float), Tagged(400, seed=1)
    few = np.flatnonzero(Y.iloc[:, 2] == 0)[:1]
    Y.iloc[np.delete(np.arange(len(Y)), few), 2] = np.nan
    after_one = tagged.classifier().fit(tagged.X, Y).predict_proba(test.X)[:, 2]
    Y.iloc[:, 2] = np.nan
    by_name = tagged.classifier().fit(tagged.X, Y).predict_proba(test.X)[:, 2]
    assert after_one.mean() == pytest.approx(by_name.mean(), abs=0.05)


def test_tags_that_nobody_looked_for_need_a_text(tagged):
    Y = tagged.frame.astype(float)
    Y["dog"] = -1
    classifier = tagged.classifier(class_names=dict.fromkeys(TAGS, None) | {"cat": "cat"})
    with pytest.raises(ValueError, match=r"Nobody looked for the tags \['dog'\]"):
        classifier.fit(tagged.X, Y)


def test_unknown_answers_do_not_count(tagged):
    """The images without an answer could as well be absent for this tag."""
    Y = tagged.frame.astype(float)[["cat"]]
    Y.iloc[25:] = np.nan
    # Without names, so that nothing but images teach.
    fitted = MultilabelFewShotClassifier(class_names="ignore").fit(tagged.X, Y)
    Y.iloc[25:] = -1
    other = MultilabelFewShotClassifier(class_names="ignore").fit(tagged.X, Y)
    assert_same_model(fitted, other)
    few = MultilabelFewShotClassifier(class_names="ignore").fit(tagged.X[:25], tagged.Y[:25, [1]])
    test = Tagged(200, seed=1).X
    # Only the mean of all images differs.
    np.testing.assert_allclose(
        few.decision_function(test), fitted.decision_function(test), rtol=0, atol=0.5
    )


@given(st.integers(0, 10**6))
def test_weights_count_as_repeated_rows(seed):
    tagged, rng = Tagged(12, seed), np.random.default_rng(seed)
    times = rng.integers(0, 4, 12)
    times[:2] = 1
    weighted = tagged.classifier().fit(tagged.X, tagged.frame, sample_weight=times)
    rows = rng.permutation(np.repeat(np.arange(12), times))
    repeated = tagged.classifier().fit(tagged.X[rows], tagged.frame.iloc[rows])
    assert_same_model(repeated, weighted, rtol=1e-4)
    scaled = tagged.classifier().fit(tagged.X, tagged.frame, sample_weight=7 * times)
    assert_same_model(scaled, weighted, rtol=1e-4)


@given(st.integers(0, 10**6))
def test_lengths_and_order_do_not_matter(seed):
    tagged, rng = Tagged(12, seed), np.random.default_rng(seed)
    expected = tagged.classifier().fit(tagged.X, tagged.frame)
    rows = rng.permutation(12)
    found = tagged.classifier().fit(tagged.X[rows] * 3, tagged.frame.iloc[rows])
    assert_same_model(found, expected, rtol=1e-4)


@pytest.mark.parametrize("form", ["frame", "sets", "Y"])
def test_partial_fit_is_fit_on_all(tagged, form):
    Y = getattr(tagged, form)
    names = {"class_names": TAGS} if form == "Y" else {}
    whole = tagged.classifier(**names).fit(tagged.X, Y)
    parts = tagged.classifier(**names)
    weight = np.linspace(1, 2, 40)
    for rows in (slice(0, 15), slice(15, 40)):
        parts.partial_fit(tagged.X[rows], Y[rows])
    assert_same_model(parts, whole)
    whole.fit(tagged.X, Y, sample_weight=weight)
    parts.fit(tagged.X[:15], Y[:15], sample_weight=weight[:15])
    parts.partial_fit(tagged.X[15:], Y[15:], sample_weight=weight[15:])
    assert_same_model(parts, whole)


def test_images_without_any_answer_are_forgotten_in_later_calls_too(tagged):
    Y = tagged.Y.astype(float)
    Y[:3] = Y[20:23] = np.nan
    X, names = tagged.X, {"class_names": TAGS}
    parts = tagged.classifier(**names)
    for rows in (slice(0, 3), slice(3, 20), slice(20, 23), slice(23, 40)):
        parts.partial_fit(X[rows], Y[rows])
    assert_same_model(parts, tagged.classifier(**names).fit(X, Y))


def test_later_columns_are_unknown_before_as_if_frames_were_joined(tagged):
    first, second = tagged.frame[:20][["cat", "dog"]], tagged.frame[20:][["dog", "night"]]
    parts = tagged.classifier().fit(tagged.X[:20], first)
    parts.partial_fit(tagged.X[20:], second)
    assert_same_model(parts, tagged.classifier().fit(tagged.X, pd.concat([first, second])))


def test_later_tags_of_sets_are_absent_before(tagged):
    sets = [tags - {"night"} for tags in tagged.sets[:20]] + tagged.sets[20:]
    parts = tagged.classifier().fit(tagged.X[:20], sets[:20])
    assert "night" not in parts.classes_
    parts.partial_fit(tagged.X[20:], sets[20:])
    assert_same_model(parts, tagged.classifier().fit(tagged.X, sets))


def test_classes_may_be_said_before_any_image_has_them(tagged):
    sets = [tags - {"night"} for tags in tagged.sets]
    fitted = tagged.classifier().partial_fit(tagged.X, sets, classes=["night"])
    assert fitted.classes_.tolist() == TAGS
    Y = tagged.frame.drop(columns="night")
    fitted = tagged.classifier().partial_fit(tagged.X, Y, classes=["night"])
    assert fitted.classes_.tolist() == TAGS


def test_one_form_in_all_calls(tagged):
    fitted = tagged.classifier().fit(tagged.X, tagged.sets)
    with pytest.raises(ValueError, match="a list of sets in one call and a matrix in another"):
        fitted.partial_fit(tagged.X, tagged.frame)
    fitted = tagged.classifier().fit(tagged.X, tagged.frame)
    with pytest.raises(ValueError, match="mix kinds"):
        fitted.partial_fit(tagged.X, tagged.Y)


def test_a_failed_fit_changes_nothing(tagged):
    fitted = tagged.classifier().fit(tagged.X, tagged.frame)
    before = joblib.hash(vars(fitted))
    for X, Y in ((tagged.X * np.nan, tagged.frame), (tagged.X, tagged.Y[:, 0])):
        for method in (fitted.fit, fitted.partial_fit):
            with pytest.raises(ValueError, match="NaN|shape"):
                method(X, Y)
    assert joblib.hash(vars(fitted)) == before


def test_names_follow_the_rules_of_the_other_classifiers(tagged):
    named = tagged.classifier(class_names={tag: tag for tag in TAGS})
    expected = tagged.classifier().fit(tagged.X, tagged.frame)
    assert_same_model(named.fit(tagged.X, tagged.frame), expected)
    with pytest.warns(UserWarning, match=r"The labels \(0, 1, 2 and 2 more\) are not text"):
        numbers = tagged.classifier().fit(tagged.X, tagged.Y)
    assert numbers.text_embeddings_ is None
    with pytest.warns(UserWarning, match="class_names or prompts but no text_encoder"):
        MultilabelFewShotClassifier(class_names=TAGS).fit(tagged.X, tagged.frame)
    partly = tagged.classifier(class_names={tag: tag for tag in TAGS} | {"dog": None})
    assert partly.fit(tagged.X, tagged.frame).class_names_.tolist()[2] is None


def test_a_fitted_classifier_in_a_file(tagged, tmp_path):
    fitted = tagged.classifier().fit(tagged.X, tagged.frame)
    expected = fitted.predict_proba(tagged.X)
    loaded = pickle.loads(pickle.dumps(fitted))
    skops.io.dump(fitted, tmp_path / "tags.skops")
    for again in (loaded, skops.io.load(tmp_path / "tags.skops", trusted=trusted_types())):
        np.testing.assert_array_equal(again.predict_proba(tagged.X), expected)
        np.testing.assert_array_equal(again.thresholds_, fitted.thresholds_)
        more = Tagged(10, seed=3)
        again.partial_fit(more.X, more.frame)


def test_tools_of_scikit_learn(tagged):
    names = {"class_names": TAGS}
    proba = cross_val_predict(
        tagged.classifier(**names), tagged.X, tagged.Y, method="predict_proba", cv=3
    )
    assert average_precision_score(tagged.Y, proba, average="macro") > 0.6
    assert label_ranking_loss(tagged.Y, proba) < 0.3
    predicted = cross_val_predict(tagged.classifier(), tagged.X, tagged.frame, cv=3)
    assert f1_score(tagged.Y, predicted, average="macro") > 0.5
    assert cross_val_score(tagged.classifier(), tagged.X, tagged.frame, cv=3).min() >= 0
    grid = {"class_names": [None, "ignore"]}
    search = GridSearchCV(tagged.classifier(), grid, cv=3, scoring="f1_macro")
    search.fit(tagged.X, tagged.frame)
    assert search.best_params_ == {"class_names": None}
    chain = ClassifierChain(LogisticRegression()).fit(tagged.X, tagged.Y)
    ours = tagged.classifier(**names).fit(tagged.X, tagged.Y)
    assert chain.predict(tagged.X).shape == ours.predict(tagged.X).shape
    indicators = MultiLabelBinarizer(sparse_output=True)
    Y = indicators.fit_transform(tagged.sets)
    fitted = tagged.classifier(class_names=indicators.classes_.tolist()).fit(tagged.X, Y)
    assert indicators.inverse_transform(fitted.predict(tagged.X[:2]))


def test_from_pictures_to_tags():
    images, labels = some_emoji(["bird", "clock", "fruit"], 8)
    sets = [{label, "animal"} if label == "bird" else {label} for label in labels]
    pipeline = make_multilabel_pipeline("mini", "bundled").fit(images, sets)
    assert pipeline.predict(images).shape == (24, 4)
    assert pipeline.predict_together(images)[:, 0].sum() == 8
    pipeline.partial_fit(images[:3], sets[:3])
    X = CLIPImageEncoder("mini", "bundled").transform(images)
    alone = MultilabelFewShotClassifier(CLIPTextEncoder("mini", "bundled")).fit(X, sets)
    np.testing.assert_array_equal(pipeline.classes_, alone.classes_)


def test_with_metadata_routing_a_pipeline_passes_weights_on():
    images, labels = some_emoji(["bird", "clock"], 4)
    sets, weight = [{label} for label in labels], np.linspace(1, 2, 8)
    pipeline = make_multilabel_pipeline("mini", "bundled")
    by_name = {"multilabelfewshotclassifier__sample_weight": weight}
    expected = clone(pipeline).fit(images, sets, **by_name).predict_proba(images)
    with sklearn.config_context(enable_metadata_routing=True):
        found = pipeline.fit(images, sets, sample_weight=weight).predict_proba(images)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_have_the_precision_of_the_images(dtype):
    tagged = Tagged(dtype=dtype)
    fitted = tagged.classifier().fit(tagged.X, tagged.frame)
    assert fitted.predict_proba(tagged.X).dtype == fitted.coef_.dtype == dtype
    frame = pd.DataFrame(tagged.X, columns=[f"x{i}" for i in range(24)])
    fitted.fit(frame, tagged.frame)
    assert fitted.feature_names_in_.tolist() == list(frame.columns)


@pytest.mark.parametrize(
    ("X", "Y"),
    [
        ([[1, 2], [1, 2]], [{"a"}, set()]),
        (np.ones((6, 4)), [{"a"}, {"b"}] * 3),
        (np.arange(1.0, 7)[:, None], [{"a"}, {"b"}] * 3),
    ],
    ids=["two equal rows", "constant rows", "one feature"],
)
def test_images_that_do_not_differ_get_the_share_of_the_tag(X, Y):
    fitted = MultilabelFewShotClassifier(class_names="ignore").fit(X, Y)
    np.testing.assert_allclose(fitted.predict_proba(X), 0.5)


def test_image_by_image_is_fit_on_all(tagged):
    sets = [set(), set(), *tagged.sets[:10]]
    X = tagged.X[:12]
    parts = tagged.classifier()
    assert parts.partial_fit(X[:1], sets[:1]).predict(X).shape == (12, 0)
    for i in range(1, 12):
        parts.partial_fit(X[i : i + 1], sets[i : i + 1])
    assert_same_model(parts, tagged.classifier().fit(X, sets))
    with pytest.raises(ValueError, match="No image of Y has a tag"):
        tagged.classifier().fit(X[:2], sets[:2])


def test_tags_are_called_y_too(tagged):
    expected = tagged.classifier().fit(tagged.X, tagged.frame)
    for method in ("fit", "partial_fit"):
        found = getattr(tagged.classifier(), method)(tagged.X, y=tagged.frame)
        np.testing.assert_array_equal(found.coef_, expected.coef_)
        with pytest.raises(ValueError, match="Y and y are two names of one argument"):
            getattr(found, method)(tagged.X, tagged.frame, y=tagged.frame)


@pytest.mark.parametrize("form", ["Y", "frame"])
def test_a_tag_with_yes_answers_only_warns(tagged, form):
    Y = getattr(tagged, form).astype(float)
    Y[Y == 0] = np.nan
    classifier = MultilabelFewShotClassifier(class_names="ignore")
    with pytest.warns(UserWarning, match="All answers for the tags .* are yes"):
        classifier.fit(tagged.X, Y)
    # Answers for all images, or a no, are enough.
    classifier.fit(tagged.X, np.ones((40, 1)))
    classifier.fit(tagged.X, [[1], [0]] + [[-1]] * 38)


def test_the_score_takes_every_form_of_tags(tagged):
    by_sets = tagged.classifier().fit(tagged.X[:30], tagged.sets[:30])
    by_frame = tagged.classifier().fit(tagged.X[:30], tagged.frame[:30])
    X, Y = tagged.X[30:], tagged.Y[30:]
    right = (by_sets.predict(X) == Y).all(axis=1)
    weight = np.arange(1.0, 11)
    mixed = tagged.frame[30:][TAGS[::-1]]
    for fitted, y in ((by_sets, tagged.sets[30:]), (by_frame, Y), (by_frame, mixed)):
        assert fitted.score(X, y) == pytest.approx(right.mean())
        assert fitted.score(X, y, weight) == pytest.approx(np.average(right, weights=weight))
    scores = cross_val_score(tagged.classifier(), tagged.X, tagged.sets, cv=3)
    expected = cross_val_score(tagged.classifier(), tagged.X, tagged.frame, cv=3)
    np.testing.assert_allclose(scores, expected)


def test_the_score_counts_answers_and_no_gaps(tagged):
    fitted = tagged.classifier().fit(tagged.X, tagged.frame)
    y = fitted.predict(tagged.X[:4]).astype(float)
    y[1, 2] = 1 - y[1, 2]
    y[2], y[3, :3] = np.nan, -1
    assert fitted.score(tagged.X[:4], y) == pytest.approx(2 / 3)
    # A tag of which the classifier does not know is never found.
    assert fitted.score(tagged.X[:4], pd.DataFrame(y, columns=TAGS).assign(cow=[1, 0, 0, 0])) == 0.5
    with pytest.raises(ValueError, match="y has 3 columns, but there are 5 tags"):
        fitted.score(tagged.X[:4], y[:, :3])
    with pytest.raises(ValueError, match="y has no answer for any image"):
        fitted.score(tagged.X[:4], np.full((4, 5), -1))


def test_single_precision_gives_the_same_tags(tagged):
    double = tagged.classifier().fit(tagged.X, tagged.frame)
    single = tagged.classifier().fit(tagged.X.astype(np.float32), tagged.frame)
    assert_same_model(single, double, rtol=1e-2)
    np.testing.assert_array_equal(single.predict(tagged.X), double.predict(tagged.X))


def test_an_image_at_which_nobody_looked_changes_nothing():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(12, 6)) + 1, np.tile([[1.0, 0], [0, 1]], (6, 1))
    more = np.vstack([X, rng.normal(size=(5, 6))]), np.vstack([Y, np.full((5, 2), np.nan)])
    model, with_more = (MultilabelFewShotClassifier().fit(*data) for data in ((X, Y), more))
    np.testing.assert_array_equal(model.coef_, with_more.coef_)
    np.testing.assert_array_equal(model.thresholds_, with_more.thresholds_)
