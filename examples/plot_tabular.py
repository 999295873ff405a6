"""
Tabular and image features together
===================================

A shop has a picture of each item, and its weight. `CLIPImageEncoder` is a scikit-learn transformer,
so both can go into one model. Either a `ColumnTransformer` puts both side by side, or two
classifiers vote.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, FewShotClassifier
from sksemobridge.datasets import load_emoji

# %%
# The pictures are real. The weights are random, around a typical weight for each class.
GRAMS = {
    "bird": 500,
    "clothing": 400,
    "drink": 400,
    "fruit": 150,
    "ground vehicle": 1e6,
    "mammal": 5e4,
}
GRAMS |= {"office supplies": 100, "tool": 1000}
emoji = load_emoji()
labels = emoji.target_names[emoji.target]
kept = np.flatnonzero(np.isin(labels, list(GRAMS)))
rng = np.random.default_rng(0)
frame = pd.DataFrame(
    {
        "image": list(emoji.images[kept]),
        "log_weight": [np.log(GRAMS[label]) + rng.normal(scale=0.7) for label in labels[kept]],
        "label": labels[kept],
    }
)
print(
    frame[["log_weight", "label"]]
    .groupby("label")
    .describe()["log_weight"][["count", "mean", "std"]]
    .round(1)
)


# %% There are four ways. Each takes the whole data frame, and selects its columns.
# `VotingClassifier` turns text labels into numbers, so the sorted names are given as `class_names`.
# The encoder keeps its embeddings in memory, so the splits below embed no image twice.
image = (CLIPImageEncoder("mini", "bundled"), ["image"])
weight = (StandardScaler(), ["log_weight"])
by_weight = make_pipeline(make_column_transformer(weight), LogisticRegression())
by_picture = make_pipeline(
    make_column_transformer(image),
    FewShotClassifier(CLIPTextEncoder("mini", "bundled"), class_names=sorted(GRAMS)),
)
ways = {
    "weight alone": by_weight,
    "picture alone": by_picture,
    "side by side": make_pipeline(make_column_transformer(image, weight), LogisticRegression()),
    "two that vote": VotingClassifier(
        [("weight", by_weight), ("picture", by_picture)], voting="soft"
    ),
}

# %% Four items of each class have a label. There are ten draws. Side by side, a linear model must
# learn from 129 columns with 32 labels. The vote uses the class names too, so it gains from both
# features.
draws = StratifiedShuffleSplit(10, train_size=4 * len(GRAMS), random_state=0)
scores = {name: cross_val_score(way, frame, frame["label"], cv=draws) for name, way in ways.items()}
for name, score in scores.items():
    print(f"{name:<15}{score.mean():>7.1%} ± {score.std(ddof=1) / np.sqrt(len(score)):.1%}")

figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ax.boxplot(list(scores.values()), tick_labels=list(scores), orientation="horizontal")
ax.invert_yaxis()
ax.set(xlabel="accuracy in ten draws", title="Four labelled items of each class")
plt.show()
