"""The blend that is estimated from the shots: class means that lean on names, scales, the correction."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import log_loss
from sklearn.preprocessing import normalize

from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier, ZeroShotClassifier
from sksemobridge._method import out_of_sample
from sksemobridge._method.blend import (
    STRENGTH,
    WIDTH,
    BlendProblem,
    TextUse,
    features_of,
    fit_blend,
    fit_text,
    spread_over_others,
)
from sksemobridge._method.class_means import fit_class_means, text_basis
from sksemobridge._method.whitening import WhiteningFit

from .versions import TEMPERATURE

TEMPLATE = "a photo of a {}."


def classifier_of(world, **params):
    return SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, **params)


def small_task(width=12, counts=(4, 2, 1, 3), seed=0):
    """Unit images, classes, weights and texts."""
    rng = np.random.default_rng(seed)
    texts = normalize(rng.normal(size=(len(counts), width)))
    codes = np.repeat(np.arange(len(counts)), counts)
    u = normalize(texts[codes] + rng.normal(size=(len(codes), width)))
    return u, codes, rng.uniform(0.5, 2, len(codes)), texts


@pytest.mark.parametrize("same_texts", [False, True])
@pytest.mark.parametrize(("rank", "width", "most"), [(4, 4, 40), (4, 12, 40), (37, 37, 40), (12, 12, 400)])
def test_labels_may_be_called_otherwise(rank, width, most, same_texts):
    """Seven texts leave no rest of four dimensions; texts that are the same differ by rounding; a part of 400 is a sample."""
    rng = np.random.default_rng(0)
    space = np.linalg.qr(rng.normal(size=(width, width)))[0][:rank]
    means = rng.normal(size=(7, rank)) @ space
    y = np.repeat(np.arange(7), [5, 3, 2, 1, most, 2, 3])
    X, queries = means[y] + 0.1 * rng.normal(size=(len(y), rank)) @ space, rng.normal(size=(20, rank)) @ space
    texts = means[:1] * rng.uniform(1, 2, size=(7, 1)) if same_texts else means
    encoder = PrecomputedTextEncoder([f"thing {c}" for c in range(7)], texts, np.eye(width))
    other = np.array([3, 6, 1, 0, 5, 2, 4])
    scores = []
    for names in (np.arange(7), other):
        prompts = {name: [f"thing {c}"] for c, name in enumerate(names.tolist())}
        classifier = SeMoBridgeClassifier(encoder, prompts=prompts, vocabulary=None).fit(X, names[y])
        scores.append(classifier.decision_function(queries)[:, names])
        affinities = classifier.affinities(queries)
        total = sum(weight * affinities[name] for name, weight in classifier.blend_.items())
        np.testing.assert_allclose(total[:, names], scores[-1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(*scores, rtol=1e-6, atol=1e-6)


def test_many_images_outweigh_the_name_and_one_does_not():
    rng = np.random.default_rng(0)
    texts = normalize(rng.normal(size=(6, 20)))
    codes = np.repeat(np.arange(6), [1, 400, 400, 400, 400, 400])
    u = normalize(texts[codes] + 0.3 * rng.normal(size=(len(codes), 20)))
    fit = fit_class_means(u, codes, np.ones(len(u)), texts)
    raw = np.stack([u[codes == c].mean(axis=0) for c in range(6)]) - fit.centre
    moved = np.linalg.norm(fit.means - raw, axis=1)
    assert moved[0] > 10 * moved[1:].max()
    assert fit.own_share[0] < 0.5 < 0.9 < fit.own_share[1:].min()


@pytest.mark.parametrize("seed", range(3))
def test_the_only_image_left_out_leaves_what_the_name_predicts(seed):
    u, codes, weight, texts = small_task(seed=seed)
    fit = fit_class_means(u, codes, weight, texts)
    (only,) = np.flatnonzero(codes == 2)
    names = texts - texts.mean(axis=0)
    assert fit.left[only] == 0
    assert fit.own_share_without[only] == 0
    cosine = (
        fit.without([only])[0] @ names[2] / np.linalg.norm(fit.without([only])[0]) / np.linalg.norm(names[2])
    )
    assert abs(cosine) == pytest.approx(1)


def test_leaving_out_an_image_is_the_mean_of_the_others():
    u, codes, weight, _ = small_task()
    weight[0] = 1e9  # a class that is nearly all one image
    fit = fit_class_means(u, codes, weight)
    for i in np.flatnonzero(codes != 2):
        others = (codes == codes[i]) & (np.arange(len(u)) != i)
        mean = np.average(u[others], axis=0, weights=weight[others]) - fit.centre
        n = weight[others].sum() ** 2 / np.square(weight[others]).sum()
        assert fit.left[i] == pytest.approx(n)
        np.testing.assert_allclose(
            fit.without([i])[0], fit.own_share_without[i] * mean, rtol=1e-7, atol=1e-12
        )


def test_classes_that_names_predict_well_lean_more():
    rng = np.random.default_rng(0)
    texts = normalize(rng.normal(size=(20, 40)))
    codes = np.repeat(np.arange(20), 4)

    def share(deviation):
        means = texts + deviation * rng.normal(size=texts.shape)
        u = normalize(means[codes] + 0.2 * rng.normal(size=(80, 40)))
        return fit_class_means(u, codes, np.ones(80), texts).own_share.mean()

    assert share(0.01) < 0.4 < 0.7 < share(0.4)


@pytest.mark.parametrize("text_trust", [0.0, 1.0])
@pytest.mark.parametrize("width", [6, 40])
def test_the_held_out_discriminant_is_that_without_the_image(width, text_trust):
    u, codes, _, texts = small_task(width)
    fit = fit_class_means(u, codes, np.ones(len(u)), texts)
    whitening = WhiteningFit(fit, u, codes, np.ones(len(u)), text_trust)
    v = u - fit.centre
    means = np.stack([v[codes == c].mean(axis=0) for c in range(4)])
    means[2] = fit.without(np.flatnonzero(codes == 2))[0]
    predicted = v - fit.without(np.arange(len(u)))  # less what is predicted
    degrees = len(u) if text_trust else 3 + 1 + 1 + 2
    kept = degrees / (degrees + width)

    def scatter(rows):
        if text_trust:
            return predicted[rows].T @ predicted[rows] / degrees
        total = np.zeros((width, width))
        for c in range(4):
            members = v[rows & (codes == c)]
            if c == 2:
                total += (members - means[2]).T @ (members - means[2])
            elif len(members):
                total += (members - members.mean(axis=0)).T @ (members - members.mean(axis=0))
        return total / degrees

    whole = scatter(np.ones(len(u), dtype=bool))
    diagonal = np.diag(whole) if text_trust == 0 else np.full(width, np.trace(whole) / width)
    target = np.diag(np.maximum(diagonal, 1e-3 * diagonal.mean()))

    def inverse(rows):
        return np.linalg.inv(kept * scatter(rows) + (1 - kept) * target)

    each = np.arange(len(u))
    residuals = np.where((codes == 2)[:, None] | (text_trust > 0), predicted, v - means[codes])
    of_images = np.mean([v[i] @ inverse(each != i) @ v[i] for i in each])
    of_residuals = np.mean([residuals[i] @ inverse(each != i) @ residuals[i] for i in each])
    wider = 1 + fit.own_share / fit.counts  # 1 + 1 / (n + kappa)
    wider /= wider.mean()
    assert np.argmax(wider) == 2  # a single image

    def discriminant(v, means, rows):
        weights = means @ inverse(rows)
        gaussian = v @ weights.T - 0.5 * np.einsum("cd,cd->c", weights, means) - of_images / 2
        return gaussian / wider - of_residuals / 2 * np.log(wider) + of_images / 2

    np.testing.assert_allclose(whitening.fitted.affinity(u), discriminant(v, fit.means, each >= 0), rtol=1e-6)
    held_out = whitening.held_out(u, each)
    for i in each:
        without = fit.means.copy()
        without[codes[i]] = fit.without([i])[0]
        np.testing.assert_allclose(held_out[i], discriminant(v[i], without, each != i), rtol=1e-6)


def test_equal_numbers_of_images_leave_the_covariance_of_all():
    u, codes, _, texts = small_task()
    several = codes != 2
    u, codes = u[several], np.unique(codes[several], return_inverse=True)[1]
    first = np.concatenate([np.flatnonzero(codes == c)[:2] for c in range(3)])
    fit = fit_class_means(u[first], codes[first], np.ones(6), texts[:3])
    z4 = WhiteningFit(fit, u[first], codes[first], np.ones(6)).fitted
    at_centre = -0.5 * np.einsum("cd,cd->c", z4.weights, fit.means)
    np.testing.assert_allclose(z4.affinity(fit.centre[None])[0], at_centre)


def some_problem():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 30)
    z = {name: rng.normal(size=(30, 4)) + np.eye(4)[codes] for name in ("z1", "z4")}
    defaults, strength = {"z1": 1.0, "z4": 0.3}, {"z1": 3.0, "z4": 1.0}
    features = np.column_stack([np.ones(30), rng.normal(size=(30, 5))])
    return BlendProblem(z, codes, rng.uniform(0.5, 1.5, 30), defaults, strength, features)


DEVIATIONS = np.array([0.7, 0.4, 0.4, 0.4, 0.4, 0.4])[:, None] * [1, 2, 0.5, 1]


def test_the_mode_is_the_minimum_of_its_objective():
    problem = some_problem()
    sampled = np.bincount(problem.codes, weights=problem.weight) / problem.weight.sum()

    def objective(scales, coefficients):
        logits = sum(scales[name] * z for name, z in problem.affinities.items()) + np.log(sampled)
        logits = logits + problem.features @ coefficients
        loss = -problem.weight @ log_softmax(logits, axis=1)[np.arange(30), problem.codes]
        for name, strength in problem.strength.items():
            loss += strength * np.log1p((np.log(scales[name] / problem.defaults[name]) / WIDTH) ** 2)
        return loss + 0.5 * np.square(coefficients / DEVIATIONS).sum()

    mode = problem.solve(DEVIATIONS)
    least = objective(mode.scales, mode.coefficients)
    assert mode.loss == pytest.approx(least)
    rng = np.random.default_rng(1)
    for _ in range(10):
        scales = {name: scale * np.exp(0.05 * rng.normal()) for name, scale in mode.scales.items()}
        coefficients = mode.coefficients + 0.05 * rng.normal(size=(6, 4))
        assert objective(scales, mode.coefficients) > least - 1e-6
        assert objective(mode.scales, coefficients) > least - 1e-6


def test_variances_grow_with_what_the_shots_show():
    problem = some_problem()
    before = np.ones((6, 1))
    mode = problem.solve(before)
    deviations = problem.estimate_deviations(mode, before)
    assert (
        problem.estimate_deviations(replace(mode, coefficients=np.full((6, 4), 3.0)), before) > deviations
    ).all()
    assert (deviations[0] == deviations[0, 0]).all()
    assert (deviations[1:] == deviations[1]).all()


def test_a_class_that_needs_more_of_a_correction_has_a_wider_prior():
    problem = some_problem()
    before = np.ones((6, 1))
    mode = problem.solve(before)
    one_class = mode.coefficients.copy()
    one_class[1:, 2] = 3.0
    deviations = problem.estimate_deviations(mode, before)
    wider = problem.estimate_deviations(replace(mode, coefficients=one_class), before)
    np.testing.assert_array_equal((wider > deviations)[1:], np.arange(4)[None] == np.full((5, 1), 2))
    np.testing.assert_array_equal(np.delete(wider, 2, axis=1), np.delete(deviations, 2, axis=1))


def test_the_fewer_shots_the_more_of_the_correction_lies_where_texts_differ():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(4), 10)
    z = {"z1": 0.02 * (np.eye(4)[codes] + rng.normal(size=(40, 4)))}
    images, directions = rng.normal(size=(40, 12)), np.linalg.qr(rng.normal(size=(12, 3)))[0]
    held_out = out_of_sample.HeldOut(z, images, np.arange(40), codes, np.ones(40))
    shares = []
    for per_class in (1, 10):
        _, correction, _ = fit_blend(held_out, TextUse(100.0, 1.0), np.zeros(12), per_class, directions)
        inside = np.square(correction.weights @ directions).sum()
        shares.append(inside / np.square(correction.weights).sum())
    assert shares[0] > shares[1] + 0.05


def test_shots_that_the_correction_has_learnt_by_heart_do_not_sharpen_the_logits():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(4), 10)
    z = {"z2": np.eye(4)[codes] + rng.normal(size=(40, 4))}
    features = np.column_stack([np.ones(40), 6 * np.linalg.qr(rng.normal(size=(40, 40)))[0]])
    problem = BlendProblem(z, codes, np.ones(40), {"z2": 1.0}, {"z2": 1e3}, features)
    deviations = np.r_[1.0, np.full(40, 3.0)][:, None]
    mode = problem.solve(deviations)
    assert np.abs(mode.residual).max() < 0.1
    assert problem.temper(problem.logits_without_own(mode, deviations)) < 1


@pytest.mark.parametrize("n", [5, 30])
def test_features_of_the_correction_have_its_prior_covariance(n):
    rng = np.random.default_rng(0)
    v, basis = rng.normal(size=(n, 12)), np.linalg.qr(rng.normal(size=(12, 3)))[0]
    features, back = features_of(v, [(None, 0.5), (basis, 2.0)])
    np.testing.assert_array_equal(features[:, 0], 1)
    features = features[:, 1:]
    gram = features.T @ features
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-8)
    inside = v @ basis
    expected = 0.5 * v @ v.T / np.mean(np.square(v).sum(axis=1))
    expected += 2 * inside @ inside.T / np.mean(np.square(inside).sum(axis=1))
    np.testing.assert_allclose(features @ features.T, expected, atol=1e-8)
    np.testing.assert_allclose(v @ back, features, atol=1e-8)


def test_every_image_counts_alike():
    np.testing.assert_allclose(
        out_of_sample.query_weights(np.array([0, 0, 0, 1]), np.ones(4), np.arange(4)), 1
    )
    # Two copies of each of two images are worth two images.
    copies = out_of_sample.query_weights(np.array([0, 0, 0, 0, 1]), np.ones(5), np.array([0, 0, 1, 1, 2]))
    np.testing.assert_allclose(copies, [0.5, 0.5, 0.5, 0.5, 1])
    # Three images, one of which weighs nearly everything, are worth little more than one.
    assert (
        out_of_sample.query_weights(np.zeros(3, dtype=int), np.array([1, 1, 100.0]), np.arange(3)).sum() < 1.1
    )


def test_a_class_of_which_more_is_sampled_is_no_more_likely():
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], [400, 20])
    noise = rng.normal(size=(420, 2))
    features = np.ones((420, 1))
    problem = BlendProblem({"z2": noise}, codes, np.ones(420), {"z2": 0.01}, {"z2": 1e3}, features)
    b = problem.solve(np.full(1, 10.0)).coefficients[0]
    assert abs(b[0] - b[1]) < 0.1


def test_a_text_that_says_nothing_has_no_odds():
    codes = np.repeat(np.arange(4), 3)
    rng = np.random.default_rng(0)
    good = np.eye(4)[codes] * 0.1 + rng.normal(scale=0.02, size=(12, 4))

    def trust(z1):
        return fit_text(out_of_sample.Queries(np.arange(12), codes, np.ones(12), z1), 100.0).trust

    assert trust(good) > 0.99
    assert trust(rng.normal(scale=0.1, size=(12, 4))) < 0.1
    assert trust(np.full((12, 4), 0.3)) == 0
    assert STRENGTH > 0


def test_the_basis_of_texts_has_one_direction_less_than_there_are_texts():
    texts = np.random.default_rng(0).normal(size=(5, 12))
    basis = text_basis(texts)
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-12)
    np.testing.assert_allclose((texts[0] - texts[1]) @ basis @ basis.T, texts[0] - texts[1], atol=1e-12)


def test_a_useless_text_loses_its_weight(world):
    X, y = world.draw(12)
    encoder = world.text_encoder()
    encoder.eos = np.random.default_rng(5).normal(size=encoder.eos.shape)
    useless = SeMoBridgeClassifier(encoder, prompts=TEMPLATE).fit(X, y)
    useful = classifier_of(world).fit(X, y)
    assert useless.blend_["z1"] < 0.5 * useful.blend_["z1"]
    queries, truth = world.draw(40)
    assert useless.score(queries, truth) > 0.8


def test_a_useless_text_is_noticed_with_one_shot(world):
    X, y = world.draw(1)
    encoder = world.text_encoder()
    encoder.eos = np.roll(encoder.eos, 1, axis=0)  # every class has the text of another
    misled = SeMoBridgeClassifier(encoder, prompts=TEMPLATE).fit(X, y)
    without = SeMoBridgeClassifier().fit(X, np.searchsorted(world.names, y))
    queries, truth = world.draw(40)
    assert ZeroShotClassifier(encoder, prompts=TEMPLATE).fit(X, y).score(queries, truth) < 0.1
    assert misled.score(queries, truth) > without.score(queries, np.searchsorted(world.names, truth)) - 0.1


def test_a_text_without_any_spread_counts_for_nothing(world):
    X, y = world.draw(4)
    encoder = world.text_encoder()
    encoder.eos = np.tile(encoder.eos[:1], (len(encoder.eos), 1))
    queries, truth = world.draw(40)
    flat = SeMoBridgeClassifier(encoder, prompts=TEMPLATE).fit(X, y)
    without = SeMoBridgeClassifier().fit(X, np.searchsorted(world.names, y))
    assert flat.score(queries, truth) > without.score(queries, np.searchsorted(world.names, truth)) - 0.05


@pytest.mark.parametrize("logit_scale", [1.0, 20.0, 1000.0])
def test_the_scale_of_the_model_is_a_hint_only(world, logit_scale):
    X, y = world.draw(4)
    texts = [f"a photo of a {name}." for name in world.names]
    encoder = PrecomputedTextEncoder(texts, world.eos, world.projection, logit_scale=logit_scale)
    queries, truth = world.draw(60)
    fitted = SeMoBridgeClassifier(encoder, prompts=TEMPLATE).fit(X, y)
    assert fitted.score(queries, truth) > classifier_of(world).fit(X, y).score(queries, truth) - 0.05


@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_log_loss_is_below_that_of_an_overconfident_zero_shot(make_world, k):
    losses = []
    for seed in range(8):
        world = make_world(seed)
        X, y = world.draw(k, noise=6.0)
        queries, truth = world.draw(60, noise=6.0)
        zero = ZeroShotClassifier(world.text_encoder(), prompts=TEMPLATE).fit(X, y)
        models = (classifier_of(world).fit(X, y), zero)
        losses.append([log_loss(truth, model.predict_proba(queries)) for model in models])
    ours, zero_shot = np.mean(losses, axis=0)
    assert ours < 0.93 * zero_shot


def test_the_first_shot_of_a_class_beside_many_of_others_does_no_harm(make_world):
    recalls = []
    for seed in range(8):
        world = make_world(seed)
        queries, truth = world.draw(60, noise=4.0)
        first = truth == world.names[0]
        zero = ZeroShotClassifier(world.text_encoder(), prompts=TEMPLATE)
        X, y = world.draw([1, 16, 16, 16, 16], noise=4.0)
        name_only = y != world.names[0]
        before = classifier_of(world).partial_fit(X[name_only], y[name_only], classes=world.names)
        after = classifier_of(world).fit(X, y)
        scores = [model.score(queries, truth) for model in (zero.fit(X, y), after)]
        recalls.append([model.score(queries[first], truth[first]) for model in (before, after)] + scores)
    before, after, zero_shot, overall = np.mean(recalls, axis=0)
    assert after > before - 0.03
    assert overall >= zero_shot


def test_very_uneven_shots_without_text(make_world):
    losses, even = [], []
    for seed in range(5):
        world = make_world(seed)
        queries, truth = world.draw(60)
        truth = np.searchsorted(world.names, truth)
        kept = truth < 3
        for counts, into in (([1, 1, 500, 0, 0], losses), ([1, 1, 1, 0, 0], even)):
            X, y = world.draw(counts)
            model = SeMoBridgeClassifier().fit(X, np.searchsorted(world.names, y))
            into.append(log_loss(truth[kept], model.predict_proba(queries[kept])))
    assert np.mean(losses) < max(1.0, 1.5 * np.mean(even))


@pytest.mark.parametrize("with_text", [True, False])
@pytest.mark.parametrize("counts", [[3, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [2, 1, 0, 0, 0]])
def test_one_and_two_classes(world, counts, with_text):
    X, y = world.draw(counts)
    encoder = world.text_encoder() if with_text else None
    labels = y if with_text else np.searchsorted(world.names, y)
    classifier = SeMoBridgeClassifier(encoder, prompts=TEMPLATE).fit(X, labels)
    proba = classifier.predict_proba(X)
    assert np.isfinite(proba).all()
    assert classifier.score(X, labels) == 1


@pytest.mark.parametrize("with_text", [True, False])
def test_extreme_weights(world, with_text):
    X, y = world.draw(4)
    encoder = world.text_encoder() if with_text else None
    labels = y if with_text else np.searchsorted(world.names, y)
    weight = 10.0 ** np.random.default_rng(0).integers(-12, 13, len(X))
    proba = (
        SeMoBridgeClassifier(encoder, prompts=TEMPLATE).fit(X, labels, sample_weight=weight).predict_proba(X)
    )
    assert np.isfinite(proba).all()


def test_an_image_with_two_labels_leaves_everything_finite(world):
    X, y = world.draw(3)
    groups = np.arange(len(X))
    first, second = np.flatnonzero(y == "cat")[0], np.flatnonzero(y == "dog")[0]
    groups[second] = groups[first]
    X[second] = X[first]
    proba = classifier_of(world).fit(X, y, groups=groups).predict_proba(X)
    assert np.isfinite(proba).all()


def test_a_sample_of_the_shots_is_enough(world, monkeypatch):
    X, y = world.draw(80, noise=3.0)
    queries, truth = world.draw(60, noise=3.0)
    whole = classifier_of(world).fit(X, y)
    monkeypatch.setattr(out_of_sample, "MOST_AFFINITIES", 5 * 100)
    sampled = classifier_of(world).fit(X, y)
    assert sampled.blend_ != whole.blend_
    np.testing.assert_allclose(sampled.score(queries, truth), whole.score(queries, truth), atol=0.05)


def test_a_small_fit_has_one_thread_and_gives_back_the_others(blas_threads, monkeypatch):
    seen = []

    def solve(*args, original=BlendProblem.solve, **kwargs):
        seen.append(blas_threads())
        return original(*args, **kwargs)

    monkeypatch.setattr(BlendProblem, "solve", solve)
    SeMoBridgeClassifier().fit(np.random.default_rng(0).normal(size=(12, 16)), np.arange(12) % 3)
    assert seen
    assert all(threads == {1} for threads in seen)
    assert blas_threads() == {2}


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", TEMPERATURE])
def test_calibration_on_top(world, method):
    X, y = world.draw(12)
    # For "temperature" scikit-learn hands over indices of the labels: a sequence of names fits both.
    classifier = classifier_of(world, class_names=world.names)
    calibrated = CalibratedClassifierCV(classifier, method=method, cv=3).fit(X, y)
    assert calibrated.score(X, y) > 0.8


@pytest.mark.parametrize("solver", ["closed_form", "lbfgs"])
def test_hard_shots_stay_finite(world, solver):
    X, y = world.draw([1, 2, 3, 9, 1])
    X[:, 3] = 0.5  # a constant feature
    X, y = np.vstack([X, X[:4]]).astype(np.float32), np.concatenate([y, y[:4]])
    classifier = classifier_of(world, solver=solver).fit(X, y)
    assert np.isfinite(list(classifier.blend_.values())).all()
    assert np.isfinite(classifier.predict_proba(X)).all()
    assert classifier.score(X, y) > 0.8


def test_folds_are_shuffled_by_the_random_state_alone(world):
    X, y = world.draw(5, noise=3.0)

    def blend(random_state):
        return classifier_of(world, solver="lbfgs", tol=1e-3, random_state=random_state).fit(X, y).blend_

    assert blend(None) == blend(None)
    assert blend(3) == blend(3)
    assert blend(3) != blend(4)


def test_embeddings_that_differ_by_rounding_alone_spread_not_at_all(world):
    X, y = world.draw(2)
    constant = np.tile(X[:1], (len(X), 1))
    assert spread_over_others(constant @ constant.T, np.arange(len(X))) is None
    fitted = classifier_of(world).fit(constant, y)
    assert max(fitted.blend_.values()) < 1e4
    assert np.isfinite(fitted.predict_proba(X)).all()
