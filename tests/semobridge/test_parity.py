"""The paper's classifier equals the published implementation, in closed form and trained."""

import json
from pathlib import Path

import numpy as np
import pytest

from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier

DATA = Path(__file__).parents[1] / "data"


def assert_equals_the_published(name, tag, dtype, atol, **params):
    """Affinities, loss and blended scores of the arrays in a file, for all blends of it."""
    data = dict(np.load(DATA / f"{name}.npz"))
    shots, queries = data["shots"].astype(dtype), data["queries"].astype(dtype)
    n_classes, n_prompts, d = data["eos"].shape
    prompts = {c: [f"prompt {j} of {c}" for j in range(n_prompts)] for c in range(n_classes)}
    texts = [text for class_prompts in prompts.values() for text in class_prompts]
    encoder = PrecomputedTextEncoder(texts, data["eos"].reshape(-1, d), data["projection"])
    for i, numbers in enumerate(json.loads(str(data["params"]))):
        classifier = SeMoBridgeClassifier(
            encoder, prompts=prompts, **numbers, atol=0.3, temperature=None, **params
        )
        classifier.fit(shots, data["shot_labels"])
        for key, z in classifier.affinities(queries).items():
            assert z.dtype == dtype
            np.testing.assert_allclose(z, data[f"{key}_{tag}"], rtol=0, atol=atol)
        decision, scores = classifier.decision_function(queries), data[f"blend{i}_{tag}"]
        # `decision_function` is the logarithm of the score, but for a number for each query.
        of_row = np.mean(np.log(scores) - decision, axis=1, keepdims=True)
        np.testing.assert_allclose(decision + of_row, np.log(scores), rtol=0, atol=atol)
        if not params:
            np.testing.assert_array_equal(decision.argmax(axis=1), scores.argmax(axis=1))
        else:
            np.testing.assert_allclose(classifier.loss_curve_, data[f"loss_{tag}"], rtol=1e-4)


@pytest.mark.parametrize("name", ["square", "rectangular"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_affinities_and_blended_scores_of_the_closed_form(name, dtype):
    assert_equals_the_published(name, "bias_0", dtype, atol=1e-5)


@pytest.mark.parametrize("name", ["square", "rectangular"])
@pytest.mark.parametrize(("class_bias", "tag"), [(True, "bias_200"), (False, "nobias_200")])
def test_the_papers_recipe(name, class_bias, tag):
    params = {"solver": "adamw", "class_bias": class_bias, "max_iter": 200}
    assert_equals_the_published(name, tag, np.float64, atol=1e-3, **params)
