import torch
import torch.nn.functional as F
from torch.testing import assert_close

from eyespot.losses.byol import byol_loss

X = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)


def test_same_directions_cost_nothing_and_opposite_ones_eight():
    assert_close(byol_loss(torch.stack([X, X]), torch.stack([5 * X, X])).item(), 0.0)
    assert_close(byol_loss(torch.stack([X, X]), torch.stack([-X, -X])).item(), 8.0)
    assert_close(byol_loss(torch.stack([X, X]), torch.stack([X.flip(0), X.flip(0)])).item(), 4.0)


def test_each_view_predicts_the_other_ones_target():
    first, second = X, X.flip(0)
    swapped = byol_loss(torch.stack([first, second]), torch.stack([second, first]))
    assert_close(swapped.item(), 0.0)


def test_equals_the_squared_distance_of_unit_vectors():
    generator = torch.Generator().manual_seed(0)
    predictions = torch.randn(2, 5, 7, generator=generator, dtype=torch.float64)
    targets = torch.randn(2, 5, 7, generator=generator, dtype=torch.float64)
    p, t = F.normalize(predictions, dim=-1), F.normalize(targets, dim=-1)
    expected = sum((p[i] - t[1 - i]).square().sum(dim=1).mean() for i in range(2))
    assert_close(byol_loss(predictions, targets), expected)


def test_no_gradient_reaches_the_targets():
    predictions = torch.rand(2, 3, 4, requires_grad=True)
    targets = torch.rand(2, 3, 4, requires_grad=True)
    byol_loss(predictions, targets).backward()
    assert predictions.grad is not None
    assert targets.grad is None


def test_half_precision_is_lifted_to_float32():
    predictions, targets = torch.rand(2, 2, 3, 64, generator=torch.Generator().manual_seed(0))
    loss = byol_loss(predictions.bfloat16(), targets.bfloat16())
    expected = byol_loss(predictions.bfloat16().double(), targets.bfloat16().double())
    assert loss.dtype == torch.float32
    assert_close(loss.item(), expected.item(), rtol=1e-5, atol=0)
