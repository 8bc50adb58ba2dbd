"""Lets a stream follow an account's virtual time, and shows and restarts it over HTTP."""

import json
import logging
import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.account import Json, SimCards
from simulator.stream_files import Folder
from simulator.stream_http import Streamer, StreamFailedError

log = logging.getLogger(__name__)

Stream = Streamer | Folder
Opens = Callable[[SimCards], Stream]


class Delivery:
    """Sends what has happened by the account's time, from a thread of its own while the `with` block runs.

    stream    where to; a FAILED one rests until it is restarted
    now       the account's time
    every_s   real seconds between two looks at it
    """

    def __init__(self, stream: Stream, now: Callable[[], datetime], *, every_s: float = 0.5) -> None:
        self.stream, self._now, self._every = stream, now, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if isinstance(self.stream, Streamer):
            self.stream.interrupt()
        self._thread.join(timeout=5)  # a receiver that does not answer holds it longer; nothing is lost by leaving it

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if not (isinstance(self.stream, Streamer) and self.stream.failed):
                    self.stream.send_until(self._now())
            except StreamFailedError as error:
                log.error("%s", error)
            except OSError as error:  # the folder is full or gone: tried again
                log.error("the stream's folder: %s", error)
            self._stop.wait(self._every)
        if isinstance(self.stream, Streamer):
            self.stream.close()

    def routes(self) -> list[Route]:
        """GET /simulator/stream tells how the stream stands; POST restarts one over HTTP or lets it send the past
        again."""
        path = "/simulator/stream"
        stream = self.stream
        if isinstance(stream, Folder):
            folder = stream

            async def place(_: Request) -> Response:
                return JSONResponse({"state": "RUNNING", "place": folder.place.isoformat()})

            return [Route(path, place, methods=["GET"])]

        def state() -> Json:
            return {
                "state": "FAILED" if stream.failed else "RUNNING",
                "place": stream.place.isoformat(),
                "acknowledged": stream.acknowledged,
                "posts": stream.posts,
                "repeats": stream.repeats,
            }

        async def show(_: Request) -> Response:
            return JSONResponse(state())

        async def change(request: Request) -> Response:
            try:
                body = await request.json()
                if "replay" in body:
                    stream.replay(datetime.fromisoformat(body["replay"]))
                elif body["restart"] is True:
                    stream.restart()
            except (ValueError, KeyError, TypeError) as error:
                known = isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError)
                usage = 'Send {"restart": true} or {"replay": "2026-06-30T09:00:00Z"}.'
                return JSONResponse({"message": f"{usage} {error if known else ''}".strip()}, status_code=400)
            return JSONResponse(state())

        return [Route(path, show, methods=["GET"]), Route(path, change, methods=["POST"])]
