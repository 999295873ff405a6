"""Draw the picture at the top of the README: what goes in and what comes out, with the bundled model.

python tools/draw_overview.py docs/images/overview.png
"""

import sys

import matplotlib
import numpy as np

from sksemobridge import make_semobridge_pipeline
from sksemobridge.datasets import load_emoji

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

NAMES = ("clock", "fruit", "ground vehicle", "mammal")
SHOTS, QUERIES = 3, 4


def show(ax, picture):
    ax.imshow(picture)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def main(output):
    emoji = load_emoji()
    labels = emoji.target_names[emoji.target]
    rng = np.random.default_rng(1)
    order = [rng.permutation(np.flatnonzero(labels == name)) for name in NAMES]
    shots = np.array([rows[:SHOTS] for rows in order])
    queries = np.concatenate([rows[SHOTS : SHOTS + QUERIES // 2] for rows in order])
    queries = rng.permutation(queries).reshape(-1, QUERIES)
    pipeline = make_semobridge_pipeline("mini", "bundled")
    pipeline.fit(emoji.images[shots.ravel()], labels[shots.ravel()])

    figure = plt.figure(figsize=(10, 4.2), layout="constrained")
    left, middle, right = figure.subfigures(1, 3, width_ratios=[3.6, 2, 4.8])
    left.suptitle("a few labelled pictures, and the names")
    for row, name, rows in zip(left.subplots(len(NAMES), SHOTS), NAMES, shots):
        for ax, i in zip(row, rows):
            show(ax, emoji.images[i])
        row[0].set_ylabel(name.replace(" ", "\n"), rotation=0, ha="right", va="center", fontsize=11)
    middle.text(0.5, 0.6, "CLIP and one\nlinear classifier", ha="center", va="center", fontsize=11)
    middle.text(0.5, 0.42, "fit → predict", ha="center", va="center", family="monospace", fontsize=11)
    arrow = {"arrowstyle": "simple", "color": "tab:blue"}
    middle.add_subplot().set_axis_off()
    middle.axes[0].annotate("", (1, 0.5), (0, 0.5), xycoords="axes fraction", arrowprops=arrow)
    right.suptitle("predictions with probabilities")
    for ax, i in zip(right.subplots(*queries.shape).flat, queries.ravel()):
        probability = pipeline.predict_proba(emoji.images[[i]])[0]
        name = pipeline.classes_[probability.argmax()]
        show(ax, emoji.images[i])
        color = "tab:green" if name == labels[i] else "tab:red"
        ax.set_title(f"{name}\n{probability.max():.0%}", fontsize=10, color=color)
    figure.savefig(output, dpi=100)
    print(output)


if __name__ == "__main__":
    main(sys.argv[1])
