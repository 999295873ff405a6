"""Images of no class: are they told from those of the classes?

    python benchmarks/typicality.py --tasks FOLDER

FOLDER holds npz files as `benchmarks/few_shot.py` takes them; those without class texts are left out. Of each draw of
the shots half of the classes, `default_rng(seed).permutation`, are known, and a classifier is fitted on their shots.
Strangers are near, the images of the other half, or of another file whose embeddings are as wide, up to 300 of each. Those
of a file that shares no class with the task are far, the others alike. Files share classes if a name of one is a name of
the other, or its last words ("dog" and "Maltese dog"), or if they are parts of one data set: their names differ in numbers
only. Printed are the means over the tasks of

- the area under the ROC curve in percent, known images against strangers, by `score_samples`, with text and without, and by
  the baselines: the energy (logarithm of the summed exponentials) of the zero-shot logits and of the classifier's, the
  largest probability of both, the largest cosine to a class mean, and the smallest Mahalanobis distance to one, covariance
  pooled and shrunk (Ledoit-Wolf);
- the share of the known images, in percent, whose `p_values` are at most `alpha`, with text and without: wanted is `alpha`.

`--first-seed` is the seed of the first draw.
"""

import argparse
import re
import warnings
from pathlib import Path

import numpy as np
import tasks
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score
from tables import shots_in_words, table

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._utils.array_api import l2_normalize

ALPHAS = (0.01, 0.05, 0.1)
# Strangers from another file.
MOST_FAR = 300


def class_means(shots, codes):
    """Means of the unit shots of each class, shape (C, D)."""
    return np.stack([shots[codes == code].mean(axis=0) for code in range(codes.max() + 1)])


def mahalanobis(shots, codes, queries):
    """Smallest squared distance of each query to a class mean."""
    means = class_means(shots, codes)
    residuals = shots - means[codes]
    if not residuals.any():  # one shot of each class
        residuals = shots - shots.mean(axis=0)
    root = np.linalg.cholesky(np.linalg.inv(ledoit_wolf(residuals, assume_centered=True)[0]))
    queries, means = queries @ root, means @ root
    squares = np.square(queries).sum(axis=1)[:, None] - 2 * queries @ means.T + np.square(means).sum(axis=1)
    return squares.min(axis=1)


def scores(task, classifier, without_text, shots, X):
    """How typical each row of `X` is of the classes, by name."""
    unit, of_shots = l2_normalize(X), l2_normalize(task.X[shots])
    codes = np.searchsorted(classifier.classes_, task.y[shots])
    logits = {
        "": sum(classifier.affinities(X).values()),  # also of two classes, a column each
        ", zero-shot": task.text_encoder.logit_scale_ * unit @ classifier.text_embeddings_.T,
    }
    result = {
        "score_samples": classifier.score_samples(X),
        "score_samples, no text": without_text.score_samples(X),
    }
    for name, values in logits.items():
        energy = logsumexp(values, axis=1)
        result |= {f"largest probability{name}": values.max(axis=1) - energy, f"energy{name}": energy}
    cosines = unit @ l2_normalize(class_means(of_shots, codes)).T
    return result | {
        "cosine to a class mean": cosines.max(axis=1),
        "Mahalanobis": -mahalanobis(of_shots, codes, unit),
    }


def one_draw(task, shots, queries, far, seed):
    """Areas and shares by name; `far` are images by kind."""
    classes = np.unique(task.y[shots])
    known = np.random.default_rng(seed).permutation(classes)[: (len(classes) + 1) // 2]
    shots, is_known = shots[np.isin(task.y[shots], known)], np.isin(task.y[queries], known)
    classifier = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts)
    without_text = SeMoBridgeClassifier(class_names="ignore")
    for model in (classifier, without_text):
        model.fit(task.X[shots], task.y[shots])
    images = {"known": task.X[queries[is_known]], "near": task.X[queries[~is_known]], **far}
    found = {which: scores(task, classifier, without_text, shots, X) for which, X in images.items() if len(X)}
    of_known, areas = found.pop("known"), {}
    for which, of_strangers in found.items():
        for name, typical in of_known.items():
            both = np.concatenate([typical, of_strangers[name]])
            areas[f"{which}: {name}"] = 100 * roc_auc_score(np.arange(len(both)) < len(typical), both)
    for name, model in (("", classifier), (", no text", without_text)):
        p_values = model.p_values(images["known"])
        areas |= {f"p at most {alpha}{name}": 100 * np.mean(p_values <= alpha) for alpha in ALPHAS}
    return areas


def strangers(task, others):
    """Images of the other tasks of the width, `(n, D)` each: those that share no class with the task, and the others."""
    rng = np.random.default_rng(0)
    images = {"far": [], "alike": []}
    for other in others:
        if other is not task and other.X.shape[1] == task.X.shape[1]:
            drawn = other.X[rng.permutation(len(other.X))[:MOST_FAR]]
            images["alike" if share_classes(task, other) else "far"].append(drawn)
    return {which: np.concatenate([task.X[:0], *parts]) for which, parts in images.items()}


def share_classes(task, other):
    """Whether two tasks have a class in common, or are parts of one data set, as far as names tell."""
    if re.sub(r"[\d_]+$", "", task.name) == re.sub(r"[\d_]+$", "", other.name):
        return True
    these, those = (
        # Without a leading number, as in "207 golden retriever".
        [re.sub(r"[_-]", " ", re.sub(r"^\d+ ", "", str(name).lower())) for name in np.unique(of.y)]
        for of in (task, other)
    )
    return any(f" {a}".endswith(f" {b}") or f" {b}".endswith(f" {a}") for a in these for b in those)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", metavar="FOLDER", type=Path, nargs="+", required=True)
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--draws", type=int, default=5, help="at most, of a task")
    parser.add_argument("--first-seed", type=int, default=tasks.FIRST_SEED)
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    all_tasks, results = tasks.from_folder(*args.tasks), {}
    for task in [task for task in all_tasks if task.text_encoder is not None]:
        far = strangers(task, all_tasks)
        for k in args.shots:
            for seed in np.array(task.seeds()[: args.draws]) - tasks.FIRST_SEED + args.first_seed:
                drawn = task.draw(k, seed)
                if drawn is not None:
                    for name, value in one_draw(task, *drawn, far, seed).items():
                        results.setdefault(name, {}).setdefault(k, {}).setdefault(task.name, []).append(value)
    print(report(results))


def report(results):
    """A table of means over tasks, by name and number of shots."""
    shots = sorted({k for by_shots in results.values() for k in by_shots})
    rows = []
    for name, by_shots in results.items():
        means = [np.mean([np.mean(draws) for draws in by_shots[k].values()]) for k in shots]
        rows.append([name, *(f"{mean:.1f}" for mean in means)])
    return table(["", *map(shots_in_words, shots)], rows)


if __name__ == "__main__":
    main()
