"""From shots and texts to `BridgedClasses`: the bridge, the hyperparameters of the score, and its
temperature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._model.shots import Shots
from .._texts.encode import ClassTexts
from .._utils.rows import weight_in_class
from .._utils.validation import warn_caller
from .bridge import Bridge
from .bridge_options import BridgeOptions
from .bridged_classes import BridgedClasses, classes_of_shots
from .held_out import hold_out, images_of_class, labelled_cosines, left_out_once, part_of
from .hyperparameters import (
    TRAINED,
    Calibration,
    calibrate,
    mean_calibration,
    mean_hyperparameters,
    search_hyperparameters,
    trained_hyperparameters,
    trained_temperature,
)
from .score import START, Hyperparameters, LabelledCosines
from .training_cache import trained_bridge
from .validation_images import Judge, Validation


def bridge_classes(
    shots: Shots,
    texts: ClassTexts,
    options: BridgeOptions,
    validation: Validation | None = None,
) -> BridgedClasses:
    """`BridgedClasses` of `Shots` and `ClassTexts`. Each class has a shot.

    What is "auto" is estimated from the shots. `Validation` images are searched around this
    estimate. Without a projection, the bridge in closed form is the identity.
    """
    if texts.embeddings is None:
        options = replace(options, alpha=None, lambda1=None)
    hyperparameters = options.given_or(START)
    if not (hyperparameters.lambda1 or hyperparameters.lambda2 or hyperparameters.lambda3):
        raise ValueError(
            "lambda1 (without text unused), lambda2 and lambda3 are zero: set one of them above"
            " zero."
        )
    shots = replace(shots, X=np.asarray(shots.X, dtype=np.float64))
    if texts.projection is None:
        bridge = Bridge.identity(shots.X.shape[1])
    else:
        bridge = Bridge.closed_form(
            texts.projection, texts.projection_bias, texts.text_length, options.atol
        )
    eos = bridge.eos(shots.X)

    def closed_form_of(part: np.ndarray) -> BridgedClasses:
        """The classes in closed form of shots with the `part (n,)` of their weights."""
        return classes_of_shots(bridge, part_of(shots, part), eos[part > 0], texts)

    classes = closed_form_of(np.ones(len(eos)))
    if options.is_trained:
        hyperparameters = _trained_hyperparameters(closed_form_of, shots, texts, options)
        classes, calibration = _train(classes, shots, texts, options, validation, hyperparameters)
    else:
        calibration = _calibrate(closed_form_of, shots, texts, options)
    if validation is not None:
        X, codes, weight = validation.thinned(len(classes.prototypes))
        images = LabelledCosines(classes.cosines(X), codes, weight, classes.divergence)
        calibration = search_hyperparameters(
            calibration.hyperparameters, options, images, texts.logit_scale
        )
    return replace(classes, **calibration._asdict())


def _calibrate(
    closed_form_of: Callable[[np.ndarray], BridgedClasses],
    shots: Shots,
    texts: ClassTexts,
    options: BridgeOptions,
) -> Calibration:
    """The hyperparameters and the temperature of the closed form by the shots."""
    temperature = options.given_temperature
    if temperature is not None and not options.auto:
        return Calibration(options.given_or(START), temperature)
    count = images_of_class(shots)
    return mean_calibration(
        options,
        [
            (share, calibrate(options, held_out, count, texts.logit_scale))
            for share, held_out in hold_out(closed_form_of, shots)
        ],
    )


def _trained_hyperparameters(
    closed_form_of: Callable[[np.ndarray], BridgedClasses],
    shots: Shots,
    texts: ClassTexts,
    options: BridgeOptions,
) -> Hyperparameters:
    """The hyperparameters of a trained bridge by the shots."""
    if options.lambda3 != "auto" or texts.embeddings is None:
        return options.given_or(TRAINED)
    count = images_of_class(shots)
    return mean_hyperparameters(
        options,
        [
            (share, trained_hyperparameters(options, held_out, count, texts.logit_scale))
            for share, held_out in hold_out(closed_form_of, shots)
        ],
    )


def _train(
    closed: BridgedClasses,
    shots: Shots,
    texts: ClassTexts,
    options: BridgeOptions,
    validation: Validation | None,
    hyperparameters: Hyperparameters,
) -> tuple[BridgedClasses, Calibration]:
    """The classes of a bridge that is trained from the `closed` form on, and its temperature with
    these `hyperparameters`, which also judge the best step on validation images.
    """
    X, codes, share = shots.X, shots.codes, weight_in_class(shots.codes, shots.weight)
    is_adamw = options.solver == "adamw"
    is_asked = options.given_temperature is None and validation is None
    # L-BFGS always trains without some shots first, so that the temperature changes no bridge.
    left_out = left_out_once(shots) if is_asked or not is_adamw else None
    judge = Judge(validation, hyperparameters, closed) if is_adamw and validation else None
    trained = trained_bridge(X, codes, share, closed.bridge, options, texts, left_out, judge)
    if not trained.converged:
        message = (
            f"The bridge did not converge in {trained.n_iter} iterations. Increase max_iter or tol."
        )
        warn_caller(message, ConvergenceWarning)

    def classes_of(trained, kept):
        bridge = replace(closed.bridge, matrix=trained.bridge, basis=None)
        bias = trained.class_bias
        eos = bridge.eos(X[kept], None if bias is None else bias[codes[kept]])
        return replace(
            classes_of_shots(bridge, shots.take(kept), eos, texts),
            class_bias=bias,
            rank=closed.rank,
            loss_curve=list(trained.loss_curve),
            n_iter=trained.n_iter,
        )

    classes = classes_of(trained, np.ones(len(codes), dtype=bool))
    if not is_asked:
        return classes, Calibration(hyperparameters, options.given_temperature or 1.0)
    seen, held_out = labelled_cosines(classes, shots, np.arange(len(X))), None
    if left_out is not None:
        others = classes_of(trained.held_out, ~left_out)
        held_out = (
            labelled_cosines(others, shots, np.flatnonzero(left_out)),
            images_of_class(shots.take(~left_out)),
        )
    count = images_of_class(shots)
    temperature = trained_temperature(hyperparameters, seen, count, held_out, texts.logit_scale)
    return classes, Calibration(hyperparameters, temperature)
