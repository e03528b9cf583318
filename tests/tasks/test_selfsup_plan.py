from dataclasses import replace

import pytest

from eyespot.design.devices import device
from eyespot.design.memory import fits
from eyespot.design.roofline import step_time
from eyespot.design.training import Crop
from eyespot.design.walk import walk
from eyespot.errors import RecipeError
from eyespot.recipes import get_recipe
from eyespot.tasks.selfsup_plan import plan_facts


def test_seers_run_is_planned_as_published():
    """8192 images a step on 512 V100 of 32 GB took 6.1 s for 8704 (arXiv 2103.01988)."""
    one = plan_facts(get_recipe("seer/rg_256gf"))
    assert one.head_dims == (8192, 8192, 256, 16000)
    assert one.crops == (Crop(2, 224), Crop(4, 96))
    params = sum(layer.params for unit in walk(one.spec, head_dims=one.head_dims)
                 for layer in unit.layers)  # fmt: skip
    assert (
        params
        == 1_272_156_138
        + sum(
            a * b + (b if b != 16000 else 0) for a, b in ((10444, 8192), (8192, 8192), (8192, 256))
        )
        + 256 * 16000
        + 16000
    )
    v100 = device("v100-32gb")
    many = replace(one, num_devices=512, dtype="float16", sharding="fsdp")
    assert fits(many, v100)
    assert 0.4 < step_time(many, v100).total / (6.125 * 8192 / 8704) < 2.5


def test_second_networks_count_and_parts_are_refused():
    assert plan_facts(get_recipe("moco/resnet50_200ep")).ema
    assert plan_facts(get_recipe("byol/resnet50_1000ep")).head_dims == (4096, 256, 4096, 256)
    assert not plan_facts(get_recipe("simclr/resnet50_100ep")).ema
    with pytest.raises(RecipeError, match="--batch 2048"):
        plan_facts(replace(get_recipe("swav/resnet50_100ep"), accumulate=2))
