"""Memories of earlier batches: SwAV's queue of embeddings and MoCo's queue of keys.

Keep a queue outside the module that DDP wraps: DDP copies the first process's buffers to all.
Shapes: A coded views, L queued samples of this process, N queued keys, B samples, E embedding
width, K prototypes.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from eyespot import dist


def queue_length(total: int, *, batch_size: int, world_size: int) -> int:
    """Return a process's share of SwAV's queue: `total` cut to whole batches, then divided.

    Args:
        total: Wanted length over all processes (SwAV, batch of 256: 3840).
        batch_size: Images a step, all processes together.
        world_size: How many processes share it.

    Raises:
        ValueError: If not even one batch fits, or the batch does not divide among the processes.
    """
    if total < batch_size or batch_size % world_size:
        raise ValueError(
            "need a queue of at least one batch that divides among the processes, "
            f"got {total=}, {batch_size=}, {world_size=}"
        )
    return (total - total % batch_size) // world_size


class SwAVQueue(nn.Module):
    """The last embeddings of each coded view, for batches too small for equal prototype use.

    Paper: SwAV (arXiv 2006.09882), section 3.1 and appendix, with the semantics of its code: it
    starts at zero, the newest samples come first, and it is used once it is full.

    Every process has its own samples, so the state's name contains the rank: a distributed
    checkpoint then keeps all of them, and resumes with the same number of processes. Make the
    queue after the process group.

    Args:
        num_coded: A.
        length: L, of this process: see `queue_length`.
        dim: E.
    """

    def __init__(self, num_coded: int, length: int, dim: int) -> None:
        super().__init__()
        self._buffer_name = f"embeddings_rank{dist.rank()}"
        self.register_buffer(self._buffer_name, torch.zeros(num_coded, length, dim))

    @property
    def embeddings(self) -> Float[Tensor, "a l e"]:
        """The queue, newest samples first; zeros where nothing has been yet."""
        return self.get_buffer(self._buffer_name)

    @property
    def is_full(self) -> bool:
        """Whether its last place has been reached, so that it is used from now on."""
        return bool(self.embeddings[:, -1].any())

    @torch.no_grad()
    def extend(
        self, scores: Float[Tensor, "a b k"], score: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "a c k"]:
        """Return the scores Sinkhorn is to see: the queue's, if it is full, then the batch's.

        Args:
            scores: Of the batch's coded views.
            score: The present prototypes: from embeddings to scores.
        """
        if not self.is_full:
            return scores.detach()
        with torch.autocast(scores.device.type, enabled=False):
            return torch.cat([score(self.embeddings), scores.detach()], dim=1)

    @torch.no_grad()
    def push_(self, embeddings: Float[Tensor, "a b e"]) -> None:
        """Put a batch in front; as many of the oldest samples fall out.

        Raises:
            ValueError: If the batch is longer than the queue.
        """
        queue, batch = self.embeddings, embeddings.shape[1]
        if batch > queue.shape[1]:
            raise ValueError(f"need a queue of at least {batch} samples, got {queue.shape[1]}")
        kept = queue[:, : queue.shape[1] - batch]
        queue.copy_(torch.cat([embeddings.to(queue.dtype), kept], dim=1))


class MoCoQueue(nn.Module):
    """The last N keys of all processes, the same on each of them.

    Paper: MoCo (arXiv 1911.05722), section 3.2 and algorithm 1. Starts with random unit vectors.

    Args:
        length: N (MoCo v2: 65536).
        dim: E.
        generator: Of the random start; seeded the same on every process.
        group: Processes whose keys are queued; all of them by default.
    """

    keys: Tensor
    cursor: Tensor

    def __init__(
        self,
        length: int,
        dim: int,
        *,
        generator: torch.Generator,
        group: ProcessGroup | None = None,
    ) -> None:
        super().__init__()
        self.group = group
        start = torch.randn(length, dim, generator=generator, device=generator.device)
        self.register_buffer("keys", F.normalize(start, dim=1))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.long, device=start.device))

    @torch.no_grad()
    def push_(self, keys: Float[Tensor, "b e"]) -> None:
        """Replace the oldest keys by the unit vectors of every process's new ones.

        Raises:
            ValueError: If the queue is not a whole number of batches long.
        """
        unit = F.normalize(keys.to(self.keys.dtype), dim=1)
        gathered = dist.all_gather_cat(unit, group=self.group)  # [world size * B, E]
        length, batch = len(self.keys), len(gathered)
        if length % batch:
            raise ValueError(f"need a queue of whole batches, got {length} keys for {batch} a step")
        places = self.cursor + torch.arange(batch, device=gathered.device)
        self.keys[places] = gathered
        self.cursor.copy_((self.cursor + batch) % length)
