"""The whole way from pictures and words to predictions, offline."""

import subprocess
import sys

import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    PaperBlend,
    SeMoBridgeClassifier,
    ZeroShotClassifier,
    clear_model_cache,
    make_semobridge_pipeline,
)
from sksemobridge.datasets import load_emoji, load_image_folder


@pytest.fixture(scope="module")
def emoji():
    return load_emoji()


def draw(emoji, k, seed):
    rng = np.random.default_rng(seed)
    labels = emoji.target_names[emoji.target]
    shots = np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:k] for c in emoji.target_names])
    return shots, np.setdiff1d(np.arange(len(labels)), shots)


def test_the_pictures(emoji):
    counts = np.bincount(emoji.target)
    assert len(emoji.target_names) >= 25
    assert counts.min() >= 20
    assert emoji.images.dtype == np.uint8
    assert emoji.images.shape == (len(emoji.target), 72, 72, 3)
    assert len(emoji.names) == len(emoji.target)
    assert "MIT" in emoji.DESCR


def test_shots_gain_on_zero_shot(emoji):
    X = CLIPImageEncoder("mini", "bundled").transform(emoji.images)
    labels = emoji.target_names[emoji.target]
    text_encoder = CLIPTextEncoder("mini", "bundled")
    gains = []
    for seed in range(10):
        shots, queries = draw(emoji, 8, seed)
        few_shot = SeMoBridgeClassifier(text_encoder).fit(X[shots], labels[shots])
        zero_shot = ZeroShotClassifier(text_encoder).fit(X[shots], labels[shots])
        gains.append(
            few_shot.score(X[queries], labels[queries]) - zero_shot.score(X[queries], labels[queries])
        )
    assert np.mean(gains) > 2 * np.std(gains, ddof=1) / np.sqrt(10)


def test_numbers_as_labels_with_their_names(emoji):
    shots, queries = draw(emoji, 2, 0)
    by_number = make_semobridge_pipeline("mini", "bundled", class_names=emoji.target_names)
    by_name = make_semobridge_pipeline("mini", "bundled")
    some = emoji.images[queries[:40]]
    by_number.fit(emoji.images[shots], emoji.target[shots])
    by_name.fit(emoji.images[shots], emoji.target_names[emoji.target[shots]])
    np.testing.assert_array_equal(emoji.target_names[by_number.predict(some)], by_name.predict(some))
    np.testing.assert_allclose(by_number.predict_proba(some), by_name.predict_proba(some), rtol=1e-6)


def test_model_selection_on_image_paths(emoji, tmp_path):
    labels = emoji.target_names[emoji.target]
    rng = np.random.default_rng(0)
    for name in ("fruit", "mammal", "clock"):
        (tmp_path / name).mkdir()
        for i in rng.permutation(np.flatnonzero(labels == name))[:6]:
            Image.fromarray(emoji.images[i]).save(tmp_path / name / f"{i}.png")
    folder = load_image_folder(tmp_path)
    y = folder.target_names[folder.target]
    pipeline = make_pipeline(
        CLIPImageEncoder("mini", pretrained="bundled"),
        SeMoBridgeClassifier(CLIPTextEncoder("mini", pretrained="bundled")),
    )
    assert cross_val_score(pipeline, folder.paths, y, cv=3).mean() > 0.6
    grid = {"semobridgeclassifier__blend": ["auto", PaperBlend(), PaperBlend(atol=0.3)]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(folder.paths, y)
    assert search.best_score_ > 0.6
    assert set(search.predict(list(folder.paths))) <= set(folder.target_names)


def test_the_pipeline_shares_one_model_and_its_device(loads):
    pipeline = make_semobridge_pipeline("mini", "bundled", encoder_params={"device": "cpu"}, priors="shots")
    image_encoder, classifier = pipeline[0], pipeline[1]
    assert classifier.priors == "shots"
    assert classifier.text_encoder.device == image_encoder.device == "cpu"
    clear_model_cache()
    image_encoder.transform([np.zeros((8, 8, 3), dtype=np.uint8)])
    classifier.text_encoder.transform(["a cat"])
    assert len(loads) == 1


def test_importing_the_package_loads_none_of_the_heavy_ones():
    code = (
        "import sys, sksemobridge\n"
        "print([name for name in ('torch', 'open_clip', 'torchvision', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_fitted_classifier_predicts_without_torch(emoji, tmp_path):
    X = CLIPImageEncoder("mini", "bundled").transform(emoji.images[:60])
    labels = emoji.target_names[emoji.target[:60]]
    text_encoder = CLIPTextEncoder("mini", "bundled")
    for name, params in {"default": {}, "paper": {"blend": PaperBlend(), "solver": "lbfgs"}}.items():
        classifier = SeMoBridgeClassifier(text_encoder, **params).fit(X, labels)
        joblib.dump((classifier, X, classifier.predict_proba(X)), tmp_path / f"{name}.joblib")
    code = (
        "import sys, joblib, numpy as np\n"
        "for path in sys.argv[1:]:\n"
        "    classifier, X, expected = joblib.load(path)\n"
        "    np.testing.assert_allclose(classifier.predict_proba(X), expected, rtol=1e-4, atol=1e-6)\n"
        "assert not {'torch', 'open_clip', 'torchvision', 'PIL'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, *map(str, tmp_path.iterdir())], check=True)
