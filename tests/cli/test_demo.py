"""`eyespot demo`: one line with its address, one sentence for every mistake, a clean end."""

import signal
import socket
import subprocess
import sys

import pytest

from eyespot.cli import main
from tests.app.serving import ask, running


def stopped(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["demo", *arguments])
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert not said.out
    assert len(said.err.splitlines()) == 1
    return said.err


def test_ctrl_c_ends_it_cleanly():
    with running("--host", "localhost") as (process, url):
        port = int(url.rsplit(":", 1)[1])
        assert ask(url, "/", headers={"Host": f"localhost:{port}"}).status == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert not out
    assert err == "ended\n"
    with socket.create_server(("127.0.0.1", port)):
        pass  # free again


def test_a_port_in_use_is_told_before_weights_are_read(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "eyespot.predict.grounder", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"need a free port, got {port} of 127.0.0.1, which is in use" in stopped(
            capsys, "--port", str(port)
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "need a port of 0 to 65535, got 70000"),
        (["--host", "192.0.2.1", "--port", "0"], "need a host and port of this machine"),
        (["--host", "no host", "--port", "0"], "need a host and port of this machine"),
        (["--weights", "scenes-smal", "--port", "0"], "Did you mean scenes-small?"),
        (["--weights", "none.safetensors", "--port", "0"], "none.safetensors"),
    ],
)
def test_mistakes_are_one_sentence(capsys, arguments, message):
    assert message in stopped(capsys, *arguments)


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_a_missing_package_is_told_with_its_extra(package):
    code = (
        f"import sys; sys.modules['{package}'] = None; "
        "from eyespot.cli import main; main(['demo', '--port', '0'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"eyespot demo: need the package {package} for the page; pip install 'eyespot[demo]'\n"
    )


def served(monkeypatch, *arguments):
    """The application that a command would serve."""
    import eyespot.app.serving

    apps = []

    def serve(app, bound, on_start):
        on_start()
        apps.append(app)

    monkeypatch.setattr(eyespot.app.serving, "serve", serve)
    main(["demo", "--port", "0", *arguments])
    return apps[0]


def test_a_host_that_others_reach_is_warned_of(capsys, monkeypatch):
    app = served(monkeypatch, "--host", "0.0.0.0")
    said = capsys.readouterr()
    assert said.out.startswith("http://0.0.0.0:")
    assert "warning: 0.0.0.0 lets everyone use the demo who reaches this machine" in said.err
    assert app.app.allow_any


def test_a_loopback_host_is_not(capsys, monkeypatch):
    app = served(monkeypatch)
    assert "warning" not in capsys.readouterr().err
    assert set(app.app.allowed_hosts) == {"127.0.0.1", "localhost", "::1", "[::1]"}
