"""The bridge learnt from words, on embeddings of real images: search, and few shots without class texts.

    python benchmarks/bridge.py --tasks FOLDER --vocabulary vocabulary_vit_b32.npz

FOLDER holds one npz file a task: `images (n, D)`, `labels (n,)`, `class_names (C,)` and, where known, the
joint-space class texts `text (C, D)`. A vocabulary holds `texts` ("a X") and their joint-space embeddings `text`.
With several vocabularies each task takes the one of its width. The names of a task's own classes are left out
of the words.

Search, mean average precision in percent, every image a query among all others (at most 2,500 images):

- as it is: cosines of the embeddings;
- centred: less the mean of the gallery;
- PCA: the gallery's principal components, as many as the span has directions;
- one side: as in the paper, the query alone is projected, nothing is centred;
- both sides: queries and gallery centred and projected;
- half the words: the same with half of the words left out at random;
- task: the same with the span of the class texts.

Few shots without class texts: the classifier as it is and with the words, accuracy in percent (log loss). Draws
are `default_rng(3000 + s)`, `permutation(rows)[:K]` for each class in order; all other images are queries.
"""

import argparse
import re
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import log_loss

from sksemobridge import SeMoBridgeClassifier, mean_average_precision
from sksemobridge._method.spans import RunningMean, Span, class_balanced_mean, span_of_texts
from sksemobridge._utils.array_api import l2_normalize

MAX_IMAGES = 2500
FEW_SHOT_TASKS = ("caltech101", "dtd", "fashion", "imagenet_151_269", "oxford_flowers")


def forms(name):
    """The ways to write a name that count as the same: case, `_`, `-`, a leading number, a plural s."""
    name = re.sub("[_-]", " ", str(name).lower()).strip()
    written = {name, re.sub(r"^\d+ +", "", name)}
    return written | {form.removesuffix("s") for form in written}


def without_own_names(vocabulary, class_names):
    """Embeddings of the words that do not name a class."""
    own = set().union(*map(forms, class_names))
    other = [not forms(re.sub("^an? ", "", str(text))) & own for text in vocabulary["texts"]]
    return vocabulary["text"][other].astype(np.float64)


def search(task, words):
    """The rank of the words' span, and mean average precision by the way to search."""
    X, y = task["images"].astype(np.float64), task["labels"]
    chosen = np.random.default_rng(0).permutation(len(X))[:MAX_IMAGES]
    X, y = X[chosen], y[chosen]
    mean, basis = RunningMean().add(X).mean, span_of_texts(words)
    half = np.random.default_rng(0).permutation(len(words))[: len(words) // 2]

    def both(query, gallery=None):
        return 100 * mean_average_precision(
            query, query if gallery is None else gallery, y, y, exclude_self=True
        )

    result = {
        "as it is": both(X),
        "centred": both(Span(None, mean).apply(X)),
        "PCA": both(PCA(basis.shape[1], svd_solver="full").fit_transform(l2_normalize(X))),
        "one side": both(Span(basis).apply(X), X),
        "both sides": both(Span(basis, mean).apply(X)),
        "half the words": both(Span(span_of_texts(words[half]), mean).apply(X)),
    }
    if "text" in task:
        result["task"] = both(Span(span_of_texts(task["text"].astype(np.float64)), mean).apply(X))
    return basis.shape[1], result


def few_shot(task, words, k, n_draws):
    """Accuracy and log loss `(2, 2)` without and with the words, mean of the draws; None with too few images."""
    X, y = task["images"].astype(np.float64), task["labels"]
    classes, counts = np.unique(y, return_counts=True)
    if counts.min() < k + 2:
        return None
    basis, results = span_of_texts(words), []
    for s in range(n_draws):
        rng = np.random.default_rng(3000 + s)
        shots = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:k] for c in classes])
        queries = np.setdiff1d(np.arange(len(y)), shots)
        span = Span(basis, class_balanced_mean(X[shots], y[shots], np.ones(len(shots))))
        for features in (l2_normalize(X), span.coordinates(X)):
            classifier = SeMoBridgeClassifier().fit(features[shots], y[shots])
            probabilities = classifier.predict_proba(features[queries])
            accuracy = 100 * (classes[probabilities.argmax(axis=1)] == y[queries]).mean()
            results.append((accuracy, log_loss(y[queries], probabilities, labels=classes)))
    return np.reshape(results, (n_draws, 2, 2)).mean(axis=0)


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def report_search(tasks):
    ways = ("as it is", "centred", "PCA", "one side", "both sides", "half the words", "task")
    print("## Search: mean average precision, percent\n")
    row("task", "directions", *ways)
    row("---", *["---:"] * (1 + len(ways)))
    table = []
    for name, task, words in tasks:
        rank, result = search(task, words)
        row(name, f"{rank} of {words.shape[1]}", *(f"{result[w]:.1f}" if w in result else "" for w in ways))
        table.append([result.get(w, np.nan) for w in ways[:-1]])
    row("mean", "", *(f"{value:.1f}" for value in np.mean(table, axis=0)), "")


def report_few_shot(tasks, shots, n_draws):
    print(f"\n## Few shots without class texts: accuracy, percent (log loss), {n_draws} draws\n")
    row("task", "shots", "without words", "with words", "gain")
    row("---", *["---:"] * 4)
    for k in shots:
        found = {name: few_shot(task, words, k, n_draws) for name, task, words in tasks}
        found = {name: result for name, result in found.items() if result is not None}
        if not found:
            continue
        mean = np.mean(list(found.values()), axis=0)
        for name, ((before, loss_before), (after, loss)) in (*found.items(), ("mean", mean)):
            gain = f"{after - before:+.1f} ({loss - loss_before:+.2f})"
            row(name, k, f"{before:.1f} ({loss_before:.2f})", f"{after:.1f} ({loss:.2f})", gain)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, nargs="+", required=True)
    parser.add_argument("--few-shot-tasks", default=",".join(FEW_SHOT_TASKS))
    parser.add_argument("--shots", default="1,2,4,8")
    parser.add_argument("--draws", type=int, default=5)
    args = parser.parse_args()
    vocabularies = [dict(np.load(path)) for path in args.vocabulary]
    vocabularies = {vocabulary["text"].shape[1]: vocabulary for vocabulary in vocabularies}
    tasks = []
    for path in sorted(args.tasks.glob("*.npz")):
        task = dict(np.load(path))
        vocabulary = vocabularies.get(task["images"].shape[1])
        if vocabulary is not None:
            tasks.append((path.stem, task, without_own_names(vocabulary, task["class_names"])))
    report_search(tasks)
    wanted = args.few_shot_tasks.split(",")
    report_few_shot(
        [task for task in tasks if task[0] in wanted], map(int, args.shots.split(",")), args.draws
    )


if __name__ == "__main__":
    main()
