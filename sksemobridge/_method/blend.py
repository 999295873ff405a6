"""The blend of affinities: estimated from the shots (`blend="auto"`, ours), or the paper's.

`decision_c = sum_k s_k z_k,c + b_c + A_c . v` and `predict_proba = softmax(decision)`, with `v` a query less the mean
of the shots. The scales `s_k > 0`, the offsets `b (C,)` and the corrections `A (C, D)` are one posterior mode. It
minimises

    sum_i omega_i * -log softmax(decision(x_i) + log pi)[y_i]
    + sum_k strength_k log(1 + (log(s_k / s0_k) / width)^2) + ||b||^2 / (2 tau^2)
    + sum_c A_c' inv(Q) A_c / (2 sigma_c^2)

over the shots `x_i`, whose affinities are those of a model fitted without them. `pi_c` is the share of class `c` among
the shots, since how often a class is sampled does not tell how likely it is. The prior of `s` is Student's t with one
degree of freedom: it holds scales near their defaults `s0_k` while shots are few, and lets go of a default that the
shots speak against. The prior of `A` is Gaussian, `Q = sum_S q_S V_S V_S' / l_S^2` over spans `S` with directions
`V_S`, and `l_S^2` is the mean square length of the shots' `v` in the span. The spans are the whole space, `q = 1`, and
that of the class texts, `q = p (1 + 1 / n)`, with `p` the probability that the text is of use and `n` the mean number of
images of a class. `tau` and the `sigma_c` are estimated: some names fit their images better than others, and need less of
a correction.

Class texts do not depend on the shots. The scale that fits `z1` alone is its default. The text is trusted with the
probability that it is of use, which follows from how much lower its loss is than that of guessing. Defaults are a
mean of those with text and those without, weighted by this probability.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logsumexp

from .._utils.array_api import namespace, softmax
from .whitening import Affine

# `python studies/blend.py` varies the constants of this block, but for `SHOT_SHARE_ALONE` and `WIDTH`.
# Default of `z4` beside text, and without where each class has one image: a share of a Gaussian log-likelihood ratio,
# as features are not independent.
WHITENED_SCALE, WHITENED_SCALE_ALONE = 0.04, 0.3
# Default spread of `z2` and of `z3`, as a share of that of `z1` (without text, of one nat), beside `z4` and without.
SHOT_SHARE, SHOT_SHARE_ALONE = 0.01, 0.4
# Weight of the prior of a scale, in held-out images, and its width in `log s`. Beside text the prior of `z4` weighs
# more: the class of a held-out shot is noisier than that of a query.
STRENGTH, STRENGTH_OF_WHITENED, WIDTH = 1.25, 5.0, 0.5
# `tau` in nats, and `sigma_c` beside text and without, before any shot.
OFFSET, CORRECTION, CORRECTION_ALONE = 1.0, 1.0, 0.7
# Number of parameters of each class that the priors of `tau` and of `sigma` count as.
VARIANCE_WORTH = 4.0
# Weight of the prior that logits need no tempering, in held-out images.
TEMPER_WORTH = 2.0

# Spread of affinities, as a share of the largest, that rounding of single precision explains: about ten of its steps.
ROUNDING = 1e-6
# Spread that stands in for that of `z1`, and of `z2` and `z3`, where classes are too few, or too much alike, to
# measure it.
SPREAD_OF_TEXTS, SPREAD_OF_SHOTS = 0.01, 0.05
# Bounds of a scale's `log(s / s0)`, which only the first step of a line search leaves, and of the log of the temper.
MOST_LOG_RATIO, LOG_TEMPERS = 7, (-2, 0.5)
# Relative decrease of the loss that ends the search for the mode, and for the first one, from which variances come.
TOL, TOL_OF_VARIANCES = 1e-8, 1e-5
# Largest part that a shot is taken to have in its own logits: guards a division.
MOST_OWN = 0.9
# Odds that a text is of use, before any shot: most names are words that CLIP knows. They are even once the loss of the
# text is `log(TEXT_ODDS)` = 2.3 nats above that of guessing.
TEXT_ODDS = 10.0
# `eps` of the paper's class weights.
PAPER_EPS = 1e-6


def fuse(affinities, scales):
    """`sum_k s_k z_k`, shape (n, C)."""
    return sum(float(scale) * affinities[name] for name, scale in scales.items())


def spread_over_others(z, codes):
    """Root mean square over shots of the standard deviation of `z` over the classes of others, or None.

    Returns None with fewer than two other classes, or if `z` varies by rounding only. A shot's own class is left out.
    """
    n, n_classes = z.shape
    if n_classes < 3 or not n:
        return None
    others = np.ones(z.shape, dtype=bool)
    others[np.arange(n), codes] = False
    value = float(np.sqrt(np.mean(np.var(z[others].reshape(n, n_classes - 1), axis=1))))
    return value if value > ROUNDING * np.abs(z).max() else None


@dataclass(frozen=True)
class TextUse:
    """How well the texts alone fit the shots.

    Attributes
    ----------
    scale : float
        Scale of `z1` by itself.
    trust : float
        Probability that the text is of use.
    """

    scale: float
    trust: float


def fit_text(queries, logit_scale):
    """Fit the text alone to the held-out shots: `TextUse`.

    Parameters
    ----------
    queries : Queries
    logit_scale : float
        What CLIP's zero-shot cosines are multiplied by.
    """
    _, codes, weight, z1 = queries
    no_features = np.zeros((len(codes), 0))
    problem = BlendProblem({"z1": z1}, codes, weight, {"z1": logit_scale}, {"z1": STRENGTH}, no_features)
    mode = problem.solve(np.zeros((0, 1)))
    scales, loss = mode.scales, mode.loss
    if spread_over_others(z1, codes) is None and z1.shape[1] > 2:
        return TextUse(scales["z1"], 0.0)
    guess = -weight @ problem.log_prior[codes]
    return TextUse(scales["z1"], float(expit(np.log(TEXT_ODDS) + guess - loss)))


def default_scales(affinities, codes, text, per_class):
    """The scales `s0_k`.

    Parameters
    ----------
    affinities : dict of ndarray of shape (n, C)
        Held out.
    codes : ndarray of shape (n,)
    text : TextUse or None
    per_class : float
        Effective number of images of a class. The fewer they are, the more class means are shrunk, and `z4` with them.
    """
    trust = 0.0 if text is None else text.trust
    defaults = {}
    if text is not None:
        defaults["z1"] = max(trust, ROUNDING) * text.scale
        spread = text.scale * (spread_over_others(affinities["z1"], codes) or SPREAD_OF_TEXTS)
    share = SHOT_SHARE if "z4" in affinities else SHOT_SHARE_ALONE
    for name in [name for name in ("z2", "z3") if name in affinities]:
        width = trust * spread + (1 - trust) if text is not None else 1.0
        defaults[name] = share * width / (spread_over_others(affinities[name], codes) or SPREAD_OF_SHOTS)
    if "z4" in affinities:
        alone = max(WHITENED_SCALE_ALONE / max(per_class, 1), WHITENED_SCALE)
        defaults["z4"] = trust * WHITENED_SCALE + (1 - trust) * alone
    return defaults


@dataclass(frozen=True)
class BlendProblem:
    """What `decision` is fitted to; symbols as at the top of this module.

    Attributes
    ----------
    affinities : dict of ndarray of shape (n, C)
    codes : ndarray of shape (n,)
    weight : ndarray of shape (n,)
        `omega_i`.
    defaults : dict of float
        `s0_k`, positive.
    strength : dict of float
        `strength_k`.
    features : ndarray of shape (n, r)
        Those of `features_of`, in which offset and correction have independent coefficients; `r = 0` leaves both out.
    """

    affinities: dict
    codes: np.ndarray
    weight: np.ndarray
    defaults: dict
    strength: dict
    features: np.ndarray

    @property
    def n_classes(self):
        return next(iter(self.affinities.values())).shape[1]

    @cached_property
    def log_prior(self):
        """Logarithm of `pi_c`, of shape (C,)."""
        counts = np.bincount(self.codes, weights=self.weight, minlength=self.n_classes)
        return np.log(np.maximum(counts, np.finfo(float).tiny) / max(counts.sum(), ROUNDING))

    def solve(self, deviations, start=None, tolerance=TOL):
        """The posterior mode: `Mode`.

        Parameters
        ----------
        deviations : ndarray of shape (r, C) or (r, 1)
            Prior standard deviations of the coefficients of the features.
        start : ndarray or None
            The `x` of another mode.
        tolerance : float
            Relative decrease of the loss that ends the search.
        """
        n, names = len(self.codes), list(self.affinities)
        centre = np.log([self.defaults[name] for name in names])
        strength = np.array([self.strength[name] for name in names])
        units, rows, k = self._units(), np.arange(n), len(names)

        def unpack(x):
            return np.clip(units * x[:k], -MOST_LOG_RATIO, MOST_LOG_RATIO), x[k:].reshape(-1, self.n_classes)

        def residuals(x):
            """`omega_i (p_ic - [y_i = c])`, and the log loss."""
            log_ratio, coefficients = unpack(x)
            logits = self.features @ (deviations * coefficients)
            logits += self.log_prior
            for scale, name in zip(np.exp(centre + log_ratio), names):
                logits += scale * self.affinities[name]
            logits -= logits.max(axis=1, keepdims=True)
            true = logits[rows, self.codes]
            np.exp(logits, out=logits)
            total = logits.sum(axis=1)
            logits *= (self.weight / total)[:, None]
            logits[rows, self.codes] -= self.weight
            return logits, self.weight @ (np.log(total) - true)

        def objective(x):
            residual, loss = residuals(x)
            log_ratio, coefficients = unpack(x)
            scales, square = np.exp(centre + log_ratio), (log_ratio / WIDTH) ** 2
            loss += strength @ np.log1p(square) + 0.5 * (x[k:] @ x[k:])
            gradient = np.empty_like(x)
            gradient[:k] = scales * [np.vdot(residual, self.affinities[name]) for name in names]
            gradient[:k] += 2 * strength * log_ratio / (WIDTH**2 * (1 + square))
            gradient[:k] *= units
            of_coefficients = gradient[k:].reshape(coefficients.shape)
            np.matmul(self.features.T, residual, out=of_coefficients)
            of_coefficients *= deviations
            of_coefficients += coefficients
            return float(loss), gradient

        x, loss = np.zeros(k + self.features.shape[1] * self.n_classes) if start is None else start, 0.0
        if n:
            options = {"ftol": tolerance, "maxcor": 4}
            best = minimize(objective, x, jac=True, method="L-BFGS-B", options=options)
            x, loss = best.x, float(best.fun)
        residual = residuals(x)[0] if n else np.zeros((0, self.n_classes))
        log_ratio, coefficients = unpack(x)
        scales = dict(zip(names, np.exp(centre + log_ratio).tolist()))
        return Mode(scales, deviations * coefficients, loss, residual, x)

    def _units(self):
        """Deviation of each `log s_k` at its default: in such units the search takes fewer steps."""
        p = softmax(self.log_prior + fuse(self.affinities, self.defaults))
        curvatures = []
        for name, z in self.affinities.items():
            of_logits = np.maximum((p * z**2).sum(axis=1) - (p * z).sum(axis=1) ** 2, 0)
            of_prior = 2 * self.strength[name] / WIDTH**2
            curvatures.append(of_prior + self.defaults[name] ** 2 * (self.weight @ of_logits))
        return 1 / np.sqrt(curvatures)

    def known(self, mode, deviations):
        """How much of each coefficient the shots determine `(r, C)`, from 0 to 1, and the curvature used `(C,)`.

        Features are taken as orthogonal, and the curvature is the mean of `p (1 - p)` over the shots.
        """
        p = np.abs(mode.residual) / self.weight[:, None]
        curvature = self.weight @ (p * (1 - p)) / max(self.weight.sum(), ROUNDING)
        squares = curvature * deviations**2 * (self.weight @ self.features**2)[:, None]
        return squares / (1 + squares), curvature

    def estimate_deviations(self, mode, deviations):
        """`deviations` by a step of MacKay's rule: mean squares over the parameters that the shots determine.

        All classes have one `tau`, and each has its own `sigma_c`. The prior counts as `VARIANCE_WORTH` parameters of
        each class. Shape (r, C).
        """
        known, _ = self.known(mode, deviations)
        squares = np.square(mode.coefficients / deviations)
        factors = np.empty_like(known)
        factors[0] = (VARIANCE_WORTH + squares[0].mean()) / (VARIANCE_WORTH + known[0].mean())
        factors[1:] = (VARIANCE_WORTH + squares[1:].sum(axis=0)) / (VARIANCE_WORTH + known[1:].sum(axis=0))
        return deviations * np.sqrt(factors)

    def logits_without_own(self, mode, deviations):
        """Logits of the shots `(n, C)`, each without its own part in offset and correction.

        To first order a shot adds `k_ic omega_i ([y_i = c] - p_ic)` to its own logits, with `k_ic` the variance that
        the other shots leave it.
        """
        known, curvature = self.known(mode, deviations)
        variance = self.features**2 @ (deviations**2 * (1 - known))
        own = np.minimum(self.weight[:, None] * curvature * variance, MOST_OWN)
        logits = fuse(self.affinities, mode.scales) + self.features @ mode.coefficients
        logits += variance / (1 - own) * mode.residual
        return logits

    def temper(self, logits):
        """The factor of `logits_without_own` that fits the shots best."""
        rows = np.arange(len(self.codes))

        def loss(log_factor):
            tempered = np.exp(log_factor) * logits + self.log_prior
            losses = logsumexp(tempered, axis=1) - tempered[rows, self.codes]
            return self.weight @ losses + TEMPER_WORTH * log_factor**2

        return float(np.exp(minimize_scalar(loss, bounds=LOG_TEMPERS, method="bounded").x))


@dataclass(frozen=True)
class Mode:
    """A posterior mode.

    Attributes
    ----------
    scales : dict of float
        `s_k`.
    coefficients : ndarray of shape (r, C)
        Of the features: `b` and `A`.
    loss : float
        Value of the minimised function.
    residual : ndarray of shape (n, C)
        `omega_i (p_ic - [y_i = c])`.
    x : ndarray
        The vector that the solver minimises over.
    """

    scales: dict
    coefficients: np.ndarray
    loss: float
    residual: np.ndarray
    x: np.ndarray


def fit_blend(held_out, text, centre, per_class, text_directions):
    """Posterior mode: the weight of each affinity, and the correction.

    Parameters
    ----------
    held_out : HeldOut
    text : TextUse or None
    centre : ndarray of shape (D,)
        `m`.
    per_class : float
        Effective number of images of a class.
    text_directions : ndarray of shape (D, r) or None
        Those in which class texts differ.

    Returns
    -------
    blend : dict of float
        `"correction"` has weight 1.
    correction : Affine
        `b + A (v - m)`.
    logits : ndarray of shape (n, C)
        Of the held-out shots, out of sample.
    """
    trust = 0.0 if text is None else text.trust
    defaults = default_scales(held_out.affinities, held_out.codes, text, per_class)
    strength = dict.fromkeys(defaults, STRENGTH)
    if "z4" in strength:
        strength["z4"] = trust * STRENGTH_OF_WHITENED + (1 - trust) * STRENGTH
    spans = [(None, 1.0)]
    if text_directions is not None:
        # The fewer images classes have in the mean, the more of a correction lies where the texts differ.
        spans.append((text_directions, trust * (1 + 1 / per_class)))
    features, back = features_of(held_out.compared - centre, spans)
    affinities = {name: held_out.affinities[name] for name in defaults}
    problem = BlendProblem(affinities, held_out.codes, held_out.weight, defaults, strength, features)
    deviations = np.full((features.shape[1], 1), trust * CORRECTION + (1 - trust) * CORRECTION_ALONE)
    deviations[0] = OFFSET
    mode = problem.solve(deviations, tolerance=TOL_OF_VARIANCES)
    deviations = problem.estimate_deviations(mode, deviations)
    mode = problem.solve(deviations, mode.x)
    logits, temper = problem.logits_without_own(mode, deviations), 1.0
    if trust < 1 and len(held_out.codes):
        # Beside text no tempering is needed: classes of held-out shots are noisier than those of queries. Without, a
        # class of n images is sharper than that of n - 1, two at least.
        sharper = 1 / (1 - 1 / max(per_class, 2) ** 2)
        temper = (sharper * problem.temper(logits)) ** (1 - trust)
    weights = temper * (back @ mode.coefficients[1:]).T
    scales = {name: temper * scale for name, scale in mode.scales.items()}
    return (
        scales | {"correction": 1.0},
        Affine(weights, temper * mode.coefficients[0] - weights @ centre),
        temper * logits,
    )


def features_of(v, spans):
    """Features of the shots in which offset and correction have independent coefficients, and the way back.

    Parameters
    ----------
    v : ndarray of shape (n, D)
    spans : list of (ndarray of shape (D, r) or None, float)
        Directions `V_S` (None is the whole space) and `q_S`.

    Returns
    -------
    features : ndarray of shape (n, 1 + k)
        Ones, for the offset, and `f` with `f @ f.T = v Q v'`; columns of `f` are orthogonal.
    back : ndarray of shape (D, k)
        `A = back @ coefficients`, as `v @ back = f`.
    """
    n, width = v.shape
    v_q, q = np.zeros_like(v), None if n < width else np.zeros((width, width))
    for basis, share in spans:
        inside = v if basis is None else v @ basis
        factor = share * n / max(float(np.vdot(inside, inside)), ROUNDING**2)
        if n < width:
            v_q += factor * (v if basis is None else inside @ basis.T)
        else:
            q += factor * (np.eye(width) if basis is None else basis @ basis.T)
    if n < width:
        values, vectors = linalg.eigh(v_q @ v.T)
        keep = values > ROUNDING**2 * max(values.max(initial=0.0), 1.0)
        root = np.sqrt(values[keep])
        features, back = vectors[:, keep] * root, v_q.T @ (vectors[:, keep] / root)
    else:
        values, vectors = linalg.eigh(q)
        back = vectors * np.sqrt(np.maximum(values, 0))
        features = v @ back
        _, vectors = linalg.eigh(features.T @ features)
        features, back = features @ vectors, back @ vectors
    return np.column_stack([np.ones(n), features]), back


def class_divergence(image_means, text_embeddings, has_shots):
    """`KL_c = log2((1 + eps) / (p_cc + eps))`, the paper's, with `p = softmax_rows(F @ T.T)`, shape (C,).

    Classes without shots have the mean of the others.
    """
    seen = np.flatnonzero(has_shots)
    p = softmax(image_means[seen] @ text_embeddings.T)[np.arange(len(seen)), seen]
    divergence = np.log2((1 + PAPER_EPS) / (p + PAPER_EPS))
    filled = np.full(len(has_shots), divergence.mean(), dtype=divergence.dtype)
    filled[seen] = divergence
    return filled


def paper_terms(names, settings, divergence=None):
    """`(name, sharpness, offset)` of each term `exp(offset - sharpness * (1 - z))` of the paper's score.

    `names` are those of the affinities at hand; the rest is as in `paper_log_scores`.
    """
    for name, sharpness, share in (
        ("z1", "alpha", "lambda1"),
        ("z2", "beta", "lambda2"),
        ("z3", "gamma", "lambda3"),
    ):
        if name not in names or settings[share] == 0:
            continue
        offset = float(np.log(settings[share]))
        if name != "z1" and divergence is not None:
            offset = offset + settings["smoothness"] * divergence
        yield name, settings[sharpness], offset


def paper_log_scores(affinities, settings, divergence=None):
    """Logarithm of the paper's score.

    `score_c = l1 exp(-alpha (1 - z1)) + [l2 exp(-beta (1 - z2)) + l3 exp(-gamma (1 - z3))] w_c` with
    `w_c = exp(smoothness * KL_c)`.

    Parameters
    ----------
    affinities : dict of ndarray of shape (n, C)
        `"z2"`, `"z3"` and, where there is text, `"z1"`.
    settings : dict
        `alpha`, `beta`, `gamma`, `lambda1`, `lambda2`, `lambda3`, `smoothness`.
    divergence : ndarray of shape (C,) or None
        `KL_c`; None stands for `w_c = 1`.

    Returns
    -------
    ndarray of shape (n, C)
    """
    terms = [
        offset - sharpness * (1 - affinities[name])
        for name, sharpness, offset in paper_terms(affinities, settings, divergence)
    ]
    xp = namespace(terms[0])
    terms = xp.stack(terms)
    top = xp.max(terms, axis=0)
    return top + xp.log(xp.sum(xp.exp(terms - top), axis=0))
