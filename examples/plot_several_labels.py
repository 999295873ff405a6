"""
Several labels for one picture
==============================

Pictures of two things, of which a few are tagged. `MultilabelFewShotClassifier` learns from these
and from the names of the tags, and says with which probability a picture has each tag.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, MultilabelFewShotClassifier
from sksemobridge.datasets import load_emoji

TAGS = ["bird", "clock", "drink", "fruit", "ground vehicle", "heart", "mammal", "person"]
emoji = load_emoji()
labels = emoji.target_names[emoji.target]

# %% Two emoji of different kinds lie side by side in each picture. No emoji is in a tagged picture
# and in a picture to test on.


def pairs(rows, n, rng):
    """Pictures of two things each, and their tags."""
    drawn = [rng.choice(rows, 2, replace=False) for _ in range(3 * n)]
    drawn = np.array([two for two in drawn if len({*labels[two]}) == 2])[:n]
    pictures = np.concatenate([emoji.images[drawn[:, 0]], emoji.images[drawn[:, 1]]], axis=2)
    square = np.pad(pictures, ((0, 0), (36, 36), (0, 0), (0, 0)), constant_values=255)
    return square, [{*labels[two].tolist()} for two in drawn]


rng = np.random.default_rng(0)
rows = rng.permutation(np.flatnonzero(np.isin(labels, TAGS)))
tagged, tags = pairs(rows[::2], 150, rng)
pictures, truth = pairs(rows[1::2], 200, rng)
encoder = CLIPImageEncoder("mini", "bundled")
X, queries = encoder.transform(tagged), encoder.transform(pictures)
is_there = np.array([[tag in picture for tag in TAGS] for picture in truth])

# %% More tagged pictures, and fewer. Each tag of scikit-learn's LogisticRegression is a model by
# itself, which knows no names.
NUMBERS = [15, 30, 60, 150]
text_encoder = CLIPTextEncoder("mini", "bundled")
precision = {"names and pictures": [], "pictures alone": [], "LogisticRegression": []}
for n in NUMBERS:
    Y = np.array([[tag in picture for tag in TAGS] for picture in tags[:n]])
    named = MultilabelFewShotClassifier(text_encoder, class_names=TAGS).fit(X[:n], Y)
    alone = MultilabelFewShotClassifier(class_names="ignore").fit(X[:n], Y)
    unit, unit_queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (X[:n], queries))
    models = [LogisticRegression(C=100, max_iter=1000).fit(unit, column) for column in Y.T]
    by_regression = np.column_stack([m.predict_proba(unit_queries)[:, 1] for m in models])
    values = named.predict_proba(queries), alone.predict_proba(queries), by_regression
    for name, probability in zip(precision, values):
        precision[name].append(average_precision_score(is_there, probability, average="macro"))
for name, values in precision.items():
    print(f"{name:<20}" + " ".join(f"{value:.1%}" for value in values))
print(f"macro F1 with {n} tagged pictures:")
for name, given in {
    "predict": named.predict(queries),
    "predict_together": named.predict_together(queries),
}.items():
    print(f"  {name:<18}{f1_score(is_there, given, average='macro'):.1%}")

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for name, values in precision.items():
    ax.plot(NUMBERS, values, marker="o", label=name)
ax.set(xscale="log", xlabel="tagged pictures", ylabel="mean average precision", xticks=NUMBERS)
ax.set_xticks(NUMBERS, NUMBERS)
ax.minorticks_off()
ax.legend()

# %% Some pictures with the probabilities of their tags. Tags that a picture has are dark, and the
# short lines are the thresholds of `predict`.
figure, axes = plt.subplots(
    2, 6, figsize=(12, 5.5), layout="constrained", height_ratios=[1, 1.6], sharey="row"
)
probability, place = named.predict_proba(queries), np.arange(len(TAGS))
for (top, bottom), i in zip(axes.T, range(6)):
    top.imshow(pictures[i][30:114])
    top.set_axis_off()
    colours = np.where(is_there[i], "tab:blue", "lightsteelblue")
    bottom.barh(place, probability[i], color=colours)
    bottom.plot(named.thresholds_, place, "|", color="black", markersize=9)
    bottom.set(yticks=place, yticklabels=TAGS, xlim=(0, 1), xlabel="probability")
    bottom.invert_yaxis() if i == 0 else None
plt.show()
