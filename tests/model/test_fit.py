"""The default model as a whole: what it makes of good texts, useless ones, and uneven shots."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    FewShotClassifier,
    PrecomputedTextEncoder,
    ZeroShotClassifier,
)
from sksemobridge._model import fit
from sksemobridge._model.fit import default_scales, held_out_images
from sksemobridge.datasets import load_emoji
from sksemobridge.labelling import label_next

from ..made_up import TEMPLATE, misleading_names


def with_texts(world, texts):
    """A classifier to which the classes were named by these texts `(5, d)`."""
    encoder = PrecomputedTextEncoder(world.texts, texts, world.projection, logit_scale=20.0)
    return FewShotClassifier(encoder, prompts=TEMPLATE)


def score_without_text(world, X, y, queries, truth):
    return FewShotClassifier().fit(X, world.codes(y)).score(queries, world.codes(truth))


@pytest.mark.parametrize("same_texts", [False, True])
@pytest.mark.parametrize(
    ("rank", "width", "most"), [(4, 4, 40), (4, 12, 40), (37, 37, 40), (12, 12, 400)]
)
def test_labels_may_be_called_otherwise_in_spaces_of_any_rank(rank, width, most, same_texts):
    """Seven texts leave no rest of four dimensions; texts that are the same differ by rounding."""
    rng = np.random.default_rng(0)
    space = np.linalg.qr(rng.normal(size=(width, width)))[0][:rank]
    means = rng.normal(size=(7, rank)) @ space
    y = np.repeat(np.arange(7), [5, 3, 2, 1, most, 2, 3])
    X, queries = (
        means[y] + 0.1 * rng.normal(size=(len(y), rank)) @ space,
        rng.normal(size=(20, rank)) @ space,
    )
    texts = means[:1] * rng.uniform(1, 2, size=(7, 1)) if same_texts else means
    encoder = PrecomputedTextEncoder([f"thing {c}" for c in range(7)], texts, np.eye(width))
    scores = []
    for names in (np.arange(7), np.array([3, 6, 1, 0, 5, 2, 4])):
        prompts = {name: [f"thing {c}"] for c, name in enumerate(names.tolist())}
        classifier = FewShotClassifier(encoder, prompts=prompts).fit(X, names[y])
        scores.append(classifier.decision_function(queries)[:, names])
    np.testing.assert_allclose(*scores, rtol=1e-6, atol=1e-6)


def test_shots_gain_on_zero_shot():
    emoji, text_encoder = load_emoji(), CLIPTextEncoder("mini", "bundled")
    X, y = (
        CLIPImageEncoder("mini", "bundled").transform(emoji.images),
        emoji.target_names[emoji.target],
    )
    gains = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        shots = np.concatenate(
            [rng.permutation(np.flatnonzero(y == c))[:8] for c in emoji.target_names]
        )
        queries = np.setdiff1d(np.arange(len(y)), shots)
        models = FewShotClassifier(text_encoder), ZeroShotClassifier(text_encoder)
        fitted = [model.fit(X[shots], y[shots]) for model in models]
        few_shot, zero_shot = (model.score(X[queries], y[queries]) for model in fitted)
        gains.append(few_shot - zero_shot)
    assert np.mean(gains) > 2 * np.std(gains, ddof=1) / np.sqrt(10)


@pytest.mark.parametrize("per_class", [1, 4])
@pytest.mark.parametrize(
    "change",
    [lambda eos: np.roll(eos, 1, axis=0), lambda eos: np.tile(eos[:1], (5, 1))],
    ids=["another's", "one"],
)
@misleading_names
def test_texts_that_mislead_or_do_not_differ_do_no_harm(world, change, per_class):
    X, y = world.draw(per_class)
    queries, truth = world.draw(40)
    misled = with_texts(world, change(world.eos)).fit(X, y)
    assert misled.score(queries, truth) > score_without_text(world, X, y, queries, truth) - 0.1


@misleading_names
def test_half_of_the_names_swapped_end_near_no_names(make_world):
    harms = []
    for seed in range(8):
        world = make_world(seed)
        (X, y), (queries, truth) = world.draw(8, noise=3.0), world.draw(60, noise=3.0)
        swapped = with_texts(world, world.eos[[1, 0, 2, 3, 4]]).fit(X, y)
        harms.append(
            score_without_text(world, X, y, queries, truth) - swapped.score(queries, truth)
        )
    assert np.mean(harms) < 0.02


@pytest.mark.parametrize("logit_scale", [1.0, 20.0, 1000.0])
def test_the_scale_of_the_model_is_a_hint_only(world, logit_scale):
    X, y = world.draw(4)
    queries, truth = world.draw(60)
    fitted = world.classifier().set_params(text_encoder__logit_scale=logit_scale).fit(X, y)
    assert fitted.score(queries, truth) > world.classifier().fit(X, y).score(queries, truth) - 0.05


@pytest.mark.filterwarnings("ignore:.* shots hardly count:UserWarning")
@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_log_loss_is_below_that_of_an_overconfident_zero_shot(make_world, k):
    losses = []
    for seed in range(8):
        world = make_world(seed)
        (X, y), (queries, truth) = world.draw(k, noise=6.0), world.draw(60, noise=6.0)
        models = world.classifier().fit(X, y), world.zero_shot().fit(X, y)
        losses.append([log_loss(truth, model.predict_proba(queries)) for model in models])
    ours, zero_shot = np.mean(losses, axis=0)
    assert ours < 0.93 * zero_shot


def test_the_first_shot_of_a_class_beside_many_of_others_does_no_harm(make_world):
    recalls = []
    for seed in range(8):
        world = make_world(seed)
        queries, truth = world.draw(60, noise=4.0)
        first = truth == world.names[0]
        X, y = world.draw([1, 16, 16, 16, 16], noise=4.0)
        name_only = y != world.names[0]
        before = world.classifier().partial_fit(X[name_only], y[name_only], classes=world.names)
        after = world.classifier().fit(X, y)
        scores = [model.score(queries, truth) for model in (world.zero_shot().fit(X, y), after)]
        recalls.append(
            [model.score(queries[first], truth[first]) for model in (before, after)] + scores
        )
    before, after, zero_shot, overall = np.mean(recalls, axis=0)
    assert after > before - 0.03
    # In these worlds images lie around their texts, so that nothing is better than zero-shot.
    assert overall > zero_shot - 0.002


def test_very_uneven_shots_without_text(make_world):
    losses, even = [], []
    for seed in range(5):
        world = make_world(seed)
        queries, truth = world.draw(60)
        truth = world.codes(truth)
        kept = truth < 3
        for counts, into in (([1, 1, 500, 0, 0], losses), ([1, 1, 1, 0, 0], even)):
            X, y = world.draw(counts)
            model = FewShotClassifier().fit(X, world.codes(y))
            into.append(log_loss(truth[kept], model.predict_proba(queries[kept])))
    assert np.mean(losses) < max(1.0, 1.5 * np.mean(even))


def test_words_help_where_there_are_no_names(make_world):
    gains = []
    for seed in range(10):
        world = make_world(seed, d=8, width=64)  # the words span few of the directions
        (X, y), (queries, truth) = world.draw(2, noise=2.0), world.draw(40, noise=2.0)
        words = world.classifier(class_names="ignore", vocabulary=world.texts).fit(X, y)
        gains.append(words.score(queries, truth) - score_without_text(world, X, y, queries, truth))
    assert np.mean(gains) > 0.01


def test_a_sample_of_the_shots_is_enough(world, monkeypatch):
    (X, y), (queries, truth) = world.draw(80, noise=3.0), world.draw(60, noise=3.0)
    whole = world.classifier().fit(X, y)
    monkeypatch.setattr(fit, "MOST_VALUES", 5 * 100)
    sampled = world.classifier().fit(X, y)
    assert sampled.blend_ != whole.blend_
    np.testing.assert_allclose(
        sampled.score(queries, truth), whole.score(queries, truth), atol=0.05
    )
    rows = held_out_images(np.repeat(np.arange(5), 200), np.arange(1000))
    assert len(rows) == 100
    assert np.ptp(np.diff(rows)) <= 1


def test_copies_under_several_labels_are_not_held_out():
    assert held_out_images(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2])).tolist() == [0, 3]


@pytest.mark.filterwarnings("ignore:The embeddings look as if each column had been centred")
def test_names_of_one_embedding_teach_nothing(world):
    """Rounding made the trust negative, and with it all numbers NaN."""
    rng = np.random.default_rng(0)
    names, y = [f"{c:02}" for c in range(23)], np.append(np.arange(23), [3, 7])
    encoder = PrecomputedTextEncoder(names, np.ones((23, 8)), np.eye(8))
    classifier = FewShotClassifier(encoder, prompts="{}").fit(
        rng.normal(size=(25, 8)), np.array(names)[y]
    )
    assert classifier.blend_["trust"] == 0


def test_names_weigh_more_beside_few_labels_and_beside_doubtful_ones():
    counts = np.ones(5)
    few, doubtful, many = (
        default_scales(counts, 1.0, 1.0, believed)["text"] for believed in (0.5, 0.8, 1.0)
    )
    assert few > doubtful > many == 0.5


@pytest.mark.filterwarnings("ignore:1 of 3 shots hardly count:UserWarning")
@misleading_names
def test_one_wrong_label_among_few_does_not_outweigh_the_names(make_world):
    """The most uncertain images say little of the names, and one label of three is wrong."""
    right, one_wrong = [], []
    for seed in range(12):
        world = make_world(seed)
        X, y = world.draw(40)
        names = ZeroShotClassifier(world.classifier().text_encoder, prompts=TEMPLATE)
        names.fit(None, world.names)
        rows = label_next(names, X, 3)
        labels = y[rows].copy()
        for scores in (right, one_wrong):
            fitted = world.classifier().partial_fit(X[rows], labels, classes=world.names)
            scores.append(fitted.score(X, y))
            labels[0] = next(name for name in world.names if name != labels[0])
    assert np.mean(right) - np.mean(one_wrong) < 0.06


def test_held_out_probabilities_depend_neither_on_lengths_nor_on_the_order_of_features(world):
    X, y = world.draw(8, noise=4.0)
    rng = np.random.default_rng(0)
    classifier = FewShotClassifier(class_names="ignore", store_held_out=True)
    expected = classifier.fit(X, y).held_out_proba_
    scaled = X * rng.uniform(0.5, 2, size=(len(X), 1))
    for changed in (scaled, X[:, rng.permutation(X.shape[1])]):
        np.testing.assert_allclose(classifier.fit(changed, y).held_out_proba_, expected, atol=1e-3)


@misleading_names
def test_names_that_mean_nothing_do_not_change_how_certain_single_shots_are():
    """Without its only image, a class has nothing but its name. So single images say nothing about
    the scales then.
    """
    rng = np.random.default_rng(0)
    X, nothing = rng.normal(size=(2, 30, 48))
    y = np.array([f"class {c:02d}" for c in range(30)])
    encoder = PrecomputedTextEncoder.from_joint(dict(zip(y.tolist(), nothing)))
    named = FewShotClassifier(encoder, prompts="{}").fit(X, y)
    ignored = FewShotClassifier(class_names="ignore").fit(X, y)
    assert named.blend_["trust"] < 0.01
    assert named.blend_["shots"] == pytest.approx(ignored.blend_["shots"], rel=0.05)


def test_one_shot_of_each_class_with_texts_that_say_nothing_has_held_out_probabilities():
    # Without help of the texts, such a model has no correction at all.
    encoder = PrecomputedTextEncoder.from_joint({name: [1.0, 1.0, 0.5] for name in "abc"})
    classifier = FewShotClassifier(encoder, prompts="{}", vocabulary=None, store_held_out=True)
    held_out = classifier.fit(np.eye(3), list("abc")).held_out_proba_
    assert np.allclose(held_out.sum(axis=1), 1)


def test_one_shot_of_each_class_weighs_more_where_few_classes_have_names(world):
    X, y = world.draw(1)
    scales = []
    for n_named in (5, 4, 3, 2):
        names = {name: name if i < n_named else None for i, name in enumerate(world.names)}
        classifier = world.classifier().set_params(class_names=names).fit(X, y)
        scales.append(classifier.blend_["shots"])
    assert np.all(np.diff(scales) > 0)
    assert scales[-1] > 1.4 * scales[0]
