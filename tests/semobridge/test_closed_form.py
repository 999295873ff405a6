"""What needs no hyperparameters is computed once for equal content."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._semobridge import closed_form
from sksemobridge._semobridge.bridge import Bridge
from sksemobridge._semobridge.closed_form import ClosedForm
from sksemobridge._utils.lru import LRUCache, n_bytes

from .worlds import draw, make_shots, make_texts


@pytest.fixture
def calls(monkeypatch):
    """A list that grows each time that shots are held out, and an empty cache."""
    calls, hold_out = [], closed_form.hold_out

    def counted(*arguments):
        calls.append(arguments)
        return hold_out(*arguments)

    monkeypatch.setattr(closed_form, "hold_out", counted)
    monkeypatch.setattr(closed_form, "_kept", LRUCache(closed_form.MOST_BYTES, n_bytes))
    return calls


def make_closed_form(group=None):
    texts = make_texts()
    bridge = Bridge.closed_form(texts.projection, texts.projection_bias, texts.text_length)
    return ClosedForm(bridge, make_shots(*draw(texts, 4), group), texts)


def test_equal_content_is_held_out_once(calls):
    first, second = make_closed_form(), make_closed_form()
    assert first.held_out() is second.held_out()
    assert first.classes() is second.classes()
    assert len(calls) == 1
    assert not first.classes().prototypes.flags.writeable
    assert not first.held_out()[0][1].shots.cosines["z2"].flags.writeable


def test_whatever_changes_the_closed_form_is_another_content(calls):
    given = make_closed_form()
    bridge, shots, texts = given.bridge, given.shots, given.texts
    weight = np.where(np.arange(len(shots.codes)) % 4 == 0, 3.0, 1.0)
    others = [
        given,
        replace(given, shots=replace(shots, X=1.5 * shots.X + 0.1)),
        replace(given, shots=replace(shots, weight=weight)),
        replace(given, shots=replace(shots, group=np.arange(len(shots.codes)) // 2)),
        replace(given, texts=replace(texts, embeddings=texts.embeddings[::-1].copy())),
        replace(given, texts=replace(texts, has_text=np.arange(5) > 0)),
        replace(given, bridge=Bridge.closed_form(texts.projection, atol=0.9)),
        replace(given, bridge=replace(bridge, projection_bias=np.full(16, 0.2))),
    ]
    for each in others:
        each.held_out()
    assert len(calls) == len(others)


def test_the_bytes_of_all_results_are_bounded(calls, monkeypatch):
    forms = [make_closed_form(np.arange(20) // n) for n in (1, 2, 4)]
    size = n_bytes(forms[0].held_out())
    monkeypatch.setattr(closed_form, "_kept", LRUCache(2 * size + size // 2, n_bytes))
    calls.clear()
    for form in (*forms, forms[2], forms[1], forms[0]):
        form.held_out()
    assert len(calls) == 4


@pytest.mark.parametrize("solver", ["closed_form", "lbfgs"])
@pytest.mark.filterwarnings("ignore:The bridge did not converge")
def test_a_search_holds_out_the_shots_of_each_fold_once_with_equal_scores(
    calls, world, monkeypatch, solver
):
    X, y = world.draw(6, noise=2.5)
    classifier = world.classifier(SeMoBridgeClassifier, solver=solver, max_iter=3, device="cpu")
    grid = {"lambda2": [0.01, 0.5], "alpha": [1.0, 6.0]}

    def search():
        search = GridSearchCV(classifier, grid, cv=2, scoring="neg_log_loss").fit(X, y)
        return search.cv_results_["mean_test_score"]

    scores = search()
    # Two folds, and the best candidate on all shots.
    assert len(calls) == 3
    monkeypatch.setattr(closed_form, "_kept", LRUCache(0, n_bytes))
    np.testing.assert_array_equal(search(), scores)
    assert len(calls) > 3 + 3
