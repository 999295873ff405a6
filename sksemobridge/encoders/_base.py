"""What the encoders have in common."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context


class StatelessEncoder(TransformerMixin, BaseEstimator):
    """A transformer to embeddings that learns nothing: `transform` works with or without `fit`."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X=None, y=None):
        """Check the parameters; there is nothing to learn.

        Parameters
        ----------
        X, y : ignored

        Returns
        -------
        self : object
        """
        return self

    def get_feature_names_out(self, input_features=None):
        """Names of the dimensions of an embedding, zero-padded so that they sort.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of str of shape (D,)
        """
        width = self._embedding_width()
        digits = len(str(width - 1))
        prefix = type(self).__name__.lower()
        return np.array([f"{prefix}{i:0{digits}d}" for i in range(width)], dtype=object)

    def __sklearn_is_fitted__(self):
        return True

    def _get_fitted_attr_html(self, doc_link=""):
        # scikit-learn's HTML display reads all properties, which would load a model only to show it.
        return {}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = False
        tags.transformer_tags.preserves_dtype = []
        return tags
