import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from eyespot import create_model
from eyespot.models.vit import attend, resample_grid
from tests.models.networks import FAMILIES, VITS, images, random_network


def test_block_equals_torchs_own_encoder_layer():
    """The same weights in nn.TransformerEncoderLayer (pre-norm, GELU) give the same tokens."""
    model = random_network(FAMILIES["vit_p"]).double().eval()
    ours = model.blocks[0]
    theirs = nn.TransformerEncoderLayer(
        32, 2, 64, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True,
        norm_first=True, dtype=torch.float64,
    )  # fmt: skip
    names = {
        "norm1": "norm1", "norm2": "norm2", "self_attn.in_proj_": "attn.qkv.",
        "self_attn.out_proj": "attn.proj", "linear1": "mlp.fc1", "linear2": "mlp.fc2",
    }  # fmt: skip
    state = {}
    for name in theirs.state_dict():
        start = next(each for each in names if name.startswith(each))
        state[name] = ours.state_dict()[name.replace(start, names[start])]
    theirs.load_state_dict(state)
    x = torch.randn(3, 17, 32, dtype=torch.float64)
    assert_close(ours(x), theirs.train()(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("length", [5, 197, 700])
def test_bfloat16_attention_stays_within_rounding(length):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, length, 64) for _ in range(3))
    exact = (q.double() @ k.double().mT / 8).softmax(-1) @ v.double()
    out = attend(q.bfloat16(), k.bfloat16(), v.bfloat16())
    assert out.dtype == torch.bfloat16
    assert (out.double() - exact).norm() / exact.norm() < 0.01
    assert_close(attend(q, k, v).double(), exact, rtol=1e-4, atol=1e-5)


def test_bfloat16_attention_has_the_gradients_of_float64():
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, 50, 64, dtype=torch.float64) for _ in range(3)]
    seed = torch.randn(2, 3, 50, 64, dtype=torch.float64)
    gradients = {}
    for dtype in (torch.float64, torch.bfloat16):
        leaves = [each.to(dtype).requires_grad_() for each in inputs]
        gradients[dtype] = torch.autograd.grad(attend(*leaves), leaves, seed.to(dtype))
    pairs = zip(gradients[torch.bfloat16], gradients[torch.float64], strict=True)
    for got, wanted in pairs:
        assert (got.double() - wanted).norm() / wanted.norm() < 0.02


@pytest.mark.parametrize("spec", VITS.values(), ids=VITS)
@pytest.mark.parametrize("size", [(64, 64), (32, 48), (16, 16)])
def test_images_of_other_sizes_are_accepted(spec, size):
    model = random_network(spec).eval()
    x = torch.randn(2, 3, *size)
    patch = spec.stem.patch_size
    tokens = model.forward_features(x)
    places = (size[0] // patch) * (size[1] // patch)
    assert tokens.shape == (2, places + (spec.pooling == "token"), 32)
    assert model(x).isfinite().all()
    maps = model.forward_intermediates(x, [0])
    assert maps[0].shape == (2, 32, size[0] // patch, size[1] // patch)


def test_positions_are_resampled_as_an_image_would_be():
    embed = torch.randn(1, 1 + 49, 6, dtype=torch.float32)
    new = resample_grid(embed, (10, 5), num_prefix=1)
    assert_close(new[:, :1], embed[:, :1], rtol=0, atol=0)
    picture = embed[:, 1:].transpose(1, 2).reshape(1, 6, 7, 7)
    wanted = F.interpolate(picture, (10, 5), mode="bicubic", antialias=True)
    assert_close(new[0, 1:].T.reshape(6, 10, 5), wanted[0])


def test_positions_of_a_plane_stay_a_plane():
    """Bicubic resampling keeps linear functions away from the border."""
    ramp = torch.arange(16.0).reshape(1, 1, 16, 1).expand(1, 16, 16, 1).reshape(1, 256, 1)
    new = resample_grid(ramp, (32, 32), num_prefix=0).reshape(32, 32)
    wanted = (torch.arange(32.0) + 0.5) / 2 - 0.5
    assert_close(new[8, 6:26], wanted[6:26], rtol=1e-4, atol=1e-4)


def test_positions_of_the_own_size_are_untouched():
    embed = torch.randn(1, 17, 4)
    assert resample_grid(embed, (4, 4), num_prefix=1) is embed
    with pytest.raises(ValueError, match="square grid, got 15"):
        resample_grid(embed, (4, 4), num_prefix=2)


@pytest.mark.parametrize("size", [(30, 32), (32, 33)])
def test_images_that_patches_do_not_tile_are_refused(size):
    model = create_model(FAMILIES["vit_p"])
    with pytest.raises(ValueError, match=rf"patch size 8 divides, got {size[0]}x{size[1]}"):
        model(torch.zeros(1, 3, *size))


def test_the_token_looks_at_every_patch_and_the_mean_averages_them():
    token = random_network(FAMILIES["vit_p"]).eval()
    x = images(FAMILIES["vit_p"]).requires_grad_()
    token(x).sum().backward()
    seen = x.grad.abs().unfold(2, 8, 8).unfold(3, 8, 8).sum((0, 1, 4, 5))
    assert (seen > 0).all()
    pooled = random_network(FAMILIES["vit_c_pooled"]).eval()
    assert pooled.cls_token is None
    tokens = torch.randn(2, 9, 32)
    assert_close(pooled.forward_head(tokens, pre_logits=True), tokens.mean(1))
    assert_close(token.forward_head(tokens, pre_logits=True), tokens[:, 0])
