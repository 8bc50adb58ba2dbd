"""Files that a mail brings along."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from email.message import EmailMessage


@dataclass(frozen=True)
class Attachment:
    """A file, with the name that whoever stores it sees first."""

    name: str
    media_type: str
    content: bytes


def attach(mail: EmailMessage, attachments: Iterable[Attachment]) -> None:
    """Put files into a mail, after its text."""
    for file in attachments:
        main, _, sub = file.media_type.partition(";")[0].partition("/")
        mail.add_attachment(file.content, maintype=main, subtype=sub, filename=file.name)
