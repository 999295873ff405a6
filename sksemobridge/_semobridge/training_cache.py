"""Trained bridges of this process, by content. In a search, candidates that differ only in the
hyperparameters have the same bridge in each fold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .._utils.lru import LRUCache, content_key, n_bytes, read_only
from .closed_form import MOST_BYTES
from .solvers import Training, train_bridge
from .training import TrainedBridge
from .validation_images import Judge

_trained = LRUCache(max_size=MOST_BYTES, size_of=lambda trained: _bytes(trained))


def trained_bridge(training: Training) -> TrainedBridge:
    """The result of `train_bridge`, which is computed once for equal content, but always if someone
    listens. Its arrays are read-only.
    """
    bridge, texts, judge = training.bridge, training.texts, training.judge
    parts = (
        training.X,
        training.codes,
        training.share,
        training.left_out,
        *(bridge.matrix, bridge.projection, bridge.projection_bias, bridge.text_length),
        *(texts.embeddings, texts.eos_directions, texts.logit_scale),
        *(() if judge is None else _parts(judge)),
    )
    options = replace(training.options, verbose=0)  # which changes no bridge
    key = (training.solver, options, *map(_key, parts))

    def train() -> TrainedBridge:
        return read_only(train_bridge(training))

    return train() if training.listener is not None else _trained.get(key, train)


def _parts(judge: Judge) -> list[Any]:
    """What a `Judge` has that does not follow from shots and texts."""
    factors = judge.closed.count_factors
    of_factors = [] if factors is None else [factors.length, factors.deviation]
    return [*judge.validation, judge.hyperparameters, judge.closed.stand_ins, *of_factors]


def _key(part: Any) -> Any:
    return content_key(part) if isinstance(part, np.ndarray) else part


def _bytes(trained: TrainedBridge) -> int:
    """Bytes of the arrays. The loss curve has a Python number of 32 bytes for each step."""
    return n_bytes(trained) + 32 * len(trained.loss_curve)
