"""Fusion of the affinities, estimated from the shots alone (`blend="auto"`, ours).

`decision_c = sum_k s_k z_k,c` and `predict_proba = softmax(decision)`. The scales `s_k > 0` are a posterior
mode: they minimise

    sum_i omega_i * -log softmax(sum_k s_k z_k(x_i))[y_i]  +  strength / 2 * sum_k (log s_k - log s0_k)^2

over the shots `x_i`, each seen as a query of a model that was fitted without it (and without its copies).
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from ._shots import effective_number

# Logit spread of `z2` and of `z3` by default, as a share of the text's; and without text in nats.
SHOT_SHARE, SHOT_SPREAD = 0.06, 0.75
# Default of `z4` as a share of the discriminant of a Gaussian model with the same scatter.
WHITENED_SHARE, WHITENED_SHARE_WITHOUT_TEXT = 0.03, 0.3
# Weight of the prior, in held-out images.
PRIOR_STRENGTH = 3.0


def fuse(affinities, scales):
    """`sum_k s_k z_k`, shape (n, C)."""
    return sum(affinities[name].dtype.type(scale) * affinities[name] for name, scale in scales.items())


def spread_over_others(z, codes):
    """Root mean square over shots of the standard deviation of `z` over the classes of others, or None.

    What a shot's own class says of it is no measure: the class has seen it. With fewer than two other classes
    there is none.
    """
    n, n_classes = z.shape
    if n_classes < 3:
        return None
    others = np.ones(z.shape, dtype=bool)
    others[np.arange(n), codes] = False
    value = float(np.sqrt(np.mean(np.var(z[others].reshape(n, n_classes - 1), axis=1))))
    return value if value > 0 else None


def default_scales(affinities, codes, logit_scale, n_effective):
    """The scales `s0_k` before any shot was held out.

    - `s0_1` is the model's logit scale;
    - `s0_2` and `s0_3` give their logits a fixed share of the spread that the text's logits have;
    - `s0_4 = share * (n - C) / D`, as `(n - C) / D * z4` is the log density of a Gaussian model.

    Parameters
    ----------
    affinities : dict of ndarray of shape (n, C)
        Of the shots, in sample.
    codes : ndarray of shape (n,)
    logit_scale : float
    n_effective : float
        `(n - C) / D`, see above.
    """
    spreads = {name: spread_over_others(z, codes) for name, z in affinities.items()}
    text = spreads.get("z1")
    defaults = {}
    for name in affinities:
        if name == "z1":
            defaults[name] = logit_scale
        elif name == "z4":
            defaults[name] = (
                WHITENED_SHARE if "z1" in affinities else WHITENED_SHARE_WITHOUT_TEXT
            ) * n_effective
        elif "z1" not in affinities:
            defaults[name] = SHOT_SPREAD / (spreads[name] or 0.05)
        else:
            defaults[name] = (
                SHOT_SHARE * logit_scale * (text / spreads[name] if text and spreads[name] else 1.0)
            )
    return defaults


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
    dict of float
    """
    names = list(affinities)
    centre = np.log([defaults[name] for name in names])
    if not len(codes):
        return dict(zip(names, map(float, np.exp(centre))))
    own = {name: affinities[name][np.arange(len(codes)), codes] for name in names}

    def objective(offset):
        scales = np.exp(centre + offset)
        logits = sum(scale * affinities[name] for scale, name in zip(scales, names))
        log_total = logsumexp(logits, axis=1)
        true = sum(scale * own[name] for scale, name in zip(scales, names))
        probability = np.exp(logits - log_total[:, None])
        gradient = [
            scale * weight @ (np.einsum("nc,nc->n", probability, affinities[name]) - own[name])
            for scale, name in zip(scales, names)
        ]
        loss = weight @ (log_total - true) + 0.5 * strength * offset @ offset
        return float(loss), np.asarray(gradient, dtype=np.float64) + strength * offset

    best = minimize(
        objective, np.zeros(len(names)), jac=True, method="L-BFGS-B", bounds=[(-7, 7)] * len(names)
    )
    return dict(zip(names, map(float, np.exp(centre + best.x))))


def fit_fusion(held_out, logit_scale, n_features):
    """Defaults and posterior mode in one: the weight of each affinity.

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
    mask, codes = held_out.mask, held_out.codes
    n_classes = next(iter(held_out.affinities.values())).shape[1]
    n = effective_number(np.bincount(held_out.image, weights=held_out.weight))
    defaults = default_scales(held_out.affinities, codes, logit_scale, max(n - n_classes, 1) / n_features)
    queries = {name: z[mask] for name, z in held_out.affinities.items()}
    weight = query_weights(codes[mask], held_out.weight[mask], held_out.image[mask])
    return fit_scales(queries, codes[mask], weight, defaults, PRIOR_STRENGTH)
