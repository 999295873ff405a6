"""What the rules of SeMoBridgeClassifier that are not in the paper are worth, and where it stands
beside FewShotClassifier if data are not balanced and clean.

    python benchmarks/bridge_rules.py --tasks FILE.npz ...

Cases, with texts, and without where these are not needed:

- equal: 1, 4 and 8 shots of each class.
- uneven: half of the classes have 1 shot and half 16, or each has 1, 2, 4, 8 or 16 at random.
- labels: 10 or 20 % of the labels of 4 and 8 shots are those of any other class.
- names, with 1 and 4 shots: all names are those of the third class before; half or a fifth of the
  classes have the names of each other; or the shots of a fifth have each other's labels.
- copies: each of 1 and 4 shots is there five times, with noise (a cosine of 0.98).
- missing: a tenth of the classes (two at least) has no name, with 1 and 4 shots.

Each rule is switched off in the cases that it is for, and in the equal ones. The bridge is trained
on tasks of fewer than `--most-trained` classes. Draws have the seeds 6000, 6001, ... Rows are added
to `--results`, so that an interrupted run goes on.
"""

import warnings
from contextlib import ExitStack
from functools import partial
from itertools import chain, product
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

import numpy as np
import robustness
import tasks
from few_shot_methods import CLOSED_FORM, OURS, TRAINED, ZERO_SHOT, semobridge
from heuristics import no_copies
from results import Results

from sksemobridge._model import judged_names, shots
from sksemobridge._semobridge import (
    bridge_fit,
    bridged_classes,
    closed_form,
    hyperparameters,
    shot_counts,
    training,
    training_cache,
)

DRAW = ("case", "shots", "texts", "task", "seed")
KEY = (*DRAW, "method", "without")
VALUES = ("accuracy", "log_loss")
FIRST_SEED = 6000
BRIDGES = {CLOSED_FORM: "closed_form", TRAINED: "lbfgs"}
WHOLE = "none"  # the rule that the whole classifier lacks
N_TIMES = 5  # that each shot is there with noise
COSINE = 0.98  # of a shot and its copy


class Draw(NamedTuple):
    """Shots and queries with labels."""

    X: np.ndarray
    y: np.ndarray
    queries: np.ndarray
    y_queries: np.ndarray
    unnamed: tuple = ()  # the classes that have no name


# Cases: functions `(drawn, task, rng)` make a draw worse. For uneven shots, functions `(n_classes,
# rng)` give the numbers.


def wrong_labels(drawn, task, rng, rate):
    return drawn._replace(y=robustness.wrong_labels(task, drawn.y, "any", rate, rng))


def wrong_names(drawn, task, rng, renamed, of_queries=True):
    classes = np.unique(drawn.y)
    names = renamed(classes, rng)
    y, y_queries = (names[np.searchsorted(classes, y)] for y in (drawn.y, drawn.y_queries))
    return drawn._replace(y=y, y_queries=y_queries if of_queries else drawn.y_queries)


def with_copies(drawn, task, rng):
    noise = rng.normal(size=(N_TIMES, *drawn.X.shape)) * np.sqrt((1 / COSINE - 1) / task.X.shape[1])
    unit = drawn.X / np.linalg.norm(drawn.X, axis=1, keepdims=True)
    return drawn._replace(X=np.concatenate(unit + noise), y=np.tile(drawn.y, N_TIMES))


def missing_names(drawn, task, rng):
    classes = rng.permutation(np.unique(drawn.y))
    return drawn._replace(unnamed=tuple(classes[: max(2, len(classes) // 10)]))


half, fifth = (partial(robustness.exchanged, share=share) for share in (0.5, 0.2))
CASES = {
    "equal": {"equal": lambda drawn, *_: drawn},
    "uneven": {
        "half 1, half 16 shots": lambda n_classes, _: robustness.one_or_many(n_classes),
        "1 to 16 shots": lambda n_classes, rng: rng.choice((1, 2, 4, 8, 16), n_classes),
    },
    "labels": {
        f"{rate} % wrong labels": partial(wrong_labels, rate=rate / 100) for rate in (10, 20)
    },
    "names": {
        "all names of others": partial(wrong_names, renamed=lambda names, _: np.roll(names, 3)),
        "half of the names exchanged": partial(wrong_names, renamed=half),
        "a fifth of the names exchanged": partial(wrong_names, renamed=fifth),
        "labels of a fifth exchanged": partial(wrong_names, renamed=fifth, of_queries=False),
    },
    "copies": {"each shot five times": with_copies},
    "missing": {"a tenth without a name": missing_names},
}
SHOTS = {"equal": (1, 4, 8), "uneven": (0,), "labels": (4, 8)}  # the others have 1 and 4
NEED_TEXT = ("names", "missing")


def draw(task, group, case, k, seed):
    """A `Draw` of a case, or None if the task has too few images."""
    make, rng = CASES[group][case], np.random.default_rng(seed)
    if group == "uneven":
        classes = rng.permutation(np.unique(task.y))
        rows = robustness.draw_uneven(task, classes, make(len(classes), rng), rng)
    elif (rows := task.draw(k, seed)) is None:
        return None
    drawn = Draw(*(part[some] for some in rows for part in (task.X, task.y)))
    if group != "uneven":
        drawn = make(drawn, task, rng)
    if task.text_encoder is not None:  # a class that lost all its shots is known by its name
        return drawn
    known = np.isin(drawn.y_queries, drawn.y)
    return drawn._replace(queries=drawn.queries[known], y_queries=drawn.y_queries[known])


# Each rule: the group of cases that it is for, and parameters of the classifier, or modules or
# classes, their attributes, and what takes the place of these.
of_counts = shot_counts.CountFactors.of
no_cache = SimpleNamespace(get=lambda key, compute: compute())
RULES = {
    "factors of unequal counts": [
        "uneven",
        (bridged_classes.CountFactors, "of", lambda *args: None),
    ],
    "those of deviations": [
        "uneven",
        (bridged_classes.CountFactors, "of", lambda *args: of_counts(*args[:-1], True)),
    ],
    "powers of a trained bridge": ["uneven", (shot_counts, "TRAINED_POWER", 1)],
    "wrong labels": ["labels", ("label_noise", 0.0)],
    "names of chance are dropped": ["names", (judged_names, "LEAST_TRUST", 0.0)],
    "ratio of one shot by the names": [
        "names",
        (bridge_fit, "relative_text_scale", lambda *args: 1.0),
    ],
    "near copies": ["copies", (shots, "near_copies", no_copies)],
    "stand-ins for texts": ["missing", (bridged_classes, "stand_ins_of_texts", lambda *args: None)],
    "ratio by the shots": ["equal", (hyperparameters, "RATIO_GRID", np.zeros(1))],
    "offset (smoothness)": ["equal", ("smoothness", 0.0)],
    "third term": ["equal", ("lambda3", 0.0)],
    "third term by the ratio": [
        "equal",
        (
            bridge_fit,
            "trained_hyperparameters",
            lambda options, *_: options.given_or(bridge_fit.TRAINED),
        ),
    ],
    "temperature by the shots": ["equal", (hyperparameters, "TEMPERATURE_REACH", 1e-6)],
    "temperature of one shot": ["equal", (hyperparameters, "SINGLE_WITHOUT_TEXT", 1.0)],
    "temperature of seen shots": [
        "equal",
        (hyperparameters, "SEEN", 1.0),
        (hyperparameters, "SEEN_WITHOUT_TEXT", 1.0),
        (hyperparameters, "SEEN_GROWTH", 0.0),
    ],
    "preconditioning": ["equal", (training, "PRECONDITIONING", 0.0)],
    "unit of the class bias": ["equal", (training, "BIAS_SCALE", 1.0)],
}


def fitted(task, drawn, method, switches):
    """A classifier that has learnt a `Draw`, by a method without a rule."""
    classes = np.unique([*drawn.y, *drawn.y_queries])
    if method == ZERO_SHOT:
        return tasks.zero_shot(task, classes)
    params = dict(switch for switch in switches if len(switch) == 2)
    if drawn.unnamed:
        params["class_names"] = {c: None if c in drawn.unnamed else c for c in classes}
    if task.text_encoder is None:
        params["class_names"] = "ignore"
    if method == OURS:
        model = robustness.classifier(task).set_params(**params)
    else:
        model = semobridge(task, solver=BRIDGES[method], **params)
    switches = [switch for switch in switches if len(switch) == 3]
    switches.append((closed_form, "_kept", no_cache))
    if any(where is training for where, *_ in switches):
        switches.append((training_cache, "_trained", no_cache))
    with ExitStack() as stack:
        for switch in switches:
            stack.enter_context(mock.patch.object(*switch))
        return model.partial_fit(drawn.X, drawn.y, classes=classes)


def one_draw(group, case, k, task, seed, most_trained):
    """The rows of a case."""
    has_text = task.text_encoder is not None
    if (drawn := draw(task, group, case, k, seed)) is None:
        return []
    bridges = [*BRIDGES] if len(np.unique(task.y)) < most_trained else [CLOSED_FORM]
    alone = [ZERO_SHOT] if has_text and not drawn.unnamed else []
    jobs = [(method, WHOLE, []) for method in (*alone, OURS, *bridges)]
    jobs += [
        (bridge, name, switches)
        for name, (of_group, *switches) in RULES.items()
        for bridge in bridges
        if group in (of_group, "equal")
    ]
    key, rows = dict(zip(DRAW, (case, k, "yes" if has_text else "no", task.name, seed))), []
    for method, name, switches in jobs:
        with warnings.catch_warnings(action="ignore"):  # of what is wrong
            model = fitted(task, drawn, method, switches)
        found = tasks.accuracy_and_log_loss(model, drawn.queries, drawn.y_queries)
        rows.append(key | {"method": method, "without": name} | dict(zip(VALUES, found)))
    return rows


def ahead(frame, these, others, value, digits):
    """By how much the rows of a method and rule are ahead of others, in words: the mean over cases
    and tasks, and its standard error over draws.
    """
    sides = frame.pivot_table(index=[*DRAW], columns=["method", "without"], values=value)
    if these not in sides or others not in sides:
        return "-"
    found = (sides[these] - sides[others]).dropna().groupby(level=[*DRAW[:-1]])
    found = found.agg(["mean", "sem"]).fillna(0.0)
    error = np.sqrt(np.square(found["sem"]).sum()) / len(found)
    return f"{found['mean'].mean():+.{digits}f} ± {error:.{digits}f}"


def gains(frame):
    """The table of what each rule gains."""
    lines = []
    for name, (group, *_) in RULES.items():
        for bridge in BRIDGES:
            cells = []
            for group_of_cell, texts in product((group, "equal"), ("yes", "no")):
                some = frame[frame.case.isin(CASES[group_of_cell]) & (frame.texts == texts)]
                sides = some, (bridge, WHOLE), (bridge, name)
                cells.append(f"{ahead(*sides, VALUES[0], 1)} ({ahead(*sides, VALUES[1], 3)})")
            if any(cell.strip("+-0. ±()") for cell in cells):  # it changes something
                there = ["", ""] if group == "equal" else cells[:2]
                lines.append([name, bridge, group, *there, *cells[2:]])
    header = ["rule", "solver", "cases", "there", "no texts", "equal", "equal, no texts"]
    return tasks.table(header, lines, n_left=3)


def compared(frame):
    """The table of the classifiers, on the tasks that all of them have."""
    trained = frame[frame.method == TRAINED].task.unique()
    frame, lines = frame[(frame.without == WHOLE) & frame.task.isin(trained)], []
    groups = dict(list(frame.groupby(["texts", "case", "shots"])))
    order = {case: number for number, case in enumerate(chain(*CASES.values()))}
    for texts, case, k in sorted(groups, key=lambda key: (key[0] == "no", order[key[1]], key[2])):
        some = groups[texts, case, k]
        found = some.groupby("method")[[*VALUES]].mean()
        cells = [
            "{:.1f} ({:.2f})".format(*found.loc[method]) if method in found.index else "-"
            for method in (ZERO_SHOT, OURS, *BRIDGES)
        ]
        cells += [ahead(some, (b, WHOLE), (OURS, WHOLE), VALUES[0], 1) for b in BRIDGES]
        lines.append([case, str(k) if k else "", texts, *cells])
    header = ["shots and names", "shots", "texts", "names alone", OURS, *BRIDGES]
    return tasks.table([*header, "closed form ahead", "trained ahead"], lines, n_left=3)


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], draws=2, results="bridge_rules.csv")
    parser.add_argument("--groups", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--most-trained", type=int, default=100)
    args = parser.parse_args(arguments)
    results = Results(args.results, KEY, VALUES)
    done = results.seen(*DRAW)
    jobs = [
        (group, case, k, some, seed, args.most_trained)
        for seed in range(FIRST_SEED, FIRST_SEED + args.draws)
        for task in tasks.load(args.tasks)
        for texts, some in (("yes", task), ("no", task.without_text()))
        for group in args.groups
        for case in CASES[group]
        for k in SHOTS.get(group, (1, 4))
        if (task.text_encoder is not None if texts == "yes" else group not in NEED_TEXT)
        and (case, str(k), texts, task.name, str(seed)) not in done
    ]
    results.measure(one_draw, jobs, args.jobs)
    frame = results.frame()
    print(gains(frame), compared(frame), sep="\n\n")


if __name__ == "__main__":
    main()
