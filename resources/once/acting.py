"""The client that also acts. The one that ingests cannot: it has no call that changes anything."""

from __future__ import annotations

import httpx

from resources.errors import in_words
from resources.once.acts import Act, Outcome, outcome_of
from resources.once.client import OnceClient


class ActingClient(OnceClient):
    """A OnceClient with the calls that change something; what only reads is retried as there, these never are."""

    async def set_limits(self) -> dict[str, int]:
        """The monthly limits that are set for all SIMs: their ids by name (data, smsMt, smsMo); API v1 alone says."""
        record = (await self._get("/v1/sims/limits")).record()
        limits = {name: limit.get("id") for name, limit in record.items() if isinstance(limit, dict)}
        return {name: number for name, number in limits.items() if isinstance(number, int)}

    async def act(self, act: Act) -> Outcome:
        """Send a call that changes something, once. Only a 401, which comes before any effect, is answered by a new
        token and the call again. Raises OnceCredentialsError, before any effect too.
        """
        try:
            async with self._under_way:
                response = await self._http.request(act.method, act.path, params=act.query, json=act.body)
        except httpx.RequestError as error:
            asked = self._call(error.request)
            before = asked.endswith("/oauth/token") or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            return Outcome("not sent" if before else "unknown", None, f"{asked}: {self._auth.scrub(in_words(error))}")
        said = self._auth.scrub(response.content[:1000].decode(errors="replace"))
        if self._call(response.request).endswith("/oauth/token"):
            return Outcome("not sent", None, f"no token: HTTP {response.status_code}")
        return outcome_of(response.status_code, response.headers.get("location", ""), said)
