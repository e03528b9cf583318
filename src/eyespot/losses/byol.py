"""BYOL's loss: predict the averaged network's view of the same image.

Shapes: B samples, E embedding width; the first axis is the two views.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def byol_loss(
    predictions: Float[Tensor, "2 b e"], targets: Float[Tensor, "2 b e"]
) -> Float[Tensor, ""]:
    """Return how far each view's prediction points from the other view's target.

    Paper: BYOL (arXiv 2006.07733), eq. 2 and its symmetric form: the sum over both views of
    2 - 2 cos. Float32 under autocast.

    Args:
        predictions: Predictor outputs of the trained network.
        targets: Projector outputs of the averaged network; no gradient flows into them.

    Returns:
        Mean over samples, in 0 to 8: 0 when all point the same way, 4 when at right angles.
    """
    dtype = torch.promote_types(predictions.dtype, torch.float32)
    crossed = targets.detach().flip(0).to(dtype)
    cosines = F.cosine_similarity(predictions.to(dtype), crossed, dim=-1)  # [2, B]
    return (2 - 2 * cosines).sum(dim=0).mean()
