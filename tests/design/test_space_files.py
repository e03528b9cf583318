"""Spaces and points as files: they survive, and a malformed one is named in one sentence."""

import json

import pytest
import yaml

from eyespot.design.samplers import FloatRange, IntRange, ListOf, Value
from eyespot.design.space import NamedNetworks, RegNets, Scaling, Space, sample_space
from eyespot.design.space_files import (
    point_from_dict,
    point_to_dict,
    read_space,
    space_from_dict,
    space_to_dict,
)
from eyespot.design.spaces import get_space, list_spaces

WRITTEN = """
name: mine
about: an example
network:
  kind: regnet
  depth: {kind: int, low: 6, high: 16}
  se_ratio: 0.25
parameters:
  lr: {kind: float, law: log_uniform, low: 1e-3, high: 5, quantum: 1e-10}
  optimizer: {kind: value, values: [sgd, adamw]}
  epochs: 50
scaling:
  strategy: dWr
  factor: {kind: float, law: uniform, low: 1, high: 4, quantum: 0.5}
constraints:
  flops: [100e6, 2.5E+8]
  acts: [0, 2.0e+6]
"""


@pytest.mark.parametrize("name", list_spaces())
def test_a_shipped_space_survives_a_file(name, tmp_path):
    space = get_space(name)
    for path, text in (
        (tmp_path / "space.json", json.dumps(space_to_dict(space))),
        (tmp_path / "space.yaml", yaml.safe_dump(space_to_dict(space))),
    ):
        path.write_text(text)
        assert read_space(path) == space


def test_yaml_as_people_write_it(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(WRITTEN)
    space = read_space(path)
    assert space.network == RegNets(depth=IntRange(6, 16), se_ratio=0.25)
    assert space.parameters == {
        "lr": FloatRange(0.001, 5.0, "log_uniform", 1e-10),
        "optimizer": Value(("sgd", "adamw")),
        "epochs": Value((50,)),
    }
    assert space.scaling == Scaling(Value(("dWr",)), FloatRange(1.0, 4.0, "uniform", 0.5))
    assert space.constraints.flops == (1e8, 2.5e8)
    assert space.constraints.stages == (4, 4)
    assert space_from_dict(space_to_dict(space)) == space


def test_lists_and_fields_survive():
    widths = ListOf(4, IntRange(8, 1024, "log_uniform", 8))
    space = Space("a", network=NamedNetworks(Value(("RegNetX-400MF",)), {"widths": widths}))
    again = space_from_dict(json.loads(json.dumps(space_to_dict(space))))
    assert again == space
    for point in sample_space(space, 1, 3):
        assert point_from_dict(json.loads(json.dumps(point_to_dict(point)))) == point


def test_a_point_says_what_its_network_costs():
    (point,) = sample_space(get_space("lrwd-regnety-sgd"), 1, 1)
    data = point_to_dict(point)
    assert round(data["complexity"]["params"] / 1e6, 1) == 22.4
    assert data["parameters"]["optimizer"] == "sgd"


def _changed(**changes):
    return yaml.safe_load(WRITTEN.replace("e-3", "0e-3")) | changes


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([1], r"need a space as a mapping of names, got \[1\]"),
        ({"parameters": {"lr": 1}}, "need name in a space, got only parameters"),
        ({"name": "s", "network": {"kind": "regnets"}}, "unknown kind of network 'regnets'"),
        (
            {"name": "s", "network": {"kind": "regnet", "dept": 3}},
            "unknown field of regnet network 'dept'. Did you mean depth",
        ),
        (
            {"name": "s", "network": {"kind": "regnet", "se_ratio": "x"}},
            "need se_ratio as float, got 'x'",
        ),
        (
            {"name": "s", "network": {"kind": "named"}},
            "need model in a named network, got only nothing",
        ),
        (
            {"name": "s", "parameters": {"lr": {"kind": "flaot"}}},
            "parameters.lr: unknown kind of sampler 'flaot'. Did you mean float",
        ),
        (
            {"name": "s", "parameters": {"lr": {"kind": "float", "low": 1, "high": 2}}},
            "parameters.lr: need law, quantum in a float sampler",
        ),
        (
            {"name": "s", "parameters": {"n": {"kind": "int", "low": 1.5, "high": 2}}},
            "parameters.n: need low as int, got 1.5",
        ),
        (
            {"name": "s", "parameters": {"n": {"kind": "int", "low": 3, "high": 2}}},
            "parameters.n: need low <= high",
        ),
        (
            {"name": "s", "parameters": {"n": {"kind": "value", "values": [[1]]}}},
            r"need values as str or int or float or bool, got \[1\]",
        ),
        (
            {"name": "s", "parameters": {"n": {"kind": "list", "length": 2, "item": {}}}},
            "parameters.n: item: unknown kind of sampler 'None'",
        ),
        ({"name": "s", "parameters": {"n": None}}, "parameters.n: need a sampler as a mapping"),
        ({"name": "s", "parameters": {1: 2}}, "need parameters as a mapping of names"),
        (
            {"name": "s", "parameters": {"n": 1}, "constraints": {"flop": [0, 1]}},
            "unknown field of constraints 'flop'. Did you mean flops",
        ),
        (
            {"name": "s", "parameters": {"n": 1}, "constraints": {"flops": 3}},
            "need a list for flops, got 3",
        ),
        (
            {"name": "s", "network": {"kind": "regnet"}, "scaling": {"factor": 2}},
            "need strategy in a scaling",
        ),
    ],
)
def test_a_malformed_space_names_the_field(data, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        space_from_dict(data)
    if all(isinstance(name, str) for name in data):
        path = tmp_path / "bad.yaml"
        path.write_text(yaml.safe_dump(data))
        with pytest.raises(ValueError, match=r"bad\.yaml: ") as caught:
            read_space(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ["json", "yaml", "yml"])
@pytest.mark.parametrize(
    "text", ["{", '{"name": "a", "name": "b"}', "a: [", "\x00\xff", "[" * 9999]
)
def test_what_is_no_space_file_is_refused_in_one_line(text, ending, tmp_path):
    path = tmp_path / f"space.{ending}"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=rf"space\.{ending}") as caught:
        read_space(path)
    assert "\n" not in str(caught.value)


def test_a_point_that_is_none_is_refused():
    with pytest.raises(ValueError, match="need index and parameters in a point"):
        point_from_dict({"index": "0", "parameters": {}})
    with pytest.raises(ValueError, match="need a point as a mapping"):
        point_from_dict(None)
