"""From images to predictions in one estimator."""

from sklearn.pipeline import make_pipeline

from ._classifier import SeMoBridgeClassifier
from .encoders import CLIPImageEncoder, CLIPTextEncoder


def make_semobridge_pipeline(
    model_name="ViT-B-16", pretrained="openai", *, encoder_params=None, **classifier_params
):
    """A pipeline of image encoder and few-shot classifier over one shared CLIP model.

    Parameters
    ----------
    model_name, pretrained : str
        See `CLIPImageEncoder`.
    encoder_params : dict or None, default=None
        Further parameters of `CLIPImageEncoder`; `device`, `precision` and `cache` hold for the text
        side too.
    **classifier_params
        Parameters of `SeMoBridgeClassifier`, without `text_encoder`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        With the steps `"clipimageencoder"` and `"semobridgeclassifier"`.

    Examples
    --------
    >>> from sksemobridge import make_semobridge_pipeline
    >>> pipeline = make_semobridge_pipeline("mini", "bundled", prompts="a picture of a {}.")
    >>> list(pipeline.named_steps)
    ['clipimageencoder', 'semobridgeclassifier']
    """
    encoder_params = dict(encoder_params or {})
    shared = {key: encoder_params[key] for key in ("device", "precision", "cache") if key in encoder_params}
    return make_pipeline(
        CLIPImageEncoder(model_name, pretrained, **encoder_params),
        SeMoBridgeClassifier(CLIPTextEncoder(model_name, pretrained, **shared), **classifier_params),
    )
