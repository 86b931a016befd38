"""Calls a tool again and again in one session with the official Python SDK, while servers come and go.

    survive.py URL TOOL SECONDS

Says that it is connected. A call that fails is made again. At the end it prints one JSON line: how many calls were answered, and how many tries failed.
"""

import asyncio
import json
import sys
import time

from mcp import Client


async def main(url: str, tool: str, seconds: str) -> None:
    answered = failed = 0
    async with Client(url, mode="legacy") as client:
        print("connected", flush=True)
        until = time.monotonic() + float(seconds)
        while time.monotonic() < until:
            for _ in range(50):
                try:
                    result = await asyncio.wait_for(client.call_tool(tool, {}), 15)
                except Exception as error:  # whatever it is: the same session has to do
                    print(type(error).__name__, error, file=sys.stderr)
                    failed += 1
                    await asyncio.sleep(0.1)
                    continue
                assert not result.is_error, result
                answered += 1
                break
            else:
                raise SystemExit("a call was not answered in 50 tries")
            await asyncio.sleep(0.01)
    print(json.dumps({"answered": answered, "failed": failed}))


asyncio.run(main(*sys.argv[1:]))
