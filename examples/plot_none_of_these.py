"""
Images of no class
==================

A classifier gives every image one of its classes, even if the image shows something else.
`score_samples` says how typical an image is of the classes. `p_values` are low for images of none
of the classes.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, FewShotClassifier
from sksemobridge.datasets import load_emoji

KNOWN = ["bird", "clock", "clothing", "drink", "fruit", "ground vehicle", "heart", "mammal"]
emoji = load_emoji()
labels = emoji.target_names[emoji.target]
X = CLIPImageEncoder("mini", "bundled").transform(emoji.images)
rng = np.random.default_rng(0)
shots = np.concatenate([rng.permutation(np.flatnonzero(labels == name))[:8] for name in KNOWN])
queries = np.setdiff1d(np.arange(len(labels)), shots)
is_known = np.isin(labels[queries], KNOWN)

# %%
# A classifier for eight classes gets pictures of 29 classes.
classifier = FewShotClassifier(CLIPTextEncoder("mini", "bundled")).fit(X[shots], labels[shots])
scores = {
    "score_samples": classifier.score_samples(X[queries]),
    "largest probability": classifier.predict_proba(X[queries]).max(axis=1),
}
for name, score in scores.items():
    print(
        f"{name:<20} tells known from unknown with an area under the curve of"
        f" {roc_auc_score(is_known, score):.2f}"
    )

# %% If images with a p-value of at most `alpha` are rejected, about the share `alpha` of a known
# class's pictures is lost, in the mean over the classes.
p_values = classifier.p_values(X[queries])
alphas = np.array([0.02, 0.05, 0.1, 0.2, 0.3])
known_shares, other_shares = (
    [(p_values[rows] <= alpha).mean() for alpha in alphas] for rows in (is_known, ~is_known)
)
for alpha, known, other in zip(alphas, known_shares, other_shares):
    print(
        f"alpha {alpha:.2f}: {known:.0%} of the known and {other:.0%} of the others are none of"
        " these"
    )
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.plot(alphas, other_shares, marker="o", label="pictures of other classes")
ax.plot(alphas, known_shares, marker="o", label="pictures of the classes")
ax.plot(alphas, alphas, color="gray", linestyle="--", label="promised for the classes")
ax.set(xlabel="alpha", ylabel="share with a p-value of at most alpha", title="None of these")
ax.legend(loc="center left", bbox_to_anchor=(0.0, 0.38))
plt.show()
