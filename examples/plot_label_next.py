"""
What to label next
==================

A folder of pictures, the names of its classes, and no label yet. `label_next` says which pictures a
person should label. Here the true labels answer. How many of all pictures have the right label
after each round? A picture that was answered is right, the others are predicted.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, FewShotClassifier, ZeroShotClassifier
from sksemobridge.datasets import load_emoji
from sksemobridge.labelling import label_next

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
X, labels = CLIPImageEncoder("mini", "bundled").transform(emoji.images[kept]), labels[kept]
text_encoder = CLIPTextEncoder("mini", "bundled")
BATCH = 10
ROUNDS = 6


# %% The first round has names only. After each answer the classifier learns from the shots, and
# from all pictures. The names of the classes without a shot are added by `with_classes`.
def fit(known):
    if not len(known):
        return ZeroShotClassifier(text_encoder).fit(None, NAMES)
    classifier = FewShotClassifier(text_encoder, label_noise=0).fit(X[known], labels[known])
    return classifier.with_classes(NAMES)


def share_right(predicted, known):
    predicted[known] = labels[known]
    return np.mean(predicted == labels)


def by_label_next():
    known = np.array([], dtype=int)
    for _ in range(ROUNDS):
        classifier = fit(known)
        yield share_right(classifier.with_unlabeled(X).predict(X), known)
        known = np.append(known, label_next(classifier, X, BATCH))


# %% The alternatives are random pictures for the same classifier, and logistic regression, which
# asks for its least certain pictures after a first random round.
def at_random(seed):
    order = np.random.default_rng(seed).permutation(len(X))
    for n in BATCH * np.arange(ROUNDS):
        yield share_right(fit(order[:n]).with_unlabeled(X).predict(X), order[:n])


def by_logistic_regression(seed):
    unit, known = normalize(X), np.random.default_rng(seed).permutation(len(X))[:BATCH]
    yield np.nan
    for _ in range(ROUNDS - 1):
        model = LogisticRegression(C=10, max_iter=1000).fit(unit[known], labels[known])
        yield share_right(model.predict(unit), known)
        best = np.sort(model.predict_proba(unit), axis=1)
        margin = best[:, -1] - best[:, -2]
        margin[known] = np.inf
        known = np.append(known, margin.argsort()[:BATCH])


results = {
    "label_next": np.array(list(by_label_next())),
    "at random": np.mean([list(at_random(seed)) for seed in range(3)], axis=0),
    "LogisticRegression": np.mean(
        [list(by_logistic_regression(seed)) for seed in range(3)], axis=0
    ),
}

# %%
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
n_labels = BATCH * np.arange(ROUNDS)
print(f"{'labels':<20}" + "".join(f"{n:>8}" for n in n_labels))
for name, values in results.items():
    ax.plot(n_labels, values, marker="o", label=name)
    print(
        f"{name:<20}"
        + "".join(" " * 8 if np.isnan(value) else f"{value:>8.1%}" for value in values)
    )
ax.set(
    xlabel="labels",
    ylabel="pictures with the right label",
    xticks=n_labels,
    title=f"{len(X)} bundled pictures of ten classes",
)
ax.legend()
plt.show()
