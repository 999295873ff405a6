"""The bundled names of things."""

from importlib.resources import files


def load_vocabulary() -> list[str]:
    """Load about three thousand names of things, which `vocabulary="auto"` uses.

    They name animals (with breeds and species), plants, food, clothes, vehicles, tools, buildings, landscapes and other things
    that photographs show. They come from WordNet.

    Returns
    -------
    list of str
        Sorted names in lower case, without articles.

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
