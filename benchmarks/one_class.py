"""One class against everything else, and several labels an image, on the bundled pictures through the bundled model.

    python benchmarks/one_class.py [--draws 3]

One class: four pictures of it and forty of all others are the shots, all other pictures the queries. Printed are means
over the classes and draws of the area under the ROC curve and the average precision, in percent, and the standard error
of the difference in average precision to the first line.

Several labels: pictures of two half-sized pictures side by side carry both labels; the shots are as many such pictures
for each of eight labels. Printed is the mean over the labels of the average precision.
"""

import argparse
import warnings

import numpy as np
import tasks
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sksemobridge import CLIPImageEncoder, SeMoBridgeClassifier
from sksemobridge.datasets import load_emoji

POSITIVES, NEGATIVES = 4, 40
LABELS = ["bird", "clock", "clothing", "drink", "fruit", "ground vehicle", "mammal", "tool"]
PAIRS, SHOTS = 400, 64


def on_unit_rows(estimator):
    return make_pipeline(Normalizer(), estimator)


def one_class_methods(text_encoder, name):
    def ours(class_names):
        return SeMoBridgeClassifier(text_encoder, class_names=class_names)

    return {
        "class_names={name: name, 'other': None}": ours({name: name, "other": None}),
        "'other' told as 'not of interest'": ours({name: name, "other": "not of interest"}),
        "class_names='ignore'": ours("ignore"),
        "LogisticRegression": on_unit_rows(LogisticRegression()),
        "LogisticRegression, balanced": on_unit_rows(LogisticRegression(class_weight="balanced", C=100)),
    }


def one_class(task, draws):
    """Areas and precisions, arrays `(n, 2)` by method."""
    results = {}
    for name in np.unique(task.y):
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            its, others = (rng.permutation(np.flatnonzero(mask)) for mask in (task.y == name, task.y != name))
            shots = np.concatenate([its[:POSITIVES], others[:NEGATIVES]])
            queries = np.concatenate([its[POSITIVES:], others[NEGATIVES:]])
            labels, is_it = np.where(task.y == name, name, "other"), task.y[queries] == name
            for method, estimator in one_class_methods(task.text_encoder, name).items():
                estimator.fit(task.X[shots], labels[shots])
                p = estimator.predict_proba(task.X[queries])[:, list(estimator.classes_).index(name)]
                row = roc_auc_score(is_it, p), average_precision_score(is_it, p)
                results.setdefault(method, []).append(100 * np.array(row))
    return {method: np.array(rows) for method, rows in results.items()}


def pairs_of_pictures(rng):
    """Pictures with two labels, and their labels `(n, 8)` as zeros and ones."""
    emoji = load_emoji()
    names = emoji.target_names[emoji.target]
    pictures, labels = [], np.zeros((PAIRS, len(LABELS)), dtype=int)
    for i in range(PAIRS):
        two = rng.choice(len(LABELS), 2, replace=False)
        labels[i, two] = 1
        size = emoji.images[0].shape[0]
        canvas = Image.new("RGB", (size, size), "white")
        for side, code in enumerate(two):
            of_label = np.flatnonzero(names == LABELS[code])
            half = Image.fromarray(emoji.images[rng.choice(of_label)]).resize((size // 2, size // 2))
            canvas.paste(half, (side * size // 2, size // 4))
        pictures.append(canvas)
    return pictures, labels


def several_labels(text_encoder):
    """Mean average precision in percent by method."""
    pictures, labels = pairs_of_pictures(np.random.default_rng(0))
    X = CLIPImageEncoder("mini", "bundled").transform(pictures)
    ours = SeMoBridgeClassifier(text_encoder, class_names="ignore")
    logistic = on_unit_rows(LogisticRegression())
    one_each = [
        SeMoBridgeClassifier(text_encoder, class_names={0: None, 1: name}).fit(X[:SHOTS], labels[:SHOTS, i])
        for i, name in enumerate(LABELS)
    ]
    scores = {
        "a classifier for each label, with its name": np.stack(
            [classifier.predict_proba(X[SHOTS:])[:, 1] for classifier in one_each], axis=1
        ),
        "OneVsRestClassifier(SeMoBridgeClassifier)": OneVsRestClassifier(ours)
        .fit(X[:SHOTS], labels[:SHOTS])
        .predict_proba(X[SHOTS:]),
        "MultiOutputClassifier(SeMoBridgeClassifier)": np.stack(
            [
                p[:, 1]
                for p in MultiOutputClassifier(ours).fit(X[:SHOTS], labels[:SHOTS]).predict_proba(X[SHOTS:])
            ],
            axis=1,
        ),
        "OneVsRestClassifier(LogisticRegression)": OneVsRestClassifier(logistic)
        .fit(X[:SHOTS], labels[:SHOTS])
        .predict_proba(X[SHOTS:]),
    }
    return {
        name: 100 * average_precision_score(labels[SHOTS:], p, average="macro") for name, p in scores.items()
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, default=3)
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    task = tasks.emoji()
    results = one_class(task, args.draws)
    first = next(iter(results.values()))[:, 1]
    print("| one class, 4 positives and 40 negatives | area | average precision | difference |")
    print("| --- | ---: | ---: | ---: |")
    for method, rows in results.items():
        area, precision = rows.mean(axis=0)
        difference = rows[:, 1] - first
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        print(f"| {method} | {area:.1f} | {precision:.1f} | {difference.mean():+.1f} ± {error:.1f} |")
    print(f"\n| two labels an image, {SHOTS} shots | mean average precision |")
    print("| --- | ---: |")
    for name, precision in several_labels(task.text_encoder).items():
        print(f"| {name} | {precision:.1f} |")


if __name__ == "__main__":
    main()
