"""What else took CPU while something was measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Noise:
    """Over one measurement."""

    seconds: float
    cores: int
    other_cores: float
    """Mean of cores that were busy with neither the candidate nor the generator nor the gateway; with what a
    hypervisor took for others."""
    stolen_cores: float = 0.0
    """Of those: what a hypervisor took."""

    @property
    def share(self) -> float:
        """Of the machine: 0 to 1."""
        return self.other_cores / self.cores

    @property
    def is_noisy(self) -> bool:
        return self.share > MOST_OTHER


MOST_OTHER = 0.15
"""Share of the machine's cores that others may take before figures are not to be trusted."""
