"""Does the live page say truly how many labels are right, and when one can stop?

    python benchmarks/estimates.py --tasks FILE.npz ... --draws 2

A folder is at most 500 images of a task. A person labels it in the live page, always rightly: half
a label a class by questions, or a page of 24, as often as `--rounds` says. Then the model learns,
and the page says which share of the predicted labels is right, with an interval of 90 %, or why it
does not know. Kinds of folders:

- all: images of the classes;
- dropped: a fifth of the classes has no name, so that their images are none of the classes;
- strangers: as many images of another task, which are none of the classes either.

The table has how often there is an estimate, how often its interval holds the share, the mean error
in points, and how often the page said that one can stop, with the least share of the whole folder
that was right then. At most nine predictions are no share to speak of, and are left out. Rows are
added to `--results`, so that an interrupted run goes on.
"""

import tempfile
import warnings
from contextlib import chdir

import numpy as np
import tasks
from folder import strangers_of
from live import Folder, paint
from results import Results

from sksemobridge import PrecomputedTextEncoder
from sksemobridge.labelling._live.look import next_pictures
from sksemobridge.labelling._live.page_state import PageState, queue_of
from sksemobridge.labelling._live.session import Session
from sksemobridge.labelling._live.view import view_of

KEY = ("model", "task", "kind", "way", "seed", "round")
VALUES = ("estimate", "low", "high", "right", "whole", "stop", "predicted")
MOST = 500  # images of a folder
FIRST_SEED = 6000
PAGE = 24
WAYS = ("questions", "pages")


def folder_of(task, kind, strangers, seed):
    """Images `(n, D)`, their labels (empty for none of the classes), and the names of the
    classes. None if there are no strangers.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(task.y))[:MOST]
    X, y = task.X[rows], task.y[rows].astype(object)
    classes = np.unique(task.y)
    if kind == "dropped":
        classes = np.sort(rng.permutation(classes)[max(len(classes) // 5, 1) :])
        y[~np.isin(y, classes)] = ""
    if kind == "strangers":
        if not len(strangers):
            return None
        others = strangers[rng.permutation(len(strangers))[: len(X)]]
        X, y = np.concatenate([X, others]), np.append(y, np.full(len(others), "", dtype=object))
    return X, y, [*map(str, classes)]


def answer(session, y, way):
    """Half a label a class by questions, or a page, rightly. Returns whether there was one."""
    now = session.snapshot()
    if way == "pages":
        by_label, _ = next_pictures(now, session.reserved, "a", PAGE)
        if by_label:
            marks = [
                {"number": number, "shown": label, "label": y[number]}
                for label, numbers in by_label.items()
                for number in numbers
            ]
            session.confirm_page("a", "", marks)
        return bool(by_label)
    numbers = queue_of(now)[: max(len(now.classes) // 2, 5)]
    for number in numbers:
        session.answer("a", "", number, y[number])
    return bool(numbers)


def said(session, y):
    """What the page says now, and what is true; None if it predicts less than ten labels."""
    now = session.snapshot()
    state = PageState(session.reserved).of(now, "a")
    predicted = np.array(now.view.predicted, dtype=object)
    at = now.are_open & now.view.has_class
    if at.sum() < 10:
        return None
    estimate = [np.nan] * 3 if state["why_unsure"] else share_of_predicted(state)
    right, whole = (predicted == y)[at].mean(), np.where(now.are_open, predicted == y, True).mean()
    stop = float(state["may_stop"])
    return dict(zip(VALUES, [*estimate, right, whole, stop, int(at.sum())]))


def share_of_predicted(state):
    """What the page says of all labels, as it holds for those that are predicted: others are
    right.
    """
    part = 1 - state["labelled"] / state["total"]
    return [1 - (1 - share) / part for share in state["right"]]


def one_folder(task, strangers, kind, way, seed, args):
    """Rows of the rounds of one folder."""
    warnings.simplefilter("ignore")
    if (parts := folder_of(task, kind, strangers, seed)) is None:
        return []
    X, y, classes = parts
    names = tasks.zero_shot(task, classes)
    encoder = PrecomputedTextEncoder.from_joint(
        dict(zip(classes, names.coef_)), logit_scale=np.linalg.norm(names.coef_[0])
    )
    rows = []
    with tempfile.TemporaryDirectory() as place, chdir(place):
        paint(len(X), 0)
        job, annotations, answers = Folder(X, y, classes, encoder).annotations("answers.jsonl")
        session = Session(job, annotations, answers)
        for number in range(1, args.rounds + 1):
            if not answer(session, y, way):
                break
            session.learner.view = view_of(job, session.annotations, number + 1)
            if (values := said(session, y)) is None:
                break
            of_round = {"kind": kind, "way": way, "seed": seed, "round": number}
            rows.append({"model": task.model, "task": task.name} | of_round | values)
        answers.end()
    return rows


def report(frame):
    """A table of the kinds of folders and the ways to label them."""
    rows = []
    for key, group in frame.groupby(["kind", "way"], sort=False):
        known, stopped = group[group.estimate.notna()], group[group.stop == 1]
        holds = (known.low <= known.right + 1e-9) & (known.right <= known.high + 1e-9)
        row = [f"{len(known)} of {len(group)}", "-", "-", f"{len(stopped)}", "-"]
        if len(known):
            row[1:3] = (
                f"{100 * holds.mean():.0f}",
                f"{100 * (known.estimate - known.right).mean():+.1f}",
            )
        if len(stopped):
            row[4] = f"{100 * stopped.whole.min():.1f}"
        rows.append([*key, *row])
    header = ["folder", "way", "estimates", "% hold", "error", "can stop", "least right then"]
    return tasks.table(header, rows, n_left=2)


def main(arguments=None):
    parser = tasks.parser(__doc__, ["emoji"], draws=1, results="live_estimates.csv")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--kinds", nargs="+", default=["all", "dropped", "strangers"])
    args = parser.parse_args(arguments)
    all_tasks = [task for task in tasks.load(args.tasks) if task.text_encoder is not None]
    results = Results(args.results, KEY, VALUES)
    done = results.seen("task", "kind", "way", "seed")
    jobs = [
        (task, strangers_of(task, all_tasks), kind, way, seed, args)
        for task in all_tasks
        for seed in range(FIRST_SEED, FIRST_SEED + args.draws)
        for kind in args.kinds
        for way in WAYS
        if (task.name, kind, way, str(seed)) not in done
    ]
    results.measure(one_folder, jobs, args.jobs)
    print(report(results.frame()))


if __name__ == "__main__":
    main()
