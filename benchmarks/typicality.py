"""Images of no class: with half the classes of a task taken away, are their images told from those of the others?

    python benchmarks/typicality.py --tasks FOLDER

FOLDER holds npz files as `benchmarks/few_shot.py` takes them; those without class texts are left out. Of each draw of
the shots half of the classes, `default_rng(seed).permutation`, are known, and a classifier is fitted on their shots.
Queries are all other images of the task. Printed are the means over the tasks of

- the area under the ROC curve in percent, known against unknown images, by `score_samples` and by the baselines: the
  largest probability and the energy (logarithm of the summed exponentials) of the zero-shot logits, both of the
  classifier's logits, and the smallest Mahalanobis distance to a class mean, covariance pooled and shrunk (Ledoit-Wolf);
- the share of the known images, in percent, whose `p_values` are at most `alpha`: wanted is `alpha`.

`--first-seed` is the seed of the first draw.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import tasks
from few_shot import FIRST_SEED, task_seeds
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._utils.array_api import l2_normalize

ALPHAS = (0.05, 0.1)


def mahalanobis(shots, codes, queries):
    """Smallest squared distance of each query to a class mean."""
    means = np.stack([shots[codes == code].mean(axis=0) for code in range(codes.max() + 1)])
    residuals = shots - means[codes]
    if not residuals.any():  # one shot of each class
        residuals = shots - shots.mean(axis=0)
    root = np.linalg.cholesky(np.linalg.inv(ledoit_wolf(residuals, assume_centered=True)[0]))
    queries, means = queries @ root, means @ root
    squares = np.square(queries).sum(axis=1)[:, None] - 2 * queries @ means.T + np.square(means).sum(axis=1)
    return squares.min(axis=1)


def one_draw(task, shots, queries, seed):
    """Areas and shares by name."""
    classes = np.unique(task.y[shots])
    known = np.random.default_rng(seed).permutation(classes)[: (len(classes) + 1) // 2]
    shots, is_known = shots[np.isin(task.y[shots], known)], np.isin(task.y[queries], known)
    classifier = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts).fit(
        task.X[shots], task.y[shots]
    )
    X, unit = task.X[queries], l2_normalize(task.X[queries])
    codes = np.searchsorted(classifier.classes_, task.y[shots])
    logits = classifier.decision_function(X)
    zero_shot = task.text_encoder.logit_scale_ * unit @ classifier.text_embeddings_.T
    scores = {
        "score_samples": classifier.score_samples(X),
        "largest probability": np.max(logits, axis=1) - logsumexp(logits, axis=1),
        "energy": logsumexp(logits, axis=1),
        "largest probability, zero-shot": np.max(zero_shot, axis=1) - logsumexp(zero_shot, axis=1),
        "energy, zero-shot": logsumexp(zero_shot, axis=1),
        "Mahalanobis": -mahalanobis(l2_normalize(task.X[shots]), codes, unit),
    }
    p_values = classifier.p_values(X[is_known])
    shares = {f"turned away at {alpha}": 100 * np.mean(p_values <= alpha) for alpha in ALPHAS}
    return {name: 100 * roc_auc_score(is_known, score) for name, score in scores.items()} | shares


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", metavar="FOLDER", type=Path, required=True)
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    results = {}
    for task in tasks.from_folder(args.tasks):
        if task.text_encoder is None:
            continue
        for k in args.shots:
            for seed in np.array(task_seeds(task)) - FIRST_SEED + args.first_seed:
                drawn = task.draw(k, seed)
                if drawn is not None:
                    for name, value in one_draw(task, *drawn, seed).items():
                        results.setdefault(name, {}).setdefault(k, {}).setdefault(task.name, []).append(value)
    print(report(results))


def report(results):
    """A table of means over tasks, by name and number of shots."""
    shots = sorted({k for by_shots in results.values() for k in by_shots})
    lines = [
        "| | " + " | ".join(f"{k} shot{'s' * (k > 1)}" for k in shots) + " |",
        "| --- |" + " ---: |" * len(shots),
    ]
    for name, by_shots in results.items():
        means = [np.mean([np.mean(draws) for draws in by_shots[k].values()]) for k in shots]
        lines.append(f"| {name} | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
