"""Who scores a block of SIMs: one holder at a time, and a finished block is not scored again.

A lease lasts LEASE_S seconds by the database's clock, and its holder renews it while it works. A process that died
renews nothing, so another takes the block over.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from resources.database.session import Database, Transaction
from resources.errors import SimsightError

LEASE_S = 30.0


@dataclass(frozen=True)
class Lease:
    """A block's lease, as one who wants it.

    place   work_id, part, as_of, block
    holder  who wants it; each attempt is one of its own
    """

    database: Database
    place: dict[str, Any]
    holder: str
    seconds: float = LEASE_S

    @classmethod
    def of(cls, database: Database, place: dict[str, Any], seconds: float = LEASE_S) -> Lease:
        return cls(database, place, f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}", seconds)

    def take(self) -> tuple[bool, dict[str, Any] | None]:
        """Take it, or renew it: whether it is held now, and what came of the block if that is finished."""
        found = self.database.row("take_block", self.place | {"holder": self.holder, "seconds": self.seconds})
        assert found is not None
        return bool(found["is_mine"]), found["outcome"]

    def finish(self, transaction: Transaction, outcome: dict[str, Any]) -> bool:
        """Note what came of the block, in the transaction that stages its rows. False: another holds the lease now."""
        said = {"holder": self.holder, "outcome": json.dumps(outcome)}
        return transaction.execute("finish_block", self.place | said) == 1

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew it while the block lasts; let go of it when that raises."""
        ended = threading.Event()
        renewer = threading.Thread(target=self._renew, args=(ended,), daemon=True)
        renewer.start()
        try:
            yield
        except BaseException:
            ended.set()
            renewer.join()
            self._free()
            raise
        finally:
            ended.set()
            renewer.join()

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(self.seconds / 3):
            try:
                self.take()
            except SimsightError:
                continue  # the database is away: there are two more tries until the lease runs out

    def _free(self) -> None:
        try:
            with self.database.transaction() as transaction:
                transaction.execute("free_block", self.place | {"holder": self.holder})
        except SimsightError:
            pass  # it runs out by itself; what is being raised says more
