"""What every test of encoders begins with."""

import pytest

from sksemobridge.encoders._cache import IN_MEMORY


@pytest.fixture(autouse=True)
def nothing_is_known():
    """No test finds an embedding that another one has made."""
    IN_MEMORY.clear()
