"""
Looking at errors
=================

Which classes are taken for which, what the wrong pictures look like, and which comparison led the classifier astray.
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
#
# The bars say why: what speaks for the predicted class (above zero) or for the right one (below). A logit is a sum over
# comparisons with the name of the class, with the shots by way of the bridge, with the shots as images, and a
# correction that is learnt for each class.
wrong = np.flatnonzero(predicted != labels[queries])
worst = wrong[np.argsort(-probability[wrong])][:6]
PredictionsDisplay.from_estimator(
    pipeline,
    images[queries[worst]],
    labels[queries[worst]],
    shots=images[shots],
    y_shots=labels[shots],
    why=True,
)
plt.show()
