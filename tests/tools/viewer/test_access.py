"""Who is answered: the server's own page on the loopback, and whoever has the token elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulacra.render.runtime.errors import ConfigError, InputError
from simulacra.tools.cli import main
from simulacra.tools.viewer.access import Access, is_loopback
from simulacra.tools.viewer.serve import serve
from tests.tools.viewer.serving import get, ids_of, served, write_scored_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scored_run(tmp_path_factory.mktemp("runs") / "one", {("a", 0): 20.0})


@pytest.fixture(scope="module")
def address(run: Path) -> Iterator[str]:
    with served([run]) as found:
        yield found


@pytest.fixture(scope="module")
def exposed(run: Path) -> Iterator[str]:
    with served([run], access=Access("secret")) as found:
        yield found


TAG = {"camera": "a", "frame": 0, "tag": "hole"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:9999"}, 200),  # another port of a tunnel
        ({"Host": "[::1]:8765"}, 200),
        ({"Host": "evil.example:8765"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "192.168.0.7"}, 421),
        ({"Host": ""}, 421),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),  # another server of this machine
    ],
)
def test_only_the_loopbacks_own_names_are_answered(
    address: str, headers: dict[str, str], status: int
) -> None:
    assert get(f"{address}/api/index", headers)[0] == status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"])
def test_nothing_is_taken_from_other_pages(address: str, run: Path, origin: str) -> None:
    where = f"{address}/api/tags/{ids_of(address)['one']}"
    assert get(where, {"Origin": origin}, TAG)[0] == 403
    assert not (run / "tags.jsonl").exists()


def test_a_body_without_an_end_or_too_large_is_not_read(address: str) -> None:
    where = f"{address}/api/tags/x"
    assert get(where, {"Content-Length": str(1 << 40)}, b"{}")[0] == 413


def test_every_answer_has_the_policy(address: str) -> None:
    for path in ("/", "/page/main.js", "/api/index", "/page/nothing.js", "/api/entry/none"):
        headers = get(address + path)[2]
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy, path
        assert "unsafe" not in policy and "http" not in policy, path
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "name", ["..%2Fapp.py", "app.py", "%2e%2e/app.py", "index.html%00", "..%2f..%2fcli.py", ""]
)
def test_only_the_pages_own_files_are_given(address: str, name: str) -> None:
    assert get(f"{address}/page/{name}")[0] == 404


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    import simulacra.tools.viewer as viewer

    for folder in viewer.__path__:
        for file in (Path(folder) / "page").iterdir():
            text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"https?://|//cdn|@import", text), file.name


def test_elsewhere_nobody_is_answered_without_the_token(exposed: str) -> None:
    assert get(f"{exposed}/")[0] == get(f"{exposed}/api/index")[0] == 401
    assert get(f"{exposed}/?token=wrong")[0] == 401
    assert get(f"{exposed}/api/index?token=secret")[0] == 401  # only the page takes it, and keeps it
    status, _, headers = get(f"{exposed}/?token=secret")
    assert status == 303 and headers["location"] == "/"
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
    kept = {"Cookie": cookie.split(";")[0]}
    assert get(f"{exposed}/api/index", kept)[0] == 200
    assert get(f"{exposed}/api/index", {"Cookie": "simulacra_view=wrong"})[0] == 401


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("localhost", True), ("[::1]", True), ("127.9.9.9", True), ("0.0.0.0", False),
     ("::", False), ("192.168.1.2", False), ("localhost.evil.example", False), ("", False)],
)  # fmt: skip
def test_what_is_the_loopback(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


def test_another_host_needs_to_be_asked_for(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="others would be able"):
        serve([run], (), "0.0.0.0", 0, expose=False)
    assert main(["view", str(run), "--host", "0.0.0.0"]) == 2
    assert "--expose" in capsys.readouterr().err


def test_a_port_that_is_taken_and_a_place_without_runs_are_said(
    run: Path, tmp_path: Path, address: str
) -> None:
    with pytest.raises(ConfigError, match="cannot listen"):
        serve([run], (), "127.0.0.1", int(address.rsplit(":", 1)[1]), expose=False)
    with pytest.raises(InputError, match="nothing to look at"):
        serve([tmp_path], (), "127.0.0.1", 0, expose=False)
