"""Search with the paper's closed form on the bundled model, and what else keeps as many directions.

    python benchmarks/retrieval.py
    python benchmarks/retrieval.py --node-modules DIR --projections vit_l14_projections.npz

Prints mean average precision with 95 % intervals from a paired bootstrap over the queries (the pictures and their
classes are given, not drawn):

- none: embeddings as they are;
- bridge: queries bridged into the other modality, the gallery as it is (the method);
- bridge both: the gallery bridged too;
- PCA: both in the principal components of the gallery, centred as scikit-learn does;
- IsoCLIP (Magistri et al., "IsoCLIP: Decomposing CLIP Projectors for Efficient Intra-modal Alignment", CVPR 2026): both
  without the top and bottom of the spectrum of `W_image @ W_text'`.

DIR is a folder with the packages of `tools/emoji_pictures.py`. It adds the style openmoji and a search from style to
style. The npz file holds `text_projection (d, D)`, `image_projection (d_image, D)` or both; their ranks are printed.
"""

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import normalize

from sksemobridge import CLIPImageEncoder, CLIPTextEncoder, SemanticBridge
from sksemobridge.datasets import load_emoji

PROMPT = "a picture of a {}."
RANKS = (128, 112, 96, 64, 32, 16)
# Share of IsoCLIP's cut that is taken from the top of the spectrum, chosen by `studies/isoclip.py`. (Its authors take
# three quarters for images and a sixth for texts of CLIP ViT-B.)
TOP_SHARE = 0.0
N_BOOTSTRAP = 2000


def projections(encoder, direction):
    """The projection of the modality searched in, and that of the other one, which the bridge inverts."""
    image, text = (np.asarray(W, dtype=np.float64) for W in (encoder.image_projection_, encoder.projection_))
    return (image, text) if direction == "image_to_text" else (text, image)


def make_bridge(encoder, direction, rank, X):
    """A fitted bridge that keeps `rank` directions."""
    _, other = projections(encoder, direction)
    values = np.append(np.linalg.svd(other, compute_uv=False), 0.0)
    return SemanticBridge(
        encoder, vocabulary=None, direction=direction, atol=values[rank - 1 : rank + 1].mean()
    ).fit(X)


def isoclip(encoder, direction, rank, top_share):
    """The map `(D, D)` of joint embeddings that keeps the middle of the spectrum of `W_own @ W_other'`."""
    own, other = projections(encoder, direction)
    left, _, _ = np.linalg.svd(own @ other.T, full_matrices=False)
    n_top = round((other.shape[1] - rank) * top_share)
    middle = left[:, n_top : n_top + rank]
    return np.linalg.pinv(own) @ middle @ middle.T @ own


def searches(encoder, direction, rank, query, gallery):
    """Name, queries and gallery of every way to search with `rank` directions."""
    bridge = make_bridge(encoder, direction, rank, query)
    yield "bridge", bridge.transform(query), gallery
    yield "bridge both", bridge.transform(query), bridge.transform(gallery)
    pca = PCA(rank, svd_solver="full").fit(normalize(gallery))
    yield "PCA", pca.transform(normalize(query)), pca.transform(normalize(gallery))
    cut = isoclip(encoder, direction, rank, TOP_SHARE)
    yield "IsoCLIP", query @ cut, gallery @ cut


def interval(values, draws):
    """Percentiles of the mean over resampled queries, in percent."""
    low, high = np.percentile(100 * values[draws].mean(axis=1), [2.5, 97.5])
    return f"[{low:5.1f}, {high:5.1f}]"


def compare(title, encoder, direction, query, gallery, labels, gallery_labels, *, exclude_self):
    """Print the table of one search."""

    def evaluate(query, gallery):
        is_match, similarity = labels[:, None] == gallery_labels, cosine_similarity(query, gallery)
        if exclude_self:
            np.fill_diagonal(is_match, False)
            np.fill_diagonal(similarity, -2)
        pairs = zip(is_match, similarity)
        return np.array([average_precision_score(*pair) if pair[0].any() else np.nan for pair in pairs])

    none = evaluate(query, gallery)
    found = ~np.isnan(none)
    none = none[found]
    draws = np.random.default_rng(0).integers(0, len(none), size=(N_BOOTSTRAP, len(none)))
    bridge = SemanticBridge(encoder, vocabulary=None, direction=direction, normalize=False).fit(query)
    kept = np.linalg.norm(bridge.transform(gallery), axis=1) / np.linalg.norm(gallery, axis=1)
    low, middle, high = np.percentile(kept, [5, 50, 95])
    print(f"\n{title}: {len(none)} queries, {len(gallery)} in the gallery")
    print(
        f"atol='auto' keeps {bridge.rank_} directions and {middle:.2f} of the length of the median embedding "
        f"(5 to 95 %: {low:.2f} to {high:.2f})"
    )
    print(f"{'rank':>5}  {'search':<12}{'mAP %':>6}  {'95 % interval':<15}{'gain':>6}  95 % interval")
    print(f"{'':>5}  {'none':<12}{100 * none.mean():>6.1f}  {interval(none, draws)}")
    for rank in sorted({*RANKS, bridge.rank_}, reverse=True):
        for name, q, g in searches(encoder, direction, rank, query, gallery):
            precisions = evaluate(q, g)[found]
            gain = precisions - none
            print(
                f"{rank:>5}  {name:<12}{100 * precisions.mean():>6.1f}  {interval(precisions, draws)}"
                f"{100 * gain.mean():>+6.1f}  {interval(gain, draws)}",
                flush=True,
            )


def read_openmoji(node_modules):
    """Pictures on white, names, and subgroups of the development style."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
    from emoji_pictures import DEVELOPMENT_SET, read_emoji_once

    rows = read_emoji_once(node_modules, DEVELOPMENT_SET)
    rgba = np.stack([row[1] for row in rows]).astype(np.float64)
    alpha = rgba[..., 3:] / 255
    images = np.round(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return images, np.array([row[2] for row in rows]), np.array([row[4] for row in rows])


def on_bundled_model(node_modules):
    """All searches among emoji with `mini`."""
    encoder = CLIPTextEncoder("mini", "bundled")
    embed = CLIPImageEncoder("mini", "bundled", precision="fp32").transform
    to_text, to_image = "image_to_text", "text_to_image"

    def say(names):
        return encoder.transform([PROMPT.replace("{}", name) for name in names])

    emoji = load_emoji()
    classes = emoji.target_names[emoji.target]
    images, texts = embed(emoji.images), say(emoji.names)
    class_texts = say(emoji.target_names)
    if node_modules is not None:
        other_images, other_names, subgroups = read_openmoji(node_modules)
        other_embeddings, other_texts = embed(other_images), say(other_names)
        for direction, X in ((to_text, other_embeddings), (to_image, other_texts)):
            title = f"openmoji, {direction}, others of its subgroup"
            compare(title, encoder, direction, X, X, subgroups, subgroups, exclude_self=True)
    title = "Image to image: other pictures of its class"
    compare(title, encoder, to_text, images, images, classes, classes, exclude_self=True)
    if node_modules is not None:
        title = "Image to image: the same thing drawn in another style (openmoji to bundled)"
        compare(
            title, encoder, to_text, other_embeddings, images, other_names, emoji.names, exclude_self=False
        )
    title = "Text to text: other names in its class"
    compare(title, encoder, to_image, texts, texts, classes, classes, exclude_self=True)
    title = "Text to text: names of pictures for the name of a class"
    compare(title, encoder, to_image, class_texts, texts, emoji.target_names, classes, exclude_self=False)


def on_projections(path):
    """How many directions the bridge keeps of real projections."""
    with np.load(path) as data:
        found = {name: data[name] for name in ("text_projection", "image_projection") if name in data}
    for name, W in found.items():
        for atol in ("auto", 0.3):
            bridge = SemanticBridge(SimpleNamespace(projection_=W), atol=atol).fit(W[:1])
            print(f"{path.name}, {name} {W.shape}, atol={atol}: rank {bridge.rank_}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--node-modules", type=Path)
    parser.add_argument("--projections", type=Path)
    args = parser.parse_args()
    on_bundled_model(args.node_modules)
    if args.projections is not None:
        on_projections(args.projections)


if __name__ == "__main__":
    main()
