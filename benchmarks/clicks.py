"""How many labels make a whole folder right, and how many are right by what a method says?

    python benchmarks/clicks.py --tasks FILE.npz ... --plot clicks.png
    python benchmarks/clicks.py --tasks FILE.npz ... --method my_module:MyClass

The protocol. A folder is a sample of the images of a task: nine tenths of them, at most `--most`,
others in each draw. A method knows their embeddings and the names of the classes. It asks for half
a label a class at once, and the answers are right. Then it gives all images labels, and says which
share of the images without an answer is right. An image with an answer is right, the others by
these labels. A draw ends when 99 % of the folder are right, or after `--rounds` batches.

`--method` adds a class of yours (`click_methods.py` says what it must do) to these, by default all
but the last:

- FewShotClassifier: from the names alone on, taught by the folder (`with_unlabeled`), asks for
  `label_next`;
- FewShotClassifier, random: the same, asks for random images;
- FewShotClassifier, no names: without the names, from a random batch on, asks for `label_next`;
- LogisticRegression around the texts: its weights are drawn to the texts of the names (`scale T`,
  with the variance 100). Asks for the least margin, the difference of the two largest
  probabilities. So do TextCoord (`peers.py`) and SeMoBridge (`SeMoBridgeClassifier`);
- zero-shot, margin: the names alone. It learns nothing;
- LogisticRegression, from names: with margin, and the texts of the classes as their first examples;
- LogisticRegression (with its setting of `settings.py`, unit embeddings), random or margin: asks
  for random images, or by margin. The first batch is random;
- LogisticRegression with the strategies TypiClust, CoreSet, Badge and ProbCover of scikit-activeml.

Tasks with the same labels in the same order are one set of pictures through several models, whose
mean counts once. The first table has the labels until 90, 95 and 99 % of the folder are right,
means over the draws with their standard errors. ">" is before a number if a draw did not get there.
The second has labels a class, and how many times ours a method needs: geometric means over the sets
of pictures with their standard errors, and the number of sets where it needs fewer. No label at all
counts as half a batch there. The third table and the plot have the share that is right, where a
draw that has ended keeps its last share. The last one has the error of the share that a method
says, in points, and how often its interval holds the true one.

With `--strangers`, half of the folder are images of another task, which are none of the classes
(`folder.py` says which). For logistic regression without texts they are a class. Rows are added to
`--results`, so that an interrupted run goes on.
"""

import os
import warnings
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import tasks
from click_methods import BASELINES, METHODS, NONE, OURS, Folder, method_of
from folder import strangers_of
from results import Results

KEY = ("model", "task", "method", "seed", "labels")
# Tasks of one number of pictures have the same labels in the same order.
VALUES = ("batch", "right", "classes", "pictures", "error", "held")
MOST = 2000  # images of a folder
SHARE = 0.9  # of the images of a task, in a sample
MOST_OF_SAMPLE = 600
FIRST_SEED = 3000
LEVELS = (90, 95, 99)  # percent of the folder that is right
SHARES = (0, 1, 2, 4, 8)  # half labels a class
SHOWN = 16  # half labels a class in the plot


def curve(whole, strangers, most, method, seed, most_rounds):
    """Rows of labels and the share of a sample that is right, in percent."""
    warnings.simplefilter("ignore")
    classes, task = np.unique(whole.y), sample(whole, strangers, most, seed)
    learner = method_of(method)(Folder.of(task, classes), np.random.default_rng(seed))
    asked, rows = np.array([], dtype=int), []
    for number in range(most_rounds + 1):
        row = {"labels": len(asked), "batch": number, "right": 100.0, "error": "", "held": ""}
        if len(asked) < len(task.y):
            row |= judged(task.y, asked, *learner.learn(asked, task.y[asked]))
        rows.append(row)
        if row["right"] >= LEVELS[-1]:
            break
        n = min(max(len(classes) // 2, 1), len(task.y) - len(asked))
        asked = np.append(asked, checked(learner.choose(n), n, asked, len(task.y), method))
    of_curve = {"model": task.model, "task": task.name, "method": method, "seed": seed}
    of_curve |= {"classes": len(classes), "pictures": crc32("\n".join(whole.y).encode())}
    return [row | of_curve for row in rows]


def judged(y, asked, predicted, said):
    """The share that is right, the error of the share that is said, in points, and whether its
    interval holds the share.

    The said share is of the images that have no answer, and are no strangers by the predictions.
    """
    predicted, row = np.array(predicted), {}
    rest = (predicted != NONE) & ~np.isin(np.arange(len(y)), asked)
    if said is not None and rest.any():
        share, (estimate, *interval) = np.mean(predicted[rest] == y[rest]), np.atleast_1d(said)
        row["error"] = 100 * (estimate - share)
        if interval:
            row["held"] = int(interval[0] <= share <= interval[1])
    predicted[asked] = y[asked]
    return row | {"right": 100 * np.mean(predicted == y)}


def checked(chosen, n, asked, n_images, method):
    """The rows that a method asks for next."""
    chosen = np.asarray(chosen, dtype=int)
    rest = np.setdiff1d(np.arange(n_images), asked)
    if not 1 <= len(chosen) <= n or len(np.intersect1d(chosen, rest)) < len(chosen):
        raise SystemExit(
            f"choose({n}) of {method!r} must give 1 to {n} different rows without an answer; it"
            f" gave {chosen.tolist()}."
        )
    return chosen


def sample(task, strangers, most, seed):
    """Nine tenths of the images of a task, at most `most`, other ones for each seed."""
    return folder(task, strangers, min(most, int(np.ceil(SHARE * len(task.y)))), seed)


def folder(task, strangers=None, most=MOST, seed=0):
    """At most `most` images of a task; with strangers `(n, D)`, half of them are such, and labelled
    `NONE`.
    """
    rng = np.random.default_rng(seed)
    most = most if strangers is None else min(most // 2, len(strangers))
    rows = np.sort(rng.permutation(len(task.y))[:most])
    X, y = task.X[rows], task.y[rows]
    if strangers is not None:
        X = np.concatenate([X, strangers[rng.permutation(len(strangers))[: len(X)]]])
        y = np.concatenate([y, np.full(len(X) - len(y), NONE)])
    return tasks.Task(task.name, task.model, X, y, task.text_encoder, task.prompts)


def in_sets_of_pictures(frame):
    """The rows with the set of pictures, and its number of classes, in place of the task."""
    titles = {}
    for _, rows in frame.groupby("pictures", sort=False):
        members = [*rows.task.unique()]
        name = os.path.commonprefix(members).rstrip("_-, ") or members[0]
        models = f", {len(members)} models" if len(members) > 1 else ""
        titles |= dict.fromkeys(members, f"{name}, {rows.classes.iloc[0]} classes{models}")
    return frame.assign(task_of_file=frame.task, task=frame.task.map(titles))


def labels_until(frame):
    """Labels until each level, or all that were given, and whether it was reached: a row for each
    draw and level, without labels at least half a batch in `at_least`.
    """
    rows = []
    keys = ["task", "method", "task_of_file", "model", "seed"]
    for key, of_curve in frame.groupby(keys, sort=False):
        n_classes = of_curve.classes.iloc[0]
        for level in LEVELS:
            there = of_curve.labels[of_curve.right >= level]
            labels = there.min() if len(there) else of_curve.labels.max()
            at_least = max(labels, max(n_classes // 2, 1) / 2)
            rows.append([*key, level, labels, at_least, len(there) > 0, labels / n_classes])
    columns = [*keys, "level", "labels", "at_least", "reached", "a_class"]
    return pd.DataFrame(rows, columns=columns)


def in_order(frame):
    """The methods of some rows, those of others last."""
    known = dict.fromkeys([*METHODS, *frame.method.unique()])
    return [method for method in known if method in set(frame.method)]


def labels_table(frame):
    """Labels by task and method, means over the draws with their standard errors."""
    until = labels_until(in_sets_of_pictures(frame))
    # Models are of the same pictures, so their mean is one draw.
    by = ["task", "method", "level"]
    draws = until.groupby([*by, "seed"]).labels.mean().groupby(by)
    mean, error, reached = draws.mean(), draws.sem(), until.groupby(by).reached.all()

    def cell(key):
        more, spread = "" if reached[key] else "> ", error[key]
        return f"{more}{mean[key]:.0f}" + ("" if np.isnan(spread) else f" ± {spread:.0f}")

    rows = [
        [task, method, *(cell((task, method, level)) for level in LEVELS)]
        for task in until.task.unique()
        for method in in_order(frame)
        if (task, method, LEVELS[0]) in mean
    ]
    return tasks.table(["labels until", "", *map("{} %".format, LEVELS)], rows, n_left=2)


def ratios_table(frame, titles=None, levels=LEVELS):
    """Labels a class, and how many times ours a method needs, with the title of each method."""
    frame = in_sets_of_pictures(frame)
    titles = titles or {method: method for method in in_order(frame)}
    until = labels_until(frame[frame.method.isin(titles)])
    by = ["level", "method", "task"]
    # Sets that all methods have.
    n_methods = until.groupby("task").method.nunique()
    until = until[until.task.isin(n_methods.index[n_methods == len(titles)])]
    a_class = until.groupby(by).a_class.mean().groupby(by[:2]).mean()
    reached = until.groupby(by[:2]).reached.all()
    means = until.groupby([*by, "task_of_file", "model"]).at_least.mean()
    logs = np.log(means).groupby(by).mean()

    def cells(level, method):
        more = "" if reached[level, method] else "> "
        labels = f"{more}{a_class[level, method]:.1f}"
        if method == OURS or OURS not in titles:
            return [labels, ""]
        ratios = logs[level, method] - logs[level, OURS]
        ratio, fewer = np.exp(ratios.mean()), np.count_nonzero(ratios < 0)
        spread = f" ± {ratio * ratios.sem():.1f}" if len(ratios) > 1 else ""
        return [labels, f"{more}{ratio:.1f}{spread} ({fewer} of {len(ratios)})"]

    rows = [
        [title, *(cell for level in levels for cell in cells(level, method))]
        for method, title in (titles.items() if len(until) else ())
    ]
    header = [words for level in levels for words in (f"{level} %", "times ours (fewer)")]
    return tasks.table(["labels a class until", *header], rows)


def shares_table(frame):
    """The share of the folder that is right by labels a class, means over the tasks."""
    shares = by_batch(in_sets_of_pictures(frame))
    shares = shares.groupby(["method", "task"]).mean().groupby("method").mean()
    rows = [
        [method, *(f"{shares.loc[method].get(number, np.nan):.1f}" for number in SHARES)]
        for method in in_order(frame)
    ]
    return tasks.table(["% right after labels a class", *labels_in_words()], rows)


def by_batch(frame):
    """The share that is right, a row for each draw, a column for each batch. A draw that has ended
    keeps its last share.
    """
    draws = ["task", "method", "task_of_file", "model", "seed"]
    table = frame.pivot_table("right", draws, "batch").sort_index(axis=1)
    table = table.reindex(columns=range(max(SHOWN, *table.columns) + 1))
    filled = table.ffill(axis=1)
    return filled.where(table.notna() | (filled >= LEVELS[-1]))


def estimates_table(frame):
    """How well the share that is right is estimated; None where nothing estimates it."""
    frame = in_sets_of_pictures(frame)
    said = frame.assign(error=frame.error.abs(), held=100 * frame.held)
    said = said.groupby(["method", "batch", "task"])[["error", "held"]].mean()
    said = said.groupby(level=[0, 1]).mean()
    numbers = SHARES[1:]
    rows = [
        [method, name, *(f"{of_method.get(number, np.nan):.1f}" for number in numbers)]
        for method in in_order(frame)
        for name, column in (("error", "error"), ("held, %", "held"))
        if (of_method := said[column].loc[method]).notna().any()
    ]
    header = ["estimate after labels a class", "", *labels_in_words(numbers)]
    return tasks.table(header, rows, n_left=2) if rows else None


def labels_in_words(numbers=SHARES):
    return [f"{number / 2:g}" for number in numbers]


def report(frame):
    tables = (labels_table, ratios_table, shares_table, estimates_table)
    return "\n\n".join(filter(None, (table(frame) for table in tables)))


def draw_plot(frame, methods, path):
    """The mean over the tasks of the share that is wrong, by labels a class."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    frame = in_sets_of_pictures(frame)
    shares = by_batch(frame).groupby(["method", "task"]).mean().groupby("method").mean()
    shares = shares[range(SHOWN + 1)]
    figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for name in [name for name in in_order(frame) if name in methods]:
        width, order = (2.5, 3) if name == OURS else (1.2, 2)
        wrong = 100 - shares.loc[name]
        ax.plot(shares.columns / 2, wrong, label=name, linewidth=width, zorder=order)
    # From 5 % wrong to 1 % is as far as from 50 % to 10 %.
    ax.set(xlabel="labels a class", ylabel="images of the folder that are wrong, %", yscale="log")
    ticks = (1, 2, 5, 10, 20, 50)
    ax.set_yticks(ticks, map(str, ticks))
    ax.minorticks_off()
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], draws=10, results="clicks.csv")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=BASELINES, metavar="METHOD"
    )
    parser.add_argument("--method", nargs="+", default=[], metavar="MODULE:CLASS")
    parser.add_argument("--most", type=int, default=MOST_OF_SAMPLE, help="images of a folder")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--strangers", action="store_true")
    parser.add_argument(
        "--rounds", type=int, default=60, help="batches, after which a method is given up"
    )
    args = parser.parse_args(arguments)
    methods = [*args.methods, *args.method]
    for name in methods:
        method_of(name)
    results = Results(args.results, KEY, VALUES)
    done, jobs = results.seen("model", "task", "method", "seed"), []
    all_tasks = tasks.load(args.tasks)
    for whole in all_tasks:
        strangers = strangers_of(whole, all_tasks) if args.strangers else None
        if strangers is not None and not len(strangers):
            raise SystemExit(
                f"{whole.name!r} has no strangers: name another file of its model and width."
            )
        if whole.text_encoder is None:
            raise SystemExit(
                f"{whole.name!r} has no texts. A folder starts from the names of its classes."
            )
        jobs += [
            (whole, strangers, args.most, method, seed, args.rounds)
            for method in methods
            for seed in range(FIRST_SEED, FIRST_SEED + args.draws)
            if (whole.model, whole.name, method, str(seed)) not in done
        ]
    # An interrupted run has all tasks of the first methods.
    jobs.sort(key=lambda job: methods.index(job[3]))
    results.measure(curve, jobs, args.jobs)
    print(report(results.frame()))
    if args.plot:
        draw_plot(results.frame(), methods, args.plot)


if __name__ == "__main__":
    main()
