"""From texts and shots to the fitted state of a classifier."""

from dataclasses import replace
from functools import partial

import numpy as np

from .._training.train import train_bridge
from .._utils.array_api import astype, l2_normalize, softmax
from .affinities import Model
from .blend import fit_blend, fit_text
from .bridge import are_same
from .class_means import fit_class_means, text_basis
from .out_of_sample import cross_fit, leave_one_out, queries_of
from .shots import ClassSums, ShotMemory, pool_shots, weight_in_class
from .state import FittedState, require_shots
from .typicality import Typicality
from .unseen_classes import MOST_CLASSES, MeanClass, fit_slopes
from .whitening import WhiteningFit

# Folds stop earlier than the bridge itself, but not much earlier: where texts mislead, long training makes `z3`
# worse, and the blend must see that (`python studies/training.py` compares).
TOL_OF_FOLDS = 1e-5


def add_shots(earlier, classes, new, *, bridge, sums_are_enough):
    """The shots of earlier calls together with new ones.

    Parameters
    ----------
    earlier : FittedState or None
    classes : ndarray of shape (C,)
        Sorted labels, those of `earlier` among them.
    new : tuple of (X, y, weight, groups, used)
        The new shots. `groups` may be None. `used` marks them among the rows that were handed in; None remembers no
        rows.
    bridge : Bridge
        In closed form.
    sums_are_enough : bool
        Whether sums over each class may take the place of the shots.

    Returns
    -------
    ShotMemory or ClassSums

    Raises
    ------
    ValueError
        If only sums of the earlier shots were kept, and this fit needs the shots or has another bridge.
    """
    X, y, weight, groups, used = new
    codes = np.searchsorted(classes, y)
    before = None if earlier is None else earlier.shots.take(earlier.position(classes))
    if isinstance(before, ClassSums) and not sums_are_enough:
        raise ValueError(
            "With blend='paper' in closed form only sums of the earlier shots were kept, which this solver and "
            "blend cannot go on from. Call fit with all shots."
        )
    if not sums_are_enough or isinstance(before, ShotMemory):
        return (before or ShotMemory()).add(X, codes, weight, groups, used)
    sums = ClassSums.of(pool_shots(X, codes, weight)[0], bridge, len(classes))
    if before is None:
        return sums
    # Sums of earlier shots hold for their bridge alone.
    was, now = earlier.model.bridge.matrix, bridge.matrix
    if not are_same(was, now):
        raise ValueError(
            "text_encoder or atol has changed since the earlier shots, of which only sums were kept. Call fit "
            "with all shots."
        )
    return before + sums


def fit_model(
    classes,
    text,
    shots,
    *,
    earlier=None,
    dtype=np.float64,
    training=None,
    paper_blend=None,
    whiten=True,
    store_held_out=False,
    random_state=None,
):
    """Fit with any solver and blend.

    Everything is computed in float64, except the training of the bridge, which computes in float32.

    Parameters
    ----------
    classes : ndarray of shape (C,)
        Sorted labels. Those without shots need text.
    text : TextSide
        Of all classes, in their order.
    shots : ShotMemory or ClassSums
        From `add_shots`.
    earlier : FittedState or None
        Where training goes on from, if its bridge leads to the same space.
    dtype : dtype
        Of the fitted arrays.
    training : dict or None
        Parameters of `train_bridge`; None is the closed form.
    paper_blend : dict or None
        The seven numbers; None estimates the blend from the shots.
    whiten : bool
        Whether the estimated blend also sums `z4`.
    store_held_out : bool
        Whether the probabilities of the held-out shots are kept.
    random_state : int, RandomState instance or None

    Returns
    -------
    state : FittedState
    converged : bool
    """
    typicality = probabilities = None
    has_shots = shots.counts(len(classes)) > 0
    require_shots(classes, has_shots, known=text.embeddings is not None)
    seen = np.flatnonzero(has_shots)
    of_seen, bridge, trained = text.take(seen), text.bridge, None
    if isinstance(shots, ClassSums):
        sums = shots.take(seen)
        model = _model_without_blend(of_seen, bridge, sums)
    else:
        pooled = shots.shots
        pooled = replace(pooled, X=pooled.X.astype(np.float64), codes=np.searchsorted(seen, pooled.codes))
        bridge = text.bridge_of(pooled)
        start = None if training is None else _start(earlier, text, classes, seen, training["class_bias"])
        model, sums, trained = _bridged(of_seen, bridge, training, pooled, start)
    if paper_blend is not None:
        mean_class = MeanClass.of(model, _slopes(model, sums))
        model = replace(model, blend=paper_blend, is_paper_blend=True, mean_class=mean_class)
    else:
        fit_fold = None
        if training is not None:
            fit_fold = partial(_bridged, of_seen, bridge, _of_folds(training))
        model, evidence = _hold_out(of_seen, model, pooled, sums, fit_fold, whiten, random_state)
        # The shots are no longer needed, and what follows needs as much memory.
        del pooled, sums
        blend, correction, logits = fit_blend(**evidence)
        model = replace(model, blend=blend, correction=correction)
        held_out = evidence["held_out"]
        typicality = Typicality.of(held_out.affinities, blend, held_out.weight)
        if store_held_out:
            probabilities = np.full((len(shots.shots.codes), len(classes)), np.nan)
            probabilities[held_out.rows] = 0.0
            probabilities[np.ix_(held_out.rows, seen)] = softmax(logits)
    rows = np.where(has_shots, np.cumsum(has_shots) - 1, -1)
    state = FittedState(
        classes=classes,
        model=astype(model.take(rows, text.embeddings), dtype),
        shots=shots,
        rank=bridge.basis.shape[1],
        text_model=text.name,
        loss_curve=None if trained is None else trained.loss_curve.tolist(),
        n_iter=1 if trained is None else trained.n_iter,
        typicality=typicality,
        held_out=probabilities,
    )
    return state, trained is None or trained.converged


def _bridged(text, bridge, training, shots, start=None):
    """The model before a blend, the sums that it is made of, and how training went; None in closed form."""
    trained = class_bias = None
    if training is not None:
        trained = _train(text, bridge, shots, start, training)
        bridge, class_bias = bridge.trained(trained.bridge), trained.class_bias
    sums = ClassSums.of(shots, bridge, len(np.unique(shots.codes)), class_bias)
    return _model_without_blend(text, bridge, sums, class_bias), sums, trained


def _model_without_blend(text, bridge, sums, class_bias=None):
    projected, raw_means = sums.means()
    has_shots = sums.weight > 0
    return Model(
        bridge=bridge,
        text_embeddings=text.embeddings,
        prototypes=bridge.prototypes(projected),
        image_means=l2_normalize(raw_means),
        class_bias=class_bias,
        whitening=None,
        correction=None,
        own_share=has_shots.astype(np.float64),
        blend={},
        is_paper_blend=False,
        mean_class=None,
        has_shots=has_shots,
    )


def _of_folds(training):
    """How folds are trained: not from an earlier bridge, which has seen the shots that are held out."""
    of_folds = {**training, "solver": "lbfgs", "tol": max(training["tol"], TOL_OF_FOLDS)}
    of_folds |= {"verbose": 0, "callback": None}
    return of_folds if training["solver"] == "lbfgs" else of_folds | {"max_iter": None}


def _hold_out(text, model, shots, sums, fit_fold, whiten, random_state):
    """The model with class means that lean on names, and the arguments of `fit_blend`."""
    embeddings = model.text_embeddings
    queries = queries_of(shots, len(model.has_shots), embeddings)
    of_text, trust = None, 0.0
    if embeddings is not None:
        of_text = fit_text(queries, text.logit_scale)
        trust = of_text.trust

    compared = model.bridge.compared(shots.X)
    u, codes, weight = shots.mean_of_copies(compared)
    class_means = fit_class_means(u, codes, weight, embeddings, trust, text.words)
    worth = weight_in_class(codes, weight) * class_means.counts[codes]
    whitening = WhiteningFit(class_means, u, codes, worth, trust, text.has_words) if whiten else None
    model = replace(model, whitening=whitening and whitening.fitted, own_share=class_means.own_share)
    model = replace(model, mean_class=MeanClass.of(model, _slopes(model, sums)))

    of_model = compared, class_means.own_share_without, whitening
    if fit_fold is None:
        held_out = leave_one_out(shots, queries, model, sums, *of_model)
    else:
        held_out = cross_fit(shots, queries, model, fit_fold, *of_model, random_state)
    return model, {
        "held_out": held_out,
        "text": of_text,
        "centre": class_means.centre,
        "per_class": class_means.counts.mean(),
        "text_directions": None if embeddings is None else text_basis(embeddings),
    }


def _slopes(model, sums):
    """`fit_slopes` of the class means, of a sample of classes where they are very many; none without text."""
    if model.text_embeddings is None:
        return {}
    n_classes = len(model.has_shots)
    some = np.linspace(0, n_classes - 1, min(n_classes, MOST_CLASSES)).astype(np.intp)
    return fit_slopes(model.take(some).raw_affinities(sums.means()[1][some]))


def _start(earlier, text, classes, seen, has_bias):
    """Bridge and class bias to train on from, or None; classes that are new start without a bias."""
    if earlier is None or not text.leads_where(earlier.model.bridge):
        return None
    model = earlier.model
    if model.class_bias is None or not has_bias:
        return model.bridge.matrix, None
    rows = earlier.position(classes)[seen]
    bias = np.where(rows[:, None] < 0, 0.0, np.nan_to_num(model.class_bias)[rows])
    return model.bridge.matrix, bias


def _train(text, bridge, shots, start, training):
    matrix, class_bias = (bridge.matrix, None) if start is None else start
    return train_bridge(
        shots.X,
        shots.codes,
        shots.weight_in_class,
        bridge=matrix,
        projection=bridge.projection,
        inputs=bridge.inputs(shots.X),
        projection_bias=bridge.projection_bias,
        text_embeddings=text.embeddings,
        eos_directions=text.eos_directions,
        text_length=bridge.text_length,
        logit_scale=text.logit_scale,
        initial_class_bias=class_bias,
        **training,
    )
