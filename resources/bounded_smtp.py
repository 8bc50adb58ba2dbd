"""Mail servers whose replies are read within limits."""

from __future__ import annotations

import io
import smtplib
import socket
import time

MAX_REPLY_BYTES = 100_000  # to one command


class _Replies(io.RawIOBase):
    """What a mail server says, within limits on the time and the bytes of one reply."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock, self._seconds = sock, seconds
        self.begin()

    def begin(self) -> None:
        """A new reply begins."""
        self._until, self._left = time.monotonic() + self._seconds, MAX_REPLY_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wait = self._until - time.monotonic()
        if wait <= 0 or self._left <= 0:
            raise TimeoutError("a reply without end")
        self._sock.settimeout(wait)
        size = self._sock.recv_into(buffer)
        self._sock.settimeout(self._seconds)
        self._left -= size
        return size


class BoundedSmtp(smtplib.SMTP):
    """Reads each reply within `timeout` seconds as a whole: smtplib alone waits so long for each byte, and keeps line
    after line.
    """

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self._replies = _Replies(self.sock, self.timeout)
            self.file = io.BufferedReader(self._replies)
        self._replies.begin()
        return super().getreply()


class BoundedSmtpOverTls(BoundedSmtp, smtplib.SMTP_SSL):
    """The same from the first byte over TLS."""
