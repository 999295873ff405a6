"""Parts of scikit-learn that its older versions lack."""

import pytest
import sklearn
from sklearn.utils.fixes import parse_version


def needs_sklearn(version, why):
    """Skip where scikit-learn is older than `version`."""
    is_older = parse_version(sklearn.__version__) < parse_version(version)
    return pytest.mark.skipif(is_older, reason=f"scikit-learn before {version} {why}")


TEMPERATURE = pytest.param(
    "temperature", marks=needs_sklearn("1.8", "calibrates by sigmoid and isotonic regression only")
)
BRIER = pytest.param("neg_brier_score", marks=needs_sklearn("1.7", "has a Brier score for two classes only"))
POLARS = pytest.param("polars", marks=needs_sklearn("1.7", "does not read the columns of a new polars"))
