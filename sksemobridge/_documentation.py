"""Where the documentation is, for the links in HTML representations."""

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata

from sklearn.base import BaseEstimator


@cache
def documentation_url():
    """The address named "Documentation" in the metadata of the installed package, or None."""
    try:
        links = metadata("sksemobridge").get_all("Project-URL") or []
    except PackageNotFoundError:  # a source tree that was not installed
        return None
    addresses = dict(link.split(", ", 1) for link in links)
    return addresses.get("Documentation")


class DocumentedEstimator(BaseEstimator):
    """An estimator whose HTML representation links to its page, where the documentation has an address."""

    _doc_link_module = "sksemobridge"

    @property
    def _doc_link_template(self):
        url = documentation_url()
        return "" if url is None else f"{url.rstrip('/')}/generated/sksemobridge.{{estimator_name}}.html"
