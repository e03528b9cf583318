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
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard

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

    Every process holds the samples of its part of each batch. The state is one tensor of whole
    batches, cut among the processes as batches are: a distributed checkpoint keeps all of it, and
    another number of processes goes on with the same queue. Make it after the process group.

    Args:
        num_coded: A.
        length: L, of this process: see `queue_length`.
        dim: E.
        batch_size: B, of this process: what is pushed at a time; L is a multiple of it.
        device: Where embeddings are.

    Raises:
        ValueError: If the length is not whole batches.
    """

    def __init__(
        self,
        num_coded: int,
        length: int,
        dim: int,
        *,
        batch_size: int,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        if length < 1 or batch_size < 1 or length % batch_size:
            raise ValueError(
                f"need a queue of whole batches, got length {length} for {batch_size} a step"
            )
        here = torch.zeros(num_coded, length // batch_size, batch_size, dim, device=device)
        if dist.world_size() > 1:
            mesh = init_device_mesh(here.device.type, (dist.world_size(),))
            here = DTensor.from_local(here, mesh, [Shard(2)], run_check=False)
        self.register_buffer("batches", here)  # [A, L / B, B, E]

    @property
    def embeddings(self) -> Float[Tensor, "a l e"]:
        """This process's part, newest samples first; zeros where nothing has been yet."""
        batches = self.get_buffer("batches")
        here = batches.to_local() if isinstance(batches, DTensor) else batches
        return here.flatten(1, 2)

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
