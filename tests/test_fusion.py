"""The blend that is estimated from the shots."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import log_loss

from sksemobridge import SeMoBridgeClassifier, ZeroShotClassifier
from sksemobridge._method import blend
from sksemobridge._method.blend import default_scales, fit_scales, fuse, query_weights, spread_over_others
from sksemobridge._method.bridge import Bridge, pseudo_inverse
from sksemobridge._method.fit import model_without_blend
from sksemobridge._method.out_of_sample import leave_one_out
from sksemobridge._method.shots import ClassSums, effective_number, pool_shots
from sksemobridge._method.whitening import WhiteningFit
from sksemobridge._utils.array_api import l2_normalize

TEMPLATE = "a photo of a {}."


def whitened(means, codes, weight, queries, n_classes):
    """`z4` as its definition says."""
    weight = weight * effective_number(weight) / weight.sum()
    m = np.stack(
        [np.average(means[codes == c], axis=0, weights=weight[codes == c]) for c in range(n_classes)]
    )
    deviations = means - m[codes]
    scatter = (deviations * weight[:, None]).T @ deviations
    t = np.trace(scatter) / (effective_number(weight) - 1)
    P = means.shape[1] * np.linalg.inv(scatter + t * np.eye(means.shape[1]))
    return queries @ P @ m.T - 0.5 * np.einsum("cd,de,ce->c", m, P, m)


@pytest.mark.parametrize(("width", "n"), [(5, 30), (40, 12)])
def test_whitening_and_its_leave_one_out_are_exact(width, n):
    rng = np.random.default_rng(0)
    codes = np.sort(np.concatenate([np.repeat(np.arange(3), 2), rng.integers(0, 3, n - 6)]))
    u, weight = l2_normalize(rng.normal(size=(n, width)) + codes[:, None]), rng.uniform(0.5, 2, n)
    fit = WhiteningFit(u, codes, weight, 3)
    np.testing.assert_allclose(fit.fitted().affinity(u), whitened(u, codes, weight, u, 3), rtol=1e-8)
    held_out = fit.held_out(u, np.arange(n))
    for i in range(n):
        rest = np.arange(n) != i
        expected = whitened(u[rest], codes[rest], weight[rest], u[i : i + 1], 3)
        np.testing.assert_allclose(held_out[i : i + 1], expected, rtol=1e-7)


def test_without_variation_there_is_nothing_to_whiten():
    u = l2_normalize(np.random.default_rng(0).normal(size=(4, 6)))
    assert not WhiteningFit(u, np.arange(4), np.ones(4), 4).has_variation
    assert WhiteningFit(u, np.array([0, 0, 1, 1]), np.ones(4), 2).has_variation


def leave_one_out_of(shots, bridge):
    eos = bridge.to_eos(shots.X)
    model = model_without_blend(bridge, None, ClassSums.of(shots, eos, 5), None)
    return leave_one_out(shots, model, l2_normalize(shots.X), eos)


@pytest.mark.parametrize("bias", [False, True])
def test_leaving_one_image_out_is_fitting_without_it(make_world, bias):
    world = make_world(bias=bias)
    X, y = world.draw([3, 2, 4, 1, 5])
    codes = np.searchsorted(world.names, y)
    rng = np.random.default_rng(0)
    weight, groups = rng.uniform(0.5, 2, len(X)), np.arange(len(X)) // 2
    shots, _ = pool_shots(X, codes, weight, groups)
    inverse, basis = pseudo_inverse(world.projection)
    bridge = Bridge(inverse, world.projection, world.projection_bias, 2.0, basis)
    image, image_codes, _ = shots.images

    def affinities(rows, queries):
        part = shots.take(rows)
        share = part.weight_in_class[:, None]
        sums = lambda v: np.stack([(share * v)[part.codes == c].sum(axis=0) for c in range(5)])  # noqa: E731
        prototypes = bridge.prototypes(sums(bridge.to_eos(part.X)))
        return l2_normalize(queries) @ prototypes.T, bridge.apply(queries) @ l2_normalize(sums(part.X)).T

    held_out = leave_one_out_of(shots, bridge)
    assert held_out.mask.any()
    assert not held_out.mask[np.bincount(image_codes)[shots.codes] == 1].any()
    for i in np.flatnonzero(held_out.mask):
        z2, z3 = affinities(shots.group != shots.group[i], shots.X[i : i + 1])
        np.testing.assert_allclose(held_out.affinities["z2"][i], z2[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(held_out.affinities["z3"][i], z3[0], rtol=1e-9, atol=1e-12)


def test_an_image_with_two_labels_is_never_held_out(world):
    X, y = world.draw(3)
    codes = np.searchsorted(world.names, y)
    groups = np.arange(len(X))
    first, second = np.flatnonzero(codes == 0)[0], np.flatnonzero(codes == 1)[0]
    groups[second] = groups[first]
    shots, unit_of_row = pool_shots(X, codes, np.ones(len(X)), groups)
    bridge = Bridge(np.eye(X.shape[1]), basis=np.eye(X.shape[1]))
    mask = leave_one_out_of(shots, bridge).mask
    np.testing.assert_array_equal(mask, shots.group != unit_of_row[first])


def test_scales_are_the_minimum_of_their_objective():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 60)
    z = {name: rng.normal(size=(60, 4)) + np.eye(4)[codes] for name in ("z1", "z2", "z4")}
    defaults, weight = {"z1": 1.0, "z2": 0.3, "z4": 2.0}, rng.uniform(0.5, 1.5, 60)

    def objective(scales):
        logits = sum(scales[name] * z[name] for name in z)
        loss = -weight @ log_softmax(logits, axis=1)[np.arange(60), codes]
        return loss + 3 * sum(np.log1p((2 * np.log(scales[name] / defaults[name])) ** 2) for name in z)

    scales, loss = fit_scales(z, codes, weight, defaults, strength=3.0)
    assert loss == pytest.approx(objective(scales))
    for name in z:
        for factor in (0.97, 1.03):
            assert objective({**scales, name: factor * scales[name]}) > objective(scales)
    assert fit_scales(z, codes, weight, defaults, strength=1e9)[0] == pytest.approx(defaults, rel=1e-4)


def test_every_class_and_every_image_count_alike():
    codes, image = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 2, 3, 4])
    weight = query_weights(codes, np.ones(6), image)
    assert weight[codes == 0].sum() == pytest.approx(weight[codes == 1].sum())
    even = query_weights(np.array([0, 0, 1, 1]), np.ones(4), np.arange(4))
    assert even.sum() == pytest.approx(4)
    # Two copies of each of two images are worth two images.
    copies = query_weights(np.array([0, 0, 0, 0]), np.ones(4), np.array([0, 0, 1, 1]))
    assert copies.sum() == pytest.approx(2)


def test_with_one_shot_the_text_alone_is_fitted(world, monkeypatch):
    X, y = world.draw(1, noise=4.0)
    classifier = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE)
    fitted = classifier.fit(X, y).blend_
    monkeypatch.setattr(blend, "PRIOR_STRENGTH", 1e9)
    default = classifier.fit(X, y).blend_
    factor = {name: fitted[name] / default[name] for name in default}
    assert factor["z1"] != pytest.approx(1, rel=1e-3)
    assert factor["z1"] != pytest.approx(factor["z2"], rel=1e-3)
    assert factor["z2"] == pytest.approx(factor["z3"])


def test_defaults_are_as_sharp_as_the_text_alone(world):
    X, y = world.draw(6)
    codes = np.searchsorted(world.names, y)
    affinities = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE).fit(X, y).affinities(X)
    defaults = default_scales(affinities, codes, 20.0, 30.0, n_images=30, n_features=16)
    assert spread_over_others(fuse(affinities, defaults), codes) == pytest.approx(
        30 * spread_over_others(affinities["z1"], codes)
    )


def test_more_images_make_the_shots_count_more(world):
    X, y = world.draw(6)
    codes = np.searchsorted(world.names, y)
    affinities = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE).fit(X, y).affinities(X)
    few, many = (default_scales(affinities, codes, 20.0, 20.0, n, n_features=16) for n in (10, 80))
    assert many["z2"] / many["z1"] > 2 * few["z2"] / few["z1"]


def test_a_useless_text_loses_its_weight(world):
    X, y = world.draw(12)
    encoder = world.text_encoder()
    encoder.eos = np.random.default_rng(5).normal(size=encoder.eos.shape)
    useless = SeMoBridgeClassifier(encoder, prompts=TEMPLATE).fit(X, y)
    useful = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE).fit(X, y)
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


def test_a_text_that_fits_leaves_the_defaults_with_text(world):
    X, y = world.draw(1)
    fitted = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE).fit(X, y)
    codes = np.searchsorted(fitted.classes_, y)
    defaults = default_scales(fitted.affinities(X), codes, 20.0, fitted.blend_["z1"], len(y), X.shape[1])
    assert fitted.blend_["z2"] / fitted.blend_["z1"] < 1.5 * defaults["z2"] / defaults["z1"]


@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_log_loss_is_below_that_of_an_overconfident_zero_shot(make_world, k):
    losses = []
    for seed in range(8):
        world = make_world(seed)
        X, y = world.draw(k, noise=6.0)
        queries, truth = world.draw(60, noise=6.0)
        few = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE).fit(X, y)
        zero = ZeroShotClassifier(world.text_encoder(), prompts=TEMPLATE).fit(X, y)
        losses.append([log_loss(truth, model.predict_proba(queries)) for model in (few, zero)])
    ours, zero_shot = np.mean(losses, axis=0)
    assert ours < 0.9 * zero_shot


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_calibration_on_top(world, method):
    X, y = world.draw(12)
    # For "temperature" scikit-learn hands over indices of the labels: a sequence of names fits both.
    classifier = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, class_names=world.names)
    calibrated = CalibratedClassifierCV(classifier, method=method, cv=3).fit(X, y)
    assert calibrated.score(X, y) > 0.8


@pytest.mark.parametrize("solver", ["closed_form", "lbfgs"])
def test_hard_shots_stay_finite(world, solver):
    X, y = world.draw([1, 2, 3, 9, 1])
    X[:, 3] = 0.5  # a constant feature
    X, y = np.vstack([X, X[:4]]).astype(np.float32), np.concatenate([y, y[:4]])
    classifier = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE, solver=solver).fit(X, y)
    assert np.isfinite(list(classifier.blend_.values())).all()
    assert np.isfinite(classifier.predict_proba(X)).all()
    assert classifier.score(X, y) > 0.8


def test_folds_are_shuffled_by_the_random_state_alone(world):
    X, y = world.draw(5, noise=3.0)

    def blend(random_state):
        classifier = SeMoBridgeClassifier(
            world.text_encoder(), prompts=TEMPLATE, solver="lbfgs", tol=1e-3, random_state=random_state
        )
        return classifier.fit(X, y).blend_

    assert blend(None) == blend(None)
    assert blend(3) == blend(3)
    assert blend(3) != blend(4)


def test_embeddings_that_differ_by_rounding_alone_spread_not_at_all(world):
    X, y = world.draw(2)
    constant = np.tile(X[:1], (len(X), 1))
    assert spread_over_others(constant @ constant.T, np.arange(len(X))) is None
    fitted = SeMoBridgeClassifier(world.text_encoder(), prompts=TEMPLATE).fit(constant, y)
    assert max(fitted.blend_.values()) < 1e4
