"""The paper's method equals the published implementation, in closed form and trained."""

import json
from pathlib import Path

import numpy as np
import pytest

from sksemobridge._paper.model import fit_paper
from sksemobridge._paper.parameters import PaperBlend, Training

from .worlds import ClassTexts, Shots

DATA = Path(__file__).parents[1] / "data"


def load(name):
    """Arrays of the published implementation, its shots and texts, and the numbers of its blends."""
    data = dict(np.load(DATA / f"{name}.npz"))
    shots = Shots.of(data["shots"], data["shot_labels"])
    return data, shots, ClassTexts.of(data["eos"], data["projection"]), json.loads(str(data["params"]))


@pytest.mark.parametrize("name", ["square", "rectangular"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_affinities_and_blended_scores_of_the_closed_form(name, dtype):
    data, shots, texts, params = load(name)
    for i, settings in enumerate(params):
        blend = PaperBlend(**settings, atol=0.3, temperature=None)
        model = fit_paper(shots, texts, blend=blend, dtype=dtype)
        queries = data["queries"].astype(dtype)
        for key, z in model.affinities(queries).items():
            assert z.dtype == dtype
            np.testing.assert_allclose(z, data[f"{key}_bias_0"], rtol=0, atol=1e-5)
        scores = np.exp(model.decision(queries))
        np.testing.assert_allclose(scores, data[f"blend{i}_bias_0"], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(scores.argmax(axis=1), data[f"blend{i}_bias_0"].argmax(axis=1))


@pytest.mark.parametrize("name", ["square", "rectangular"])
@pytest.mark.parametrize("class_bias", [True, False])
def test_the_papers_recipe(name, class_bias):
    data, shots, texts, params = load(name)
    tag = ("bias" if class_bias else "nobias") + "_200"
    training = Training("adamw", class_bias=class_bias, max_iter=200)
    for i, settings in enumerate(params):
        blend = PaperBlend(**settings, atol=0.3, temperature=None)
        model = fit_paper(shots, texts, blend=blend, training=training)
        np.testing.assert_allclose(model.loss_curve, data[f"loss_{tag}"], rtol=1e-4)
        for key, z in model.affinities(data["queries"]).items():
            np.testing.assert_allclose(z, data[f"{key}_{tag}"], rtol=0, atol=1e-3)
        scores = np.exp(model.decision(data["queries"]))
        np.testing.assert_allclose(scores, data[f"blend{i}_{tag}"], rtol=0, atol=1e-3)
