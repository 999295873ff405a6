"""
Images without a label
======================

You often have one labelled picture of a class, and many unlabelled pictures. `with_unlabeled` also
learns from these.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.semi_supervised import SelfTrainingClassifier

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, FewShotClassifier, ZeroShotClassifier
from sksemobridge.datasets import load_emoji

# Certain predictions of self-training are shots, and some emoji are nearly the same.
warnings.filterwarnings("ignore", ".* shots are near copies")
emoji = load_emoji()
labels = emoji.target_names[emoji.target]
X = CLIPImageEncoder("mini", "bundled").transform(emoji.images)
text_encoder = CLIPTextEncoder("mini", "bundled")

# %% Some pictures of each class are shots. Half of the others are unlabelled. The other half are
# for the test, so the test pictures are new.
SHOTS = [0, 1, 2, 4]
DRAWS = 5


def draw(k, seed):
    """Rows of shots, of pictures without a label and of those to test on."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    is_shot = np.zeros(len(labels), dtype=bool)
    for name in emoji.target_names:
        is_shot[order[labels[order] == name][:k]] = True
    rest = order[~is_shot[order]]
    return np.flatnonzero(is_shot), rest[::2], rest[1::2]


def self_training(shots, pool):
    """For comparison: scikit-learn's self-training uses confident predictions as labels, and fits
    again, three times.
    """
    classifier = FewShotClassifier(text_encoder, class_names=emoji.target_names.tolist())
    y = np.concatenate([emoji.target[shots], np.full(len(pool), -1)])
    return SelfTrainingClassifier(classifier, threshold=0.9, max_iter=3).fit(
        X[np.concatenate([shots, pool])], y
    )


accuracy = {
    name: np.full((len(SHOTS), DRAWS), np.nan)
    for name in ("labels only", "self-training", "with_unlabeled")
}
for i, k in enumerate(SHOTS):
    for seed in range(DRAWS):
        shots, pool, test = draw(k, seed)
        if k == 0:
            classifier = ZeroShotClassifier(text_encoder).fit(None, emoji.target_names)
        else:
            classifier = FewShotClassifier(text_encoder).fit(X[shots], labels[shots])
            accuracy["self-training"][i, seed] = self_training(shots, pool).score(
                X[test], emoji.target[test]
            )
        accuracy["labels only"][i, seed] = classifier.score(X[test], labels[test])
        taught = classifier.with_unlabeled(X[pool])
        accuracy["with_unlabeled"][i, seed] = taught.score(X[test], labels[test])

# %% Means over the draws. The gain depends on the task. It is larger if the model predicts some
# classes too often, and if the classes are well separated.
print(f"{'shots a class':<16}" + "".join(f"{name:>16}" for name in accuracy))
for i, k in enumerate(SHOTS):
    print(f"{k:<16}" + "".join(f"{values[i].mean():>16.1%}" for values in accuracy.values()))

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for name, values in accuracy.items():
    ax.errorbar(
        SHOTS,
        values.mean(axis=1),
        values.std(axis=1, ddof=1) / DRAWS**0.5,
        marker="o",
        capsize=3,
        label=name,
    )
ax.set(
    xticks=SHOTS,
    xlabel="shots a class (0: names alone)",
    ylabel="accuracy",
    title="29 classes of the bundled pictures",
)
ax.legend()
plt.show()
