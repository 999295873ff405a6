"""The classifier of the SeMoBridge paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._base import log_odds_if_two
from ._fitted import Fitted
from ._model.fit import label_weights
from ._model.shots import pool_shots
from ._semobridge.bridge_fit import bridge_classes
from ._semobridge.bridge_options import BridgeOptions
from ._semobridge.bridged_classes import BridgedClasses
from ._semobridge.solvers import SOLVERS
from ._semobridge.validation_images import Validation
from ._shot_classifier import ShotClassifier, put_classes_with_shots_first, warn_of_labels
from ._utils.array_api import astype, l2_normalize, log_softmax, resolve_device
from ._utils.same_image import are_among
from ._utils.sklearn import (
    Count,
    Interval,
    StrOptions,
    TrainedEstimator,
    checks_parameters,
)
from ._utils.validation import (
    LARGEST_FACTOR,
    listed,
    positions,
    validate_labels,
    validate_training_embeddings,
    validate_weights,
    warn_caller,
)

# Lengths of rows of one model differ by less than this factor.
MOST_LENGTHS = 3.0

NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
AUTO = StrOptions({"auto"})


class SeMoBridgeClassifier(TrainedEstimator, ShotClassifier):
    """Classify CLIP image embeddings by the method of the SeMoBridge paper (arXiv 2509.26036).

    A bridge maps images into the space of the texts of CLIP. The bridge is computed in closed form
    from the text projection of the model, or trained on the labelled images (shots). The score of a
    class sums three terms, each of a cosine with the query:

    `score_c = lambda1 exp(-alpha (1 - z1))
    + [lambda2 exp(-beta (1 - z2)) + lambda3 exp(-gamma (1 - z3))] w_c`.

    `z1` compares the query with the text of class `c`, `z2` the query with the bridged shots, and
    `z3` the bridged query with the shots. `w_c = exp(smoothness * KL_c)` is larger if the text fits
    the shots less. `predict_proba` is the softmax of the logarithm of the score, times a
    temperature. The :doc:`page of the guide </paper>` has the formulas, and the arguments that
    reproduce the results of the published code.

    Parameters
    ----------
    text_encoder : object or None, default=None
        `CLIPTextEncoder`, or another object with `transform`, `encode`, `projection_` and
        `logit_scale_`, such as `PrecomputedTextEncoder`. The same model must have embedded the
        images. Without a text encoder, the bridge starts as the identity, and there is no `z1`.
    prompts : "auto", str, list of str or mapping, default="auto"
        Templates with `{}` for the name, or a mapping from labels or names to lists of whole
        prompts.
    class_names : mapping, sequence, "ignore" or None, default=None
        A mapping from labels to names (None: no text), or a list of names in the order of the
        sorted labels. By default the label is the name, if it is text, and `_` is read as a space.
        `"ignore"` uses no names. Tools such as `VotingClassifier` number labels that are text. The
        sorted list of all labels, or a mapping with the labels as keys, also names these numbers.
    solver : {"closed_form", "lbfgs", "adamw"}, default="closed_form"
        Computation of the bridge. `"closed_form"` needs no training. `"adamw"` is the training of
        the paper, step for step (SeMoBridge-T). `"lbfgs"` minimises the same loss, many times
        faster.
    alpha, beta, gamma : float or "auto", default="auto"
        Sharpness of the three terms, at most a million.
    lambda1, lambda2, lambda3 : float or "auto", default="auto"
        Weights of the three terms. At least one term must have both a weight and a sharpness above
        zero.
    smoothness : float or "auto", default="auto"
        Strength of the class weights, within a million. Of these seven hyperparameters, all that
        are `"auto"` are estimated from the shots, beside given ones. With validation images, a
        search around this estimate follows.
    atol : float or "auto", default="auto"
        Singular values of the text projection up to `atol` count as zero. `"auto"` is 0.3, as in
        the paper, if this keeps between a quarter and 95 % of the singular values, and otherwise
        0.7 times their median.
    temperature : float, "auto" or None, default="auto"
        Factor of the logarithm of the score, which changes no predictions, between a millionth and
        a million. `"auto"` estimates the temperature from the shots, or from validation images.
        None is 1, as in the paper.
    class_bias : bool, default=True
        Whether training learns a bias for each class, which is added only to its shots. Only for
        trained solvers.
    lambda_it, lambda_c, lambda_b : float, default=0.5, 0.1, 0.1
        Weights of the training loss: images against texts, at most one, consistency of the shots,
        and bias, at most a million. Only for trained solvers.
    max_iter : int or None, default=None
        Number of steps, for `"lbfgs"` the largest number. None is 5,000 for `"adamw"`, as in the
        paper, and 1,000 for `"lbfgs"`. Only for trained solvers.
    learning_rate, weight_decay : float, default=1.5e-4, 0.01
        Only for `"adamw"`. The learning rate is reached after 500 steps. The product of both must
        be below one.
    tol : float, default=5e-5
        Training stops if the relative decrease of the loss, averaged over ten steps, is below
        `tol`. A much smaller value may fit the shots too closely. Only for `"lbfgs"`, and for the
        bridges that `"adamw"` also trains to estimate the temperature.
    priors : array-like of shape (C,), Series, mapping, "shots" or None, default=None
        Probability of each class, in the order of `classes_`. A Series or mapping goes by label,
        and may have labels that a fold lacks. `"shots"` takes the shares of the shots. None: equal,
        as with `class_weight="balanced"` elsewhere: a weight of a class is a prior here.
    label_noise : "auto" or float, default="auto"
        Share of wrong labels. `"auto"` estimates it, and 0 trusts all labels. In closed form, this
        estimate keeps wrong labels from making probabilities too cautious. A bridge that is trained
        with texts learns less from labels that look wrong. If all hyperparameters and the
        temperature are given, `label_noise` has no effect.
    n_candidates : int, default=1000
        Number of random candidates among which validation images choose hyperparameters. Only for
        `X_val`.
    random_state : int, RandomState or None, default=0
        Draws the candidates. Only for `X_val`.
    device : str, default="auto"
        Torch device of the training. `"auto"` is a CUDA GPU if there is one, else the CPU. Only for
        trained solvers, but every solver checks that the device exists.
    verbose : int, default=0
        Whether training shows a progress bar. Only for trained solvers. From scikit-learn 1.9 on,
        `set_callbacks` takes callbacks of scikit-learn, such as `ProgressBar()`, also on a search
        around the classifier. Each training step is a task of the callbacks, so with callbacks no
        training is remembered.

    Attributes
    ----------
    classes_, n_features_in_, feature_names_in_
        Sorted labels `(C,)`, the width `D` of the embeddings, and the names of the columns of `X`,
        if any.
    text_embeddings_, class_names_, prompts_
        Unit text embeddings `(C, D)`, names and prompts of the classes. None without text.
    alpha_, beta_, gamma_, lambda1_, lambda2_, lambda3_, smoothness_ : float
        The hyperparameters of the score. `alpha_` and `lambda1_` are None without text, and if
        `alpha` and `lambda1` are `"auto"` and the names are no better than chance on the shots.
    temperature_ : float
        Factor of the logarithm of the score.
    bridge_ : ndarray of shape (D, d)
        `W+`, in closed form or trained. `d` is the width of the texts before the projection.
    rank_ : int
        Number of directions that the closed form keeps. If all directions are kept, as with texts
        without a projection (`PrecomputedTextEncoder.from_joint`), the bridge is the identity.
    atol_ : float or None
        The cutoff of the singular values. None without a projection.
    prototypes_, image_means_ : ndarrays of shape (C, D)
        `P_c`, the unit means of the bridged shots, and `F_c`, the unit means of the shots.
    class_bias_ : ndarray of shape (C, d) or None
        Trained bias of each class.
    loss_curve_ : list of float or None
        Training loss: for `"adamw"` before each step, for `"lbfgs"` at the start and after each
        step. With `"lbfgs"`, training goes on from a bridge that was trained without some of the
        shots, which say how sure probabilities may be. None in closed form.
    n_iter_ : int
        Number of training steps, or 1 in closed form.

    See Also
    --------
    FewShotClassifier : A linear model of this package, for few shots without validation data.
    ZeroShotClassifier : Classifies by names alone.

    Notes
    -----
    Longer rows count more in the class means. `fit` warns if the lengths of its rows differ by more
    than a factor of three.

    References
    ----------
    Timmermann, Lee and Lee, "SeMoBridge: Semantic Modality Bridge for Efficient Few-Shot Adaptation
    of CLIP", ICLR 2026, arXiv 2509.26036.

    Examples
    --------
    >>> from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, SeMoBridgeClassifier
    >>> from sksemobridge.datasets import load_emoji
    >>> emoji = load_emoji()
    >>> X = CLIPImageEncoder("mini", "bundled").transform(emoji.images[:90])
    >>> y = emoji.target_names[emoji.target[:90]]
    >>> classifier = SeMoBridgeClassifier(CLIPTextEncoder("mini", "bundled")).fit(X[::3], y[::3])
    >>> classifier.predict(X[1:2]).tolist()
    ['arrow']
    >>> classifier.affinities(X[1:2])["z3"].shape
    (1, 4)
    """

    _parameter_constraints = {
        "text_encoder": "no_validation",  # by check_text_encoder
        "prompts": [str, Mapping, "array-like"],
        "class_names": [Mapping, StrOptions({"ignore"}), "array-like", None],
        "solver": [StrOptions({*SOLVERS})],
        **dict.fromkeys(
            ["alpha", "beta", "gamma"], [AUTO, Interval(Real, 0, LARGEST_FACTOR, closed="both")]
        ),
        **dict.fromkeys(["lambda1", "lambda2", "lambda3"], [AUTO, NOT_NEGATIVE]),
        "smoothness": [AUTO, Interval(Real, -LARGEST_FACTOR, LARGEST_FACTOR, closed="both")],
        "atol": [AUTO, NOT_NEGATIVE],
        "temperature": [
            AUTO,
            Interval(Real, 1 / LARGEST_FACTOR, LARGEST_FACTOR, closed="both"),
            None,
        ],
        "class_bias": ["boolean"],
        "lambda_it": [Interval(Real, 0, 1, closed="both")],
        **dict.fromkeys(
            ["lambda_c", "lambda_b"], [Interval(Real, 0, LARGEST_FACTOR, closed="both")]
        ),
        **dict.fromkeys(["weight_decay", "tol"], [NOT_NEGATIVE]),
        "max_iter": [Count(), None],
        "learning_rate": [Interval(Real, 0, LARGEST_FACTOR, closed="right")],
        "priors": ["array-like", Mapping, StrOptions({"shots"}), None],
        "label_noise": [AUTO, Interval(Real, 0, 1, closed="left")],
        "n_candidates": [Count()],
        "random_state": ["random_state"],
        "device": [str],
        "verbose": ["verbose"],
    }

    _reads_projection = True
    _fitted: Fitted[BridgedClasses]
    __metadata_request__fit = dict.fromkeys(["X_val", "y_val", "sample_weight_val"], True)

    def __init__(
        self,
        text_encoder: Any = None,
        *,
        prompts: str | Sequence[str] | Mapping[Any, str | Sequence[str]] = "auto",
        class_names: Mapping[Any, str | None] | Sequence[str] | str | None = None,
        solver: Literal["closed_form", "lbfgs", "adamw"] = "closed_form",
        alpha: float | Literal["auto"] = "auto",
        beta: float | Literal["auto"] = "auto",
        gamma: float | Literal["auto"] = "auto",
        lambda1: float | Literal["auto"] = "auto",
        lambda2: float | Literal["auto"] = "auto",
        lambda3: float | Literal["auto"] = "auto",
        smoothness: float | Literal["auto"] = "auto",
        atol: float | Literal["auto"] = "auto",
        temperature: float | Literal["auto"] | None = "auto",
        class_bias: bool = True,
        lambda_it: float = 0.5,
        lambda_c: float = 0.1,
        lambda_b: float = 0.1,
        max_iter: int | None = None,
        learning_rate: float = 1.5e-4,
        weight_decay: float = 0.01,
        tol: float = 5e-5,
        priors: ArrayLike | Mapping[Any, float] | Literal["shots"] | None = None,
        label_noise: float | Literal["auto"] = "auto",
        n_candidates: int = 1000,
        random_state: int | np.random.RandomState | None = 0,
        device: str = "auto",
        verbose: int = 0,
    ) -> None:
        self.text_encoder = text_encoder
        self.prompts = prompts
        self.class_names = class_names
        self.solver = solver
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.lambda1 = lambda1
        self.lambda2 = lambda2
        self.lambda3 = lambda3
        self.smoothness = smoothness
        self.atol = atol
        self.temperature = temperature
        self.class_bias = class_bias
        self.lambda_it = lambda_it
        self.lambda_c = lambda_c
        self.lambda_b = lambda_b
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.tol = tol
        self.priors = priors
        self.label_noise = label_noise
        self.n_candidates = n_candidates
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    @checks_parameters
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Learn from labelled shots.

        With validation images, hyperparameters that are "auto" come from the best of random
        candidates around the estimate, if it classifies these images better by more than two
        standard errors. A temperature that is "auto" is fitted to these images, and `"adamw"` keeps
        its best step. Validation images are not kept for `partial_fit`.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings as the image encoder gives them. The result has the precision of `X`.
        y : array-like of shape (n,)
            Labels. Each class may have any number of shots.
        sample_weight : array-like of shape (n,) or None, default=None
            Weight of each shot within its class. Rows of weight zero are dropped.
        groups : array-like of shape (n,) or None, default=None
            Equal values mark copies of one image (augmentations). Copies are held out together, and
            count as one image in the estimates of hyperparameters and of the temperature. For these
            estimates, `fit` also finds near copies, with a warning; `groups=[None] * len(y)` says
            that there are none.
        X_val, y_val : array-likes of shape (m, D) and (m,), or None, default=None
            Validation images that are no shots, and their labels. A repeated image counts as one
            image with more weight. A search of scikit-learn cuts all arrays with as many rows as
            `X` into folds, and thus validation images, too, if there are as many.
        sample_weight_val : array-like of shape (m,) or None, default=None
            Weight of each validation image.

        Returns
        -------
        SeMoBridgeClassifier
            This estimator, fitted.

        Raises
        ------
        ValueError
            If the input or two parameters do not fit each other, or a class of `y_val` has no
            shots.
        FloatingPointError
            If training diverges.
        """
        validation = X_val, y_val, sample_weight_val
        self._begin_callbacks(X, y)
        self._learn(X, y, None, sample_weight, groups, None, validation=validation)
        self._end_callbacks(X, y)
        return self

    @checks_parameters
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Add shots, also of new classes. The result is the same as of `fit` on all shots together.

        Parameters
        ----------
        X, y, sample_weight, groups, X_val, y_val, sample_weight_val
            See `fit`. Equal `groups` in several calls also mark copies of one image. Validation
            images of earlier calls are forgotten.
        classes : array-like or None, default=None
            Labels of more classes. Classes without shots need text.

        Returns
        -------
        SeMoBridgeClassifier
            This estimator, fitted.
        """
        earlier = self._fitted if self.__sklearn_is_fitted__() else None
        validation = X_val, y_val, sample_weight_val
        return self._learn(X, y, classes, sample_weight, groups, earlier, validation=validation)

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logarithms of the probabilities.

        The logarithm is `temperature_` times the logarithm of the score, plus the logarithm of the
        priors, plus a number for each image, so that images can be compared.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings.

        Returns
        -------
        array of shape (n, C), or (n,) for two classes
            Logarithms of probabilities, also of probabilities that are too small for
            `predict_proba`. For two classes, the log-odds of the second.
        """
        return self._apply(X, lambda logits: log_odds_if_two(log_softmax(logits)))

    def affinities(self, X: ArrayLike) -> dict[str, NDArray[Any]]:
        """Return the three cosines of the score.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings.

        Returns
        -------
        dict of arrays of shape (n, C)
            `"z1"`: the query and the text of the class (only with text). `"z2"`: the query and the
            bridged shots. `"z3"`: the bridged query and the shots.
        """
        return self._compute(X, self._decision_.affinities)

    @property
    def _counts_images(self):
        # If all numbers are given, copies are shots, as in the paper.
        return BridgeOptions.of(self.get_params(deep=False)).is_estimated

    @property
    def _drops_names_of_chance(self):
        return self.alpha == "auto" == self.lambda1

    def _fit_model(self, classes, memory, texts, validation):
        shots = memory.shots
        _warn_of_lengths(shots.X)
        known = put_classes_with_shots_first(memory.grouped_shots, texts, len(classes))
        images = self._read_validation(*validation, classes[known.classes], memory)
        if self.device not in ("auto", "cpu"):  # both need no torch in closed form
            resolve_device(self.device)
        options = BridgeOptions.of(self.get_params(deep=False))
        texts_of_shots = known.texts.take(slice(len(known.classes)))
        shots = known.shots
        if options.weighs_labels and texts.embeddings is not None:
            label_weight = label_weights(shots, known.texts, self.label_noise)
            advice = "Check the shots with the lowest label_proba_ of FewShotClassifier."
            warn_of_labels(label_weight, known, classes, advice)
            shots = replace(shots, weight=shots.weight * label_weight)
        bridged = bridge_classes(shots, texts_of_shots, options, images, self._step_listener())
        if not bridged.is_trained and keeps_all_of_projection(texts.projection, bridged.rank):
            _warn_of_identity(bridged.rank)
        bridged = replace(bridged, bridge=bridged.bridge.for_predictions())
        bridged = astype(bridged, shots.X.dtype)
        if len(known.classes) < len(classes):
            bridged = bridged.for_classes(known.number, texts.embeddings)
        return bridged, None

    def _read_validation(self, X, y, sample_weight, classes, memory):
        """The checked `Validation` images of the classes with shots, or None without validation
        images.
        """
        if X is None and y is None and sample_weight is None:
            return None
        missing = [name for name, part in (("X_val", X), ("y_val", y)) if part is None]
        if missing:
            raise ValueError(
                "Validation images are X_val with y_val, and sample_weight_val weighs them."
                f" {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
            )
        X = validate_training_embeddings(self, X, reset=True, name="X_val")
        if X.shape[1] != (width := memory.shots.X.shape[1]):
            raise ValueError(f"X_val has {X.shape[1]} features, but X has {width}.")
        y = validate_labels(y, len(X), "y_val")
        weight = validate_weights(sample_weight, len(X), "sample_weight_val")
        codes = positions(classes, y)
        if (codes < 0).any():
            raise ValueError(
                f"y_val has labels of classes without shots: {listed(np.unique(y[codes < 0]))}."
                " Give shots of them, or leave these images out."
            )
        is_used = weight > 0
        is_shot = are_among(l2_normalize(X), l2_normalize(memory.shots.X)) & is_used
        if is_shot.any():
            warn_caller(
                f"{is_shot.sum()} of the {is_used.sum()} validation images are shots. What"
                " fits these best is worse for others.",
                advice="Take other images as X_val, or none.",
            )
        # As with shots, a repeated image is one image with more weight.
        images, _ = pool_shots(X[is_used], codes[is_used], weight[is_used])
        return Validation(images.X.astype(np.float64), images.codes, images.weight)

    def _set_fitted(self, fitted):
        super()._set_fitted(fitted)
        bridged = fitted.model
        for name, value in bridged.hyperparameters._asdict().items():
            setattr(self, f"{name}_", value)
        matrix, prototypes = bridged.bridge.matrix, bridged.prototypes
        identity = np.eye(prototypes.shape[1], dtype=prototypes.dtype)
        self.bridge_ = identity if matrix is None else matrix
        self.rank_ = bridged.rank
        self.atol_ = bridged.bridge.atol
        self.prototypes_ = prototypes
        self.image_means_ = bridged.image_means
        self.class_bias_ = bridged.class_bias
        self.temperature_ = bridged.temperature
        self.loss_curve_ = bridged.loss_curve
        self.n_iter_ = bridged.n_iter


def keeps_all_of_projection(projection: NDArray[Any] | None, rank: int) -> bool:
    """Whether nothing of a projection `(d, D)` is cut off. Texts without a projection have the
    identity, which cannot be cut.
    """
    return (
        projection is not None
        and rank == projection.shape[1]
        and not np.array_equal(projection, np.eye(rank))
    )


def _warn_of_identity(rank):
    """Warn of a bridge in closed form that keeps all directions."""
    warn_caller(
        f"In closed form, the bridge keeps all {rank} directions of the embeddings"
        " (rank_), so it is the identity.",
        advice="Use a larger atol, or a trained solver.",
    )


def _warn_of_lengths(X):
    """Warn if the lengths of rows differ so much that some rows count much more than others."""
    squares = np.einsum("nd,nd->n", X, X, dtype=np.float64)  # without a copy of X
    lengths = np.sqrt(squares[X.any(axis=1)])
    if lengths.max() > MOST_LENGTHS * lengths.min():
        warn_caller(
            f"The rows of X have lengths from {lengths.min():.3g} to {lengths.max():.3g}. In the"
            " method of the paper, longer rows count more.",
            advice=(
                "Embed all images with one model, or divide each row by its length:"
                " sklearn.preprocessing.normalize(X)."
            ),
        )
