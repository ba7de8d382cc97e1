"""What a result was made with: versions and hardware, as every summary records them."""

import os
import platform
from importlib.metadata import version
from typing import Any

import torch


def versions() -> dict[str, str]:
    """Versions of the packages that decide the numbers."""
    packages = ("torch", "numpy", "accelerate", "scikit-learn")
    return {
        "dhm": version("deep-hybrid-models"),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def hardware(engine: Any) -> dict[str, Any]:
    """Processor, cores, threads, device and number of processes."""
    device = engine.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": str(device),
        "name": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": engine.num_processes,
        "precision": engine.mixed_precision,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
