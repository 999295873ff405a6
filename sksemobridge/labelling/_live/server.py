"""The server of the live page, for this machine only. A secret gives access."""

import asyncio
import functools
import inspect
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
import webbrowser
from importlib.resources import files

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from ...encoders import ImageReadError
from .._messages import UsageError, fault
from .._photos.folder_table import plain
from .access import Access
from .find import Finder, words
from .gallery import Gallery, disputed, look_at_class
from .look import look
from .page_state import PageState, items
from .refused import Refused
from .suggestions import Suggestions
from .written import linked_files

MACHINE = "127.0.0.1"
# Seconds to wait for the rest of a request.
REQUEST_PATIENCE = 10
# Seconds to wait at the end for requests that are under way.
GRACE = 1
# Seconds that the program waits after Ctrl-C for pages to hear that the files are written. An open
# page asks every three seconds.
FAREWELL = 4
ALWAYS_SENT = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Folders of the files of the page, by address. Addresses are those of the folders in the package,
# so that a module imports the same file in a browser and for `tsc`.
STATIC_FOLDERS = {
    "/_live/static": files(__package__) / "static",
    "/_web": files("sksemobridge.labelling._web"),
}
MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
STATIC = {
    f"{address}/{file.name}": file
    for address, folder in STATIC_FOLDERS.items()
    for file in folder.iterdir()
    if file.name.rpartition(".")[2] in MEDIA_TYPES
}
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


# Requests without numbers of pictures. All other requests are refused if new pictures were read
# since the page was loaded. While another action runs, no new pictures come in, and no other tab
# gets the same pictures.
WITHOUT_NUMBERS = ("state", "add", "read_new", "words", "done", "also", "end")
# Parameters of questions and actions that the server gives. All others are fields of the request.
GIVEN = ("snapshot", "tab", "who")


def serve(session, write, title, print_message, outputs=None):
    """Serve the page of a `Session` until a person ends it, or until Ctrl-C. Return the value of
    `write`.

    `write` is for `Session.done`, and returns the exit status and sentences for the person.
    `outputs`, the `Outputs` of the command, say which files it writes, and what else a person may
    ask for.
    """
    live = _LivePage(session, write, title, outputs, print_message)
    with socket.socket() as listening:
        listening.bind((MACHINE, 0))
        listening.listen()
        address = f"http://{MACHINE}:{listening.getsockname()[1]}/?secret="
        print_message(f"The page: {address}{live.access.secret}")
        print_message("Ctrl-C writes the files and ends it, as “End” does in the page.")
        # Programs of other users may see the arguments of a browser: this secret is good for one
        # visit.
        threading.Thread(target=_open, args=[address + live.access.once], daemon=True).start()
        session.learner.start()
        try:
            live.server.run(sockets=[listening])
        finally:
            session.learner.end()
    if live.finished is None:
        live.finished = session.done(write, ends=True)
    return live.finished


def _open(address):
    # Without a screen, webbrowser would start a browser of the terminal in the middle of the
    # messages.
    screens = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in screens):
        webbrowser.open(address)


class _Server(uvicorn.Server):
    """A server that calls `on_interrupt` at the first Ctrl-C. The second one ends it."""

    def __init__(self, config, on_interrupt):
        super().__init__(config)
        self._on_interrupt = on_interrupt

    def handle_exit(self, sig, frame):
        if sig != signal.SIGINT or self._on_interrupt is None:
            super().handle_exit(sig, frame)
        else:
            on_interrupt, self._on_interrupt = self._on_interrupt, None
            on_interrupt()


class _LivePage:
    def __init__(self, session, write, title, outputs, print_message):
        self.session, self.write, self.title = session, write, plain(title)
        self.outputs, self.print_message = outputs, print_message
        self.answers = plain(os.fspath(session.answers_file.path))
        # Time of the last request of each tab, and the reply to requests after the end.
        self.asked, self.ended = {}, None
        self.state = PageState(session.reserved)
        self.access, self.finished = Access(), None
        self.questions, self.actions = _questions(), self._actions()
        routes = [Route("/", self.page), Route("/picture/{number}", self.picture)]
        routes += [Route(address, self.static) for address in STATIC]
        routes.append(Route("/{action}", self.act, methods=["POST"]))
        app = Starlette(
            routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=self.guard)]
        )
        options = {"ws": "none", "lifespan": "off", "server_header": False}
        # A log of other levels would say that a request did not end.
        options |= {"log_level": "critical", "timeout_graceful_shutdown": GRACE}
        self.server = _Server(uvicorn.Config(app, http="h11", **options), self.interrupt)

    def _actions(self):
        """Actions of a person by name: functions of tab, person, and the fields of the request."""
        session = self.session
        return {
            "say": session.answer,
            "say_same": session.answer_alike,
            "page": session.confirm_page,
            "undo": self.undo,
            "skip": session.skip,
            "check": session.check,
            "planting": session.switch_planting,
            "add": session.add,
            "rename": session.rename,
            "join": session.join,
            "drop": session.drop,
            "card": session.card,
            "look": functools.partial(look, session),
            "done": self.done,
            "also": self.also,
            "end": self.end,
            "read_new": session.read_new,
        }

    async def guard(self, request, call_next):
        """Answer requests of the page alone."""
        refusal = self.access.refusal(request)
        try:
            response = PlainTextResponse(*refusal) if refusal else await call_next(request)
        # An unforeseen error.
        except Exception as error:
            traceback.print_exc()
            response = _json({"failed": fault(error)}, 500)
        response.headers.update(
            {"Content-Security-Policy": POLICY} | ALWAYS_SENT | dict(response.headers)
        )
        return response

    async def page(self, request):
        secret = request.query_params.get("secret")
        if secret is None:
            policy = f"{POLICY}; img-src 'self'; connect-src 'self'"
            policy += "; style-src 'self'; script-src 'self'"
            text = (STATIC_FOLDERS["/_live/static"] / "live.html").read_text("utf-8")
            return HTMLResponse(text, headers={"Content-Security-Policy": policy})
        if not self.access.enters(secret, request.cookies):
            return PlainTextResponse(
                "This address is not good. Open the one that was printed.", 403
            )
        response = RedirectResponse("/", 303)
        response.set_cookie(*self.access.cookie, httponly=True, samesite="lax")
        return response

    async def picture(self, request):
        is_small = "small" in request.query_params
        try:
            files, generation = self.session.files, str(self.session.generation)
            if request.query_params.get("g", generation) != generation:
                raise Refused("This was the number of another picture.")
            number = files.pictures.from_text(request.path_params["number"])
            content = await run_in_threadpool(files.jpeg, number, is_small)
        except (Refused, ImageReadError) as error:
            return PlainTextResponse(plain(str(error)), 404)
        return Response(
            content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"}
        )

    async def static(self, request):
        """A file of the page."""
        file = STATIC[request.url.path]
        media_type = MEDIA_TYPES[file.name.rpartition(".")[2]]
        return Response(file.read_bytes(), media_type=media_type)

    async def act(self, request):
        """Answer a request. The response is the state afterwards, or what went wrong."""
        try:
            data = await asyncio.wait_for(request.body(), REQUEST_PATIENCE)
            name = request.path_params["action"]
            asked, tab, who, since, generation, values = self.read(name, data)
        except TimeoutError:
            return _json({"failed": f"Nothing came for {REQUEST_PATIENCE} seconds."}, 408)
        except (LookupError, TypeError, ValueError, RecursionError):
            return _json({"failed": "The request does not fit."}, 400)
        try:
            run = self.look_up if name in self.questions else functools.partial(self.do, tab, who)
            more = await run_in_threadpool(run, name, asked, generation, values) or {}
            state = await run_in_threadpool(self.state_of, tab, since)
        except (Refused, UsageError, ImageReadError) as error:
            return _json({"failed": str(error)}, 409)
        except OSError as error:
            return _json({"failed": f"Not saved: {error.strerror or error}"}, 507)
        others = sum(self.is_open(other) for other in list(self.asked) if other != tab)
        reply = {"notes": [], "title": self.title, "answers": self.answers, "others": others}
        reply |= state | more
        if self.ended is not None:
            reply["ended"] = self.ended
            self.asked.pop(tab, None)
        else:
            self.asked[tab] = time.monotonic()
        return _json(reply)

    def look_up(self, name, question, generation, values):
        """Answer a question of a page with the numbers of a `generation`."""
        snapshot = self.session.snapshot()
        if name not in WITHOUT_NUMBERS:
            check_generation(generation, snapshot.generation)
        return question(snapshot, **values)

    def do(self, tab, who, name, action, generation, values):
        """Run an action, if the page has the current numbers of pictures."""
        if name in WITHOUT_NUMBERS:
            return action(tab, who, **values)
        with self.session.lock:
            check_generation(generation, self.session.generation)
            return action(tab, who, **values)

    def state_of(self, tab, since):
        return self.state.of(self.session.snapshot(), tab, since)

    def read(self, action, body):
        """The function of a request, its tab, person, number of known changes and generation, and
        the other arguments of the function. A request that does not fit raises an error.
        """
        function = (self.questions | self.actions)[action]
        data = json.loads(body)
        tab, who, since = data["tab"], data.get("who", ""), data.get("since")
        is_text = all(isinstance(text, str) and len(text) <= 50 for text in (tab, who))
        generation = data.get("generation")
        if not is_text or not all(type(n) in (int, type(None)) for n in (since, generation)):
            raise TypeError
        values = {
            name: data[name] if default is inspect.Parameter.empty else data.get(name, default)
            for name, default in request_fields(function).items()
        }
        if not isinstance(values.get("name"), str | None):
            raise TypeError
        if not all(isinstance(data.get(key, []), list) for key in ("without", "of")):
            raise TypeError
        return function, tab, who, since, generation, values

    def undo(self, tab, who):
        undone, snapshot = self.session.undo(tab, who)["undone"], self.session.snapshot()
        numbers = snapshot.bursts.first_of_each(undone.pop("numbers"))
        return {"undone": undone | {"items": items(snapshot, numbers)}}

    def interrupt(self):
        """Write the files after Ctrl-C, and tell the pages, in a thread of its own."""
        self.print_message(
            "\nWriting the files. Ctrl-C again ends without them; the answers are kept."
        )
        threading.Thread(target=self.finish, daemon=True).start()

    def finish(self):
        try:
            self.write_all(ends=True)
            self.say_farewell()
        # `serve` writes again, and raises the error.
        except Exception:
            self.finished = None
        finally:
            self.server.should_exit = True

    def write_all(self, ends, anew=False):
        """Write the files, and return the data that the page shows of them."""
        finished = self.session.done(self.write, ends, anew)
        reply = {"written": finished[1], "files": [], "further": {}}
        if self.outputs is not None:
            further = {name: plain(value) for name, value in self.outputs.further.items()}
            reply |= {"files": linked_files(self.outputs.paths()), "further": further}
        if ends:
            self.finished, self.ended = finished, reply
        return reply

    def say_farewell(self):
        """Wait until all open pages know of the end, then end the server."""
        end = time.monotonic() + FAREWELL
        for tab in [tab for tab in list(self.asked) if not self.is_open(tab)]:
            self.asked.pop(tab, None)
        while self.asked and time.monotonic() < end:
            time.sleep(0.05)
        self.server.should_exit = True

    def is_open(self, tab):
        """Whether the page of a tab sent a request not long ago."""
        return self.asked.get(tab, -np.inf) > time.monotonic() - FAREWELL

    def done(self, tab, who):
        return self.write_all(ends=False)

    def also(self, tab, who, name):
        """Write an output that was not asked for at the beginning, and all other outputs again."""
        if self.outputs is None or name not in self.outputs.further:
            raise Refused("This was asked for already, or cannot be written.")
        return self.outputs.add(name, lambda: self.write_all(ends=False, anew=True))

    def end(self, tab, who):
        reply = self.write_all(ends=True)
        self.asked.pop(tab, None)
        threading.Thread(target=self.say_farewell, daemon=True).start()
        return reply


def _questions():
    """Questions of a person by name: functions of a `Snapshot` and the fields of the request."""
    return {
        "state": lambda snapshot: None,
        "look_at_class": look_at_class,
        "overview": Gallery().overview,
        "disputed": disputed,
        "suggest": Suggestions().suggest,
        "words": words,
        "find": Finder().find,
    }


def request_fields(function):
    """Fields of the request for a question or an action: names, each with its default or
    `Parameter.empty`. They are the parameters of the function after `GIVEN`.
    """
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.name not in GIVEN}


def check_generation(generation, current):
    """Refuse numbers of pictures of another generation. None is the current generation."""
    if generation not in (None, current):
        raise Refused("New pictures were read, so the page is loaded again.")


def _json(data, status=200):
    # ASCII, since the name of a file may hold bytes that are no text.
    return Response(json.dumps(data), status, media_type="application/json")
