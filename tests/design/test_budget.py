"""The inverse of scaling: what fits, and nothing larger does."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from eyespot.design import zoo
from eyespot.design.budget import Budget, fit_budget
from eyespot.design.complexity import complexity
from eyespot.design.scaling import scale


def flops(limit):
    return Budget("flops", limit, lambda spec: complexity(spec).flops)


def acts(limit):
    return Budget("acts", limit, lambda spec: complexity(spec).acts)


@settings(max_examples=8)
@given(
    base=st.sampled_from(["RegNetY-500MF", "RegNetZ-4GF", "EfficientNet-B0", "ViT-C-4GF"]),
    strategy=st.sampled_from(["dWr", "dwr", "d", "wg"]),
    gigaflops=st.floats(1, 40),
)
def test_the_result_fits_and_a_brute_search_finds_nothing_nearer(base, strategy, gigaflops):
    spec = zoo.spec(base)
    limit = gigaflops * 1e9
    fit = fit_budget(spec, strategy, [flops(limit)])
    got = complexity(fit.spec).flops
    assert fit.got["flops"] == got <= limit
    assert fit.above["flops"] > limit
    near = [fit.report.factor * (0.7 + 0.006 * i) for i in range(100)]
    others = [complexity(scale(spec, strategy, factor)).flops for factor in near]
    assert max((f for f in others if f <= limit), default=0) <= got * 1.01


def test_the_factor_found_gives_the_network():
    fit = fit_budget(zoo.spec("RegNetY-500MF"), "dWr", [flops(4e9)])
    assert scale(zoo.spec("RegNetY-500MF"), "dWr", fit.report.factor) == fit.spec
    assert fit.got["flops"] > 0.97 * 4e9


def test_every_budget_holds():
    fit = fit_budget(zoo.spec("RegNetY-4GF"), "dwr", [flops(16e9), acts(20e6)])
    assert fit.got["acts"] <= 20e6
    assert fit.got["flops"] <= 16e9
    assert fit.got["acts"] > 0.9 * 20e6


def test_a_budget_below_the_base_shrinks():
    fit = fit_budget(zoo.spec("ResNet-50"), "dWr", [flops(1e9)])
    assert 0.8e9 < fit.got["flops"] <= 1e9
    assert fit.report.factor < 1


def test_an_impossible_budget_says_the_least():
    with pytest.raises(ValueError, match=r"budget of at least .* got 1000"):
        fit_budget(zoo.spec("RegNetY-500MF"), "dWr", [flops(1000)])


def test_a_budget_that_never_binds_is_refused():
    params = Budget("params", 1e9, lambda spec: complexity(spec).params)
    with pytest.raises(ValueError, match="params can reach the budget; scaling by 'r'"):
        fit_budget(zoo.spec("RegNetY-500MF"), "r", [params])


def test_a_negative_budget_is_refused():
    with pytest.raises(ValueError, match="need a flops budget above 0, got -1"):
        fit_budget(zoo.spec("RegNetY-500MF"), "dWr", [flops(-1)])
