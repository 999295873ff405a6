"""The solvers of `SeMoBridgeClassifier` in one table, and how each trains a bridge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .._texts.encode import ClassTexts
from .._utils.array_api import astype, rows_as_bytes
from .._utils.threads import threads_for
from .bridge import Bridge
from .training import Problem, TrainedBridge, TrainingOptions, adamw, class_sums, lbfgs
from .validation_images import Judge


class Solver(NamedTuple):
    """How a bridge is trained on the shots."""

    name: str
    train: Callable[[Problem], TrainedBridge]
    max_iter: int  # number of steps, if the user gives none
    # Whether validation images choose one of its steps
    keeps_best_step: bool
    # Whether it trains without some shots first, and goes on from there with all, so that the
    # estimate of the temperature changes no bridge
    begins_without_some: bool
    # Whether it gets shots whose scale has no influence
    rounds_shots: bool
    remedy: str  # what to do if the loss is not finite


LBFGS = Solver(
    name="lbfgs",
    train=lbfgs,
    max_iter=1000,
    keeps_best_step=False,
    begins_without_some=True,
    rounds_shots=True,
    remedy="Rescale the embeddings.",
)
# The recipe of the paper
ADAMW = Solver(
    name="adamw",
    train=adamw,
    max_iter=5000,
    keeps_best_step=True,
    begins_without_some=False,
    rounds_shots=False,
    remedy="Lower learning_rate, or rescale the embeddings.",
)
# By the parameter `solver`. The closed form needs no training.
SOLVERS: dict[str, Solver | None] = {"closed_form": None, "lbfgs": LBFGS, "adamw": ADAMW}


class Training(NamedTuple):
    """Labelled shots of `C` classes, and what a bridge learns from them."""

    solver: Solver
    X: np.ndarray  # embeddings of the shots `(n, D)`
    codes: np.ndarray  # their classes `(n,)`
    share: np.ndarray  # the weight of each shot, with the sum one in each class `(n,)`
    bridge: Bridge  # the closed form, where training starts
    texts: ClassTexts
    options: TrainingOptions
    # Whether each shot is left out: L-BFGS trains without them first, and goes on from there with
    # all. `(n,)`
    left_out: np.ndarray | None = None
    judge: Judge | None = None  # what chooses the best step
    listener: Callable[[], None] | None = None  # is called after each step


def train_bridge(training: Training, dtype: Any = np.float32) -> TrainedBridge:
    """The bridge, and a bias for each class, of a `Training`."""
    from tqdm import tqdm

    solver, X, codes, share, bridge, texts, options, left_out, judge, listener = training
    max_iter = options.max_iter or solver.max_iter

    def report(value):
        if not np.isfinite(value):
            raise FloatingPointError(f"The training loss is {value}. {solver.remedy}")
        bar.update()
        bar.set_postfix(loss=f"{value:.5f}", refresh=False)
        if listener is not None:
            listener()

    order = _order_of_classes(X, codes, share, texts)
    number = np.argsort(order)
    rows = np.argsort(number[codes], kind="stable")
    texts = astype(replace(texts, projection=None), dtype).take(order)  # the bridge has it
    bar_options = {"desc": f"bridge ({solver.name})", "unit": "it", "disable": not options.verbose}
    with threads_for(len(X) * bridge.matrix.size), tqdm(total=max_iter, **bar_options) as bar:
        trained = solver.train(
            Problem(
                X=X,
                rows=rows,
                codes=number[codes][rows],
                share=share[rows],
                left_out=None if left_out is None else left_out[rows],
                bridge=bridge,
                texts=texts,
                judge=None if judge is None else judge.for_classes(order, texts.embeddings),
                options=options,
                max_iter=max_iter,
                dtype=dtype,
                report=report,
            )
        )
    return trained.map_class_bias(lambda class_bias: class_bias[number])


def _order_of_classes(X, codes, share, texts):
    """Indices `(C,)` that do not depend on the order of the classes."""
    content = class_sums(X, np.arange(len(X)), codes, share)
    if texts.embeddings is not None:
        content = np.hstack([content, texts.embeddings])
    return np.argsort(rows_as_bytes(content), kind="stable")
