"""From shots to a fitted model."""

from dataclasses import dataclass, replace

import numpy as np

from .._training.train import train_bridge
from .._utils.array_api import l2_normalize
from .affinities import Model
from .blend import fit_fusion
from .bridge import Bridge
from .out_of_sample import cross_fit, leave_one_out
from .shots import ClassSums, sum_rows
from .unseen_classes import fit_slopes
from .whitening import WhiteningFit

# Relative decrease of the loss at which training without a fold of the shots stops.
TOL_OF_PARTS = 1e-5


@dataclass(frozen=True)
class TextSide:
    """What is known before any shot: the closed-form bridge and the texts of the classes.

    Attributes
    ----------
    bridge : Bridge
        In closed form.
    logit_scale : float
    embeddings : ndarray of shape (C, D) or None
        `T_c`.
    eos_directions : ndarray of shape (C, d) or None
        `E_c`.
    """

    bridge: Bridge
    logit_scale: float
    embeddings: np.ndarray | None = None
    eos_directions: np.ndarray | None = None

    @classmethod
    def without_text(cls, n_features):
        """`W = I`, `L = 1`, logit scale 100."""
        return cls(Bridge.identity(n_features), logit_scale=100.0)

    @classmethod
    def of(cls, text_encoder, class_texts, atol):
        """Of a text encoder and `ClassTexts`, in float64."""
        projection = np.asarray(text_encoder.projection_, dtype=np.float64)
        bias = text_encoder.projection_bias_
        bias = None if bias is None else np.asarray(bias, dtype=np.float64)
        return cls(
            Bridge.closed_form(projection, bias, float(class_texts.lengths.mean()), atol),
            float(text_encoder.logit_scale_),
            class_texts.embeddings,
            class_texts.eos_directions,
        )

    def take(self, classes):
        """The same with the texts of some classes."""
        if self.embeddings is None:
            return self
        return replace(self, embeddings=self.embeddings[classes], eos_directions=self.eos_directions[classes])


def fit_from_sums(text, sums, paper_blend):
    """Closed form with the paper's blend, from sums over each class.

    Parameters
    ----------
    text : TextSide
    sums : ClassSums
        Each class has shots.
    paper_blend : dict
        The seven numbers.

    Returns
    -------
    Model
    """
    return _with_blend(text, text.bridge, sums, None, whitening=None, blend=paper_blend, is_paper_blend=True)


def fit_from_shots(
    text, shots, *, training=None, start=None, paper_blend=None, whiten=True, random_state=None
):
    """Any solver and blend, from pooled shots.

    Parameters
    ----------
    text : TextSide
    shots : Shots
        In float64, each class has some.
    training : dict or None
        Parameters of `train_bridge`; None is the closed form.
    start : tuple of (ndarray of shape (D, d), ndarray of shape (C, d) or None) or None
        Bridge and class bias to continue from; None starts from the closed form.
    paper_blend : dict or None
        The seven numbers; None estimates the blend from the shots.
    whiten : bool
    random_state : int, RandomState instance or None

    Returns
    -------
    model : Model
    trained : TrainedBridge or None
    """
    n_classes = int(shots.codes.max()) + 1
    trained, bridge, class_bias = None, text.bridge, None
    if training is not None:
        trained = _train(text, shots, start, training)
        bridge, class_bias = _trained(text, trained)
    sums = ClassSums.of(shots, bridge, n_classes, class_bias)
    if paper_blend is not None:
        model = _with_blend(
            text, bridge, sums, class_bias, whitening=None, blend=paper_blend, is_paper_blend=True
        )
        return model, trained
    whitening_fit = _fit_whitening(shots, n_classes) if whiten else None
    whitening = whitening_fit and whitening_fit.fitted()
    if training is None:
        held_out = leave_one_out(shots, bridge, n_classes, text.embeddings, whitening_fit)
    else:
        # Parts are always trained with L-BFGS, and to fewer digits. Not to many fewer: the longer a bridge that
        # texts mislead is trained, the less its `z3` is worth, and the blend has to see that.
        of_parts = {**training, "solver": "lbfgs", "tol": max(training["tol"], TOL_OF_PARTS)}
        of_parts |= {"verbose": 0, "callback": None}
        if training["solver"] != "lbfgs":
            of_parts["max_iter"] = None

        def fit_part(part):
            part_bridge, part_bias = _trained(text, _train(text, part, start, of_parts))
            part_sums = ClassSums.of(part, part_bridge, n_classes, part_bias)
            return _with_blend(text, part_bridge, part_sums, part_bias, whitening=None, blend={})

        model = _with_blend(text, bridge, sums, class_bias, whitening=whitening, blend={})
        held_out = cross_fit(shots, model, fit_part, whitening_fit, random_state)
    blend = fit_fusion(held_out, text.logit_scale, shots.X.shape[1])
    return _with_blend(text, bridge, sums, class_bias, whitening=whitening, blend=blend), trained


def _with_blend(text, bridge, sums, class_bias, *, whitening, blend, is_paper_blend=False):
    eos_means, raw_means = sums.means()
    model = Model(
        bridge=bridge,
        text_embeddings=text.embeddings,
        prototypes=bridge.prototypes(eos_means),
        image_means=l2_normalize(raw_means),
        class_bias=class_bias,
        whitening=whitening,
        blend=blend,
        is_paper_blend=is_paper_blend,
        slopes=None,
        has_shots=sums.weight > 0,
    )
    return (
        model if text.embeddings is None else replace(model, slopes=fit_slopes(model.affinities(raw_means)))
    )


def _train(text, shots, start, training):
    matrix, class_bias = (text.bridge.matrix, None) if start is None else start
    return train_bridge(
        shots.X,
        shots.codes,
        shots.share(),
        bridge=matrix,
        projection=text.bridge.projection,
        projection_bias=text.bridge.projection_bias,
        text_embeddings=text.embeddings,
        eos_directions=text.eos_directions,
        text_length=text.bridge.text_length,
        logit_scale=text.logit_scale,
        initial_class_bias=class_bias,
        **training,
    )


def _trained(text, trained):
    """The trained bridge and class bias."""
    return text.bridge.trained(trained.bridge), trained.class_bias


def _fit_whitening(shots, n_classes):
    """Whitening of the images' mean unit embeddings; None where nothing varies within classes."""
    image, codes, _ = shots.images()
    weight = np.bincount(image, weights=shots.weight)
    means = sum_rows(l2_normalize(shots.X) * shots.weight[:, None], image, len(codes)) / weight[:, None]
    fit = WhiteningFit(means, codes, weight, n_classes)
    return fit if fit.has_variation else None
