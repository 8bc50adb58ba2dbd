"""Faults that a simulated account can show; all are off until a test or a demo asks for them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Faults:
    """What goes wrong. Shares are between 0 and 1; which call is hit follows from the seed and the call's number.

    requests_per_second          limit for /v1/sims*: one call more within the window gets 429 with retry-after
    token_lifetime_s             real seconds until a token gets 401; the token answer always says 3600, as 1NCE does, so a
                                 shorter life looks like a token revoked early
    server_error_rate            share of calls answered 500 or 503
    slow_rate, slow_seconds      share of calls held back, and for how long
    cut_body_rate                share of calls whose connection closes halfway through the promised body
    duplicate_sim_across_pages   the first walk through /v1/sims sees one SIM on two pages and misses the last one
    missing_zero_days            days without traffic are absent from the usage answer
    late_corrections             the last two complete days are reported too low, or missing, until the third day
    text_where_number            `data.volume` is "n/a" in about one usage row of a hundred
    """

    requests_per_second: float | None = None
    token_lifetime_s: float = 3600.0
    server_error_rate: float = 0.0
    slow_rate: float = 0.0
    slow_seconds: float = 1.0
    cut_body_rate: float = 0.0
    duplicate_sim_across_pages: bool = False
    missing_zero_days: bool = False
    late_corrections: bool = False
    text_where_number: bool = False

    def __post_init__(self) -> None:
        for name in ("server_error_rate", "slow_rate", "cut_body_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Faults.{name} is {getattr(self, name)}; give a share between 0 and 1")
        if self.requests_per_second is not None and self.requests_per_second <= 0:
            raise ValueError(f"Faults.requests_per_second is {self.requests_per_second}; give a positive number or None")
