"""The floor: what a durable answer costs with the same server and nothing else around it.

A minimal Flask application under gunicorn, with our worker settings and a pool of the same size,
which parses the body, commits one row and answers 202. Whatever we do besides is above it.

    BENCH_FLOOR=postgresql://... gunicorn -c python:bench.floor

With BENCH_FLOOR_BOUND each process stays on one core, as ours do.
"""

import os
from typing import Any

from flask import Flask, Response, jsonify, request
from psycopg_pool import ConnectionPool

from responder.one_core import OneCore

_TABLE = """
CREATE TABLE IF NOT EXISTS floor (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    body bytea NOT NULL)
"""

app = Flask(__name__)
pool = ConnectionPool(
    os.environ["BENCH_FLOOR"], min_size=1, max_size=12, open=False, kwargs={"autocommit": True}
)


@app.post("/")
def take() -> tuple[Response, int]:
    """Parse, commit, answer."""
    alerts = len(request.get_json()["alerts"])
    with pool.connection() as connection:
        connection.execute("INSERT INTO floor (body) VALUES (%s)", [request.get_data()])
    return jsonify(alerts=alerts), 202


@app.get("/")
def ready() -> str:
    return "ready"


# gunicorn's settings: those of responder.web.gunicorn_conf that cost or save anything.
wsgi_app = "bench.floor:app"
worker_class = "gthread"
workers = 2
threads = 8
keepalive = 5
reuse_port = True
control_socket_disable = True


def on_starting(_: Any) -> None:
    with pool.connection_class.connect(os.environ["BENCH_FLOOR"], autocommit=True) as connection:
        connection.execute(_TABLE)


def post_worker_init(worker: Any) -> None:
    if "BENCH_FLOOR_BOUND" in os.environ:
        OneCore(worker.age)
    pool.open()
