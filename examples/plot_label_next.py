"""
What to label next
==================

There are hundreds of unlabelled pictures. Which of them should a person label? scikit-activeml chooses those with the least
certain predictions (`pip install scikit-activeml`). Is this better than a random choice?
"""

import matplotlib.pyplot as plt
import numpy as np
from skactiveml.classifier import SklearnClassifier
from skactiveml.pool import UncertaintySampling

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, SeMoBridgeClassifier
from sksemobridge.datasets import load_emoji

NAMES = [
    "bird",
    "building",
    "clock",
    "clothing",
    "drink",
    "fruit",
    "ground vehicle",
    "heart",
    "mammal",
    "person",
]
emoji = load_emoji()
labels = emoji.target_names[emoji.target]
kept = np.isin(labels, NAMES)
X = CLIPImageEncoder("mini", "bundled").transform(emoji.images[kept])
true = np.searchsorted(NAMES, labels[kept])

# %%
# scikit-activeml wraps estimators of scikit-learn. NaN marks labels that are not known yet. Labels are numbers here, and
# `class_names` gives their names. Classes without a shot are known by name, so the first round needs no shot of each class.
text_encoder = CLIPTextEncoder("mini", "bundled")
wrapped = SklearnClassifier(
    SeMoBridgeClassifier(text_encoder, class_names=NAMES), classes=np.arange(len(NAMES)), random_state=0
)
strategy = UncertaintySampling(method="margin_sampling", random_state=0)
BATCH, ROUNDS, DRAWS = 10, 4, 4


def run(seed, ask):
    """Accuracy on other pictures after each round; `ask(pool, y, rng)` returns rows of the pool."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(true))
    pool, test = order[::2], order[1::2]
    y = np.full(len(pool), np.nan)
    first = [np.flatnonzero(true[pool] == code)[0] for code in range(len(NAMES))]
    y[first] = true[pool[first]]
    accuracy = []
    for _ in range(ROUNDS):
        known = ~np.isnan(y)
        classifier = SeMoBridgeClassifier(text_encoder, class_names=NAMES)
        accuracy.append(classifier.fit(X[pool[known]], y[known].astype(int)).score(X[test], true[test]))
        asked = ask(X[pool], y, rng)
        y[asked] = true[pool[asked]]
    return accuracy


def uncertain(pool, y, rng):
    return strategy.query(pool, y, clf=wrapped, batch_size=BATCH)


def at_random(pool, y, rng):
    return rng.permutation(np.flatnonzero(np.isnan(y)))[:BATCH]


results = {
    "least certain": np.array([run(seed, uncertain) for seed in range(DRAWS)]),
    "at random": np.array([run(seed, at_random) for seed in range(DRAWS)]),
}

# %%
# Means over the draws, with standard errors.
n_labels = len(NAMES) + BATCH * np.arange(ROUNDS)
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for name, values in results.items():
    ax.errorbar(
        n_labels,
        values.mean(axis=0),
        values.std(axis=0, ddof=1) / DRAWS**0.5,
        marker="o",
        capsize=3,
        label=name,
    )
ax.set(
    xlabel="labels",
    ylabel="accuracy on other pictures",
    xticks=n_labels,
    title="Ten classes of the bundled pictures",
)
ax.legend()
plt.show()
for name, values in results.items():
    print(f"{name:<16}" + "".join(f"{value:>8.1%}" for value in values.mean(axis=0)))
difference = results["least certain"][:, 1:].mean(axis=1) - results["at random"][:, 1:].mean(axis=1)
print(f"difference, mean of the rounds: {100 * difference.mean():+.1f} points")
