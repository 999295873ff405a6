"""The search on validation images."""

import numpy as np
import pytest

from sksemobridge._semobridge import number_search
from sksemobridge._semobridge.bridged_classes import bridge_classes
from sksemobridge._semobridge.number_search import compare, draw_candidates, search_numbers
from sksemobridge._semobridge.score import START, LabelledCosines, Numbers, log_score
from sksemobridge._semobridge.training import TrainingOptions
from sksemobridge._semobridge.validation_images import Validation

from .worlds import ClassTexts, draw, make_shots, make_texts


def make_images(n=200, n_classes=4, noise=0.1, seed=0):
    """Cosines of which only the second knows the class."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(n_classes, size=n)
    z = {name: 0.5 + noise * rng.normal(size=(n, n_classes)) for name in ("z1", "z2", "z3")}
    z["z2"][np.arange(n), codes] += 0.2
    return LabelledCosines(z, codes, np.ones(n), np.zeros(n_classes))


def accuracy(numbers, images):
    predicted = log_score(images.cosines, numbers, images.divergence).argmax(axis=1)
    return np.average(predicted == images.codes, weights=images.weight)


AUTO = Numbers(1.0, 0.1, 20.0, 1.0, 0.5, 0.01, 0.2)


def search(images, given=None, auto=AUTO, temperature=None, n_candidates=1000, random_state=0):
    given = {} if given is None else given
    arguments = given, images, 100.0, temperature, 1.0, n_candidates, random_state
    return search_numbers(auto._replace(**given), *arguments)


def test_candidates_are_random_multiples_of_the_numbers_without_validation_images():
    candidates = draw_candidates(AUTO, {"gamma": 20.0}, 0.5, 1000, 0)
    ratios = np.log(np.array(candidates) / np.array(AUTO))
    assert (ratios[:, 2] == 0).all()
    np.testing.assert_allclose(np.delete(ratios, 2, axis=1).mean(axis=0), 0, atol=0.06)
    np.testing.assert_allclose(np.delete(ratios, 2, axis=1).std(axis=0), 0.5, rtol=0.1)
    assert draw_candidates(AUTO, {"gamma": 20.0}, 0.5, 1000, 0) == candidates
    assert draw_candidates(AUTO, {"gamma": 20.0}, 0.5, 1000, 1) != candidates
    assert draw_candidates(AUTO, AUTO._asdict(), 0.5, 1000, 0) == []


def test_the_search_finds_the_term_that_knows_the_class():
    images = make_images()
    found = search(images)
    assert accuracy(found.numbers, images) > accuracy(AUTO, images) + 0.1
    assert search(images) == found
    assert search(images, random_state=1) != found
    few = search(images, n_candidates=3)
    assert accuracy(few.numbers, images) <= accuracy(found.numbers, images)


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
    assert search(images).numbers == AUTO


def test_the_numbers_stay_if_candidates_make_the_labels_less_probable():
    z = {name: np.full((100, 2), 0.5) for name in ("z1", "z2", "z3")}
    z["z1"][:, 0] += 0.02
    z["z1"][:20, 1] += 0.03  # by the text a fifth is wrong, but hardly
    z["z2"][:, 0] += 0.05
    z["z2"][90:, 1] += 0.45  # by the shots a tenth is wrong, and very
    images = LabelledCosines(z, np.zeros(100, dtype=int), np.ones(100), np.zeros(2))
    auto = Numbers(1.0, 1.0, 1.0, 1.0, 0.03, 0.01, 0.0)
    shots = auto._replace(lambda2=0.3)
    assert (accuracy(auto, images), accuracy(shots, images)) == (0.8, 0.9)
    lead, error = compare(auto, [shots], images)
    assert lead[0] > error[0]
    assert search(images, auto=auto).numbers == auto


def test_a_difference_is_compared_with_its_standard_error():
    images = make_images()._replace(weight=np.arange(200.0))
    other = AUTO._replace(lambda2=20.0)
    lead, error = compare(AUTO, [other, AUTO], images)
    right = [
        log_score(images.cosines, numbers, images.divergence).argmax(axis=1) == images.codes
        for numbers in (AUTO, other)
    ]
    change = right[1].astype(int) - right[0]
    assert lead[0] == pytest.approx(images.weight @ change)
    assert error[0] == pytest.approx(np.sqrt(images.weight**2 @ change**2))
    assert lead[1] == error[1] == 0


def test_given_numbers_and_a_given_temperature_stay():
    found = search(make_images(), {"lambda3": 0.0, "alpha": 25.0}, temperature=7.0)
    assert (found.numbers.lambda3, found.numbers.alpha) == (0.0, 25.0)
    assert found.temperature == 7.0
    every = Numbers(1.0, 2.0, 3.0, 0.4, 0.5, 0.6, 0.7)
    assert search(make_images(), every._asdict()).numbers == every


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
    alone = accuracy(search(images).numbers, images)
    assert accuracy(search(both).numbers, images) == pytest.approx(alone, abs=0.02)


def test_blocks_change_nothing(monkeypatch):
    expected = search(make_images())
    monkeypatch.setattr(number_search, "BLOCK", 28)
    assert search(make_images()) == expected


@pytest.mark.parametrize("with_text", [True, False])
@pytest.mark.parametrize("solver", [None, "adamw"])
def test_validation_images_choose_the_numbers(with_text, solver):
    texts = make_texts() if with_text else ClassTexts()
    (X, codes), (X_val, codes_val) = draw(make_texts(), 2), draw(make_texts(), 20, seed=2)
    training = solver and TrainingOptions(solver, max_iter=5, device="cpu")
    validation = Validation(X_val, codes_val, np.ones(100))
    found = bridge_classes(
        make_shots(X, codes), texts, {}, training=training, validation=validation
    )
    assert (found.numbers.alpha is None) == (not with_text)
    images = LabelledCosines(found.cosines(X_val), codes_val, np.ones(100), found.divergence)
    start = START if with_text else START._replace(alpha=None, lambda1=None)
    assert accuracy(found.numbers, images) >= accuracy(start, images)


def test_adamw_keeps_its_best_step_on_validation_images():
    texts = make_texts()
    (X, codes), (X_val, codes_val) = draw(texts, 2, noise=0.3), draw(texts, 40, noise=0.3, seed=2)
    validation = Validation(X_val, codes_val, np.ones(200))

    def right(n_steps, validation):
        """The accuracy with the start numbers after so many steps, and the classes."""
        # A learning rate that is much too large, so that some steps are bad.
        training = TrainingOptions("adamw", max_iter=n_steps, learning_rate=1000.0, device="cpu")
        classes = bridge_classes(
            make_shots(X, codes),
            texts,
            START._asdict(),
            temperature=1.0,
            training=training,
            validation=validation,
        )
        return np.mean(classes.decide(X_val).argmax(axis=1) == codes_val), classes.n_iter

    each = [right(n_steps, None)[0] for n_steps in range(1, 13)]
    best, n_iter = right(12, validation)
    assert best == pytest.approx(max(each))
    assert best > each[-1]
    assert n_iter == 12
