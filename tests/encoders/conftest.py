"""What every test of encoders begins with."""

import pytest


@pytest.fixture(autouse=True)
def _nothing_is_known(own_memory):
    """No test finds an embedding that another one has made."""
