"""What runs beside the pipeline begins again when it crashes."""

import asyncio

import pytest

from gateway.app.beside import WELL_AFTER_S, Beside, StageCrashedError, ask


class Part:
    """Crashes so often, then runs on."""

    def __init__(self, crashes: int) -> None:
        self.crashes = crashes
        self.runs = asyncio.Event()

    async def run(self) -> None:
        if self.crashes:
            self.crashes -= 1
            raise ExceptionGroup("together", [ZeroDivisionError("a bug")])
        self.runs.set()
        await asyncio.Event().wait()


async def test_a_part_that_crashes_begins_again_and_says_so_until_it_has_been_well_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    part = Part(crashes=3)
    beside = Beside("retention", part.run, first_pause_s=0.001)
    await ask({"retention": beside})
    running = asyncio.create_task(beside.run())
    async with asyncio.timeout(10):
        await part.runs.wait()
    with pytest.raises(StageCrashedError, match="retention crashed: ExceptionGroup, see the log"):
        await ask({"retention": beside})
    assert caplog.text.count("ZeroDivisionError: a bug") == 3
    now_s = asyncio.get_running_loop().time()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s + WELL_AFTER_S)
    await ask({"retention": beside})
    monkeypatch.undo()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_part_that_ends_by_itself_has_ended() -> None:
    async def over() -> None:
        """There is nothing to do."""

    await Beside("grants", over).run()
