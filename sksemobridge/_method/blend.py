"""From affinities to logits: the blend estimated from the shots (`"auto"`, ours) and the paper's (`"paper"`).

The estimated blend:

`decision_c = sum_k s_k z_k,c` and `predict_proba = softmax(decision)`. The scales `s_k > 0` are a posterior
mode: they minimise

    sum_i omega_i * -log softmax(sum_k s_k z_k(x_i))[y_i]  +  strength * sum_k log(1 + (log(s_k / s0_k) / width)^2)

over the shots `x_i`, each seen as a query of a model that was fitted without it (and without its copies). The
prior is Student's t with one degree of freedom: it holds scales near their defaults `s0_k` while shots are few,
and lets go of a default that the shots speak against (a text that means nothing, say).

The defaults come from a first step that a single shot a class is enough for: no shot has been seen by the class
texts, so that the scale of `z1` alone is fitted to all shots, in the same way and around the model's logit scale.
What that leaves of the loss, against guessing, are the odds that the text is of use; the defaults are a mean of
those with and those without text, by these odds.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from .._utils.array_api import namespace, softmax
from .shots import effective_number

# Logits of `z2` and of `z3` spread by this share of the text's where class means are free of noise; the mean of
# `k` images is worth `k / (k + IMAGES_FOR_HALF)` of it. Without text they spread by so many nats over `sqrt(k)`:
# `z4` takes over.
SHOT_SHARE, IMAGES_FOR_HALF, SHOT_SPREAD = 0.42, 10.0, 0.75
# Default of `z4` beside text, as a share of the discriminant of a Gaussian model with the same scatter.
WHITENED_SHARE = 0.03
# Affinities in one block: few enough for the cache of a processor.
BLOCK_ELEMENTS = 2**16
# Weight of the prior, in held-out images, and its width in `log s`.
PRIOR_STRENGTH, PRIOR_WIDTH = 1.25, 0.5
# Spread of affinities, as a share of the largest, that rounding of single precision can account for.
ROUNDING = 1e-6
# Odds that a text is of use, before any shot was seen.
TEXT_ODDS = 10.0


def fuse(affinities, scales):
    """`sum_k s_k z_k`, shape (n, C)."""
    return sum(affinities[name].dtype.type(scale) * affinities[name] for name, scale in scales.items())


def spread_over_others(z, codes):
    """Root mean square over shots of the standard deviation of `z` over the classes of others, or None.

    What a shot's own class says of it is no measure: the class has seen it. With fewer than two other classes
    there is none, nor is there where `z` differs by rounding alone.
    """
    n, n_classes = z.shape
    if n_classes < 3:
        return None
    others = np.ones(z.shape, dtype=bool)
    others[np.arange(n), codes] = False
    value = float(np.sqrt(np.mean(np.var(z[others].reshape(n, n_classes - 1), axis=1))))
    return value if value > ROUNDING * np.abs(z).max() else None


def default_scales(affinities, codes, logit_scale, text_scale, n_images, n_features):
    """The scales `s0_k` before any shot was held out, if the text is of use.

    With `sigma_k` the spread of `z_k` over other classes, up to a common factor:

    - `s0_1` is the scale `a` that the text has alone;
    - `s0_2` and `s0_3` are `L sigma_1 / sigma_k` times `0.42 k / (k + 10)` for `k` images a class, with `L` the
      model's logit scale, so that they gain where the text turns out to mean little;
    - `s0_4 = 0.03 (L / a) (n - C) / D`, as `(n - C) / D * z4` is the log density of a Gaussian model.

    The common factor makes their sum as sharp as the text alone: it spreads by `a sigma_1` over other classes.

    Parameters
    ----------
    affinities : dict of ndarray of shape (n, C)
        Of the shots, in sample.
    codes : ndarray of shape (n,)
    logit_scale : float
        `L`.
    text_scale : float
        `a`.
    n_images : float
        Effective number `n` of images in all.
    n_features : int
        `D`.
    """
    spreads = {name: spread_over_others(z, codes) for name, z in affinities.items()}
    per_class = n_images / affinities["z1"].shape[1]
    share = SHOT_SHARE * per_class / (per_class + IMAGES_FOR_HALF)
    defaults = {"z1": text_scale}
    for name, z in affinities.items():
        if name == "z4":
            gaussian = _gaussian_scale(z, n_images, n_features)
            defaults[name] = WHITENED_SHARE * gaussian * logit_scale / text_scale
        elif name != "z1":
            both = spreads["z1"] and spreads[name]
            defaults[name] = share * logit_scale * (spreads["z1"] / spreads[name] if both else 1.0)
    fused = spread_over_others(fuse(affinities, defaults), codes)
    if not fused or not spreads["z1"]:
        return defaults
    as_sharp = text_scale * spreads["z1"] / fused
    return {name: as_sharp * scale for name, scale in defaults.items()}


def default_scales_without_text(affinities, codes, n_images, n_features):
    """The scales `s0_k` of the other affinities if there is no text, or if it is of no use.

    `s0_2` and `s0_3` are `0.75 / (sqrt(k) sigma_k)`, `s0_4 = (n - C) / D`. Parameters as in `default_scales`.
    """
    defaults = {}
    for name, z in affinities.items():
        if name == "z4":
            defaults[name] = _gaussian_scale(z, n_images, n_features)
        elif name != "z1":
            per_class = max(n_images / z.shape[1], 1)
            defaults[name] = SHOT_SPREAD / (per_class**0.5 * (spread_over_others(z, codes) or 0.05))
    return defaults


def _gaussian_scale(z, n_images, n_features):
    """`(n - C) / D`, at least `1 / D`."""
    return max(n_images - z.shape[1], 1) / n_features


def query_weights(codes, weight, image):
    """Weight of each held-out shot: classes count alike, and all together as many images as they are worth.

    The sum is `(sum_j v_j)^2 / sum_j v_j^2` over the images' shares `v_j` of their class.
    """
    if not len(codes):
        return weight
    share = weight / np.bincount(codes, weights=weight)[codes]
    by_image = np.bincount(image, weights=share)
    return share * (effective_number(by_image) / share.sum())


def fit_scales(affinities, codes, weight, defaults, strength):
    """The scales `s_k` for held-out affinities.

    Parameters
    ----------
    affinities : dict of ndarray of shape (n, C)
        Held-out affinities of the queries.
    codes : ndarray of shape (n,)
        True classes of the queries.
    weight : ndarray of shape (n,)
        `omega_i`.
    defaults : dict of float
        `s0_k`, positive.
    strength : float
        Weight of the prior, in queries.

    Returns
    -------
    scales : dict of float
    loss : float
        What was minimised, at its minimum.
    """
    names = list(affinities)
    centre = np.log([defaults[name] for name in names])
    if not len(codes):
        return dict(zip(names, map(float, np.exp(centre)))), 0.0
    n, n_classes = affinities[names[0]].shape
    step = max(1, BLOCK_ELEMENTS // n_classes)
    own = {name: affinities[name][np.arange(n), codes] for name in names}

    def objective(offset):
        scales = np.exp(centre + offset)
        square = (offset / PRIOR_WIDTH) ** 2
        loss = strength * np.log1p(square).sum()
        gradient = 2 * strength * offset / (PRIOR_WIDTH**2 * (1 + square))
        for start in range(0, n, step):
            rows = slice(start, start + step)
            logits = sum(scale * affinities[name][rows] for scale, name in zip(scales, names))
            true = sum(scale * own[name][rows] for scale, name in zip(scales, names))
            top = logits.max(axis=1)
            probability = np.exp(logits - top[:, None])
            total = probability.sum(axis=1)
            loss += weight[rows] @ (top + np.log(total) - true)
            for k, (scale, name) in enumerate(zip(scales, names)):
                mean = np.einsum("nc,nc->n", probability, affinities[name][rows]) / total
                gradient[k] += scale * (weight[rows] @ (mean - own[name][rows]))
        return float(loss), gradient

    best = minimize(
        objective, np.zeros(len(names)), jac=True, method="L-BFGS-B", bounds=[(-7, 7)] * len(names)
    )
    return dict(zip(names, map(float, np.exp(centre + best.x)))), float(best.fun)


def fit_blend(held_out, logit_scale, n_features):
    """Scale of the text alone and its odds, defaults, posterior mode: the weight of each affinity.

    Parameters
    ----------
    held_out : HeldOut
    logit_scale : float
        Of the model: what its zero-shot logits are multiplied by.
    n_features : int
        `D`.

    Returns
    -------
    dict of float
    """
    affinities, mask = held_out.affinities, held_out.mask

    def queries(rows):
        codes = held_out.codes[rows]
        return codes, query_weights(codes, held_out.weight[rows], held_out.image[rows])

    codes, weight = queries(np.ones_like(mask))
    n_images = effective_number(np.bincount(held_out.image, weights=held_out.weight))
    defaults = default_scales_without_text(affinities, codes, n_images, n_features)
    if "z1" in affinities:
        text = {"z1": affinities["z1"]}
        alone, loss = fit_scales(text, codes, weight, {"z1": logit_scale}, PRIOR_STRENGTH)
        of_use = expit(np.log(TEXT_ODDS) + weight.sum() * np.log(affinities["z1"].shape[1]) - loss)
        with_text = default_scales(affinities, codes, logit_scale, alone["z1"], n_images, n_features)
        defaults = {
            name: of_use * scale + (1 - of_use) * defaults.get(name, 0.0) for name, scale in with_text.items()
        }
    codes, weight = queries(mask)
    held = {name: z[mask] for name, z in affinities.items()}
    return fit_scales(held, codes, weight, defaults, PRIOR_STRENGTH)[0]


def class_divergence(image_means, text_embeddings, has_shots):
    """`KL_c = log2((1 + 1e-6) / (p_cc + 1e-6))` with `p = softmax_rows(F @ T.T)`, shape (C,).

    Classes without shots have the mean of the others.
    """
    seen = np.flatnonzero(has_shots)
    p = softmax(image_means[seen] @ text_embeddings.T)[np.arange(len(seen)), seen]
    divergence = np.log2((1 + 1e-6) / (p + 1e-6))
    filled = np.full(len(has_shots), divergence.mean(), dtype=divergence.dtype)
    filled[seen] = divergence
    return filled


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
    terms = []
    for name, sharpness, share in (
        ("z1", "alpha", "lambda1"),
        ("z2", "beta", "lambda2"),
        ("z3", "gamma", "lambda3"),
    ):
        if name not in affinities or settings[share] == 0:
            continue
        term = float(np.log(settings[share])) - settings[sharpness] * (1 - affinities[name])
        if name != "z1" and divergence is not None:
            term = term + settings["smoothness"] * divergence
        terms.append(term)
    xp = namespace(terms[0])
    terms = xp.stack(terms)
    top = xp.max(terms, axis=0)
    return top + xp.log(xp.sum(xp.exp(terms - top), axis=0))
