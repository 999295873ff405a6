"""The paper's classifier on plain arrays."""

import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from sksemobridge._semobridge.bridge import Bridge
from sksemobridge._semobridge.bridge_fit import bridge_classes
from sksemobridge._semobridge.bridged_classes import BridgedClasses, CosineRows
from sksemobridge._semobridge.held_out import hold_out
from sksemobridge._semobridge.score import START, log_score
from sksemobridge._utils.array_api import apply_in_blocks, l2_normalize, softmax

from .worlds import ClassTexts, bridge_options, draw, make_shots, make_texts, without_some_texts

SOLVERS = [
    {"solver": "closed_form"},
    {"solver": "lbfgs", "device": "cpu"},
    {"solver": "adamw", "max_iter": 20, "device": "cpu"},
]


def fit(texts, X, codes, *, group=None, **options):
    return bridge_classes(make_shots(X, codes, group), texts, bridge_options(**options))


def decision(model, X):
    return apply_in_blocks(model, X, lambda scores: scores)


@pytest.mark.parametrize("solver", SOLVERS)
def test_without_a_projection_the_bridge_starts_as_the_identity(solver):
    X, codes = draw(make_texts(), 3)
    model = fit(ClassTexts(), X, codes, **solver)
    assert model.rank == X.shape[1]
    assert set(model.affinities(X)) == {"z2", "z3"}
    assert np.mean(decision(model, X).argmax(axis=1) == codes) > 0.9
    assert (model.loss_curve is None) == (solver["solver"] == "closed_form")
    if solver["solver"] == "closed_form":
        np.testing.assert_array_equal(model.bridge.matrix, np.eye(X.shape[1]))


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_class_without_shots_is_known_by_its_name(solver):
    texts = make_texts()
    (X, codes), (queries, labels) = draw(texts, 3), draw(texts, 20, seed=2)
    others, indices = np.arange(4), np.array([0, 1, 2, 3, -1])
    known = fit(texts.take(others), X[codes < 4], codes[codes < 4], **solver)
    model = known.for_classes(indices, texts.embeddings)
    right = decision(model, queries).argmax(axis=1) == labels
    assert right[labels == 4].mean() > 0.6
    assert right.mean() > 0.8


@pytest.mark.parametrize("solver", ["closed_form", "lbfgs"])
def test_shots_have_no_copies_in_double_precision(solver):
    texts = make_texts(width=64, d=64)
    X, codes = draw(texts, 1000)
    shots, options = make_shots(X.astype(np.float32), codes), bridge_options(solver, max_iter=2)
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            bridge_classes(shots, texts, options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * shots.X.nbytes


def test_single_classes_and_texts_that_are_all_the_same_have_finite_scores():
    texts = make_texts()
    X, codes = draw(texts, 2)
    same = replace(texts, embeddings=np.repeat(texts.embeddings[:1], 5, axis=0))
    alike = fit(same.take(np.arange(3)), X[codes < 3], codes[codes < 3])
    assert np.isfinite(
        decision(alike.for_classes(np.array([0, 1, 2, -1]), same.embeddings[:4]), X)
    ).all()
    alone = fit(texts, X, codes).for_classes(np.array([1, -1]), texts.embeddings[:2])
    assert np.isfinite(decision(alone, X)).all()
    for solver in SOLVERS:
        one = fit(texts.take([0]), X[:2], codes[:2], **solver)
        assert decision(one, X).shape == (10, 1)


def test_training_that_ends_early_warns():
    texts = make_texts()
    with pytest.warns(ConvergenceWarning, match="did not converge in 12 iterations"):
        fit(texts, *draw(texts, 3), solver="lbfgs", max_iter=12, device="cpu")


@pytest.mark.parametrize(
    ("texts", "zero"),
    [
        (ClassTexts(), ["lambda2", "lambda3"]),
        (ClassTexts(), ["beta", "gamma"]),
        (ClassTexts(), ["lambda2", "gamma"]),
        (make_texts(), ["lambda1", "lambda2", "lambda3"]),
        (make_texts(), ["alpha", "beta", "gamma"]),
        (make_texts(), ["alpha", "lambda2", "gamma"]),
    ],
)
def test_some_term_that_is_used_differs_between_images(texts, zero):
    with pytest.raises(ValueError, match="the same for all images.* beta and lambda2"):
        fit(texts, *draw(make_texts(), 1), smoothness=1e6, **dict.fromkeys(zero, 0.0))


def test_what_is_given_for_a_text_does_not_count_without_one():
    shots = draw(make_texts(), 1)
    with pytest.raises(ValueError, match="the same for all images"):
        fit(ClassTexts(), *shots, alpha=1.0, lambda1=1.0, lambda2=0.0, lambda3=0.0)


# Temperature


def test_a_temperature_changes_probabilities_alone():
    texts = make_texts()
    (X, codes), (queries, labels) = draw(texts, 3, noise=0.3), draw(texts, 40, noise=0.3, seed=2)
    plain, auto, hot = (fit(texts, X, codes, temperature=value) for value in (None, "auto", 5.0))
    expected = decision(plain, queries)
    np.testing.assert_allclose(decision(hot, queries), 5 * expected)
    np.testing.assert_allclose(decision(auto, queries), auto.temperature * expected)
    losses = [log_loss(labels, softmax(decision(model, queries))) for model in (plain, auto)]
    assert losses[1] < losses[0]


@pytest.mark.parametrize("solver", SOLVERS[:2])
@pytest.mark.parametrize("per_class", [1, [1, 2, 1, 1, 1], 2])
@pytest.mark.parametrize("with_text", [True, False])
def test_the_temperature_is_sensible_with_few_shots(solver, per_class, with_text):
    texts = make_texts()
    X, codes = draw(texts, per_class)
    model = fit(texts if with_text else ClassTexts(), X, codes, **solver)
    assert 0.01 < model.temperature < 1000


def test_copies_of_an_image_are_held_out_together():
    texts = make_texts()
    X, codes = draw(texts, 2, noise=0.4)
    copies = np.repeat(np.arange(len(X)), 4)
    alone = fit(texts, X, codes).temperature
    together = fit(texts, X[copies], codes[copies], group=copies).temperature
    apart = fit(texts, X[copies], codes[copies]).temperature
    assert together == pytest.approx(alone, rel=1e-4)
    assert apart > 1.2 * alone


def test_a_sample_of_the_shots_is_enough_for_the_temperature(monkeypatch):
    texts = make_texts()
    X, codes = draw(texts, 60, noise=0.3)
    expected = fit(texts, X, codes).temperature
    monkeypatch.setattr("sksemobridge._semobridge.held_out.MOST_COSINES", 500)
    assert fit(texts, X, codes).temperature == pytest.approx(expected, rel=0.5)


@pytest.mark.parametrize("atol", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("solver", SOLVERS[:2])
@pytest.mark.parametrize("with_text", [True, False])
def test_rows_give_the_cosines_of_the_formula(atol, solver, with_text):
    texts = make_texts() if with_text else ClassTexts()
    X, codes = draw(make_texts(), 3)
    model = fit(texts, X, codes, atol=atol, **solver)
    each = [model]
    if with_text:
        # The prototype of a class without shots is not where the bridge leads.
        each.append(model.for_classes(np.array([0, 2, -1]), texts.embeddings[:3]))
    for classes in each:
        fast = CosineRows.of(classes).cosines(X)
        for name, expected in classes.cosines(X).items():
            np.testing.assert_allclose(fast[name], expected, atol=1e-6)


@given(
    rank=st.integers(0, 9),
    n_classes=st.integers(1, 12),
    with_text=st.booleans(),
    have_shots=st.booleans(),
    weights=st.tuples(*[st.sampled_from([0.0, 0.5])] * 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_many_queries_have_the_score_of_the_formula(
    rank, n_classes, with_text, have_shots, weights, seed
):
    """Whatever directions are kept, for rows of any length, and terms that do not count."""
    assume(any(weights if with_text else weights[1:]))
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(9, 9)))[0][:, :rank]
    bridge = Bridge(basis @ basis.T, basis=basis).for_predictions()
    texts, prototypes, means = l2_normalize(rng.normal(size=(3, n_classes, 9)))
    model = BridgedClasses(
        bridge=bridge,
        text_embeddings=texts if with_text else None,
        prototypes=bridge.apply(means) if have_shots else prototypes,
        image_means=means,
        class_bias=None,
        divergence=rng.uniform(size=n_classes),
        rank=rank,
        loss_curve=None,
        n_iter=1,
        hyperparameters=START._replace(**dict(zip(("lambda1", "lambda2", "lambda3"), weights))),
    )
    X = rng.normal(size=(7, 9)) * np.array([[1, 0, 1e-200, 1e200, 1e-9, 1e9, 1]]).T
    many = model.decision(None)
    assert many.fast is not None
    np.testing.assert_allclose(many.decide(X), model.decide(X), atol=1e-6)


def test_the_length_of_a_bridged_query_divides_its_cosines_in_any_order():
    texts = make_texts()
    X, codes = draw(texts, 3)
    rows = CosineRows.of(fit(texts, X, codes, **SOLVERS[1]))
    assert len(rows.in_span) == 0 < rows.n_of_length
    *of_classes, of_length = np.split(rows.rows, [5, 10, 15])
    turned = replace(
        rows, names=rows.names[::-1], rows=np.concatenate([*of_classes[::-1], of_length])
    )
    for name, expected in rows.cosines(X).items():
        np.testing.assert_allclose(turned.cosines(X)[name], expected)


def test_terms_that_do_not_count_take_no_products():
    texts = make_texts()
    model = fit(texts, *draw(texts, 3), atol=0.6)
    assert 0 < model.rank < 16
    rows = CosineRows.of(model)
    without = model.hyperparameters._replace(lambda3=0.0)
    fewer = CosineRows.of(replace(model, hyperparameters=without))
    assert (rows.names, fewer.names) == (("z1", "z2", "z3"), ("z1", "z2"))
    assert rows.n_of_length > fewer.n_of_length == 0
    assert len(fewer.rows) == 2 * 5


def test_what_the_identity_bridges_takes_no_products_of_its_own():
    X, codes = draw(make_texts(), 3)
    # Longer rows count more in the mean, and not in prototypes.
    for shots, n_products in [(l2_normalize(X), 5), (X, 2 * 5)]:
        model = fit(ClassTexts(), shots, codes)
        model = replace(model, bridge=model.bridge.for_predictions())
        rows = CosineRows.of(model)
        assert (rows.rows.shape, rows.all_names) == ((n_products, 16), ("z2", "z3"))
        for name, expected in model.cosines(X).items():
            np.testing.assert_allclose(rows.cosines(X)[name], expected, atol=1e-6)
        assert not np.shares_memory(*rows.cosines(X).values())


@pytest.mark.parametrize("rank", [300, 400])
def test_many_classes_are_compared_in_the_directions_that_the_bridge_keeps(rank):
    """This takes fewer products than what the bridge leaves out of a length."""
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(512, 512)))[0][:, :rank]
    bridge = Bridge(basis @ basis.T, basis=basis).for_predictions()
    few, many = (bridge.as_rows(np.ones((n, 512))) for n in (1, 1000))
    assert [len(few[1]), len(many[1])] == [512 - rank, rank]


# Classes without a text


SOME = [True, True, True, False, False]


@pytest.mark.parametrize("per_class", [1, 4])
def test_images_stand_in_for_a_missing_text(per_class):
    texts = without_some_texts(SOME)
    (X, codes), (queries, labels) = draw(make_texts(), per_class), draw(make_texts(), 40, seed=2)
    model, is_missing = fit(texts, X, codes), labels > 2
    assert not model.stand_ins[:3].any()
    own, other = model.cosines(queries[is_missing])["z1"][:, [3, 4]].reshape(2, 40, 2)
    assert (own[:, 0] > own[:, 1]).mean() > 0.9
    assert (other[:, 1] > other[:, 0]).mean() > 0.9
    right = decision(model, queries).argmax(axis=1) == labels
    plain = decision(replace(model, stand_ins=None), queries).argmax(axis=1) == labels
    assert right[is_missing].mean() > plain[is_missing].mean()
    assert right.mean() >= plain.mean()


def test_stand_ins_are_no_texts():
    """They change neither what names predict of classes without shots, nor how texts fit."""
    texts = without_some_texts(SOME)
    model = fit(texts, *draw(make_texts(), 2))
    plain = replace(model, stand_ins=None)
    indices = np.array([4, 0, -1])
    some, expected = (
        each.for_classes(indices, texts.embeddings[[4, 0, 1]]) for each in (model, plain)
    )
    for name in ("prototypes", "image_means", "divergence"):
        np.testing.assert_array_equal(getattr(some, name), getattr(expected, name))
    np.testing.assert_array_equal(some.stand_ins, [model.stand_ins[4], *np.zeros((2, 16))])


def test_the_only_image_of_a_class_is_not_held_out_from_a_stand_in_that_knows_it():
    texts = without_some_texts(SOME)
    shots = make_shots(*draw(make_texts(), 1))
    [(_, held_out)] = hold_out(lambda part: fit(texts, shots.X, shots.codes), shots)
    own = np.arange(5), np.arange(5)
    expected = np.vecdot(l2_normalize(shots.X), texts.embeddings)
    np.testing.assert_allclose(held_out.shots.cosines["z1"][own], expected)


def test_the_slope_of_stand_ins_is_that_of_classes_with_a_text():
    """Where names say nothing of images, there is hardly any stand-in."""
    rng, codes = np.random.default_rng(0), np.repeat(np.arange(60), 4)
    texts = rng.normal(size=(60, 16)) / 4
    texts[0] = texts[1:].mean(axis=0)
    has_text = np.arange(60) > 0
    lengths = []
    for centres in (texts, rng.normal(size=texts.shape) / 4):
        means = centres + (np.arange(60) == 0)[:, None] * rng.normal(size=16) / 4
        X = means[codes] + 0.05 * rng.normal(size=(240, 16))
        lengths.append(np.linalg.norm(fit(ClassTexts(texts, has_text), X, codes).stand_ins[0]))
    assert lengths[1] < lengths[0] / 2


@pytest.mark.parametrize("per_class", [1, 16])
def test_one_image_stands_in_for_a_text_as_much_as_many_images(per_class):
    rng, codes = np.random.default_rng(0), np.repeat(np.arange(100), per_class)
    directions = rng.normal(size=(100, 64)) / 8
    has_text = np.arange(100) >= 20
    texts = np.where(has_text[:, None], directions, directions[has_text].mean(axis=0))
    X = 4 * np.eye(64)[0] + directions[codes] + rng.normal(size=(len(codes), 64)) / 8
    stand_ins = fit(ClassTexts(texts, has_text), X, codes).stand_ins[:20]
    along = np.vecdot(stand_ins, directions[:20]) / np.square(directions[:20]).sum(axis=1)
    assert 0.7 < along.mean() < 1.3


@pytest.mark.parametrize("sharpness", [1.0, 500.0])
def test_the_score_of_large_exponents_is_finite(sharpness):
    rng = np.random.default_rng(0)
    cosines = {name: rng.uniform(-1, 1, (9, 3)).astype(np.float32) for name in ("z1", "z2", "z3")}
    hyperparameters = START._replace(alpha=sharpness, beta=sharpness, gamma=2 * sharpness)
    divergence = np.zeros(3, dtype=np.float32)
    exponents = [
        (2 if name == "z3" else 1) * sharpness * (z.astype(float) - 1)
        for name, z in cosines.items()
    ]
    expected = logsumexp(exponents, axis=0) + np.log(0.5)
    np.testing.assert_allclose(log_score(cosines, hyperparameters, divergence), expected, rtol=1e-5)


def test_without_a_direction_and_with_a_sharpness_without_limit_the_texts_decide():
    texts = make_texts()
    X, codes = draw(texts, 3)
    with pytest.warns(UserWarning, match="cuts off every direction"):
        cut_off = fit(texts, X, codes, atol=1e3)
    with np.errstate(all="ignore"):
        too_sharp = fit(texts, X, codes, beta=1e5)
    for model in (cut_off, too_sharp):
        decision = model.decide(X)
        assert np.isfinite(decision).all()
        np.testing.assert_array_equal(
            decision.argmax(axis=1), model.cosines(X)["z1"].argmax(axis=1)
        )
