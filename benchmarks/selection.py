"""Time of one more candidate of a parameter search.

    python benchmarks/selection.py

The search is over the paper's seven numbers, on made-up embeddings: 100 classes x 16 shots x 512 dimensions. A
candidate is one fit and one score on one of five folds.
"""

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from tasks import made_up
from timing import timed

from sksemobridge import PaperBlend, SeMoBridgeClassifier

GRID = {
    "blend__alpha": [1.0, 5.0],
    "blend__beta": [1.0, 5.0],
    "blend__gamma": [1.0, 5.0],
    "blend__lambda2": [0.2, 0.5, 0.8],
}


def main():
    task = made_up(100, 16, 512)
    X = task.X.astype(np.float32)  # as encoders give it
    classifier = SeMoBridgeClassifier(
        task.text_encoder, prompts=task.prompts, blend=PaperBlend(temperature=None)
    )
    train, test = next(StratifiedKFold(5).split(task.X, task.y))

    def try_candidate(i):
        numbers = {"alpha": 1 + i / 10, "lambda2": 0.1 + i / 40, "smoothness": i / 20}
        candidate = clone(classifier).set_params(
            **{f"blend__{name}": value for name, value in numbers.items()}
        )
        candidate.fit(X[train], task.y[train]).score(X[test], task.y[test])

    first, *later = (1000 * timed(try_candidate, i)[0] for i in range(30))
    print(
        f"one candidate on one fold: first {first:.0f} ms, then median {np.median(later):.1f} ms, "
        f"slowest {max(later):.1f} ms"
    )
    seconds, _ = timed(GridSearchCV(classifier, GRID, cv=5).fit, X, task.y)
    print(
        f"GridSearchCV over 24 candidates x 5 folds: {seconds:.1f} s, {1000 * seconds / 120:.0f} ms a fit and score"
    )


if __name__ == "__main__":
    main()
