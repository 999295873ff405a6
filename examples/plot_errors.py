"""
Looking at errors
=================

Which classes are confused? What do these pictures look like? Which labels of the shots may be
wrong?
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from sksemobridge import PredictionsDisplay, make_few_shot_pipeline
from sksemobridge.datasets import load_emoji

# Some labels are wrong on purpose, and `fit` warns of them.
warnings.filterwarnings("ignore", ".* shots hardly count")
NAMES = [
    "bird",
    "clock",
    "clothing",
    "drink",
    "fruit",
    "mammal",
    "person",
    "sport equipment",
    "tool",
]
emoji = load_emoji()
kept = np.isin(emoji.target_names[emoji.target], NAMES)
images, labels = emoji.images[kept], emoji.target_names[emoji.target[kept]]
rng = np.random.default_rng(0)
shots = np.concatenate([rng.permutation(np.flatnonzero(labels == name))[:4] for name in NAMES])
queries = np.setdiff1d(np.arange(len(labels)), shots)

pipeline = make_few_shot_pipeline("mini", "bundled").fit(images[shots], labels[shots])
predicted = pipeline.predict(images[queries])
probability = pipeline.predict_proba(images[queries]).max(axis=1)

# %%
# Which classes are confused?
figure, ax = plt.subplots(figsize=(6.5, 6), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    labels[queries], predicted, ax=ax, xticks_rotation="vertical", cmap="Blues", colorbar=False
)
ax.set_title("Four shots a class")
confusion = confusion_matrix(labels[queries], predicted, labels=NAMES)
np.fill_diagonal(confusion, 0)
true, taken = np.unravel_index(confusion.argmax(), confusion.shape)
print(f"Most often, {NAMES[true]} is taken for {NAMES[taken]}: {confusion.max()} times.")

# %% The plot shows the errors with the highest probability, and the shots that are closest to each.
# If these shots have the predicted class too, add more varied shots of the right class. If they do
# not look like the picture, the model does not see what we see.
wrong = np.flatnonzero(predicted != labels[queries])
worst = wrong[np.argsort(-probability[wrong])][:6]
PredictionsDisplay.from_estimator(
    pipeline,
    images[queries[worst]],
    labels[queries[worst]],
    shots=images[shots],
    y_shots=labels[shots],
)

# %% Perhaps shots have wrong labels. Here, five of the 36 do. `label_proba_` is the probability
# that a label is right. Shots with doubtful labels count less. A person should look at those with
# the lowest values.
given = labels[shots].copy()
planted = rng.permutation(len(shots))[:5]
given[planted] = np.roll(NAMES, 1)[np.searchsorted(NAMES, given[planted])]
careful = make_few_shot_pipeline("mini", "bundled").fit(images[shots], given)
right = careful[-1].label_proba_

figure, axes = plt.subplots(1, 8, figsize=(12, 2.4), layout="constrained")
for ax, i in zip(axes, np.argsort(right)):
    ax.imshow(images[shots[i]])
    ax.set_axis_off()
    mark = "wrong" if i in planted else "right"
    ax.set_title(f"{given[i]}?\n{right[i]:.2f} ({mark})", fontsize=9)
figure.suptitle("Labels that are most likely wrong")
plt.show()

trusting = make_few_shot_pipeline("mini", "bundled", label_noise=0).fit(images[shots], given)
for name, model in (("all labels trusted", trusting), ("default", careful)):
    print(
        f"{name}: {model.score(images[queries], labels[queries]):.1%} of the other pictures are"
        " right"
    )
