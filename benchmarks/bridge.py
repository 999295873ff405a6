"""The bridge learnt from words, on real images: search, and few shots without class texts.

    python benchmarks/bridge.py --tasks FOLDER --vocabulary vocabulary_vit_b32.npz vocabulary_rn50.npz

FOLDER holds one npz file a task: `images (n, D)`, `labels (n,)`, `class_names (C,)` and, where known, the
joint-space class texts `text (C, D)`. A vocabulary holds `texts` ("a X") and their joint-space embeddings `text`;
each task takes the one of its width. The names of its own classes are left out of the words. The bundled
pictures through the bundled model come last, with the words of the first vocabulary.

Search by image, mean average precision in percent, every image a query among all others (at most 2,500 images):

- as it is: cosines of the embeddings;
- centred: less the mean of the gallery;
- PCA: the gallery's principal components, as many as the span has directions;
- one side: as in the paper, the query alone is projected, and nothing is centred;
- both sides: queries and gallery centred and projected;
- half the words: the same with half of the words left out at random;
- class texts: the same with the span of the class texts.

Search by text, the mirror image: a class text finds the class texts of its own task among those of all tasks, as
they are, centred, and in the span of the tasks' images.

Few shots without class texts: the classifier as it is and with the words, accuracy in percent (log loss). Draws
are `default_rng(3000 + s)`, `permutation(rows)[:K]` for each class in order; all other images are queries. A task
takes part where each class has K + 2 images.
"""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from tasks import accuracy_and_log_loss

from sksemobridge import (
    CLIPImageEncoder,
    CLIPTextEncoder,
    PrecomputedTextEncoder,
    SeMoBridgeClassifier,
    mean_average_precision,
)
from sksemobridge._texts.words import span_of_texts
from sksemobridge._utils.array_api import l2_normalize
from sksemobridge.datasets import load_emoji

MAX_IMAGES = 2500
# One part of ImageNet stands for the three: the other two have other animals.
FEW_SHOT_TASKS = "caltech101,dtd,fashion,imagenet_151_269,oxford_flowers,rn50_caltech101,mini"


@dataclass(frozen=True)
class Task:
    """Images `X (n, D)` with labels `y (n,)`, class texts `(C, D)` or None, and words `(m, D)` to bridge by."""

    name: str
    X: np.ndarray
    y: np.ndarray
    texts: np.ndarray | None
    words: np.ndarray


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


def read_tasks(folder, vocabularies):
    """The tasks of a folder that have a vocabulary of their width, then that of the bundled model."""
    vocabularies = [dict(np.load(path)) for path in vocabularies]
    by_width = {vocabulary["text"].shape[1]: vocabulary for vocabulary in vocabularies}
    tasks = []
    for path in sorted(folder.glob("*.npz")):
        data = dict(np.load(path))
        X, texts = data["images"].astype(np.float64), data.get("text")
        if X.shape[1] in by_width:
            words = without_own_names(by_width[X.shape[1]], data["class_names"])
            tasks.append(Task(path.stem, X, data["labels"], texts, words))
    emoji = load_emoji()
    encoder = CLIPTextEncoder("mini", "bundled")
    vocabulary = {
        "texts": vocabularies[0]["texts"],
        "text": encoder.transform([str(text) for text in vocabularies[0]["texts"]]),
    }
    tasks.append(
        Task(
            "mini",
            CLIPImageEncoder("mini", "bundled", precision="fp32").transform(emoji.images).astype(np.float64),
            emoji.target,
            encoder.transform([f"a picture of a {name}." for name in emoji.target_names]),
            without_own_names(vocabulary, emoji.target_names),
        )
    )
    return tasks


def precision(query, labels, gallery=None):
    gallery = query if gallery is None else gallery
    return 100 * mean_average_precision(query, gallery, labels, labels, exclude_self=True)


def centred(X):
    """Unit rows less their mean."""
    return l2_normalize(X) - l2_normalize(X).mean(axis=0)


def search(task):
    """Directions of the words' span, and mean average precision by the way to search."""
    chosen = np.random.default_rng(0).permutation(len(task.X))[:MAX_IMAGES]
    X, y, words = task.X[chosen], task.y[chosen], task.words
    basis = span_of_texts(words)
    half = np.random.default_rng(0).permutation(len(words))[: len(words) // 2]
    n_components = min(basis.shape[1], *X.shape)
    result = {
        "as it is": precision(X, y),
        "centred": precision(centred(X), y),
        "PCA": precision(PCA(n_components, svd_solver="full").fit_transform(l2_normalize(X)), y),
        "one side": precision(X @ basis @ basis.T, y, X),
        "both sides": precision(centred(X) @ basis, y),
        "half the words": precision(centred(X) @ span_of_texts(words[half]), y),
    }
    if task.texts is not None:
        result["class texts"] = precision(centred(X) @ span_of_texts(task.texts), y)
    return basis.shape[1], result


def search_by_text(tasks):
    """Mean average precision of class texts of `tasks`, one model's, by the way to search."""
    told = [task for task in tasks if task.texts is not None]
    texts = np.vstack([task.texts for task in told]).astype(np.float64)
    labels = np.concatenate([[task.name] * len(task.texts) for task in told])
    basis = span_of_texts(np.vstack([task.X for task in tasks]))
    return {
        "as it is": precision(texts, labels),
        "centred": precision(centred(texts), labels),
        "one side": precision(texts @ basis @ basis.T, labels, texts),
        "both sides": precision(centred(texts) @ basis, labels),
    }


def few_shot(task, k, n_draws):
    """Accuracy and log loss `(2, 2)` without and with the words, mean of the draws; None with too few images."""
    X, y = task.X, task.y
    classes, counts = np.unique(y, return_counts=True)
    if counts.min() < k + 2:
        return None
    vocabulary, results = [f"word {i}" for i in range(len(task.words))], []
    encoder = PrecomputedTextEncoder(vocabulary, task.words, np.eye(X.shape[1]))
    with_words = SeMoBridgeClassifier(encoder, class_names="ignore", vocabulary=vocabulary)
    for s in range(n_draws):
        rng = np.random.default_rng(3000 + s)
        shots = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:k] for c in classes])
        queries = np.setdiff1d(np.arange(len(y)), shots)
        for classifier in (SeMoBridgeClassifier(class_names="ignore"), with_words):
            classifier.fit(X[shots], y[shots])
            results.append(accuracy_and_log_loss(classifier, X[queries], y[queries]))
    return np.reshape(results, (n_draws, 2, 2)).mean(axis=0)


def by_model(tasks):
    """Lists of the tasks of one width."""
    widths = dict.fromkeys(task.X.shape[1] for task in tasks)
    return [[task for task in tasks if task.X.shape[1] == width] for width in widths]


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def report_search(tasks):
    ways = ("as it is", "centred", "PCA", "one side", "both sides", "half the words")
    print("## Search by image: mean average precision, percent\n")
    row("task", "directions", *ways, "class texts")
    row("---", *["---:"] * (2 + len(ways)))
    for group in by_model(tasks):
        results = []
        for task in group:
            rank, result = search(task)
            results.append([result[way] for way in ways])
            told = f"{result['class texts']:.1f}" if "class texts" in result else ""
            row(task.name, f"{rank} of {task.X.shape[1]}", *(f"{value:.1f}" for value in results[-1]), told)
        if len(group) > 1:
            row(f"mean of {len(group)}", "", *(f"{value:.1f}" for value in np.mean(results, axis=0)), "")


def report_search_by_text(tasks):
    print("\n## Search by text: mean average precision, percent\n")
    result = search_by_text(tasks)
    row(*result)
    row(*["---:"] * len(result))
    row(*(f"{value:.1f}" for value in result.values()))


def report_few_shot(tasks, shots, n_draws):
    print(f"\n## Few shots without class texts: accuracy, percent (log loss), {n_draws} draws\n")
    row("task", "shots", "without words", "with words", "gain")
    row("---", *["---:"] * 4)
    for k in shots:
        for group in by_model(tasks):
            found = {task.name: few_shot(task, k, n_draws) for task in group}
            found = {name: result for name, result in found.items() if result is not None}
            if len(found) > 1:
                found[f"mean of {len(found)}"] = np.mean(list(found.values()), axis=0)
            for name, ((before, loss_before), (after, loss)) in found.items():
                gain = f"{after - before:+.1f} ({loss - loss_before:+.2f})"
                row(name, k, f"{before:.1f} ({loss_before:.2f})", f"{after:.1f} ({loss:.2f})", gain)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, nargs="+", required=True)
    parser.add_argument("--few-shot-tasks", default=FEW_SHOT_TASKS)
    parser.add_argument("--shots", default="1,2,4,8")
    parser.add_argument("--draws", type=int, default=5)
    args = parser.parse_args()
    tasks = read_tasks(args.tasks, args.vocabulary)
    report_search(tasks)
    report_search_by_text(by_model(tasks)[0])
    wanted = args.few_shot_tasks.split(",")
    shots = [int(k) for k in args.shots.split(",")]
    report_few_shot([task for task in tasks if task.name in wanted], shots, args.draws)


if __name__ == "__main__":
    main()
