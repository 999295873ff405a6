"""Constants of the trained bridge: how exactly folds are trained, the scale of the class bias, the steps of L-BFGS.

    python studies/training.py digits npz:cifar10_vit_b32.npz openmoji:NODE_MODULES

One constant changes at a time; the first value is that of the package. Columns are means over draws (seeds 100 to 104):
accuracy, log loss, iterations of the bridge, and seconds of a fit, the folds of the blend included.
"""

import argparse
import sys
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
from sklearn.metrics import log_loss

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import tasks
from timing import timed

from sksemobridge import SeMoBridgeClassifier
from sksemobridge._method import fit
from sksemobridge._training import lbfgs, train

SEEDS, SHOTS = range(100, 105), (1, 4, 16)
CONSTANTS = [
    (fit, "TOL_OF_FOLDS", [1e-5, 1e-3, 1e-4, 1e-6]),
    (train, "BIAS_SCALE", [1 / 4, 1 / 64, 1 / 16, 1.0]),
    (lbfgs, "MEMORY", [5, 3, 10, 20]),
    (lbfgs, "WINDOW", [10, 5, 20]),
]


def measure(task, k, seed):
    """Accuracy in percent, log loss, iterations and seconds of one draw."""
    shots, queries = task.draw(k, seed)
    classifier = SeMoBridgeClassifier(task.text_encoder, prompts=task.prompts, solver="lbfgs", device="cpu")
    seconds, _ = timed(classifier.fit, task.X[shots], task.y[shots])
    probability, y = classifier.predict_proba(task.X[queries]), task.y[queries]
    accuracy = 100 * np.mean(classifier.classes_[probability.argmax(axis=1)] == y)
    return accuracy, log_loss(y, probability, labels=classifier.classes_), classifier.n_iter_, seconds


def report(task, k, seeds=SEEDS):
    print(f"\n{task.name}, {k} shots a class: accuracy, log loss, iterations, seconds")
    for module, name, values in CONSTANTS:
        for value in values:
            with mock.patch.object(module, name, value):
                accuracy, loss, n_iter, seconds = np.mean([measure(task, k, seed) for seed in seeds], axis=0)
            print(
                f"  {name:12s} {value:<8g} {accuracy:6.2f} {loss:7.4f} {n_iter:6.0f} {seconds:8.3f}",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "tasks", nargs="+", metavar="TASK", help="as for few_shot.py, or openmoji:NODE_MODULES"
    )
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    for task in map(tasks.load, args.tasks):
        for k in SHOTS:
            if task.draw(k, 0) is not None:
                report(task, k)


if __name__ == "__main__":
    main()
