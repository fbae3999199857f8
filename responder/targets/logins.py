"""A target's URL as libpq's options."""

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict


def read_login(url: str) -> dict[str, Any]:
    """What to connect with; ProgrammingError, which may repeat the URL, when it cannot be read."""
    login: dict[str, Any] = conninfo_to_dict(url)
    ports = str(login.get("port") or "").split(",")
    if not all(port == "" or (port.isdecimal() and int(port) < 65536) for port in ports):
        # After a slash in a password its beginning stands where the port is looked for.
        raise psycopg.ProgrammingError("the port is no number of a port")
    return login


def login_name(url: str) -> str:
    """Who logs in by a target's URL; "" when it says nobody, or is no URL of PostgreSQL."""
    try:
        return str(read_login(url).get("user") or "")
    except psycopg.ProgrammingError:
        return ""
