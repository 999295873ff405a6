"""
Closed form or trained
======================

`blend=PaperBlend()` is the classifier of the paper. In closed form, its bridge needs no training. `solver="lbfgs"` trains
the bridge on the shots. This takes seconds instead of milliseconds. The gain depends on the model and on the number of
shots. Draw the curve for your own data, and compare it with the default model.
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
# In these splits, the first `C` training rows are one shot of each class, the first `2 C` rows are two shots of each class,
# and so on. So scikit-learn's learning curve goes over the shots per class.
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
# Left: accuracy against number of shots. Right: loss against training step. The first fit embeds the words, untimed.
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
