"""A small file server whose faults can be chosen."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Serves `server.body`; the class attributes below are set on the server."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append(dict(self.headers))
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        start = 0
        wanted = self.headers.get("Range")
        if wanted and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", server.content_type)
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.says_length:
            self.send_header("Content-Length", str(len(server.body) - start))
        self.end_headers()
        stop = server.breaks_at or len(server.body)
        self.wfile.write(server.body[start:stop])


@contextlib.contextmanager
def serving(body, **faults):
    """Serve bytes on a port of its own; yields the server with its `url`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    settings = {
        "content_type": "application/octet-stream",
        "etag": '"v1"',
        "ranges": True,
        "says_length": True,
        "breaks_at": None,
    }
    for name, value in {**settings, **faults}.items():
        setattr(server, name, value)
    server.body, server.requests = body, []
    server.url = f"http://127.0.0.1:{server.server_address[1]}/w.pth"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
