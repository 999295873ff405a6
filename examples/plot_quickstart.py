"""
Quickstart: a folder of pictures gets its labels
=================================================

A folder of pictures, the names of the classes, and a few answers of a person make all labels. Here
the true labels answer. Everything runs offline, with the small CLIP model and the emoji in the
package. The results are in the new folder `quickstart`.
"""

import csv
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from sksemobridge import FewShotClassifier, ZeroShotClassifier, make_few_shot_pipeline
from sksemobridge.datasets import load_emoji
from sksemobridge.labelling import label_next

# Kinds of emoji that the small model knows about as well as CLIP knows photographs.
NAMES = np.array(
    [
        "arrow",
        "clock",
        "concerned face",
        "fruit",
        "geometric shape",
        "ground vehicle",
        "heart",
        "letter or word button",
        "mammal",
        "person",
    ]
)

# The plot goes into a file, so that no screen is needed.
matplotlib.use("Agg")
folder = Path("quickstart")
if folder.exists():
    folder = Path(tempfile.mkdtemp(prefix="quickstart-", dir="."))

# %%
# The pictures are files without labels. Their true labels play the person who is asked.
emoji = load_emoji()
labels = emoji.target_names[emoji.target]
kept = np.isin(labels, NAMES)
true = labels[kept]
photos = folder / "photos"
photos.mkdir(parents=True)
paths = [photos / f"{i:03d}.png" for i in range(len(true))]
for path, image in zip(paths, emoji.images[kept]):
    Image.fromarray(image).save(path)
print(f"{len(paths)} pictures of {len(NAMES)} classes, such as {', '.join(NAMES[:4])}")

# %% The pictures are embedded once. In each round the classifier learns from the names, from the
# answers so far, and from all other pictures. Then `label_next` says which pictures to ask for:
# half a label a class.
pipeline = make_few_shot_pipeline("mini", "bundled")
text_encoder = pipeline[-1].text_encoder
X = normalize(pipeline[:-1].transform(paths))
batch, n_rounds = len(NAMES) // 2, 7


def ours(known):
    if not known.any():
        return ZeroShotClassifier(text_encoder).fit(None, NAMES)
    return FewShotClassifier(text_encoder).partial_fit(X[known], true[known], classes=NAMES)


# Answers to hard questions may look wrong. These are right.
warnings.filterwarnings("ignore", ".* shots hardly count")
known, right = np.zeros(len(true), dtype=bool), []
for n in range(n_rounds):
    classifier = ours(known)
    predicted = classifier.with_unlabeled(X[~known]).predict(X)
    right.append(np.mean(known | (predicted == true)))
    print(
        f"{known.sum():3d} labels, {known.sum() / len(NAMES):.1f} a class: "
        f"{right[-1]:.1%} of the folder are right"
    )
    if n < n_rounds - 1:
        known[label_next(classifier, X, batch)] = True

# %% Scikit-learn's logistic regression knows no names. It asks for the pictures of which it is
# least sure, too.
warnings.filterwarnings("ignore", "The number of unique classes")
asked, right_of_regression = np.zeros(len(true), dtype=bool), []
asked[np.random.default_rng(0).permutation(len(true))[:batch]] = True
while not right_of_regression or right_of_regression[-1] < right[-1]:
    regression = LogisticRegression(C=10, max_iter=1000).fit(X[asked], true[asked])
    right_of_regression.append(np.mean(asked | (regression.predict(X) == true)))
    best = np.sort(regression.predict_proba(X), axis=1)
    asked[np.argsort(best[:, -1] - best[:, -2] + 2 * asked)[:batch]] = True
n_labels = batch * len(right_of_regression)
print(f"LogisticRegression needs {n_labels} labels for that")

figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for label, shares, first in (
    ("FewShotClassifier", right, 0),
    ("LogisticRegression", right_of_regression, 1),
):
    axes.plot(
        batch * (first + np.arange(len(shares))), 100 * np.array(shares), marker="o", label=label
    )
axes.set(
    xlabel="labels",
    ylabel="right in the whole folder (%)",
    title=f"{len(true)} emoji, with the toy model mini",
)
axes.legend()
figure.savefig(folder / "labels.png", dpi=100)

# %% The command does the same with the answers as a file. It writes the table of all labels, and a
# page for a browser.
with open(folder / "answers.csv", "w", newline="", encoding="utf-8") as file:
    csv.writer(file).writerows([("path", "label"), *zip(np.array(paths)[known], true[known])])
classes = folder / "classes.txt"
classes.write_text("\n".join(NAMES), encoding="utf-8")
options = {"classes": classes, "corrections": folder / "answers.csv", "model": "mini"}
results = {"out": folder / "labels.csv", "report": folder / "page.html"}
arguments = [f"--{name}={value}" for name, value in (options | results).items()]
command = [sys.executable, "-m", "sksemobridge", "label", photos, *arguments]
subprocess.run(command, check=True)
print(
    f"Look at {', '.join(str(folder / name) for name in ('labels.csv', 'page.html', 'labels.png'))}"
)
