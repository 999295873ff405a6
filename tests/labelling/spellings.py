"""Spellings of names, and what is compared of them: in Python, and in the pages."""

COMPARED_AS = {
    "sea lion": "sea lion",
    "Sea lion": "sea lion",
    "sea_lion": "sea lion",
    "__SEA __\tLION_ ": "sea lion",
    "sea\u00a0\u3000\u2028lion": "sea lion",
    "CAFE\u0301": "caf\u00e9",
    "caf\u00e9": "caf\u00e9",
    # Other letters are another class: compatible ones, and those that case folding joins.
    "Ma\u00dfe": "ma\u00dfe",
    "Masse": "masse",
    "m\u00b2": "m\u00b2",
    "\ufb01n": "\ufb01n",
    # Marks that are no spaces stay.
    "\ufeffsea\u200blion": "\ufeffsea\u200blion",
    # In Greek the last letter of a word differs, and one letter may become two.
    "\u039f\u0394\u039f\u03a3 \u039f\u0394\u039f\u03a3": (
        "\u03bf\u03b4\u03bf\u03c2 \u03bf\u03b4\u03bf\u03c2"
    ),
    "\u0130zmir": "i\u0307zmir",
    "\u1e9e": "\u00df",
    "\u212bngstr\u00f6m": "\u00e5ngstr\u00f6m",
    "\u0415\u041b\u0418\u0306": "\u0435\u043b\u0439",
    "": "",
}
