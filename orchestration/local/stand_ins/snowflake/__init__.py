"""Snowflake on this machine: `service` starts it and is its client, `server` is its process: fakesnow, repaired."""
