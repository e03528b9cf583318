"""A real `eyespot demo` on a real socket, and requests to it."""

import http.client
import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import quote, urlsplit


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@contextmanager
def running(*arguments):
    """Start `eyespot demo` on a free port; its process and its address."""
    command = [sys.executable, "-m", "eyespot", "demo", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), line + process.stderr.read()
        yield process, line.split()[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def ask(url, path, data=None, headers=(), method=None):
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        method = method or ("GET" if data is None else "POST")
        connection.request(method, path, body=data, headers=dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def ground(url, data, text, **more):
    return ask(url, f"/api/ground?text={quote(text)}", data, **more)
