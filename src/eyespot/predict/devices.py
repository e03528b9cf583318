"""Which device a network runs on."""

import torch


def chosen_device(name: str | torch.device) -> torch.device:
    """Return the device of a name; "auto" is the GPU if there is one.

    Raises:
        ValueError: If this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"need auto, or a device of this machine such as cpu, got {name}: {reason}"
        ) from None
    return device
