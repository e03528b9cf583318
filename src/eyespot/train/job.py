"""A run's changing state, and that state as named tensors for a checkpoint.

A job holds modules and optimizers by name. Its tensors are the modules' states, the optimizers'
states under the parameters' names, and this rank's random state. Nothing depends on how many
ranks there are but the random state, which another number of ranks leaves out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from eyespot import dist


@dataclass(slots=True)
class Job:
    """What a run changes.

    Attributes:
        modules: By name: the trained network first, then averages, queues, heads of their own.
            Not wrapped in DDP; sharded in place by FSDP.
        optimizers: By name.
        device: Where the modules are.
        step: Optimizer steps taken.
        best: Lowest score of an evaluation so far.
        about: What a file of the first module's weights says of itself.
    """

    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    device: torch.device
    step: int = 0
    best: float = field(default=float("inf"))
    about: dict[str, str] = field(default_factory=dict)


def state_tensors(job: Job, names: set[str] | None = None) -> dict[str, Tensor]:
    """Return all tensors of a job by name, the very ones, to be saved or filled in place.

    Args:
        job: The job.
        names: Names that a checkpoint holds: state that optimizers have not made yet is made for
            them, so that it can be filled.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in job.modules.items():
        for key, value in module.state_dict().items():
            tensors[f"{name}.{key}"] = value
    for name, optimizer in job.optimizers.items():
        for key, param in _named_params(job, optimizer).items():
            prefix = f"{name}.{key}."
            if names is not None:
                _make_missing_state_(optimizer, param, prefix, names)
            for part, value in optimizer.state[param].items():
                if isinstance(value, Tensor):
                    tensors[prefix + part] = value
    return tensors


def _named_params(job: Job, optimizer: Optimizer) -> dict[str, nn.Parameter]:
    """The optimizer's parameters by their names in the job."""
    names = {
        param: f"{module_name}.{name}"
        for module_name, module in job.modules.items()
        for name, param in module.named_parameters()
    }
    params = [param for group in optimizer.param_groups for param in group["params"]]
    return {names[param]: param for param in params}


def _make_missing_state_(
    optimizer: Optimizer, param: nn.Parameter, prefix: str, names: set[str]
) -> None:
    """Give a parameter the state a checkpoint has for it: zeros of its shape, or a step count."""
    for name in names:
        part = name.removeprefix(prefix)
        if not name.startswith(prefix) or part in optimizer.state[param]:
            continue
        count = part == "step"
        optimizer.state[param][part] = (
            torch.zeros((), dtype=torch.float32) if count else torch.zeros_like(param.detach())
        )


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return this rank's random state, under names that carry the rank."""
    prefix = f"random.rank{dist.rank()}."
    state = {prefix + "cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state[prefix + "cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state_(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Set this rank's random state from the names that `random_state` gave."""
    prefix = f"random.rank{dist.rank()}."
    torch.set_rng_state(state[prefix + "cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[prefix + "cuda"], device)
