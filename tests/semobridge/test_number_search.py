"""The search on validation images."""

import numpy as np
import pytest

from sksemobridge._semobridge import number_search
from sksemobridge._semobridge.bridged_classes import bridge_classes
from sksemobridge._semobridge.number_search import HIGHEST, draw_candidates, search_numbers
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


def test_candidates_are_the_papers_start_and_random_numbers_of_its_ranges():
    candidates = draw_candidates({})
    assert candidates[0] == START
    assert len(candidates) == 1001
    values = np.array(candidates[1:])
    assert (values >= 0).all()
    assert (values <= np.array(HIGHEST)).all()
    np.testing.assert_allclose(values.mean(axis=0), np.array(HIGHEST) / 2, rtol=0.1)
    assert draw_candidates({}) == candidates


def test_the_search_finds_the_term_that_knows_the_class_and_is_the_same_each_time():
    images = make_images()
    found = search_numbers({}, images, 100.0, None)
    assert accuracy(found.numbers, images) > accuracy(START, images)
    assert max(accuracy(numbers, images) for numbers in draw_candidates({})) == pytest.approx(
        accuracy(found.numbers, images), abs=0.01
    )
    assert search_numbers({}, images, 100.0, None) == found


def test_given_numbers_and_a_given_temperature_stay():
    found = search_numbers({"lambda3": 0.0, "alpha": 25.0}, make_images(), 100.0, 7.0)
    assert (found.numbers.lambda3, found.numbers.alpha) == (0.0, 25.0)
    assert found.temperature == 7.0
    every = Numbers(1.0, 2.0, 3.0, 0.4, 0.5, 0.6, 0.7)
    assert search_numbers(every._asdict(), make_images(), 100.0, None).numbers == every


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
    alone = accuracy(search_numbers({}, images, 100.0, None).numbers, images)
    assert accuracy(search_numbers({}, both, 100.0, None).numbers, images) == pytest.approx(alone)


def test_blocks_change_nothing(monkeypatch):
    expected = search_numbers({}, make_images(), 100.0, None)
    monkeypatch.setattr(number_search, "BLOCK", 28)
    assert search_numbers({}, make_images(), 100.0, None) == expected


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
