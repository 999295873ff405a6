"""
Held-out shots: doubtful labels, calibration and prediction sets
================================================================

To estimate its weights, the classifier leaves out each shot once. `store_held_out=True` keeps these
predictions. They need no test set, and no more time. Other tools can use them: the displays of
scikit-learn, cleanlab and MAPIE (`pip install cleanlab mapie`).
"""

import matplotlib.pyplot as plt
import numpy as np
from cleanlab.filter import find_label_issues
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, FewShotClassifier
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
X = CLIPImageEncoder("mini", "bundled").transform(emoji.images)
rng = np.random.default_rng(0)
order = {name: rng.permutation(np.flatnonzero(labels == name)) for name in NAMES}
shots = np.concatenate([order[name][:10] for name in NAMES])
queries = np.concatenate([order[name][10:] for name in NAMES])

# %%
# Five of a hundred labels are wrong.
given = np.repeat(np.arange(len(NAMES)), 10)
wrong = rng.permutation(len(given))[:5]
given[wrong] = (given[wrong] + rng.integers(1, len(NAMES), 5)) % len(NAMES)
classifier = FewShotClassifier(
    CLIPTextEncoder("mini", "bundled"), class_names=NAMES, store_held_out=True
)
classifier.fit(X[shots], given)
held_out = classifier.held_out_proba_

# %% cleanlab takes labels and held-out probabilities, and lists doubtful labels, the worst first. A
# person then looks at a few pictures instead of a hundred.
doubtful = find_label_issues(
    given, held_out, filter_by="both", return_indices_ranked_by="self_confidence"
)
found = np.isin(doubtful, wrong)
print(f"{len(doubtful)} labels are doubtful, {found.sum()} of them are wrong.")
print(f"precision {found.mean():.0%}, recall {found.sum() / len(wrong):.0%}")
figure, axes = plt.subplots(1, 8, figsize=(12, 2.2), layout="constrained")
for ax in axes:
    ax.set_axis_off()
for ax, i in zip(axes, doubtful):
    ax.imshow(emoji.images[shots[i]])
    ax.set_title(f"{NAMES[given[i]]}?" + ("\n(wrong)" if i in wrong else "\n"), fontsize=9)

# %% Now all labels are right. Which classes are confused? Are the probabilities calibrated? No test
# set is needed.
classifier.fit(X[shots], np.repeat(np.arange(len(NAMES)), 10))
held_out, y = classifier.held_out_proba_, np.repeat(np.arange(len(NAMES)), 10)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    y,
    held_out.argmax(axis=1),
    display_labels=NAMES,
    xticks_rotation="vertical",
    colorbar=False,
    ax=left,
)
is_right = held_out.argmax(axis=1) == y
probability = classifier.predict_proba(X[queries])
y_queries = np.concatenate([np.full(len(order[name]) - 10, i) for i, name in enumerate(NAMES)])
for name, rows, target in (
    ("held-out shots", held_out, y),
    ("other pictures", probability, y_queries),
):
    CalibrationDisplay.from_predictions(
        rows.argmax(axis=1) == target,
        rows.max(axis=1),
        n_bins=5,
        strategy="quantile",
        name=name,
        ax=right,
    )
print(
    f"Held-out shots: {is_right.mean():.0%} right; other pictures:"
    f" {classifier.score(X[queries], y_queries):.0%}."
)


# %% MAPIE predicts sets of classes. In nine of ten cases, the right class is in the set. MAPIE asks
# an estimator for probabilities of new pictures. We have these probabilities already, so our
# estimator takes them as features, and returns them.
class Given(ClassifierMixin, BaseEstimator):
    """A classifier of probabilities that were computed elsewhere."""

    def fit(self, X, y):
        self.classes_, self.n_features_in_ = np.arange(X.shape[1]), X.shape[1]
        return self

    def predict_proba(self, X):
        return X

    def predict(self, X):
        return X.argmax(axis=1)


conformal = SplitConformalClassifier(Given().fit(held_out, y), confidence_level=0.9, prefit=True)
_, sets = conformal.conformalize(held_out, y).predict_set(probability)
sets = sets[:, :, 0]
covered = sets[np.arange(len(y_queries)), y_queries]
print(
    f"The right class is in {covered.mean():.1%} of the sets, which hold"
    f" {sets.sum(axis=1).mean():.1f} classes."
)
plt.show()
