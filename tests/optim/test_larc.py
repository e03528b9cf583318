import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Shard, distribute_tensor
from torch.testing import assert_close

from eyespot import dist
from eyespot.optim.larc import LARC, larc_gradients_
from tests.distributed import run_ranks
from tests.reference import read_json

CASES = read_json("swav_vectors.json")["larc"]["cases"]
DTYPES = [torch.float64, torch.float32]


def tensors(values, dtype):
    return [torch.tensor(v, dtype=dtype) for v in values]


def groups_of(case, params):
    """The vector's tensors as an optimizer's groups."""
    return [
        {
            "params": [p for p, of in zip(params, case["group_of_param"], strict=True) if of == i],
            "weight_decay": decay,
            "lr": case["lr"],
        }
        for i, decay in enumerate(case["weight_decay_per_group"])
    ]


def settings(case):
    return {k: case[k] for k in ("trust_coefficient", "eps", "clip")}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_two_steps_match_the_reference(case, dtype):
    params = [nn.Parameter(p) for p in tensors(case["params"], dtype)]
    optimizer = LARC(
        groups_of(case, params), lr=case["lr"], momentum=case["momentum"], **settings(case)
    )
    tol = {"rtol": 0, "atol": case["tol"]} if dtype == torch.float64 else {}
    for grads, after in zip(case["grads_per_step"], case["after_step"], strict=True):
        for p, grad in zip(params, tensors(grads, dtype), strict=True):
            p.grad = grad
        optimizer.step()
        for i, p in enumerate(params):
            velocity = optimizer.state[p]["momentum_buffer"]
            assert_close(p.grad, tensors(after["scaled_grads"], dtype)[i], **tol)
            assert_close(velocity, tensors(after["momentum"], dtype)[i], **tol)
            assert_close(p.detach(), tensors(after["params"], dtype)[i], **tol)
        decays = [group["weight_decay"] for group in optimizer.param_groups]
        assert decays == after["weight_decay_restored"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_scaled_gradients_under_torchs_sgd_are_the_same_optimizer(case):
    params = [nn.Parameter(p) for p in tensors(case["params"], torch.float64)]
    sgd = torch.optim.SGD(params, lr=case["lr"], momentum=case["momentum"])
    for grads, after in zip(case["grads_per_step"], case["after_step"], strict=True):
        for p, grad in zip(params, tensors(grads, torch.float64), strict=True):
            p.grad = grad
        larc_gradients_(groups_of(case, params), **settings(case))
        sgd.step()
        for p, expected in zip(params, tensors(after["params"], torch.float64), strict=True):
            assert_close(p.detach(), expected, rtol=0, atol=case["tol"])


def test_a_tensor_without_gradient_keeps_its_weights_and_its_momentum():
    weight = nn.Parameter(torch.ones(3))
    optimizer = LARC([weight], lr=1.0, weight_decay=0.1)
    optimizer.step()
    assert weight.tolist() == [1.0] * 3
    assert not optimizer.state[weight]["momentum_buffer"].any()
    weight.grad = torch.ones(3)
    optimizer.step()
    before, velocity = weight.detach().clone(), optimizer.state[weight]["momentum_buffer"].clone()
    weight.grad = None
    optimizer.step()
    assert torch.equal(weight.detach(), before)
    assert torch.equal(optimizer.state[weight]["momentum_buffer"], velocity)


def test_a_first_step_is_as_long_as_trust_says():
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(7, 5, generator=generator, dtype=torch.float64))
    before = weight.detach().clone()
    weight.grad = 1e4 * torch.randn(7, 5, generator=generator, dtype=torch.float64)
    LARC([weight], lr=2.0, trust_coefficient=0.001).step()
    assert_close((weight.detach() - before).norm(), 2.0 * 0.001 * before.norm())


def test_clipping_never_raises_the_learning_rate():
    weight = nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    weight.grad = torch.tensor([0.006, 0.008], dtype=torch.float64)
    group = {"params": [weight], "weight_decay": 0.1, "lr": 0.01}
    # |w| = 5, |g| = 0.01: the own rate 0.02 * 5 / 0.51 is 19.6 times lr, so lr it is.
    larc_gradients_([group], trust_coefficient=0.02, clip=True)
    assert_close(weight.grad, torch.tensor([0.306, 0.408], dtype=torch.float64))
    # Once more from that gradient, at lr 10: 0.02 * 5 / (0.51 + 0.5) / 10.
    larc_gradients_([group | {"lr": 10.0}], trust_coefficient=0.02, clip=True)
    expected = torch.tensor([0.606, 0.808], dtype=torch.float64) * (0.01 / 1.01)
    assert_close(weight.grad, expected, rtol=1e-6, atol=0)


def test_groups_may_have_their_own_rate_and_a_resumed_run_goes_on_the_same():
    def run(resume: bool) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        params = [nn.Parameter(torch.randn(4, generator=generator)) for _ in range(2)]
        groups = [{"params": params[:1], "lr": 0.5}, {"params": params[1:]}]
        optimizer = LARC(groups, lr=0.1, weight_decay=1e-3)
        for step in range(4):
            if resume and step == 2:
                state = optimizer.state_dict()
                optimizer = LARC(groups, lr=0.3)
                optimizer.load_state_dict(state)
            for p in params:
                p.grad = torch.randn(4, generator=generator)
            optimizer.step()
        return [p.detach() for p in params]

    for resumed, straight in zip(run(resume=True), run(resume=False), strict=True):
        assert torch.equal(resumed, straight)


def test_a_closure_is_called_with_gradients_on():
    weight = nn.Parameter(torch.ones(2))
    optimizer = LARC([weight], lr=1.0)

    def closure() -> float:
        loss = weight.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 2.0
    assert weight.grad is not None


def network() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 2), nn.Linear(2, 1)
    ).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype))
        model[1].bias.zero_()  # its first step is unscaled
    return model.eval()  # batch norm with fixed statistics, equal on every process


def train(model: nn.Module, rows: Tensor) -> dict[str, Tensor]:
    """Three steps; the widest layer is frozen in the first."""
    optimizer = LARC(model.parameters(), lr=0.5, weight_decay=1e-2)
    for step in range(3):
        optimizer.zero_grad(set_to_none=True)
        model(rows).square().mean().backward()
        if step == 0:
            model[3].weight.grad = None
        optimizer.step()
    state = model.state_dict()
    return {k: v.full_tensor() if isinstance(v, DTensor) else v for k, v in state.items()}


def rows(count: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 5, generator=generator, dtype=torch.float64)


def train_sharded() -> dict[str, Tensor]:
    """Uneven shards, some of them empty: 7, 2 and 1 rows on this many processes."""
    mesh = init_device_mesh("cpu", (dist.world_size(),))
    model = network()
    for layer in (model[0], model[1]):
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return train(model, rows().chunk(dist.world_size())[dist.rank()])


def train_replicated_and_sharded() -> dict[str, Tensor]:
    """HSDP: the second axis cuts, the first one copies."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("copy", "cut"))
    model = network()
    fully_shard(model, mesh=mesh)
    return train(model, rows().chunk(4)[dist.rank()])


@pytest.mark.parametrize(
    ("function", "world_size"),
    [(train_sharded, 2), (train_sharded, 3), (train_replicated_and_sharded, 4)],
)
def test_sharded_equals_unsharded(function, world_size):
    expected = train(network(), rows())
    for result in run_ranks(function, world_size=world_size):
        for name, value in expected.items():
            assert_close(result[name], value, rtol=1e-10, atol=1e-12, msg=name)


def resume(folder: str, saved_after: int) -> list[tuple[Tensor, Tensor]]:
    """Four steps straight and through a checkpoint; the last layer is frozen in the first two."""

    def make() -> tuple[nn.Module, LARC]:
        model = network()
        fully_shard(model, mesh=init_device_mesh("cpu", (dist.world_size(),)))
        return model, LARC(model.parameters(), lr=0.5, weight_decay=1e-2)

    def go_on(model: nn.Module, optimizer: LARC, first: int, last: int) -> None:
        for step in range(first, last):
            optimizer.zero_grad(set_to_none=True)
            model(rows()).square().mean().backward()
            if step < 2:
                model[4].weight.grad = None
            optimizer.step()

    straight, optimizer = make()
    go_on(straight, optimizer, 0, saved_after)
    dcp.save(
        dict(zip("ws", get_state_dict(straight, optimizer), strict=True)), checkpoint_id=folder
    )
    go_on(straight, optimizer, saved_after, 4)
    resumed, optimizer = make()
    state = dict(zip("ws", get_state_dict(resumed, optimizer), strict=True))
    dcp.load(state, checkpoint_id=folder)
    set_state_dict(resumed, optimizer, model_state_dict=state["w"], optim_state_dict=state["s"])
    go_on(resumed, optimizer, saved_after, 4)
    pairs = zip(straight.parameters(), resumed.parameters(), strict=True)
    return [(a.full_tensor().detach(), b.full_tensor().detach()) for a, b in pairs]


@pytest.mark.parametrize("saved_after", [1, 3])
def test_a_sharded_run_resumes_from_a_checkpoint_also_while_tensors_are_frozen(
    tmp_path, saved_after
):
    for pairs in run_ranks(resume, str(tmp_path), saved_after):
        for straight, resumed in pairs:
            assert torch.equal(straight, resumed)


def scale_cut_on_two_axes() -> tuple[Tensor, bool]:
    mesh = init_device_mesh("cpu", (2, 2))
    weight = nn.Parameter(distribute_tensor(rows(), mesh, [Shard(0), Shard(1)]))
    weight.grad = distribute_tensor(rows().flip(0), mesh, [Shard(0), Shard(1)])
    larc_gradients_([{"params": [weight], "weight_decay": 0.1, "lr": 1.0}])
    scaled = weight.grad.full_tensor()
    weight.grad = DTensor.from_local(rows(6), mesh, [Partial(), Shard(0)])
    try:
        larc_gradients_([{"params": [weight], "weight_decay": 0.1, "lr": 1.0}])
    except ValueError as error:
        return scaled, "need gradients whose shards are summed" in str(error)
    return scaled, False


def test_a_tensor_cut_on_two_axes_has_one_norm_and_unsummed_gradients_are_refused():
    weight = nn.Parameter(rows())
    weight.grad = rows().flip(0)
    larc_gradients_([{"params": [weight], "weight_decay": 0.1, "lr": 1.0}])
    for scaled, refused in run_ranks(scale_cut_on_two_axes, world_size=4):
        assert_close(scaled, weight.grad, rtol=1e-12, atol=0)
        assert refused


def test_negative_numbers_are_refused_with_their_values():
    with pytest.raises(ValueError, match=r"got lr=-1\.0, momentum=0\.9"):
        LARC([nn.Parameter(torch.ones(1))], lr=-1.0)


def test_groups_that_do_not_adapt_are_plain_sgd_with_decay():
    """BYOL's norms and biases, beside tensors that LARC scales."""
    generator = torch.Generator().manual_seed(0)

    def draw():
        return torch.randn(5, generator=generator, dtype=torch.float64)

    values, grads = [draw() for _ in range(3)], [draw() for _ in range(3)]
    params = [torch.nn.Parameter(value.clone()) for value in values]
    groups = [
        {"params": params[:1]},
        {"params": params[1:2], "adapt": False},
        {"params": params[2:], "adapt": False, "weight_decay": 0.0},
    ]
    optimizer = LARC(groups, lr=0.5, weight_decay=0.1, momentum=0.0)
    for p, grad in zip(params, grads, strict=True):
        p.grad = grad.clone()
    optimizer.step()
    size, norm = values[0].norm(), grads[0].norm()
    rate = 1e-3 * size / (norm + 0.1 * size + 1e-8)
    assert_close(params[0].data, values[0] - 0.5 * rate * (grads[0] + 0.1 * values[0]))
    assert_close(params[1].data, values[1] - 0.5 * (grads[1] + 0.1 * values[1]))
    assert_close(params[2].data, values[2] - 0.5 * grads[2])
