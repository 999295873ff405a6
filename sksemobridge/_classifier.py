"""The few-shot classifier over CLIP image embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._base import EmbeddingClassifier
from ._method.bridge import Bridge
from ._method.class_texts import (
    TextSide,
    encode_classes,
    encoder_key,
    read_logit_scale,
    read_projection,
    word_bridge,
)
from ._method.fit import add_shots, fit_model
from ._method.prompts import ClassPrompts, describe_classes, is_sequence
from ._method.state import FittedState
from ._training.train import MAX_ITER
from ._utils.array_api import to_numpy
from ._utils.callbacks import CallbackSupportMixin, fit_task
from ._utils.device import threads_for
from ._utils.provenance import name_text_model, warn_about_origin
from ._utils.validation import (
    checks_parameters,
    offered_if,
    record_features,
    require_width,
    validate_classes,
    validate_embeddings,
    validate_groups,
    validate_labels,
    validate_weights,
    warn_about_length,
    warn_caller,
)

# Cosine of two embeddings of one text by one model, whatever the precision and the device.
SAME_TEXT = 0.99
PAPER_BLEND = ("alpha", "beta", "gamma", "lambda1", "lambda2", "lambda3", "smoothness")
TRAINING_PARAMETERS = (
    "solver",
    "class_bias",
    "lambda_it",
    "lambda_c",
    "lambda_b",
    "max_iter",
    "learning_rate",
    "weight_decay",
    "tol",
    "device",
    "verbose",
)


def _estimates_blend(classifier):
    fitted = getattr(classifier, "_fitted", None)
    if classifier.blend == "paper" or (fitted is not None and fitted.typicality is None):
        raise AttributeError('This needs blend="auto": with the paper\'s blend no shot is held out.')
    return True


class SeMoBridgeClassifier(CallbackSupportMixin, EmbeddingClassifier):
    """Few-shot classifier on CLIP image embeddings, bridged into the text modality.

    A query image is compared with the class texts (`z1`) and with the labelled shots: bridged into the text modality
    (`z2`), as they are, with the query bridged (`z3`), and in whitened coordinates (`z4`). Images are centred, and
    there is no `z3`, where the bridge is learnt from words, as with `CLIPTextEncoder` by default, or would be the
    identity. With `blend="auto"` shots and names make one probability model: the fewer shots a class has, the more it
    leans on its name, and each class has a correction. All weights are estimated from the shots; no validation data
    is needed.

    Parameters
    ----------
    text_encoder : object or None, default=None
        `CLIPTextEncoder`, `PrecomputedTextEncoder` or another object with `encode`, `projection_`,
        `projection_bias_` and `logit_scale_`, of the same CLIP model as the embeddings. Texts are embedded once per
        process with the encoders of this package, and with others in every `fit`. `None` works without words: the
        bridge is then the identity.
    prompts : "auto", str, list of str or mapping, default="auto"
        The texts of each class: a template with `{}` for the class name, several, `"auto"` for the
        ensemble of seven templates of CLIP's authors, or a mapping from labels (else from class names) to
        lists of whole prompts.
    class_names : mapping, sequence, "ignore" or None, default=None
        The name of each label: a mapping from labels (a pandas Series is one), or one name for each of the sorted
        classes. By default `str(label)` with `_` read as a space, and so is a name that equals its label, or that is
        given in a sequence. Later classes that a sequence does not hold are named by their label. In a mapping
        None means that a class has no text, such as "everything else": the mean of the other texts stands for it, and
        beside a single one the word "other", where the encoder can embed any text.
        `"ignore"`: the labels have no meaning (part numbers, say), and the encoder serves the bridge alone.
    vocabulary : "auto", sequence of str or None, default="auto"
        The words whose span the bridge keeps: whole texts, such as `"a red squirrel"`, or with `"auto"` a bundled
        list of names of things, where the encoder can embed any text (`CLIPTextEncoder`). `None`, and `"auto"` with
        `PrecomputedTextEncoder` or `blend="paper"`, reads the bridge off the text projection, as the paper does.
    store_held_out : bool, default=False
        Whether to keep `held_out_proba_`. Needs `blend="auto"`, and is to be set before the first call.
    solver : {"closed_form", "adamw", "lbfgs"}, default="closed_form"
        How the bridge is found: from words or the text projection, without training; trained on the shots with
        the paper's recipe, step for step; or trained to the minimum of the same loss, many times faster.
    atol : "auto" or float, default="auto"
        Singular values of the text projection at or below it are treated as zero. `"auto"` is 0.7 times
        their median, safe for any model; the paper uses 0.3. Not used with words.
    class_bias : bool, default=True
        Whether trained solvers learn a bias for each class. Not used in closed form.
    blend : {"auto", "paper"}, default="auto"
        `"auto"` estimates the weights of the affinities and a correction of each class from the shots; `"paper"`
        takes the seven numbers below as given.
    whiten : "auto" or bool, default="auto"
        Whether `blend="auto"` also fuses `z4`, the shots in whitened coordinates: `"auto"` and True do, False does
        not.
    alpha, beta, gamma : float, default=1.0
        Sharpness of the three terms of the paper's blend.
    lambda1, lambda2, lambda3 : float, default=0.5
        Weights of the three terms of the paper's blend.
    smoothness : float, default=0.01
        Strength of the paper's class weights.
    lambda_it, lambda_c, lambda_b : float, default=0.5, 0.1, 0.1
        Weights of the training loss. Not used in closed form.
    max_iter : int or None, default=None
        Steps of a trained solver. None is 5,000 for `"adamw"`, the paper's number, and 1,000 at the most for
        `"lbfgs"`. Not used in closed form.
    learning_rate : float, default=1.5e-4
        Of `solver="adamw"`.
    weight_decay : float, default=0.01
        Of `solver="adamw"`.
    tol : float, default=1e-6
        Relative decrease of the loss at which `solver="lbfgs"` stops.
    device : str, default="auto"
        Torch device of trained solvers.
    random_state : int, RandomState instance or None, default=None
        Shuffles the shots before they are dealt to the folds in which `blend="auto"` puts them to a trained
        bridge. None leaves them in the order of their content: fits repeat exactly.
    verbose : int, default=0
        Whether trained solvers report progress.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        Sorted labels.
    text_embeddings_ : ndarray of shape (C, D) or None
        `T_c`, the zero-shot classifier; None without a text encoder.
    class_names_ : ndarray of str (dtype object) of shape (C,) or None
        Name of each class; None without texts of the classes.
    prompts_ : list of C lists of str, or None
        Texts of each class; None for a class without text.
    prototypes_ : ndarray of shape (C, D)
        `P_c`, the bridged shots.
    image_means_ : ndarray of shape (C, D)
        `F_c`, the means of the shots.
    bridge_ : ndarray of shape (D, d)
        `W+`, or with words `V V' W+`, where the columns of `V` are the directions of words. Trained solvers start
        there.
    class_bias_ : ndarray of shape (C, d) or None
        Bias of each class; None in closed form.
    rank_ : int
        Number of directions that the closed-form bridge keeps: with words the width of their span. Equal to
        `D`, the bridge is the identity.
    blend_ : dict
        With `blend="auto"` the weight of each affinity, 1.0 for `"correction"`: `decision_function` is
        `sum_k blend_[k] * affinities[k]`. With `blend="paper"` the seven numbers.
    loss_curve_ : list of float or None
        Training loss of every iteration; None in closed form.
    n_iter_ : int
        Iterations of the solver, 1 in closed form.
    text_model_ : tuple of (str, str or None) or None
        `model_name` and `pretrained` of the text encoder, where it has them.
    held_out_proba_ : ndarray of shape (n, C)
        With `store_held_out=True`, probabilities of the shots, each by the model without it and its copies. Rows are
        those of `fit`, and after `partial_fit` those of all calls. A shot that is not held out has NaN: its weight is
        zero, it is the only one of its class and there is no text, its copies have several labels, or it is not in the
        sample taken of very many. `with_classes` drops them.
    n_features_in_ : int
        `D`.
    feature_names_in_ : ndarray of shape (D,)
        Only where `X` has names of features that are all strings.

    Notes
    -----
    `predict_proba` is the softmax of `decision_function`, which gives `sum_k blend_[k] * affinities[k]` with
    `blend="auto"` and the logarithm of the paper's score with `blend="paper"`.

    Classes without shots, which `partial_fit` and `with_classes` allow where there is text, have NaN in
    `prototypes_` and `image_means_`. For their scores `z2`, `z3` and `z4` are predicted from `z1`, as they go with it
    among the classes with shots; their correction is zero.

    A fit computes in float64, except the training of the bridge, which computes in float32 whatever `X` is. The
    fitted arrays are cast to the precision of `X` once, at the end, and prediction computes in that of its query.

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

    _fitted: FittedState
    _parameter_constraints = {
        "text_encoder": [HasMethods(["encode", "transform"]), None],
        "prompts": [str, Mapping, "array-like"],
        "class_names": [Mapping, StrOptions({"ignore"}), "array-like", None],
        "vocabulary": [StrOptions({"auto"}), "array-like", None],
        "store_held_out": ["boolean"],
        "solver": [StrOptions({"closed_form", "adamw", "lbfgs"})],
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
        text_encoder: Any = None,
        *,
        prompts: str | Sequence[str] | Mapping[Any, str | Sequence[str]] = "auto",
        class_names: Mapping[Any, str | None] | Sequence[str] | str | None = None,
        vocabulary: str | Sequence[str] | None = "auto",
        store_held_out: bool = False,
        solver: Literal["closed_form", "adamw", "lbfgs"] = "closed_form",
        atol: float | Literal["auto"] = "auto",
        class_bias: bool = True,
        blend: Literal["auto", "paper"] = "auto",
        whiten: bool | Literal["auto"] = "auto",
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        lambda1: float = 0.5,
        lambda2: float = 0.5,
        lambda3: float = 0.5,
        smoothness: float = 0.01,
        lambda_it: float = 0.5,
        lambda_c: float = 0.1,
        lambda_b: float = 0.1,
        max_iter: int | None = None,
        learning_rate: float = 1.5e-4,
        weight_decay: float = 0.01,
        tol: float = 1e-6,
        device: str = "auto",
        random_state: Any = None,
        verbose: int | bool = 0,
    ) -> None:
        self.text_encoder = text_encoder
        self.prompts = prompts
        self.class_names = class_names
        self.vocabulary = vocabulary
        self.store_held_out = store_held_out
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

    @checks_parameters
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Learn from labelled shots.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings of any length, as `CLIPImageEncoder` gives them. Half precision is computed in
            float32.
        y : array-like of shape (n,)
            Labels. Any number of shots for each class.
        sample_weight : array-like of shape (n,) or None, default=None
            Relative weight of each shot in its class; rows of weight zero are dropped, and all others count for at
            least a ten millionth of their class. A common factor changes nothing.
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
        FloatingPointError
            If the training loss turns NaN or infinite.
        """
        return self._learn(X, y, None, sample_weight, groups, earlier=None)

    @checks_parameters
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Add shots, also of classes not seen before.

        In closed form the result is that of `fit` on all shots together. Trained solvers continue from the
        fitted bridge, on all shots together; with another `text_encoder` than before they start anew.

        Parameters
        ----------
        X : array-like of shape (n, D)
        y : array-like of shape (n,)
        classes : array-like or None, default=None
            Labels of more classes than those seen so far. Classes without shots need text.
        sample_weight : array-like of shape (n,) or None, default=None
            On the same scale in every call.
        groups : array-like of shape (n,) or None, default=None
            See `fit`; equal values in several calls mark copies of one image too.

        Returns
        -------
        self : object
        """
        earlier = self._fitted if self.__sklearn_is_fitted__() else None
        return self._learn(X, y, classes, sample_weight, groups, earlier)

    def _learn(self, X, y, classes, sample_weight, groups, earlier):
        """`fit`, or `partial_fit` from the state of earlier shots; the estimator changes at the end only."""
        # What was handed in
        embeddings = to_numpy(validate_embeddings(self, X, reset=earlier is None))
        labels = validate_labels(y, len(embeddings))
        weight = validate_weights(sample_weight, len(embeddings))
        groups = validate_groups(groups, len(embeddings))
        used = weight > 0
        rows = slice(None) if used.all() else used  # a mask would copy
        all_classes = validate_classes(classes, None if earlier is None else earlier.classes, labels[rows])
        labels = labels[rows].astype(all_classes.dtype)

        # Texts of the classes
        self._warn_about_text(all_classes, embeddings)
        class_prompts = None
        if self.text_encoder is not None and not _is_ignore(self.class_names):
            class_prompts = self._describe(all_classes, earlier)
        text = self._text_side(class_prompts, embeddings.shape[1])
        paper_blend = self._paper_blend(text)

        # Shots, those of earlier calls among them
        remembered = used if self.store_held_out else None
        new = embeddings[rows], labels, weight[rows], None if groups is None else groups[rows], remembered
        sums_are_enough = self.solver == "closed_form" and self.blend == "paper" and not text.has_words
        shots = add_shots(earlier, all_classes, new, bridge=text.bridge, sums_are_enough=sums_are_enough)
        if class_prompts is not None:
            _refuse_unknown(all_classes[shots.counts(len(all_classes)) == 0], all_classes, class_prompts)

        # Bridge and blend
        is_trained = self.solver != "closed_form"
        if is_trained and self.class_bias and not text.has_words:
            warn_about_length(embeddings)
        max_iter = self.max_iter or MAX_ITER[self.solver] if is_trained else 0
        size = len(embeddings) * text.bridge.matrix.size
        with fit_task(self, X, y, max_iter) as callback, threads_for(size):
            fitted, converged = fit_model(
                all_classes,
                text,
                shots,
                earlier=earlier,
                dtype=embeddings.dtype if earlier is None else earlier.model.prototypes.dtype,
                training=self._training(callback) if is_trained else None,
                paper_blend=paper_blend,
                whiten=bool(self.whiten),
                store_held_out=self.store_held_out,
                random_state=self.random_state,
            )
        if not converged:
            warn_caller(
                f"The bridge did not converge in {fitted.n_iter} iterations. Increase max_iter or tol.",
                ConvergenceWarning,
            )
        if earlier is None:
            record_features(self, X)
        self._set_fitted(replace(fitted, class_prompts=class_prompts))
        return self

    def _set_fitted(self, fitted):
        self._fitted = fitted
        self.classes_ = fitted.classes
        self.text_embeddings_ = fitted.model.text_embeddings
        self.prototypes_ = fitted.model.prototypes
        self.image_means_ = fitted.model.image_means
        self.bridge_ = fitted.model.bridge.matrix
        self.class_bias_ = fitted.model.class_bias
        self.rank_ = fitted.rank
        self.blend_ = fitted.model.blend
        self.loss_curve_ = fitted.loss_curve
        self.n_iter_ = fitted.n_iter
        self.text_model_ = fitted.text_model
        if fitted.held_out is not None:
            pooled = fitted.shots.pooled
            self.held_out_proba_ = np.where(pooled[:, None] < 0, np.nan, fitted.held_out[pooled])
        elif hasattr(self, "held_out_proba_"):
            del self.held_out_proba_
        said = fitted.class_prompts
        self.class_names_ = None if said is None else np.array(said.names, dtype=object)
        self.prompts_ = None if said is None else said.prompts

    def _training(self, callback):
        """Parameters of `train_bridge`, which tells `callback` the loss."""
        params = {name: getattr(self, name) for name in TRAINING_PARAMETERS}
        return params | {"callback": callback and (lambda _, loss: callback(loss=loss))}

    def _paper_blend(self, text):
        """The seven numbers, or None where the blend is estimated."""
        if self.blend != "paper":
            return None
        if self.store_held_out:
            raise ValueError(
                'store_held_out=True needs blend="auto": the paper\'s blend is given, and no shot is held out.'
            )
        unused = {}
        if text.embeddings is None:
            unused["lambda1"] = "lambda1 weighs the text, and there is none"
        if text.has_words:
            unused["lambda3"] = "lambda3 weighs z3, which is z2 where the bridge is learnt from words"
        if not any(getattr(self, name) for name in ("lambda1", "lambda2", "lambda3") if name not in unused):
            reasons = f" ({'; '.join(unused.values())})" if unused else ""
            raise ValueError(
                f"lambda1, lambda2 and lambda3 are all zero{reasons}: every score would be zero. Set at least one "
                "of them above zero."
            )
        return {name: float(getattr(self, name)) for name in PAPER_BLEND}

    def _warn_about_text(self, classes, embeddings):
        if self.text_encoder is not None:
            warn_about_origin(embeddings, self.text_encoder)
        elif _is_ignore(self.class_names):
            return
        elif self.class_names is not None or any(isinstance(label, str) for label in classes):
            warn_caller(
                "There are names of classes but no text_encoder, so the names are not used. Pass "
                "text_encoder=CLIPTextEncoder(...) of the model that embedded the images to use them."
            )

    def _describe(self, classes, earlier):
        """`ClassPrompts` of the classes; names that `earlier` classes had hold."""
        names = None
        if earlier is not None and earlier.class_prompts is not None:
            names = dict(zip(earlier.classes.tolist(), earlier.class_prompts.names))
        return describe_classes(classes, self.text_encoder, self.prompts, self.class_names, names)

    def _text_side(self, class_prompts, width):
        """`TextSide` of the encoder and of the classes."""
        is_auto = self.blend == "auto"
        if self.text_encoder is None:
            word_bridge(None, self.vocabulary)  # refuses texts that nothing could embed
            return TextSide(Bridge.identity(width), is_centred=is_auto)
        projection, bias = read_projection(self.text_encoder)
        require_width(width, projection.shape[1])
        key = class_prompts and encoder_key(self.text_encoder)
        embeddings, eos_directions, text_length = None, None, 1.0
        if class_prompts is not None:
            embeddings, eos_directions, text_length = encode_classes(
                self.text_encoder, class_prompts.prompts, projection, bias, key
            )
        # The paper's blend keeps the paper's bridge unless words are given.
        vocabulary = self.vocabulary if is_auto or not isinstance(self.vocabulary, str) else None
        bridge = word_bridge(self.text_encoder, vocabulary, key)
        has_words = bridge is not None
        if not has_words:
            bridge = Bridge.closed_form(projection, bias, text_length, self.atol, key)
            if bridge.basis.shape[1] == 0:
                warn_caller(
                    f"atol={self.atol} cuts off every direction of the text projection, so that nothing can be "
                    'bridged. Use atol="auto".'
                )
        return TextSide(
            bridge,
            embeddings,
            eos_directions,
            read_logit_scale(self.text_encoder),
            has_words,
            name_text_model(self.text_encoder),
            is_centred=has_words or is_auto and bridge.is_identity,
        )

    def with_classes(self, classes: ArrayLike) -> Self:
        """A fitted classifier over other classes: fewer, or more that are known by name only.

        Nothing is learnt anew: bridge and `blend_` are kept.

        Parameters
        ----------
        classes : array-like of shape (C,)
            Labels. Those without shots need the text encoder, and a name if `class_names` is given.

        Returns
        -------
        SeMoBridgeClassifier

        Raises
        ------
        ValueError
            If a class has neither shots nor text (names it), none of them has shots, or `text_encoder` has changed and
            new classes are among them.
        """
        check_is_fitted(self)
        if classes is None:
            raise ValueError("classes is None; give the labels of the classes.")
        wanted = validate_classes(classes)
        texts, rows = None, self._fitted.position(wanted)
        class_prompts, added = self._fitted.class_prompts, ClassPrompts([], [])
        new = rows < 0
        if new.any() and class_prompts is not None and self.text_encoder is not None:
            added = self._describe(wanted[new], self._fitted)
            _refuse_unknown(wanted[new], wanted[new], added)
            texts = self.text_embeddings_[rows]
            texts[new] = self._say_more(added.prompts)
        fitted = self._fitted.with_classes(wanted, texts)
        params = {}
        if class_prompts is not None:
            class_prompts = class_prompts.take(rows, added)
            if is_sequence(self.class_names):
                # One name for each class in sorted order would no longer fit.
                params["class_names"] = class_prompts.names
        return self._clone_with(replace(fitted, class_prompts=class_prompts), **params)

    @offered_if(_estimates_blend)
    def with_unlabeled(self, X: ArrayLike) -> Self:
        """A fitted classifier that has learnt from images without labels too.

        The images show which classes the model is too ready to name, and where the classes lie. The result predicts any
        images, not only these. Unlabelled images of an earlier call are forgotten. `fit`
        and `partial_fit` learn from labelled images alone: call this again after them. `score_samples`, `p_values` and
        `held_out_proba_` stay those of the shots.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings, of all classes if possible. Of very many an even sample is used. Copies of one image count
            once; of images that are nearly copies, such as frames of a film, give a few.

        Returns
        -------
        SeMoBridgeClassifier

        Raises
        ------
        AttributeError
            With `blend="paper"`, which is not estimated.
        """
        check_is_fitted(self)
        X = to_numpy(validate_embeddings(self, X, reset=False))
        return self._clone_with(self._fitted.with_unlabeled(X))

    @offered_if(_estimates_blend)
    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        """How typical each image is of the classes; higher is more typical.

        The largest blended affinity without the correction, plus the largest cosines to class texts and to prototypes,
        each in units of its deviation over the held-out shots.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        array of shape (n,)
        """
        check_is_fitted(self)
        return self._fitted.typical_scores(validate_embeddings(self, X, reset=False))

    @offered_if(_estimates_blend)
    def p_values(self, X: ArrayLike) -> NDArray[Any]:
        """How well each image agrees with belonging to one of the classes.

        The share of held-out shots that are no more typical than the image, the image counted among them. Of images of
        the classes about `alpha` have a p-value of at most `alpha`; where shots are few the smallest p-value is
        one divided by their number plus one, and it errs on the safe side. One for all images where no shot can be
        held out: a single one of each class, and no text.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        ndarray of shape (n,)
        """
        scores = np.asarray(to_numpy(self.score_samples(X)))
        return self._fitted.typicality.p_values(scores)  # type: ignore[union-attr]

    def _say_more(self, prompts):
        """`T_c` of new classes, by an encoder that embeds a class of `fit` as it did then."""
        known = self.prompts_[0]
        projection, bias = read_projection(self.text_encoder)
        said = encode_classes(self.text_encoder, [known, *prompts], projection, bias)[0]
        is_same = (
            said.shape[1:] == self.text_embeddings_.shape[1:]
            and said[0] @ self.text_embeddings_[0] > SAME_TEXT
        )
        if not is_same:
            raise ValueError(
                f"text_encoder has changed: it says something else of {known[0]!r} than in fit, so that new classes "
                "could not be compared with the old ones. Call fit or partial_fit with it, or set the encoder of fit."
            )
        return said[1:]

    def affinities(self, X: ArrayLike) -> dict[str, NDArray[Any]]:
        """How close each row of `X` is to each class, by kind of comparison.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        dict of arrays of shape (n, C)
            `"z1"`: query and class text, where there is text. `"z2"`: query and bridged shots, both centred where
            images are. `"z3"`: bridged query and shots, unless images are centred. With `blend="auto"` these are the
            terms of the blend, in which classes with few shots lean on their names. It has `"z4"` too, query and
            shots in whitened coordinates, unless `whiten=False`, and `"correction"`, that of each class. With
            `blend="paper"` classes without shots have NaN in `"z2"` and `"z3"`.
        """
        check_is_fitted(self)
        return self._fitted.model.affinities(validate_embeddings(self, X, reset=False))


def _refuse_unknown(without_shots, classes, class_prompts):
    """Refuse classes that have neither shots nor a name."""
    unnamed = [label for label, name in zip(classes.tolist(), class_prompts.names) if name is None]
    unknown = [label for label in without_shots.tolist() if label in unnamed]
    if unknown:
        raise ValueError(
            f"There are no shots of the classes {unknown}, and class_names says that they have no text either."
        )


def _is_ignore(class_names):
    """Whether labels carry no meaning."""
    return isinstance(class_names, str) and class_names == "ignore"
