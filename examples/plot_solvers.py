"""
Closed form or trained
======================

With `blend=PaperBlend()` the classifier is the paper's. Its bridge in closed form needs no training. `solver="lbfgs"`
trains it on the shots, which costs seconds instead of milliseconds. What that gains depends on the model and the number
of shots: draw the curve for your data, beside that of the default model.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import LearningCurveDisplay, learning_curve

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, PaperBlend, SeMoBridgeClassifier
from sksemobridge.datasets import load_emoji

emoji = load_emoji()
kept = np.isin(emoji.target, np.arange(0, 29, 3))
labels = emoji.target_names[emoji.target[kept]]
classes = np.unique(labels)
X = CLIPImageEncoder("mini", "bundled").transform(emoji.images[kept])

# %%
# Splits whose training rows go round the classes: the first `C` rows are one shot of each class, the first
# `2 C` two, and so on. scikit-learn's learning curve then counts in shots a class.
SHOTS = np.array([1, 2, 4, 8])


def split(seed):
    rng = np.random.default_rng(seed)
    shots = np.array([rng.permutation(np.flatnonzero(labels == name))[: SHOTS[-1]] for name in classes])
    train = shots.T.ravel()
    return train, np.setdiff1d(np.arange(len(labels)), train)


splits = [split(seed) for seed in range(4)]
text_encoder = CLIPTextEncoder("mini", "bundled")
classifiers = {"default": SeMoBridgeClassifier(text_encoder)} | {
    name: SeMoBridgeClassifier(text_encoder, blend=PaperBlend(), solver=name)
    for name in ("closed_form", "lbfgs")
}

# %%
# Accuracy against shots, and what each step of training does to the loss. One fit first: words are embedded once.
classifiers["default"].fit(X, labels)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for name, classifier in classifiers.items():
    start = time.perf_counter()
    _, train_scores, test_scores = learning_curve(
        classifier, X, labels, train_sizes=SHOTS * len(classes), cv=splits
    )
    seconds = time.perf_counter() - start
    LearningCurveDisplay(
        train_sizes=SHOTS, train_scores=train_scores, test_scores=test_scores, score_name="Accuracy"
    ).plot(ax=left, score_type="test")
    left.lines[-1].set_label(name)
    print(f"{name:<12} {seconds:5.1f} s for 16 fits;", end=" ")
    print("accuracy", ", ".join(f"{k}: {score:.1%}" for k, score in zip(SHOTS, test_scores.mean(axis=1))))
left.set(title="Held-out accuracy (4 draws, band: one deviation)", xlabel="shots a class", xscale="log")
left.set_xticks(SHOTS, SHOTS, minor=False)
left.minorticks_off()
left.legend()

trained = classifiers["lbfgs"].fit(X[splits[0][0]], labels[splits[0][0]])
right.plot(trained.loss_curve_)
right.set(title="Training loss of solver='lbfgs', 8 shots a class", xlabel="iteration", ylabel="loss")
plt.show()
