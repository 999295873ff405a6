"""Pages of the command."""

import pytest

from ....user_folder import SHOTS


@pytest.fixture
def report(label, place):
    """Writes a page of `photos` with the command, and gives its path."""

    def write(arguments=SHOTS):
        label(f"{arguments} --out table.csv --report report.html --overwrite")
        return place / "report.html"

    return write
