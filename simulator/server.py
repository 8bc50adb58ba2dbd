"""The simulated account as a server: in a thread for tests, or blocking for the demo."""

import threading
import time
from contextlib import AbstractContextManager, nullcontext
from datetime import date, datetime
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette

from resources.ports import listen
from simulator.answers import PREFIX
from simulator.app import create_app
from simulator.faults import Faults
from simulator.fleet import Fleet
from simulator.simulation import Simulation
from simulator.stream_delivery import Delivery, Opens


class SimulatorServer:
    """A simulated account on 127.0.0.1, served from a thread while the `with` block runs.

        with SimulatorServer(Fleet(start=date(2026, 1, 1)), now=datetime(2026, 6, 30, 9, tzinfo=UTC)) as server:
            httpx.post(f"{server.base_url}/oauth/token", auth=("demo", "demo"), json={"grant_type":
            "client_credentials"})

    base_url   with 1NCE's path prefix; known as soon as the object is made
    requests   (monotonic time, method, path with query, status) of every call to 1NCE's paths
    stream     makes what sends the account's records as its time moves, if anything
    v1_until   the day from which on, in virtual time, API v1 is gone; None for never
    tells_time whether log-ins are answered with the virtual time, as 1NCE's are with the time
    Raises PortInUseError when the port is taken, ValueError when `now` has no time zone or is before the fleet's start.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        now: datetime,
        port: int = 0,
        faults: Faults | None = None,
        username: str = "demo",
        password: str = "demo",  # noqa: S107 - a simulated account has no secret
        stream: Opens | None = None,
        v1_until: date | None = None,
        tells_time: bool = False,
    ) -> None:
        self.requests: list[tuple[float, str, str, int]] = []
        self._app = create_app(
            fleet,
            now=now,
            username=username,
            password=password,
            faults=faults,
            requests=self.requests,
            v1_until=v1_until,
        )
        self._simulation: Simulation = self._app.state.simulation
        self._app.state.tells_time = tells_time
        self._listener = listen("127.0.0.1", port)
        self._delivery = delivery(self._app, stream)
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}{PREFIX}"
        self._server = uvicorn.Server(quiet_config(self._app))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError(f"the simulator did not start on port {self.port}; its log says why")
            time.sleep(0.002)
        self._delivery.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._delivery.__exit__(kind, error, trace)
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._listener.close()

    @property
    def booked(self) -> list[tuple[str, str | None]]:
        """What acting calls have done to the account, in order: (what, ICCID or None for all SIMs)."""
        return self._simulation.acts.booked

    def set_now(self, now: datetime) -> None:
        """Move the virtual time; see `Simulation.set_now`."""
        self._simulation.set_now(now)

    def set_faults(self, faults: Faults) -> None:
        """Change the faults; see `Simulation.set_faults`."""
        self._simulation.set_faults(faults)

    def clear_requests(self) -> None:
        """Forget the requests seen so far."""
        self.requests.clear()


def delivery(app: Starlette, stream: Opens | None) -> AbstractContextManager[object]:
    """What sends the account's records while it is served; the application shows it."""
    if stream is None:
        return nullcontext()
    simulation: Simulation = app.state.simulation
    sending = Delivery(stream(simulation.cards), lambda: simulation.now)
    simulation.stream = sending.stream.shape
    app.routes.extend(sending.routes())
    return sending


def quiet_config(app: object) -> uvicorn.Config:
    """How uvicorn serves a simulated account: without a line a request, and without its faults as errors."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="critical",  # faults end answers on purpose; the server would report each as an error
        access_log=False,
        date_header=False,  # it would be another time than the virtual one
        lifespan="off",
        timeout_graceful_shutdown=2,
    )


def serve(
    fleet: Fleet,
    *,
    now: datetime,
    host: str = "127.0.0.1",
    port: int = 8800,
    faults: Faults | None = None,
    username: str = "demo",
    password: str = "demo",  # noqa: S107 - a simulated account has no secret
    live: bool = False,
    stream: Opens | None = None,
    v1_until: date | None = None,
) -> None:
    """Serve a simulated account until Ctrl-C or SIGTERM.

    live     let the virtual time go on at the speed of real time; else it stands still until it is moved
    stream   makes what sends the account's records as its time moves, if anything
    v1_until the day from which on, in virtual time, API v1 is gone; None for never
    Raises PortInUseError when the port is taken, ValueError when `now` has no time zone or is before the fleet's start.
    """
    app = create_app(fleet, now=now, username=username, password=password, faults=faults, live=live, v1_until=v1_until)
    listener = listen(host, port)
    try:
        with delivery(app, stream):
            uvicorn.Server(quiet_config(app)).run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # uvicorn has already stopped in good order and passes the signal on
    finally:
        listener.close()
