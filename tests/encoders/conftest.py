"""What every test of encoders begins with."""

import pytest

from sksemobridge.encoders._memory import forget_embeddings


@pytest.fixture(autouse=True)
def nothing_is_known():
    """No test finds an embedding that another one has made."""
    forget_embeddings()
