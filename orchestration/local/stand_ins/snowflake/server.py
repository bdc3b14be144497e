"""The process behind `service.py`: fakesnow's server, repaired where Snowflake is documented to do otherwise.

What is repaired, and why, stands in `repairs.py` and what it calls.
"""

import json
import sys

import fakesnow.server
import uvicorn

from orchestration.local.stand_ins.snowflake.repairs import repair


def main(settings: dict) -> None:
    """Serve until told to end."""
    repair(settings["public_key"], settings["storage"])
    uvicorn.run(
        fakesnow.server.app,
        host="127.0.0.1",
        port=settings["port"],
        log_level="warning",
        ssl_certfile=settings["certificate"],
        ssl_keyfile=settings["key"],
        timeout_keep_alive=600,
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
