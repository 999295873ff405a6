"""The zero-shot classifier; that it is linear is tested with the few-shot one."""

import numpy as np
import pytest
from sklearn.preprocessing import normalize


def test_it_is_the_cosine_to_the_texts(any_world):
    X, y = any_world.draw(2)
    classifier = any_world.zero_shot().fit(X, y)
    texts = normalize(any_world.text_encoder().transform(any_world.texts))
    np.testing.assert_allclose(classifier.text_embeddings_, texts)
    np.testing.assert_allclose(classifier.coef_, 20 * texts)
    np.testing.assert_array_equal(classifier.intercept_, 0)
    expected = 20 * normalize(X) @ texts.T
    np.testing.assert_allclose(classifier.decision_function(X), expected, rtol=1e-4, atol=1e-5)
    assert classifier.decision_function(X).dtype == X.dtype


def test_it_only_reads_the_classes(world):
    X, y = world.draw(2)
    expected = world.zero_shot().fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(world.zero_shot().fit(-X, y).predict_proba(X), expected)
    without_images = world.zero_shot().fit(None, world.names)
    assert without_images.n_features_in_ == X.shape[1]
    np.testing.assert_array_equal(without_images.predict_proba(X), expected)


def test_missing_labels_and_names_are_refused(world):
    X, y = world.draw([2, 2, 0, 0, 0])
    with pytest.raises(ValueError, match="y is None|requires y"):
        world.zero_shot().fit(None, None)
    with pytest.raises(ValueError, match="y is empty"):
        world.zero_shot().fit(None, [])
    with pytest.raises(ValueError, match="every class needs a name"):
        world.zero_shot(class_names={"bird": "bird", "cat": None}).fit(X, y)


def test_other_classes_give_what_a_fit_to_them_gives(world):
    X, _ = world.draw(2)
    fitted = world.zero_shot().fit(None, world.names[:3])
    for names in (world.names[1:], world.names[:2], world.names[::-1]):
        changed = fitted.with_classes(names)
        expected = world.zero_shot().fit(None, names)
        np.testing.assert_array_equal(changed.classes_, expected.classes_)
        assert changed.prompts_ == expected.prompts_
        np.testing.assert_allclose(changed.decision_function(X), expected.decision_function(X))
    assert fitted.with_classes(world.names).score(*world.draw(2)) > 0.5


def test_classes_keep_what_unlabelled_images_taught(world):
    X, _ = world.draw(20)
    learnt = world.zero_shot().fit(None, world.names[:4]).with_unlabeled(X)
    more = learnt.with_classes(world.names)
    kept = np.isin(more.classes_, learnt.classes_)
    np.testing.assert_allclose(
        more.decision_function(X)[:, kept], learnt.decision_function(X), rtol=1e-6
    )
    back = more.with_classes(learnt.classes_)
    np.testing.assert_allclose(back.predict_proba(X), learnt.predict_proba(X), rtol=1e-6)
    again = more.with_unlabeled(X)
    expected = world.zero_shot().fit(None, world.names).with_unlabeled(X)
    np.testing.assert_allclose(again.predict_proba(X), expected.predict_proba(X), rtol=1e-6)


def test_a_list_of_names_follows_the_classes(world):
    fitted = world.zero_shot(class_names=world.names).fit(None, range(len(world.names)))
    changed = fitted.with_classes([2, 0])
    assert changed.class_names_.tolist() == [world.names[0], world.names[2]]
    assert changed.fit(None, [0, 2]).class_names_.tolist() == changed.class_names_.tolist()
