"""Compiles or exports networks and compares them with the plain ones; test_compile.py starts it.

`python -m tests.models.compiling {compile,recompute,inductor,export} FAMILY...` prints each family
that passed. It is a process of its own because the test run decorates the package's functions with
shape checkers, which torch.compile cannot see through.
"""

import copy
import sys

import torch
from torch.testing import assert_close

from eyespot import create_model
from tests.models.networks import FAMILIES, images, random_network


def quiet_network(spec):
    """A network without dropout, so that two runs can be compared."""
    model = random_network(spec).double()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "drop_connect"):
            module.drop_connect = 0.0
    return model


def compare_training(family, *, backend, recompute=False):
    """The compiled network in one graph has the plain one's logits, gradients and buffers."""
    spec = FAMILIES[family]
    for training in (True, False):
        torch._dynamo.reset()
        plain = quiet_network(spec).train(training)
        other = copy.deepcopy(plain)
        other.set_grad_checkpointing(recompute)
        compiled = torch.compile(other, backend=backend, fullgraph=True)
        x = images(spec, batch=4).double()
        wanted, got = plain(x), compiled(x)
        assert_close(got, wanted, rtol=1e-8, atol=1e-8)
        wanted.square().sum().backward()
        got.square().sum().backward()
        for name, parameter in plain.named_parameters():
            assert_close(other.get_parameter(name).grad, parameter.grad, rtol=1e-6, atol=1e-6)
        for name, buffer in plain.named_buffers():
            assert_close(other.get_buffer(name), buffer, rtol=1e-8, atol=1e-8)


def export(family):
    """An exported network takes any batch; the export of an extractor returns its maps."""
    spec = FAMILIES[family]
    model = quiet_network(spec).eval()
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = torch.export.export(
        model, (images(spec, batch=3).double(),), dynamic_shapes=({0: batch},)
    )
    for count in (1, 2, 7):
        x = images(spec, batch=count, seed=count).double()
        assert_close(program.module()(x), model(x), rtol=1e-9, atol=1e-9)
    maps = create_model(spec, features_only=True).double().eval()
    x = images(spec).double()
    assert_close(torch.export.export(maps, (x,)).module()(x), maps(x), rtol=1e-9, atol=1e-9)


CHECKS = {
    "compile": lambda family: compare_training(family, backend="aot_eager"),
    "recompute": lambda family: compare_training(family, backend="aot_eager", recompute=True),
    "inductor": lambda family: compare_training(family, backend="inductor"),
    "export": export,
}

if __name__ == "__main__":
    for name in sys.argv[2:]:
        CHECKS[sys.argv[1]](name)
        print(name, flush=True)
