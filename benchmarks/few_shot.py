"""Compare few-shot methods on the same embeddings: accuracy, log loss, calibration error and times.

    python benchmarks/few_shot.py [TASK ...]
    python benchmarks/few_shot.py --tasks FOLDER

The first form adds rows to `benchmarks/few_shot_results.csv`, and writes `benchmarks_few_shot.md` and
`images/few_shot_*.png` into the current folder (`--docs`) from all rows of that file. The second form adds rows to `few_shot_tasks.csv` in the
current folder and prints tables. Rows that a file has are not computed again, so that an interrupted run goes on where
it was. `--redo METHOD` computes the rows of a method anew; `--report-only` computes nothing.

TASK is `emoji` or `emoji-finer` (bundled pictures), `digits` (scikit-learn), `fashion-mnist` (Debian's package
`dataset-fashion-mnist`), or one of your own: `folder:PATH` (a sub-folder for each class), `torchvision:NAME` (its test
set, found in or downloaded to `--data`), `npz:FILE` (arrays `images (n, D)`, `labels (n,)`, `class_names (C,)` and
perhaps `text (C, D)`; the text projection is taken as the identity). Without TASK all are run that need no network.

FOLDER holds such files. Their draws are the seeds 2000 to 2004, 2000 and 2001 where there are 150 classes or more; a
class needs two images beyond its shots, and a task 80 % of its classes.

Draws: `default_rng(seed)`, for each class in order `permutation(flatnonzero(y == c))[:k]` are the shots, all other
images the queries. Protocol `defaults` is each method as it comes. Protocol `tuned` chooses parameters by
cross-validation on the shots (three folds, two for two shots), from two shots on. Every fit has one thread.
"""

import argparse
import json
import os
import sys
import warnings
from itertools import product, zip_longest
from pathlib import Path

import few_shot_report
import joblib
import numpy as np
import tasks
from few_shot_methods import METHODS, NAMES, n_folds
from results import Results
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import NearestCentroid
from timing import timed

from sksemobridge import SeMoBridgeClassifier

HERE = Path(__file__).parent
PROTOCOLS = ("defaults", "tuned")
KEY = ("model", "task", "method", "protocol", "shots", "seed")
VALUES = (
    "classes",
    "queries",
    "accuracy",
    "log_loss",
    "calibration_error",
    "fit_seconds",
    "predict_seconds",
    "chosen",
)


def measure(estimator, task, shots, queries):
    """Fit on the shots, predict the queries: the measured columns of a row."""
    X, y = task.X[queries], task.y[queries]
    fit_seconds, _ = timed(estimator.fit, task.X[shots], task.y[shots])
    predict_seconds, predicted = timed(estimator.predict, X)
    row = {
        "classes": len(estimator.classes_),
        "queries": len(queries),
        "accuracy": f"{np.mean(predicted == y):.6f}",
        "log_loss": "",
        "calibration_error": "",
        "fit_seconds": f"{fit_seconds:.5f}",
        "predict_seconds": f"{predict_seconds:.5f}",
        "chosen": "",
    }
    probability = probabilities(estimator, X)
    if probability is not None:
        row["log_loss"] = f"{log_loss(y, probability, labels=estimator.classes_):.6f}"
        right = estimator.classes_[probability.argmax(axis=1)] == y
        error = tasks.expected_calibration_error(probability.max(axis=1), right)
        row["calibration_error"] = f"{error:.6f}"
    return row


def probabilities(estimator, X):
    """`predict_proba`, or None where there is none: never of `SVC`, of `NearestCentroid` not from single shots."""
    try:
        return estimator.predict_proba(X)
    except AttributeError:
        return None
    except ValueError:
        if isinstance(getattr(estimator, "named_steps", {}).get("model"), NearestCentroid):
            return None
        raise


def one_draw(task, k, seed, wanted):
    """Rows of the wanted `(method, protocol)` pairs on one draw of the shots."""
    shots, queries = task.draw(k, seed)
    texts, rows = None, []
    with warnings.catch_warnings():
        # Names without text, too few neighbours, searches that stop early: known, and the same in every draw.
        warnings.simplefilter("ignore")
        if task.text_encoder is not None:
            # What a process computes once, the class texts and the pseudo-inverse, is left out of the times.
            ready = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts)
            texts = ready.fit(task.X[shots], task.y[shots]).text_embeddings_
        for name, protocol in wanted:
            method = METHODS[name]
            estimator = method.build(task, texts)
            if protocol == "tuned":
                folds = StratifiedKFold(n_folds(k))
                estimator = GridSearchCV(estimator, method.grid(task), cv=folds)
            row = measure(estimator, task, shots, queries)
            if protocol == "tuned":
                chosen = {name.split("__")[-1]: value for name, value in estimator.best_params_.items()}
                row["chosen"] = json.dumps(chosen, default=lambda value: "text", sort_keys=True)
            rows.append(dict(zip(KEY, (task.model, task.name, name, protocol, k, seed))) | row)
    return rows


def missing(results, task, k, seed, names, protocols):
    """The `(method, protocol)` pairs of a draw that are not in the results yet."""
    drawn = task.draw(k, seed)
    if drawn is None:
        return []
    n_classes = len(np.unique(task.y[drawn[0]]))
    has_text = task.text_encoder is not None
    return [
        (name, protocol)
        for name, protocol in product(names, protocols)
        if METHODS[name].can(protocol, k, n_classes, has_text)
        and (task.model, task.name, name, protocol, k, seed) not in results
    ]


def run(seeds_of, results, shots, names, protocols, n_jobs):
    """Add all rows that are missing, the first draw of everything first: it tells what the others will take.

    `seeds_of` are pairs of a task and the seeds of its draws.
    """
    rounds = []
    for seeds in zip_longest(*(seeds for _, seeds in seeds_of)):
        cells = [
            (task, k, seed) for (task, _), seed in zip(seeds_of, seeds) if seed is not None for k in shots
        ]
        jobs = [(*cell, missing(results, *cell, names, protocols)) for cell in cells]
        rounds.append([job for job in jobs if job[-1]])
    left = sum(map(len, rounds))
    print(f"{left} draws to go, {n_jobs} at a time", file=sys.stderr)
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs, return_as="generator_unordered")

        def one_round(jobs):
            for rows in parallel(joblib.delayed(one_draw)(*job) for job in jobs):
                for row in rows:
                    results.append(row)

        for number, jobs in enumerate(filter(None, rounds), start=1):
            seconds, _ = timed(one_round, jobs)
            left -= len(jobs)
            rest = left * seconds / len(jobs)
            print(f"round {number}: {seconds:.0f} s; the rest takes about {rest:.0f} s more", file=sys.stderr)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="TASK", help="default: all that need no network")
    parser.add_argument("--tasks", metavar="FOLDER", type=Path, help="compare on the npz files of a folder")
    parser.add_argument("--results", type=Path, help="default: few_shot_results.csv or few_shot_tasks.csv")
    parser.add_argument("--docs", default=Path(), type=Path)
    parser.add_argument("--cache", default="embeddings", help="folder that keeps embeddings of images")
    parser.add_argument("--shots", default=[1, 2, 4, 8, 16], type=int, nargs="+")
    parser.add_argument("--draws", default=10, type=int, help="seeds 0, 1, ...")
    parser.add_argument("--methods", default=NAMES, nargs="+", choices=NAMES, metavar="METHOD")
    parser.add_argument("--redo", default=[], nargs="+", choices=NAMES, metavar="METHOD")
    parser.add_argument("--report-only", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a taste: two draws of one and two shots")
    parser.add_argument("--jobs", default=os.cpu_count(), type=int)
    parser.add_argument("--model", default="mini", help="of folder: and torchvision:, as open_clip names it")
    parser.add_argument("--pretrained", default="bundled")
    parser.add_argument("--fashion-mnist", default=tasks.FASHION_MNIST, help="folder of its four files")
    parser.add_argument("--data", default="data", help="folder of torchvision's data sets")
    args = parser.parse_args(arguments)
    if args.tasks:
        path, protocols = args.results or Path("few_shot_tasks.csv"), PROTOCOLS[:1]
    else:
        path, protocols = args.results or HERE / "few_shot_results.csv", PROTOCOLS
    shots, draws = ([1, 2], 2) if args.quick else (args.shots, args.draws)
    results = Results(path, KEY, VALUES)
    if not args.report_only:
        if args.tasks:
            seeds_of = [(task, task.seeds()[:draws]) for task in tasks.from_folder(args.tasks)]
        else:
            seeds_of = [(task, range(draws)) for task in load_tasks(args)]
        here = {(task.model, task.name) for task, _ in seeds_of}
        results.forget(lambda row: row["method"] in args.redo and (row["model"], row["task"]) in here)
        run(seeds_of, results, shots, args.methods, protocols, args.jobs)
    if args.tasks:
        print(few_shot_report.comparison(path))
    else:
        few_shot_report.write(path, args.docs)


def load_tasks(args):
    """The tasks that are named; by default all that need no network."""
    names = args.names or [*tasks.OFFLINE, *(["fashion-mnist"] if Path(args.fashion_mnist).is_dir() else [])]
    options = {name: getattr(args, name) for name in ("model", "pretrained", "cache", "data")}
    return [tasks.load(name, fashion=args.fashion_mnist, **options) for name in names]


if __name__ == "__main__":
    main()
