"""bridge.py: a real usher-http before a real usherd, and a client of HTTP in Python's standard library.

    with House() as house, Bridge(house) as bridge:
        status, headers, body = bridge.ask("GET", "/v1/concerts")
        user = bridge.user(1)           a token, and requests with it
"""
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from house import PATIENCE, House, wait_until

BUILD = Path(sys.argv[1]).resolve().parents[1]
SEASON = Path(__file__).resolve().parents[2] / "samples" / "season.json"


def usherctl(house, *words):
    done = subprocess.run([BUILD / "apps" / "usherctl" / "usherctl", "--server", f"127.0.0.1:{house.port}", "--key",
                           house.data / "admin.key", *words], capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


class RestartableHouse(House):
    """A house whose usherd may be killed and started again on its port and data."""

    def restart(self):
        self.process.kill()
        self.process.wait()
        self.port_file.unlink()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", sys.argv[1], "--data", self.data, "--listen",
                 f"127.0.0.1:{self.port}", "--port-file", self.port_file, "--map-size", "1073741824", "--quiet"],
                stdout=log, stderr=log)
        wait_until("usherd serves again", self.serves)


class SecondServer:
    """A further usherd on the data of a house."""

    def __init__(self, house):
        self.data, self.port_file = house.data, house.folder / "second-port"
        with house.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", sys.argv[1], "--data", self.data, "--listen", "127.0.0.1:0", "--join",
                 "--port-file", self.port_file, "--map-size", "1073741824", "--quiet"], stdout=log, stderr=log)

    def __enter__(self):
        self.port = int(wait_until("a second usherd serves",
                                   lambda: self.port_file.exists() and self.port_file.read_text()))
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Bridge:
    def __init__(self, *houses, options=(), port=0, key=None):
        self.folder = Path(tempfile.mkdtemp(prefix="usher-bridge-"))
        self.port_file, self.log = self.folder / "ports", self.folder / "log"
        self.servers = ",".join(f"127.0.0.1:{house.port}" for house in houses)
        self.key, self.options = key or houses[0].data / "admin.key", options
        self.start(port)

    def start(self, port=0):
        self.port_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", BUILD / "apps" / "http-bridge" / "usher-http", "--server",
                 self.servers, "--key", self.key, "--listen", f"127.0.0.1:{port}", "--operations", "off",
                 "--zone", "+09:00", "--port-file", self.port_file, *self.options], stdout=log, stderr=log)

    def serves(self):
        if self.process.poll() is not None:
            raise AssertionError(f"usher-http ended with {self.process.returncode}: {self.log.read_text()}")
        return self.port_file.exists() and self.port_file.read_text()

    def __enter__(self):
        try:
            self.port = int(wait_until("usher-http serves", self.serves).split()[0])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        said = self.log.read_text(errors="replace")
        shutil.rmtree(self.folder)
        assert "Sanitizer:" not in said and "runtime error:" not in said and "ssertion" not in said, said

    def restart(self):
        """Killed, and started again on the same port."""
        self.process.kill()
        self.process.wait()
        self.start(self.port)
        wait_until("usher-http serves again", self.serves)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def ask(self, method, path, body=None, headers=(), connection=None):
        """(status, headers, body): JSON as what it says, anything else as text."""
        own = connection or self.connect()
        headers = dict(headers)
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        own.request(method, path, body, headers)
        response = own.getresponse()
        text = response.read().decode()
        if not connection:
            own.close()
        is_json = "json" in (response.headers["Content-Type"] or "")
        return response.status, response.headers, json.loads(text) if is_json else text

    def user(self, user_id):
        return User(self, user_id)


class User:
    """Somebody with a token of A1."""

    def __init__(self, bridge, user_id, connection=None):
        self.bridge, self.id = bridge, user_id
        status, _, answer = bridge.ask("GET", f"/api/concert/token/{user_id}", connection=connection)
        assert status == 200 and answer["userId"] == user_id, (status, answer)
        self.token = answer["token"]

    def ask(self, method, path, body=None, key=None, headers=(), connection=None):
        headers = {"Authorization": self.token, **dict(headers)}
        if key:
            headers["Idempotency-Key"] = key
        return self.bridge.ask(method, path, body, headers, connection)

    def get(self, path):
        """The answer of a GET that must be answered."""
        status, _, answer = self.ask("GET", path)
        assert status == 200, (path, status, answer)
        return answer

    def post(self, path, body, key=None):
        """The answer of a POST that must be carried out."""
        status, _, answer = self.ask("POST", path, body, key)
        assert status in (200, 201), (path, status, answer)
        return answer

    def refused(self, status, code, method, path, body=None, key=None, headers=()):
        got, told, answer = self.ask(method, path, body, key, headers)
        assert (got, answer.get("code")) == (status, code), (path, got, answer)
        assert told["Content-Type"] == "application/problem+json", told
        return answer


class Stream:
    """Server-sent events of somebody's, one by one."""

    def __init__(self, user, path):
        self.connection = user.bridge.connect()
        self.connection.request("GET", path, headers={"Authorization": user.token})
        self.response = self.connection.getresponse()
        kind = self.response.headers["Content-Type"]
        assert (self.response.status, kind) == (200, "text/event-stream"), (self.response.status, self.response.read())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def next(self):
        """(name, data) of the next event; None when the stream has ended."""
        for event in events(iter(self.response.readline, b"")):
            return event
        return None


def events(lines):
    """(name, data) of each event in a stream's lines."""
    name = None
    for line in lines:
        line = line.decode() if isinstance(line, bytes) else line
        if line.startswith("event: "):
            name = line[7:].strip()
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])
