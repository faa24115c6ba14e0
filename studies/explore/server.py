"""The explorer's server: on this machine only, for clients with its token.

It is the standard library's, which is enough for a page, a few files and a few endpoints; plotly is the only extra. A
request is refused unless

- it names this server as its `Host`, which DNS rebinding does not;
- it has the token, first in the address, then as a cookie that no other site's page can make a browser send;
- a POST comes from this page (`Origin`) as JSON of bounded size.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socket import SHUT_WR
from threading import Lock
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from ipa.errors import Error
from ipa.studies import pages
from ipa.studies.displayed import check_plotly
from ipa.studies.explore.answers import Pinned, answer, coarse, measured
from ipa.studies.explore.coarse import coarse_part
from ipa.studies.explore.fleets import answer_of_fleet, base_of_fleet, beginning_of_fleet, fleet_of
from ipa.studies.explore.plan import planned
from ipa.studies.explore.points import points_of
from ipa.studies.explore.questions import ExplorerQuestion, base_of, choices
from ipa.studies.explore.take import FORMS, taken, taken_of_fleet
from ipa.studies.explore.views import Plan, Views, planned_view, planned_view_of_fleet, warm_up
from ipa.studies.fleets import with_seeds
from ipa.studies.many import Keys, Standing, StandingProcesses, SupersededError, workers
from ipa.studies.scenario import ScenarioError, is_fleet

ADDRESS = "127.0.0.1"
LARGEST_BODY = 2**20
MOST_TABS = 64
MOST_PLANS = 256
"""The most answers whose plans are kept for a pin; those of others are made again."""
IDLE_S = 60.0
"""How long a connection may be idle."""
LINGER_S = 0.5
NEEDS_TOKEN = (
    "this address needs a token: put the `?token=...` of the address that `ipa explore` printed before the `#` of this "
    "one, or open the printed one"
)

PAGE = {
    "/": ("index.html", "text/html"),
    "/explore.css": ("explore.css", "text/css"),
    "/main.js": ("main.js", "text/javascript"),
    "/control.js": ("control.js", "text/javascript"),
    "/variants.js": ("variants.js", "text/javascript"),
    "/question.js": ("question.js", "text/javascript"),
    "/answer.js": ("answer.js", "text/javascript"),
    "/figures.js": ("figures.js", "text/javascript"),
    "/inside.js": ("inside.js", "text/javascript"),
    "/plan.js": ("plan.js", "text/javascript"),
    "/points.js": ("points.js", "text/javascript"),
}
"""Path -> file in the folder `page`, and its content type."""

HEADERS = {
    # plotly adds styles to the page and draws images from data; scripts come from this server only.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Explorer(ThreadingHTTPServer):
    """The server, which listens from its creation; `serve_forever` answers, `close` ends it and its workers.

    `port` 0: any free one. Raises OSError if the port is not available, ScenarioError if plotly is not installed.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0, jobs: int | None = None) -> None:
        check_plotly("the explorer")
        super().__init__((ADDRESS, port), _Handler)
        self.host = f"{ADDRESS}:{self.server_port}"
        self.token = secrets.token_urlsafe(24)
        self.cookie = f"ipa-explore-{self.server_port}"  # cookies belong to a host, whatever its port
        self.processes = StandingProcesses(jobs or workers.cores(), warm_up)
        self.hasty = StandingProcesses(1, warm_up)  # for coarse answers, which do not wait for whole ones
        self.views = Views()
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._plans: OrderedDict[tuple[str, int], Plan] = OrderedDict()
        self._lock = Lock()

    def address(self, question: ExplorerQuestion | None = None) -> str:
        """The page's address with the token and the first question."""
        return f"http://{self.host}/?token={self.token}" + (f"#{question.address}" if question else "")

    def is_stale(self, tab: str, number: int) -> Callable[[], bool]:
        """Record the number of a tab's question; the returned function tells whether a newer one has come."""
        with self._lock:
            self._newest[tab] = max(number, self._newest.pop(tab, number))
            while len(self._newest) > MOST_TABS:
                self._newest.popitem(last=False)
        return lambda: self._newest.get(tab, number) > number

    def answer(self, request: Any) -> dict[str, Any]:
        """The answer to a request: a question with its tab and number, and optionally a pinned answer."""
        question, is_stale = self._question_of(request)
        pinned, before = self._pinned(request, is_stale, of_fleet=is_fleet(question.what))
        executor = Standing(self.processes, is_stale)
        runs, plan = self.views.of(lambda: _plan(question), executor)
        self._keep(request["tab"], request["number"], plan)
        if is_fleet(question.what):
            return answer_of_fleet(question, fleet_of(question), runs, pinned, before)
        return answer(question, question.scenarios()[0][0], runs, pinned, before)

    def coarse(self, request: Any) -> dict[str, Any]:
        """A coarse answer to a question that takes long, without a pin: its first seed, and only the beginning of a
        long load; empty if that would be the whole answer. A newer question of the tab cancels it."""
        question, is_stale = self._question_of(request)
        executor = Standing(self.hasty, is_stale)
        if is_fleet(question.what):
            fleet, whole_s = beginning_of_fleet(fleet_of(question))
            if whole_s is None and question.seeds == 1:
                return {"coarse": None}
            runs, _ = self.views.of(lambda: [("", planned_view_of_fleet(Keys(), fleet, "coarse"))], executor)
            return coarse(answer_of_fleet(question, fleet, runs), question.seeds, whole_s)
        firsts = [scenarios[0] for scenarios in question.scenarios()]
        parts = [coarse_part(scenario) for scenario in firsts]
        whole_s = parts[0][1]
        if whole_s is None and question.seeds == 1:
            return {"coarse": None}

        def plan() -> Plan:
            keys = Keys()
            return [(part.policy.title, planned_view(keys, part, "drawn")) for part, _ in parts]

        runs, _ = self.views.of(plan, executor)
        return coarse(answer(question, firsts[0], runs), question.seeds, whole_s)

    def _pinned(
        self, request: Any, is_stale: Callable[[], bool], *, of_fleet: bool
    ) -> tuple[Pinned | None, Sequence[Any]]:
        """The pin of a request and its runs, which are made again if they are no longer kept."""
        if request.get("pinned") is None:
            return None, []
        try:
            pinned = Pinned.of(request["pinned"])
            question = pinned.question
            if (question is not None and is_fleet(question.what)) != of_fleet:
                raise ScenarioError("a fleet is compared with a fleet alone")
            if question is None:
                return pinned, [measured(pinned.measured)]
            kept = self._plans.get((request["tab"], pinned.number))
            runs, plan = self.views.of(lambda: _plan(question), Standing(self.processes, is_stale), kept)
        except SupersededError:
            raise
        except Error as error:
            raise ScenarioError(f"pinned: {error}") from None
        self._keep(request["tab"], pinned.number, plan)
        return pinned, runs

    def _keep(self, tab: str, number: int, plan: Plan) -> None:
        """Keep the plan of a tab's answer for when it is pinned: a file may change meanwhile."""
        with self._lock:
            self._plans[tab, number] = plan
            self._plans.move_to_end((tab, number))
            while len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)

    def inside(self, request: Any) -> dict[str, Any]:
        """One of a question's runs over time: of the `policy` (of a fleet: pipeline) and `seed` with these indices."""
        question, is_stale = self._question_of(request)

        def plan() -> Plan:
            place = _place(request, "seed", question.seeds)
            if is_fleet(question.what):
                fleet = fleet_of(question)
                pipeline = fleet.pipelines[_place(request, "policy", len(fleet.pipelines))].name
                return [("", planned_view_of_fleet(Keys(), with_seeds(fleet, place), "inside", pipeline))]
            by_policy = question.scenarios()
            scenario = by_policy[_place(request, "policy", len(by_policy))][place]
            # Only a full journal has the reasons of decisions.
            return [("", planned_view(Keys(), scenario.with_values({"journal": "full"}), "inside"))]

        views, _ = self.views.of(plan, Standing(self.processes, is_stale))
        moments: dict[str, Any] = views[0]
        return moments

    def plan(self, request: Any) -> dict[str, Any]:
        """The plans for a `load` of the question's `policy` (of a fleet: pipeline) with this index."""
        question, is_stale = self._question_of(request)
        if is_fleet(question.what):
            fleet = fleet_of(question)
            by_policy = [[fleet.scenario_of(member)] for member in fleet.pipelines]
        else:
            by_policy = question.scenarios()
        if not isinstance(load_rps := request.get("load"), int | float) or isinstance(load_rps, bool):
            raise ScenarioError("load: should be a number of requests per second")
        scenario = by_policy[_place(request, "policy", len(by_policy))][0]
        plans: dict[str, Any] = self.processes.call(planned, scenario, float(load_rps), is_stale=is_stale)
        return plans

    def take(self, request: Any) -> dict[str, Any]:
        """A file of all runs of a question, in the requested `form`."""
        question, is_stale = self._question_of(request)
        if not isinstance(form := request.get("form"), str) or form not in FORMS:
            raise ScenarioError(f"form: should be one of {', '.join(FORMS)}")
        file: dict[str, Any]
        if is_fleet(question.what):
            fleet = fleet_of(question)
            file = self.processes.call(taken_of_fleet, fleet, question.seeds, form, is_stale=is_stale)
        else:
            chosen = [scenarios[0] for scenarios in question.scenarios()]
            file = self.processes.call(taken, chosen, question.seeds, form, is_stale=is_stale)
        return file

    def _question_of(self, request: Any) -> tuple[ExplorerQuestion, Callable[[], bool]]:
        if not isinstance(request, dict) or not isinstance(tab := request.get("tab"), str) or len(tab) > 64:
            raise ScenarioError("tab: should be a short text")
        if not isinstance(number := request.get("number"), int):
            raise ScenarioError("number: should be a whole number")
        is_stale = self.is_stale(tab, number)  # a refused question supersedes too
        return ExplorerQuestion.of(request.get("question")), is_stale

    def close(self) -> None:
        """Stop listening, and end the workers."""
        self.server_close()
        for processes in (self.processes, self.hasty):
            processes.close()
        self.views.close()

    def handle_error(self, *_: Any) -> None:
        """Ignore: a browser that disconnects is no error."""


class _Refused(Exception):  # noqa: N818
    """A request that is refused, and why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    server: Explorer
    protocol_version = "HTTP/1.1"
    server_version = "ipa"
    sys_version = ""
    timeout = IDLE_S
    POSTS: ClassVar = {
        "/base": lambda _, request: _base(_text(request, "what")),
        "/points": lambda _, request: points_of(_text(request, "what")),
        "/coarse": Explorer.coarse,
        "/answer": Explorer.answer,
        "/inside": Explorer.inside,
        "/plan": Explorer.plan,
        "/take": Explorer.take,
    }

    def do_GET(self) -> None:
        self._answered(self._get)

    def do_POST(self) -> None:
        self._answered(self._post)

    def _answered(self, answer: Callable[[str], None]) -> None:
        """Answer a request, or refuse it with one line of text."""
        try:
            self._check_sender()
            answer(urlsplit(self.path).path)
        except _Refused as refused:
            self._send(refused.status, "text/plain", f"{refused}\n".encode())
            self._hang_up()
        except SupersededError as error:
            self._send_json(HTTPStatus.CONFLICT, {"error": str(error)})
        except Error as error:
            self._send_json(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(error)})
        except OSError:
            raise
        except Exception as error:
            text = f"an error of this program, please report it: {type(error).__name__}: {error}"
            self._send_json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": text})

    def _check_sender(self) -> None:
        """Refuse requests with another `Host`, and those from another site's page."""
        if self.headers.get_all("Host") != [self.server.host]:
            raise _Refused(HTTPStatus.MISDIRECTED_REQUEST, f"this is {self.server.host}, and no other host")
        origin = self.headers.get("Origin")
        from_elsewhere = self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
        if from_elsewhere or origin not in (None, f"http://{self.server.host}"):
            why = (
                "other pages' requests are not answered; to open this address, paste it into the browser's address bar"
            )
            raise _Refused(HTTPStatus.FORBIDDEN, why)
        if self.command == "POST" and origin is None:
            raise _Refused(HTTPStatus.FORBIDDEN, "a question should come from this server's page")

    def _is_known(self) -> bool:
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value, self.server.token)

    def _check_token(self) -> None:
        if not self._is_known():
            raise _Refused(HTTPStatus.FORBIDDEN, NEEDS_TOKEN)

    def _hang_up(self) -> None:
        """End the connection. An unread body is read first, so that the refusal reaches a client still sending."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.settimeout(LINGER_S)
            self.connection.shutdown(SHUT_WR)
            for _ in range(LARGEST_BODY // 2**16):
                if not self.rfile.read1(2**16):
                    return

    # ---- pages ----

    def _get(self, path: str) -> None:
        token = parse_qs(urlsplit(self.path).query).get("token", [""])[0]
        if path == "/" and _same(token, self.server.token):
            # The token moves from the address into a cookie; the fragment (after #) stays in the address.
            cookie = f"{self.server.cookie}={self.server.token}; Path=/; HttpOnly; SameSite=Strict"
            self._send(HTTPStatus.SEE_OTHER, "text/plain", b"", {"Location": "/", "Set-Cookie": cookie})
            return
        self._check_token()
        if path in PAGE:
            name, kind = PAGE[path]
            self._send(HTTPStatus.OK, kind, _file(name))
        elif path == "/kit.js":
            self._send(HTTPStatus.OK, "text/javascript", pages.script().encode())
        elif path == "/kit.css":
            self._send(HTTPStatus.OK, "text/css", pages.style().encode())
        elif path == "/plotly.js":
            self._send(HTTPStatus.OK, "text/javascript", _plotly(), {"Cache-Control": "private, max-age=86400"})
        elif path == "/choices":
            self._send_json(HTTPStatus.OK, choices())
        else:
            raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here")

    # ---- questions ----

    def _post(self, path: str) -> None:
        self._check_token()
        if path not in self.POSTS:
            raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here")
        self._send_json(HTTPStatus.OK, self.POSTS[path](self.server, self._body()))

    def _body(self) -> Any:
        if self.headers.get_content_type() != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a question is JSON")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "a question says how long it is")
        if int(length) > LARGEST_BODY:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a question has at most {LARGEST_BODY} bytes")
        try:
            return json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise _Refused(HTTPStatus.BAD_REQUEST, "a question is JSON") from None

    # ---- responses ----

    def _send_json(self, status: HTTPStatus, value: Any) -> None:
        self._send(status, "application/json", json.dumps(value, allow_nan=False).encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
        }
        for name, value in {**HEADERS, **headers, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer requests that the base class refuses: an unknown method, a malformed request."""
        self.close_connection = True
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._send(status, "text/plain", f"{message or status.phrase}\n".encode())

    def log_message(self, *_: Any) -> None:
        """Log nothing: the page shows all errors."""


def _same(text: str, token: str) -> bool:
    return hmac.compare_digest(text.encode(), token.encode())


def _base(what: str) -> dict[str, Any]:
    return base_of_fleet(what) if is_fleet(what) else base_of(what)


def _plan(question: ExplorerQuestion) -> Plan:
    """The views that an answer needs, by policy, then seed; the first of each policy is drawn. Raises as
    `Keys.shared`, and InputErrors, as a command does."""
    keys, drawn = Keys(), ["drawn", *["summary"] * (question.seeds - 1)]
    if is_fleet(question.what):
        fleet = fleet_of(question)
        runs = [planned_view_of_fleet(keys, with_seeds(fleet, place), view) for place, view in enumerate(drawn)]
        names = [f"run {place + 1}" for place in range(question.seeds)]
    else:
        scenarios = [list(zip(of_policy, drawn, strict=True)) for of_policy in question.scenarios()]
        runs = [planned_view(keys, scenario, view) for of_policy in scenarios for scenario, view in of_policy]
        names = [f"{each.policy.title}, seed {each.seed}" for of_policy in scenarios for each, _ in of_policy]
    return list(zip(names if len(runs) > 1 else [""], runs, strict=True))


def _place(request: Any, key: str, count: int) -> int:
    place = request.get(key)
    if not isinstance(place, int) or not 0 <= place < count:
        raise ScenarioError(f"{key}: should be a whole number from 0, below {count}")
    return place


def _text(request: Any, key: str) -> str:
    text = request.get(key) if isinstance(request, dict) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise ScenarioError(f"{key}: should be a text")
    return text


@cache
def _file(name: str) -> bytes:
    return files("ipa.studies.explore").joinpath("page", name).read_bytes()


@cache
def _plotly() -> bytes:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).encode()
