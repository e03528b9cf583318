"""SwAV's swapped-prediction loss.

Shapes: V views, the first A of them with codes, B samples, K prototypes.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def swapped_prediction_loss(
    scores: Float[Tensor, "v b k"],
    codes: Float[Tensor, "a b k"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Predict each code from every view except the one it came from.

    Paper: SwAV (arXiv 2006.09882), eq. 2 for two views, eq. 6 for multi-crop. The sums are means
    here, so the loss keeps its size whatever the number of views. Float32 under autocast.

    Args:
        scores: Cosine of each sample to each prototype; views with codes first.
        codes: Targets, detached; each row sums to one.
        temperature: Of the prediction's softmax (paper: 0.1).

    Returns:
        Mean cross-entropy in nats; ln K when all scores are equal. A run that stays near ln K has
        collapsed, or its embeddings or prototypes are not normalised.

    Raises:
        ValueError: If there are fewer than two views, or more codes than views.
    """
    num_views, batch, _ = scores.shape
    num_codes = codes.shape[0]
    if num_views < 2 or not 1 <= num_codes <= num_views:
        raise ValueError(
            "need at least 2 views and codes of 1 to all of them, "
            f"got {num_views} views and {num_codes} codes"
        )
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    log_probs = (scores / temperature).log_softmax(dim=-1)  # [V, B, K]
    other_views = log_probs.sum(dim=0) - log_probs[:num_codes]  # [A, B, K]
    total = (codes.detach() * other_views).sum()
    return -total / (num_codes * (num_views - 1) * batch)
