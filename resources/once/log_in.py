"""The log-in to a 1NCE account, and nothing else: for those who only ask whether it works."""

from __future__ import annotations

import httpx

from resources.errors import SimsightError, in_words
from resources.once.client import OnceClient


class LogInError(SimsightError):
    """1NCE does not answer the request for a token; the message says why and what to check."""


class LoggingIn(OnceClient):
    """A client that can fetch a token without asking anything with it."""

    async def log_in(self) -> None:
        """Fetch a token, once. Raises OnceError, LogInError."""
        probe = self._http.build_request("GET", "/")
        try:
            response = await self._http.send(self._auth.token_request(probe), auth=None)
        except httpx.RequestError as error:
            raise LogInError(
                f"1NCE at {self._host} does not answer: {self._auth.scrub(in_words(error))}. Check the network, "
                "proxies and ONCE_BASE_URL"
            ) from None  # the error holds the request, and with it the password
        self._auth.accept(response)
