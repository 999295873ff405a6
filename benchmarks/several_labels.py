"""Images with several labels: what the names of the labels gain beside a few tagged images.

    python benchmarks/several_labels.py --tasks FILE.npz ...

Images of two things are made up: the mean of the unit embeddings of two images of different
classes. An image is either in those to learn from, once, or in those to test on. Tasks of many
classes have 40 of them. For each number of tagged images there is a row in two tables, in percent.

The first has the mean average precision (of the tags that some of the images have) of

- LogisticRegression (`C=100`), a model for each tag, RidgeCV (23 values of `alpha`), and names
  alone (the cosines to the texts less their mean);
- `MultilabelFewShotClassifier`, with names and without;
- its gain over LogisticRegression and over RidgeCV on the same draws, with its standard error over
  these.

The second has the macro F1 and the micro F1. Tags are given to the whole set by the largest
expected F1 ("together"), also for LogisticRegression, to single images by `predict`, and where the
probability, or what RidgeCV predicts, is at least a half (".5"). Draws have the seeds 3000, 3001,
... Rows are added to `--results`, so that an interrupted run goes on.

With `--time`, the table has seconds of the processor instead, for made-up images of any number,
features and tags, beside scikit-learn's OneVsRestClassifier of LogisticRegression (`C=1`).
"""

import warnings

import joblib
import numpy as np
import tasks
from results import Results
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import average_precision_score, f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import normalize
from timing import cpu_timed

from sksemobridge import MultilabelFewShotClassifier
from sksemobridge._model.multilabel import tag_together

KEY = ("task", "images", "seed", "method", "measure")
VALUES = ("percent",)
FIRST_SEED = 3000
MOST_TAGS = 40
TO_LEARN = 0.6  # share of the images that may be learnt from
TEST_ROUNDS = 4  # images to test on are paired so many times
METHODS = ("LogisticRegression", "RidgeCV", "names alone", "without names", "ours")
ALPHAS = np.logspace(-8, 3, 23)


def pairs_of(rows, y, rng, rounds=1):
    """Pairs of rows of different classes `(n, 2)`, in which each row is at most once a round."""
    found = []
    for _ in range(rounds):
        shuffled = rng.permutation(rows)
        found.append(shuffled[: len(shuffled) // 2 * 2].reshape(-1, 2))
    found = np.concatenate(found)
    return found[y[found[:, 0]] != y[found[:, 1]]]


def tagged(pairs, task, tags):
    """Embeddings of pictures of two things, and which tags they have."""
    unit = normalize(task.X)
    Y = (task.y[pairs[:, 0], None] == tags) | (task.y[pairs[:, 1], None] == tags)
    return normalize(unit[pairs[:, 0]] + unit[pairs[:, 1]]), Y.astype(int)


def draw(task, n, seed):
    """Pictures to learn from, `n` if there are so many, and to test on, as embeddings and tags."""
    rng = np.random.default_rng(seed)
    tags, counts = np.unique(task.y, return_counts=True)
    tags = np.sort(rng.permutation(tags[counts >= 5])[:MOST_TAGS])
    rows = rng.permutation(np.flatnonzero(np.isin(task.y, tags)))
    n_learn = min(int(TO_LEARN * len(rows)), 3 * n)
    learn = pairs_of(rows[:n_learn], task.y, rng)[:n]
    test = pairs_of(rows[n_learn:], task.y, rng, TEST_ROUNDS)
    return tags, tagged(learn, task, tags), tagged(test, task, tags)


def classifier(task, tags, with_names=True):
    names = list(map(str, tags)) if with_names else "ignore"
    encoder = task.text_encoder if with_names else None
    return MultilabelFewShotClassifier(encoder, prompts=task.prompts, class_names=names)


def logistic_regressions(X, Y, queries):
    """Probabilities of each tag by scikit-learn."""
    models = [LogisticRegression(C=100, max_iter=1000).fit(X, column) for column in Y.T]
    return np.column_stack([model.predict_proba(queries)[:, 1] for model in models])


def one_draw(task, n, seed):
    """The rows of a draw; none if the task has too few images."""
    tags, (X, Y), (queries, truth) = draw(task, n, seed)
    if len(X) < n:
        return []
    judged = Y.any(axis=0) & ~Y.all(axis=0) & truth.any(axis=0)
    truth, found = truth[:, judged], {}
    with warnings.catch_warnings(action="ignore"):
        found["RidgeCV"] = RidgeCV(ALPHAS).fit(X, Y[:, judged]).predict(queries)
        found["LogisticRegression"] = logistic_regressions(X, Y[:, judged], queries)
        for name, with_names in (("without names", False), ("ours", True)):
            model = classifier(task, tags, with_names).fit(X, Y)
            found[name] = model.predict_proba(queries)[:, judged]
        # Centred, as an image is often near to all texts or to none.
        texts = model.text_embeddings_ - model.text_embeddings_.mean(axis=0)
        found["names alone"] = queries @ texts[judged].T
        by_rows = model.predict(queries)[:, judged]
    rows = []
    for name, values in found.items():
        precision = np.mean(
            [average_precision_score(truth[:, k], values[:, k]) for k in range(judged.sum())]
        )
        rows.append((name, "precision", precision))
        if name != "names alone":
            rows += f1_scores(name, "at half", truth, values >= 0.5)
        if name not in ("names alone", "RidgeCV"):  # which have no probabilities
            rows += f1_scores(name, "together", truth, tag_together(values))
    rows += f1_scores("ours", "predict", truth, by_rows)
    key = {"task": task.name, "images": n, "seed": seed}
    return [
        key | {"method": name, "measure": measure, "percent": 100 * value}
        for name, measure, value in rows
    ]


def f1_scores(method, rule, truth, given):
    """Rows of the macro F1 and the micro F1 of tags that were given by a rule."""
    return [
        (method, f"{rule}, {average}", f1_score(truth, given, average=average, zero_division=0))
        for average in ("macro", "micro")
    ]


def lines_of(frame, columns, gains):
    """A line for each task and number of images: means, and gains of ours over a method."""
    lines = []
    for (task, images), rows in frame.groupby(["task", "images"], sort=False):
        found = rows.pivot(index="seed", columns=["method", "measure"], values="percent")
        each = [found["ours", measure] - found[method, measure] for method, measure in gains]
        lines.append(
            [
                f"{task}, {images}",
                *(f"{found[column].mean():.1f}" for column in columns),
                *(f"{d.mean():+.1f} ± {d.sem() if len(d) > 1 else 0.0:.1f}" for d in each),
            ]
        )
    return lines


def report(frame):
    """The table of mean average precisions."""
    header = [
        "task, tagged images",
        *METHODS[:-1],
        "MultilabelFewShotClassifier",
        "gain over LogisticRegression",
        "gain over RidgeCV",
    ]
    columns = [(method, "precision") for method in METHODS]
    gains = [(method, "precision") for method in METHODS[:2]]
    return tasks.table(header, lines_of(frame, columns, gains))


def report_f1(frame):
    """The table of F1."""
    columns = {
        "LogisticRegression, together": ("LogisticRegression", "together, macro"),
        "RidgeCV, .5": ("RidgeCV", "at half, macro"),
        "ours, together": ("ours", "together, macro"),
        "ours, `predict`": ("ours", "predict, macro"),
        "micro: LogisticRegression, .5": ("LogisticRegression", "at half, micro"),
        "RidgeCV, .5 ": ("RidgeCV", "at half, micro"),
        "ours, `predict` ": ("ours", "predict, micro"),
        "ours, .5": ("ours", "at half, micro"),
    }
    first, *others = map(str.strip, columns)
    header = ["task, tagged images", f"macro: {first}", *others]
    return tasks.table(header, lines_of(frame, columns.values(), []))


def seconds(sizes):
    """A table of the time of `fit`, for sizes `(images, features, tags)`."""
    lines = []
    for n, width, n_tags in sizes:
        task = tasks.made_up(n_tags, max(4, 4 * n // n_tags), width)
        rng = np.random.default_rng(0)
        pairs = pairs_of(np.arange(len(task.y)), task.y, rng, rounds=3)[:n]
        tags = np.unique(task.y)
        X, Y = tagged(pairs, task, tags)
        encoder = task.text_encoder
        encoder.transform(encoder.texts)
        names = {k: encoder.texts[k] for k in range(n_tags)}
        ours = MultilabelFewShotClassifier(encoder, prompts="{}", class_names=names)
        theirs = OneVsRestClassifier(LogisticRegression(max_iter=1000))
        with warnings.catch_warnings(action="ignore"):
            times = [[cpu_timed(model.fit, X, Y)[0] for model in (ours, theirs)] for _ in range(4)]
        mine, other = np.median(times[1:], axis=0)
        lines.append([f"{n} x {width} x {n_tags}", f"{mine:.2f}", f"{other:.2f}"])
    header = ["images x features x tags", "MultilabelFewShotClassifier", "OneVsRestClassifier"]
    return tasks.table(header, lines)


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], shots=(), draws=10, results="several_labels.csv")
    parser.add_argument("--images", nargs="+", type=int, default=[20, 50, 100, 200])
    parser.add_argument("--time", nargs="*", metavar="IMAGESxFEATURESxTAGS")
    args = parser.parse_args(arguments)
    if args.time is not None:
        sizes = args.time or ["20x512x40", "200x512x40", "1000x512x100", "5000x512x200"]
        with joblib.parallel_config("loky", inner_max_num_threads=1):
            print(seconds([tuple(map(int, size.split("x"))) for size in sizes]))
        return
    jobs = [
        (task, n, FIRST_SEED + number)
        for task in tasks.load(args.tasks)
        for n in args.images
        for number in range(args.draws)
    ]
    results = Results(args.results, KEY, VALUES)
    done = results.seen("task", "images", "seed")
    jobs = [job for job in jobs if (job[0].name, *map(str, job[1:])) not in done]
    results.measure(one_draw, jobs, args.jobs)
    print(report(results.frame()), report_f1(results.frame()), sep="\n\n")


if __name__ == "__main__":
    main()
