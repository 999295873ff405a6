"""Random damage to pictures and odd shots: nothing crashes, shifts a row or gives a wrong one.

A short run by default. `SKSEMOBRIDGE_DAMAGE=50` makes fifty times as many, with other seeds each
day, as the nightly workflow does.
"""

import datetime
import io
import os
from contextlib import suppress
from itertools import product

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sksemobridge import CLIPImageEncoder, FewShotClassifier, PrecomputedTextEncoder

FACTOR = int(os.environ.get("SKSEMOBRIDGE_DAMAGE", "1"))
TODAY = datetime.date.today().toordinal() if FACTOR > 1 else 0
BATCH = 50


def files_of_every_kind(rng):
    """Sound files of every kind that Pillow writes."""
    pixels = np.kron(rng.integers(0, 256, (6, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    Image.init()
    files = []
    for kind, channels in product(
        sorted(Image.SAVE), (pixels, pixels[..., 0], pixels[..., 0] > 99)
    ):
        buffer = io.BytesIO()
        # Some kinds cannot hold such pixels, or this Pillow was built without them.
        with suppress(Exception):
            Image.fromarray(channels).save(buffer, kind)
            files.append(buffer.getvalue())
    return np.array(files, dtype=object)


def change(content, other, rng):
    """The content of a file with bytes changed, cut out, inserted, or of two files in one."""
    content = bytearray(content)
    reach = len(content) if rng.random() < 0.5 else min(64, len(content))
    start, n = int(rng.integers(reach)), int(rng.integers(1, 50))
    way = rng.integers(5)
    if way == 0:
        for position in rng.integers(0, reach, rng.integers(1, 20)):
            content[position] = rng.integers(256)
    elif way == 1:
        del content[start:]
    elif way == 2:
        del content[start : start + n]
    elif way == 3:
        content[start:start] = rng.bytes(n)
    else:
        content[start:] = other[int(rng.integers(len(other))) :]
    return bytes(content)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(2 * FACTOR))
def test_a_damaged_picture_gives_nan_or_what_it_gives_alone_and_moves_no_other_row(
    seed, monkeypatch
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2_000_000)
    rng = np.random.default_rng([TODAY, seed])
    files = files_of_every_kind(rng)
    options = {"on_error": "nan", "precision": "fp32", "cache": None}
    encoder = CLIPImageEncoder("mini", "bundled", **options)
    sound = rng.integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    changed = [change(*rng.choice(files, 2), rng) for _ in range(BATCH)]
    is_sound = rng.permutation(np.arange(BATCH + len(sound)) < len(sound))
    rest, good = iter(changed), iter(sound)
    X = [next(good) if whole else next(rest) for whole in is_sound]
    got = encoder.transform((list, tuple, pd.Series)[seed % 3](X))
    np.testing.assert_allclose(got[is_sound], encoder.transform(sound), atol=1e-4)
    of_changed = got[~is_sound]
    assert (np.isfinite(of_changed).all(axis=1) | np.isnan(of_changed).all(axis=1)).all()
    one = int(rng.integers(BATCH))
    np.testing.assert_allclose(of_changed[one], encoder.transform([changed[one]])[0], atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(15 * FACTOR))
def test_few_shots_of_any_length_and_weight_are_learnt_in_two_calls_as_in_one(seed):
    rng = np.random.default_rng([TODAY, seed])
    n_classes, width = int(rng.integers(1, 5)), int(rng.choice([3, 64, 128]))
    codes = np.repeat(np.arange(n_classes), rng.integers(1, 4, n_classes))
    means = 1 + rng.normal(size=(n_classes, width))
    # Not about 1e-5, up to which rows are one shot: which chains of rows are, then depends on the
    # calls.
    noise = 10 ** rng.choice([rng.uniform(-9, -6.5), rng.uniform(-4, -1)])
    X = (means[codes] + noise * rng.normal(size=(len(codes), width))) * 10 ** rng.uniform(-8, 8)
    weight = 10 ** rng.uniform(-3, 3, len(codes))
    params = {"label_noise": rng.choice([0.0, 0.2])}
    if rng.random() < 0.5:
        texts = {f"class {c}": mean + rng.normal(size=width) for c, mean in enumerate(means)}
        text = PrecomputedTextEncoder.from_joint(texts)
        params |= {"text_encoder": text, "class_names": dict(enumerate(texts))}
    whole = FewShotClassifier(**params).fit(X, codes, weight)
    parts, order = FewShotClassifier(**params), rng.permutation(len(codes))
    for rows in np.array_split(order, min(2, len(order))):
        parts.partial_fit(X[rows], codes[rows], sample_weight=weight[rows])
    pool = X[rng.integers(0, len(X), rng.choice([1, 2, 5, 200]))]
    pool = pool * (1 + rng.choice([0.0, 1e-3, 1.0]) * rng.normal(size=pool.shape))
    taught = whole.with_unlabeled(pool)
    np.testing.assert_allclose(parts.predict_proba(X), whole.predict_proba(X), atol=1e-4)
    for result in (taught.predict_proba(X), whole.score_samples(X), whole.p_values(X)):
        assert np.isfinite(result).all()
    if width > 3 and n_classes > 1:
        assert np.mean(whole.predict(X) == codes) > 0.9
        assert np.mean(taught.predict(X) == codes) > 0.9
