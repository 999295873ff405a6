"""The error of a request that does not fit."""


class Refused(ValueError):
    """A request that does not fit."""
