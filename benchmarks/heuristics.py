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
errors. With `--log-loss` the figures are log losses, times -100. Rows are kept in `--results`, so
that an interrupted run goes on. Draws have the seeds 5000, 5001, ...
"""

import warnings
from argparse import Namespace
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import folder
import joblib
import numpy as np
import robustness
import tasks
from click_methods import Ours

from sksemobridge import _fitted, _zero_shot
from sksemobridge._model import (
    class_means,
    discriminant,
    fit,
    label_noise,
    logistic,
    pool,
    shots,
    unlabeled,
)

FIRST_SEED = 5000
MOST_CLICKED = 600  # images of a folder that is labelled
N_BATCHES = 4
# The column of each case of `robustness.py` that has the default model.
COLUMNS = {
    "copies": "as they come",
    "labels": "default",
    "names": "default",
    "slip": "one wrong",
    "minorities": "default",
    "uneven": "shots",
    "answered": "all answers",
    "nameless": "default, nameless",
    "few-classes": "without text",
    "strangers": "near, score_samples",
    "p-values": "mean of classes, 0.05",
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


def without_span(v, weight, span=None, extra=0.0):
    return features_of(v, weight)


def mean_text(self, classes, held_rows):
    return self.cosines


def nothing_beyond(self, rows):
    return np.zeros((len(rows), self.u.shape[1]))


def no_doubt(evidence_if, u, codes, *args):
    return np.ones((2, len(codes)))


def any_class(p, codes, *args):
    return np.full(len(codes), 1 / p.shape[1])


def all_confirmed(*args):
    right, confirmed = judged_by_names(*args)
    return right, np.ones_like(confirmed)


def none_unusual(u, codes, weighs, rows, right):
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


fit_text, features_of, default_scales = fit.fit_text, fit.features_of, fit.default_scales
fit_discriminant, judged_by_names = fit.fit_discriminant, label_noise._judged_by_names
# Each heuristic: the modules or classes, their attributes, and what takes the place of these.
SWITCHES = {
    "texts may not help": [(fit, "fit_text", believe_texts)],
    "few answers refute no names": [
        (logistic, "expected_wrong", none_wrong),
        (logistic, "LEAST_IN_SPAN", 1e-6),
    ],
    "kappa by moments": [(class_means, "_kappa", guess_kappa)],
    "gaps in the covariance": [(fit, "fit_discriminant", without_gaps)],
    "features by deviations": [(discriminant, "WORTH_OF_GUESS", 1e12)],
    "few classes with many images": [(fit, "MOST_IMAGES", np.inf)],
    "stand-ins for texts": [
        (fit.TextsAlone, "with_stand_ins", mean_text),
        (class_means.ClassMeans, "beyond_text", nothing_beyond),
    ],
    "few images beside many": [
        (discriminant.Gaussian, "_narrowness", same_width),
        (fit, "default_scales", as_if_even),
    ],
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
        (_fitted, "LEAST_P_VALUE", 0.0),
        (_zero_shot, "typical_of_names", all_typical),
    ],
    "folder: temperature": [(unlabeled, "match_entropy", same_factor)],
}


@contextmanager
def without(name):
    """The model without a heuristic, None for the whole model."""
    with ExitStack() as stack:
        for where, attribute, value in SWITCHES.get(name, []):
            stack.enter_context(mock.patch.object(where, attribute, value))
        yield


def figures(case, task, seed, args):
    """Rows `(what, accuracy, -100 log loss)` of a draw; a loss that is not known is NaN."""
    if case == "clicks":
        return of_clicks(task, seed)
    if case == "folder":
        found = []
        for k in (0, 1) if task.text_encoder is not None else (1,):
            _, _, drawn = folder.one_draw(task, args.strangers[task.name], k, seed, folder.KINDS)
            found += [(f"{pool} {k}", taught[0], -100 * taught[1]) for pool, _, taught in drawn]
        return found
    if case in ("shots", "without text"):
        task, found = task if case == "shots" else task.without_text(), []
        for k in args.shots:
            if (drawn := task.draw(k, seed)) is not None:
                model = robustness.classifier(task).fit(task.X[drawn[0]], task.y[drawn[0]])
                right, loss = robustness.figures(model, task, drawn[1])
                found.append((str(k), right, -100 * loss))
        return found
    of_shots = [0] if case in robustness.OWN_SHOTS else [k for k in args.shots if k in (1, 4)]
    rows = [row for k in of_shots for row in robustness.CASES[case](task, k, seed, args)]
    values = [(what, columns.get(COLUMNS[case])) for what, columns in rows]
    if case == "p-values":
        return [(what, -abs(value - 5), np.nan) for what, value in values]
    if case == "strangers":
        return [(what, value, np.nan) for what, value in values if value is not None]
    return [(what, right, -100 * loss) for what, (right, loss) in values]


def of_clicks(task, seed):
    """The share of a folder that is right after each batch of answers, and the log loss of what has
    no label. The folder is other images of the task for each seed.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(task.y))[: min(MOST_CLICKED, len(task.y) * 4 // 5)]
    task = replace(task, X=task.X[rows], y=task.y[rows])
    ours = Ours(task, "" if task.text_encoder is not None else "no names", rng)
    labelled, rows = np.zeros(len(task.y), dtype=bool), []
    for number in range(N_BATCHES + 1):
        right = labelled.copy()
        right[~labelled] = ours.learn(labelled) == task.y[~labelled]
        loss = np.nan
        if ours.kind == "":
            code = np.searchsorted(ours.classes, task.y[~labelled])
            loss = -np.log(np.maximum(ours.p[~labelled][np.arange(len(code)), code], 1e-12)).mean()
        rows.append((str(number), 100 * right.mean(), -100 * loss))
        n = min(max(len(ours.classes) // 2, 1), np.count_nonzero(~labelled))
        labelled[ours.choose(labelled, n)] = True
    return rows


def one_draw(name, case, task, seed, args):
    """Rows `(heuristic, case, task, seed, what, accuracy, -100 log loss)`."""
    with warnings.catch_warnings(action="ignore"), without(name):
        return [(name, case, task.name, seed, *row) for row in figures(case, task, seed, args)]


def gains(rows, name, case, value):
    """What a heuristic gains in a case: `{task: (mean, standard error)}` over all draws."""
    whole = {row[1:5]: row[value] for row in rows if row[0] is None and row[1] == case}
    by_task = {}
    for row in rows:
        if row[:2] == (name, case) and np.isfinite(row[value]):
            by_task.setdefault(row[2], []).append(whole[row[1:5]] - row[value])
    return {task: (np.mean(each), standard_error(each)) for task, each in by_task.items()}


def standard_error(values):
    return np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0


def report(rows, names, value):
    """A table of what each heuristic gains."""
    lines = []
    for name in names:
        cells, all_found = [], {}
        for cases in GROUPS.values():
            found = {
                f"{case}, {task}": pair
                for case in cases
                for task, pair in gains(rows, name, case, value).items()
            }
            cells.append(mean_of(found))
            all_found |= found
        lines.append([name, *cells, *(extreme(all_found, of) for of in (max, min))])
    return tasks.table(["heuristic", *GROUPS, "most", "least"], lines)


def mean_of(found):
    if not found:
        return "-"
    means, errors = np.transpose([*found.values()])
    return f"{means.mean():+.2f} ± {np.sqrt(np.sum(errors**2)) / len(errors):.2f}"


def extreme(found, of):
    """The case and task that gain most or least, in standard errors of at least 0.25 points."""
    where = of(found, key=lambda key: found[key][0] / max(found[key][1], 0.25))
    return f"{found[where][0]:+.1f} ± {found[where][1]:.1f} ({where})"


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], shots=(1, 2, 4, 8), draws=2)
    cases = [case for group in GROUPS.values() for case in group]
    parser.add_argument("--cases", nargs="+", choices=cases, default=cases)
    parser.add_argument("--without", nargs="+", choices=[*SWITCHES], default=[*SWITCHES])
    parser.add_argument("--log-loss", action="store_true")
    parser.add_argument("--results", type=Path, help="file in which rows are kept")
    args = parser.parse_args(arguments)
    all_tasks = tasks.load(args.tasks)
    far = {task.name: folder.strangers_of(task, all_tasks) for task in all_tasks}
    args = Namespace(**vars(args), strangers=far, rates=[0.2], cosines=[0.98])
    rows = joblib.load(args.results) if args.results and args.results.exists() else []
    done = {row[:4] for row in rows}
    jobs = [
        job
        for number in range(args.draws)
        for task in all_tasks
        for case in args.cases
        for name in [None, *args.without]
        if (name, case, task.name, FIRST_SEED + number) not in done
        for job in [(name, case, task, FIRST_SEED + number, args)]
    ]
    with joblib.parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=1):
        calls = (joblib.delayed(one_draw)(*job) for job in jobs)
        for number, found in enumerate(joblib.Parallel(return_as="generator_unordered")(calls)):
            rows += found
            if args.results and (number % 50 == 49 or number == len(jobs) - 1):
                joblib.dump(rows, args.results)
    print(report(rows, args.without, 6 if args.log_loss else 5))


if __name__ == "__main__":
    main()
