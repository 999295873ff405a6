"""Configuration of the site: `python -m sphinx -W docs docs/_build`, which needs no network."""

import os
import re
from importlib.metadata import version as installed_version
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from PIL import Image, ImageDraw, ImageFont

# The gallery reads the names that an example uses, before it runs.
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sphinx_gallery.sorting import ExplicitOrder

project = "sksemobridge"
author = "the sksemobridge developers"
copyright = author
release = version = installed_version("sksemobridge")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
# A link that leads nowhere is a warning. Those into the documentation of others need their
# inventories from the network, and are plain text without.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(sklearn|skops)\..*")]
if os.environ.get("SKSEMOBRIDGE_DOCS_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "numpy": ("https://numpy.org/doc/stable", None),
        "python": ("https://docs.python.org/3", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }

# Formulas are MathML, which browsers draw by themselves: MathJax would come from the network.
html_math_renderer = "mathml"


# In the repository, pages link to the programs in examples/. On the site, they link to the gallery,
# and show the plots that are made there.
LINK_TO_EXAMPLE = re.compile(r"\]\(\.\./examples/(\w+)\.py\)")
LINK_TO_EXAMPLES = "](../examples/README.rst)"
PLOT = re.compile(r"<!-- plot of (\w+): (.*?) -->", re.DOTALL)


def link_to_gallery(app, page, source):
    """Change the links of a page, whose text is the only item of `source`."""
    text = LINK_TO_EXAMPLE.sub(r"](auto_examples/\1.rst)", source[0])
    text = text.replace(LINK_TO_EXAMPLES, "](auto_examples/index.rst)")
    source[0] = PLOT.sub(_image, text)


def _image(plot):
    """An image with its text on one line, which Sphinx would join without a space."""
    text = " ".join(plot[2].split())
    return f"![{text}](auto_examples/images/sphx_glr_{plot[1]}_001.png)"


def setup(app):
    app.connect("source-read", link_to_gallery)

    def draw(display):
        def visit(translator, node):
            translator.body.append(convert(node.astext(), display=display))
            raise nodes.SkipNode

        return visit, None

    app.add_html_math_renderer(
        "mathml", inline_renderers=draw("inline"), block_renderers=draw("block")
    )


# `python -m sphinx -b linkcheck docs docs/_build/links` asks every address of others. GitHub makes
# its anchors in the browser.
linkcheck_anchors = False
linkcheck_ignore = ["https://github.com/sksemobridge/", "http://localhost"]
linkcheck_retries = 3

exclude_patterns = ["_build", "auto_examples/*.md5", "auto_examples/*.ipynb", "auto_examples/*.py"]
templates_path = ["_templates"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
autosummary_generate = True
autodoc_default_options = {
    # scikit-learn's own, the same in every estimator.
    "exclude-members": (
        "get_metadata_routing, set_fit_request, set_output, set_partial_fit_request, "
        "set_score_request, set_transform_request"
    )
}
# Docstrings say them in words.
autodoc_typehints = "none"
numpydoc_show_class_members = False
# What stands in single backticks in docstrings.
default_role = "code"
toc_object_entries_show_parents = "hide"
copybutton_prompt_text = ">>> |\\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    # One example starts itself as another program, which it can as a file only. One needs a
    # database.
    "filename_pattern": r"(?<!serve_onnx)(?<!fiftyone_model)\.py$",
    "within_subsection_order": ExplicitOrder(
        [
            "plot_quickstart.py",
            "plot_modality_gap.py",
            "plot_grid_search.py",
            "plot_errors.py",
            "plot_calibration.py",
            "plot_growing.py",
            "plot_unlabeled.py",
            "plot_held_out.py",
            "plot_label_next.py",
            "plot_none_of_these.py",
            "plot_one_class.py",
            "plot_several_labels.py",
            "plot_tabular.py",
            "plot_search_by_image.py",
            "serve_onnx.py",
            "serve_mlflow.py",
            "other_encoder.py",
            "label_studio.py",
            "fiftyone_model.py",
            "*",
        ]
    ),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "capture_repr": (),
    "remove_config_comments": True,
    "min_reported_time": 1000,
    "write_computation_times": False,
}

# The picture of an example without a plot is its subject. The example names the file.
SUBJECTS = {
    "fiftyone_model": "FiftyOne",
    "label_studio": "Label Studio",
    "other_encoder": "torchvision",
    "serve_mlflow": "MLflow",
    "serve_onnx": "ONNX",
}
cards = Path(__file__).parent / "generated" / "cards"
cards.mkdir(parents=True, exist_ok=True)
for example, subject in SUBJECTS.items():
    card = Image.new("RGB", (400, 280), "white")
    ImageDraw.Draw(card).text((200, 140), subject, "black", ImageFont.load_default(48), anchor="mm")
    card.save(cards / f"{example}.png")

html_theme = "pydata_sphinx_theme"
html_title = "sksemobridge"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "logo": {"text": "sksemobridge"},
    "show_prev_next": True,
    "navigation_with_keys": False,
    "navbar_center": [],
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
# Every page shows all pages, in the groups of index.md.
html_sidebars = {"**": ["sidebar-pages"]}
