"""
Pictures and a table
====================

A shop has a picture of each item, its weight and its material. The classifier of the pictures knows
names, and one of the table knows the rest. They are not put side by side: texts of names have no
columns for a weight. They vote, or a third classifier learns from both.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.compose import make_column_transformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, FewShotClassifier
from sksemobridge.datasets import load_emoji

# %%
# A table with a column of paths. The pictures are real. Weights and materials are drawn at random,
# around what is typical of a class.
GRAMS = {
    "bird": 500,
    "clothing": 400,
    "drink": 400,
    "fruit": 150,
    "ground vehicle": 1e6,
    "mammal": 5e4,
    "office supplies": 100,
    "tool": 1000,
}
MATERIALS = {"clothing": "textile", "drink": "glass", "ground vehicle": "metal", "tool": "metal"}
emoji = load_emoji()
labels = emoji.target_names[emoji.target]
kept = np.flatnonzero(np.isin(labels, list(GRAMS)))
rng = np.random.default_rng(0)
folder = Path(tempfile.mkdtemp())
rows = []
for i in kept:
    path, label = folder / f"{i}.png", labels[i]
    Image.fromarray(np.asarray(emoji.images[i])).save(path)
    usual = MATERIALS.get(label, "natural")
    material = usual if rng.random() < 0.7 else rng.choice(["textile", "glass", "metal", "natural"])
    weight = np.log(GRAMS[label]) + rng.normal(scale=0.7)
    rows.append({"path": str(path), "log_weight": weight, "material": material})
frame, y = pd.DataFrame(rows), labels[kept]
print(frame.drop(columns="path").groupby(y).first())

# %%
# Each classifier takes the whole table, and selects its columns. Voting and stacking number the
# labels, so the names of all are given as a sorted list. The encoder keeps its embeddings in
# memory, so the draws below embed no picture twice.
pictures = (CLIPImageEncoder("mini", "bundled"), ["path"])
table = [
    (StandardScaler(), ["log_weight"]),
    (OneHotEncoder(handle_unknown="ignore"), ["material"]),
]
by_picture = make_pipeline(
    make_column_transformer(pictures),
    FewShotClassifier(CLIPTextEncoder("mini", "bundled"), class_names=sorted(GRAMS)),
)
by_table = make_pipeline(make_column_transformer(*table), LogisticRegression())
both = [("pictures", by_picture), ("table", by_table)]
ways = {
    "table": by_table,
    "pictures": by_picture,
    "side by side": make_pipeline(make_column_transformer(pictures, *table), LogisticRegression()),
    "stack": StackingClassifier(both, LogisticRegression(), cv=4, stack_method="predict_proba"),
    "soft vote": VotingClassifier(both, voting="soft"),
}

# %%
# Four items of each class have a label. The four draws are the same for all ways. Side by side, a
# linear model without names learns from 133 columns with 32 labels. Each gain is over the pictures
# alone, with its standard error.
draws = []
for _ in range(4):
    train = [rng.choice(np.flatnonzero(y == name), 4, replace=False) for name in GRAMS]
    draws.append((np.concatenate(train), np.setdiff1d(np.arange(len(y)), train)))
scores = {name: cross_val_score(way, frame, y, cv=draws) for name, way in ways.items()}
for name, score in scores.items():
    gain = score - scores["pictures"]
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    print(f"{name:<13}{score.mean():>6.1%}   {100 * gain.mean():+5.1f} ± {100 * error:.1f} points")

figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
ax.boxplot(list(scores.values()), tick_labels=list(scores), orientation="horizontal")
ax.invert_yaxis()
ax.set(xlabel="accuracy in four draws", title="Four labelled items of each class")
plt.show()
