"""A factor on the learning rate that falls when the loss stops improving: for streams without end.

Paper: SEER (arXiv 2103.01988), section 3: the rate is constant, and halved at a plateau. How long
the loss is watched is not printed; here means over windows of steps are compared.
"""

import torch
from torch import Tensor, nn


class Plateau(nn.Module):
    """The factor and what it will be decided by: state of the run, saved with it.

    Args:
        window: Steps whose mean loss is compared with the lowest of the windows before.
        drop: What the factor is multiplied by after a window that is not lower.

    Raises:
        ValueError: If the window is below 1, or the drop not within 0 to 1.
    """

    factor: Tensor
    lowest: Tensor
    total: Tensor
    count: Tensor

    def __init__(self, window: int, drop: float = 0.5) -> None:
        super().__init__()
        if window < 1 or not 0 < drop < 1:
            raise ValueError(
                f"need a window of 1 step or more and a drop between 0 and 1, got {window} and "
                f"{drop:g}"
            )
        self.window, self.drop = window, drop
        self.register_buffer("factor", torch.ones((), dtype=torch.float64))
        self.register_buffer("lowest", torch.full((), torch.inf, dtype=torch.float64))
        self.register_buffer("total", torch.zeros((), dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def add_(self, loss: Tensor) -> None:
        """Note a step's loss, the mean over all ranks; infinity and NaN are left out."""
        if not bool(loss.isfinite()):
            return
        self.total += loss.double()
        self.count += 1
        if int(self.count) < self.window:
            return
        mean = self.total / self.window
        if bool(mean < self.lowest):
            self.lowest.copy_(mean)
        else:
            self.factor *= self.drop
        self.total.zero_()
        self.count.zero_()
