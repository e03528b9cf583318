import pytest
from torch.testing import assert_close

from eyespot.optim.grounding_rates import grounding_factors
from tests.reference import read_json

VECTORS = read_json("mdetr_vectors.json")["lr_schedule"]


@pytest.mark.parametrize("row", VECTORS["rows"], ids=lambda r: f"{r['schedule']}-{r['curr_step']}")
def test_matches_the_published_rates(row):
    factors = grounding_factors(
        row["curr_step"],
        shape=row["schedule"],
        steps_per_epoch=row["steps_per_epoch"],
        total_steps=row["steps_per_epoch"] * row["epochs"],
        drop_epoch=row["lr_drop"],
        warmup_share=row["fraction_warmup_steps"],
    )
    main, backbone, text = VECTORS["base_lr_main_backbone_text"]
    found = [main * factors.main, backbone * factors.main, text * factors.text]
    assert_close(found, row["expected_lr_main_backbone_text"], rtol=1e-7, atol=0)


def test_flat_then_linear_by_hand():
    found = [
        grounding_factors(
            step, shape="flat_then_linear", steps_per_epoch=100, total_steps=100, warmup_share=0.1
        ).main
        for step in (0, 5, 10, 74, 75, 85, 95, 100)
    ]
    assert_close(found, [0.0, 0.5, 1.0, 1.0, 1.0, 0.6, 0.2, 0.0])


def test_numbers_out_of_range_are_named():
    with pytest.raises(ValueError, match="got 0, 10, 35 and 0.01"):
        grounding_factors(0, shape="step", steps_per_epoch=0, total_steps=10)
