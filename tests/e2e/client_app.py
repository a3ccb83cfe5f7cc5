"""An app whose tasks go on after a crash."""

from collections.abc import AsyncIterator

from quart import Quart

from quart_tasks import QuartTasks, progress

from ..waiting import pass_gate_on_loop

app = Quart(__name__)
tasks = QuartTasks(app)


@tasks.task(idempotent=True)
async def echo(value: int) -> int:
    return value


@tasks.task(idempotent=True)
async def gated(gate: str) -> str:
    progress(1, 2)
    await pass_gate_on_loop(gate)
    return gate


@tasks.task(idempotent=True)
async def counts(number: int, gate: str) -> AsyncIterator[int]:
    for each in range(number):
        if each == number // 2:
            await pass_gate_on_loop(gate)
        yield each
