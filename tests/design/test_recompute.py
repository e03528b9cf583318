"""Which blocks are computed again: what torch then keeps, and the fewest for a target."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch

from eyespot.design import zoo
from eyespot.design.devices import device
from eyespot.design.memory import (
    TooLargeError,
    fewest_recomputed,
    fits,
    kept_bytes,
    memory,
    recomputed_groups,
)
from eyespot.design.recompute import held_by, parse_groups, recomputed_by
from eyespot.design.training import Crop, Training
from eyespot.design.walk import walk
from eyespot.models.build import build
from tests.design.test_walk import storages

SMALL = replace(zoo.spec("RegNetY-200MF"), image_size=64)  # 1, 1, 4 and 7 blocks


def test_seers_groups():
    """Block boundaries [2], [7], [9, 17], and nothing in the last stage."""
    depths = zoo.spec("rg-10b").depths
    assert parse_groups("2/7/9,17/", depths) == ((0, 2), (2, 9), (9, 18), (18, 26))
    assert parse_groups("//,/", (1, 2, 3, 1)) == ()


@pytest.mark.parametrize(
    "text", ["2/7/9,17", "2/7/17,9/", "3/7/9,17/", "2/7/9,18/", "0/7/9/", "a/b/c/d"]
)
def test_ends_that_no_stage_has(text):
    with pytest.raises(ValueError, match="need for each of 4 stages of 2, 7, 17, 1 blocks"):
        parse_groups(text, (2, 7, 17, 1))


@pytest.mark.parametrize("text", ["block", "30", "GB", "30 MB", ""])
def test_what_is_no_way_to_recompute(text):
    with pytest.raises(ValueError, match=r'need "none", "blocks", gigabytes such as "30GB"'):
        recomputed_groups(Training(SMALL, 2, recompute=text))


@pytest.mark.parametrize("text", ["blocks", "1/1/4/7", "/1/2,4/3", "//1,3/7"])
@pytest.mark.parametrize("name", ["RegNetY-200MF", "RegNetZ-500MF", "ViT-C-1GF"])
def test_torch_keeps_what_is_predicted(name, text):
    """What the forward pass keeps, and what each group keeps beside its input, to the byte."""
    spec = replace(zoo.spec(name), image_size=64)
    if name == "ViT-C-1GF":
        text = text if text == "blocks" else {"1/1/4/7": "2,4", "/1/2,4/3": "3"}.get(text, "1,7")
    elif name == "RegNetZ-500MF" and text != "blocks":
        text = "/".join(str(depth) if i % 2 else "" for i, depth in enumerate(spec.depths))
    groups = recomputed_groups(Training(spec, 2, dtype="float32", recompute=text))
    units = walk(spec)
    model = build(spec).train()
    model.set_grad_checkpointing(True, groups)
    found, _ = storages(lambda: model(torch.randn(2, 3, 64, 64)), model)
    held = sum(kept_bytes(kept, 2, 4) for kept in held_by(units, groups))
    assert held == sum(storage.nbytes() for storage in found.values())
    blocks = (
        [block for i in range(1, 5) for block in model.stage(i)]
        if hasattr(model, "stage")
        else list(model.blocks)
    )
    again = recomputed_by(units, groups)
    entries = {}
    hooks = [
        blocks[first].register_forward_pre_hook(
            lambda _, given, first=first: entries.setdefault(first, given[0].detach())
        )
        for first, _ in groups
    ]
    model(torch.randn(2, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    for first, end in groups:
        entry = entries[first].clone().requires_grad_()

        def run(x=entry, first=first, end=end):
            for block in blocks[first:end]:
                x = block(x)
            return x

        inside, _ = storages(run, model)
        inside.pop(entry.untyped_storage().data_ptr(), None)
        assert kept_bytes(again[end], 2, 4) == sum(s.nbytes() for s in inside.values())


@pytest.mark.parametrize("share", [0.15, 0.5, 0.85])
def test_the_fewest_blocks_for_a_target(share):
    """No block of the choice can be left out, and no smaller set of two or fewer would do."""
    run = Training(SMALL, 8, dtype="float32", crops=(Crop(2, 64), Crop(2, 32)))
    most, least = memory(run).total, memory(replace(run, recompute="blocks")).total
    target = least + share * (most - least)
    groups = fewest_recomputed(run, target)

    def need(some):
        return memory(replace(run, recompute=tuple(some))).total

    assert need(groups) <= target
    assert all(need(g for g in groups if g != left) > target for left in groups)
    for count in range(min(len(groups), 3)):
        sets = combinations([(i, i + 1) for i in range(13)], count)
        assert all(need(some) > target for some in sets)
    text = f"{target / 1e9:.6f}GB"
    assert memory(replace(run, recompute=text)).total <= target + 1e3
    assert fewest_recomputed(run, most) == ()


def test_a_target_that_nothing_reaches():
    run = Training(SMALL, 64, recompute="0.001 gb")
    with pytest.raises(
        TooLargeError, match=r"need 0\.\d+ GB on a device with every block recomputed, got 0.00"
    ):
        memory(run)
    assert not fits(run, device("h100"))


def test_a_group_holds_less_and_needs_more_at_once():
    """The last stage as one group is all back when the backward pass begins: nothing is saved."""
    run = Training(SMALL, 64, dtype="float32")
    each, whole = tuple((i, i + 1) for i in range(6, 13)), ((6, 13),)
    held = [
        sum(kept_bytes(kept, 64, 4) for kept in held_by(walk(SMALL), groups))
        for groups in (each, whole)
    ]
    assert held[1] < held[0]
    need = [memory(replace(run, recompute=groups)).total for groups in (each, whole, ())]
    assert need[0] < need[1] == need[2]
