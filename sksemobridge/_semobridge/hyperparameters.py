"""The hyperparameters of the score and its temperature, estimated from shots or searched on
validation images.

Near the cosines of a class and its own images, the score is close to linear: what counts is how
steeply it rises with `z2` relative to `z1`. This ratio is the one unknown here. In a Gaussian
model, what `n` shots of a class say is proportional to `n`, so that the ratio is `n * ratio(1)`.
All hyperparameters that are "auto" follow from it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.utils import check_random_state

from .._model.label_noise import MOST_ROUNDS, SHARE, doubt, wrong_share
from .._utils.rows import images_per_weight
from .._utils.validation import LARGEST_FACTOR
from .bridge_options import BridgeOptions
from .held_out import HeldOut
from .score import ALL_AUTO, START, Hyperparameters, LabelledCosines, log_score, terms_of_score
from .validation_images import HALF_AN_IMAGE

# The constants of the closed form were chosen on ten tasks of real embeddings. With one family of
# tasks left out in turn the choice is the same, but without CIFAR-10, on which shots gain nothing:
# it makes one shot count less.

# Weight of the text's term. The other weights are relative to this one.
LAMBDA1 = 1.0
# Sharpness of the text's term. The score is close to linear in it, and accuracies with 6 are equal.
ALPHA = 1.0
# Sharpness of the bridged shots' term. The value is small, so that the smoothness, which is
# proportional to it, stays in the paper's range, up to 1.5.
BETA = 0.1
# Sharpness of the shots' term. The value is large, so that this term is for pictures that are
# nearly a shot: beside one, it rises as steeply as the text's. 15 and 30 are as good.
GAMMA = 16.0
# The ratio for one shot, which is the centre of its prior. The best ratios of the tasks are between
# 0.03 and 0.4. A larger one gains in the mean, and loses more where names are nearly always right.
RATIO = 0.04
# Standard deviation of the prior of the log of the ratio. The prior is wide, for models to which
# names say nothing: their best ratio is above 3. With 1, such a model is 2 to 4 points worse on two
# to five classes, where few shots say that the names help no more than chance.
RATIO_SPREAD = 1.4
# Logs of ratios, relative to the centre of the prior, over which the posterior is summed.
RATIO_GRID = np.linspace(-3.5, 4.5, 17)
# A class whose text is far from its shots is far from the text of its queries, too, and gets an
# offset. With many shots, it closes this share of the gap.
OFFSET = 0.7
# Number of shots that closes half of it. With few shots, much of the gap is chance.
OFFSET_COUNT = 6.0
# Without text, both terms of the shots are equal, trained or not. Training without text fits the
# prototypes closely to the shots. If prototypes count three times as much as the image means, as
# beside texts, 2.4 points are lost in the mean of seven families of tasks. If the image means count
# twice as much as the prototypes, 0.2 points are gained, but 0.3 are lost with four shots.
WITHOUT_TEXT = START._replace(smoothness=0.0)
# Hyperparameters with texts and a trained bridge, whose prototypes have seen the shots.
TRAINED = Hyperparameters(
    alpha=6.0, beta=1.0, gamma=1.5, lambda1=1.0, lambda2=0.25, lambda3=0.05, smoothness=0.01
)
# The temperature of a trained bridge, which has seen its shots, relative to its default: with
# texts, and without texts for one shot. Without texts, the temperature grows as this power of the
# number of shots. With each family of tasks left out, the first would change by at most .05, and
# the last two, which are chosen on a grid, would stay or be .17 and .45.
SEEN = 0.84
SEEN_WITHOUT_TEXT = 0.22
SEEN_GROWTH = 0.3
# Relative temperature in closed form, without text and with one shot of each class, where the other
# classes say too little of a class without its shot. On eight families of tasks this halves the log
# loss, 2.5 to 1.3. Each family, left out, would choose 0.25 to 0.33.
SINGLE_WITHOUT_TEXT = 0.3
# Standard deviation of the prior of its log around this, and of that by validation images around
# the temperature of one shot of each class. With more it falls, as the error of what they say.
KNOWN_TEMPERATURE_SPREAD = 0.2
# Standard deviation of the prior of the log of the temperature, around its default.
TEMPERATURE_SPREAD = 0.7
# Largest distance of the log of the temperature from its default.
TEMPERATURE_REACH = 4.0
# Error of this log, much smaller than what the shots leave open.
TOLERANCE = 0.02
# Standard deviation of the logarithms of candidates around the hyperparameters "auto". With half of
# it, validation images gain as much with one shot, and less with more.
SPREAD = 1.0
# Such a standard deviation for a trained bridge, whose hyperparameters are constants, which suit a
# task less well.
TRAINED_SPREAD = 1.5


class Calibration(NamedTuple):
    """What the shots, or validation data, say of a score."""

    hyperparameters: Hyperparameters
    temperature: float


class Typical(NamedTuple):
    """Means over images, each in the column of its own class."""

    cosines: dict[str, float]  # `"z1"` (if there is text), `"z2"` and `"z3"`
    divergence: float  # `KL_c`


def calibrate(
    options: BridgeOptions,
    held_out: HeldOut,
    count: float,
    logit_scale: float,
    first_ratio: float = RATIO,
) -> Calibration:
    """The `Calibration` of the closed form, by its shots.

    `count` is the number of images of a class, of which `held_out` has fewer. `first_ratio` is the
    ratio of one image of each class.
    """
    typical, temperature = typical_of(held_out.shots), options.given_temperature
    wrong = share_of_wrong_labels(options, held_out, logit_scale)
    ratio = estimate_ratio(options, held_out, logit_scale, wrong, first_ratio)
    hyperparameters = automatic_hyperparameters(options, ratio, count, typical, held_out.reach)
    if temperature is None:
        # Relative to its default, it does not depend on the number of images.
        fold = automatic_hyperparameters(options, ratio, held_out.n_images, typical, held_out.reach)
        factor, _ = fit_temperature(fold, held_out.shots, logit_scale, wrong=wrong)
        # Predictions from the names say less than images, so that the default counts as much.
        if held_out.is_single:
            has_text = "z1" in held_out.shots.cosines
            factor = np.sqrt(factor) * (1.0 if has_text else SINGLE_WITHOUT_TEXT)
        temperature = float(factor * default_temperature(hyperparameters, typical, logit_scale))
    return Calibration(hyperparameters, temperature)


def mean_calibration(options: BridgeOptions, parts: list[tuple[float, Calibration]]) -> Calibration:
    """The mean of the `Calibration` of each part, by its share."""
    hyperparameters = [(share, calibration.hyperparameters) for share, calibration in parts]
    temperature = sum(share * calibration.temperature for share, calibration in parts)
    return Calibration(
        mean_hyperparameters(options, hyperparameters), options.given_temperature or temperature
    )


def mean_hyperparameters(
    options: BridgeOptions, parts: list[tuple[float, Hyperparameters]]
) -> Hyperparameters:
    """The mean of hyperparameters by shares. Hyperparameters that the user gave stay."""
    shares = [share for share, _ in parts]
    values = zip(*(hyperparameters for _, hyperparameters in parts))
    means: list[Any] = [None if None in value else np.dot(shares, value) for value in values]
    return options.given_or(Hyperparameters(*means))


def trained_hyperparameters(
    options: BridgeOptions,
    held_out: HeldOut,
    count: float,
    logit_scale: float,
    first_ratio: float = RATIO,
) -> Hyperparameters:
    """The hyperparameters of a trained bridge, by shots that are held out of the closed form.

    The trained bridge itself has seen the shots, so they say nothing of its hyperparameters.
    """
    all_auto = replace(options, given=ALL_AUTO)
    ratio = estimate_ratio(all_auto, held_out, logit_scale, first_ratio=first_ratio)
    # The third term grows with what the shots say beside the names. That gains 0.6 points with four
    # and eight shots, and nothing changes where they say little.
    lambda3 = max(TRAINED.lambda3, TRAINED.lambda2 * ratio * count)
    return options.given_or(TRAINED._replace(lambda3=lambda3))


def trained_temperature(
    hyperparameters: Hyperparameters,
    seen: Typical,
    count: float,
    held_out: tuple[LabelledCosines, float] | None,
    logit_scale: float,
) -> float:
    """The temperature of a trained bridge, by the `Typical` cosines of its `count` shots a class,
    which it has seen, and by those of shots that another bridge has not seen, which has its own
    count.
    """

    def factor(count: float) -> float:
        return SEEN if "z1" in seen.cosines else SEEN_WITHOUT_TEXT * count**SEEN_GROWTH

    temperature = factor(count) * default_temperature(hyperparameters, seen, logit_scale)
    if held_out is None:
        return temperature
    images, others = held_out
    found, _ = fit_temperature(
        hyperparameters, images, factor(others) * logit_scale, KNOWN_TEMPERATURE_SPREAD
    )
    return found * temperature


def share_of_wrong_labels(options: BridgeOptions, held_out: HeldOut, logit_scale: float) -> float:
    """The share of the labels that is taken to be wrong, by held-out shots, with the ratio at the
    centre of its prior. The share is zero if nothing judges the labels: one image of each class,
    and no text.

    A wrong label is any class, so that a hard shot, whose class is among the few probable ones,
    hardly counts as wrong.
    """
    if held_out.is_single and "z1" not in held_out.shots.cosines:
        return 0.0
    if options.label_noise != "auto":
        return options.label_noise
    images, typical = held_out.shots, typical_of(held_out.shots)
    hyperparameters = automatic_hyperparameters(
        options, RATIO, held_out.n_images, typical, held_out.reach
    )
    share = 2 * SHARE
    factor, _ = fit_temperature(hyperparameters, images, logit_scale, wrong=share)
    temperature = factor * default_temperature(hyperparameters, typical, logit_scale)
    p = np.exp(log_proba_of_labels(1.0, *scores_of(hyperparameters, images, temperature)))
    by_chance = 1 / images.divergence.shape[-1]
    for _ in range(MOST_ROUNDS):
        if_wrong = share * by_chance
        n_wrong = images.weight @ (if_wrong / ((1 - share) * p + if_wrong))
        share = wrong_share(n_wrong, images.weight.sum())
    return share * doubt(share)


def estimate_ratio(
    options: BridgeOptions,
    held_out: HeldOut,
    logit_scale: float,
    wrong: float = 0.0,
    first_ratio: float = RATIO,
) -> float:
    """The ratio of one image, which is the mean of its posterior (that of its logarithm).

    Its likelihood is that of the held-out labels, at the best temperature. It is `first_ratio` if
    no class can leave out an image, and that of the prior without text, and if nothing that depends
    on it is "auto".
    """
    is_needed = not {"lambda2", "smoothness"}.isdisjoint(options.auto)
    if "z1" not in held_out.shots.cosines or not is_needed:
        return RATIO
    if held_out.is_single:
        return first_ratio
    typical = typical_of(held_out.shots)

    def loss(ratio: float) -> float:
        hyperparameters = automatic_hyperparameters(
            options, ratio, held_out.n_images, typical, held_out.reach
        )
        return fit_temperature(hyperparameters, held_out.shots, logit_scale, wrong=wrong)[1]

    losses = np.array([loss(RATIO * np.exp(log_ratio)) for log_ratio in RATIO_GRID])
    losses += 0.5 * (RATIO_GRID / RATIO_SPREAD) ** 2
    posterior = np.exp(losses.min() - losses)
    return float(RATIO * np.exp(np.average(RATIO_GRID, weights=posterior)))


def automatic_hyperparameters(
    options: BridgeOptions, ratio: float, count: float, typical: Typical, reach: float
) -> Hyperparameters:
    """All hyperparameters, for a ratio of one shot and `count` shots of each class."""
    if "z1" not in typical.cosines:
        return options.given_or(WITHOUT_TEXT)
    # A bridge that keeps no direction reaches nothing. What it says is the same of all classes.
    gamma = min(GAMMA / reach, LARGEST_FACTOR) if reach > 0 else GAMMA
    hyperparameters = options.given_or(Hyperparameters(ALPHA, BETA, gamma, LAMBDA1, 0.0, 0.0, 0.0))
    sharpness_and_weight: tuple[Any, ...] = hyperparameters[:4]  # with text, none of them is None
    alpha, beta, gamma, lambda1 = sharpness_and_weight
    # `smoothness * (second term) = offset * rise of the text's term`, where `KL_c` is in bits.
    offset = OFFSET * count / (count + OFFSET_COUNT) * np.log(2)
    smoothness = min(offset * beta / (ratio * count), LARGEST_FACTOR)
    hyperparameters = options.given_or(hyperparameters._replace(smoothness=smoothness))

    if alpha and lambda1:
        # How steeply the text's term rises.
        log_rise = np.log(alpha) + np.log(lambda1) - alpha * (1 - typical.cosines["z1"])
        log_w = hyperparameters.smoothness * typical.divergence
    else:
        # Only the ratio of the others counts. A large `w_c`, which both have, would make both zero.
        log_rise = log_w = 0.0

    def weight(ratio: float, sharpness: float, cosine: float) -> float:
        """The `lambda` of a term that rises `ratio` times as steeply as the text's at a cosine."""
        if sharpness == 0:  # flat, so that its weight has no influence
            return LAMBDA1
        log_weight = np.log(ratio) - np.log(sharpness) + log_rise
        log_weight += sharpness * (1 - cosine) - log_w
        # Nearly zero, a term would need an infinite weight to rise like the text's. A weight that
        # rounds to zero leaves out a term that is far too high beside the text's.
        return float(np.exp(min(log_weight, np.log(np.finfo(float).max) / 2)))

    lambda2 = weight(ratio * count, beta, typical.cosines["z2"])
    # The cosine of a shot and itself is the reach. A mean of many shots is near no image.
    lambda3 = weight(1 / count, gamma, reach)
    return options.given_or(hyperparameters._replace(lambda2=lambda2, lambda3=lambda3))


def default_temperature(
    hyperparameters: Hyperparameters, typical: Typical, logit_scale: float
) -> float:
    """The temperature at which the decision rises with all cosines together as that of CLIP does
    with its one.
    """
    terms = list(terms_of_score(typical.cosines, hyperparameters, typical.divergence))
    sharpness = np.array([sharpness for _, sharpness, _ in terms])
    log_heights = [offset - sharp * (1 - typical.cosines[name]) for name, sharp, offset in terms]
    rise = sharpness @ softmax(log_heights) if terms else 0.0
    return float(min(logit_scale / rise, LARGEST_FACTOR)) if rise > 0 else 1.0


def fit_temperature(
    hyperparameters: Hyperparameters,
    images: LabelledCosines,
    logit_scale: float,
    spread: float = TEMPERATURE_SPREAD,
    wrong: float = 0.0,
) -> tuple[float, float]:
    """The temperature with the largest posterior density, relative to its default, and the negative
    log of this density. `spread` is the standard deviation of the prior. The share `wrong` of the
    labels is any class, so that a wrong label does not ask for probabilities that are all alike.
    """
    default = default_temperature(hyperparameters, typical_of(images), logit_scale)
    own, scores = scores_of(hyperparameters, images, default)
    by_chance = wrong / images.divergence.shape[-1]

    def loss(log_ratio: float) -> float:
        log_proba = log_proba_of_labels(np.exp(log_ratio), own, scores)
        if wrong:
            log_proba = np.log((1 - wrong) * np.exp(log_proba) + by_chance)
        return 0.5 * (log_ratio / spread) ** 2 - float(images.weight @ log_proba)

    reach = -TEMPERATURE_REACH, TEMPERATURE_REACH
    found = minimize_scalar(loss, bounds=reach, method="bounded", options={"xatol": TOLERANCE})
    return float(np.exp(found.x)), float(found.fun)


def scores_of(
    hyperparameters: Hyperparameters, images: LabelledCosines, temperature: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The logarithms of the scores of images, relative to the largest one of each, times a
    temperature: those of the labels `(n,)`, and all of some images at a time. Functions of all make
    several arrays, which take less time and memory in parts.
    """
    scores = [
        temperature * log_score(part.cosines, hyperparameters, part.divergence)
        for part in images.in_blocks()
    ]
    labels = np.split(images.codes, np.cumsum([len(part) for part in scores])[:-1])
    for part in scores:
        part -= part.max(axis=1, keepdims=True)
    own = [part[np.arange(len(part)), label] for part, label in zip(scores, labels)]
    return np.concatenate(own), scores


def log_proba_of_labels(factor: float, own: np.ndarray, scores: list[np.ndarray]) -> np.ndarray:
    """The logarithm of the probability of the label of each image `(n,)`, for a factor of the
    temperature of `scores_of`.
    """
    totals = [np.log(np.exp(factor * part).sum(axis=1)) for part in scores]
    return factor * own - np.concatenate(totals)


def typical_of(images: LabelledCosines) -> Typical:
    """`Typical` of labelled images."""
    own = np.arange(len(images.codes)), images.codes

    def mean(values: np.ndarray) -> float:
        values = np.broadcast_to(values, images.cosines["z2"].shape)
        return float(np.average(values[own], weights=images.weight))

    return Typical({name: mean(z) for name, z in images.cosines.items()}, mean(images.divergence))


# Validation images


def search_hyperparameters(
    by_shots: Calibration,
    count: float,
    options: BridgeOptions,
    images: LabelledCosines,
    logit_scale: float,
) -> Calibration:
    """The hyperparameters with the best accuracy on validation images, and the temperature.
    `by_shots` is the `Calibration` without validation images, by `count` images of each class.

    The best of many candidates is partly luck. So the hyperparameters of the shots stay unless the
    best one is right more often by more than two standard errors, and makes the labels as probable.
    Of candidates with the same accuracy, the one with the most probable labels is taken.
    """
    auto = by_shots.hyperparameters
    # Single precision takes half of the time, and hardly changes which score is the largest.
    images = LabelledCosines(
        {name: z.astype(np.float32) for name, z in images.cosines.items()},
        images.codes,
        images.weight * images_per_weight(images.weight),
        images.divergence.astype(np.float32),
    )

    if options.given_temperature is None:
        default = default_temperature(auto, typical_of(images), logit_scale)
        logit_scale *= by_shots.temperature / default

    # Few images say less of the temperature than the shots do.
    spread = KNOWN_TEMPERATURE_SPREAD / np.sqrt(count)

    def fit(hyperparameters: Hyperparameters) -> tuple[float, float]:
        return fit_temperature(hyperparameters, images, logit_scale, spread)

    hyperparameters, (factor, loss) = auto, fit(auto)
    candidates = draw_candidates(auto, options)
    lead, error = compare(auto, candidates, images)
    # Between whole images half of one changes nothing. It keeps those of little weight from
    # breaking ties.
    least_lead = 2 * np.sqrt(error**2 + 2 * HALF_AN_IMAGE**2)
    leads = lead > least_lead
    if leads.any():
        leads &= lead > lead[leads].max() - HALF_AN_IMAGE
        found = list(compress(candidates, leads))
        fits = [fit(candidate) for candidate in found]
        number = int(np.argmin([loss for _, loss in fits]))
        if fits[number][1] <= loss:
            hyperparameters, (factor, _) = found[number], fits[number]
    temperature = options.given_temperature
    if temperature is None:
        temperature = factor * default_temperature(hyperparameters, typical_of(images), logit_scale)
    return Calibration(hyperparameters, temperature)


def draw_candidates(auto: Hyperparameters, options: BridgeOptions) -> list[Hyperparameters]:
    """`auto` times random factors, one by one. Hyperparameters that the user gave stay."""
    if not options.auto:
        return []
    values = np.array([getattr(auto, name) for name in options.auto])
    random_state = check_random_state(options.random_state)
    noise = random_state.normal(size=(options.n_candidates, len(values)))
    factors = np.exp((SPREAD if options.trained_by is None else TRAINED_SPREAD) * noise)
    most = [np.inf if name.startswith("lambda") else LARGEST_FACTOR for name in options.auto]
    rows = np.minimum(values * factors, most).tolist()
    return [auto._replace(**dict(zip(options.auto, row))) for row in rows]


def compare(
    auto: Hyperparameters, candidates: list[Hyperparameters], images: LabelledCosines
) -> tuple[np.ndarray, np.ndarray]:
    """By how much more weight of the images each candidate classifies right than `auto`, and the
    standard error of this difference if both are equally good (McNemar's test).
    """
    lead, squares = np.zeros((2, len(candidates)))
    for part in images.in_blocks():
        before = _is_right(auto, part)
        for number, candidate in enumerate(candidates):
            change = part.weight * (_is_right(candidate, part) - before)
            lead[number] += change.sum()
            squares[number] += change @ change
    return lead, np.sqrt(squares)


def _is_right(hyperparameters: Hyperparameters, images: LabelledCosines) -> np.ndarray:
    """Whether the score classifies each image right, as 1 or 0 `(n,)`."""
    exponents = [
        sharpness * images.cosines[name] + (offset - sharpness)
        for name, sharpness, offset in terms_of_score(
            images.cosines, hyperparameters, images.divergence
        )
    ]
    # The logarithm of the score would take much longer.
    top = reduce(np.maximum, (part.max(axis=1, keepdims=True) for part in exponents))
    score = sum(np.exp(part - top) for part in exponents)
    return (score.argmax(axis=1) == images.codes).astype(int)
