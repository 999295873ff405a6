"""
Search by image, search by text
===============================

The first search finds the same thing in another style. The second one finds descriptions that
belong to a word. Both are shown with raw embeddings, and after the bridge. Everything runs offline,
with the small CLIP model and the emoji pictures in the package.
"""

import matplotlib
import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, SemanticBridge, mean_average_precision
from sksemobridge.datasets import load_emoji

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

emoji = load_emoji()
pictures, names = emoji.images[::4], emoji.names[::4]
classes = emoji.target_names[emoji.target[::4]]
encode_image = CLIPImageEncoder("mini", pretrained="bundled")
encode_text = CLIPTextEncoder("mini", pretrained="bundled")


# %%
# The queries are the same pictures in other styles, made by filters.
def pixel_art(picture):
    """Twelve by twelve squares."""
    return picture.resize((12, 12), Image.Resampling.BOX).resize(
        picture.size, Image.Resampling.NEAREST
    )


def blueprint(picture):
    """Shades of blue on white."""
    return ImageOps.colorize(picture.convert("L"), "#1040a0", "#ffffff")


def pencil(picture):
    """Grey outlines over a pale wash."""
    grey = picture.convert("L")
    lines = grey.filter(ImageFilter.SMOOTH).filter(ImageFilter.CONTOUR)
    wash = Image.blend(grey, Image.new("L", grey.size, 255), 0.5)
    return ImageChops.multiply(lines, wash).convert("RGB")


STYLES = (pixel_art, blueprint, pencil)
drawings = {style: [style(Image.fromarray(pixels)) for pixels in pictures] for style in STYLES}


# %% The bridge keeps the directions that words describe, and subtracts the mean of the gallery,
# which ``fit`` learns. Queries and gallery are both transformed. Here the queries have another
# style, and so another mean. A second bridge is fitted to the queries, and subtracts their mean.
# With this small model, all of the gain comes from the means. Its embeddings contain little that
# words do not describe, and this little helps to find the same picture.
gallery = encode_image.transform(pictures)
queries = {style: encode_image.transform(drawings[style]) for style in STYLES}
bridge = SemanticBridge(encode_text).fit(gallery)
own_bridges = {style: SemanticBridge(encode_text).fit(queries[style]) for style in STYLES}
bridged_gallery = bridge.transform(gallery)
print(f"The bridge keeps {bridge.rank_} of {gallery.shape[1]} directions.")


# %% How good is the search? Mean average precision uses the whole ranking. It is computed for
# finding the same picture, and for finding other pictures of its class.
def ways(style):
    """Queries and gallery of each way to search, by name."""
    yield "as they are", queries[style], gallery
    yield "bridged", bridge.transform(queries[style]), bridged_gallery
    yield "bridged by their own mean", own_bridges[style].transform(queries[style]), bridged_gallery


itself = np.arange(len(gallery))
print(f"\n{len(gallery)} queries in each style; mean average precision")
print(f"{'style':<12}{'queries':<28}{'same picture':>14}{'others of its class':>22}")
for style in STYLES:
    for way, query, among in ways(style):
        same = mean_average_precision(query, among, itself, itself)
        kind = mean_average_precision(query, among, classes, classes, exclude_self=True)
        print(f"{style.__name__:<12}{way:<28}{same:>14.1%}{kind:>22.1%}")

# %% Some queries with their first results. Green: the same picture. Blue: another picture of its
# class.
raw_neighbors = NearestNeighbors(n_neighbors=4, metric="cosine").fit(gallery)
bridged_neighbors = NearestNeighbors(n_neighbors=4, metric="cosine").fit(bridged_gallery)
some = np.random.default_rng(0).choice(len(gallery), (len(STYLES), 2), replace=False)
widths = [1, 0.2, 1, 1, 1, 1, 0.2, 1, 1, 1, 1]
figure, axes = plt.subplots(
    some.size, len(widths), figsize=(11, 7), width_ratios=widths, layout="constrained"
)
for row, (style, i) in zip(axes, [(style, i) for style, group in zip(STYLES, some) for i in group]):
    query = queries[style][[i]]
    before = raw_neighbors.kneighbors(query, return_distance=False)[0]
    after = bridged_neighbors.kneighbors(
        own_bridges[style].transform(query), return_distance=False
    )[0]
    row[0].imshow(drawings[style][i])
    row[0].set_ylabel(names[i].replace(" ", "\n"), fontsize=8, rotation=0, ha="right", va="center")
    for ax, j in zip([*row[2:6], *row[7:]], [*before, *after]):
        ax.imshow(pictures[j])
        color = "tab:green" if j == i else "tab:blue" if classes[j] == classes[i] else "white"
        ax.spines[:].set(color=color, linewidth=3)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
for ax in axes[:, [1, 6]].flat:
    ax.axis("off")
axes[0, 0].set_title("query", fontsize=10)
for column, title in ((2, "raw embeddings"), (7, "bridged by their own mean")):
    # Titles over several columns must not widen the first of them.
    axes[0, column].set_title(title, fontsize=10, loc="left").set_in_layout(False)
figure.savefig("search_by_image.png", dpi=100)
print("Queries and their first results are drawn in search_by_image.png")

# %% From text to text: which descriptions belong to the name of a class? The other direction of the
# bridge maps the query to the images. For texts, centring without a bridge helps more.
descriptions = encode_text.transform([f"a picture of a {name}." for name in names])
words = encode_text.transform([f"a picture of a {name}." for name in emoji.target_names])
to_images = SemanticBridge(encode_text, direction="text_to_image").fit(descriptions)
centre = make_pipeline(Normalizer(), StandardScaler(with_std=False)).fit(descriptions)
searches = {
    "as they are": (words, descriptions),
    "queries bridged": (to_images.transform(words), descriptions),
    "centred": (centre.transform(words), centre.transform(descriptions)),
}
print(f"\n{len(words)} names of classes, {len(descriptions)} descriptions; mean average precision")
for way, (query, among) in searches.items():
    print(f"{way:<28}{mean_average_precision(query, among, emoji.target_names, classes):>8.1%}")

for word in ("fruit", "drink", "ground vehicle"):
    for way, (query, among) in searches.items():
        neighbors = NearestNeighbors(n_neighbors=5, metric="cosine").fit(among)
        found = neighbors.kneighbors(query[emoji.target_names == word], return_distance=False)[0]
        print(f"{word}, {way}: {', '.join(names[found])}")
