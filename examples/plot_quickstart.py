"""
Quickstart: a few pictures of each class
========================================

A few labelled emoji pictures per class and the names of the classes make a classifier. Everything runs
offline, with the small CLIP and the pictures that ship with the package.
"""

import matplotlib
import numpy as np

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
# The pictures, and labels as text: the words are what CLIP knows of a class beforehand.
emoji = load_emoji()
labels = emoji.target_names[emoji.target]
print(
    f"{len(labels)} pictures in {len(emoji.target_names)} classes, such as {', '.join(emoji.target_names[:5])}"
)


def draw_shots(k, seed):
    """Indices of `k` pictures of each class, and of all others."""
    rng = np.random.default_rng(seed)
    shots = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == name))[:k] for name in emoji.target_names]
    )
    return shots, np.setdiff1d(np.arange(len(labels)), shots)


# %%
# One pipeline from pictures to predictions, learnt from four pictures of each class.
pipeline = make_semobridge_pipeline("mini", "bundled")
shots, queries = draw_shots(4, seed=0)
pipeline.fit(emoji.images[shots], labels[shots])
print(
    f"4 shots a class: {pipeline.score(emoji.images[queries], labels[queries]):.1%} of {len(queries)} are right"
)

# %%
# How much do shots help? Embeddings are computed once; the classifier is the pipeline's last step.
embeddings = CLIPImageEncoder("mini", "bundled").transform(emoji.images)
few_shot = pipeline[-1]
zero_shot = ZeroShotClassifier(CLIPTextEncoder("mini", "bundled")).fit(embeddings, labels)

print("\nshots  SeMoBridge  zero-shot  gain (mean of 10 draws, standard error of the paired difference)")
for k in (1, 2, 4, 8, 16):
    scores = []
    for seed in range(10):
        shots, queries = draw_shots(k, seed)
        few_shot.fit(embeddings[shots], labels[shots])
        scores.append([model.score(embeddings[queries], labels[queries]) for model in (few_shot, zero_shot)])
    few, zero = 100 * np.array(scores).T
    gain = few - zero
    print(
        f"{k:5d}  {few.mean():8.1f} %  {zero.mean():7.1f} %  {gain.mean():+5.1f} ± {gain.std(ddof=1) / 10**0.5:.1f}"
    )

# %%
# Some predictions with their probabilities, and the labelled pictures that are closest to each.
shots, queries = draw_shots(4, seed=0)
pipeline.fit(emoji.images[shots], labels[shots])
some = np.random.default_rng(1).choice(queries, 10, replace=False)
display = PredictionsDisplay.from_estimator(
    pipeline, emoji.images[some], labels[some], shots=emoji.images[shots], y_shots=labels[shots]
)
display.figure_.savefig("quickstart.png", dpi=100)
print("\nSome predictions are drawn in quickstart.png")
