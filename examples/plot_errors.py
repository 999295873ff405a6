"""
Looking at errors
=================

Which classes are taken for which, what the wrong pictures look like, and which comparison of the classifier led it
astray.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from sksemobridge import PredictionsDisplay, make_semobridge_pipeline
from sksemobridge.datasets import load_emoji

NAMES = ["bird", "clock", "clothing", "drink", "fruit", "mammal", "person", "sport equipment", "tool"]
emoji = load_emoji()
kept = np.isin(emoji.target_names[emoji.target], NAMES)
images, labels = emoji.images[kept], emoji.target_names[emoji.target[kept]]
rng = np.random.default_rng(0)
shots = np.concatenate([rng.permutation(np.flatnonzero(labels == name))[:4] for name in NAMES])
queries = np.setdiff1d(np.arange(len(labels)), shots)

pipeline = make_semobridge_pipeline("mini", "bundled").fit(images[shots], labels[shots])
predicted = pipeline.predict(images[queries])
probability = pipeline.predict_proba(images[queries]).max(axis=1)

# %%
# Which classes are taken for which?
figure, ax = plt.subplots(figsize=(6.5, 6), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    labels[queries], predicted, ax=ax, xticks_rotation="vertical", cmap="Blues", colorbar=False
)
ax.set_title("Four shots a class")
confusion = confusion_matrix(labels[queries], predicted, labels=NAMES)
np.fill_diagonal(confusion, 0)
true, taken = np.unravel_index(confusion.argmax(), confusion.shape)
print(f"Most often, {NAMES[true]} is taken for {NAMES[taken]}: {confusion.max()} times.")

# %%
# The errors that the classifier was most sure of, each with the shots that are closest to it. Where these are of
# the predicted class too, more varied shots of the right class help; where they look nothing like the picture,
# the model does not see what we see.
wrong = np.flatnonzero(predicted != labels[queries])
worst = wrong[np.argsort(-probability[wrong])][:6]
PredictionsDisplay.from_estimator(
    pipeline,
    images[queries[worst]],
    labels[queries[worst]],
    shots=images[shots],
    y_shots=labels[shots],
)

# %%
# What speaks for the predicted class and what for the right one? A logit is a sum over the affinities: `z1`
# compares with the words, `z2` and `z3` with the shots by way of the bridge, `z4` with the shots as images.
embeddings = pipeline[:-1].transform(images[queries[worst]])
classifier = pipeline[-1]
affinities = classifier.affinities(embeddings)
row = np.arange(len(worst))
right = np.searchsorted(classifier.classes_, labels[queries[worst]])
chosen = np.searchsorted(classifier.classes_, predicted[worst])
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
shares = {
    name: scale * (affinities[name][row, chosen] - affinities[name][row, right])
    for name, scale in classifier.blend_.items()
}
for i, (name, share) in enumerate(shares.items()):
    ax.bar(row + 0.2 * i, share, 0.2, label=name)
ax.axhline(0, color="black", linewidth=0.8)
names = [f"{a}\nfor {b}" for a, b in zip(predicted[worst], labels[queries[worst]])]
ax.set_xticks(row + 0.3, names, fontsize=8)
ax.set_title("What speaks for the wrong class (above zero) or the right one (below)")
ax.set_ylabel("difference of logits")
ax.legend()
plt.show()
