"""Classification by the nearest neighbours among labelled features: exact, in bounded memory.

Papers: Wu et al. (arXiv 1805.01978), section 3.4, for the weighted vote; SwAV (arXiv 2006.09882)
uses k = 20 and VISSL a temperature of 0.07 on features of unit length.

Shapes: Q queries, N features of the bank on this rank, D width, K classes.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from torch.distributed import ProcessGroup

from eyespot import dist

_GROUP = 16  # similarities of which only the largest is looked at first
_RESIDENT = 1 << 28  # values of a bank that is kept on the queries' device, 1 GiB of float32


class Neighbours(NamedTuple):
    """The bank's most similar features, best first; of equal ones the earlier in the bank.

    Attributes:
        similarities: Cosines, or dot products of features as they are.
        places: Rows of the bank; over several ranks, of all banks one after another.
    """

    similarities: Float[Tensor, "q k"]
    places: Int64[Tensor, "q k"]


def nearest(
    queries: Float[Tensor, "q _"],
    bank: Float[Tensor, "n _"],
    k: int,
    *,
    unit_length: bool = True,
    query_ids: Int64[Tensor, " q"] | None = None,
    bank_ids: Int64[Tensor, " n"] | None = None,
    query_block: int = 512,
    bank_block: int = 32768,
    group: ProcessGroup | None = None,
) -> Neighbours:
    """Find the k most similar features of the bank for every query, comparing with all of them.

    On several ranks each gives its part of the queries and its part of the bank, and gets the
    neighbours of its own queries in the whole bank. The result does not depend on blocks or ranks,
    rounding of the similarities apart.

    Args:
        queries: Any floating type; compared in float32 or better.
        bank: May lie in memory mapped from a file; one block of it is used at a time, unless it is
            small enough to be kept on the queries' device (1 GiB).
        k: How many.
        unit_length: Scale all features to length 1 first, so that similarities are cosines.
        query_ids: With `bank_ids`: no query finds the feature of its own id (leave one out).
        bank_ids: An id of each feature.
        query_block: Queries compared at a time.
        bank_block: Features they are compared with at a time.
        group: Processes that take part; all of them by default.

    Raises:
        ValueError: If the widths differ, k is below 1, or the bank has too few features.
    """
    if queries.shape[1] != bank.shape[1]:
        raise ValueError(
            f"need queries and bank of one width, got {queries.shape[1]} and {bank.shape[1]}; "
            "were they made by one network?"
        )
    if (query_ids is None) != (bank_ids is None):
        raise ValueError("need ids of both queries and bank to leave one out, got those of one")
    sizes = torch.tensor([len(bank), len(queries)], device=queries.device)[None]
    counts = dist.all_gather_cat(sizes, group=group)  # [ranks, 2]
    available = int(counts[:, 0].sum()) - (query_ids is not None)
    if not 1 <= k <= available:
        others = " besides the query itself" if query_ids is not None else ""
        raise ValueError(
            f"need k of 1 to {available}, the features in the bank{others}, got {k}; take a "
            "smaller k or more labelled images"
        )
    first = int(counts[: dist.rank(group), 0].sum())
    ready = bank.numel() <= _RESIDENT  # else a block at a time, again for every block of queries
    if ready:
        bank = _prepared(bank.to(queries.device), unit_length)
    found = []
    for start in range(0, int(counts[:, 1].max()), query_block):
        some = _padded(queries[start : start + query_block], query_block, group)
        everyone = dist.all_gather_cat(_prepared(some, unit_length), group=group)
        if query_ids is not None and bank_ids is not None:
            some_ids = _padded(query_ids[start : start + query_block], query_block, group)
            ids = (dist.all_gather_cat(some_ids, group=group), bank_ids)
        else:
            ids = None
        local = _nearest_here(everyone, bank, ids, k, first, unit_length and not ready, bank_block)
        mine = _own_part(local, len(some), group)
        here = len(queries[start : start + query_block])
        found.append(Neighbours(mine.similarities[:here], mine.places[:here]))
    return Neighbours(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def knn_votes(
    neighbours: Neighbours,
    labels: Int64[Tensor, " n"],
    num_classes: int,
    *,
    k: int | None = None,
    temperature: float = 0.07,
) -> Float[Tensor, "q classes"]:
    """Return each class's share of the vote, in which a neighbour counts exp(similarity / t).

    Args:
        neighbours: Of the queries, at least k of them.
        labels: Of the whole bank, in the order of `places`; see `dist.all_gather_rows`.
        num_classes: K.
        k: How many neighbours vote; all when not given.
        temperature: t; the smaller, the more the nearest decide. Infinite for equal votes.

    Raises:
        ValueError: If the temperature is not above 0, there are fewer than k neighbours or two
            classes, or a label of the bank is none of the classes.
    """
    k = neighbours.places.shape[1] if k is None else k
    if temperature <= 0 or not 1 <= k <= neighbours.places.shape[1]:
        raise ValueError(
            f"need a temperature above 0 and a k of 1 to {neighbours.places.shape[1]}, got "
            f"{temperature} and {k}"
        )
    check_classes(labels, num_classes)
    similarities = neighbours.similarities[:, :k]
    weights = ((similarities - similarities[:, :1]) / temperature).exp()  # [Q, k], best first
    of_class = labels[neighbours.places[:, :k]]  # [Q, k]
    votes = weights.new_zeros(len(weights), num_classes).scatter_add_(1, of_class, weights)
    return votes / weights.sum(1, keepdim=True)


def check_classes(labels: Int64[Tensor, " n"], num_classes: int) -> None:
    """Raise ValueError unless all labels are classes and there are at least two of them."""
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        wrong = labels[(labels < 0) | (labels >= num_classes)][0].item()
        of_classes = f" of 0..{num_classes - 1}" if num_classes > 0 else ""
        raise ValueError(
            f"need a label{of_classes} for every image, got {wrong}; a probe needs "
            "labelled images, such as a folder for each class"
        )
    seen = torch.unique(labels).tolist()
    if len(seen) < 2:
        raise ValueError(f"need images of at least two classes to tell apart, got labels {seen}")


def _prepared(features: Tensor, unit_length: bool) -> Tensor:
    wide = features.to(torch.promote_types(features.dtype, torch.float32))
    return F.normalize(wide, dim=1) if unit_length else wide


def _padded(rows: Tensor, length: int, group: ProcessGroup | None) -> Tensor:
    """Return as many rows on every rank, so that they can be gathered."""
    if dist.world_size(group) == 1:
        return rows
    return torch.cat([rows, rows.new_zeros(length - len(rows), *rows.shape[1:])])


def _own_part(found: Neighbours, length: int, group: ProcessGroup | None) -> Neighbours:
    """Merge what every rank's bank holds for this rank's queries."""
    if dist.world_size(group) == 1:
        return found
    start = dist.rank(group) * length
    parts = [
        dist.all_gather_cat(each[None], group=group)[:, start : start + length]  # [ranks, Q, k]
        for each in found
    ]
    merged = Neighbours(*(part.transpose(0, 1).flatten(1) for part in parts))
    return _best(merged, found.places.shape[1])


def _nearest_here(
    queries: Tensor,
    bank: Tensor,
    ids: tuple[Tensor, Tensor] | None,
    k: int,
    first: int,
    unit_length: bool,
    block: int,
) -> Neighbours:
    """Find neighbours in this rank's bank; -inf where it has fewer than k."""
    best = Neighbours(
        queries.new_full((len(queries), k), -torch.inf),
        torch.zeros(len(queries), k, dtype=torch.int64, device=queries.device),
    )
    for start in range(0, len(bank), block):
        features = bank[start : start + block].to(queries.device)
        similarities = queries @ _prepared(features, unit_length).to(queries.dtype).T  # [Q, block]
        if ids is not None:
            own = ids[0][:, None] == ids[1][start : start + block].to(queries.device)
            similarities = similarities.masked_fill(own, -torch.inf)
        values, where = _top(similarities, k)
        both = (
            torch.cat([best.similarities, values], 1),
            torch.cat([best.places, where + (first + start)], 1),
        )
        best = _best(Neighbours(*both), k)
    return best


def _top(similarities: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest of each row, of equal ones the first, in the order of their places.

    Long rows are cut into groups; the k largest lie in the k groups of largest maxima, and only
    those are searched.
    """
    rows, length = similarities.shape
    k = min(k, length)
    groups = length // _GROUP
    if groups < 2 * k:
        return _top_of_all(similarities, k)
    whole = similarities[:, : groups * _GROUP].view(rows, _GROUP, groups)  # a group is a column
    maxima = whole.amax(1)  # [Q, groups]
    chosen = maxima.topk(k, sorted=False).indices.sort(1).values  # [Q, k]
    among = whole.gather(2, chosen[:, None].expand(-1, _GROUP, -1)).flatten(1)  # [Q, _GROUP k]
    steps = torch.arange(0, groups * _GROUP, groups, device=chosen.device)
    places = (chosen[:, None] + steps[:, None]).flatten(1)  # ascending, as _top_of_all needs it
    rest = torch.arange(groups * _GROUP, length, device=chosen.device).expand(rows, -1)
    among = torch.cat([among, similarities[:, groups * _GROUP :]], 1)
    values, where = _top_of_all(among, k)
    where = torch.cat([places, rest], 1).gather(1, where)
    tied = ((maxima >= values.amin(1, keepdim=True)).sum(1) > k).nonzero()[:, 0]
    if len(tied):  # another group may hold an equal one that comes first
        values[tied], where[tied] = _top_of_all(similarities[tied], k)
    return values, where


def _top_of_all(similarities: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Search whole rows, whatever `topk` prefers among equals."""
    values, where = similarities.topk(k, sorted=False)
    tied = ((similarities >= values.amin(1, keepdim=True)).sum(1) > k).nonzero()[:, 0]
    if len(tied):
        sorted_ = similarities[tied].sort(dim=1, descending=True, stable=True)
        values[tied], where[tied] = sorted_.values[:, :k], sorted_.indices[:, :k]
    where, order = where.sort(dim=1)
    return values.gather(1, order), where


def _best(found: Neighbours, k: int) -> Neighbours:
    """Keep the k most similar; equal ones stay in their order."""
    similarities, order = found.similarities.sort(dim=1, descending=True, stable=True)
    return Neighbours(similarities[:, :k], found.places.gather(1, order[:, :k]))
