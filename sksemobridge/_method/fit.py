"""From texts and shots to the fitted state of a classifier."""

from dataclasses import dataclass, replace

import numpy as np

from .._training.train import train_bridge
from .._utils.array_api import l2_normalize
from .affinities import Model
from .blend import fit_blend, fit_text
from .bridge import Bridge
from .class_means import fit_class_means, text_basis
from .class_texts import ClassTexts
from .out_of_sample import cross_fit, leave_one_out, queries_of, query_weights
from .prompts import ClassPrompts
from .shots import ClassSums, ShotMemory, pool_shots, sum_rows, weight_in_class
from .spans import class_balanced_mean
from .unseen_classes import MOST_CLASSES, MeanClass, fit_slopes
from .whitening import WhiteningFit

# Folds stop earlier than the bridge itself. Not much earlier: long training lowers the worth of `z3` where texts
# mislead, and the blend must see that (`python studies/training.py` compares).
TOL_OF_FOLDS = 1e-5
# What CLIP's models multiply cosines by; stands in where there is no text.
CLIP_LOGIT_SCALE = 100.0
# Largest change of the bridge, relative to its largest entry, that rounding can account for.
SAME_BRIDGE = 1e-4


@dataclass(frozen=True)
class TextSide:
    """What is known before any shot.

    Attributes
    ----------
    bridge : Bridge
        In closed form.
    logit_scale : float
    texts : ClassTexts or None
        Of all classes, in their order.
    words : ndarray of shape (D, r) or None
        Directions of a vocabulary, `word_basis`.
    name : tuple of (str, str or None) or None
        Name and weights of the text model.
    """

    bridge: Bridge
    logit_scale: float = CLIP_LOGIT_SCALE
    texts: ClassTexts | None = None
    words: np.ndarray | None = None
    name: tuple | None = None


@dataclass(frozen=True, eq=False)
class FittedState:
    """All that `fit` learns, also what more shots can be added to.

    Attributes
    ----------
    classes : ndarray of shape (C,)
        Sorted labels.
    model : Model
        What prediction needs.
    shots : ShotMemory or ClassSums
        Sums over each class, where they are enough to go on from: closed form and the paper's blend.
    rank : int
        Directions that the closed-form bridge keeps.
    text_model : tuple of (str, str or None) or None
        Name and weights of the text model.
    loss_curve : list of float or None
    n_iter : int
    class_prompts : ClassPrompts or None
        Names and prompts of the classes; None where no text was asked for.
    """

    classes: np.ndarray
    model: Model
    shots: ShotMemory | ClassSums
    rank: int
    text_model: tuple | None
    loss_curve: list | None
    n_iter: int
    class_prompts: ClassPrompts | None = None

    def scores(self, X, finish):
        """See `Model.scores`."""
        return self.model.scores(X, finish)

    def position(self, classes):
        """Index of each of other labels among the classes; -1 where it is none of them."""
        known = self.classes
        if known.dtype.kind in "mM":  # days and seconds become other Python objects
            known, classes = (labels.astype(np.result_type(known, classes)) for labels in (known, classes))
        of_label = {label: i for i, label in enumerate(known.tolist())}
        return np.array([of_label.get(label, -1) for label in classes.tolist()])

    def with_classes(self, classes, text_embeddings=None):
        """The state over other classes; bridge and blend are kept.

        Parameters
        ----------
        classes : ndarray of shape (K,)
            Sorted labels.
        text_embeddings : ndarray of shape (K, D) or None
            `T_c` of these classes; None takes those at hand.

        Raises
        ------
        ValueError
            If a class has neither shots nor text (names it), or none of them has shots.
        """
        rows = self.position(classes)
        model = self.model.take(rows, text_embeddings)
        _require_shots(classes, model.has_shots, known=(rows >= 0) | (text_embeddings is not None))
        return replace(self, classes=classes, model=model, shots=self.shots.take(rows))


def add_shots(earlier, classes, rows, *, bridge, sums_are_enough):
    """The shots of earlier calls together with new ones.

    Parameters
    ----------
    earlier : FittedState or None
    classes : ndarray of shape (C,)
        Sorted labels, those of `earlier` among them.
    rows : tuple of (X, y, weight, groups)
        The new shots; `groups` may be None.
    bridge : Bridge
        In closed form.
    sums_are_enough : bool
        Whether memory need not grow with the shots.

    Returns
    -------
    ShotMemory or ClassSums

    Raises
    ------
    ValueError
        If only sums of the earlier shots were kept and they do not fit what is asked for now.
    """
    X, y, weight, groups = rows
    codes = np.searchsorted(classes, y)
    before = None if earlier is None else earlier.shots.take(earlier.position(classes))
    if isinstance(before, ClassSums) and not sums_are_enough:
        raise ValueError(
            "With blend='paper' in closed form only sums of the earlier shots were kept, which this solver and "
            "blend cannot go on from. Call fit with all shots."
        )
    if not sums_are_enough or isinstance(before, ShotMemory):
        return (before or ShotMemory()).add(X, codes, weight, groups)
    shots = pool_shots(X.astype(np.float64), codes, weight)[0]
    sums = ClassSums.of(shots, bridge.to_eos(shots.X), len(classes))
    if before is None:
        return sums
    # Sums of earlier shots are of their bridge, and mean nothing to another.
    was, now = earlier.model.bridge.matrix, bridge.matrix
    if was.shape != now.shape or not np.allclose(was, now, rtol=0, atol=SAME_BRIDGE * np.abs(now).max()):
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
    random_state=None,
):
    """Fit with any solver and blend.

    Everything is computed in float64, except the training of the bridge, which computes in float32.

    Parameters
    ----------
    classes : ndarray of shape (C,)
        Sorted labels. Those without shots need text.
    text : TextSide
    shots : ShotMemory or ClassSums
        From `add_shots`.
    earlier : FittedState or None
        Where training goes on from.
    dtype : dtype
        Of the fitted arrays.
    training : dict or None
        Parameters of `train_bridge`; None is the closed form.
    paper_blend : dict or None
        The seven numbers; None estimates the blend from the shots.
    whiten : bool
        Whether the estimated blend also sums `z4`.
    random_state : int, RandomState instance or None

    Returns
    -------
    state : FittedState
    converged : bool
    """
    has_shots = shots.counts(len(classes)) > 0
    _require_shots(classes, has_shots, known=text.texts is not None)
    seen = np.flatnonzero(has_shots)
    texts = text.texts and text.texts.take(seen)
    bridge, class_bias, trained = text.bridge, None, None
    if isinstance(shots, ClassSums):
        sums = shots.take(seen)
    else:
        shots_of_seen = replace(
            shots.shots, X=shots.shots.X.astype(np.float64), codes=np.searchsorted(seen, shots.shots.codes)
        )
        if text.words is not None:
            mean = class_balanced_mean(shots_of_seen.X, shots_of_seen.codes, shots_of_seen.weight)
            text = replace(text, bridge=Bridge.of_words(text.words, text.bridge.projection, mean))
            bridge = text.bridge
        if training is not None:
            start = _start(earlier, classes, seen, training)
            trained = _train(text, texts, shots_of_seen, start, training)
            bridge, class_bias = bridge.trained(trained.bridge), trained.class_bias
        sums = ClassSums.of(shots_of_seen, _to_eos(bridge, shots_of_seen, class_bias), len(seen))
    model = model_without_blend(bridge, texts, sums, class_bias)
    if paper_blend is not None:
        model = replace(model, blend=paper_blend, is_paper_blend=True)
        model = replace(model, mean_class=MeanClass.of(model, _slopes(model, sums)))
    else:
        fit_fold = None
        if training is not None:
            of_folds = {**training, "solver": "lbfgs", "tol": max(training["tol"], TOL_OF_FOLDS)}
            of_folds |= {"verbose": 0, "callback": None}
            if training["solver"] != "lbfgs":
                of_folds["max_iter"] = None

            def fit_fold(part):
                # Not from the earlier bridge, which has seen the shots that are held out.
                fold = _train(text, texts, part, None, of_folds)
                fold_bridge, fold_bias = bridge.trained(fold.bridge), fold.class_bias
                sums = ClassSums.of(part, _to_eos(fold_bridge, part, fold_bias), len(seen))
                return model_without_blend(fold_bridge, texts, sums, fold_bias)

        model, evidence = _hold_out(text, model, shots_of_seen, sums, fit_fold, whiten, random_state)
        # The shots are no longer needed, and what follows needs as much memory.
        del shots_of_seen, sums
        blend, correction = fit_blend(**evidence)
        model = replace(model, blend=blend, correction=correction)
    rows = np.where(has_shots, np.cumsum(has_shots) - 1, -1)
    state = FittedState(
        classes=classes,
        model=model.take(rows, text.texts and text.texts.embeddings).astype(dtype),
        shots=shots,
        rank=text.bridge.basis.shape[1],
        text_model=text.name,
        loss_curve=None if trained is None else trained.loss_curve.tolist(),
        n_iter=1 if trained is None else trained.n_iter,
    )
    return state, trained is None or trained.converged


def _hold_out(text, model, shots, sums, fit_fold, whiten, random_state):
    """The model with class means that lean on names, and the arguments of `fit_blend`."""
    n_classes, embeddings = len(model.has_shots), model.text_embeddings
    image, codes, _ = shots.images
    unit_shots = l2_normalize(shots.X)
    weight = np.bincount(image, weights=shots.weight)
    u = unit_shots
    if len(codes) < len(image):
        u = sum_rows(unit_shots * shots.weight[:, None], image, len(codes)) / weight[:, None]
    rows = queries_of(shots, n_classes, embeddings is not None)

    of_text = None
    if embeddings is not None:
        of_queries = query_weights(shots.codes[rows], shots.weight[rows], image[rows])
        of_text = fit_text(unit_shots[rows] @ embeddings.T, shots.codes[rows], of_queries, text.logit_scale)

    odds = 0.0 if of_text is None else of_text.odds
    class_means = fit_class_means(u, codes, weight, embeddings, odds, text.words)
    worth = weight_in_class(codes, weight) * class_means.counts[codes]
    whitening = WhiteningFit(class_means, u, codes, worth, odds, text.words is not None) if whiten else None
    model = replace(model, whitening=whitening and whitening.fitted, share=class_means.share)
    model = replace(model, mean_class=MeanClass.of(model, _slopes(model, sums)))

    if fit_fold is None:
        held_out = leave_one_out(shots, model, sums, rows, unit_shots, class_means.share_without, whitening)
    else:
        held_out = cross_fit(
            shots, model, fit_fold, rows, unit_shots, class_means.share_without, whitening, random_state
        )
    spans = [(None, 1.0)]
    if embeddings is not None:
        spans.append((text_basis(embeddings), of_text.odds**0.5))
    if text.words is not None:
        spans.append((text.words, 1.0))
    return model, {
        "held_out": held_out,
        "text": of_text,
        "centre": class_means.centre,
        "per_class": class_means.counts.mean(),
        "spans": spans,
    }


def _slopes(model, sums):
    """`fit_slopes` of the class means, of a sample of classes where they are very many; none without text."""
    if model.text_embeddings is None:
        return {}
    n_classes = len(model.has_shots)
    some = np.linspace(0, n_classes - 1, min(n_classes, MOST_CLASSES)).astype(np.intp)
    return fit_slopes(model.take(some).raw_affinities(sums.means()[1][some]))


def _require_shots(classes, has_shots, known):
    """Refuse classes of which nothing is known, and a set of classes none of which has shots.

    `known` says whether something else is known: of all classes, or of each.
    """
    missing = classes[~(has_shots | known)].tolist()
    if missing:
        raise ValueError(
            f"There are no shots of the classes {missing}, and without a text_encoder nothing else is known of them."
        )
    if not has_shots.any():
        raise ValueError(
            f"None of the classes {classes.tolist()} has shots. Use ZeroShotClassifier for names alone."
        )


def model_without_blend(bridge, texts, sums, class_bias):
    """The model of sums over each class, before a blend is known."""
    eos_means, raw_means = sums.means()
    return Model(
        bridge=bridge,
        text_embeddings=texts and texts.embeddings,
        prototypes=bridge.prototypes(eos_means),
        image_means=l2_normalize(raw_means),
        class_bias=class_bias,
        whitening=None,
        correction=None,
        share=(sums.weight > 0).astype(np.float64),
        blend={},
        is_paper_blend=False,
        mean_class=None,
        has_shots=sums.weight > 0,
    )


def _to_eos(bridge, shots, class_bias):
    return bridge.to_eos(shots.X, None if class_bias is None else class_bias[shots.codes])


def _start(earlier, classes, seen, training):
    """Bridge and class bias to train on from, or None; classes that are new start without a bias."""
    if earlier is None:
        return None
    model = earlier.model
    if model.class_bias is None or not training["class_bias"]:
        return model.bridge.matrix, None
    rows = earlier.position(classes)[seen]
    bias = np.where(rows[:, None] < 0, 0.0, np.nan_to_num(model.class_bias)[rows])
    return model.bridge.matrix, bias


def _train(text, texts, shots, start, training):
    matrix, class_bias = (text.bridge.matrix, None) if start is None else start
    return train_bridge(
        shots.X,
        shots.codes,
        shots.weight_in_class,
        bridge=matrix,
        projection=text.bridge.projection,
        inputs=text.bridge.inputs(shots.X),
        projection_bias=text.bridge.projection_bias,
        text_embeddings=texts and texts.embeddings,
        eos_directions=texts and texts.eos_directions,
        text_length=text.bridge.text_length,
        logit_scale=text.logit_scale,
        initial_class_bias=class_bias,
        **training,
    )
