"""The paper's blend of three affinities, in logarithms."""

import numpy as np

from ._array_api import namespace, softmax


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
