"""What each heuristic of the default model is worth: each is switched off in turn.

    python benchmarks/heuristics.py --tasks FILE.npz ...

Cases, in four groups:

- few shots: with text, and without;
- robustness: all cases of `robustness.py` but its terms, with a fifth of the labels wrong, and
  copies with a cosine of 0.98;
- folders: `with_unlabeled` on the pools of `folder.py`;
- clicks: the first four batches of `clicks.py`, in a folder of at most 600 images.

A figure is the accuracy in percent. For strangers it is the area under the ROC curve, and for
p-values the distance of the share that is refused from 5 %, with a minus. A cell has the mean of
what the heuristic gains in points, over the cases of the group and the tasks, and its standard
error over the draws. The last columns have the case and task that gain most and least, in standard
errors. With `--log-loss` the figures are log losses, times -100. Rows are added to `--results`, so
that an interrupted run goes on. Draws have the seeds 5000, 5001, ...
"""

import warnings
from argparse import Namespace
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest import mock

import folder
import numpy as np
import robustness
import tasks
from click_methods import Folder, Ours
from results import Results

from sksemobridge._model import (
    class_means,
    decision,
    discriminant,
    fit,
    label_noise,
    logistic,
    pool,
    shots,
    texts_alone,
    unlabeled,
)

KEY = ("heuristic", "case", "what", "task", "seed")
VALUES = ("accuracy", "log_loss")
WHOLE = "none"  # the heuristic that the whole model lacks
FIRST_SEED = 5000
MOST_CLICKED = 600  # images of a folder that is labelled
N_BATCHES = 4
# The columns of each case of `robustness.py` that have the default model.
COLUMNS = {
    "copies": ("as they come",),
    "labels": ("default",),
    "names": ("default",),
    "slip": ("one wrong",),
    "page": ("answered",),
    "minorities": ("default",),
    "uneven": ("shots",),
    "answered": ("1 a class", "all answers"),
    "nameless": ("default, nameless",),
    "few-classes": ("without text",),
    "strangers": ("near, score_samples",),
    "p-values": ("mean of classes, 0.05",),
}
GROUPS = {
    "few shots": ("shots", "without text"),
    "robustness": tuple(COLUMNS),
    "folders": ("folder",),
    "clicks": ("clicks",),
}


# What takes the place of a function whose heuristic is switched off.


def believe_texts(*args):
    scale, _ = fit_text(*args)
    return scale, 1.0


def none_wrong(n):
    return 0.0


def guess_kappa(within, between, guess, counts):
    return guess


def without_gaps(classes, trust, has_words):
    return fit_discriminant(classes, 0.0, has_words)


def same_width(self, counts):
    return np.ones(len(counts))


def as_if_even(counts, *args):
    return default_scales(np.full(len(counts), counts.mean()), *args)


def as_it_is(self):
    return 1.0


def as_if_all_named(counts, trust, text_scale, believed, share_named):
    return default_scales(counts, trust, text_scale, believed)


def without_span(v, weight, span=None, extra=0.0):
    return features_of(v, weight)


def each_alone(*args):
    return of_texts_alone(*args[:-1], np.inf)


def mean_text(self, classes, held_rows):
    return self.cosines


def nothing_beyond(self, rows):
    return np.zeros((len(rows), self.u.shape[1]))


def no_doubt(images, *args):
    return np.ones((2, len(images.codes)))


def any_class(p, codes, *args):
    return np.full(len(codes), 1 / p.shape[1])


def all_confirmed(*args):
    right, confirmed = judged_by_names(*args)
    return right, np.ones_like(confirmed)


def none_unusual(u, codes, relative, rows, right):
    return np.zeros(len(rows), dtype=bool)


def no_copies(u, codes):
    return np.arange(len(u))


def full_agreement(self, logits):
    return 1.0


def no_offsets(logits, weight):
    return np.zeros(logits.shape[1])


def same_factor(*args):
    return 1.0


def all_typical(levels):
    return np.ones(len(levels), dtype=bool)


fit_text, features_of, default_scales = texts_alone.fit_text, fit.features_of, fit.default_scales
fit_discriminant, judged_by_names = fit.fit_discriminant, label_noise._judged_by_names
of_texts_alone = fit.TextsAlone.of
# Each heuristic: the modules or classes, their attributes, and what takes the place of these.
SWITCHES = {
    "texts may not help": [(texts_alone, "fit_text", believe_texts)],
    "few answers refute no names": [
        (texts_alone, "expected_wrong", none_wrong),
        (logistic, "LEAST_IN_SPAN", 1e-6),
    ],
    "kappa by moments": [(class_means, "_kappa", guess_kappa)],
    "gaps in the covariance": [(fit, "fit_discriminant", without_gaps)],
    "features by deviations": [(discriminant, "WORTH_OF_GUESS", 1e12)],
    "few classes with many images": [(fit, "MOST_IMAGES", np.inf)],
    "images of one predicted class": [(fit.TextsAlone, "of", each_alone)],
    "stand-ins for texts": [
        (texts_alone.TextsAlone, "with_stand_ins", mean_text),
        (class_means.ClassMeans, "beyond_text", nothing_beyond),
    ],
    "few images beside many": [
        (discriminant.Gaussian, "_narrowness", same_width),
        (fit, "default_scales", as_if_even),
    ],
    "shots beside few names": [(fit, "default_scales", as_if_all_named)],
    "few images beside names": [(decision.LinearModel, "centre_known", property(as_it_is))],
    "span in the correction": [(fit, "features_of", without_span)],
    "wrong labels": [(fit, "right_labels", no_doubt)],
    "confusions of wrong labels": [(label_noise, "_if_wrong", any_class)],
    "labels that only look wrong": [
        (label_noise, "_judged_by_names", all_confirmed),
        (label_noise, "_is_unusual", none_unusual),
    ],
    "near copies": [(shots, "near_copies", no_copies), (pool, "near_copies", no_copies)],
    "folder: agreement": [(unlabeled.Mixture, "agreement", full_agreement)],
    "folder: offsets or shares": [(unlabeled, "class_offsets", no_offsets)],
    "folder: strangers left out": [
        (unlabeled, "LEAST_P_VALUE", 0.0),
        (unlabeled, "typical_of_names", all_typical),
    ],
    "folder: temperature": [(unlabeled, "match_entropy", same_factor)],
}


@contextmanager
def without(name):
    """The model without a heuristic."""
    with ExitStack() as stack:
        for where, attribute, value in SWITCHES.get(name, []):
            stack.enter_context(mock.patch.object(where, attribute, value))
        yield


def figures(case, task, seed, args):
    """Rows `(what, accuracy, log loss)` of a draw; a loss that is not known is NaN."""
    if case == "clicks":
        return of_clicks(task, seed)
    if case == "folder":
        found = []
        for k in (0, 1) if task.text_encoder is not None else (1,):
            drawn = folder.one_draw(task, args.strangers[task.name], k, seed, folder.KINDS)
            found += [
                (f"{row['pool']} {k}", row["accuracy_taught"], row["log_loss_taught"])
                for row in drawn
            ]
        return found
    if case in ("shots", "without text"):
        task, found = task if case == "shots" else task.without_text(), []
        for k in args.shots:
            if (drawn := task.draw(k, seed)) is not None:
                model = robustness.classifier(task).fit(task.X[drawn[0]], task.y[drawn[0]])
                right, loss = robustness.figures(model, task, drawn[1])
                found.append((str(k), right, loss))
        return found
    of_shots = [0] if case in robustness.OWN_SHOTS else [k for k in args.shots if k in (1, 4)]
    rows = [row for k in of_shots for row in robustness.CASES[case](task, k, seed, args)]
    values = [
        (f"{what}, {column}", columns.get(column))
        for what, columns in rows
        for column in COLUMNS[case]
    ]
    if case == "p-values":
        return [(what, -abs(value - 5), np.nan) for what, value in values]
    if case == "strangers":
        return [(what, value, np.nan) for what, value in values if value is not None]
    return [(what, right, loss) for what, (right, loss) in values]


def of_clicks(task, seed):
    """The share of a folder that is right after each batch of answers, and the log loss of what has
    no label. The folder is other images of the task for each seed.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(task.y))[: min(MOST_CLICKED, len(task.y) * 4 // 5)]
    task = replace(task, X=task.X[rows], y=task.y[rows])
    names = np.unique(task.y)
    kind = "" if task.text_encoder is not None else "no names"
    ours = Ours(Folder.of(task, names), rng, kind)
    asked, rows = np.array([], dtype=int), []
    for number in range(N_BATCHES + 1):
        predicted, _ = ours.learn(asked, task.y[asked])
        rest = np.setdiff1d(np.arange(len(task.y)), asked)
        n_wrong, loss = np.count_nonzero(predicted[rest] != task.y[rest]), np.nan
        if ours.kind == "":
            code = np.searchsorted(names, task.y[rest])
            loss = -np.log(np.maximum(ours.p[rest, code], 1e-12)).mean()
        rows.append((str(number), 100 * (1 - n_wrong / len(task.y)), loss))
        asked = np.append(asked, ours.choose(min(max(len(names) // 2, 1), len(rest))))
    return rows


def one_draw(name, case, task, seed, args):
    """The rows of a case without a heuristic."""
    key = {"heuristic": name, "case": case, "task": task.name, "seed": seed}
    with warnings.catch_warnings(action="ignore"), without(name):
        found = figures(case, task, seed, args)
    return [key | dict(zip(("what", *VALUES), row)) for row in found]


def report(frame, value="accuracy"):
    """A table of what each heuristic gains."""
    figures = frame.assign(log_loss=-100 * frame.log_loss)
    figures = figures.pivot_table(
        index=["case", "task", "what", "seed"], columns="heuristic", values=value
    )
    gains = -figures.drop(columns=WHOLE).sub(figures[WHOLE], axis=0)
    lines = []
    for name in (name for name in SWITCHES if name in gains):
        found = gains[name].dropna().groupby(["case", "task"]).agg(["mean", "sem"]).fillna(0.0)
        cells = [mean_of(found[found.index.isin(cases, level=0)]) for cases in GROUPS.values()]
        in_errors = found["mean"] / found["sem"].clip(lower=0.25)
        ends = [in_errors.idxmax(), in_errors.idxmin()]
        lines.append(
            [name, *cells, *(f"{in_words(found.loc[at], 1)} ({', '.join(at)})" for at in ends)]
        )
    return tasks.table(["heuristic", *GROUPS, "most", "least"], lines)


def mean_of(found):
    """The mean of cases and tasks, with its standard error."""
    if found.empty:
        return "-"
    error = np.sqrt(np.square(found["sem"]).sum()) / len(found)
    return in_words({"mean": found["mean"].mean(), "sem": error}, 2)


def in_words(pair, digits):
    return f"{pair['mean']:+.{digits}f} ± {pair['sem']:.{digits}f}"


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], shots=(1, 2, 4, 8), draws=2, results="heuristics.csv")
    cases = [case for group in GROUPS.values() for case in group]
    parser.add_argument("--cases", nargs="+", choices=cases, default=cases)
    parser.add_argument("--without", nargs="+", choices=[*SWITCHES], default=[*SWITCHES])
    parser.add_argument("--log-loss", action="store_true")
    args = parser.parse_args(arguments)
    all_tasks = tasks.load(args.tasks)
    far = {task.name: folder.strangers_of(task, all_tasks) for task in all_tasks}
    args = Namespace(**vars(args), strangers=far, rates=[0.2], cosines=[0.98])
    results = Results(args.results, KEY, VALUES)
    done = results.seen("heuristic", "case", "task", "seed")
    jobs = [
        job
        for number in range(args.draws)
        for task in all_tasks
        for case in args.cases
        for name in [WHOLE, *args.without]
        if (name, case, task.name, str(FIRST_SEED + number)) not in done
        for job in [(name, case, task, FIRST_SEED + number, args)]
    ]
    results.measure(one_draw, jobs, args.jobs)
    print(report(results.frame(), "log_loss" if args.log_loss else "accuracy"))


if __name__ == "__main__":
    main()
