"""The closed form equals the published implementation."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier

DATA = Path(__file__).parent / "data"


def load(name):
    data = dict(np.load(DATA / f"{name}.npz"))
    n_classes, n_prompts, d = data["eos"].shape
    data["prompts"] = {c: [f"prompt {j} of {c}" for j in range(n_prompts)] for c in range(n_classes)}
    texts = [text for c in range(n_classes) for text in data["prompts"][c]]
    data["encoder"] = PrecomputedTextEncoder(texts, data["eos"].reshape(-1, d), data["projection"])
    return data


@pytest.mark.parametrize("name", ["square", "rectangular"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_affinities_and_blended_scores_of_the_closed_form(name, dtype):
    data = load(name)
    base = SeMoBridgeClassifier(data["encoder"], prompts=data["prompts"], blend="paper", atol=0.3)
    for i, settings in enumerate(json.loads(str(data["params"]))):
        classifier = clone(base).set_params(**settings)
        classifier.fit(data["shots"].astype(dtype), data["shot_labels"])
        queries = data["queries"].astype(dtype)
        for key, z in classifier.affinities(queries).items():
            assert z.dtype == dtype
            np.testing.assert_allclose(z, data[f"{key}_bias_0"], rtol=0, atol=1e-5)
        scores = np.exp(classifier.decision_function(queries))
        np.testing.assert_allclose(scores, data[f"blend{i}_bias_0"], rtol=0, atol=1e-5)
        expected = data[f"blend{i}_bias_0"].argmax(axis=1)
        np.testing.assert_array_equal(classifier.predict(queries), expected)
