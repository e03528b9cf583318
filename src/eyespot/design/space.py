"""Design spaces: distributions over networks and training settings, and the points drawn from them.

Paper: Designing Network Design Spaces (arXiv 2003.13678), section 3; sampled as pycls' sweeps are.
Every point has a random stream of its own, seeded by (seed, index): more points never change the
ones before them, and a point can be drawn again without the others.
"""

import functools
import hashlib
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple

from eyespot.design.by_name import to_spec
from eyespot.design.complexity import complexity
from eyespot.design.regnet import compatible_widths, num_powers, regnet, regnet_widths
from eyespot.design.samplers import Drawn, FloatRange, IntRange, Sampler, Value, draw
from eyespot.design.scaling import scale
from eyespot.design.specs import Activation, AnyNetBlock, AnyNetSpec, AnyNetStem, Spec

TRIES = 100_000
"""Draws for one point before a space is called too narrow."""


_DEPTH = IntRange(12, 28)
_W_0 = IntRange(8, 256, "log_uniform", 8)
_W_A = FloatRange(8.0, 256.0, "log_uniform", 0.1)
_W_M = FloatRange(2.0, 3.0, "log_uniform", 0.001)
_GROUP_WIDTH = IntRange(8, 128, "power2_or_log_uniform", 8)
_BOT_MUL = FloatRange(1.0, 1.0, "power2_uniform", 1 / 128)
_REGNET_PARAMETERS = ("depth", "w_0", "w_a", "w_m", "group_width", "bot_mul")


@dataclass(frozen=True, slots=True)
class RegNets:
    """RegNets of sampled parameters; the ranges not given are pycls' (a refined RegNet space).

    Args:
        depth: Blocks in all.
        w_0: Width of the first block before rounding.
        w_a: Slope of the widths, channels a block.
        w_m: Ratio of one stage's width to the one before.
        group_width: Channels a group.
        bot_mul: Bottleneck width over block width.
        stride: Of every stage; this and all that follows is as in `regnet` and not sampled.
        se_ratio: Squeeze width over block width.
        block: Block type.
        stem: Stem type.
        stem_width: Stem width.
        activation: Non-linearity.
        head_width: Head width.
        num_classes: Classes.
        image_size: Training size, px.
        test_size: Test size, px.
    """

    kind: ClassVar[str] = "regnet"

    depth: Sampler = _DEPTH
    w_0: Sampler = _W_0
    w_a: Sampler = _W_A
    w_m: Sampler = _W_M
    group_width: Sampler = _GROUP_WIDTH
    bot_mul: Sampler = _BOT_MUL
    stride: int = 2
    se_ratio: float = 0.0
    block: AnyNetBlock = "res_bottleneck_block"
    stem: AnyNetStem = "simple_stem_in"
    stem_width: int = 32
    activation: Activation = "relu"
    head_width: int = 0
    num_classes: int = 1000
    image_size: int = 224
    test_size: int = 256

    def samplers(self) -> dict[str, Sampler]:
        """Return the sampled parameters."""
        return {name: getattr(self, name) for name in _REGNET_PARAMETERS}

    def fixed(self) -> dict[str, Any]:
        """Return the arguments of `regnet` that are not sampled."""
        names = [entry.name for entry in fields(self)]
        return {name: getattr(self, name) for name in names if name not in _REGNET_PARAMETERS}


@dataclass(frozen=True, slots=True)
class NamedNetworks:
    """Networks of the zoo, with any fields of their specs sampled.

    Args:
        model: Names, as `eyespot models` lists them, or paths of spec.json files.
        fields: Samplers of spec fields, such as `depths` or `image_size`.
    """

    kind: ClassVar[str] = "named"

    model: Value
    fields: dict[str, Sampler] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.model.values:
            if str(name).endswith(".json"):
                continue  # may have moved since; read when a point is drawn
            known = {entry.name for entry in fields(to_spec(str(name)))}
            for sampled in self.fields:
                if sampled not in known:
                    raise ValueError(f"need fields that {name} has, got {sampled!r}")

    def samplers(self) -> dict[str, Sampler]:
        """Return the sampled parameters."""
        return {"model": self.model, **self.fields}


@dataclass(frozen=True, slots=True)
class ListedPoints:
    """Points written down one by one, for an experiment whose settings go together.

    Args:
        rows: The parameters of each point; "model" names its network as in `NamedNetworks`.
    """

    kind: ClassVar[str] = "listed"

    rows: tuple[dict[str, Any], ...]

    def __post_init__(self) -> None:
        for index, row in enumerate(self.rows):
            if "model" not in row:
                raise ValueError(f"need a model in every row, got none in row {index}: {row}")
        if not self.rows:
            raise ValueError("need at least one row of a listed space, got none")


@dataclass(frozen=True, slots=True)
class Scaling:
    """Scaling of every network, sampled.

    Args:
        strategy: Type strings or preset names, as `scaling.strategy_weights` reads them.
        factor: By which flops shall grow.
    """

    strategy: Value
    factor: Sampler

    def samplers(self) -> dict[str, Sampler]:
        """Return the sampled parameters."""
        return {"scaling_strategy": self.strategy, "scaling_factor": self.factor}


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a network has to keep to. A limit of 0 is no limit.

    Args:
        flops: Least and most multiply-adds.
        params: Least and most parameters.
        acts: Least and most activations.
        stages: Least and most stages of a sampled RegNet, whose widths have to use every power of
            w_m up to the greatest (paper: four stages).
    """

    flops: tuple[float, ...] = (0.0, 0.0)
    params: tuple[float, ...] = (0.0, 0.0)
    acts: tuple[float, ...] = (0.0, 0.0)
    stages: tuple[int, ...] = (4, 4)

    def __post_init__(self) -> None:
        for name in ("flops", "params", "acts", "stages"):
            limits = getattr(self, name)
            if len(limits) != 2 or min(limits) < 0 or (limits[1] and limits[0] > limits[1]):
                raise ValueError(
                    f"need {name} as [least, most], 0 for no limit, got {list(limits)}"
                )


@dataclass(frozen=True, slots=True)
class Space:
    """A distribution over points: networks, training settings, or both.

    Args:
        name: What to call it.
        about: One sentence about it.
        network: How networks are drawn; none for a space of settings alone.
        parameters: Samplers of settings that a run reads: "lr", "wd", "epochs", ...
        scaling: Sampled scaling of each network.
        constraints: What a network has to keep to.
    """

    name: str
    about: str = ""
    network: RegNets | NamedNetworks | ListedPoints | None = None
    parameters: dict[str, Sampler] = field(default_factory=dict)
    scaling: Scaling | None = None
    constraints: Constraints = field(default_factory=Constraints)

    def __post_init__(self) -> None:
        if isinstance(self.network, ListedPoints):
            if self.parameters or self.scaling or self.constraints != Constraints():
                raise ValueError("need listed points alone, got parameters, scaling or constraints")
            return
        if self.scaling and not self.network:
            raise ValueError("need a network where there is a scaling, got none")
        counts = Counter(name for group in self._groups() for name in group)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"need each parameter once, got {', '.join(twice)} twice")
        if not counts:
            raise ValueError("need a network or at least one parameter in a space, got neither")

    def _groups(self) -> list[dict[str, Sampler]]:
        if isinstance(self.network, ListedPoints):
            return []
        network = self.network.samplers() if self.network else {}
        scaling = self.scaling.samplers() if self.scaling else {}
        return [network, self.parameters, scaling]

    def samplers(self) -> dict[str, Sampler]:
        """Return every sampled parameter by name, in the order they are drawn."""
        return {name: sampler for group in self._groups() for name, sampler in group.items()}


@dataclass(frozen=True, slots=True)
class Point:
    """One draw of a space.

    Args:
        index: Its number in the sample, from 0.
        parameters: The value drawn of every parameter.
        spec: The network; None in a space of settings alone.
    """

    index: int
    parameters: dict[str, Drawn]
    spec: Spec | None


class Sample(NamedTuple):
    """Points of a space, and what was thrown away on the way.

    Attributes:
        points: The points kept.
        draws: How many points were drawn.
        rejected: How many were dropped for each reason; one draw can break several limits.
    """

    points: list[Point]
    draws: int
    rejected: dict[str, int]


def sample_space(space: Space, seed: int, count: int) -> list[Point]:
    """Return points of a space that keep to its constraints, no two alike.

    Args:
        space: What to sample.
        seed: Any whole number.
        count: How many points; the first points of a larger sample are those of a smaller one.

    Raises:
        ValueError: If no new point that fits turns up in 100,000 draws; says what rejected them.
    """
    return sample(space, seed, count).points


def sample(space: Space, seed: int, count: int) -> Sample:
    """As `sample_space`, with the counts of what was rejected and why."""
    if count < 1:
        raise ValueError(f"need at least 1 point, got {count}")
    if isinstance(space.network, ListedPoints):
        return _listed(space.name, space.network, count)
    samplers = space.samplers()
    seen: set[tuple[Drawn, ...]] = set()
    points, draws, rejected = [], 0, Counter[str]()
    for index in range(count):
        rng = point_random(seed, index)
        reasons = Counter[str]()
        for _ in range(TRIES):
            draws += 1
            parameters = {name: draw(each, rng) for name, each in samplers.items()}
            key = tuple(parameters.values())
            if key in seen:
                reasons["duplicate"] += 1
                continue
            spec, broken = network_of(space, parameters)
            if not broken:
                seen.add(key)
                points.append(Point(index, parameters, spec))
                break
            reasons.update(broken)
        else:
            raise ValueError(_nothing_fits(space, index, reasons, parameters))
        rejected.update(reasons)
    return Sample(points, draws, dict(rejected))


def _listed(name: str, listed: ListedPoints, count: int) -> Sample:
    if count > len(listed.rows):
        raise ValueError(f"need a count of at most {len(listed.rows)} for {name!r}, got {count}")
    points = [
        Point(index, dict(row), _zoo_spec(row["model"]))
        for index, row in enumerate(listed.rows[:count])
    ]
    return Sample(points, count, {})


def point_random(seed: int, index: int) -> random.Random:
    """Return the random stream of one point, a function of seed and index alone."""
    digest = hashlib.sha256(f"eyespot point {seed} {index}".encode()).digest()
    return random.Random(int.from_bytes(digest))


def network_of(space: Space, parameters: Mapping[str, Any]) -> tuple[Spec | None, list[str]]:
    """Return the network of drawn parameters, and the constraints it breaks.

    Args:
        space: Where the parameters were drawn.
        parameters: A value for every parameter of the space.

    Returns:
        The network, or None if there is none; and names among "network" (the numbers make none),
        "stages", "flops", "params" and "acts".
    """
    if space.network is None:
        return None, []
    try:
        spec = _build(space, parameters)
        if spec is None:
            return None, ["stages"]
        cost = complexity(spec)
    except ValueError:
        return None, ["network"]
    limits = {name: getattr(space.constraints, name) for name in cost._fields}
    broken = [
        name
        for name, (least, most) in limits.items()
        if getattr(cost, name) < least or (most and getattr(cost, name) > most)
    ]
    return spec, broken


def _build(space: Space, parameters: Mapping[str, Any]) -> Spec | None:
    """Build and scale a network; None if a RegNet has other stages than it may."""
    if isinstance(space.network, RegNets):
        spec = _regnet(space.network, parameters, space.constraints.stages)
    else:
        assert isinstance(space.network, NamedNetworks)
        spec = _named(space.network, parameters)
    if spec is not None and space.scaling:
        strategy, factor = parameters["scaling_strategy"], parameters["scaling_factor"]
        return scale(spec, strategy, factor)
    return spec


def _regnet(
    network: RegNets, parameters: Mapping[str, Any], stages: tuple[int, ...]
) -> Spec | None:
    w_0, w_a, w_m, depth, group_width, bot_mul = (
        parameters[name] for name in ("w_0", "w_a", "w_m", "depth", "group_width", "bot_mul")
    )
    least, most = stages
    powers = num_powers(w_0, w_a, w_m, depth)
    if powers < least or (most and powers > most):
        return None
    if len(regnet_widths(w_0, w_a, w_m, depth)[0]) != powers:
        return None
    return regnet(w_0, w_a, w_m, depth, group_width, bot_mul=bot_mul, **network.fixed())


_zoo_spec = functools.lru_cache(maxsize=None)(to_spec)


def _named(network: NamedNetworks, parameters: Mapping[str, Any]) -> Spec:
    base: Spec = _zoo_spec(parameters["model"])
    changes = {name: parameters[name] for name in network.fields}
    per_stage = ("widths", "bot_muls", "group_widths")
    if isinstance(base, AnyNetSpec) and not changes.keys().isdisjoint(per_stage):
        widths, muls, groups = (changes.get(name, getattr(base, name)) for name in per_stage)
        if len(widths) == len(muls) == len(groups):
            widths, groups = compatible_widths(widths, muls, groups)
            changes |= {"widths": tuple(widths), "group_widths": tuple(groups)}
    return replace(base, **changes)


def _nothing_fits(
    space: Space, index: int, reasons: Mapping[str, int], parameters: Mapping[str, Any]
) -> str:
    counts = ", ".join(f"{name} {count:,}" for name, count in reasons.items())
    sentence = (
        f"need a wider space or looser constraints: none of {TRIES:,} draws for point {index} of "
        f"{space.name!r} is new and fits; rejected by: {counts}"
    )
    if reasons.get("network"):
        try:
            _build(space, parameters)
        except ValueError as error:
            sentence += f"; the last is no network: {error}"
    return sentence
