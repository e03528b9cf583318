"""A factor on the loss that keeps the gradients of float16 networks within its range.

The rule of mixed-precision training (arXiv 1710.03740, section 3.2) with the numbers of torch's
GradScaler: after an overflow the step is left out and the factor halved; after 2,000 good steps it
is doubled. Whether a step overflowed is read off the norm of all gradients, which is the same on
every rank however they are sharded, so that ranks never disagree.
"""

import torch
from torch import Tensor, nn

_GROWTH_STEPS = 2000


class LossScale(nn.Module):
    """The factor and how long it has held: state of the run, saved with it.

    Args:
        initial: The factor to begin with.
    """

    scale: Tensor
    good_steps: Tensor

    def __init__(self, initial: float = 65536.0) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(initial))
        self.register_buffer("good_steps", torch.tensor(0))

    @torch.no_grad()
    def grow_(self) -> None:
        """Count a good step; double the factor after enough of them."""
        self.good_steps += 1
        if int(self.good_steps) == _GROWTH_STEPS:
            self.scale *= 2
            self.good_steps.zero_()

    @torch.no_grad()
    def shrink_(self) -> bool:
        """Halve the factor after an overflow; return whether it is 1 or more still."""
        self.scale *= 0.5
        self.good_steps.zero_()
        return bool(self.scale >= 1)
