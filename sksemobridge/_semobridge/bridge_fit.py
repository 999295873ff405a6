"""From shots and texts to `BridgedClasses`: the bridge, the hyperparameters of the score, and its
temperature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._model.judged_names import relative_text_scale
from .._model.shots import Shots
from .._texts.encode import ClassTexts
from .._utils.rows import weight_in_class
from .._utils.validation import LARGEST_FACTOR, warn_caller
from .bridge import Bridge
from .bridge_options import BridgeOptions
from .bridged_classes import BridgedClasses, classes_of_sums, sums_of_shots
from .closed_form import ClosedForm
from .held_out import images_of_class, labelled_cosines, left_out_once
from .hyperparameters import (
    RATIO,
    RATIO_GRID,
    TRAINED,
    WITHOUT_TEXT,
    Calibration,
    calibrate,
    mean_calibration,
    mean_hyperparameters,
    search_hyperparameters,
    trained_hyperparameters,
    trained_temperature,
    typical_of,
)
from .rounded_shots import rounded_shots
from .score import START, Hyperparameters, LabelledCosines
from .solvers import Training
from .training import TrainedBridge
from .training_cache import trained_bridge
from .validation_images import Judge, Validation


def bridge_classes(
    shots: Shots,
    texts: ClassTexts,
    options: BridgeOptions,
    validation: Validation | None = None,
    listener: Callable[[], None] | None = None,
) -> BridgedClasses:
    """`BridgedClasses` of `Shots` and `ClassTexts`. Each class has a shot.

    What is "auto" is estimated from the shots. `Validation` images are searched around this
    estimate. Without a projection, the bridge in closed form is the identity. The `listener` is
    called after each step of a training.
    """
    first_ratio, fit = RATIO, partial(_bridge_classes, shots, listener=listener)
    if texts.embeddings is not None and {"alpha", "lambda1"} <= {*options.auto}:
        if texts.is_chance:
            # What the score does not use still says what classes with only a name are like.
            classes = fit(texts.without_embeddings(), options, validation, first_ratio)
            return replace(classes, text_embeddings=texts.embeddings)
        # Names that say less than expected count less beside one shot. With the square of the
        # scale, 11 points are gained where half of the names are wrong, and as many lost where a
        # user gives another logit scale than that of the model.
        scale = relative_text_scale(shots, texts)
        log_ratio = np.clip(-np.log(scale), RATIO_GRID[0], RATIO_GRID[-1])
        first_ratio = float(RATIO * np.exp(log_ratio))
    return fit(texts, options, validation, first_ratio)


def _bridge_classes(
    shots: Shots,
    texts: ClassTexts,
    options: BridgeOptions,
    validation: Validation | None,
    first_ratio: float,
    listener: Callable[[], None] | None,
) -> BridgedClasses:
    """`bridge_classes` with these texts. `first_ratio` is the ratio of one image of each class."""
    if texts.embeddings is None:
        options = replace(options, given=options.given._replace(alpha=None, lambda1=None))
    _require_a_term(options.given_or(START))
    if texts.projection is None:
        bridge = Bridge.identity(shots.X.shape[1])
    else:
        bridge = Bridge.closed_form(
            texts.projection, texts.projection_bias, texts.text_length, options.atol
        )
    closed_form = ClosedForm(bridge, shots, texts)
    if (solver := options.trained_by) is not None:
        hyperparameters = _trained_hyperparameters(closed_form, options, first_ratio)
        share = weight_in_class(shots.codes, shots.weight)
        training = Training(
            solver,
            shots.X,
            shots.codes,
            share,
            bridge,
            texts,
            options=options.training,
            listener=listener,
        )
        classes, calibration = _train(training, shots, options, validation, hyperparameters)
    else:
        calibration = _calibrate(closed_form, options, first_ratio)
        classes = closed_form.classes()
    if validation is not None:
        X, codes, weight = validation.thinned(len(classes.prototypes))
        images = LabelledCosines(classes.cosines(X), codes, weight, classes.divergence)
        calibration = search_hyperparameters(
            calibration, images_of_class(shots), options, images, texts.logit_scale
        )
    hyperparameters, temperature = calibration
    # A term that is nearly flat would ask for a temperature that a user may not give.
    temperature = float(np.clip(temperature, 1 / LARGEST_FACTOR, LARGEST_FACTOR))
    return replace(classes, hyperparameters=hyperparameters, temperature=temperature)


def _require_a_term(hyperparameters: Hyperparameters) -> None:
    """Refuse a score that is the same for all images."""
    alpha, beta, gamma, lambda1, lambda2, lambda3, _ = hyperparameters
    if not ((alpha and lambda1) or (beta and lambda2) or (gamma and lambda3)):
        raise ValueError(
            "The score is the same for all images: each of the pairs alpha and lambda1 (both unused"
            " without text), beta and lambda2, gamma and lambda3 has a zero. Set both of one pair"
            " above zero."
        )


def _calibrate(closed_form: ClosedForm, options: BridgeOptions, first_ratio: float) -> Calibration:
    """The hyperparameters and the temperature of the closed form by the shots."""
    temperature = options.given_temperature
    if temperature is not None and not options.auto:
        return Calibration(options.given_or(START), temperature)
    count, logit_scale = images_of_class(closed_form.shots), closed_form.texts.logit_scale
    return mean_calibration(
        options,
        [
            (share, calibrate(options, held_out, count, logit_scale, first_ratio))
            for share, held_out in closed_form.held_out()
        ],
    )


def _trained_hyperparameters(
    closed_form: ClosedForm, options: BridgeOptions, first_ratio: float
) -> Hyperparameters:
    """The hyperparameters of a trained bridge by the shots."""
    if closed_form.texts.embeddings is None:
        return options.given_or(WITHOUT_TEXT)
    if options.given.lambda3 != "auto":
        return options.given_or(TRAINED)
    count, logit_scale = images_of_class(closed_form.shots), closed_form.texts.logit_scale
    return mean_hyperparameters(
        options,
        [
            (share, trained_hyperparameters(options, held_out, count, logit_scale, first_ratio))
            for share, held_out in closed_form.held_out()
        ],
    )


def _trained_bridge(training: Training) -> TrainedBridge:
    """The bridge of a `Training`, whose solver may get rounded shots."""
    if not training.solver.rounds_shots:
        return trained_bridge(training)
    rounded, length = rounded_shots(training)
    return trained_bridge(rounded).map_class_bias(lambda class_bias: length * class_bias)


def _as_trained(classes: BridgedClasses) -> BridgedClasses:
    """Classes with the factors of unequal counts for a trained bridge."""
    factors = classes.count_factors
    return replace(classes, count_factors=factors and factors.of_trained())


def _train(
    training: Training,
    shots: Shots,
    options: BridgeOptions,
    validation: Validation | None,
    hyperparameters: Hyperparameters,
) -> tuple[BridgedClasses, Calibration]:
    """The classes of a `Training` on the `Shots`, and their temperature with these
    `hyperparameters`, which also judge the best step on validation images.
    """
    solver, closed, texts = training.solver, training.bridge, training.texts
    is_asked = options.given_temperature is None
    left_out = left_out_once(shots) if is_asked or solver.begins_without_some else None
    every, judge = np.ones(len(shots.codes)), None
    if solver.keeps_best_step and validation is not None:
        closed_classes = _as_trained(ClosedForm(closed, shots, texts).classes())
        judge = Judge(validation, hyperparameters, closed_classes)
    trained = _trained_bridge(training._replace(left_out=left_out, judge=judge))
    if not trained.converged:
        message = (
            f"The bridge did not converge in {trained.n_iter} iterations. Increase max_iter or tol."
        )
        warn_caller(message, ConvergenceWarning)

    def classes_of(trained, part):
        bridge = replace(closed, matrix=trained.bridge, basis=None)
        sums = sums_of_shots(bridge, shots, part, trained.class_bias)
        return replace(
            _as_trained(classes_of_sums(bridge, sums, shots.distinct_images(part), texts)),
            class_bias=trained.class_bias,
            rank=closed.rank,
            loss_curve=list(trained.loss_curve),
            n_iter=trained.n_iter,
        )

    classes = classes_of(trained, every)
    if not is_asked:
        return classes, Calibration(hyperparameters, options.given_temperature or 1.0)
    seen = typical_of(labelled_cosines(classes, shots, np.arange(len(shots.codes))))
    held_out = None
    if left_out is not None:
        kept = 1.0 * ~left_out
        held_out = (
            labelled_cosines(classes_of(trained.held_out, kept), shots, np.flatnonzero(left_out)),
            images_of_class(shots, kept),
        )
    count = images_of_class(shots)
    temperature = trained_temperature(hyperparameters, seen, count, held_out, texts.logit_scale)
    return classes, Calibration(hyperparameters, temperature)
