"""The few-shot classifier over CLIP image embeddings."""

import warnings
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._affinities import compute_affinities
from ._blend import class_divergence, paper_log_scores
from ._bridge import Bridge, pseudo_inverse, unit
from ._fusion import fit_fusion, fuse
from ._held_out import leave_one_out
from ._prompts import build_prompts
from ._shots import pool_shots, sum_rows
from ._text import encode_classes
from ._validation import validate_embeddings, validate_groups, validate_labels, validate_weights
from ._whitening import Whitening, WhiteningFit

PAPER_SETTINGS = ("alpha", "beta", "gamma", "lambda1", "lambda2", "lambda3", "smoothness")


class SeMoBridgeClassifier(ClassifierMixin, BaseEstimator):
    """Few-shot classifier on CLIP image embeddings, bridged into the text modality.

    Image embeddings and the words for the classes are compared where CLIP is calibrated, across modalities:
    a query image with the class texts (`z1`), a query image with the labelled shots bridged into the text
    modality (`z2`), and a bridged query with the shots (`z3`). With `blend="auto"` how much each comparison
    counts, and the temperature of the probabilities, is estimated from the shots; no validation data is
    needed.

    Parameters
    ----------
    text_encoder : object or None, default=None
        `CLIPTextEncoder`, `PrecomputedTextEncoder` or another object with `encode`, `projection_`,
        `projection_bias_` and `logit_scale_`, of the same CLIP model as the embeddings. `None` works without
        words: the bridge is then the identity.
    prompts : "auto", str, list of str or mapping, default="auto"
        What is said of each class: a template with `{}` for the class name, several, `"auto"` for the
        ensemble of seven templates of CLIP's authors, or a mapping from labels (else from class names) to
        lists of whole prompts.
    class_names : mapping, sequence or None, default=None
        How to say each label: a mapping from labels, or one name for each of the sorted classes. By default
        `str(label)` with `_` read as a space.
    solver : {"closed_form"}, default="closed_form"
        How the bridge is found: from the text projection alone.
    atol : "auto" or float, default="auto"
        Singular values of the text projection at or below it are treated as zero. `"auto"` is 0.7 times
        their median, safe for any model; the paper uses 0.3.
    class_bias : bool, default=True
        Whether trained solvers learn a bias for each class. Not used in closed form.
    blend : {"auto", "paper"}, default="auto"
        `"auto"` estimates the weights of the affinities from the shots; `"paper"` takes the seven numbers
        below as given.
    whiten : "auto" or bool, default="auto"
        Whether `blend="auto"` also fuses `z4`, the shots in whitened coordinates. `"auto"` does where shots
        vary within classes.
    alpha, beta, gamma : float, default=1.0
        Sharpness of the three terms of the paper's blend.
    lambda1, lambda2, lambda3 : float, default=0.5
        Weights of the three terms of the paper's blend.
    smoothness : float, default=0.01
        Strength of the paper's class weights.
    lambda_it, lambda_c, lambda_b : float, default=0.5, 0.1, 0.1
        Weights of the training loss. Not used in closed form.
    max_iter : int or None, default=None
        Steps of a trained solver; None is the solver's own default. Not used in closed form.
    learning_rate : float, default=1.5e-4
        Of `solver="adamw"`.
    weight_decay : float, default=0.01
        Of `solver="adamw"`.
    tol : float, default=1e-6
        Relative decrease of the loss at which `solver="lbfgs"` stops.
    device : str, default="auto"
        Torch device of trained solvers.
    random_state : int, RandomState instance or None, default=None
        Used only where folds of the shots are shuffled.
    verbose : int, default=0
        Whether trained solvers report progress.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        Sorted labels.
    text_embeddings_ : ndarray of shape (C, D) or None
        `T_c`, the zero-shot classifier; None without a text encoder.
    prototypes_ : ndarray of shape (C, D)
        `P_c`, the bridged shots.
    image_means_ : ndarray of shape (C, D)
        `F_c`, the means of the shots.
    bridge_ : ndarray of shape (D, d)
        `W+`.
    class_bias_ : ndarray of shape (C, d) or None
        Bias of each class; None in closed form.
    rank_ : int
        Number of directions that the closed-form bridge keeps. Equal to `D`, the bridge is the identity.
    blend_ : dict
        With `blend="auto"` the weight of each affinity: `decision_function` is
        `sum_k blend_[k] * affinities[k]`. With `blend="paper"` the seven numbers.
    loss_curve_ : list of float or None
        Training loss of every iteration; None in closed form.
    n_iter_ : int
        Iterations of the solver, 1 in closed form.
    n_features_in_ : int
        `D`.
    feature_names_in_ : ndarray of shape (D,)
        Only where `X` has names of features that are all strings.

    See Also
    --------
    ZeroShotClassifier : The class texts alone, without shots.
    make_semobridge_pipeline : From images to predictions with one model.

    References
    ----------
    Timmermann, Lee, Lee: "SeMoBridge: Semantic Modality Bridge for Efficient Few-Shot Adaptation of CLIP",
    ICLR 2026, arXiv 2509.26036.

    Examples
    --------
    >>> import numpy as np
    >>> from sksemobridge import PrecomputedTextEncoder, SeMoBridgeClassifier
    >>> rng = np.random.default_rng(0)
    >>> texts = ["a photo of a cat.", "a photo of a dog."]
    >>> eos, projection = rng.normal(size=(2, 6)), rng.normal(size=(6, 4))
    >>> encoder = PrecomputedTextEncoder(texts, eos, projection)
    >>> X = np.repeat(eos @ projection, 3, axis=0) + rng.normal(scale=0.3, size=(6, 4))
    >>> y = ["cat", "cat", "cat", "dog", "dog", "dog"]
    >>> classifier = SeMoBridgeClassifier(encoder, prompts="a photo of a {}.").fit(X, y)
    >>> classifier.predict(X).tolist()
    ['cat', 'cat', 'cat', 'dog', 'dog', 'dog']
    """

    _parameter_constraints = {
        "text_encoder": [HasMethods(["encode", "transform"]), None],
        "prompts": [str, Mapping, "array-like"],
        "class_names": [Mapping, "array-like", None],
        "solver": [StrOptions({"closed_form"})],
        "atol": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "class_bias": ["boolean"],
        "blend": [StrOptions({"auto", "paper"})],
        "whiten": [StrOptions({"auto"}), "boolean"],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "gamma": [Interval(Real, 0, None, closed="left")],
        "lambda1": [Interval(Real, 0, None, closed="left")],
        "lambda2": [Interval(Real, 0, None, closed="left")],
        "lambda3": [Interval(Real, 0, None, closed="left")],
        "smoothness": [Interval(Real, None, None, closed="neither")],
        "lambda_it": [Interval(Real, 0, 1, closed="both")],
        "lambda_c": [Interval(Real, 0, None, closed="left")],
        "lambda_b": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left"), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        text_encoder=None,
        *,
        prompts="auto",
        class_names=None,
        solver="closed_form",
        atol="auto",
        class_bias=True,
        blend="auto",
        whiten="auto",
        alpha=1.0,
        beta=1.0,
        gamma=1.0,
        lambda1=0.5,
        lambda2=0.5,
        lambda3=0.5,
        smoothness=0.01,
        lambda_it=0.5,
        lambda_c=0.1,
        lambda_b=0.1,
        max_iter=None,
        learning_rate=1.5e-4,
        weight_decay=0.01,
        tol=1e-6,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.text_encoder = text_encoder
        self.prompts = prompts
        self.class_names = class_names
        self.solver = solver
        self.atol = atol
        self.class_bias = class_bias
        self.blend = blend
        self.whiten = whiten
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.lambda1 = lambda1
        self.lambda2 = lambda2
        self.lambda3 = lambda3
        self.smoothness = smoothness
        self.lambda_it = lambda_it
        self.lambda_c = lambda_c
        self.lambda_b = lambda_b
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.tol = tol
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Learn from labelled shots.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings of any length, as `CLIPImageEncoder` gives them. Half precision is computed in
            float32.
        y : array-like of shape (n,)
            Labels. Any number of shots for each class.
        sample_weight : array-like of shape (n,) or None, default=None
            Worth of each shot within its class; rows of weight zero are dropped. A common factor changes
            nothing.
        groups : array-like of shape (n,) or None, default=None
            Equal values mark copies of one image (augmentations): they are held out together where the blend
            is estimated, and count as one.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If `X` has NaN or infinite values (names the rows) or another width than the text encoder, a class
            has no name or no prompt, or every `lambda` of the paper's blend is zero.
        """
        X = validate_embeddings(self, X, reset=True)
        y = validate_labels(y, len(X))
        weight = validate_weights(sample_weight, len(X))
        groups = validate_groups(groups, len(X))
        self._check_blend()
        kept = weight > 0
        self.classes_, codes = np.unique(y[kept], return_inverse=True)
        self._warn_about_words()
        shots, _ = pool_shots(X[kept], codes, weight[kept], None if groups is None else groups[kept])
        self._fit_text()
        self._fit_shots(shots)
        return self

    def predict(self, X):
        """Most probable label of each row of `X (n, D)`, shape (n,)."""
        scores = self._scores(X)
        return self.classes_[scores.argmax(axis=1)]

    def predict_proba(self, X):
        """Probability of each class, in the order of `classes_`.

        The softmax of `decision_function`.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        ndarray of shape (n, C)
        """
        return softmax(self._scores(X), axis=1)

    def predict_log_proba(self, X):
        """Logarithm of `predict_proba`, shape (n, C)."""
        return log_softmax(self._scores(X), axis=1)

    def decision_function(self, X):
        """Logits of the classes.

        With `blend="auto"` they are `sum_k blend_[k] * affinities[k]`, with `blend="paper"` the logarithm of
        the paper's score.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        ndarray of shape (n, C), or (n,) for two classes: log-odds of the second
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def affinities(self, X):
        """How close each row of `X` is to each class, in up to four ways.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        dict of ndarray of shape (n, C)
            `"z1"` query and class text (only where there is text), `"z2"` query and bridged shots, `"z3"`
            bridged query and shots, and `"z4"` query and shots in whitened coordinates where the blend uses
            it.
        """
        check_is_fitted(self)
        return self._affinities(validate_embeddings(self, X, reset=False))

    def _check_blend(self):
        if self.blend == "paper":
            shares = (self.lambda1 if self.text_encoder is not None else 0, self.lambda2, self.lambda3)
            if not any(shares):
                text = (
                    "" if self.text_encoder is not None else " (lambda1 weighs the text, and there is none)"
                )
                raise ValueError(
                    f"lambda1, lambda2 and lambda3 are all zero{text}: every score would be zero. Set at "
                    "least one of them above zero."
                )

    def _warn_about_words(self):
        labels_are_text = self.classes_.dtype.kind in "US" or any(isinstance(c, str) for c in self.classes_)
        if self.text_encoder is None and (labels_are_text or self.class_names is not None):
            warnings.warn(
                "There are names of classes but no text_encoder, so the names are not used. Pass "
                "text_encoder=CLIPTextEncoder(...) of the model that embedded the images to use them.",
                UserWarning,
                stacklevel=3,
            )
        elif (
            self.text_encoder is not None
            and not labels_are_text
            and self.class_names is None
            and not isinstance(self.prompts, Mapping)
        ):
            warnings.warn(
                f"The labels are not text, so the text encoder is told of '{self.classes_[0]}' and the like. "
                "Pass class_names, a mapping from labels to names.",
                UserWarning,
                stacklevel=3,
            )

    def _fit_text(self):
        """Set the text side: class texts, the projection, and the closed-form bridge."""
        if self.text_encoder is None:
            self.text_embeddings_ = None
            self._logit_scale = 100.0
            identity = np.eye(self.n_features_in_)
            self._bridge = Bridge(identity, basis=identity)
            self.rank_ = self.n_features_in_
            return
        projection = np.asarray(self.text_encoder.projection_, dtype=np.float64)
        bias = self.text_encoder.projection_bias_
        if projection.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {self.n_features_in_} features, but the text encoder's embeddings have "
                f"{projection.shape[1]}. Embed the images with the model of the text encoder."
            )
        texts = encode_classes(
            self.text_encoder, build_prompts(self.classes_, self.prompts, self.class_names)
        )
        self.text_embeddings_ = texts.embeddings
        self._eos_directions = texts.eos_directions
        self._logit_scale = float(self.text_encoder.logit_scale_)
        inverse, basis = pseudo_inverse(projection, self.atol)
        self.rank_ = basis.shape[1]
        if self.rank_ == 0:
            warnings.warn(
                f"atol={self.atol} cuts off every direction of the text projection: shots are only seen "
                'unbridged or not at all. Use atol="auto".',
                UserWarning,
                stacklevel=4,
            )
        self._bridge = Bridge(
            inverse,
            projection,
            None if bias is None else np.asarray(bias, dtype=np.float64),
            float(texts.lengths.mean()),
            basis,
        )

    def _fit_shots(self, shots):
        dtype = shots.X.dtype
        n_classes = len(self.classes_)
        shots = type(shots)(shots.X.astype(np.float64), shots.codes, shots.weight, shots.unit)
        share = shots.share()[:, None]
        self.class_bias_, self.loss_curve_, self.n_iter_ = None, None, 1
        self.prototypes_ = self._bridge.prototypes(
            sum_rows(share * self._bridge.to_eos(shots.X), shots.codes, n_classes)
        )
        self.image_means_ = unit(sum_rows(share * shots.X, shots.codes, n_classes))
        self._fit_blend(shots)
        self._cast(dtype)

    def _fit_blend(self, shots):
        self._whitening, self._divergence = None, None
        if self.blend == "paper":
            self.blend_ = {name: float(getattr(self, name)) for name in PAPER_SETTINGS}
            if self.text_embeddings_ is not None:
                self._divergence = class_divergence(self.image_means_, self.text_embeddings_)
            return
        whitening_fit = self._fit_whitening(shots)
        held_out = leave_one_out(
            shots, self._bridge, len(self.classes_), self.text_embeddings_, whitening_fit
        )
        self.blend_ = fit_fusion(held_out, self._logit_scale, self.n_features_in_)

    def _fit_whitening(self, shots):
        if self.whiten is False:
            return None
        image, codes, _ = shots.images()
        weight = np.bincount(image, weights=shots.weight)
        means = sum_rows(unit(shots.X) * shots.weight[:, None], image, len(codes)) / weight[:, None]
        whitening_fit = WhiteningFit(means, codes, weight, len(self.classes_))
        if not whitening_fit.has_variation:
            return None
        self._whitening = whitening_fit.fitted()
        return whitening_fit

    def _cast(self, dtype):
        """Keep fitted arrays in the precision of the shots, and publish the bridge."""
        self._bridge = self._bridge.astype(dtype)
        self.bridge_ = self._bridge.matrix
        for name in ("text_embeddings_", "prototypes_", "image_means_", "class_bias_", "_divergence"):
            value = getattr(self, name)
            setattr(self, name, None if value is None else value.astype(dtype))
        if self._whitening is not None:
            self._whitening = Whitening(
                self._whitening.weights.astype(dtype), self._whitening.offsets.astype(dtype)
            )

    def _affinities(self, X):
        return compute_affinities(
            X,
            text_embeddings=self.text_embeddings_,
            prototypes=self.prototypes_,
            image_means=self.image_means_,
            bridge=self._bridge,
            whitening=self._whitening,
        )

    def _scores(self, X):
        """Decision values with one column for each class, also for two."""
        check_is_fitted(self)
        affinities = self._affinities(validate_embeddings(self, X, reset=False))
        if self.blend == "paper":
            return paper_log_scores(affinities, self.blend_, self._divergence)
        return fuse(affinities, self.blend_)
