"""What scikit-learn's checks ask of estimators, for those that they cannot make: with text, and of
images or texts.
"""

import copy
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr
from sklearn.utils.validation import check_is_fitted

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    FewShotClassifier,
    MultilabelFewShotClassifier,
    PrecomputedTextEncoder,
    SemanticBridge,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
    make_few_shot_pipeline,
)

from .encoder_helpers import some_pictures
from .made_up import World, arrays_of

pytestmark = pytest.mark.filterwarnings("ignore:The bridge did not converge")


@dataclass
class Case:
    """An estimator that is not fitted, its input, and the methods that give results."""

    estimator: BaseEstimator
    X: object
    y: object
    methods: tuple

    def fitted(self):
        return clone(self.estimator).fit(self.X, self.y)

    def results(self, estimator, X=None):
        results = {}
        for method in self.methods:
            result = getattr(estimator, method)(self.X if X is None else X)
            results |= result if isinstance(result, dict) else {method: result}
        return results


PREDICT = ("predict", "predict_proba", "predict_log_proba", "decision_function")


def embedding_cases():
    few_shot = (*PREDICT, "affinities")
    plain, biased = World(), World(bias=True, dtype=np.float32)
    for solver, world in {"closed_form": plain, "lbfgs": plain, "adamw": biased}.items():
        classifier = world.classifier(SeMoBridgeClassifier, solver=solver, max_iter=5)
        yield solver, Case(classifier, *world.draw(4), few_shot)
    X, y = plain.draw(4)
    yield (
        "few shots",
        Case(plain.classifier(priors="shots"), X, y, (*few_shot, "score_samples", "p_values")),
    )
    yield "zero-shot", Case(plain.zero_shot(), X, y, PREDICT)
    for name, vocabulary in {"bridge of words": plain.texts, "bridge": None}.items():
        yield (
            name,
            Case(
                SemanticBridge(plain.text_encoder(), vocabulary=vocabulary), X, None, ("transform",)
            ),
        )


def tag_cases():
    X, y = World().draw(4)
    Y = pd.DataFrame({name: y == name for name in World().names})
    classifier = World().classifier(MultilabelFewShotClassifier)
    methods = ("predict", "predict_proba", "decision_function")
    yield "several labels", Case(classifier, X, Y, methods)


# Each result is computed anew.
MINI = {"model_name": "mini", "pretrained": "bundled", "cache": None}


def encoder_cases():
    pictures = some_pictures(5, size=(32, 32))
    texts = ["a red apple", "a green tree", "a dog", "two dogs"]
    rng = np.random.default_rng(0)
    yield "images", Case(CLIPImageEncoder(**MINI), pictures, None, ("transform",))
    yield "texts", Case(CLIPTextEncoder(**MINI), texts, None, ("transform", "encode"))
    known = PrecomputedTextEncoder(texts, rng.normal(size=(4, 6)), rng.normal(size=(6, 3)))
    yield "precomputed texts", Case(known, texts, None, ("transform", "encode"))


BY_EMBEDDINGS = dict(embedding_cases())
CASES = BY_EMBEDDINGS | dict(tag_cases()) | dict(encoder_cases())
CLASSES = {type(case.estimator).__name__: case for case in CASES.values()}
CLASSIFIERS = {name: case for name, case in BY_EMBEDDINGS.items() if case.y is not None}
every_case, every_class, every_embedding_case, every_classifier = (
    pytest.mark.parametrize("case", cases.values(), ids=cases)
    for cases in (CASES, CLASSES, BY_EMBEDDINGS, CLASSIFIERS)
)


def assert_equal_results(actual, expected, rtol=0.0, atol=0.0):
    assert actual.keys() == expected.keys()
    for name, result in expected.items():
        if result.dtype.kind == "f":
            np.testing.assert_allclose(actual[name], result, rtol=rtol, atol=atol)
        else:
            np.testing.assert_array_equal(actual[name], result)


@every_class
def test_every_parameter_has_a_constraint(case):
    estimator = case.estimator
    assert set(estimator._parameter_constraints) == set(estimator.get_params(deep=False))
    for name in estimator._parameter_constraints:
        wrong = clone(estimator).set_params(**{name: object()})
        with pytest.raises(ValueError, match=f"The '{name}' parameter of|^{name} must"):
            wrong.fit(case.X, case.y)


@every_case
def test_fit_changes_no_parameter_and_gives_the_same_again(case):
    estimator = clone(case.estimator)
    before = joblib.hash(estimator.get_params())
    assert estimator.fit(case.X, case.y) is estimator
    assert joblib.hash(estimator.get_params()) == before
    check_is_fitted(estimator)
    first = case.results(estimator)
    assert_equal_results(case.results(estimator.fit(case.X, case.y)), first)
    assert_equal_results(case.results(case.fitted()), first)


@every_case
def test_nothing_but_fit_changes_the_estimator_or_its_input(case):
    estimator = case.fitted()
    before, names = joblib.hash((estimator, case.X, case.y)), list(vars(estimator))
    results = case.results(estimator)
    expected = copy.deepcopy(results)
    for result in results.values():
        result[:] = result[:1]
    assert_equal_results(case.results(estimator), expected)
    assert joblib.hash((estimator, case.X, case.y)) == before
    assert list(vars(estimator)) == names


@every_case
def test_rows_do_not_depend_on_their_order_or_company(case):
    estimator = case.fitted()
    whole = case.results(estimator)
    order = np.random.default_rng(0).permutation(len(case.X))

    def rows(chosen):
        return case.X[chosen] if isinstance(case.X, np.ndarray) else [case.X[i] for i in chosen]

    for chosen in (order, order[:3], order[:1], np.repeat(order[:2], 2)):
        expected = {name: result[chosen] for name, result in whole.items()}
        assert_equal_results(case.results(estimator, rows(chosen)), expected, rtol=1e-4, atol=1e-5)


@every_embedding_case
def test_a_fit_shares_no_memory_with_its_input(case):
    estimator, n = clone(case.estimator), len(case.X)
    is_few_shot = isinstance(estimator, (FewShotClassifier, SeMoBridgeClassifier))
    row_values = {"sample_weight": np.ones(n), "groups": np.arange(n)} if is_few_shot else {}
    estimator.fit(case.X, case.y, **row_values)
    inputs = [case.X, *row_values.values(), *arrays_of(estimator.text_encoder)]
    for array in arrays_of(estimator._fitted):
        assert not any(np.shares_memory(array, other) for other in inputs)


KINDS = {
    "int": np.arange(5),
    "float": np.arange(5.0),
    "str": np.array(list("abcde")),
    "bool": np.array([False, True]),
    "category": pd.Categorical(list("abcde")),
}


@every_classifier
@pytest.mark.parametrize("labels", KINDS.values(), ids=KINDS)
def test_kinds_of_labels(case, labels):
    names, codes = np.unique(case.y, return_inverse=True)
    kept = codes < len(labels)
    X, codes = case.X[kept], codes[kept]
    expected = clone(case.estimator).fit(X, names[codes]).predict(X)
    estimator = clone(case.estimator).set_params(
        class_names=dict(zip(labels.tolist(), names.tolist()))
    )
    estimator.fit(X, labels[codes])
    assert estimator.classes_.dtype.kind in (np.asarray(labels).dtype.kind, "O")
    np.testing.assert_array_equal(estimator.predict(X), labels[np.searchsorted(names, expected)])


@every_embedding_case
def test_a_failed_fit_changes_nothing(case):
    estimator = case.fitted()
    before, kept = joblib.hash(vars(estimator)), case.results(estimator)
    X = np.array(case.X)
    broken = X.copy()
    broken[1, 2] = np.nan
    calls = [(bad, case.y) for bad in (broken, X[:, :-1], X[:0], "nonsense")]
    if case.y is not None:
        calls += [(X, y) for y in (["unheard of"] * len(X), np.full(len(X), np.nan), case.y[1:])]
    for fit in (estimator.fit, getattr(estimator, "partial_fit", estimator.fit)):
        for bad, y in calls:
            with pytest.raises(ValueError, match="X|array|unheard of|NaN|samples"):
                fit(bad, y)
            assert joblib.hash(vars(estimator)) == before
    assert_equal_results(case.results(estimator), kept)


PAGE = "https://sksemobridge.github.io/sksemobridge/generated/sksemobridge.{}.html"


@every_class
def test_its_diagram_links_to_the_page_of_its_class(case):
    assert PAGE.format(type(case.estimator).__name__) in estimator_html_repr(case.estimator)


def test_the_diagram_of_a_pipeline_links_to_its_own_page_and_those_of_its_steps():
    shown = estimator_html_repr(make_few_shot_pipeline("mini", "bundled"))
    for name in ("ImagePipeline", "CLIPImageEncoder", "FewShotClassifier"):
        assert PAGE.format(name) in shown


NAMES = [f"class number {i}" for i in range(200)]
OF_NAMES = {
    "class_names": {name: name for name in NAMES},
    "prompts": {name: [f"a {name}."] for name in NAMES},
}
TEXTS = PrecomputedTextEncoder(NAMES, np.zeros((200, 64)), np.zeros((64, 64)))
PRIORS = np.full(200, 0.005)


@pytest.mark.parametrize(
    "estimator",
    [
        FewShotClassifier(TEXTS, **OF_NAMES, priors=PRIORS),
        FewShotClassifier(class_names=NAMES, priors=pd.Series(PRIORS, NAMES)),
        SeMoBridgeClassifier(TEXTS, **OF_NAMES, priors=dict(zip(NAMES, PRIORS))),
        ZeroShotClassifier(TEXTS, **OF_NAMES),
        MultilabelFewShotClassifier(TEXTS, **OF_NAMES),
        SemanticBridge(TEXTS),
        TEXTS,
        make_few_shot_pipeline([("mini", "bundled")] * 4, **OF_NAMES, priors=PRIORS),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_it_is_shown_with_its_parameters_cut_also_within_others(estimator):
    for outer in (estimator, clone(estimator), make_pipeline(estimator, estimator)):
        shown = repr(outer)
        assert len("".join(shown.split())) <= 850
        assert type(estimator).__name__ in shown
        assert "..." in shown
