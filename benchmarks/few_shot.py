"""Compare few-shot methods on the same embeddings: accuracy, log loss, calibration error and times.

    python benchmarks/few_shot.py
    python benchmarks/few_shot.py --tasks FILE.npz ...
    python benchmarks/few_shot.py --tasks ImageNet.npz --test-task ImageNetV2.npz ImageNetSketch.npz

Without files, the tasks are the bundled pictures and scikit-learn's digits through the bundled
model. `make_task.py` makes files of folders, and of the data sets of the paper; beside results on
the latter, the accuracies that the paper reports are printed.

Draws have the seeds 2000 to 2004 (with 150 classes or more, 2000 and 2001). A class is used if it
has two images more than shots, and a task if 80 % of its classes are used. Files with parts
("train", "val", "test") have five draws of all classes. Each fit has one thread. Rows are added to
`--results`, and those that are there are not computed again, so that an interrupted run goes on.
`--redo METHOD` computes the rows of a method again. `--report-only` computes nothing.

With `--test-task`, the queries are the images of these files, which have the same class names; the
shots are those of the tasks.
"""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import tasks
from few_shot_methods import (
    METHODS,
    NAMES,
    OURS,
    TRAINED_TUNED,
    TUNED,
    WITH_TEXT,
    WITHOUT_TEXT,
    ZERO_SHOT,
    methods_for,
)
from results import Results
from scipy.stats import t as student
from sklearn.metrics import log_loss
from tasks import shots_in_words, table
from timing import timed

KEY = ("model", "task", "method", "shots", "seed")
VALUES = (
    "classes",
    "queries",
    "accuracy",
    "log_loss",
    "calibration_error",
    "fit_seconds",
    "predict_seconds",
)
# Decimals, and how a measure is called.
MEASURES = {"accuracy": (1, "Accuracy in percent"), "log_loss": (3, "Log loss in nats")}
# How `published.csv` names the methods that are compared with the paper's accuracies.
PUBLISHED = {ZERO_SHOT: "CLIP zero-shot", TUNED: "SeMoBridge", TRAINED_TUNED: "SeMoBridge-T"}


def measure(estimator, task, shots, queries):
    """Fit on the shots, and predict the queries: the measured columns of a row."""
    X, y = task.X[queries], task.y[queries]
    fit_seconds, _ = timed(estimator.fit, task.X[shots], task.y[shots])
    logistic = getattr(estimator, "named_steps", {}).get("logisticregression")
    if logistic is not None and not logistic.n_iter_.all():
        raise RuntimeError(
            "LogisticRegression stopped before its first step: its tolerance is too large."
        )
    loss = error = np.nan
    if hasattr(estimator, "predict_proba"):
        predict_seconds, p = timed(estimator.predict_proba, X)
        right = estimator.classes_[p.argmax(axis=1)] == y
        error = tasks.expected_calibration_error(p.max(axis=1), right)
        loss = log_loss(y, p, labels=estimator.classes_)
    else:
        predict_seconds, predicted = timed(estimator.predict, X)
        right = predicted == y
    counts = (len(estimator.classes_), len(queries))
    return dict(zip(VALUES, (*counts, right.mean(), loss, error, fit_seconds, predict_seconds)))


def one_draw(task, k, seed, wanted):
    """Rows of the wanted methods on one draw of the shots."""
    shots, queries = task.draw(k, seed)
    texts, rows = None, []
    with warnings.catch_warnings():
        # Names without text, searches that stop early: known, and the same in every draw.
        warnings.simplefilter("ignore")
        if task.text_encoder is not None:
            # The class texts and the pseudo-inverse, which a process computes once, are left out of
            # the times.
            texts = METHODS[OURS](task, None).fit(task.X[shots], task.y[shots]).text_embeddings_
        for name in wanted:
            row = measure(METHODS[name](task, texts), task, shots, queries)
            rows.append(dict(zip(KEY, (task.model, task.name, name, k, seed))) | row)
    return rows


def run(all_tasks, results, args):
    """Add all rows that are missing, the first draw of everything first."""
    jobs = []
    for task in all_tasks:
        for number, seed in enumerate(task.seeds(args.draws)):
            for k in args.shots:
                allowed = methods_for(task, k)
                wanted = [
                    name
                    for name in args.methods
                    if name in allowed and (task.model, task.name, name, k, seed) not in results
                ]
                if wanted and task.draw(k, seed) is not None:
                    jobs.append((number, task, k, seed, wanted))
    jobs.sort(key=lambda job: job[0])
    results.measure(one_draw, [job for _, *job in jobs], args.jobs)


# Tables


def report(frame):
    """Markdown: all methods on all tasks, those with class texts and those without apart."""
    with_text = frame.groupby(["model", "task"]).method.transform(
        lambda names: bool(WITH_TEXT.keys() & set(names))
    )
    parts = [published(frame)]
    for title, group in (
        ("Tasks with class texts", frame[with_text]),
        ("Tasks without class texts", frame[~with_text]),
    ):
        if group.empty:
            continue
        ours = OURS if (group.method == OURS).any() else WITHOUT_TEXT
        parts += [f"## {title}", tasks_table(group)]
        for value, (digits, title) in MEASURES.items():
            parts += [f"### {title}: mean over the tasks ± standard error of the draws"]
            parts += [means_by_shots(part, value, digits) for part in same_tasks(group)]
            if (group.method == ours).any() and group.method.nunique() > 1:
                parts += [
                    f"### {title}: {ours} minus each",
                    (
                        "Mean paired difference over tasks and draws ± its standard error. In"
                        " brackets: the number of tasks with a win, and with a loss: the 95 %"
                        " interval over the draws lies on one side of zero."
                    ),
                    *(
                        differences_by_shots(part, value, digits, ours)
                        for part in same_tasks(group)
                    ),
                ]
        parts += ["### Probabilities and times", quality_table(group)]
        for (model, task), of_task in group.groupby(["model", "task"], sort=False):
            parts += [
                f"### {task} ({model}): accuracy in percent",
                means_by_shots(of_task, "accuracy", 1),
            ]
    return "\n\n".join(filter(None, parts)) + "\n"


def same_tasks(frame):
    """Rows of all tasks, with the numbers of shots that each of them has; and those of the tasks
    that have them all.
    """
    shots = frame.groupby(["model", "task"]).shots.agg(set)
    common, every = set.intersection(*shots), set.union(*shots)
    parts = [frame[frame.shots.isin(common)]]
    if common != every:
        full = shots.index[shots == every]
        parts.append(frame[pd.MultiIndex.from_frame(frame[["model", "task"]]).isin(full)])
    return [part for part in parts if len(part)]


def tasks_table(frame):
    rows = []
    for (model, task), group in frame.groupby(["model", "task"], sort=False):
        shots = ", ".join(map(str, sorted(group.shots.unique())))
        fewest, draws = f"{group.queries.min():,}", str(group.seed.nunique())
        rows.append([task, model, str(group.classes.max()), shots, fewest, draws])
    return table(["task", "model", "classes", "shots", "queries at least", "draws"], rows, n_left=2)


def in_order(methods):
    return [name for name in NAMES if name in set(methods)]


def means_by_shots(frame, value, digits):
    """Means over the tasks, each the mean of its draws, with the standard errors of the draws."""
    frame = frame.dropna(subset=value)
    of_tasks = frame.groupby(["method", "shots", "model", "task"])[value].agg(["mean", "sem"])
    shots = sorted(frame.shots.unique())

    def cell(name, k):
        if (name, k) not in of_tasks.index:
            return "-"
        group = of_tasks.loc[(name, k)]
        error = np.sqrt(np.square(group["sem"]).sum(skipna=False)) / len(group)
        return f"{group['mean'].mean():.{digits}f} ± {error:.{digits}f}"

    rows = [[name, *(cell(name, k) for k in shots)] for name in in_order(frame.method)]
    return table(["method", *map(shots_in_words, shots)], rows)


def paired(frame, ours, value):
    """For every other method, task and number of shots: mean difference of `ours` to it, its error
    and half-width.
    """
    draws = frame.pivot_table(
        index=["model", "task", "shots", "seed"], columns="method", values=value
    )
    gains = -draws.drop(columns=ours).sub(draws[ours], axis=0)
    long = gains.stack().dropna().rename("gain").reset_index()
    cells = (
        long.groupby(["method", "model", "task", "shots"])
        .gain.agg(["mean", "std", "count"])
        .reset_index()
    )
    cells["error"] = cells["std"] / np.sqrt(cells["count"])
    cells["half"] = cells.error * student.ppf(0.975, np.maximum(cells["count"] - 1, 1))
    return cells


def differences_by_shots(frame, value, digits, ours):
    """Differences of one method to each other: mean, standard error, wins and losses for every
    number of shots.
    """
    cells, shots, rows = paired(frame, ours, value), sorted(frame.shots.unique()), []
    sign = 1 if value == "accuracy" else -1
    for name in in_order(cells.method):
        row = [name]
        for k in shots:
            group = cells[(cells.method == name) & (cells.shots == k)]
            if group.empty:
                row.append("-")
                continue
            error = np.sqrt(np.square(group.error).sum()) / len(group)
            wins, losses = ((way * sign * group["mean"] > group.half).sum() for way in (1, -1))
            row.append(f"{group['mean'].mean():+.{digits}f} ± {error:.{digits}f} ({wins}:{losses})")
        rows.append(row)
    return table([f"{ours} minus", *map(shots_in_words, shots)], rows)


def quality_table(frame):
    """Means over all tasks, shots and draws; times are medians."""
    predict, rows = 1e6 * frame.predict_seconds / frame.queries, []
    for name in in_order(frame.method):
        chosen = frame.method == name
        loss, error = frame.log_loss[chosen].mean(), frame.calibration_error[chosen].mean()
        fit = 1000 * frame.fit_seconds[chosen].median()
        rows.append(
            [name, f"{loss:.2f}", f"{error:.3f}", f"{fit:.1f}", f"{predict[chosen].median():.1f}"]
        )
    return table(["method", "log loss", "calibration error", "fit, ms", "predict 1,000, ms"], rows)


def published(frame):
    """Our accuracies on the paper's data sets beside those that it reports; empty where there are
    none.
    """
    reported, parts = pd.read_csv(Path(__file__).parent / "published.csv"), []
    for (model, k), group in frame.groupby(["model", "shots"]):
        backbone = model.split()[0].replace("ViT-B-16", "ViT-B/16")
        data_sets = [
            name
            for name in group.task.unique()
            if name in reported and backbone in set(reported.backbone)
        ]
        rows = []
        for name in in_order(group.method) if data_sets else []:
            means = group[group.method == name].groupby("task").accuracy.mean()
            rows.append([f"{name}, here", *means.reindex(data_sets)])
            if name in PUBLISHED:
                at = (reported.backbone == backbone) & (reported.method == PUBLISHED[name])
                at &= reported.shots == (0 if name == ZERO_SHOT else k)
                rows += [
                    [f"{name}, published", *line] for line in reported[at][data_sets].to_numpy()
                ]
        if rows:
            cells = [
                [name, *(f"{value:.1f}" for value in (*values, np.mean(values)))]
                for name, *values in rows
            ]
            parts += [
                f"### {model}, {shots_in_words(k)}",
                table(["accuracy in percent", *data_sets, "mean"], cells),
            ]
    return "\n\n".join(["## Beside the published accuracies", *parts]) if parts else ""


def main(arguments=None):
    parser = tasks.parser(__doc__, results="few_shot.csv")
    parser.add_argument("--methods", nargs="+", default=NAMES, choices=NAMES, metavar="METHOD")
    parser.add_argument("--test-task", nargs="+", default=[], metavar="FILE.npz")
    parser.add_argument("--redo", default=[], nargs="+", choices=NAMES, metavar="METHOD")
    parser.add_argument("--report-only", action="store_true")
    args = parser.parse_args(arguments)
    results = Results(args.results, KEY, VALUES)
    if not args.report_only:
        all_tasks = tasks.load(args.tasks)
        if args.test_task:
            others = tasks.load(args.test_task)
            all_tasks = [task.tested_on(other) for task in all_tasks for other in others]
        here = {(task.model, task.name) for task in all_tasks}
        results.forget(
            lambda row: row["method"] in args.redo and (row["model"], row["task"]) in here
        )
        run(all_tasks, results, args)
    frame = results.frame()
    frame = frame[frame.method.isin(NAMES)].assign(accuracy=lambda rows: 100 * rows.accuracy)
    print(report(frame) if len(frame) else "No results yet.")


if __name__ == "__main__":
    main()
