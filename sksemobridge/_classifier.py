"""The few-shot classifier over CLIP image embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from ._base import EmbeddingClassifier
from ._fitted import FittedState, require_shots
from ._model.fit import fit_model
from ._model.shots import ShotMemory
from ._paper.model import PaperModel, fit_paper
from ._paper.parameters import PaperBlend, Training
from ._texts.encode import embed_classes, read_texts
from ._texts.prompts import ClassPrompts, describe_classes, is_sequence
from ._texts.words import vocabulary_texts, word_span
from ._utils.array_api import astype, to_numpy
from ._utils.callbacks import CallbackSupportMixin, fit_task
from ._utils.sklearn import Interval, StrOptions, checks_parameters, offered_if
from ._utils.validation import (
    check_text_encoder,
    record_features,
    require_width,
    validate_classes,
    validate_embeddings,
    validate_groups,
    validate_labels,
    validate_priors,
    validate_weights,
    warn_about_unlabeled,
    warn_caller,
)

# Two embeddings of one text by one model have at least this cosine, in any precision and on any device.
SAME_TEXT = 0.99
TINY = np.finfo(float).tiny
# Attributes of a `PaperModel` that become fitted attributes.
OF_PAPER = ("prototypes", "image_means", "class_bias", "rank", "temperature", "loss_curve", "n_iter")


def _has_default_blend(classifier):
    fitted = getattr(classifier, "_fitted", None)
    is_paper = not isinstance(classifier.blend, str)
    if is_paper or (fitted is not None and isinstance(fitted.model, PaperModel)):
        raise AttributeError('This needs blend="auto": the paper\'s classifier holds out no shot.')
    return True


class SeMoBridgeClassifier(CallbackSupportMixin, EmbeddingClassifier):
    """Few-shot classifier on CLIP image embeddings and the names of the classes.

    It is one linear classifier of unit embeddings: `nrm(X) @ coef_.T + intercept_`. `predict_proba` is its softmax. Names
    say where the images of a class lie, and shots move the class from there. It needs no validation data.

    Parameters
    ----------
    text_encoder : object or None, default=None
        `CLIPTextEncoder`, `PrecomputedTextEncoder` or an object with `transform` and `logit_scale_`, of the CLIP model of
        the embeddings. None: no names.
    prompts : "auto", str, list of str or mapping, default="auto"
        One or more templates with `{}` for the class name, or a mapping from labels or class names to lists of whole
        prompts. `"auto"`: seven templates of CLIP's authors.
    class_names : mapping, sequence, "ignore" or None, default=None
        The name of each label: a mapping, or a list in the order of the sorted labels. None: the labels, with `_` read as
        a space. In a mapping, a name of None is a class without text ("everything else"). `"ignore"`: the labels mean
        nothing, such as part numbers.
    vocabulary : "auto", sequence of str or None, default="auto"
        Words that say which directions matter, where classes have no names. `"auto"`: bundled names of things, if the
        encoder embeds any text.
    blend : "auto" or PaperBlend, default="auto"
        `PaperBlend(...)`: the classifier of the SeMoBridge paper, with given numbers.
    solver : {"closed_form", "lbfgs", "adamw"} or Training, default="closed_form"
        How the paper's bridge is found. All but `"closed_form"` need `PaperBlend`.
    priors : array-like of shape (C,), "shots" or None, default=None
        Probability of each class in the order of `classes_`; `"shots"`: their shares. None: all classes are equally
        frequent.
    label_noise : "auto" or float, default="auto"
        Share of the labels that may be wrong. `"auto"` estimates it. Doubtful shots then count less. Needs
        `blend="auto"`.
    store_held_out : bool, default=False
        Whether to keep `held_out_proba_`, from the first call on. Needs `blend="auto"`.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        Sorted labels.
    coef_ : ndarray of shape (C, D), or (1, D) for two classes
    intercept_ : ndarray of shape (C,), or (1,) for two classes
        As of scikit-learn's `LogisticRegression`. Not with `PaperBlend`.
    text_embeddings_ : ndarray of shape (C, D) or None
        `T_c`, the zero-shot classifier; None without text.
    class_names_, prompts_ : ndarray of str of shape (C,) and list of C lists of str, or None
        Name and texts of each class. None for a class, or all, without text.
    text_model_ : tuple of (str, str or None) or None
        `model_name` and `pretrained` of the text encoder, where it has them.
    blend_ : dict
        The scales of `"text"` and `"shots"`, and `"trust"`, the probability that the texts are of use. With
        `PaperBlend` its numbers.
    held_out_proba_ : ndarray of shape (n, C)
        With `store_held_out=True`: the probabilities of each shot, by the model without it and its copies. Rows as in
        `fit`, or in all calls of `partial_fit`. NaN where a shot is not held out: weight zero, copies with several labels,
        the only shot of a class without text, or not in the sample that is taken of very many.
    label_proba_ : ndarray of shape (n,)
        With `label_noise`: the probability that the label of a shot is right. NaN where the weight is zero.
    prototypes_, image_means_, bridge_, class_bias_, rank_, temperature_, loss_curve_, n_iter_
        With `PaperBlend`: `P_c` and `F_c` `(C, D)`; `W+` `(D, d)`; biases `(C, d)` or None; number of directions that the
        bridge keeps; factor of the log of the score; loss and number of iterations.
    n_features_in_ : int
        `D`.
    feature_names_in_ : ndarray of shape (D,)
        Names of the features of `X`, if it has any.

    Notes
    -----
    The decision is the sum of `affinities`. A fit computes in float64 (training in float32). Fitted arrays have the precision
    of `X`.

    See Also
    --------
    ZeroShotClassifier : The class texts alone, without shots.
    make_semobridge_pipeline : From images to predictions with one model.
    PaperBlend, Training : The paper's classifier.

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
    >>> classifier.coef_.shape
    (1, 4)
    """

    _parameter_constraints = {
        "text_encoder": "no_validation",  # by check_text_encoder
        "prompts": [str, Mapping, "array-like"],
        "class_names": [Mapping, StrOptions({"ignore"}), "array-like", None],
        "vocabulary": [StrOptions({"auto"}), "array-like", None],
        "blend": [StrOptions({"auto"}), PaperBlend],
        "solver": [StrOptions({"closed_form", "lbfgs", "adamw"}), Training],
        "priors": ["array-like", StrOptions({"shots"}), None],
        "label_noise": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "store_held_out": ["boolean"],
    }

    _fitted: FittedState

    def __init__(
        self,
        text_encoder: Any = None,
        *,
        prompts: str | Sequence[str] | Mapping[Any, str | Sequence[str]] = "auto",
        class_names: Mapping[Any, str | None] | Sequence[str] | str | None = None,
        vocabulary: str | Sequence[str] | None = "auto",
        blend: Literal["auto"] | PaperBlend = "auto",
        solver: Literal["closed_form", "lbfgs", "adamw"] | Training = "closed_form",
        priors: ArrayLike | Literal["shots"] | None = None,
        label_noise: float | Literal["auto"] = "auto",
        store_held_out: bool = False,
    ) -> None:
        self.text_encoder = text_encoder
        self.prompts = prompts
        self.class_names = class_names
        self.vocabulary = vocabulary
        self.blend = blend
        self.solver = solver
        self.priors = priors
        self.label_noise = label_noise
        self.store_held_out = store_held_out

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
            Equal values mark copies of one image (augmentations): they count as one image. With None and `blend="auto"`,
            shots of a class that are far closer to each other than the classes explain count as one image too, with a
            warning; `range(n)` takes each shot for an image of its own.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If `X` has NaN or infinite values (names the rows) or another width than the text encoder, a class
            has no name or no prompt, or parameters do not go together (`solver` or `store_held_out` with `blend`).
        FloatingPointError
            If the loss of training turns NaN or infinite.

        Warns
        -----
        UserWarning
            If shots are near copies and `groups` is None.
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

        The result is that of `fit` on all shots together. Training of the paper's bridge continues from the fitted one;
        with another `text_encoder` than before it starts anew.

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
        """`fit`, or `partial_fit` from the state of earlier shots. Nothing changes if it fails."""
        training = self._training()
        # Input
        if self.text_encoder is not None:
            check_text_encoder(self)
        embeddings = to_numpy(validate_embeddings(self, X, reset=earlier is None))
        labels = validate_labels(y, len(embeddings))
        warn_about_unlabeled(labels, self.class_names)
        weight = validate_weights(sample_weight, len(embeddings))
        groups = validate_groups(groups, len(embeddings))
        used = weight > 0
        rows = slice(None) if used.all() else used  # a mask would copy
        all_classes = validate_classes(classes, None if earlier is None else earlier.classes, labels[rows])
        codes = np.searchsorted(all_classes, labels[rows].astype(all_classes.dtype))

        # Texts of the classes
        self._warn_about_text(all_classes)
        class_prompts = None
        if self.text_encoder is not None and not _is_ignore(self.class_names):
            class_prompts = self._describe(all_classes, earlier)
        is_paper = isinstance(self.blend, PaperBlend)
        prompts = None if class_prompts is None else class_prompts.prompts
        texts = read_texts(self.text_encoder, prompts, of_bridge=is_paper)
        for known in (texts.embeddings, None if texts.projection is None else texts.projection):
            if known is not None:
                require_width(embeddings.shape[1], known.shape[1])

        # Shots, those of earlier calls among them
        memory = ShotMemory() if earlier is None else earlier.shots.take(earlier.position(all_classes))
        new_groups = None if groups is None else groups[rows]
        remembered = used if self.store_held_out or self.label_noise != 0 else None
        memory = memory.add(embeddings[rows], codes, weight[rows], new_groups, remembered)
        has_shots = np.bincount(memory.shots.codes, minlength=len(all_classes)) > 0
        if class_prompts is not None:
            _refuse_unknown(all_classes[~has_shots], all_classes, class_prompts)
        require_shots(all_classes, has_shots, known=texts.embeddings is not None)
        if not is_paper:
            memory = memory.with_near_copies(len(all_classes))
            _warn_of_near_copies(memory)
        state = FittedState(
            classes=all_classes,
            model=None,
            shots=memory,
            text_embeddings=None,
            text_model=texts.model,
            class_prompts=class_prompts,
            log_prior=self._log_prior(memory, len(all_classes)),
        )

        # The model
        dtype = embeddings.dtype if earlier is None else earlier.dtype
        if is_paper:
            with fit_task(self, X, y, 0 if training is None else training.most_iterations) as callback:
                model = fit_paper(
                    memory.shots,
                    texts,
                    blend=self.blend,
                    training=training,
                    earlier=self._earlier_bridge(earlier, all_classes),
                    dtype=dtype,
                    callback=callback,
                )
        else:
            model, state = self._fit_default(state, texts, has_shots, embeddings.shape[1], dtype)
        if earlier is None:
            record_features(self, X)
        of_texts = None if texts.embeddings is None else texts.embeddings.astype(dtype)
        self._set_fitted(replace(state, model=model, text_embeddings=of_texts).with_decision())
        return self

    def _fit_default(self, state, texts, has_shots, width, dtype):
        """The linear model over all classes, and the state with what was held out."""
        if texts.embeddings is None and self.text_encoder is not None:
            words = word_span(self.text_encoder, self.vocabulary)
            if words is not None:
                require_width(width, len(words))
        else:
            words = None
            vocabulary_texts(self.text_encoder, self.vocabulary)  # refuses texts that nothing could embed
        seen = np.flatnonzero(has_shots)
        shots = state.shots.of_images
        shots = replace(shots, codes=np.searchsorted(seen, shots.codes))
        of_seen = None if texts.embeddings is None else texts.embeddings[seen]
        model, held_out, right, counted = fit_model(
            shots, of_seen, texts.logit_scale, words, self.label_noise
        )
        image = shots.images()[-1]
        state = replace(state, right=right[image], counted=counted[image])
        _warn_of_wrong_labels(state.classes[seen], shots.codes, state.counted)
        if self.store_held_out:
            state = replace(state, held_out=state.held_out_probabilities(held_out, seen))
        if len(seen) < len(has_shots):
            rows = np.where(has_shots, np.cumsum(has_shots) - 1, -1)
            model = model.over(rows, texts.embeddings)
        return astype(model, dtype), state

    def _training(self):
        """`Training`, or None in closed form; refuses parameters that do not go together."""
        if isinstance(self.blend, PaperBlend):
            if self.store_held_out:
                raise ValueError(
                    'store_held_out=True needs blend="auto": the paper\'s classifier holds out no shot.'
                )
            if self.label_noise not in ("auto", 0):
                raise ValueError('label_noise needs blend="auto": the paper\'s classifier trusts all labels.')
            if self.vocabulary is not None and not isinstance(self.vocabulary, str):
                raise ValueError('vocabulary needs blend="auto": the paper\'s bridge knows no words.')
        elif self.solver != "closed_form":
            raise ValueError(
                f'solver={self.solver!r} trains the bridge of the paper, which blend="auto" does not have. Use '
                'blend=PaperBlend() with it, or solver="closed_form".'
            )
        if self.solver == "closed_form":
            return None
        return self.solver if isinstance(self.solver, Training) else Training(self.solver)

    def _earlier_bridge(self, earlier, classes):
        """The `PaperModel` of earlier shots over all classes, or None."""
        if earlier is None or not isinstance(earlier.model, PaperModel):
            return None
        return earlier.model.take(earlier.position(classes))

    def _log_prior(self, memory, n_classes):
        """Logarithms of `priors`. A class without shots counts as if it had one."""
        if self.priors is None:
            return None
        if not isinstance(self.priors, str):
            return validate_priors(self.priors, n_classes)
        _, codes, weight, _, _ = memory.of_images.images()
        sums = np.bincount(codes, weights=weight, minlength=n_classes)
        counts = sums**2 / np.maximum(np.bincount(codes, weights=weight**2, minlength=n_classes), TINY)
        counts[sums == 0] = 1.0
        return np.log(counts / counts.sum())

    def _set_fitted(self, fitted):
        self._fitted = fitted
        self.classes_ = fitted.classes
        self.text_embeddings_ = fitted.text_embeddings
        self.text_model_ = fitted.text_model
        prompts = fitted.class_prompts
        self.class_names_ = None if prompts is None else np.array(prompts.names, dtype=object)
        self.prompts_ = None if prompts is None else prompts.prompts
        model = fitted.model
        if isinstance(model, PaperModel):
            of_model = {name: getattr(model, name) for name in OF_PAPER}
            of_model |= {"bridge": model.bridge.matrix, "blend": model.numbers}
        else:
            of_model = {"blend": model.blend} | dict(zip(("coef", "intercept"), fitted.linear.for_labels()))
        if fitted.held_out is not None:
            of_model["held_out_proba"] = fitted.of_rows(fitted.held_out)
        if not isinstance(model, PaperModel) and self.label_noise != 0:
            of_model["label_proba"] = fitted.of_rows(fitted.right)
        for name in [*OF_PAPER, "bridge", "blend", "coef", "intercept", "label_proba", "held_out_proba"]:
            if name in of_model:
                setattr(self, f"{name}_", of_model[name])
            else:
                vars(self).pop(f"{name}_", None)

    def _warn_about_text(self, classes):
        if self.text_encoder is not None or _is_ignore(self.class_names):
            return
        if self.class_names is not None or any(isinstance(label, str) for label in classes):
            warn_caller(
                "There are names of classes but no text_encoder, so the names are not used. Pass "
                "text_encoder=CLIPTextEncoder(...) of the model that embedded the images to use them."
            )

    def _describe(self, classes, earlier):
        """`ClassPrompts` of the classes. Classes of `earlier` keep their names."""
        names = None
        if earlier is not None and earlier.class_prompts is not None:
            names = dict(zip(earlier.classes.tolist(), earlier.class_prompts.names))
        return describe_classes(classes, self.text_encoder, self.prompts, self.class_names, names)

    def with_classes(self, classes: ArrayLike) -> Self:
        """A fitted classifier over other classes: fewer, or more that are known by name only.

        Nothing is learnt anew.

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
            texts[new] = self._embed_new(added.prompts)
        params = {}
        log_prior = self._fitted.log_prior
        if log_prior is not None and not isinstance(self.priors, str):
            # A new class is taken to be as frequent as the average of the others.
            prior = np.where(new, np.exp(log_prior).mean(), np.exp(log_prior)[rows])
            params["priors"] = prior / prior.sum()
            log_prior = np.log(params["priors"])
        elif log_prior is not None:
            log_prior = self._log_prior(self._fitted.shots.take(rows), len(wanted))
        fitted = self._fitted.with_classes(wanted, texts, log_prior)
        if class_prompts is not None:
            class_prompts = class_prompts.take(rows, added)
            if is_sequence(self.class_names):
                # One name for each class in sorted order would no longer fit.
                params["class_names"] = class_prompts.names
        return self._clone_with(replace(fitted, class_prompts=class_prompts), **params)

    @offered_if(_has_default_blend)
    def with_unlabeled(self, X: ArrayLike) -> Self:
        """A fitted classifier that has learnt from images without labels too.

        The images show which classes the model predicts too often, and where the classes lie. The result predicts any
        images, not only these. Unlabelled images of an earlier call are forgotten. `fit`
        and `partial_fit` learn from labelled images alone: call this again after them. `score_samples`, `p_values` and
        `held_out_proba_` stay those of the shots.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Image embeddings, of all classes if possible. Of very many an even sample is used. Near copies of one
            image, such as frames of a film, count once.

        Returns
        -------
        SeMoBridgeClassifier

        Raises
        ------
        AttributeError
            With `blend=PaperBlend(...)`.
        """
        check_is_fitted(self)
        X = to_numpy(validate_embeddings(self, X, reset=False))
        return self._clone_with(self._fitted.with_unlabeled(X))

    @offered_if(_has_default_blend)
    def score_samples(self, X: ArrayLike) -> NDArray[Any]:
        """How typical each image is of the classes; higher is more typical.

        The largest decision without the correction, the largest cosine to a class text, and the largest cosines to class
        means, each in units of its deviation over the held-out shots, are summed.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        array of shape (n,)
        """
        check_is_fitted(self)
        return self._fitted.typical_scores(validate_embeddings(self, X, reset=False))

    @offered_if(_has_default_blend)
    def p_values(self, X: ArrayLike) -> NDArray[Any]:
        """How well each image agrees with belonging to one of the classes.

        The share of held-out shots that are not more typical than the image. The image itself is counted with them. Of
        images of the classes, a share of about `alpha` has a p-value of at most `alpha`, and less if shots are few. The
        smallest p-value is one divided by the number of shots plus one. If no shot can be held out (one of each class,
        and no text), all p-values are one.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        ndarray of shape (n,)
        """
        scores = np.asarray(to_numpy(self.score_samples(X)))
        return self._fitted.typicality.p_values(scores)

    def _embed_new(self, prompts):
        """`T_c` of new classes; refuses another text encoder than that of `fit`."""
        known = next(i for i, texts in enumerate(self.prompts_) if texts is not None)
        embeddings = embed_classes(self.text_encoder, [self.prompts_[known], *prompts])
        is_same = (
            embeddings.shape[1:] == self.text_embeddings_.shape[1:]
            and embeddings[0] @ self.text_embeddings_[known] > SAME_TEXT
        )
        if not is_same:
            raise ValueError(
                f"text_encoder has changed: it embeds {self.prompts_[known][0]!r} differently than in fit, so that new "
                "classes could not be compared with the old ones. Call fit or partial_fit with it, or set the encoder "
                "of fit."
            )
        return embeddings[1:]

    def affinities(self, X: ArrayLike) -> dict[str, NDArray[Any]]:
        """The terms of the decision of each class.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        dict of arrays of shape (n, C)
            With `blend="auto"` the terms that add up to the decision: `"text"`, where there is text, `"shots"`,
            `"correction"`, and `"prior"`, where `priors` are given. With `PaperBlend` the affinities `"z1"`, query and
            class text, `"z2"`, query and bridged shots, and `"z3"`, bridged query and shots; classes without shots have
            NaN in the last two.
        """
        check_is_fitted(self)
        X, fitted = validate_embeddings(self, X, reset=False), self._fitted
        if isinstance(fitted.model, PaperModel):
            return fitted.model.affinities(X)
        terms = {name: term(X) for name, term in fitted.model.terms.items()}
        if fitted.log_prior is not None:
            terms["prior"] = 0 * terms["shots"] + fitted.prior_like(terms["shots"])
        return terms


def _refuse_unknown(without_shots, classes, class_prompts):
    """Refuse classes that have neither shots nor a name."""
    unnamed = [label for label, name in zip(classes.tolist(), class_prompts.names) if name is None]
    unknown = [label for label in without_shots.tolist() if label in unnamed]
    if unknown:
        raise ValueError(
            f"There are no shots of the classes {unknown}, and class_names says that they have no text either."
        )


def _warn_of_near_copies(memory):
    """Say which shots count as one image although nobody said so."""
    if memory.near is None:
        return
    _, size = np.unique(memory.near, return_counts=True)
    if size.max() > 1:
        warn_caller(
            f"{size[size > 1].sum()} of {size.sum()} shots are near copies of others, such as augmentations or frames of a film. They "
            f"count as {np.sum(size > 1)} images. Mark copies of one image with equal values of groups; groups=range(len(y)) says that there are none."
        )


def _warn_of_wrong_labels(classes, codes, counted):
    """Say which classes have no label that is likely to be right."""
    likely = np.bincount(codes[counted >= 0.5], minlength=len(classes)) > 0
    if not likely.all():
        n, first = np.sum(~likely), classes[~likely].tolist()[0]
        warn_caller(
            f"All labels of {n} {'class' if n == 1 else 'classes'} look wrong, such as those of {first!r}, and hardly count. "
            "Check the shots with the lowest label_proba_. label_noise=0 trusts all labels."
        )


def _is_ignore(class_names):
    """Whether labels carry no meaning."""
    return isinstance(class_names, str) and class_names == "ignore"
