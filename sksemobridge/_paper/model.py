"""The classifier of the paper: from shots and texts to three cosines (affinities), and to the
logarithm of its score.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning

from .._model.class_means import fit_slope
from .._model.shots import sum_rows, weight_in_class
from .._utils.array_api import constants_like, l2_normalize, log_softmax, namespace, softmax
from .._utils.validation import warn_caller
from .bridge import Bridge
from .training import TrainedBridge, train_bridge

# `eps` of the paper's class weights.
EPS = 1e-6
# Largest number of scores for an estimate of the temperature. More do not change it.
MOST_SCORES = 2**22
# Standard deviation of the prior of the log of the temperature, around its default.
TEMPERATURE_SPREAD = 0.5
# Largest distance of the log of the temperature from its default.
TEMPERATURE_REACH = 4.0
# Step of a numerical derivative of the log score.
STEP = 1e-3
ATTRIBUTES = (
    "prototypes",
    "image_means",
    "class_bias",
    "rank",
    "temperature",
    "loss_curve",
    "n_iter",
)
NUMBERS = "alpha", "beta", "gamma", "lambda1", "lambda2", "lambda3", "smoothness"


@dataclass(frozen=True, eq=False)
class PaperModel:
    """The arrays that predictions need, with one row for each class."""

    bridge: Bridge
    text_embeddings: np.ndarray | None  # `T_c (C, D)`
    prototypes: np.ndarray  # `P_c (C, D)`, the bridged shots
    image_means: np.ndarray  # `F_c (C, D)`, the means of the shots
    class_bias: np.ndarray | None  # `(C, d)`
    divergence: np.ndarray  # `KL_c (C,)`
    numbers: dict  # the seven numbers of `PaperBlend`
    rank: int  # number of directions that the bridge keeps in closed form
    loss_curve: list | None  # None in closed form
    n_iter: int
    temperature: float = 1.0
    log_prior: np.ndarray | None = None  # added to the decision, `(C,)`

    def affinities(self, X, log_prior=None):
        """The cosines of queries `X (n, D)` and classes, a dict of arrays of shape (n, C)."""
        return constants_like(X, self).cosines(X)

    def decision(self, log_prior):
        """The model with `log_prior (C,)` (or None) in its decision."""
        return replace(self, log_prior=log_prior)

    def attributes(self):
        """Fitted attributes of the classifier that only this model has, without the final `_`."""
        result = {name: getattr(self, name) for name in ATTRIBUTES}
        return result | {"bridge": self.bridge.matrix, "blend": self.numbers}

    def decide(self, X):
        """The decision of queries that have the precision and the device of the model."""
        return self.logits(self.cosines(X))

    def cosines(self, X):
        """`z1 = nrm(q) . T_c` (if there is text), `z2 = nrm(q) . P_c` and `z3 = bridge(q) . F_c` of
        such queries.
        """
        queries = l2_normalize(X)
        z1 = {} if self.text_embeddings is None else {"z1": queries @ self.text_embeddings.T}
        return z1 | {
            "z2": queries @ self.prototypes.T,
            "z3": self.bridge.apply(X) @ self.image_means.T,
        }

    def logits(self, cosines):
        """`temperature * log(score) + log_prior` from cosines, shape (n, C).

        `score_c = l1 exp(-alpha (1 - z1)) + [l2 exp(-beta (1 - z2)) + l3 exp(-gamma (1 - z3))]
        w_c` with         `w_c = exp(smoothness * KL_c)`.
        """
        terms = [offset - sharpness * (1 - cosines[z]) for z, sharpness, offset in self.terms()]
        xp = namespace(terms[0])
        terms = xp.stack(terms)
        top = xp.max(terms, axis=0)
        decision = self.temperature * (top + xp.log(xp.sum(xp.exp(terms - top), axis=0)))
        return decision if self.log_prior is None else decision + self.log_prior

    def terms(self):
        """`(name, sharpness, offset)` of each term `exp(offset - sharpness * (1 - z))` of the
        score.
        """
        numbers, log_weight = self.numbers, self.numbers["smoothness"] * self.divergence
        for name, sharpness, weight, offset in (
            ("z1", "alpha", "lambda1", 0.0),
            ("z2", "beta", "lambda2", log_weight),
            ("z3", "gamma", "lambda3", log_weight),
        ):
            if numbers[weight] > 0 and (name != "z1" or self.text_embeddings is not None):
                yield name, numbers[sharpness], offset + float(np.log(numbers[weight]))

    def guesses(self, texts):
        """Prototypes and image means that texts `(K, D)` predict, not scaled to unit length."""
        known = self.text_embeddings
        return [
            rows.mean(axis=0) + fit_slope(known, rows) * (texts - known.mean(axis=0))
            for rows in (self.prototypes, self.image_means)
        ]

    def for_classes(self, indices, texts):
        """The model for other classes: those at `indices (K,)`. -1 is a class without shots.

        `texts (K, D)` are the `T_c` of these classes, or None without text.
        """
        # -1 takes the last row here. It is replaced below, or refused.
        prototypes, image_means = self.prototypes[indices], self.image_means[indices]
        new = indices < 0
        if new.any():
            prototypes[new], image_means[new] = map(l2_normalize, self.guesses(texts[new]))
        class_bias = self.class_bias
        if class_bias is not None:
            class_bias = np.where(new[:, None], 0.0, class_bias[indices])
        return replace(
            self,
            text_embeddings=texts,
            prototypes=prototypes,
            image_means=image_means,
            class_bias=class_bias,
            divergence=class_divergence(image_means, texts),
        )


def class_divergence(image_means, texts):
    """`KL_c = log2((1 + eps) / (p_cc + eps))` of the paper, with `p = softmax_rows(F @ T.T)`. Zero
    without text. (C,)
    """
    if texts is None:
        return np.zeros(len(image_means))
    return np.log2((1 + EPS) / (np.diag(softmax(image_means @ texts.T)) + EPS))


def fit_paper(shots, texts, blend, training=None):
    """The `PaperModel` of `Shots` and `ClassTexts`, with a `PaperBlend` and a `Training` (None: the
    bridge in closed form).

    Each class has a shot. Without a projection, the bridge is the identity.
    """
    X, codes = np.asarray(shots.X, dtype=np.float64), shots.codes
    share, n_classes = weight_in_class(codes, shots.weight), codes[-1] + 1
    # 1. The bridge, in closed form or trained.
    if texts.projection is None:
        bridge = Bridge.identity(X.shape[1])
    else:
        bridge = Bridge.closed_form(
            texts.projection, texts.projection_bias, texts.text_length, blend.atol
        )
    rank = bridge.basis.shape[1]
    trained = TrainedBridge(bridge.matrix, None, None, 1)
    if training is not None:
        trained = train_bridge(X, codes, share, bridge, training, texts)
        bridge = replace(bridge, matrix=trained.bridge, basis=None)
    if not trained.converged:
        message = (
            f"The bridge did not converge in {trained.n_iter} iterations. Increase max_iter or tol."
        )
        warn_caller(message, ConvergenceWarning)
    # 2. The means of the shots, and those of the bridged shots.
    class_bias = trained.class_bias
    eos = bridge.eos(X, None if class_bias is None else class_bias[codes])
    image_means = l2_normalize(sum_rows(X, share, codes, n_classes))
    model = PaperModel(
        bridge=bridge,
        text_embeddings=texts.embeddings,
        prototypes=l2_normalize(bridge.joint(sum_rows(eos, share, codes, n_classes))),
        image_means=image_means,
        class_bias=class_bias,
        divergence=class_divergence(image_means, texts.embeddings),
        numbers={name: float(getattr(blend, name)) for name in NUMBERS},
        rank=rank,
        loss_curve=trained.loss_curve,
        n_iter=trained.n_iter,
    )
    if not list(model.terms()):
        raise ValueError(
            "lambda1 (without text unused), lambda2 and lambda3 are zero: set one of them above"
            " zero."
        )
    # 3. The temperature.
    temperature = blend.temperature
    if temperature == "auto":
        temperature = fit_temperature(model, shots, share, eos, texts.logit_scale)
    return replace(model, temperature=float(temperature or 1.0))


def fit_temperature(model, shots, share, eos, logit_scale):
    """The temperature of the scores of a model, which has a temperature of 1. `eos (n, d)` are the
    bridged shots.

    The default gives a cosine the same scale as CLIP does. A trained bridge keeps it, because it
    has seen the shots.

    In closed form, each image is held out of its class mean, and the temperature minimises the log
    loss. Classes of one image are left out. If there are no others, predictions from the names
    replace the means. They say less than images, so the result is the geometric mean of the
    estimate and the default.
    """
    images = shots.images()
    image, n_images = images.image_of_shot, np.bincount(images.codes)[shots.codes]
    is_single = n_images.max() == 1
    rows = np.flatnonzero((n_images > 1) | is_single)
    rows = rows[:: -(-len(rows) * len(model.prototypes) // MOST_SCORES)]
    codes, X = shots.codes[rows], np.asarray(shots.X, dtype=np.float64)
    own_class, weight = (np.arange(len(rows)), codes), (share * n_images)[rows]
    cosines = model.cosines(X[rows])

    def without(values):
        """For each row, the mean of its class without its image."""
        class_sums = sum_rows(values, share, shots.codes, len(model.prototypes))
        image_sums = sum_rows(values, share, image, len(images.codes))
        image_share = np.bincount(image, weights=share)[image[rows], None]
        return (class_sums[codes] - image_sums[image[rows]]) / (1 - image_share)

    is_trained = model.loss_curve is not None
    if not is_trained:
        if not is_single:
            prototypes, image_means = (
                l2_normalize(model.bridge.joint(without(eos))),
                l2_normalize(without(X)),
            )
        elif model.text_embeddings is not None:
            prototypes, image_means = model.guesses(model.text_embeddings[codes])
        else:
            prototypes, image_means = model.prototypes.mean(axis=0), model.image_means.mean(axis=0)
        cosines["z2"][own_class] = np.vecdot(l2_normalize(X[rows]), prototypes)
        cosines["z3"][own_class] = np.vecdot(model.bridge.apply(X[rows]), image_means)
    scores = model.logits(cosines)
    shifted = model.logits({name: z + STEP for name, z in cosines.items()})
    slope = np.average((shifted - scores)[own_class], weights=weight) / STEP
    default = logit_scale / slope if slope > STEP else 1.0
    if is_trained:
        return default

    def loss(log_ratio):
        log_proba = log_softmax(default * np.exp(log_ratio) * scores)[own_class]
        return 0.5 * (log_ratio / TEMPERATURE_SPREAD) ** 2 - weight @ log_proba

    log_ratio = minimize_scalar(
        loss, bounds=(-TEMPERATURE_REACH, TEMPERATURE_REACH), method="bounded"
    ).x
    return default * np.exp(log_ratio / 2 if is_single else log_ratio)
