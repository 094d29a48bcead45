"""What a source shows: language, form, signs with file and line."""

from __future__ import annotations

import pytest

from fourfold.cost.advice.source import Source, look


def seen(**files: str) -> Source:
    """`app__py` -> `app.py`, `a___b__py` -> `a/b.py`."""
    named = {name.replace("___", "/").replace("__", "."): text for name, text in files.items()}
    return look(list(named), named.get)


@pytest.mark.parametrize(
    ("names", "language", "package"),
    [
        (["app.py"], "python", "folder"),
        (["requirements.txt", "static/a.js", "static/b.js", "app.py"], "python", "folder"),
        (["package.json", "server.js", "tool.py", "more.py", "third.py"], "nodejs", "folder"),
        (["src/A.java", "src/B.java", "build.sh"], "java", "folder"),
        (["shop.war"], "java", "war"),
        (["src/A.java", "webapp/WEB-INF/web.xml"], "java", "war"),
        (["worker.rb"], "ruby", "folder"),
        (["main.go", "go.mod"], "go", "folder"),
        (["index.html", "style.css", "app.js"], "files", "folder"),
        (["server"], "binary", "program"),
        (["data.txt"], "other", "folder"),
        ([], "other", "folder"),
    ],
)
def test_language_and_form(names: list[str], language: str, package: str) -> None:
    found = look(names, lambda name: "")
    assert (found.language, found.package) == (language, package)


def test_a_bundle_is_told_by_its_manifest() -> None:
    assert seen(bundle__mf="Manifest-Version: 1.0\nBundle-SymbolicName: rates\n").package == "bundle"
    assert seen(bundle__mf="Manifest-Version: 1.0\n", A__java="").package == "folder"


def test_what_a_procfile_says_is_kept() -> None:
    assert seen(Procfile="web: gunicorn shop:app\n").procfile == "web: gunicorn shop:app\n"
    assert seen(app__py="").procfile == ""


@pytest.mark.parametrize(
    ("name", "line", "sign"),
    [
        ("a.py", "@app.websocket('/ws')", "connections"),
        ("a.js", "const ws = new WebSocketServer({port})", "connections"),
        ("a.mjs", "import {Server} from 'socket.io'", "connections"),
        ("A.java", '@ServerEndpoint("/ws")', "connections"),
        ("a.go", 'import "github.com/gorilla/websocket"', "connections"),
        ("a.py", "server = grpc.aio.server()", "connections"),
        ("a.js", "const server = new grpc.Server();", "connections"),
        ("a.rb", "server = GRPC::RpcServer.new", "connections"),
        ("A.java", "server = ServerBuilder.forPort(port).build();", "connections"),
        ("a.go", "server := grpc.NewServer()", "connections"),
        ("a.py", "threading.Thread(target=loop).start()", "background"),
        ("a.js", "setInterval(refresh, 1000)", "background"),
        ("A.java", "@Scheduled(fixedRate = 5000)", "background"),
        ("a.py", "with open(path, 'w') as file:", "writes"),
        ("a.py", "db = sqlite3.connect('app.db')", "writes"),
        ("a.py", "path.write_text(text)", "writes"),
        ("a.js", "fs.appendFileSync(LOG, line)", "writes"),
        ("a.rb", "File.open(path, 'a') { |f| f << x }", "writes"),
        ("A.java", "new FileWriter(file)", "writes"),
        ("a.go", 'os.WriteFile("x", b, 0o600)', "writes"),
        ("a.py", "os.setuid(0)", "root"),
        ("a.py", "app.run(host='0.0.0.0', port=5000)", "fixed_port"),
        ("a.js", "app.listen(3000, () => console.log('up'))", "fixed_port"),
        ("A.java", "HttpServer.create(new InetSocketAddress(8000), 0);", "fixed_port"),
        ("a.go", 'http.ListenAndServe(":8080", nil)', "fixed_port"),
        ("a.rb", "set :port, 4567", "fixed_port"),
    ],
)
def test_a_sign(name: str, line: str, sign: str) -> None:
    found = look([name], lambda _: f"first\n{line}\n")
    assert found.signs == {sign: f"{name}:2"}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a.py", "with open(path) as file:"),
        ("a.py", "with open('/tmp/x', 'w') as file:"),
        ("a.py", "# threading.Thread(target=loop)"),
        ("a.js", "// setInterval(refresh, 1000)"),
        ("a.py", "sqlite3.connect(':memory:')"),
        ("tests/test_a.py", "open(path, 'w')"),
        ("test_a.py", "open(path, 'w')"),
        ("node_modules/x/a.js", "setInterval(refresh, 1000)"),
        ("a.min.js", "x" * 2000 + "setInterval(a,1)"),
        ("notes.md", "os.setuid(0)"),
        ("a.js", "app.listen(process.env.PORT || 3000)"),
        ("a.py", "app.run(port=5000)  # unless os.environ['PORT'] is set"),
        ("a.py", "asyncio.create_task(answer())"),
        ("a.py", "db = connect(host='db', port=5432)"),
        ("A.java", 'new InetSocketAddress("db.internal", 5432)'),
    ],
)
def test_no_sign(name: str, line: str) -> None:
    assert look([name], lambda _: line).signs == {}


def test_no_more_is_looked_at_than_is_quick() -> None:
    much = "x = 1\n" * 300_000
    asked: list[str] = []

    def read(name: str) -> str:
        asked.append(name)
        return f"{much}os.chroot('x')\n"

    names = [f"{number:03}.py" for number in range(500)]
    assert look(names, read).signs == {"root": "000.py:300001"}
    assert len(asked) <= 400
    late = dict.fromkeys(names[:3], much) | {names[3]: "os.chroot('x')"}
    assert look(names[:4], late.get).signs == {}, "what comes after is not known"


def test_the_first_place_is_named_and_what_cannot_be_read_is_passed_over() -> None:
    found = look(["b.py", "a.py", "c.py"], {"a.py": "\nos.chroot('x')\nos.chroot('y')", "b.py": "os.chroot('z')"}.get)
    assert found.signs == {"root": "a.py:2"}
