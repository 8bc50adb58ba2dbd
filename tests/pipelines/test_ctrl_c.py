"""Ctrl-C during a terminal's run stops it, even where a library swallows what Python raises for it."""

from __future__ import annotations

import os
import signal

import dagster as dg
import pytest

from pipelines.terminal_logger import noting_ctrl_c, terminal


class _Deleted:
    """What Python raises in here is printed and ignored, as in any callback from C."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):  # the handler runs between two instructions
            pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_swallowed_interrupt_stops_the_run_before_the_next_step() -> None:
    began = []

    @dg.op
    def first() -> int:
        began.append("first")
        _Deleted()
        began.append("first went on")
        return 1

    @dg.op
    def second(_one: int) -> None:
        began.append("second")

    @dg.job(logger_defs={"terminal": terminal})
    def both() -> None:
        second(first())

    with noting_ctrl_c() as pressed:
        result = both.execute_in_process(run_config={"loggers": {"terminal": {}}}, raise_on_error=False)
        assert pressed()
    assert began == ["first", "first went on"]
    assert not result.success


def test_nothing_is_noted_without_ctrl_c_nor_outside_the_block() -> None:
    before = signal.set_wakeup_fd(-1)
    with noting_ctrl_c() as pressed:
        assert not pressed()
    assert signal.set_wakeup_fd(before) == -1
