"""Every method on the same embeddings: accuracy, log loss, calibration error and times, few shots at a time.

    python benchmarks/few_shot.py

runs what can be run without network, adds rows to `benchmarks/few_shot_results.csv`, and writes
`docs/benchmarks_few_shot.md` and `docs/images/few_shot_*.png` from all rows in that file. What the file has
already is not computed again: an interrupted run goes on where it was. `--redo METHOD` forgets the rows of a method
in the tasks at hand first; `--report-only` computes nothing.

TASK is `emoji` or `emoji-finer` (bundled pictures), `digits` (scikit-learn), `fashion-mnist` (Debian's package
`dataset-fashion-mnist`; left out where it is not installed), or one of your own: `folder:PATH` (a sub-folder for
each class), `torchvision:NAME` (its test set, found in or downloaded to `--data`), `npz:FILE` (arrays `images (n,
D)`, `labels (n,)`, `class_names (C,)` and `text (C, D)`; the text projection is taken as the identity).

Draws: `default_rng(seed)`, for each class `permutation(flatnonzero(y == c))[:k]` are the shots, all other images the
queries. A class must keep a query. Protocol `defaults` is each method as it comes; `tuned` chooses its parameters by
cross-validation on the shots (three folds, two for two shots), from two shots on. Every fit has one thread.
"""

import argparse
import json
import os
import warnings
from pathlib import Path
from time import perf_counter

import embeddings
import few_shot_report
import joblib
import numpy as np
from few_shot_methods import METHODS, NAMES, n_folds
from results import Results
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import NearestCentroid

from sksemobridge import SeMoBridgeClassifier

OFFLINE = ("emoji", "emoji-finer", "digits", "fashion-mnist")
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


def load_task(name, args):
    """`(model, Task)` of a task's name on the command line."""
    kind, _, rest = name.partition(":")
    options = {"model": args.model, "pretrained": args.pretrained, "cache": args.cache}
    if kind == "npz":
        return "npz", embeddings.from_npz(rest)
    if kind == "folder":
        return f"{args.model} {args.pretrained}", embeddings.image_folder(rest, **options)
    if kind == "torchvision":
        task = embeddings.torchvision_dataset(rest, args.data, **options)
        return f"{args.model} {args.pretrained}", task
    if name == "fashion-mnist":
        return "mini bundled", embeddings.fashion_mnist(args.fashion_mnist, cache=args.cache)
    loaders = {"emoji": embeddings.emoji, "emoji-finer": embeddings.emoji_finer, "digits": embeddings.digits}
    if name not in loaders:
        raise ValueError(
            f"There is no task {name!r}. Name {', '.join(OFFLINE)}, folder:PATH, torchvision:NAME or npz:FILE."
        )
    return "mini bundled", loaders[name](cache=args.cache)


def measure(estimator, task, shots, queries):
    """Fit on the shots, predict the queries: the measured columns of a row."""
    X, y = task.X[queries], task.y[queries]
    start = perf_counter()
    estimator.fit(task.X[shots], task.y[shots])
    fitted = perf_counter()
    predicted = estimator.predict(X)
    done = perf_counter()
    row = {
        "classes": len(np.unique(task.y)),
        "queries": len(queries),
        "accuracy": f"{np.mean(predicted == y):.6f}",
        "log_loss": "",
        "calibration_error": "",
        "fit_seconds": f"{fitted - start:.5f}",
        "predict_seconds": f"{done - fitted:.5f}",
        "chosen": "",
    }
    probability = probabilities(estimator, X)
    if probability is not None:
        row["log_loss"] = f"{log_loss(y, probability, labels=estimator.classes_):.6f}"
        right = estimator.classes_[probability.argmax(axis=1)] == y
        error = embeddings.expected_calibration_error(probability.max(axis=1), right)
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


def tune(method, task, texts, k):
    """A search over the method's parameters on the shots alone."""
    folds = StratifiedKFold(n_folds(k))
    return GridSearchCV(method.build(task, texts), method.grid(task), cv=folds)


def one_draw(model, task, k, seed, wanted):
    """Rows of the wanted `(method, protocol)` pairs on one draw of the shots."""
    shots, queries = task.draw(k, seed)
    rows = []
    with warnings.catch_warnings():
        # Names without text, too few neighbours, searches that stop early: known, and the same in every draw.
        warnings.simplefilter("ignore")
        # What a process computes once, the class texts and the pseudo-inverse, is left out of the times.
        ready = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts).fit(
            task.X[shots], task.y[shots]
        )
        for method in METHODS:
            for protocol in PROTOCOLS:
                if (method.name, protocol) not in wanted:
                    continue
                if protocol == "tuned":
                    estimator = tune(method, task, ready.text_embeddings_, k)
                else:
                    estimator = method.build(task, ready.text_embeddings_)
                row = measure(estimator, task, shots, queries)
                if protocol == "tuned":
                    chosen = {name.split("__")[-1]: value for name, value in estimator.best_params_.items()}
                    row["chosen"] = json.dumps(chosen, default=lambda value: "text", sort_keys=True)
                key = dict(zip(KEY, (model, task.name, method.name, protocol, k, seed)))
                rows.append(key | row)
    return rows


def missing(results, model, task, k, seed, methods):
    """The `(method, protocol)` pairs of a draw that are not in the results yet."""
    n_classes = len(np.unique(task.y))
    pairs = [(method, "defaults") for method in methods if method.can_fit(k, n_classes)]
    pairs += [(method, "tuned") for method in methods if method.can_tune(k, n_classes)]
    return [
        (method.name, protocol)
        for method, protocol in pairs
        if (model, task.name, method.name, protocol, k, seed) not in results
    ]


def run(tasks, results, shots, seeds, methods, n_jobs):
    """Add all rows that are missing, the first draw of everything first: it tells what the others will take."""
    jobs = {seed: [] for seed in seeds}
    for seed in seeds:
        for model, task in tasks:
            smallest = np.unique(task.y, return_counts=True)[1].min()
            for k in (k for k in shots if k < smallest):
                if wanted := missing(results, model, task, k, seed, methods):
                    jobs[seed].append((model, task, k, seed, wanted))
    left = sum(map(len, jobs.values()))
    print(f"{left} draws to go, {n_jobs} at a time")
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs, return_as="generator_unordered")
        for seed in seeds:
            if not jobs[seed]:
                continue
            start = perf_counter()
            for rows in parallel(joblib.delayed(one_draw)(*job) for job in jobs[seed]):
                for row in rows:
                    results.append(row)
            left -= len(jobs[seed])
            seconds = perf_counter() - start
            rest = left * seconds / len(jobs[seed])
            print(f"seed {seed}: {seconds:.0f} s; the rest takes about {rest:.0f} s more", flush=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="default: all that need no network")
    parser.add_argument("--results", default=Path(__file__).parent / "few_shot_results.csv", type=Path)
    parser.add_argument("--docs", default=Path(__file__).parents[1] / "docs", type=Path)
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
    parser.add_argument("--fashion-mnist", default=embeddings.FASHION_MNIST, help="folder of its four files")
    parser.add_argument("--data", default="data", help="folder of torchvision's data sets")
    args = parser.parse_args(arguments)
    names = args.tasks or [
        name for name in OFFLINE if name != "fashion-mnist" or Path(args.fashion_mnist).is_dir()
    ]
    shots, draws = ([1, 2], 2) if args.quick else (args.shots, args.draws)
    results = Results(args.results, KEY, VALUES)
    if not args.report_only:
        tasks = [load_task(name, args) for name in names]
        here = {(model, task.name) for model, task in tasks}
        results.forget(lambda row: row["method"] in args.redo and (row["model"], row["task"]) in here)
        methods = [method for method in METHODS if method.name in args.methods]
        run(tasks, results, shots, range(draws), methods, args.jobs)
    few_shot_report.write(args.results, args.docs)


if __name__ == "__main__":
    main()
