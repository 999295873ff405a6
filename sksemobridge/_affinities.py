"""How close queries are to each class: images -> embeddings -> affinities -> blend -> probabilities.

`z1` the text, `z2` the shots bridged into the text modality, `z3` the query bridged against the shots as
images, `z4` the shots in whitened coordinates. Each has shape (n, C).
"""

from ._bridge import unit


def compute_affinities(X, *, text_embeddings, prototypes, image_means, bridge, whitening=None):
    """All affinities of the queries `X (n, D)` that the given parts allow.

    - `z1 = nrm(q) . T_c`, where there is text;
    - `z2 = nrm(q) . P_c`;
    - `z3 = bridge(q) . F_c`;
    - `z4 = nrm(q)' P m_c - m_c' P m_c / 2`, where there is a whitening.

    Returns
    -------
    dict of ndarray of shape (n, C)
    """
    queries = unit(X)
    affinities = {}
    if text_embeddings is not None:
        affinities["z1"] = queries @ text_embeddings.T
    affinities["z2"] = queries @ prototypes.T
    affinities["z3"] = bridge.affinity(X, image_means)
    if whitening is not None:
        affinities["z4"] = whitening.affinity(queries)
    return affinities
