"""The door of the shop's functions: whether they are well, and a way to make them ill."""

from functools import partial
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs

from responder.cli.demo.stand_in.server import Server

HEALTH = "/health"


class Front:
    """Answers HEAD and GET /health with `status`; POST /health?status=503 makes it another one."""

    def __init__(self) -> None:
        self.status = 200
        self._server = Server(partial(_Handler, self))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def open(self) -> None:
        self._server.__enter__()

    def close(self) -> None:
        self._server.__exit__()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, front: Front, *connection: object) -> None:
        self._front = front
        super().__init__(*connection)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        path, _, query = self.path.partition("?")
        if path != HEALTH:
            self._answer(404)
            return
        asked = parse_qs(query).get("status", [""])[0]
        if self.command != "POST":
            self._answer(self._front.status)
        elif asked.isdecimal() and 200 <= int(asked) < 600:
            self._front.status = int(asked)
            self._answer(200)
        else:
            self._answer(400)

    do_HEAD = do_POST = do_GET

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silent: the story has the terminal."""
