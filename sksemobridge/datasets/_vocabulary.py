"""The bundled names of things."""

from importlib.resources import files


def load_vocabulary() -> list[str]:
    """Load some three thousand names of things, from which the bridge can be read.

    Animals with breeds and species, plants, food, clothes, vehicles, tools, buildings, landscapes and other
    things that photographs show, in lower case and without an article.

    Returns
    -------
    list of str
        The names, sorted, each once.

    Examples
    --------
    >>> from sksemobridge.datasets import load_vocabulary
    >>> names = load_vocabulary()
    >>> len(names)
    2996
    >>> [f"a {name}" for name in names if name.endswith("retriever")]
    ['a golden retriever', 'a labrador retriever', 'a retriever']
    """
    path = files("sksemobridge.datasets") / "data" / "vocabulary.txt"
    return path.read_text(encoding="utf-8").splitlines()
