"""After a fork, as by `gunicorn --preload`, each child watches its configuration."""

from __future__ import annotations

import os

import pytest
from support import run_script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

PRELUDE = """
import logging, os, sys, tempfile, threading, time, warnings
from pathlib import Path
warnings.simplefilter("ignore", DeprecationWarning)
from cqrs_fast import *
from config_files import number_of, replace, text_of
from forking import *

class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.seen = []
    def emit(self, record):
        self.seen.append(record)
    def watching(self):
        return [one.getMessage() for one in self.seen if "watch" in one.getMessage()]

lines = Lines()
logging.getLogger("cqrs_fast").addHandler(lines)
logging.getLogger("cqrs_fast").setLevel(logging.DEBUG)
directory = tempfile.TemporaryDirectory()
path = Path(directory.name) / "service.json"
path.write_text(text_of(1))
manager = ConfigManager(path, poll=0.002)
bus = QueryBus.from_config(manager.config)
bus.register_handler(Get, lambda query: query.number)
manager.apply_to(bus)

def timeout_ms():
    (route,) = bus.describe()
    return round(route.stages[0].settings["seconds"] * 1000)

def follows(number, manager=manager):
    replace(path, text_of(number))
    eventually(lambda: number_of(manager.config) == number)
"""
WITHOUT_EVENTS = "import sys; sys.modules['watchfiles'] = None\n"


def run(script: str, before: str = "") -> None:
    assert run_script(before + PRELUDE + script + "\nprint('end')\n") == "end\n"


@pytest.mark.parametrize("before", ["", WITHOUT_EVENTS], ids=["events", "polls"])
def test_the_watcher_starts_again_in_the_child(before: str) -> None:
    run(
        """
manager.watch_config()
follows(2)

def check():
    eventually(lambda: manager.is_watching)
    follows(1000)
    eventually(lambda: timeout_ms() == 1000)
    assert bus.execute(Get(3)) == 3
    assert manager.stop()
    assert not manager.is_watching

fork(check)
assert manager.is_watching
follows(3)
assert manager.stop()
""",
        before,
    )


def test_it_says_so_in_one_line() -> None:
    """At INFO, with the file: the pages leave the words open."""
    run("""
manager.watch_config()
lines.seen.clear()

def check():
    eventually(lambda: manager.is_watching and lines.watching())
    follows(1000)
    (line,) = lines.watching()
    assert str(path) in line, line
    (record,) = [one for one in lines.seen if one.getMessage() == line]
    assert record.levelno == logging.INFO
    assert record.process == os.getpid()
    assert manager.stop()

fork(check)
assert lines.watching() == []
assert manager.stop()
""")


def test_a_manager_that_does_not_watch_does_not_begin_to() -> None:
    run("""
idle = ConfigManager(path)
stopped = ConfigManager(path, poll=0.002)
stopped.watch_config()
assert stopped.stop()

def check():
    time.sleep(0.03)
    assert not manager.is_watching
    assert not idle.is_watching and not stopped.is_watching
    assert lines.watching() == []
    assert threading.active_count() == 1

fork(check)
""")


def test_a_grandchild_watches_too() -> None:
    run("""
manager.watch_config()

def grandchild():
    follows(1001)
    assert manager.stop()

def child():
    fork(grandchild)
    follows(1000)
    assert manager.stop()

fork(child)
assert manager.stop()
""")


def test_many_children_each_follow_the_same_file() -> None:
    run("""
manager.watch_config()

def check():
    eventually(lambda: number_of(manager.config) == 7)
    assert manager.stop()

children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        end_child(check)
    children.append(child)
replace(path, text_of(7))
for child in children:
    reap(child)
eventually(lambda: number_of(manager.config) == 7)
assert manager.stop()
""")


def test_a_fork_in_the_middle_of_a_reload_holds_nobody_up() -> None:
    """The thread that held the locks, or a callback, is not there in the child."""
    run("""
entered, go_on = threading.Event(), threading.Event()

@manager.on_change
def slow(old, new):
    if os.getpid() == PARENT:
        entered.set()
        assert go_on.wait(SECONDS)

manager.watch_config()
replace(path, text_of(2))
entered.wait()

def check():
    follows(1000)
    assert manager.stop()

fork(check)
go_on.set()
follows(3)
assert manager.stop()
""")


def test_a_child_that_stops_at_once_stops() -> None:
    run("""
manager.watch_config()

def check():
    assert manager.stop()
    assert not manager.is_watching
    replace(path, text_of(1000))
    time.sleep(0.03)
    assert number_of(manager.config) == 1

fork(check)
assert manager.stop()
""")


def test_a_broken_file_is_told_in_the_child_and_the_last_good_one_stays() -> None:
    run("""
manager.watch_config()

def check():
    replace(path, "{")
    eventually(lambda: manager.last_error is not None)
    assert number_of(manager.config) == 1
    follows(1000)
    assert manager.last_error is None
    assert manager.stop()

fork(check)
assert manager.stop()
""")


def test_a_manager_that_is_gone_is_not_started() -> None:
    run("""
import gc
manager.watch_config()
manager.stop()
del manager, follows
gc.collect()

def check():
    assert threading.active_count() == 1

fork(check)
""")
