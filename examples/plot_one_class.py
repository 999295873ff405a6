"""
One class against everything else
=================================

You have four pictures of the thing you search for, and forty pictures of other things. No word
describes "everything else". So this class has the name None, which means no text.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import PrecisionRecallDisplay, average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, FewShotClassifier
from sksemobridge.datasets import load_emoji

emoji = load_emoji()
labels = emoji.target_names[emoji.target]
X = CLIPImageEncoder("mini", "bundled").transform(emoji.images)
text_encoder = CLIPTextEncoder("mini", "bundled")
WANTED = ["clock", "heart", "mammal"]

# %%
# Each of three classes is wanted in turn.
figure, axes = plt.subplots(1, len(WANTED), figsize=(12, 4.3), layout="constrained", sharey=True)
for ax, name in zip(axes, WANTED):
    rng = np.random.default_rng(0)
    its, others = (
        rng.permutation(np.flatnonzero(mask)) for mask in (labels == name, labels != name)
    )
    shots = np.concatenate([its[:4], others[:40]])
    queries = np.concatenate([its[4:], others[40:]])
    y = np.where(labels == name, name, "other")
    is_wanted = y[queries] == name
    for kind, classifier in {
        "FewShotClassifier": FewShotClassifier(
            text_encoder, class_names={name: name, "other": None}
        ),
        "LogisticRegression": make_pipeline(Normalizer(), LogisticRegression()),
    }.items():
        classifier.fit(X[shots], y[shots])
        p = classifier.predict_proba(X[queries])[:, list(classifier.classes_).index(name)]
        PrecisionRecallDisplay.from_predictions(is_wanted, p, ax=ax, name=kind)
        print(f"{name:<8} {kind:<20} average precision {average_precision_score(is_wanted, p):.2f}")
    ax.set_title(f"{name}, {is_wanted.sum()} of {len(queries)} pictures")
plt.show()
