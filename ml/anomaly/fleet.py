"""Statistics of a fleet that its SIMs are compared with: fitted once, and then the same for every block of its SIMs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class FleetStatistics:
    """Statistics of a fleet by name. Empty, it fits each on the SIMs it is asked with first; later ones are given the
    same.

    `signals`, `detect` and `limits` ask it for all that other SIMs have a say in. Called with the fleet, or a sample of
    it, they fill it; called with a block of SIMs and the statistics filled before, they find what they would have found
    in the whole.
    """

    fitted: dict[str, Any] = field(default_factory=dict)

    def of(self, name: str, fit: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """The statistic of that name, which `fit` gives where it is not known yet."""
        if name not in self.fitted:
            self.fitted[name] = fit(*arguments, **named)
        known: T = self.fitted[name]
        return known
