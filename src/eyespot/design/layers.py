"""Layers run on sizes instead of tensors: what each computes, moves and keeps for backward.

Every tensor that PyTorch keeps for the backward pass is listed once, however many layers keep it:
an in-place ReLU shares its memory with the norm before it, an in-place SiLU keeps a copy of its
input, attention keeps queries, keys, values and output but no score matrix.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from eyespot.design.specs import Activation

Kind = Literal[
    "conv",
    "linear",
    "attention",
    "batch_norm",
    "layer_norm",
    "activation",
    "add",
    "gate",
    "mean",
    "max_pool",
    "cast",
    "copy",
]
Format = Literal["compute", "float32", "int64"]


class Layer(NamedTuple):
    """One operation on one image.

    Attributes:
        kind: What it is.
        flops: Multiply-adds.
        params: Learned numbers.
        read: Elements of its inputs, each counted once.
        written: Elements of its outputs.
        format: Of the elements: "compute" is the dtype of convolutions.
        group_width: Input channels that each output of a convolution sees; 0 for other layers.
    """

    kind: Kind
    flops: int
    params: int
    read: int
    written: int
    format: Format
    group_width: int = 0


class Kept(NamedTuple):
    """A tensor held for the backward pass.

    Attributes:
        elements: How many, for one image; for the whole batch when not `per_image`.
        format: Of the elements.
        per_image: Whether it grows with the batch.
    """

    elements: int
    format: Format
    per_image: bool


class Unit(NamedTuple):
    """Stem, one block or head.

    Attributes:
        name: As in the module tree: "stem", "s1.b1", "blocks.0", "head".
        layers: In the order of the forward pass.
        entry: Its input, by the number of its memory.
        keeps: All that it keeps, by the numbers of their memory.
        kept: What it is the first to keep.
    """

    name: str
    layers: tuple[Layer, ...]
    entry: tuple[int, Kept]
    keeps: tuple[tuple[int, Kept], ...]
    kept: tuple[Kept, ...]

    @property
    def params(self) -> int:
        """Learned numbers."""
        return sum(layer.params for layer in self.layers)


@dataclass(eq=False, slots=True)
class Map:
    """A tensor of one image, by its sizes; two names of one memory are one object."""

    channels: int
    height: int = 1
    width: int = 1
    format: Format = "compute"
    per_image: bool = True

    @property
    def elements(self) -> int:
        """How many numbers."""
        return self.channels * self.height * self.width

    def kept(self) -> Kept:
        """Return it as an entry of a list of kept tensors."""
        return Kept(self.elements, self.format, self.per_image)


@dataclass(slots=True)
class _Open:
    """A unit being walked; `kept` by the identity of the memory."""

    name: str
    entry: Map
    layers: list[Layer] = field(default_factory=list)
    kept: dict[int, Map] = field(default_factory=dict)


class Walker:
    """Runs layers on sizes and remembers what is kept.

    Args:
        mixed: Autocast: convolutions, linear layers and attention run on 16-bit copies of what is
            float32, and layer norms and sums with float32 stay float32.
    """

    def __init__(self, mixed: bool) -> None:
        self.mixed = mixed
        self.units: list[_Open] = []

    def begin(self, name: str, entry: Map) -> None:
        """Start a unit."""
        self.units.append(_Open(name, entry))

    def image(self, channels: int, size: int) -> Map:
        """Return the input."""
        return Map(channels, size, size, "float32" if self.mixed else "compute")

    def keep(self, x: Map) -> None:
        """Hold a tensor for the backward pass."""
        self.units[-1].kept[id(x)] = x

    def _log(self, kind: Kind, read: int, out: Map, *, flops: int = 0, params: int = 0) -> None:
        layer = Layer(kind, flops, params, read, out.elements, out.format)
        self.units[-1].layers.append(layer)

    def _low(self, x: Map) -> Map:
        """Return a tensor as the compute dtype: itself, or a copy."""
        if x.format == "compute":
            return x
        copy = Map(x.channels, x.height, x.width)
        self._log("cast", 2 * x.elements, copy)
        return copy

    def _copy_weights(self, count: int) -> None:
        if self.mixed:
            self.keep(Map(count, per_image=False))

    def conv(
        self,
        x: Map,
        w_out: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        unpadded: bool = False,
    ) -> Map:
        """Convolution."""
        x = self._low(x)
        self.keep(x)
        height, width = (
            side // stride if unpadded else (side - 1) // stride + 1 for side in (x.height, x.width)
        )
        out = Map(w_out, height, width)
        places = out.height * out.width
        weights = kernel * kernel * x.channels * w_out
        extra = w_out if bias else 0
        self._copy_weights(weights // groups)
        self.units[-1].layers.append(
            Layer(
                "conv",
                weights * places // groups + extra * places,
                weights // groups + extra,
                x.elements,
                out.elements,
                out.format,
                x.channels // groups,
            )
        )
        return out

    def linear(self, x: Map, w_out: int, whole: Map | None = None) -> Map:
        """Linear layer over channels; `whole` is the memory that `x` is a slice of."""
        low = self._low(x)
        self.keep(whole if whole is not None and low is x else low)
        out = Map(w_out, x.height, x.width)
        places = x.height * x.width
        params = (x.channels + 1) * w_out
        self._copy_weights(params - w_out)
        self._log("linear", x.elements, out, flops=params * places, params=params)
        return out

    def batch_norm(self, x: Map) -> Map:
        """Batch norm with batch statistics."""
        self.keep(x)
        for _ in range(2):
            self.keep(Map(x.channels, format="float32", per_image=False))
        out = Map(x.channels, x.height, x.width)
        self._log("batch_norm", x.elements, out, params=2 * x.channels)
        return out

    def layer_norm(self, x: Map) -> Map:
        """Layer norm over channels; float32 inside and out under autocast."""
        if self.mixed and x.format == "compute":
            copy = Map(x.channels, x.height, x.width, "float32")
            self._log("cast", x.elements, copy)
            x = copy
        self.keep(x)
        for _ in range(2):
            self.keep(Map(1, x.height, x.width, "float32"))
        out = Map(x.channels, x.height, x.width, x.format)
        self._log("layer_norm", x.elements, out, params=2 * x.channels)
        return out

    def activation(self, x: Map, kind: Activation) -> Map:
        """Non-linearity: in place except GELU; SiLU and ReLU6 copy their input first."""
        if kind == "relu":
            self.keep(x)
            self._log("activation", x.elements, x)
            return x
        out = Map(x.channels, x.height, x.width, x.format)
        self.keep(x)
        self._log("activation", x.elements, out)
        if kind in ("silu", "relu6"):
            self._log("copy", x.elements, x)
        return out

    def add(self, x: Map, y: Map) -> Map:
        """Sum into new memory."""
        wide = "float32" in (x.format, y.format)
        out = Map(x.channels, x.height, x.width, "float32" if wide else "compute")
        self._log("add", 2 * x.elements, out)
        return out

    def mean(self, x: Map) -> Map:
        """Mean over places."""
        out = Map(x.channels, format=x.format)
        self._log("mean", x.elements, out)
        return out

    def max_pool(self, x: Map, stride: int) -> Map:
        """3x3 max pool; keeps the indices as 8-byte integers."""
        self.keep(x)
        out = Map(x.channels, (x.height - 1) // stride + 1, (x.width - 1) // stride + 1)
        self.keep(Map(out.channels, out.height, out.width, "int64"))
        self._log("max_pool", x.elements, out)
        return out

    def positions(self, x: Map, class_token: bool) -> Map:
        """A map as tokens [D, T], the class token put before them, embeddings added."""
        length = x.height * x.width + class_token
        out = Map(x.channels, length, format="float32" if self.mixed else "compute")
        if class_token:
            self._log("copy", x.elements, Map(x.channels, length))
        self._log("add", 2 * out.elements, out, params=x.channels * (length + class_token))
        return out

    def drop(self, x: Map) -> Map:
        """A residual branch times a mask, over the branch's chance to stay."""
        self.keep(Map(1))
        out = Map(x.channels, x.height, x.width)
        for _ in range(2):
            self._log("activation", x.elements, out)
        return out

    def dropout(self, x: Map) -> Map:
        """Dropout; its mask is as large as its input."""
        self.keep(Map(x.channels, x.height, x.width))
        out = Map(x.channels, x.height, x.width, x.format)
        self._log("activation", 2 * x.elements, out)
        return out

    def squeeze_excite(self, x: Map, squeezed: int, act: Activation) -> Map:
        """Squeeze-and-excitation."""
        gate = self.conv(self.mean(x), squeezed, 1, bias=True)
        gate = self.conv(self.activation(gate, act), x.channels, 1, bias=True)
        gate = Map(gate.channels)  # the sigmoid's output
        self._log("activation", gate.elements, gate)
        self.keep(gate)
        self.keep(x)
        out = Map(x.channels, x.height, x.width)
        self._log("gate", x.elements, out)
        return out

    def attention(self, qkv: Map, heads: int) -> Map:
        """Scaled dot-product attention of tokens [3 D, T], with a fused kernel."""
        self.keep(qkv)
        length, dim = qkv.height, qkv.channels // 3
        out = Map(dim, length)
        self.keep(out)
        self.keep(Map(heads, length, format="float32"))  # log-sum-exp of each row of scores
        self._log("attention", qkv.elements, out, flops=2 * length * length * dim)
        return out

    def finish(self) -> tuple[Unit, ...]:
        """Return the units; the first is the stem, the last the head."""
        units = []
        seen: set[int] = set()
        number: dict[int, int] = {}
        for unit in self.units:
            for key in (id(unit.entry), *unit.kept):
                number.setdefault(key, len(number))
            units.append(
                Unit(
                    unit.name,
                    tuple(unit.layers),
                    (number[id(unit.entry)], unit.entry.kept()),
                    tuple((number[key], x.kept()) for key, x in unit.kept.items()),
                    tuple(x.kept() for key, x in unit.kept.items() if key not in seen),
                )
            )
            seen |= unit.kept.keys()
        return tuple(units)
