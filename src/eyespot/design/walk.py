"""What a network does to one image, layer by layer: what memory and time are predicted from.

The forward pass of the built module, walked with numbers instead of tensors (`design.layers`). The
layers' flops and params add up to `design.complexity`'s.
"""

import functools

from eyespot.design.layers import Map, Unit, Walker
from eyespot.design.specs import AnyNetSpec, EffNetSpec, Spec, ViTSpec


@functools.lru_cache(maxsize=64)
def walk(
    spec: Spec,
    image_size: int | None = None,
    *,
    mixed: bool = False,
    head_dims: tuple[int, ...] | None = None,
) -> tuple[Unit, ...]:
    """Walk a network's training forward pass over one image: stem, blocks, head.

    Args:
        spec: The network.
        image_size: Side of the image, px; the spec's own when not given.
        mixed: Under autocast, as `Walker`.
        head_dims: Widths of linear layers, with ReLU between, that replace the classifier: a
            projection head with prototypes, such as (8192, 8192, 256, 16000). Their norms are not
            counted.

    Raises:
        ValueError: If the size is not positive, or a ViT's patches do not tile it.
    """
    size = spec.image_size if image_size is None else image_size
    if size < 1:
        raise ValueError(f"need an image size of 1 px or more, got {size}")
    walker = Walker(mixed)
    match spec:
        case AnyNetSpec():
            pooled, whole = _walk_anynet(walker, spec, size), None
        case EffNetSpec():
            pooled, whole = _walk_effnet(walker, spec, size), None
        case ViTSpec():
            pooled, whole = _walk_vit(walker, spec, size)
    dims = ((spec.num_classes,) if spec.num_classes else ()) if head_dims is None else head_dims
    for i, dim in enumerate(dims):
        if i:
            pooled = walker.activation(pooled, "relu")
        pooled = walker.linear(pooled, dim, whole if i == 0 else None)
    return walker.finish()


def _walk_anynet(walker: Walker, spec: AnyNetSpec, size: int) -> Map:
    act = spec.activation
    kernel, stride = {
        "simple_stem_in": (3, 2),
        "res_stem_in": (7, 2),
        "res_stem_cifar": (3, 1),
    }[spec.stem]
    x = walker.image(spec.in_chans, size)
    walker.begin("stem", x)
    x = walker.batch_norm(walker.conv(x, spec.stem_width, kernel, stride=stride))
    x = walker.activation(x, act)
    if spec.stem == "res_stem_in":
        x = walker.max_pool(x, 2)
    for i, depth in enumerate(spec.depths):
        for j in range(depth):
            walker.begin(f"s{i + 1}.b{j + 1}", x)
            x = _walk_anynet_block(walker, spec, i, x, spec.strides[i] if j == 0 else 1)
    walker.begin("head", x)
    if spec.head_width:
        x = walker.activation(walker.batch_norm(walker.conv(x, spec.head_width, 1)), act)
    return walker.mean(x)


def _walk_anynet_block(walker: Walker, spec: AnyNetSpec, stage: int, x: Map, stride: int) -> Map:
    act, w_in, w_out = spec.activation, x.channels, spec.widths[stage]
    same = w_in == w_out and stride == 1
    skip = x
    if not same and spec.block in ("res_basic_block", "res_bottleneck_block"):
        skip = walker.batch_norm(walker.conv(x, w_out, 1, stride=stride))
    if spec.block in ("vanilla_block", "res_basic_block"):
        out = walker.activation(walker.batch_norm(walker.conv(x, w_out, 3, stride=stride)), act)
        out = walker.batch_norm(walker.conv(out, w_out, 3))
        if spec.block == "vanilla_block":
            return walker.activation(out, act)
        return walker.activation(walker.add(skip, out), act)
    inner = round(w_out * spec.bot_muls[stage])
    groups = inner // spec.group_widths[stage]
    stride_a, stride_b = (stride, 1) if spec.stride_1x1 else (1, stride)
    out = walker.activation(walker.batch_norm(walker.conv(x, inner, 1, stride=stride_a)), act)
    out = walker.batch_norm(walker.conv(out, inner, 3, stride=stride_b, groups=groups))
    out = walker.activation(out, act)
    if squeezed := round(w_in * spec.se_ratio):
        out = walker.squeeze_excite(out, squeezed, act)
    out = walker.batch_norm(walker.conv(out, w_out, 1))
    if spec.block == "res_bottleneck_linear_block":
        return walker.add(x, out) if same else out
    return walker.activation(walker.add(skip, out), act)


def _walk_effnet(walker: Walker, spec: EffNetSpec, size: int) -> Map:
    act = spec.activation
    x = walker.image(spec.in_chans, size)
    walker.begin("stem", x)
    x = walker.activation(walker.batch_norm(walker.conv(x, spec.stem_width, 3, stride=2)), act)
    for i, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
        for j in range(depth):
            walker.begin(f"s{i + 1}.b{j + 1}", x)
            stride = spec.strides[i] if j == 0 else 1
            expanded, out = int(x.channels * spec.exp_ratios[i]), x
            if expanded != x.channels:
                out = walker.activation(walker.batch_norm(walker.conv(x, expanded, 1)), act)
            out = walker.conv(out, expanded, spec.kernels[i], stride=stride, groups=expanded)
            out = walker.activation(walker.batch_norm(out), act)
            if spec.se_ratio:
                out = walker.squeeze_excite(out, int(x.channels * spec.se_ratio), act)
            out = walker.batch_norm(walker.conv(out, width, 1))
            if stride == 1 and width == x.channels:
                out = walker.add(x, walker.drop(out) if spec.drop_connect else out)
            x = out
    walker.begin("head", x)
    x = walker.activation(walker.batch_norm(walker.conv(x, spec.head_width, 1)), act)
    x = walker.mean(x)
    return walker.dropout(x) if spec.dropout else x


def _walk_vit(walker: Walker, spec: ViTSpec, size: int) -> tuple[Map, Map]:
    """Walk a ViT; returns the pooled token and the memory it is a slice of."""
    patch, dim = spec.stem.patch_size, spec.hidden_dim
    if size % patch:
        raise ValueError(f"need an image size divisible by the patch size {patch}, got {size}")
    x = walker.image(spec.in_chans, size)
    walker.begin("stem", x)
    norm = walker.batch_norm if spec.stem.norm == "batch" else walker.layer_norm
    convs = spec.stem.convs()
    for i, (w_out, (kernel, stride)) in enumerate(
        zip((*spec.stem.channels, dim), convs, strict=True)
    ):
        last = i == len(convs) - 1
        x = walker.conv(x, w_out, kernel, stride=stride, bias=last, unpadded=kernel == stride > 1)
        if not last or spec.stem.norm_after:
            x = walker.activation(norm(x), "relu")
    has_class = spec.pooling == "token"
    x = walker.positions(x, has_class)
    for i in range(spec.depth):
        walker.begin(f"blocks.{i}", x)
        attended = walker.attention(walker.linear(walker.layer_norm(x), 3 * dim), spec.num_heads)
        x = walker.add(x, walker.linear(attended, dim))
        hidden = walker.activation(walker.linear(walker.layer_norm(x), spec.mlp_dim), "gelu")
        x = walker.add(x, walker.linear(hidden, dim))
    walker.begin("head", x)
    whole = walker.layer_norm(x)
    if has_class:
        return Map(dim, format=whole.format), whole
    pooled = walker.mean(whole)
    return pooled, pooled
