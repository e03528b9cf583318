"""Which blocks compute their activations again in the backward pass instead of keeping them.

Groups of blocks follow each other in a stage; a group keeps its input alone. SEER's network of 10
billion parameters has groups that end after blocks 2, 7, and 9 and 17 of its first three stages,
and keeps everything in the fourth (arXiv 2202.08360, released configuration).
"""

from collections.abc import Sequence

from eyespot.design.layers import Kept, Unit
from eyespot.design.training import Groups


def parse_groups(text: str, depths: Sequence[int]) -> Groups:
    """Return the groups of a network whose stages have so many blocks.

    Args:
        text: For each stage the blocks after which a group ends, such as "2/7/9,17/"; blocks
            behind the last one, and stages without any, keep their activations.
        depths: Blocks of each stage.

    Raises:
        ValueError: If there are other than one part a stage, or ends that do not rise within it.
    """
    parts = text.split("/")
    try:
        stages = [[int(end) for end in part.split(",") if end.strip()] for part in parts]
    except ValueError:
        stages = []
    rising = all(
        all(a < b for a, b in zip((0, *ends), (*ends, depth + 1), strict=True))
        for ends, depth in zip(stages, depths, strict=False)
    )
    if len(stages) != len(depths) or not rising:
        known = ", ".join(map(str, depths))
        raise ValueError(
            f"need for each of {len(depths)} stages of {known} blocks the blocks after which a "
            f'group ends, rising, such as "{"/".join(map(str, depths))}", got {text!r}'
        )
    groups: list[tuple[int, int]] = []
    first = 0
    for ends, depth in zip(stages, depths, strict=True):
        edges = [0, *ends]
        groups += [(first + a, first + b) for a, b in zip(edges, ends, strict=False)]
        first += depth
    return tuple(groups)


def held_by(units: Sequence[Unit], groups: Groups) -> list[tuple[Kept, ...]]:
    """Return what each unit is the first to hold from the forward to the backward pass."""
    begins = {first + 1 for first, _ in groups}
    inside = {i + 1 for first, end in groups for i in range(first, end)}
    seen: set[int] = set()
    held = []
    for i, unit in enumerate(units):
        keeps = ((unit.entry,) if i in begins else ()) if i in inside else unit.keeps
        held.append(tuple(kept for key, kept in keeps if key not in seen))
        seen |= {key for key, _ in keeps}
    return held


def recomputed_by(units: Sequence[Unit], groups: Groups) -> list[tuple[Kept, ...]]:
    """Return what is held beside a group's input when the backward pass reaches each unit.

    The whole group is computed again when it reaches the group's last block; what is behind a
    block has gone when it reaches the block.
    """
    found: list[tuple[Kept, ...]] = [()] * len(units)
    for first, end in groups:
        held: dict[int, Kept] = {}
        for i in range(first + 1, end + 1):
            held |= dict(units[i].keeps)
            held.pop(units[first + 1].entry[0], None)
            found[i] = tuple(held.values())
    return found


def recomputed_share(units: Sequence[Unit], groups: Groups) -> float:
    """Return the share of all blocks' flops that is computed again."""
    flops = [sum(layer.flops for layer in unit.layers) for unit in units[1:-1]]
    return sum(sum(flops[first:end]) for first, end in groups) / sum(flops)
