"""What goes wrong with a call to 1NCE, each kind with what a person should do."""

from __future__ import annotations

import json

from resources.errors import SimsightError, in_words
from resources.text import escaped

RETRY_STATUS = frozenset({429, 500, 502, 503, 504})


class OnceError(SimsightError):
    """Something went wrong between here and 1NCE; the text says what, where and what to do."""


class OnceCredentialsError(OnceError):
    """1NCE refused the user name and password, or a token that it had just given."""


class OnceUnavailableError(OnceError):
    """1NCE cannot be reached, or fails for every call: nothing else will work either."""


class OnceClockError(OnceUnavailableError):
    """The clock here is not that of 1NCE: nothing is asked."""


class OnceIncompleteError(OnceError):
    """The SIM list kept changing: some SIMs were never shown. Those that were have been delivered."""


class OnceCallGoneError(OnceError):
    """A call is gone from the API, for every SIM: the text says which, of which version, and what to do instead."""

    def __init__(self, call: str, text: str) -> None:
        super().__init__(text)
        self.call = call


class OnceRequestError(OnceError):
    """One call failed for good. `status` is None when no usable answer came at all."""

    def __init__(self, call: str, status: int | None, came: str, advice: str) -> None:
        shown = escaped(" ".join(_said(came).split())[:200]) or "(nothing)"
        got = "no usable answer" if status is None else f"HTTP {status}"
        super().__init__(f"{call}: {got}: {shown}. {advice}")
        self.call, self.status, self.came = call, status, shown


class OnceForbiddenError(OnceRequestError):
    """403: the SIM or the call is not this account's."""


class OnceNotFoundError(OnceRequestError):
    """404: 1NCE does not know it."""


class OnceNotOnV1Error(OnceRequestError):
    """404 of API v1 for a SIM that is in the account: a SIM of Platform 2.0, which API v2 alone knows."""

    def __init__(self, call: str, status: int | None, came: str) -> None:
        advice = (
            "API v1 does not know this SIM, though the account holds it: a SIM of Platform 2.0. Its usage comes from a "
            "Data Streamer and from quota looks."
        )
        super().__init__(call, status, came, advice)


class OnceSimExpiredError(OnceRequestError):
    """422: the SIM's lifetime is over."""


def _said(came: str) -> str:
    """What came; of an error of API v2 its name, number and message."""
    try:
        error = json.loads(came)
        name, number, message = error["error_token"], error["error_code"], error["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return came
    return f"{name} ({number}): {message}"


def request_error(call: str, status: int | None, came: str) -> OnceRequestError:
    """The error for an answer that is not 200, with what to do about it."""
    match status:
        case 403:
            return OnceForbiddenError(
                call, status, came, "Ask with the account that owns the SIM, or give the API user this right."
            )
        case 404:
            return OnceNotFoundError(
                call, status, came, "Check the ICCID (19 digits); the SIM may have been moved away."
            )
        case 410:
            advice = "The call is gone from this version of the API: set ONCE_API=auto."
        case 422:
            return OnceSimExpiredError(call, status, came, "The SIM has expired: extend it, or stop asking for it.")
        case 429:
            advice = "Something else uses this account's request rate: lower ONCE_REQUESTS_PER_SECOND or stop it."
        case int() if 300 <= status < 400:
            advice = "1NCE does not redirect: check ONCE_BASE_URL."
        case int() if status >= 500:
            advice = "1NCE's side fails: try again later, and ask 1NCE's support when it stays."
        case None:
            advice = "Try again later; if it stays, check the network and proxies between here and 1NCE."
        case _:
            advice = "The call is not as 1NCE expects it: compare with 1NCE's API reference."
    return OnceRequestError(call, status, came, advice)


def endless_error(call: str, came: str, why: str) -> OnceRequestError:
    """The error for a list whose pages do not end; `came` is how the last one begins."""
    return OnceRequestError(
        call,
        200,
        came,
        f"The list does not end: {why}. What was read before has been delivered; check ONCE_BASE_URL, and ask 1NCE's "
        "support when it stays.",
    )


# why a SIM has no answer, by the name that is stored (`ops.polls.problem`)
PROBLEMS = {
    "OnceSimExpiredError": "expired: 1NCE no longer answers for it",
    "OnceNotFoundError": "unknown to 1NCE",
    "OnceForbiddenError": "not of this account",
    "OnceNotOnV1Error": "of Platform 2.0: API v1 does not know it, its usage comes from stream and quota",
    "OnceRequestError": "1NCE failed to answer; it is asked again",
}


def problem_in_words(stored: str) -> str:
    """Why a SIM has no answer, of the name of an error as `ops.polls` holds it."""
    return PROBLEMS.get(stored) or in_words(stored)
