"""The default model is what docs/method.md says: it agrees with a reference that follows the page
alone.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from sksemobridge import FewShotClassifier as Classifier
from sksemobridge import PrecomputedTextEncoder, ZeroShotClassifier
from sksemobridge._model import logistic
from sksemobridge._model.linear import Linear, total
from sksemobridge._model.mixture import Prior
from sksemobridge._model.near_copies import near_copies
from sksemobridge._model.pool import sorted_sample
from sksemobridge._model.unlabeled import terms_with_unlabeled
from sksemobridge._texts.words import text_span

from ..made_up import misleading_names
from .reference import Reference
from .reference_images import near_copies as near_copies_of_the_page
from .reference_images import nrm
from .reference_unlabeled import fits_names, learn, with_unlabeled

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* shots hardly count:UserWarning"),
    pytest.mark.filterwarnings("ignore:.* are near copies of others:UserWarning"),
    misleading_names,
]
LOGIT_SCALE = 20.0
NAMES = list("abcdefghijkl")


@dataclass
class Case:
    """Made-up shots: classes lie around a common direction, and their texts somewhere near."""

    counts: tuple[int, ...] = (4, 4, 4, 4)
    width: int = 12
    with_text: bool = True
    with_words: bool = False
    noise: float = 0.9
    text_noise: float = 0.7
    weighted: bool = False
    times: int = 1  # nearly equal images beside each other
    apart: float = 0.05  # how far these are
    groups_of: int = 0  # so many rows, where zero is without groups
    stretched: bool = False  # half of the rows are twice as long
    relabelled: dict[int, int] = field(default_factory=dict)  # other classes of some rows
    dtype: type = np.float64
    priors: tuple[float, ...] | str | None = None
    label_noise: float | str = "auto"
    swapped_names: bool = False
    same_texts: bool = False
    burst: int = 1  # so many unlabelled images beside each other are a group
    nameless: int = 0  # so many of the last classes have no name
    seed: int = 0

    def draw(self):
        rng = np.random.default_rng(self.seed)
        C, D = len(self.counts), self.width
        common = 1.5 * nrm(rng.normal(size=D)) * np.sqrt(D)
        means = rng.normal(size=(C, D))
        texts = nrm(means + self.text_noise * rng.normal(size=(C, D)) + 0.5 * common[::-1])
        if self.swapped_names:
            texts[[0, 1]] = texts[[1, 0]]
        if self.same_texts:
            texts[:] = texts[0]
        if self.nameless:
            texts[-self.nameless :] = texts[: -self.nameless].mean(axis=0)
        words = rng.normal(size=(9, D)) + np.vstack([means, means])[:9, :].mean(axis=0)
        y = np.repeat(np.arange(C), self.counts)
        X = common + means[y] + self.noise * rng.normal(size=(len(y), D))
        for row, other in self.relabelled.items():
            y[row] = other
        if self.times > 1:
            X, y = np.repeat(X, self.times, axis=0), np.repeat(y, self.times)
            X = X + self.apart * rng.normal(size=X.shape)
        if self.stretched:
            X[::2] *= 2
        weight = rng.uniform(0.3, 3, len(y)) if self.weighted else None
        groups = np.arange(len(y)) // self.groups_of if self.groups_of else None
        # The last queries are of no class.
        kinds = rng.choice(C, 40, p=np.arange(1, C + 1) / sum(range(C + 1)))
        queries = common + means[kinds] + self.noise * rng.normal(size=(40, D))
        queries[30:] = 3 * rng.normal(size=(10, D))
        queries = np.repeat(queries, self.times, axis=0)
        queries += (self.apart if self.times > 1 else 0) * rng.normal(size=queries.shape)
        return X.astype(self.dtype), y, texts, words, weight, groups, queries.astype(self.dtype)

    def names(self):
        """`class_names` of the classifier."""
        names = NAMES[: len(self.counts)]
        without = dict.fromkeys(names[len(names) - self.nameless :])
        return dict(zip(names, names)) | without if self.with_text else "ignore"

    def fit(self):
        """The classifier."""
        X, y, texts, words, weight, groups, _ = self.draw()
        C = len(self.counts)
        vocabulary = [f"word {i}" for i in range(len(words))]
        encoder = PrecomputedTextEncoder.from_joint(
            dict(zip(NAMES, texts)) | dict(zip(vocabulary, words)),
            logit_scale=LOGIT_SCALE,
        )
        classifier = Classifier(
            encoder if self.with_text or self.with_words else None,
            prompts="{}",
            class_names=self.names(),
            vocabulary=vocabulary if self.with_words else None,
            priors=self.priors,
            label_noise=self.label_noise,
            store_held_out=True,
        )
        names = np.array(NAMES[:C]) if self.with_text else np.arange(C)
        return classifier.partial_fit(X, names[y], names, sample_weight=weight, groups=groups)

    def reference(self):
        X, y, texts, words, weight, groups, _ = self.draw()
        log_prior = 0.0
        if self.priors == "shots":
            log_prior = np.log(np.array(self.counts) / sum(self.counts))
        elif self.priors is not None:
            log_prior = np.log(self.priors)
        return Reference(
            X.astype(float),
            y,
            texts if self.with_text else None,
            LOGIT_SCALE,
            text_span(words) if self.with_words else None,
            weight,
            groups,
            self.label_noise,
            log_prior,
            self.nameless,
        )


CASES = {
    "text, four shots": Case((4, 4, 4, 4, 4)),
    "text, one shot": Case((1,) * 12),
    "text, uneven": Case((1, 2, 6, 1)),
    "without text, four shots": Case((4, 4, 4, 4, 4), with_text=False),
    "without text, one shot": Case((1, 1, 1, 1), with_text=False),
    "without text, uneven": Case((1, 2, 2, 7), with_text=False, noise=1.5),
    "words, four shots": Case(with_text=False, with_words=True),
    "words, one shot": Case((1, 1, 1, 1), with_text=False, with_words=True),
    "words, uneven": Case((1, 2, 5), with_text=False, with_words=True),
    "bursts": Case((3, 2, 4), burst=3),
    "bursts without text": Case((3, 2, 4), burst=4, with_text=False),
    "more images than features": Case((9, 8, 9), width=6, noise=1.5),
    "weights": Case((3, 1, 4, 2), weighted=True),
    "weights without text": Case((3, 1, 4, 2), weighted=True, with_text=False),
    "groups": Case((3, 2, 1, 3), times=2, groups_of=2),
    "groups beside a class with only a name": Case((3, 3, 3, 0), times=2, groups_of=2, apart=1.0),
    "groups with weights": Case((3, 2, 2), times=3, groups_of=3, weighted=True),
    "a group with two labels": Case((3, 3, 3), times=2, groups_of=2, relabelled={1: 2}),
    "equal rows": Case((3, 2, 2), times=3, apart=1e-7, weighted=True),
    "equal rows of two lengths": Case((3, 2, 2), times=2, apart=1e-7, stretched=True),
    "equal rows in groups": Case((3, 2, 4), times=2, apart=1e-7, groups_of=3, weighted=True),
    "rows that hardly differ": Case((3, 2, 2), times=2, apart=1e-4),
    "near copies": Case((2, 3, 2, 3), width=64, times=3, burst=4),
    "a wrong label": Case((4, 4, 4, 4), relabelled={0: 1}, noise=0.5),
    "wrong labels": Case((5, 5, 5, 5), relabelled={0: 1, 6: 2, 11: 3}, noise=0.4),
    "wrong labels without text": Case(
        (6, 6, 6), relabelled={0: 1, 7: 2}, with_text=False, noise=0.4
    ),
    "wrong labels, a given share": Case((4, 4, 4), relabelled={0: 1}, label_noise=0.2),
    "wrong labels of pairs": Case((2, 2, 2, 3), relabelled={0: 1}),
    "wrong labels of single shots": Case((1, 1, 2, 1, 1), relabelled={2: 3}),
    "swapped names": Case((4, 4, 4, 4), swapped_names=True),
    "labels are trusted": Case((2, 3, 2), relabelled={0: 1}, label_noise=0),
    "useless text": Case((3, 3, 3), text_noise=10.0),
    "useless text, one shot": Case((1, 1, 1, 1), text_noise=10.0),
    "texts that are the same": Case((3, 2, 1), same_texts=True),
    "a class with only a name": Case((3, 0, 2, 4)),
    "classes with only a name": Case((1, 0, 0, 2), relabelled={1: 0}),
    "many shots beside classes with only a name": Case((6, 0, 9, 0, 0)),
    "many shots of two sizes beside names": Case((8, 0, 5, 0), times=2, groups_of=3, weighted=True),
    "a class without a name": Case((3, 3, 2), nameless=1),
    "classes without a name": Case((3, 2, 2, 4, 1), nameless=2),
    "weights of classes without a name": Case((3, 2, 4, 2), nameless=2, weighted=True),
    "single shots, classes without a name": Case((1, 1, 1, 1, 1), nameless=2),
    "wrong labels, classes without a name": Case(
        (4, 4, 4, 4), relabelled={0: 2, 13: 1}, nameless=2, noise=0.4
    ),
    "only classes without a name have shots": Case((0, 0, 0, 3, 2), nameless=2),
    "only single shots of classes without a name": Case((0, 0, 0, 1, 1), nameless=2),
    "one name": Case((3, 2, 2), nameless=2),
    "two classes": Case((3, 2)),
    "two classes without text": Case((4, 3), with_text=False),
    "one class with text": Case((3, 0)),
    "priors": Case((3, 2, 2), priors=(0.5, 0.3, 0.2)),
    "shares of the shots": Case((3, 2, 1), priors="shots"),
    "half floats": Case((2, 3, 2), dtype=np.float16),
    "single floats": Case((2, 3, 2), dtype=np.float32, with_text=False),
}


@pytest.fixture(params=CASES, scope="module")
def case(request):
    return CASES[request.param]


@pytest.fixture(scope="module")
def reference(case):
    return case.reference()


def minimum(*args, options, **kwargs):
    """`minimize`, which ends only at the minimum."""
    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 10**5, "maxfun": 10**6, "maxcor": 50}
    return minimize(*args, options=options, **kwargs)


@pytest.fixture(scope="module")
def exact(case):
    """The classifier, whose regression ends only at its minimum."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logistic, "minimize", minimum)
        return case.fit()


def assert_close(actual, expected, tolerance=1e-6):
    """Relative to the largest value."""
    largest = np.nanmax(np.abs(expected), initial=1e-300)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * max(largest, 1))


def test_labels_are_judged_as_the_page_says(case, exact, reference):
    if case.label_noise != 0:
        assert_close(exact.label_proba_, reference.label_proba)


def test_the_default_model_is_that_of_the_page(exact, reference):
    coef, intercept = reference.coef, reference.intercept
    if len(intercept) == 2:
        coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
    scales = [exact.blend_[name] for name in ("text", "shots")[-len(reference.blend) :]]
    assert_close(exact.blend_["trust"], reference.tau)
    assert_close(scales, reference.blend)
    assert_close(exact.coef_, coef)
    assert_close(exact.intercept_, intercept)


def test_held_out_probabilities_are_those_of_the_page(exact, reference):
    assert_close(exact.held_out_proba_, reference.held_out_proba)


def test_p_values_are_those_of_the_page(case, exact, reference):
    queries = case.draw()[-1]
    assert_close(exact.p_values(queries), reference.p_values(queries.astype(float)))


def test_unlabelled_images_teach_what_the_page_says(case, exact, reference):
    """The mixture has single precision, and its temperature a tolerance."""
    X = nrm(case.draw()[-1].astype(float))
    X = np.vstack([X, X[:3]])
    groups = np.arange(len(X)) // case.burst
    is_even = case.priors is None and not case.nameless
    coef, intercept = with_unlabeled(reference, X, is_even, groups)
    expected = softmax(X @ coef.T + intercept + reference.log_prior, axis=1)
    taught = exact.with_unlabeled(X, groups)
    np.testing.assert_allclose(taught.predict_proba(X), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("n_strangers", "n_kept"), [(0, 80), (40, 40), (70, 80)])
def test_names_alone_learn_what_the_page_says(n_strangers, n_kept):
    """The first images are unlike all names."""
    rng = np.random.default_rng(0)
    texts = nrm(rng.normal(size=(4, 12)) + 2)
    X = texts[rng.choice(4, 80, p=[0.1, 0.2, 0.3, 0.4])] + 0.15 * rng.normal(size=(80, 12))
    X[:n_strangers] += np.linspace(-1, 0.2, 12)
    X = nrm(X)
    encoder = PrecomputedTextEncoder.from_joint(dict(zip(NAMES, texts)), logit_scale=LOGIT_SCALE)
    taught = ZeroShotClassifier(encoder, prompts="{}").fit(None, NAMES[:4]).with_unlabeled(X)
    kept = fits_names(logsumexp(LOGIT_SCALE * X @ texts.T, axis=1))
    assert kept.sum() == n_kept
    no_shots = np.zeros((0, 12)), np.zeros(0, int), *np.zeros((2, 0))
    labelled = texts, np.full(4, True), 1.0, *no_shots
    coef, intercept = learn(LOGIT_SCALE * texts, np.zeros(4), X[kept], *labelled)
    expected = softmax(X @ coef.T + intercept, axis=1)
    np.testing.assert_allclose(taught.predict_proba(X), expected, rtol=0, atol=1e-5)


def test_as_installed_it_is_that_of_the_page_up_to_its_tolerance(case, reference):
    X = nrm(case.draw()[-1].astype(float))
    expected = softmax(X @ reference.coef.T + reference.intercept, axis=1)
    np.testing.assert_allclose(case.fit().predict_proba(X), expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("seed", range(40))
def test_any_images_teach_any_linear_model_what_the_page_says(seed):
    """Models that are too certain or not at all, images that are nearly one, and shots that are
    easier or harder than images.
    """
    rng = np.random.default_rng(seed)
    C, N, D = rng.choice([2, 3, 5, 30]), rng.choice([5, 40, 120]), 8
    texts = nrm(rng.normal(size=(C, D)) + 1)
    kinds = np.minimum(rng.integers(0, C, N), rng.integers(0, C, N))
    X = texts[kinds if seed % 4 else np.zeros(N, dtype=int)]
    X = nrm(X + rng.choice([0.02, 0.1, 0.5]) * rng.normal(size=(N, D)))
    coef = rng.choice([1, 10, 100, 3000]) * (texts + 0.3 * rng.normal(size=(C, D)))
    between = texts[:2].sum(axis=0) + rng.choice([0.1, 1.0]) * rng.normal(size=(3, D))
    shots, codes, omega = nrm(between), rng.integers(0, C, 3), rng.uniform(0.1, 2, 3)
    has_name, trust, intercept = rng.random(C) < 0.8, rng.uniform(0, 1), rng.normal(size=C)
    rest = rng.choice([0, 0.5], 3)
    labelled = texts, has_name, trust, shots, codes, omega, rest
    groups = rng.integers(0, N, N)
    pool = sorted_sample(X, C, groups)
    terms = {"text": Linear(coef, np.zeros(C)), "correction": Linear(0 * coef, intercept)}
    found, factor = terms_with_unlabeled(terms, pool, Prior(*labelled), is_even=True)
    np.testing.assert_allclose(found["text"].weights, factor * coef)
    expected_coef, expected = learn(coef, intercept, X, *labelled, True, groups)
    linear = total(found.values())
    largest = np.abs(expected_coef).max()
    np.testing.assert_allclose(linear.weights, expected_coef, rtol=0, atol=1e-4 * largest)
    np.testing.assert_allclose(linear.offsets, expected, rtol=0, atol=1e-4 * largest)


@pytest.mark.parametrize("seed", range(30))
def test_near_copies_are_those_of_the_page(seed):
    """Around a common direction or none, of one class or several, for some images or all."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, rng.integers(1, 5), 12)
    u = rng.uniform(0, 2) + rng.uniform(0, 1) * rng.normal(size=(5, 64))[codes]
    u = u + rng.normal(size=(12, 64))
    rows = np.concatenate([np.arange(12), rng.integers(0, 12, rng.integers(1, 30))])
    u = nrm(u[rows] + rng.uniform(0.01, 0.4) * rng.normal(size=(len(rows), 64)))
    # Some are there under another label, too.
    labels = np.where(rng.random(len(rows)) < 0.1 * (seed % 3), 0, codes[rows])
    found, expected = near_copies(u, labels), near_copies_of_the_page(u, labels)
    np.testing.assert_array_equal(found[:, None] == found, expected[:, None] == expected)
