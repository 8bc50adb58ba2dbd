"""Takes secrets, logins of URLs and numbers of SIMs out of texts that leave this machine or are kept in logs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from resources.settings import Settings

LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
NUMBER = re.compile(r"(?<!\d)\d{15,22}(?!\d)")  # ICCID, IMSI, IMEI
SECRET, SIM_NUMBER = "[secret]", "[number]"
SHORTEST_SECRET = 4
# what looks like a secret wherever it stands: keys of ours, log-ins in headers, values of such names in URLs and JSON
CREDENTIAL = re.compile(
    r"(?i)\bss_[\w-]{20,}|(?<=bearer )[\w+/=.~-]{8,}|(?<=basic )[\w+/=.~-]{8,}"
    r"""|(?<=password=)[^&\s"']+|(?<=secret=)[^&\s"']+|(?<=token=)[^&\s"']+|(?<=key=)[^&\s"']{8,}"""
    r"""|(?<=password": ")[^"]+|(?<=secret": ")[^"]+|(?<=token": ")[^"]+"""
)
NAMING_SECRETS = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEY")


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """A text without secrets and logins of URLs."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, SECRET)
    return LOGIN.sub(SECRET, text)


def without_credentials(text: str) -> str:
    """A text without what looks like a secret, known or not."""
    return CREDENTIAL.sub(SECRET, text)


def without_numbers(text: str) -> str:
    """A text without numbers of SIMs."""
    return NUMBER.sub(SIM_NUMBER, text)


def secrets_of(settings: Settings) -> set[str]:
    """Every secret of the settings and the environment, as it stands there and as parts of a URL."""
    values = [value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)]
    values += [value for name, value in os.environ.items() if NAMING_SECRETS.search(name)]
    found = set(values)
    for url in " ".join(values).split():
        try:
            password = urlsplit(url).password or ""
        except ValueError:
            continue
        found |= {password, unquote(password)}
    return {secret for secret in found if len(secret) >= SHORTEST_SECRET}
