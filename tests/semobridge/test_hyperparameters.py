"""The hyperparameters of the score that are "auto", and the temperature."""

from dataclasses import replace

import numpy as np
import pytest

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, SeMoBridgeClassifier
from sksemobridge._semobridge import score as bridge_score
from sksemobridge._semobridge.bridge_fit import bridge_classes
from sksemobridge._semobridge.held_out import HeldOut
from sksemobridge._semobridge.hyperparameters import (
    ALPHA,
    BETA,
    LAMBDA1,
    RATIO,
    TRAINED,
    Calibration,
    Typical,
    automatic_hyperparameters,
    calibrate,
    compare,
    default_temperature,
    draw_candidates,
    estimate_ratio,
    fit_temperature,
    search_hyperparameters,
    trained_temperature,
    typical_of,
)
from sksemobridge._semobridge.loss import BridgeLoss
from sksemobridge._semobridge.score import START, Hyperparameters, LabelledCosines, log_score
from sksemobridge._semobridge.validation_images import Judge, StepAccuracy, Validation
from sksemobridge._utils.array_api import softmax
from sksemobridge.datasets import load_emoji

from .worlds import ClassTexts, bridge_options, draw, make_shots, make_texts, without_some_texts

TYPICAL = Typical({"z1": 0.3, "z2": 0.7, "z3": 0.7}, divergence=5.0)


def slope(name, hyperparameters, typical=TYPICAL, step=1e-6):
    """How steeply the score rises with one cosine, at the typical ones."""

    def score(shift):
        cosines = {z: np.array([[v + shift * (z == name)]]) for z, v in typical.cosines.items()}
        return np.exp(log_score(cosines, hyperparameters, np.array([typical.divergence]))).item()

    return (score(step) - score(-step)) / (2 * step)


def fit(X, codes, *, texts=None, weight=None, **given):
    shots = make_shots(X, codes)
    if weight is not None:
        shots = type(shots)(shots.X, shots.codes, np.asarray(weight, dtype=float), shots.group)
    return bridge_classes(shots, make_texts() if texts is None else texts, bridge_options(**given))


@pytest.mark.parametrize("count", [1, 4, 16])
@pytest.mark.parametrize("given", [{}, {"alpha": 6.0}, {"beta": 3.0}, {"smoothness": 0.7}])
def test_the_ratio_of_the_slopes_is_proportional_to_the_number_of_shots(count, given):
    hyperparameters = automatic_hyperparameters(
        bridge_options(**given), 0.1, count, TYPICAL, reach=1.0
    )
    assert slope("z2", hyperparameters) / slope("z1", hyperparameters) == pytest.approx(
        0.1 * count, rel=1e-4
    )


def test_the_smoothness_closes_a_share_of_the_gap_of_a_class():
    hyperparameters = automatic_hyperparameters(bridge_options(), 0.1, 6.0, TYPICAL, reach=1.0)
    near, far = (
        log_score({"z1": z, "z2": z, "z3": z}, hyperparameters, np.array([divergence]))
        for z, divergence in ((np.array([[0.3]]), 5.0), (np.array([[0.3]]), 5.1))
    )
    assert far > near
    # 6 shots close half of 0.7 of it, and KL_c is in bits.
    gain = slope("z1", hyperparameters) * 0.35 * np.log(2)
    second = hyperparameters.lambda2 * np.exp(
        5 * hyperparameters.smoothness - 0.3 * hyperparameters.beta
    )
    assert hyperparameters.smoothness * second == pytest.approx(gain)


def test_given_numbers_stay_and_the_others_are_estimated_beside_them():
    X, codes = draw(make_texts(), 3)
    given = {"alpha": 4.0, "lambda3": 0.0}
    hyperparameters = fit(X, codes, **given).hyperparameters
    assert (hyperparameters.alpha, hyperparameters.lambda3) == (4.0, 0.0)
    assert (hyperparameters.beta, hyperparameters.lambda1) == (BETA, LAMBDA1)
    assert hyperparameters.lambda2 > 0
    every = Hyperparameters(1.0, 2.0, 3.0, 0.4, 0.5, 0.6, 0.7)
    assert fit(X, codes, **every._asdict()).hyperparameters == every


def test_one_shot_of_each_class_leaves_the_prior():
    texts = make_texts()
    first, second = (fit(*draw(texts, 1, seed=seed)).hyperparameters for seed in (1, 2))
    # Both say how much texts tell beside them.
    assert first.smoothness == pytest.approx(second.smoothness, rel=0.01)
    assert (first.alpha, first.beta) == (ALPHA, BETA)
    # The weights depend on the shots only by their cosines.
    assert first.lambda2 == pytest.approx(second.lambda2, rel=0.1)


def test_shots_that_say_more_than_the_names_weigh_more():
    texts = make_texts()
    codes = np.repeat(np.arange(5), 6)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, texts.embeddings.shape[1]))
    near_names = draw(texts, 6, noise=0.6)[0]
    near_each_other = centres[codes] + 0.3 * rng.normal(size=near_names.shape)
    by_names, by_shots = (fit(X, codes).hyperparameters for X in (near_names, near_each_other))
    assert by_shots.lambda2 > 5 * by_names.lambda2


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_order_and_length_of_the_rows_do_not_matter(scale):
    texts = make_texts()
    X, codes = draw(texts, [1, 2, 3, 4, 5], noise=0.4)
    expected = fit(X, codes)
    order = np.random.default_rng(0).permutation(len(X))
    for found in (fit(X[order], codes[order]), fit(scale * X, codes)):
        np.testing.assert_allclose(found.hyperparameters, expected.hyperparameters)
        assert found.temperature == pytest.approx(expected.temperature)


def test_the_order_of_the_classes_does_not_matter():
    texts = make_texts()
    X, codes = draw(texts, 3, noise=0.4)
    order = np.array([3, 0, 4, 1, 2])
    other = fit(X, np.argsort(order)[codes], texts=texts.take(order))
    np.testing.assert_allclose(other.hyperparameters, fit(X, codes).hyperparameters)


def test_a_weight_of_a_class_changes_nothing_and_a_light_shot_hardly_counts():
    X, codes = draw(make_texts(), 3, noise=0.4)
    expected = fit(X, codes).hyperparameters
    np.testing.assert_allclose(fit(X, codes, weight=7 * np.ones(15)).hyperparameters, expected)
    weight = np.where(np.arange(15) % 3 == 2, 1e-6, 1.0)
    light = fit(X, codes, weight=weight).hyperparameters
    two = fit(X[np.arange(15) % 3 < 2], codes[np.arange(15) % 3 < 2]).hyperparameters
    assert light.smoothness == pytest.approx(two.smoothness, rel=0.5)


@pytest.mark.parametrize("solver", ["closed_form", "lbfgs", "adamw"])
def test_the_weight_of_a_class_changes_no_temperature(solver):
    X, codes = draw(make_texts(), 4, noise=0.4)
    options = {"solver": solver} | ({"max_iter": 5} if solver == "adamw" else {})
    heavy = np.where(codes < 2, 100.0, 1.0)
    assert fit(X, codes, weight=heavy, **options).temperature == pytest.approx(
        fit(X, codes, weight=np.ones(len(X)), **options).temperature
    )


@pytest.mark.parametrize(
    ("solver", "max_iter"), [("closed_form", None), ("lbfgs", None), ("adamw", 2)]
)
def test_without_text_the_terms_of_the_shots_are_equal(solver, max_iter):
    options = bridge_options(solver, max_iter=max_iter, device="cpu")
    shots = make_shots(*draw(make_texts(), 3))
    hyperparameters = bridge_classes(shots, ClassTexts(), options).hyperparameters
    assert (hyperparameters.alpha, hyperparameters.lambda1) == (None, None)
    assert (hyperparameters.lambda2, hyperparameters.beta) == (
        hyperparameters.lambda3,
        hyperparameters.gamma,
    )
    assert hyperparameters.smoothness == 0


@pytest.mark.parametrize("given", [{"alpha": 0.0}, {"beta": 0.0}, {"gamma": 0.0}, {"lambda1": 0.0}])
@pytest.mark.parametrize("per_class", [1, 3])
def test_a_term_that_is_flat_or_left_out_gives_finite_numbers(given, per_class):
    found = fit(*draw(make_texts(), per_class), **given)
    assert np.isfinite(found.hyperparameters).all()
    assert np.isfinite(found.temperature)


@pytest.mark.parametrize("zero", ["lambda1", "alpha"])
@pytest.mark.parametrize("given", [{"smoothness": 1e3}, {"smoothness": 1e6}, {"beta": 1e4}])
def test_without_the_term_of_the_text_large_class_weights_leave_the_others(zero, given):
    found = fit(*draw(make_texts(), 3), **{zero: 0.0}, **given).hyperparameters
    assert found.lambda2 > 0
    assert found.lambda3 > 0
    assert np.isfinite(found).all()


@pytest.mark.parametrize("given", [{"gamma": 1e6}, {"beta": 1e-320}, {"gamma": 1e-320}])
def test_the_largest_weight_of_the_text_gives_finite_numbers(given):
    hyperparameters = automatic_hyperparameters(
        bridge_options(lambda1=1e6, **given), 0.1, 4.0, TYPICAL, reach=1.0
    )
    assert np.isfinite(hyperparameters).all()


def test_candidates_are_numbers_that_may_be_given():
    candidates = draw_candidates(START._replace(gamma=1e6, lambda3=1e6), bridge_options())
    assert max(candidate.gamma for candidate in candidates) == 1e6
    assert max(candidate.lambda3 for candidate in candidates) > 1e6


def test_the_temperature_is_that_of_the_most_probable_labels():
    rng = np.random.default_rng(0)
    z = rng.uniform(0, 1, size=(4000, 3))
    hyperparameters = Hyperparameters(1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    proba = softmax(30 * z)
    codes = (rng.uniform(size=(4000, 1)) < proba.cumsum(axis=1)).argmax(axis=1)
    images = LabelledCosines({"z1": z, "z2": z, "z3": z}, codes, np.ones(4000), np.zeros(3))
    factor, _ = fit_temperature(hyperparameters, images, logit_scale=20.0)
    typical = Typical({"z1": 0.5, "z2": 0.5, "z3": 0.5}, 0.0)
    assert factor * default_temperature(hyperparameters, typical, 20.0) == pytest.approx(
        30, rel=0.1
    )


def test_a_ratio_without_held_out_images_is_that_of_the_prior():
    z = np.ones((3, 3)) / 2
    images = LabelledCosines({"z1": z, "z2": z, "z3": z}, np.arange(3), np.ones(3), np.zeros(3))
    single = HeldOut(images, n_images=1.0, reach=1.0, is_single=True)
    assert estimate_ratio(bridge_options(), single, 100.0) == RATIO


def test_a_ratio_on_which_no_other_number_depends_is_not_estimated():
    rng = np.random.default_rng(0)
    z = {name: rng.uniform(size=(30, 3)) for name in ("z1", "z2", "z3")}
    images = LabelledCosines(z, np.arange(30) % 3, np.ones(30), np.ones(3))
    held_out = HeldOut(images, n_images=2.0, reach=1.0, is_single=False)
    for given in ({"lambda2": 0.5}, {"smoothness": 0.1}):
        assert estimate_ratio(bridge_options(**given), held_out, 100.0) != RATIO
    options = bridge_options(lambda2=0.5, smoothness=0.1)
    assert estimate_ratio(options, held_out, 100.0) == RATIO
    small, large = (
        automatic_hyperparameters(options, ratio, 2.0, TYPICAL, 1.0) for ratio in (0.01, 1.0)
    )
    assert small == large


@pytest.mark.parametrize("is_single", [False, True])
def test_the_temperature_of_single_shots_is_half_way_to_its_default(is_single):
    """Predictions from the names say less than images."""
    rng = np.random.default_rng(0)
    cosines = {name: rng.uniform(0, 1, size=(12, 3)) for name in ("z1", "z2", "z3")}
    images = LabelledCosines(cosines, np.arange(12) % 3, np.ones(12), np.zeros(3))
    given = Hyperparameters(1.0, 2.0, 3.0, 0.4, 0.5, 0.6, 0.7)
    held_out = HeldOut(images, n_images=3.0, reach=1.0, is_single=is_single)
    found = calibrate(bridge_options(**given._asdict(), label_noise=0), held_out, 4.0, 20.0)
    factor, _ = fit_temperature(given, images, 20.0)
    default = default_temperature(given, typical_of(images), 20.0)
    assert factor < 0.5
    assert found.temperature == pytest.approx(default * factor ** (0.5 if is_single else 1))


def test_single_shots_without_text_are_much_less_sure():
    rng = np.random.default_rng(0)
    cosines = {name: rng.uniform(0, 1, size=(12, 3)) for name in ("z2", "z3")}
    images = LabelledCosines(cosines, np.arange(12) % 3, np.ones(12), np.zeros(3))
    given = Hyperparameters(None, 2.0, 3.0, None, 0.5, 0.6, 0.7)
    held_out = HeldOut(images, n_images=1.0, reach=1.0, is_single=True)
    found = calibrate(bridge_options(**given._asdict()), held_out, 1.0, 20.0)
    factor, _ = fit_temperature(given, images, 20.0)
    default = default_temperature(given, typical_of(images), 20.0)
    assert found.temperature == pytest.approx(0.3 * np.sqrt(factor) * default)


def test_the_temperature_relative_to_its_default_is_that_of_the_folds():
    """It does not depend on how many images the whole fit has more than a fold."""
    rng = np.random.default_rng(0)
    cosines = {name: rng.uniform(0, 1, size=(12, 3)) for name in ("z1", "z2", "z3")}
    images = LabelledCosines(cosines, np.arange(12) % 3, np.ones(12), np.zeros(3))
    held_out = HeldOut(images, n_images=3.0, reach=1.0, is_single=False)
    relative = []
    for count in (3.0, 4.0, 16.0):
        found = calibrate(bridge_options(), held_out, count, 20.0)
        default = default_temperature(found.hyperparameters, typical_of(images), 20.0)
        relative.append(found.temperature / default)
    np.testing.assert_allclose(relative, relative[0])


def test_the_third_term_of_a_trained_bridge_grows_where_shots_say_more_than_names():
    texts = make_texts()
    codes = np.repeat(np.arange(5), 6)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, texts.embeddings.shape[1]))
    far_from_names = centres[codes] + 0.3 * rng.normal(size=(30, len(centres[0])))
    options = bridge_options("adamw", max_iter=2, device="cpu")

    def lambda3(X, codes, texts):
        return bridge_classes(make_shots(X, codes), texts, options).hyperparameters.lambda3

    assert lambda3(*draw(texts, 1), texts) == TRAINED.lambda3
    assert lambda3(far_from_names, codes, texts) > 2 * TRAINED.lambda3


@pytest.mark.parametrize("names", [("z1", "z2", "z3"), ("z2", "z3")])
def test_the_temperature_of_a_trained_bridge_follows_shots_that_it_has_not_seen(names):
    rng = np.random.default_rng(0)
    codes = np.arange(60) % 3
    hyperparameters = TRAINED if "z1" in names else TRAINED._replace(alpha=None, lambda1=None)

    def images(gap):
        cosines = {name: rng.uniform(0.3, 0.4, size=(60, 3)) for name in names}
        for z in cosines.values():
            z[np.arange(60), codes] += gap
        return LabelledCosines(cosines, codes, np.ones(60), np.zeros(3))

    seen = typical_of(images(0.1))
    without = trained_temperature(hyperparameters, seen, 3.0, None, 20.0)
    sure, unsure = (
        trained_temperature(hyperparameters, seen, 3.0, (images(gap), 2.0), 20.0)
        for gap in (0.4, 0.0)
    )
    assert unsure < without < sure
    # Without texts, it depends on the number of shots.
    more = trained_temperature(hyperparameters, seen, 12.0, None, 20.0)
    assert more == without if "z1" in names else more > without


def test_few_real_shots_gain_over_the_names():
    data = load_emoji()
    X = CLIPImageEncoder("mini", "bundled", device="cpu").transform(data.images)
    y, gains = data.target_names[data.target], []
    classifier = SeMoBridgeClassifier(CLIPTextEncoder("mini", "bundled", device="cpu"))
    for seed in range(24):
        order = np.random.default_rng(seed).permutation(len(y))
        place = np.array([np.sum(y[order[:i]] == y[row]) for i, row in enumerate(order)])
        for per_class in (1, 2, 4):
            shots, queries = order[place < per_class], order[place >= per_class]
            classifier.fit(X[shots], y[shots])
            by_names = classifier.classes_[classifier.affinities(X[queries])["z1"].argmax(axis=1)]
            gains.append(classifier.score(X[queries], y[queries]) - np.mean(by_names == y[queries]))
    assert np.mean(gains) > 0.001


# Validation images


def make_images(n=200, n_classes=4, noise=0.1, seed=0):
    """Cosines of which only the second knows the class."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(n_classes, size=n)
    z = {name: 0.5 + noise * rng.normal(size=(n, n_classes)) for name in ("z1", "z2", "z3")}
    z["z2"][np.arange(n), codes] += 0.2
    return LabelledCosines(z, codes, np.ones(n), np.zeros(n_classes))


def accuracy(hyperparameters, images):
    predicted = log_score(images.cosines, hyperparameters, images.divergence).argmax(axis=1)
    return np.average(predicted == images.codes, weights=images.weight)


AUTO = Hyperparameters(1.0, 0.1, 20.0, 1.0, 0.5, 0.01, 0.2)


def search(images, auto=AUTO, temperature_of_shots=60.0, count=1.0, **options):
    options = bridge_options(**options)
    by_shots = Calibration(options.given_or(auto), temperature_of_shots)
    return search_hyperparameters(by_shots, count, options, images, 100.0)


def test_candidates_are_random_multiples_of_the_numbers_without_validation_images():
    options = bridge_options(gamma=20.0)
    candidates = draw_candidates(AUTO, options)
    assert len(candidates) == 1000
    ratios = np.log(np.array(candidates) / np.array(AUTO))
    assert (ratios[:, 2] == 0).all()
    np.testing.assert_allclose(np.delete(ratios, 2, axis=1).mean(axis=0), 0, atol=0.12)
    np.testing.assert_allclose(np.delete(ratios, 2, axis=1).std(axis=0), 1.0, rtol=0.1)
    assert draw_candidates(AUTO, options) == candidates
    assert draw_candidates(AUTO, replace(options, random_state=1)) != candidates
    assert draw_candidates(AUTO, bridge_options(**AUTO._asdict())) == []


def test_the_search_finds_the_term_that_knows_the_class():
    images = make_images()
    found = search(images)
    assert accuracy(found.hyperparameters, images) > accuracy(AUTO, images) + 0.1
    assert search(images) == found
    assert search(images, random_state=1) != found
    few = search(images, n_candidates=3)
    assert accuracy(few.hyperparameters, images) <= accuracy(found.hyperparameters, images)


def test_the_numbers_stay_if_the_best_candidate_may_be_luck():
    rng = np.random.default_rng(0)
    codes = rng.integers(4, size=40)
    z = {name: 0.5 + 0.1 * rng.normal(size=(40, 4)) for name in ("z1", "z2", "z3")}
    for part in z.values():
        part[np.arange(40), codes] += 0.5  # all terms know all classes, but for one image
    z["z1"][0], z["z1"][0, codes[0] - 1] = 0.5, 0.8
    images = LabelledCosines(z, codes, np.ones(40), np.zeros(4))
    better = AUTO._replace(lambda2=10.0)
    assert accuracy(AUTO, images) == 39 / 40
    assert accuracy(better, images) == 1
    assert search(images).hyperparameters == AUTO


def test_the_numbers_stay_if_candidates_make_the_labels_less_probable():
    z = {name: np.full((100, 2), 0.5) for name in ("z1", "z2", "z3")}
    z["z1"][:, 0] += 0.02
    z["z1"][:20, 1] += 0.03  # by the text a fifth is wrong, but hardly
    z["z2"][:, 0] += 0.05
    z["z2"][90:, 1] += 0.45  # by the shots a tenth is wrong, and very
    images = LabelledCosines(z, np.zeros(100, dtype=int), np.ones(100), np.zeros(2))
    auto = Hyperparameters(1.0, 1.0, 1.0, 1.0, 0.03, 0.01, 0.0)
    shots = auto._replace(lambda2=0.3)
    assert (accuracy(auto, images), accuracy(shots, images)) == (0.8, 0.9)
    lead, error = compare(auto, [shots], images)
    assert lead[0] > error[0]
    assert search(images, auto=auto).hyperparameters == auto


def test_a_difference_is_compared_with_its_standard_error():
    images = make_images()._replace(weight=np.arange(200.0))
    other = AUTO._replace(lambda2=20.0)
    lead, error = compare(AUTO, [other, AUTO], images)
    right = [
        log_score(images.cosines, hyperparameters, images.divergence).argmax(axis=1) == images.codes
        for hyperparameters in (AUTO, other)
    ]
    change = right[1].astype(int) - right[0]
    assert lead[0] == pytest.approx(images.weight @ change)
    assert error[0] == pytest.approx(np.sqrt(images.weight**2 @ change**2))
    assert lead[1] == error[1] == 0


def test_few_images_hardly_change_the_temperature_of_many_shots():
    images = make_images()
    one, many = (search(images, count=count, **AUTO._asdict()).temperature for count in (1, 100))
    assert abs(np.log(many / 60)) < abs(np.log(one / 60)) / 2


def test_the_temperature_of_few_images_depends_on_that_of_the_shots():
    images = make_images()
    few = LabelledCosines(
        {name: z[:5] for name, z in images.cosines.items()},
        images.codes[:5],
        np.ones(5),
        images.divergence,
    )
    cool, hot = (
        search(few, temperature_of_shots=temperature, **AUTO._asdict()).temperature
        for temperature in (20.0, 200.0)
    )
    assert hot > 2 * cool


def test_given_numbers_and_a_given_temperature_stay():
    found = search(make_images(), lambda3=0.0, alpha=25.0, temperature=7.0)
    assert (found.hyperparameters.lambda3, found.hyperparameters.alpha) == (0.0, 25.0)
    assert found.temperature == 7.0
    every = Hyperparameters(1.0, 2.0, 3.0, 0.4, 0.5, 0.6, 0.7)
    assert search(make_images(), **every._asdict()).hyperparameters == every


def test_images_count_by_their_weight():
    images, other = make_images(seed=1), make_images(seed=2)
    other.cosines["z1"][np.arange(200), other.codes] += 1  # here the text knows the class
    other.cosines["z2"][np.arange(200), other.codes] -= 1
    both = LabelledCosines(
        {name: np.concatenate([z, other.cosines[name]]) for name, z in images.cosines.items()},
        np.concatenate([images.codes, other.codes]),
        np.repeat([1.0, 1e-3], 200),
        images.divergence,
    )
    alone = accuracy(search(images).hyperparameters, images)
    assert accuracy(search(both).hyperparameters, images) == pytest.approx(alone, abs=0.02)


def test_one_heavy_image_leaves_the_choice_to_the_others():
    rng = np.random.default_rng(0)
    rows, codes = np.arange(301), rng.integers(4, size=301)
    z = {name: 0.5 + 0.1 * rng.normal(size=(301, 4)) for name in ("z1", "z2", "z3")}
    for part in z.values():
        part[rows, codes] += 0.5  # all terms know all classes, but for a tenth of the images
    z["z1"][rows[:30], codes[:30]], z["z1"][rows[:30], codes[:30] - 1] = 0.5, 0.8
    weight = np.where(rows == 300, 60.0, 1.0)  # both are right about the heavy one
    images = LabelledCosines(z, codes, weight, np.zeros(4))
    found = search(images).hyperparameters
    assert accuracy(AUTO, images) < 0.95
    assert accuracy(found, images) == 1


def test_blocks_change_nothing(monkeypatch):
    images = make_images()
    of_each = images._replace(
        divergence=np.random.default_rng(0).normal(size=images.cosines["z1"].shape)
    )
    expected = search(images), fit_temperature(AUTO, of_each, 20.0)
    monkeypatch.setattr(bridge_score, "SCORES_OF_BLOCK", 28)
    assert (search(images), fit_temperature(AUTO, of_each, 20.0)) == expected


@pytest.mark.parametrize("with_text", [True, False])
@pytest.mark.parametrize("solver", ["closed_form", "adamw"])
def test_validation_images_choose_the_numbers(with_text, solver):
    texts = make_texts() if with_text else ClassTexts()
    (X, codes), (X_val, codes_val) = draw(make_texts(), 2), draw(make_texts(), 20, seed=2)
    options = bridge_options(solver, max_iter=5, device="cpu")
    validation = Validation(X_val, codes_val, np.ones(100))
    found = bridge_classes(make_shots(X, codes), texts, options, validation)
    assert (found.hyperparameters.alpha is None) == (not with_text)
    images = LabelledCosines(found.cosines(X_val), codes_val, np.ones(100), found.divergence)
    start = START if with_text else START._replace(alpha=None, lambda1=None)
    assert accuracy(found.hyperparameters, images) >= accuracy(start, images)


@pytest.mark.parametrize("heavy", [1.0, 60.0])
def test_a_step_is_better_by_half_an_image_of_the_effective_number(heavy):
    texts, (X, codes) = make_texts(), draw(make_texts(), 2)
    classes = bridge_classes(make_shots(X, codes), texts, bridge_options())
    loss = BridgeLoss(
        X,
        codes,
        np.full(10, 0.5),
        classes.bridge,
        bridge_options(device="cpu").training,
        texts,
        np.float64,
    )
    validation = Validation(X, codes, np.where(np.arange(10) == 0, heavy, 1.0))
    least = StepAccuracy(loss, Judge(validation, START, classes)).least
    number = (heavy + 9) ** 2 / (heavy**2 + 9)
    assert least == pytest.approx(0.5 * (heavy + 9) / number)


@pytest.mark.parametrize("has_text", [[True] * 5, [True, True, False, False, True]])
def test_adamw_keeps_its_best_step_on_validation_images(has_text):
    texts = without_some_texts(has_text)
    (X, codes), (X_val, codes_val) = draw(texts, 2, noise=0.3), draw(texts, 40, noise=0.3, seed=2)
    validation = Validation(X_val, codes_val, np.ones(200))

    def right(n_steps, validation):
        """The accuracy with the start hyperparameters after so many steps, and the classes."""
        # A learning rate that is much too large, so that some steps are bad.
        options = bridge_options(
            "adamw",
            **START._asdict(),
            temperature=1.0,
            max_iter=n_steps,
            learning_rate=1000.0,
            weight_decay=0.0,
            device="cpu",
        )
        classes = bridge_classes(make_shots(X, codes), texts, options, validation)
        return np.mean(classes.decide(X_val).argmax(axis=1) == codes_val), classes.n_iter

    each = [right(n_steps, None)[0] for n_steps in range(1, 13)]
    best, n_iter = right(12, validation)
    assert best == pytest.approx(max(each))
    assert best > each[-1]
    assert n_iter == 12
