"""The classifier of the paper: from shots and texts to three cosines (affinities), and to the logarithm of its score."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._model.shots import sum_rows, weight_in_class
from .._utils.array_api import astype, constants_like, in_blocks, l2_normalize, namespace, softmax
from .._utils.validation import warn_caller
from .bridge import Bridge
from .temperature import fit_temperature
from .training import TrainedBridge, train_bridge

# `eps` of the paper's class weights.
EPS = 1e-6
# A slope is fitted to at most so many classes. More classes do not change it.
MOST_CLASSES = 1000
NUMBERS = "alpha", "beta", "gamma", "lambda1", "lambda2", "lambda3", "smoothness"


@dataclass(frozen=True, eq=False)
class PaperModel:
    """The arrays that predictions need, with one row for each class. For classes without shots the rows are NaN."""

    bridge: Bridge
    text_embeddings: np.ndarray | None  # `T_c (C, D)`
    prototypes: np.ndarray  # `P_c (C, D)`, the bridged shots
    image_means: np.ndarray  # `F_c (C, D)`, the means of the shots
    class_bias: np.ndarray | None  # `(C, d)`
    numbers: dict  # the seven numbers of `PaperBlend`
    temperature: float
    rank: int  # number of directions that the bridge keeps in closed form
    loss_curve: list | None  # None in closed form
    n_iter: int
    converged: bool
    divergence: np.ndarray | None = None  # `KL_c (C,)`, only while scores are computed

    @property
    def has_shots(self):
        """True for classes with shots, shape (C,)."""
        return ~np.isnan(self.prototypes[:, 0])

    def affinities(self, X):
        """The cosines of queries `X (n, D)` and classes, a dict of arrays of shape (n, C).

        `z1 = nrm(q) . T_c` (if there is text), `z2 = nrm(q) . P_c` and `z3 = bridge(q) . F_c`. For classes without shots,
        `z2` and `z3` are NaN.
        """
        return constants_like(X, self, replace).affinities_of_block(X)

    def affinities_of_block(self, X):
        """The cosines of queries that have the precision and the device of the model."""
        queries = l2_normalize(X)
        of_text = {} if self.text_embeddings is None else {"z1": queries @ self.text_embeddings.T}
        z3 = self.bridge.affinity(X, self.image_means)
        return of_text | {"z2": queries @ self.prototypes.T, "z3": z3}

    def decision(self, X, finish=lambda scores: scores):
        """`finish(scores)` in blocks of rows, for the logarithm of the score times the temperature, shape (n, C)."""
        model = constants_like(X, self, PaperModel.for_scores)
        return in_blocks(lambda block: finish(model.scores(model.affinities_of_block(block))), X)

    def guesses(self):
        """Prototypes and image means as predicted from names, a list of two arrays of shape (C, D)."""
        of_shots = self.prototypes, self.image_means
        return [guess_from_names(rows, self.text_embeddings, self.image_means) for rows in of_shots]

    def for_scores(self):
        """The model with class weights. Classes without shots have guesses instead of NaN."""
        of_shots = self.prototypes, self.image_means
        if not self.has_shots.all():
            of_shots = (np.where(self.has_shots[:, None], *pair) for pair in zip(of_shots, self.guesses()))
        prototypes, image_means = of_shots
        divergence = class_divergence(self.image_means, self.text_embeddings)
        return replace(self, prototypes=prototypes, image_means=image_means, divergence=divergence)

    def scores(self, affinities):
        """`temperature * log(score)` from affinities, shape (n, C). The model comes from `for_scores`.

        `score_c = l1 exp(-alpha (1 - z1)) + [l2 exp(-beta (1 - z2)) + l3 exp(-gamma (1 - z3))] w_c` with
        `w_c = exp(smoothness * KL_c)`.
        """
        terms = [offset - sharpness * (1 - affinities[z]) for z, sharpness, offset in self.terms(affinities)]
        xp = namespace(terms[0])
        terms = xp.stack(terms)
        top = xp.max(terms, axis=0)
        return self.temperature * (top + xp.log(xp.sum(xp.exp(terms - top), axis=0)))

    def terms(self, names):
        """`(name, sharpness, offset)` of each term `exp(offset - sharpness * (1 - z))`. The model comes from `for_scores`."""
        numbers = self.numbers
        of_terms = ("z1", "alpha", "lambda1"), ("z2", "beta", "lambda2"), ("z3", "gamma", "lambda3")
        for name, sharpness, weight in of_terms:
            if name not in names or numbers[weight] == 0:
                continue
            offset = float(np.log(numbers[weight]))
            if name != "z1" and self.divergence is not None:
                offset = offset + numbers["smoothness"] * self.divergence
            yield name, numbers[sharpness], offset

    def over(self, rows, text_embeddings=None):
        """The model for other classes: those at `rows (K,)`. -1 is a class without shots.

        `text_embeddings (K, D)` are the `T_c` of these classes. With None, the known texts stay.
        """

        def of(values):
            return None if values is None else np.where((rows < 0)[:, None], np.nan, values[rows])

        return replace(
            self,
            text_embeddings=of(self.text_embeddings) if text_embeddings is None else text_embeddings,
            prototypes=of(self.prototypes),
            image_means=of(self.image_means),
            class_bias=of(self.class_bias),
        )


def guess_from_names(rows, texts, images):
    """Predict `rows` (prototypes or image means) of all classes from names: `mean + slope (T_c - mean T)`.

    The means are over the classes with shots. Other `rows` are NaN. The slope comes from a regression over pairs of different
    classes: of the products `image mean . row` on the products `image mean . text`. Without text, the guess is the mean.
    """
    seen = np.flatnonzero(~np.isnan(rows[:, 0]))
    mean = rows[seen].mean(axis=0)
    if texts is None:
        return np.broadcast_to(mean, rows.shape)
    v = texts - texts[seen].mean(axis=0)
    some = seen[:: -(-len(seen) // MOST_CLASSES)]
    products = [images[some] @ of_classes.T for of_classes in (v[some], rows[some] - mean)]
    if len(some) > 2:
        for of_pairs in products:
            np.fill_diagonal(of_pairs, 0.0)
    square = np.sum(products[0] ** 2)
    # If all texts are the same, the slope is zero.
    return mean + (np.sum(products[0] * products[1]) / square if square > EPS * len(some) else 0.0) * v


def class_divergence(image_means, texts):
    """`KL_c = log2((1 + eps) / (p_cc + eps))` of the paper, with `p = softmax_rows(F @ T.T)`, shape (C,).

    Classes without shots have the mean of the other classes. Without text, the result is None.
    """
    if texts is None:
        return None
    seen = np.flatnonzero(~np.isnan(image_means[:, 0]))
    p = softmax(image_means[seen] @ texts.T)[np.arange(len(seen)), seen]
    divergence = np.log2((1 + EPS) / (p + EPS))
    filled = np.full(len(image_means), divergence.mean())
    filled[seen] = divergence
    return filled


def fit_paper(shots, texts, *, blend, training=None, earlier=None, dtype=np.float64, callback=None):
    """Fit a `PaperModel`, with a `PaperBlend` and a `Training`. If `training` is None, the bridge has its closed form.

    `shots` are `Shots`. Classes may have none. `texts` are `ClassTexts`. Without a projection, the bridge is the identity.
    Training continues from the bridge of `earlier`, a `PaperModel` of the same classes, if both have the same projection.
    `callback` and errors are those of `train_bridge`.

    The computation is in float64, and the training in float32. The arrays of the result have the type `dtype`. There is a
    warning if L-BFGS does not converge, and one if `atol` removes every direction.
    """
    blend.validate(has_text=texts.embeddings is not None)
    X, codes = np.asarray(shots.X, dtype=np.float64), shots.codes
    if texts.projection is None:
        bridge = Bridge.identity(X.shape[1])
    else:
        bridge = Bridge.closed_form(texts.projection, texts.projection_bias, texts.text_length, blend.atol)
    rank = bridge.basis.shape[1]
    if rank == 0:
        warn_caller(
            f"atol={blend.atol} cuts off every direction of the text projection, so that nothing can be bridged. "
            'Use atol="auto".'
        )
    share = weight_in_class(codes, shots.weight)
    trained = TrainedBridge(bridge.matrix, None, None, 1, True)
    if training is not None:
        trained = _train(X, codes, share, texts, bridge, training, earlier, callback)
        bridge = bridge.trained(trained.bridge)

    class_bias = trained.class_bias
    projected = bridge.project(X, None if class_bias is None else class_bias[codes])
    n_classes = codes[-1] + 1 if texts.embeddings is None else len(texts.embeddings)
    prototypes = bridge.prototypes(sum_rows(projected, share, codes, n_classes))
    image_means = l2_normalize(sum_rows(X, share, codes, n_classes))
    for rows in prototypes, image_means:
        rows[np.bincount(codes, minlength=n_classes) == 0] = np.nan
    model = PaperModel(
        bridge=bridge,
        text_embeddings=texts.embeddings,
        prototypes=prototypes,
        image_means=image_means,
        class_bias=class_bias,
        numbers={name: float(getattr(blend, name)) for name in NUMBERS},
        temperature=1.0,
        rank=rank,
        loss_curve=trained.loss_curve,
        n_iter=trained.n_iter,
        converged=trained.converged,
    )
    temperature = blend.temperature
    if temperature == "auto":
        temperature = fit_temperature(model, shots, share, projected, texts.logit_scale)
    return astype(replace(model, temperature=float(temperature or 1.0)), dtype)


def _train(X, codes, share, texts, bridge, training, earlier, callback):
    """`train_bridge`, from the earlier bridge if it has the same projection. New classes start without a bias."""
    class_bias = None
    if earlier is not None and is_same(earlier.bridge.projection, bridge.projection):
        bridge = bridge.trained(earlier.bridge.matrix.astype(np.float64))
        if earlier.class_bias is not None:
            class_bias = np.nan_to_num(earlier.class_bias.astype(np.float64))
    options = {"class_bias": class_bias, "callback": callback}
    trained = train_bridge(X, codes, share, bridge, training, texts, **options)
    if not trained.converged:
        message = f"The bridge did not converge in {trained.n_iter} iterations. Increase max_iter or tol."
        warn_caller(message, ConvergenceWarning)
    return trained


def is_same(was, now):
    """True if two projections (or None) are equal in the precision of the first."""
    return was is now if was is None or now is None else np.array_equal(was, now.astype(was.dtype))
