"""What torch can compute on, on this machine."""

import torch


def cuda_build() -> str:
    """The CUDA or ROCm that torch was built for; empty for a CPU build."""
    if torch.version.cuda:
        return f"CUDA {torch.version.cuda}"
    return f"ROCm {torch.version.hip}" if torch.version.hip else ""


def gpus() -> list[str]:
    """Name and memory of each device that torch can use."""
    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [f"{device.name} ({device.total_memory / 2**30:.0f} GiB)" for device in found]
