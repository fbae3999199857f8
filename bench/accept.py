"""What an acknowledged alert costs: POSTs against the cheapest answer of the process, in one run.

    python bench/accept.py [--seconds 5] [--clients 8]

Prints requests per second, p50 and p99 of each, and their ratio; compare ratios, never two runs.
"""

import argparse
import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from responder.cli.demo.world import World, open_world

Request = Callable[[http.client.HTTPConnection, int], int]


def alert(number: int) -> dict[str, object]:
    """A P3 alert that no rule answers, so that what follows the acknowledgement stays small."""
    return {
        "status": "firing",
        "labels": {"alertname": "Bench", "severity": "info", "instance": str(number % 50)},
        "startsAt": datetime.now(UTC).isoformat(),
    }


def requests(world: World) -> dict[str, Request]:
    """What is compared; each returns the status of one request."""
    headers = {"Authorization": f"Bearer {world.bearer}", "Content-Type": "application/json"}
    path = urlsplit(world.webhook_url).path

    def post(alerts: int) -> Request:
        def send(connection: http.client.HTTPConnection, number: int) -> int:
            batch = [alert(number * alerts + index) for index in range(alerts)]
            connection.request("POST", path, json.dumps({"alerts": batch}), headers)
            return answered(connection)

        return send

    def get(where: str) -> Request:
        def send(connection: http.client.HTTPConnection, _: int) -> int:
            connection.request("GET", where)
            return answered(connection)

        return send

    return {
        "GET /healthz, no database": get("/healthz"),
        "GET /readyz, one transaction": get("/readyz"),
        "POST 1 alert, committed": post(1),
        "POST 20 alerts, committed": post(20),
    }


def answered(connection: http.client.HTTPConnection) -> int:
    response = connection.getresponse()
    response.read()
    return response.status


def measure(world: World, send: Request, seconds: float, clients: int) -> tuple[float, list[float]]:
    """Requests per second, and the milliseconds of each."""
    taken: list[float] = []
    until = time.perf_counter() + seconds

    def client(offset: int) -> None:
        place = urlsplit(world.url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        number = offset
        while (began := time.perf_counter()) < until:
            status = send(connection, number)
            if status not in (200, 202):
                raise SystemExit(f"answered {status}")
            taken.append((time.perf_counter() - began) * 1000)
            number += clients
        connection.close()

    threads = [threading.Thread(target=client, args=(offset,)) for offset in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(taken) / seconds, sorted(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=8)
    chosen = parser.parse_args()
    with open_world(lambda _: None) as world:
        floor = 0.0
        for name, send in requests(world).items():
            measure(world, send, 0.5, chosen.clients)
            rate, taken = measure(world, send, chosen.seconds, chosen.clients)
            floor = floor or rate
            p99 = taken[int(len(taken) * 0.99)]
            print(
                f"{name:<30} {rate:8.0f}/s  p50 {statistics.median(taken):6.1f} ms"
                f"  p99 {p99:6.1f} ms  {rate / floor:5.2f} of the first"
            )


if __name__ == "__main__":
    main()
