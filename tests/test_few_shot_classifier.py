"""The few-shot classifier: a linear model of unit embeddings."""

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from sksemobridge import FewShotClassifier, PrecomputedTextEncoder, ZeroShotClassifier
from sksemobridge._model import fit

from .made_up import World, peak_memory


def fitted_in_every_way(world, X, y):
    """Linear classifiers, by name: with text, words or neither, after unlabelled images, over other
    classes.
    """
    unlabeled = world.draw(8)[0]
    codes = world.codes(y)
    text = world.classifier().fit(X, y)
    words = world.classifier(class_names="ignore", vocabulary=world.texts).fit(X, codes)
    none = FewShotClassifier().fit(X, codes)
    prior = world.classifier(priors="shots").fit(X, y)
    zero = world.zero_shot().fit(X, y)
    models = {"text": text, "words": words, "none": none, "priors": prior, "zero-shot": zero}
    models |= {
        f"{name}, unlabelled": model.with_unlabeled(unlabeled) for name, model in models.items()
    }
    if 1 < len(text.classes_) < len(world.names):
        models["other classes"] = text.with_classes([*text.classes_[1:], "hot dog"])
    return models


@pytest.mark.filterwarnings("ignore:The embeddings look as if each column had been centred")
@pytest.mark.filterwarnings("ignore:.* shots hardly count:UserWarning")
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.integers(0, 4), min_size=5, max_size=5).filter(any),
    is_wrong=st.booleans(),
    kind=st.sampled_from(["text", "a class without text", "no text", "words"]),
)
# Two single shots have the same score, up to the image of hardly any weight.
@example(seed=0, counts=[0, 0, 0, 1, 1], is_wrong=False, kind="a class without text")
# An only image is not in the regression without text, nor beside one of hardly any weight.
@example(seed=230178243, counts=[2, 0, 1, 2, 2], is_wrong=False, kind="words")
@example(seed=1, counts=[1, 0, 0, 3, 2], is_wrong=False, kind="no text")
def test_a_weight_goes_to_zero_without_a_jump_to_the_row_dropped(seed, counts, is_wrong, kind):
    """Where the class of the row keeps another one."""
    world, rng = World(seed=seed), np.random.default_rng(seed)
    X, y = world.draw(counts)
    queries, labels = world.draw(4)
    more = rng.choice(np.flatnonzero(np.isin(labels, y) | is_wrong))
    X, y = np.vstack([X, queries[more]]), np.append(y, labels[more] if not is_wrong else y[0])
    assume(kind != "a class without text" or len(np.unique(y)) > 1)
    params = {
        "text": {},
        "a class without text": {"class_names": {n: n for n in world.names} | {y[-1]: None}},
        "no text": {"class_names": "ignore", "vocabulary": None},
        "words": {"class_names": "ignore", "vocabulary": world.texts},
    }[kind]

    def decision(weight):
        weights = np.append(np.ones(len(y) - 1), weight)
        model = world.classifier(**params).fit(X, y, sample_weight=weights)
        return model.decision_function(queries), model.p_values(queries)

    dropped, p_dropped = decision(0)
    scale = 1 + np.abs(dropped).max()
    for weight in (1e-3, 1e-4, 1e-6, 1e-12):
        found, p_found = decision(weight)
        tolerance = 1e-4 + 50 * weight  # the first is that of the optimisation
        np.testing.assert_allclose(found, dropped, rtol=0, atol=tolerance * scale)
    assert np.mean(np.abs(p_found - p_dropped) > 1e-3) <= 0.1


@pytest.mark.parametrize(
    "counts", [[3, 0, 0, 0, 0], [3, 2, 0, 0, 0], [1, 2, 3, 0, 0]], ids=[1, 2, 3]
)
@pytest.mark.parametrize("config", [{}, {"dtype": np.float32}], ids=["float64", "float32"])
def test_it_is_a_linear_model_of_unit_embeddings(make_world, counts, config):
    world = make_world(**config)
    X, y = world.draw(counts)
    queries, _ = world.draw(6)
    rtol = 1e-4 if X.dtype == np.float32 else 1e-9
    for name, model in fitted_in_every_way(world, X, y).items():
        n_classes, decision = len(model.classes_), model.decision_function(queries)
        expected = normalize(queries) @ model.coef_.T + model.intercept_
        close = {"atol": rtol * (np.abs(expected).max() + 1), "err_msg": name}
        np.testing.assert_allclose(
            decision, expected[:, 0] if n_classes == 2 else expected, **close
        )
        assert decision.dtype == X.dtype
        if n_classes > 1:
            linear = LogisticRegression().fit(np.eye(n_classes), model.classes_)
            assert model.coef_.shape == (len(linear.coef_), X.shape[1])
            assert model.intercept_.shape == linear.intercept_.shape
            assert decision.ndim == linear.decision_function(np.eye(n_classes)).ndim
        if isinstance(model, FewShotClassifier):
            total = sum(model.affinities(queries).values())
            expected = total[:, 1] - total[:, 0] if n_classes == 2 else total
            np.testing.assert_allclose(decision, expected, **close)
            assert model.coef_.dtype == model.intercept_.dtype == X.dtype


def test_the_terms_have_plain_names(world):
    X, y = world.draw(3)
    models = fitted_in_every_way(world, X, y)
    for name, extra in {
        "text": {"text"},
        "words": set(),
        "none": set(),
        "priors": {"text", "prior"},
    }.items():
        assert set(models[name].affinities(X)) == {"shots", "correction"} | extra
    assert set(models["text"].blend_) == {"text", "shots", "trust"}


def test_shots_that_are_all_the_same_picture_stay_finite(world):
    X, y = world.draw(4)
    with pytest.warns(UserWarning, match="no better than chance on the shots"):
        constant = world.classifier().fit(np.tile(X[:1], (len(X), 1)), y)
    assert max(constant.blend_.values()) < 1e4
    assert np.isfinite(constant.predict_proba(X)).all()


def test_memory_of_a_fit_is_linear_in_the_classes(monkeypatch):
    monkeypatch.setattr(fit, "MOST_VALUES", 2**16)

    def peak(n_classes):
        X = np.random.default_rng(0).normal(size=(2 * n_classes, 16))
        return peak_memory(lambda: FewShotClassifier().fit(X, np.tile(np.arange(n_classes), 2)))

    assert peak(3000) < 2.5 * peak(1500)


def test_lengths_of_rows_do_not_matter(world):
    X, y = world.draw(4)
    longer = X * np.where(np.arange(len(X)) % 4, 1, 10)[:, None]
    expected = world.classifier().fit(X, y).predict_proba(X)
    actual = world.classifier().fit(longer, y).predict_proba(X)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_there_are_at_most_seven_parameters():
    assert len(FewShotClassifier().get_params(deep=False)) <= 7


def test_one_label_of_one_class_leaves_other_predictions_uncertain(make_world):
    # One image has no scatter, which says nothing of how far images of a class lie apart.
    world = make_world()
    X, y = world.draw([1, 0, 0, 0, 0])
    queries, _ = world.draw(6)
    model = world.classifier().partial_fit(X, y, classes=world.names)
    by_names = world.zero_shot().fit(None, world.names)
    doubt = [1 - of.predict_proba(queries).max(axis=1).mean() for of in (model, by_names)]
    assert doubt[0] > doubt[1] / 4


def test_one_right_answer_makes_no_labels_worse():
    # What one image is beside its class would decide where classes with only a name lie.
    lost = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        means, codes = rng.normal(size=(12, 32)), np.repeat(np.arange(12), 10)
        X = means[codes] + 1.5 * rng.normal(size=(len(codes), 32))
        names = np.array([f"{code:02}" for code in range(12)])
        texts = means + 0.5 * rng.normal(size=means.shape)
        encoder = PrecomputedTextEncoder.from_joint(dict(zip(names, texts)), logit_scale=20)
        by_names = ZeroShotClassifier(encoder, prompts="{}").fit(None, names)
        for row in range(0, len(X), 10):
            model = FewShotClassifier(encoder, prompts="{}")
            model.partial_fit(X[[row]], names[codes[[row]]], classes=names)
            right, before = (np.mean(of.predict(X) == names[codes]) for of in (model, by_names))
            lost.append(before - right)
    assert np.mean(lost) < 0.005
