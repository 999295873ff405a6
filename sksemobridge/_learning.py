"""What happens in `SeMoBridgeClassifier.fit` and `partial_fit`, from checked input to the fitted attributes."""

import warnings
from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ._method.class_texts import encode_classes
from ._method.fit import TextSide, fit_from_shots, fit_from_sums
from ._method.prompts import build_prompts
from ._method.shots import ClassSums, ShotMemory, pool_shots
from ._training.train import MAX_ITER
from ._utils.provenance import name_text_model, warn_about_origin
from ._utils.validation import (
    validate_classes,
    validate_groups,
    validate_labels,
    validate_weights,
    warn_about_numbers,
)

PAPER_SETTINGS = ("alpha", "beta", "gamma", "lambda1", "lambda2", "lambda3", "smoothness")
TRAINING_SETTINGS = (
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


class ShotLearner:
    """The private half of `SeMoBridgeClassifier` that learns from shots; its state is `_memory` or `_sums`.

    `_memory` holds all shots; with the paper's blend in closed form `_sums` over each class are enough.
    """

    def _forget(self):
        self.classes_, self._memory, self._sums, self._model = None, None, None, None

    def _max_iter(self):
        """Iterations of the solver at the most; 0 in closed form."""
        return 0 if self.solver == "closed_form" else self.max_iter or MAX_ITER[self.solver]

    def _learn(self, X, y, classes, sample_weight, groups, callback):
        y = validate_labels(y, len(X))
        weight = validate_weights(sample_weight, len(X))
        groups = validate_groups(groups, len(X))
        self._check_blend()
        first_row = X[:1]
        kept = weight > 0
        X, y, weight = X[kept], y[kept], weight[kept]
        groups = None if groups is None else groups[kept]
        before = self.classes_
        self.classes_ = validate_classes(classes, before, y)
        self._warn_about_words()
        warn_about_origin(first_row, self.text_encoder, stacklevel=4)
        codes = np.searchsorted(self.classes_, y)
        moved = None if before is None else np.searchsorted(self.classes_, before)
        text = self._read_text()
        self.rank_ = text.bridge.basis.shape[1]
        paper_blend = None
        if self.blend == "paper":
            paper_blend = {name: float(getattr(self, name)) for name in PAPER_SETTINGS}
        only_sums = self.solver == "closed_form" and self.blend == "paper" and self._memory is None
        if self._sums is not None and not only_sums:
            raise ValueError(
                "With blend='paper' in closed form only sums of the earlier shots were kept, which "
                f"solver={self.solver!r} with blend={self.blend!r} cannot go on from. Call fit with all shots."
            )
        if only_sums:
            model, trained = self._learn_from_sums(text, X, codes, weight, moved, paper_blend), None
            dtype = X.dtype if before is None else self.prototypes_.dtype
        else:
            self._remember(X, codes, weight, groups, moved)
            model, trained = self._learn_from_shots(text, moved, paper_blend, callback)
            dtype = self._memory.shots.X.dtype
        has_shots = np.isin(np.arange(len(self.classes_)), self._seen())
        rows = np.where(has_shots, np.cumsum(has_shots) - 1, -1)
        model = model.take(rows, text.embeddings)
        self.loss_curve_ = None if trained is None else trained.loss_curve.tolist()
        self.text_model_ = name_text_model(self.text_encoder)
        self.n_iter_ = 1 if trained is None else trained.n_iter
        self._publish(model.astype(dtype))

    def _learn_from_sums(self, text, X, codes, weight, moved, paper_blend):
        """Closed form, paper's blend: memory does not grow with the number of shots."""
        shots, _ = pool_shots(X, codes, weight)
        sums = ClassSums.of(shots, text.bridge.astype(X.dtype), len(self.classes_))
        if self._sums is not None:
            self._require_same_bridge(text.bridge)
            rows = np.full(len(self.classes_), -1)
            rows[moved] = np.arange(len(moved))
            sums = sums + self._sums.take(rows)
        self._sums = sums
        seen = self._seen()
        self._require_shots_or_text(sums.weight > 0)
        self._require_some_shots(sums.weight > 0)
        return fit_from_sums(text.take(seen), sums.take(seen), paper_blend)

    def _require_same_bridge(self, bridge):
        """Sums of earlier shots are of their bridge, and mean nothing to another."""
        before, now = self._model.bridge.matrix, bridge.matrix
        if before.shape != now.shape or not np.allclose(before, now, rtol=0, atol=1e-4 * np.abs(now).max()):
            raise ValueError(
                "text_encoder or atol has changed since the earlier shots, of which only sums were kept. Call fit "
                "with all shots."
            )

    def _remember(self, X, codes, weight, groups, moved):
        memory = ShotMemory() if self._memory is None else self._memory.take(moved)
        self._memory = memory.add(X, codes, weight, groups)

    def _learn_from_shots(self, text, moved, paper_blend, callback):
        seen = self._seen()
        self._require_shots_or_text(np.isin(np.arange(len(self.classes_)), seen))
        self._require_some_shots(np.isin(np.arange(len(self.classes_)), seen))
        shots = self._memory.shots
        shots = replace(shots, X=shots.X.astype(np.float64), codes=np.searchsorted(seen, shots.codes))
        training, start = None, None
        if self.solver != "closed_form":
            training = {name: getattr(self, name) for name in TRAINING_SETTINGS} | {"callback": callback}
            if self._model is not None:
                start = self._start(seen, moved)
        model, trained = fit_from_shots(
            text.take(seen),
            shots,
            training=training,
            start=start,
            paper_blend=paper_blend,
            whiten=bool(self.whiten),
            random_state=self.random_state,
        )
        if trained is not None and not trained.converged:
            warnings.warn(
                f"The bridge did not converge in {trained.n_iter} iterations. Increase max_iter or tol.",
                ConvergenceWarning,
                stacklevel=5,
            )
        return model, trained

    def _start(self, seen, moved):
        """Bridge and class bias to continue from; classes that are new start without a bias."""
        if self.class_bias_ is None or not self.class_bias:
            return self.bridge_, None
        class_bias = np.zeros((len(self.classes_), self.class_bias_.shape[1]))
        class_bias[moved] = np.nan_to_num(self.class_bias_)
        return self.bridge_, class_bias[seen]

    def _seen(self):
        """Indices of the classes that have shots."""
        if self._memory is not None:
            return np.unique(self._memory.shots.codes)
        return np.flatnonzero(self._sums.weight > 0)

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
        if self.text_encoder is not None:
            warn_about_numbers(self.classes_, self.class_names, self.prompts, stacklevel=5)
        elif self.class_names is not None or any(isinstance(label, str) for label in self.classes_):
            warnings.warn(
                "There are names of classes but no text_encoder, so the names are not used. Pass "
                "text_encoder=CLIPTextEncoder(...) of the model that embedded the images to use them.",
                UserWarning,
                stacklevel=5,
            )

    def _require_shots_or_text(self, has_shots):
        missing = self.classes_[~has_shots].tolist()
        knows_text = self._model is None or self._model.text_embeddings is not None
        if missing and (self.text_encoder is None or not knows_text):
            raise ValueError(
                f"There are no shots of the classes {missing}, and without a text_encoder nothing else is known "
                "of them."
            )

    def _require_some_shots(self, has_shots):
        if not has_shots.any():
            raise ValueError(
                f"None of the classes {self.classes_.tolist()} has shots. Use ZeroShotClassifier for names alone."
            )

    def _read_text(self):
        """The text side over all classes: `TextSide`."""
        if self.text_encoder is None:
            return TextSide.without_text(self.n_features_in_)
        width = self.text_encoder.projection_.shape[1]
        if width != self.n_features_in_:
            raise ValueError(
                f"X has {self.n_features_in_} features, but the text encoder's embeddings have {width}. Embed "
                "the images with the model of the text encoder."
            )
        prompts = build_prompts(self.classes_, self.prompts, self.class_names)
        text = TextSide.of(self.text_encoder, encode_classes(self.text_encoder, prompts), self.atol)
        if text.bridge.basis.shape[1] == 0:
            warnings.warn(
                f"atol={self.atol} cuts off every direction of the text projection, so that nothing can be "
                'bridged. Use atol="auto".',
                UserWarning,
                stacklevel=5,
            )
        return text
