"""The parent of the processes of a live run: `python -m ipa.live.parent FOLDER PIPELINE MODULE...`.

A small process that has imported the modules and read the pipeline forks children that are ready in about 10 ms; a
fresh interpreter would cost half a second of a core each time. It reads commands from stdin and answers on stdout, both
in JSON lines:

    {"start": name, "module": "ipa.live.serving.server", "arguments": [...], "log": path}
                                                                                       -> {"started": name, "pid": n}
    {"signal": name, "number": 15}                                                       (nothing for one that is gone)
    {"end": true}                                                                    (the controller ends by itself)
                                                                                       -> {"exited": name, "status": n}

No process outlives the run, however it ends. When stdin ends, because the controller is gone (even by SIGKILL), the
parent kills all of its children, and removes the folder of logs that a killed controller leaves behind. If the parent
itself is killed, the kernel ends them (Linux: PR_SET_PDEATHSIG). It has one thread and no event loop, so that a fork
inherits neither held locks nor a running loop.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ipa import profiles

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15


class _Children:
    """The processes that have been forked, by name."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.is_dismissed = False

    def obey(self, command: dict[str, Any]) -> None:
        if "end" in command:
            self.is_dismissed = True
            return
        if "start" in command:
            pid = os.fork()
            if pid == 0:
                _become(command)
            self.names[pid] = command["start"]
            _say({"started": command["start"], "pid": pid})
            return
        for pid, name in self.names.items():
            if name == command["signal"]:
                os.kill(pid, command["number"])

    def reap(self) -> None:
        while self.names:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _say({"exited": self.names.pop(pid), "status": os.waitstatus_to_exitcode(status)})

    def kill(self) -> None:
        for pid in self.names:
            os.kill(pid, signal.SIGKILL)


def _say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _become(command: dict[str, Any]) -> None:
    """In a child: end with the parent, write to the log, and run what the command names. Does not return."""
    status = 1
    try:
        _die_with_parent()
        _prctl(PR_SET_NAME, command["start"].encode()[-15:])  # what ps and top show
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        for other in range(3, 64):  # the parent's selector and pipes among them
            with suppress(OSError):
                os.close(other)
        module = importlib.import_module(command["module"])
        # As `python -m MODULE` leaves them, so that messages name the program.
        sys.argv = [str(module.__file__), *command["arguments"]]
        sys.modules["__main__"].__package__ = module.__package__
        module.main(command["arguments"])
        status = 0
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends; end at once if that has happened."""
    parent = os.getppid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _prctl(option: int, value: int | bytes) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def main(arguments: Sequence[str]) -> None:
    """Read the pipeline (empty: none) and import the modules, then obey commands until stdin ends."""
    folder, pipeline, *modules = arguments
    if pipeline:
        profiles.load(pipeline)
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what the children share with this process stays shared
    children = _Children()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        _say({})
        pending = b""
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if woken in ready:
                os.read(woken, 4096)
                children.reap()
            if 0 in ready:
                read = os.read(0, 65536)
                if not read:
                    children.kill()
                    if not children.is_dismissed:
                        shutil.rmtree(folder, ignore_errors=True)
                    return
                *lines, pending = (pending + read).split(b"\n")
                for line in lines:
                    children.obey(json.loads(line))


if __name__ == "__main__":
    main(sys.argv[1:])
