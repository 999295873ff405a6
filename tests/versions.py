"""What older versions of dependencies lack."""

from functools import partial
from importlib.metadata import version as installed

import pytest
from sklearn.utils.fixes import parse_version


def needs(package, version, why):
    """Skip where a package is older than `version`."""
    is_older = parse_version(installed(package)) < parse_version(version)
    return pytest.mark.skipif(is_older, reason=f"{package} before {version} {why}")


needs_sklearn = partial(needs, "scikit-learn")
POLARS = pytest.param(
    "polars", marks=needs_sklearn("1.7", "does not read the columns of a new polars")
)
