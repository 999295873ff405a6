"""
Quickstart: a few pictures of each class
========================================

A few labelled emoji pictures of each class, and the names of the classes, make a classifier. Everything runs
offline, with the small CLIP model and the pictures in the package.
"""

import warnings

import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    PredictionsDisplay,
    ZeroShotClassifier,
    make_semobridge_pipeline,
)
from sksemobridge.datasets import load_emoji

# The plot goes into a file, so that no screen is needed.
matplotlib.use("Agg")

# %%
# The pictures, and their labels as text. CLIP reads these words.
emoji = load_emoji()
labels = emoji.target_names[emoji.target]
print(
    f"{len(labels)} pictures in {len(emoji.target_names)} classes, such as {', '.join(emoji.target_names[:5])}"
)


def draw_shots(labels, k, seed):
    """Indices of `k` pictures of each class, and of all others."""
    rng = np.random.default_rng(seed)
    shots = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == name))[:k] for name in np.unique(labels)]
    )
    return shots, np.setdiff1d(np.arange(len(labels)), shots)


# %%
# One pipeline goes from pictures to predictions. It learns from four pictures of each class.
pipeline = make_semobridge_pipeline("mini", "bundled")
shots, queries = draw_shots(labels, 4, seed=0)
pipeline.fit(emoji.images[shots], labels[shots])
accuracy = pipeline.score(emoji.images[queries], labels[queries])
print(f"4 shots a class: {accuracy:.1%} of {len(queries)} are right")

# %%
# How much do shots help? This depends on the names. In a second task, the pictures are handwritten digits. This small
# model cannot read, so a picture of a digit says more than its name.
digits = load_digits()
pixels = np.round(digits.images / 16 * 255).astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
tasks = {
    f"emoji, {len(emoji.target_names)} classes": (emoji.images, labels),
    "handwritten digits, 10 classes": (list(pixels), names[digits.target]),
}

# %%
# Embeddings are computed once. All three classifiers use them.
warnings.filterwarnings("ignore", "The number of unique classes")  # one shot of each class is intended
encoder = CLIPImageEncoder("mini", "bundled")
models = {
    "SeMoBridge": pipeline[-1],
    "zero-shot": ZeroShotClassifier(CLIPTextEncoder("mini", "bundled")),
    "LogisticRegression": LogisticRegression(C=10),
}
for title, (images, y) in tasks.items():
    embeddings = encoder.transform(images)
    unit = normalize(embeddings)
    print(f"\n{title} (mean accuracy of 10 draws)")
    print("shots", *(f"{name:>18}" for name in models), "  gain over zero-shot ± standard error", sep="  ")
    for k in (1, 2, 4, 8, 16):
        scores = []
        for seed in range(10):
            shots, queries = draw_shots(y, k, seed)
            scores.append(
                [
                    model.fit(unit[shots], y[shots]).score(unit[queries], y[queries])
                    for model in models.values()
                ]
            )
        scores = 100 * np.array(scores)
        gain = scores[:, 0] - scores[:, 1]  # on the same draws
        columns = (f"{score:16.1f} %" for score in scores.mean(axis=0))
        print(f"{k:5d}", *columns, f"{gain.mean():+8.1f} ± {gain.std(ddof=1) / 10**0.5:.1f}", sep="  ")

# %%
# The plot shows twelve predictions with their probabilities, and the closest labelled pictures. The accuracy of these twelve
# is that of all queries.
shots, queries = draw_shots(labels, 4, seed=0)
pipeline.fit(emoji.images[shots], labels[shots])
is_right = pipeline.predict(emoji.images[queries]) == labels[queries]
n_right = round(12 * is_right.mean())
rng = np.random.default_rng(0)
some = np.concatenate(
    [rng.choice(queries[is_right], n_right, False), rng.choice(queries[~is_right], 12 - n_right, False)]
)
some = rng.permutation(some)
display = PredictionsDisplay.from_estimator(
    pipeline, emoji.images[some], labels[some], shots=emoji.images[shots], y_shots=labels[shots]
)
display.figure_.savefig("quickstart.png", dpi=100)
print("\nSome predictions are drawn in quickstart.png")
