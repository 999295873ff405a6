"""Files of version 0.1 name this module as the place of their classifier."""


def refuse_file() -> None:
    """Say what became of the classifier of a file of version 0.1."""
    # No AttributeError: pickle would replace its message.
    raise ImportError(
        "This file was saved by sksemobridge 0.1, whose SeMoBridgeClassifier is now called"
        " FewShotClassifier: fit one again, or load the file with sksemobridge 0.1."
    )


def __getattr__(name: str) -> None:
    if name == "SeMoBridgeClassifier":
        refuse_file()
    raise AttributeError(name)
