"""Constants of the default model, judged by leaving one task out.

    python studies/blend.py FILE.npz ... --vocabulary vocabulary_vit_b32.npz

Files are as `benchmarks/few_shot.py` takes them. Each is a task with its texts and one without; with a vocabulary of its
width (`texts`, `text`, as `benchmarks/search.py` takes them) it is also one with words in place of texts.

Each constant is tried at half and at twice its value, all others as they are. A row gives accuracy in percent and log loss by
number of shots, means over the tasks and draws. The line below is what it would cost to choose the constant: each task gets
the value with the least log loss on all other tasks, and the difference to the value as it is is averaged. A model that only
fits its tasks would lose there. Draws have the seeds 6000, 6001, ...; figures elsewhere are of other draws.
"""

import argparse
import os
import sys
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

import joblib
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import tasks
from tasks import without_own_names

from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier
from sksemobridge._model import class_means, discriminant, fit, logistic

MODULES = (fit, class_means, discriminant, logistic)
CONSTANTS = (
    *("SHOTS_SCALE", "SHOTS_SCALE_OF_ONE", "SHOTS_SCALE_OF_ONE_WITH_WORDS"),
    *("KAPPA_IN_SPAN", "KAPPA_BEYOND_WORDS", "KAPPA", "LEANING", "WORTH_OF_GUESS", "WIDTH", "TEXT_ODDS"),
)
FACTORS, FIRST_SEED = (1.0, 0.5, 2.0), 6000


def value_of(name):
    return next(getattr(module, name) for module in MODULES if hasattr(module, name))


def times(factor, value):
    """A constant, or a tuple of them, times a factor."""
    return tuple(factor * part for part in value) if isinstance(value, tuple) else factor * value


@contextmanager
def changed(name, factor):
    """A constant times a factor, in every module that knows it."""
    with ExitStack() as stack:
        for module in [module for module in MODULES if hasattr(module, name)]:
            stack.enter_context(mock.patch.object(module, name, times(factor, value_of(name))))
        yield


def classifiers(path, vocabularies):
    """The task of a file, and `(name, classifier)` of each way to classify it."""
    task = tasks.from_npz(path)
    ways = [("no text", SeMoBridgeClassifier(class_names="ignore"))]
    if task.text_encoder is not None:
        ways.append(("text", SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts)))
    for vocabulary in vocabularies:
        if vocabulary["text"].shape[1] == task.X.shape[1]:
            words = without_own_names(vocabulary, np.unique(task.y))
            names = [f"word {i}" for i in range(len(words))]
            encoder = PrecomputedTextEncoder(names, words, np.eye(words.shape[1]))
            words_alone = SeMoBridgeClassifier(encoder, class_names="ignore", vocabulary=names)
            ways.append(("words", words_alone))
    return task, [(f"{task.name}, {name}", classifier) for name, classifier in ways]


def measure(task, classifier, k, seeds, name, factor):
    """Accuracy in percent and log loss, means over draws; NaN where the task has too few images."""
    warnings.simplefilter("ignore")
    figures = []
    for seed in seeds:
        drawn = task.draw(k, seed)
        if drawn is None:
            return np.nan, np.nan
        shots, queries = drawn
        with changed(name, factor):
            classifier.fit(task.X[shots], task.y[shots])
        figures.append(tasks.accuracy_and_log_loss(classifier, task.X[queries], task.y[queries]))
    return np.mean(figures, axis=0)


def measured(ways, args, seeds, name, factor):
    """`measure` by number of shots and way; NaN where a task has too few images."""
    found = joblib.Parallel(args.jobs)(
        joblib.delayed(measure)(task, classifier, k, seeds, name, factor)
        for k in args.shots
        for task, _, classifier in ways
    )
    return np.reshape(found, (len(args.shots), len(ways), 2))


def cost(losses):
    """What choosing a value on all other tasks adds to the log loss `(factors, tasks)`; the first is as it is."""
    n_tasks = losses.shape[1]
    chosen = [np.delete(losses, i, axis=1).mean(axis=1).argmin() for i in range(n_tasks)]
    return losses[chosen, range(n_tasks)] - losses[0]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE.npz")
    parser.add_argument("--vocabulary", nargs="*", default=[], metavar="FILE.npz")
    parser.add_argument("--constants", nargs="+", default=CONSTANTS, choices=CONSTANTS, metavar="NAME")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args(arguments)
    vocabularies = [dict(np.load(path)) for path in args.vocabulary]
    ways = [
        (task, *way)
        for task, of_task in (classifiers(path, vocabularies) for path in args.files)
        for way in of_task
    ]
    seeds = range(FIRST_SEED, FIRST_SEED + args.draws)
    print(" " * 36 + "".join(f"{k:>9} shots" for k in args.shots))
    now = measured(ways, args, seeds, CONSTANTS[0], 1.0)
    for name in args.constants:
        found = np.stack([now, *(measured(ways, args, seeds, name, factor) for factor in FACTORS[1:])])
        for factor, of_factor in zip(FACTORS, np.nanmean(found, axis=2)):
            cells = "".join(f"{accuracy:9.2f} {loss:.3f}" for accuracy, loss in of_factor)
            print(f"{name:24s} {times(factor, value_of(name))!s:>11s}{cells}")
        more = cost(np.nanmean(found[..., 1], axis=1))
        most = int(more.argmax())
        costs = f"  to choose it costs {more.mean():+.4f}, at most {more[most]:+.4f} ({ways[most][1]})"
        print(costs, flush=True)


if __name__ == "__main__":
    main()
