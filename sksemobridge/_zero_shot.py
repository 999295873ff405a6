"""CLIP's zero-shot classifier as an estimator."""

from collections.abc import Mapping

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted

from ._bridge import unit
from ._prompts import build_prompts
from ._text import embed_classes
from ._validation import validate_embeddings, validate_labels, warn_about_numbers


class ZeroShotClassifier(ClassifierMixin, BaseEstimator):
    """Classify image embeddings by the words for the classes alone.

    The baseline that labelled shots have to beat: `softmax(logit_scale * nrm(q) . T_c)`.

    Parameters
    ----------
    text_encoder : object
        `CLIPTextEncoder`, `PrecomputedTextEncoder` or another object with `transform` and `logit_scale_`, of
        the same CLIP model as the embeddings.
    prompts : "auto", str, list of str or mapping, default="auto"
        See `SeMoBridgeClassifier`.
    class_names : mapping, sequence or None, default=None
        See `SeMoBridgeClassifier`.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        Sorted labels.
    text_embeddings_ : ndarray of shape (C, D)
        `T_c`, float64.
    n_features_in_ : int
        `D`.
    feature_names_in_ : ndarray of shape (D,)
        Only where `X` has names of features that are all strings.

    See Also
    --------
    SeMoBridgeClassifier : Learns from labelled shots as well.

    Examples
    --------
    >>> import numpy as np
    >>> from sksemobridge import PrecomputedTextEncoder, ZeroShotClassifier
    >>> encoder = PrecomputedTextEncoder(["a cat", "a dog"], np.eye(2), np.eye(2))
    >>> classifier = ZeroShotClassifier(encoder, prompts="a {}").fit([[1, 0], [0, 1]], ["cat", "dog"])
    >>> classifier.predict([[0.9, 0.2]]).tolist()
    ['cat']
    """

    _parameter_constraints = {
        "text_encoder": [HasMethods(["transform"])],
        "prompts": [str, Mapping, "array-like"],
        "class_names": [Mapping, "array-like", None],
    }

    def __init__(self, text_encoder, *, prompts="auto", class_names=None):
        self.text_encoder = text_encoder
        self.prompts = prompts
        self.class_names = class_names

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Read the classes and encode their prompts; the images are not learnt from.

        Parameters
        ----------
        X : array-like of shape (n, D)
        y : array-like of shape (n,)

        Returns
        -------
        self : object
        """
        X = validate_embeddings(self, X, reset=True)
        self.classes_ = np.unique(validate_labels(y, len(X)))
        warn_about_numbers(self.classes_, self.class_names, self.prompts, stacklevel=3)
        self.text_embeddings_ = embed_classes(
            self.text_encoder, build_prompts(self.classes_, self.prompts, self.class_names)
        )
        if self.text_embeddings_.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {self.n_features_in_} features, but the text encoder's embeddings have "
                f"{self.text_embeddings_.shape[1]}. Embed the images with the model of the text encoder."
            )
        self._logit_scale = float(self.text_encoder.logit_scale_)
        return self

    def predict(self, X):
        """Most probable label of each row of `X (n, D)`, shape (n,)."""
        scores = self._scores(X)
        return self.classes_[scores.argmax(axis=1)]

    def predict_proba(self, X):
        """Probability of each class for each row of `X (n, D)`, shape (n, C)."""
        return softmax(self._scores(X), axis=1)

    def predict_log_proba(self, X):
        """Logarithm of `predict_proba`, shape (n, C)."""
        return log_softmax(self._scores(X), axis=1)

    def decision_function(self, X):
        """Zero-shot logits of shape (n, C), or (n,) for two classes: log-odds of the second."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def _scores(self, X):
        check_is_fitted(self)
        X = validate_embeddings(self, X, reset=False)
        return X.dtype.type(self._logit_scale) * (unit(X) @ self.text_embeddings_.T.astype(X.dtype))
