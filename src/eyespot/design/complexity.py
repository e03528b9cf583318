"""How much a network costs, by closed form: flops, params and activations, nothing built.

Paper: Fast and Accurate Model Scaling (arXiv 2103.06877), section 2. A flop is one multiply-add;
activations are the elements of the outputs of convolutional and linear layers, of attention
score matrices, and of max pools. Batch size 1, everything a whole number. The counts equal
pycls', to the last unit.
"""

from dataclasses import dataclass
from typing import NamedTuple

from eyespot.design.specs import AnyNetSpec, EffNetSpec, Spec, ViTSpec


class Complexity(NamedTuple):
    """What one image costs.

    Attributes:
        params: Learned numbers.
        flops: Multiply-adds.
        acts: Activations.
    """

    params: int
    flops: int
    acts: int


class Part(NamedTuple):
    """One row of a complexity tree: a stage, or one block of it.

    Attributes:
        name: As in the module tree, for example "s3" or "s3.b1".
        cost: What it costs, with all that is in it.
        channels: Output channels.
        height: Output height; a transformer's token count.
        width: Output width; 1 for tokens.
    """

    name: str
    cost: Complexity
    channels: int
    height: int
    width: int


@dataclass(slots=True)
class _Tally:
    """Walks through layers, carrying the map size and the running counts."""

    height: int
    width: int
    params: int = 0
    flops: int = 0
    acts: int = 0

    def conv(
        self,
        w_in: int,
        w_out: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        unpadded: bool = False,
    ) -> None:
        if unpadded:
            self.height, self.width = self.height // stride, self.width // stride
        else:
            self.height = (self.height - 1) // stride + 1
            self.width = (self.width - 1) // stride + 1
        places = self.height * self.width
        weights = kernel * kernel * w_in * w_out
        self.flops += weights * places // groups
        self.params += weights // groups
        self.acts += w_out * places
        if bias:
            self.flops += w_out * places
            self.params += w_out

    def norm(self, width: int) -> None:
        self.params += 2 * width

    def max_pool(self, width: int, stride: int) -> None:
        self.height = (self.height - 1) // stride + 1
        self.width = (self.width - 1) // stride + 1
        self.acts += width * self.height * self.width

    def linear(self, w_in: int, w_out: int, positions: int = 1) -> None:
        self.flops += (w_in + 1) * w_out * positions
        self.params += (w_in + 1) * w_out
        self.acts += w_out * positions

    def squeeze_excite(self, width: int, squeezed: int) -> None:
        for w_in, w_out in ((width, squeezed), (squeezed, width)):
            self.linear(w_in, w_out)

    def attention(self, length: int, width: int, heads: int) -> None:
        self.linear(width, 3 * width, length)
        self.flops += 2 * length * length * width
        self.acts += heads * length * length + width * length
        self.linear(width, width, length)

    def cost(self) -> Complexity:
        return Complexity(self.params, self.flops, self.acts)


def complexity(spec: Spec, image_size: int | None = None) -> Complexity:
    """Count what one image costs.

    Args:
        spec: The network.
        image_size: Side of the image, px; the spec's own when not given.

    Raises:
        ValueError: If the size is not positive, or a ViT's patches do not tile it.
    """
    params = flops = acts = 0
    for part in complexity_tree(spec, image_size):
        params += part.cost.params
        flops += part.cost.flops
        acts += part.cost.acts
    return Complexity(params, flops, acts)


def complexity_tree(
    spec: Spec, image_size: int | None = None, *, blocks: bool = False
) -> list[Part]:
    """Count what one image costs, part by part in the order of the forward pass.

    Args:
        spec: The network.
        image_size: Side of the image, px; the spec's own when not given.
        blocks: One part a block instead of one a stage.

    Raises:
        ValueError: As `complexity`.
    """
    size = spec.image_size if image_size is None else image_size
    if size < 1:
        raise ValueError(f"need an image size of 1 px or more, got {size}")
    match spec:
        case AnyNetSpec():
            return _anynet_parts(spec, size, blocks)
        case EffNetSpec():
            return _effnet_parts(spec, size, blocks)
        case ViTSpec():
            return _vit_parts(spec, size, blocks)


def _repeat(
    name: str, first: _Tally, other: _Tally, depth: int, channels: int, blocks: bool
) -> list[Part]:
    """Parts of a stage: its first block, then depth - 1 equal ones."""
    if blocks:
        tallies = [first] + [other] * (depth - 1)
        return [
            Part(f"{name}.b{j}", tally.cost(), channels, tally.height, tally.width)
            for j, tally in enumerate(tallies, start=1)
        ]
    more = depth - 1
    cost = Complexity(
        first.params + more * other.params,
        first.flops + more * other.flops,
        first.acts + more * other.acts,
    )
    return [Part(name, cost, channels, first.height, first.width)]


def _anynet_parts(spec: AnyNetSpec, size: int, blocks: bool) -> list[Part]:
    tally = _Tally(size, size)
    w_in = spec.stem_width
    kernel, stride = {
        "simple_stem_in": (3, 2),
        "res_stem_in": (7, 2),
        "res_stem_cifar": (3, 1),
    }[spec.stem]
    tally.conv(spec.in_chans, w_in, kernel, stride=stride)
    tally.norm(w_in)
    if spec.stem == "res_stem_in":
        tally.max_pool(w_in, 2)
    parts = [Part("stem", tally.cost(), w_in, tally.height, tally.width)]
    for i, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
        first = _Tally(tally.height, tally.width)
        _anynet_block(first, spec, i, w_in, spec.strides[i])
        other = _Tally(first.height, first.width)
        if depth > 1:
            _anynet_block(other, spec, i, width, 1)
        parts += _repeat(f"s{i + 1}", first, other, depth, width, blocks)
        tally, w_in = first, width
    head = _Tally(tally.height, tally.width)
    if spec.head_width:
        head.conv(w_in, spec.head_width, 1)
        head.norm(spec.head_width)
        w_in = spec.head_width
    return [*parts, _classifier(head, w_in, spec.num_classes)]


def _classifier(head: _Tally, w_in: int, num_classes: int) -> Part:
    if num_classes:
        head.linear(w_in, num_classes)
    return Part("head", head.cost(), num_classes or w_in, 1, 1)


def _anynet_block(tally: _Tally, spec: AnyNetSpec, stage: int, w_in: int, stride: int) -> None:
    w_out = spec.widths[stage]
    residual = spec.block in ("res_basic_block", "res_bottleneck_block")
    if residual and (w_in != w_out or stride != 1):
        height, width = tally.height, tally.width
        tally.conv(w_in, w_out, 1, stride=stride)
        tally.norm(w_out)
        tally.height, tally.width = height, width
    if spec.block in ("vanilla_block", "res_basic_block"):
        tally.conv(w_in, w_out, 3, stride=stride)
        tally.norm(w_out)
        tally.conv(w_out, w_out, 3)
        tally.norm(w_out)
        return
    inner = round(w_out * spec.bot_muls[stage])
    stride_a, stride_b = (stride, 1) if spec.stride_1x1 else (1, stride)
    tally.conv(w_in, inner, 1, stride=stride_a)
    tally.norm(inner)
    tally.conv(inner, inner, 3, stride=stride_b, groups=inner // spec.group_widths[stage])
    tally.norm(inner)
    if squeezed := round(w_in * spec.se_ratio):
        tally.squeeze_excite(inner, squeezed)
    tally.conv(inner, w_out, 1)
    tally.norm(w_out)


def _effnet_parts(spec: EffNetSpec, size: int, blocks: bool) -> list[Part]:
    tally = _Tally(size, size)
    w_in = spec.stem_width
    tally.conv(spec.in_chans, w_in, 3, stride=2)
    tally.norm(w_in)
    parts = [Part("stem", tally.cost(), w_in, tally.height, tally.width)]
    for i, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
        first = _Tally(tally.height, tally.width)
        _effnet_block(first, spec, i, w_in, spec.strides[i])
        other = _Tally(first.height, first.width)
        if depth > 1:
            _effnet_block(other, spec, i, width, 1)
        parts += _repeat(f"s{i + 1}", first, other, depth, width, blocks)
        tally, w_in = first, width
    head = _Tally(tally.height, tally.width)
    head.conv(w_in, spec.head_width, 1)
    head.norm(spec.head_width)
    return [*parts, _classifier(head, spec.head_width, spec.num_classes)]


def _effnet_block(tally: _Tally, spec: EffNetSpec, stage: int, w_in: int, stride: int) -> None:
    expanded = int(w_in * spec.exp_ratios[stage])
    if expanded != w_in:
        tally.conv(w_in, expanded, 1)
        tally.norm(expanded)
    tally.conv(expanded, expanded, spec.kernels[stage], stride=stride, groups=expanded)
    tally.norm(expanded)
    if spec.se_ratio:
        tally.squeeze_excite(expanded, int(w_in * spec.se_ratio))
    tally.conv(expanded, spec.widths[stage], 1)
    tally.norm(spec.widths[stage])


def _vit_parts(spec: ViTSpec, size: int, blocks: bool) -> list[Part]:
    patch = spec.stem.patch_size
    if size % patch:
        raise ValueError(f"need an image size divisible by the patch size {patch}, got {size}")
    dim = spec.hidden_dim
    stem = _Tally(size, size)
    w_in = spec.in_chans
    convs = spec.stem.convs()
    for i, (w_out, (kernel, stride)) in enumerate(
        zip((*spec.stem.channels, dim), convs, strict=True)
    ):
        last = i == len(convs) - 1
        stem.conv(w_in, w_out, kernel, stride=stride, bias=last, unpadded=kernel == stride > 1)
        if not last or spec.stem.norm_after:
            stem.norm(w_out)
        w_in = w_out
    length = stem.height * stem.width + (spec.pooling == "token")
    stem.params += dim * (length + (spec.pooling == "token"))
    parts = [Part("stem", stem.cost(), dim, length, 1)]

    block = _Tally(length, 1)
    block.norm(dim)
    block.attention(length, dim, spec.num_heads)
    block.norm(dim)
    block.linear(dim, spec.mlp_dim, length)
    block.linear(spec.mlp_dim, dim, length)
    if blocks:
        parts += [Part(f"blocks.{i}", block.cost(), dim, length, 1) for i in range(spec.depth)]
    else:
        total = Complexity(*(count * spec.depth for count in block.cost()))
        parts.append(Part("blocks", total, dim, length, 1))
    head = _Tally(1, 1)
    head.norm(dim)
    return [*parts, _classifier(head, dim, spec.num_classes)]
