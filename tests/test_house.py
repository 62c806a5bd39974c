"""The house rules that a machine can check: who may import, open, read and name what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from house import PACKAGES, ROOT, Source, modules_imported, name_of, ours, sources

BELOW = {
    "physics": {"physics"},
    "drivers": {"drivers", "physics"},
    "simulators": {"simulators", "drivers", "physics"},
    "acquisition": {"acquisition", "drivers", "physics"},
    "protocols": set(PACKAGES),
}
ROOMS = ("constants", "sample", "stages", "fibsem", "lattice", "beam", "faults", "world", "boxes", "serve")  # upwards
STANDARD = frozenset({"socket", "socketserver", "select", "selectors", "ssl", "asyncio", "http", "urllib"})
FOREIGN = frozenset({"serial", "zmq", "httpx", "httpcore", "h11", "requests", "uvicorn", "starlette", "websockets"})
PORTS = STANDARD | FOREIGN
# simulated HTTP boxes take requests apart with h11 and urllib.parse, which open nothing
MAY_OPEN_PORTS = re.compile(r"drivers/links[./]|simulators/serve[./]|protocols/dashboard[./]")
POSIX = frozenset(["fcntl", "pwd", "grp", "resource", "termios", "tty", "pty", "posix", "syslog"])
TIME = re.compile(r"(?:.*\.)?(?:datetime|date)\.(?:now|utcnow|today)")
VAGUE = re.compile(r"(?:^|_)(?:utils?|helpers?|common|misc|managers?|v\d+)(?:_|$)")
LONGEST = 400  # lines
MUTATORS = frozenset(
    ["append", "add", "extend", "insert", "update", "setdefault", "pop", "popitem", "clear", "remove", "discard"]
)
COMMANDS = {"app", "console", "problems"}  # of protocols/cli.py: commands hang on the one and print to the others


def test_imports_point_down() -> None:
    wrong = [
        f"{source.at(node)} imports {name}"
        for source in ours()
        for node, name in source.imports()
        if name.split(".")[0] in {*PACKAGES, "tests", "benchmarks", ""} - BELOW[source.package]
    ]
    assert not wrong


def test_rooms_of_the_simulators_import_what_is_below() -> None:
    wrong = []
    for source in sources("simulators"):
        room = source.path.split("/")[1].removesuffix(".py")
        names = [(node, name.split(".")[1]) for node, name in source.imports() if name.startswith("simulators.")]
        wrong += [source.at(n) for n, other in names if ROOMS.index(other) > ROOMS.index(room)]
    assert not wrong


def test_only_the_rig_file_s_reader_knows_the_simulators() -> None:
    known = {
        source.path
        for source in sources("protocols")
        for _, name in source.imports()
        if name == "simulators" or (name.startswith("simulators.") and not name.startswith("simulators.serve"))
    }
    assert known == {"protocols/rig.py", "protocols/kinds.py"}


def test_only_the_simulators_know_what_is_really_there() -> None:
    wrong = [
        source.at(node)
        for source in ours()
        if source.package != "simulators"
        for node in source.nodes
        if isinstance(node, ast.Attribute) and node.attr == "truth"
    ]
    assert not wrong


def test_ports_are_opened_only_by_links_the_server_and_the_dashboard() -> None:
    assert not [
        line
        for s in ours()
        if not MAY_OPEN_PORTS.match(s.path)
        for line in modules_imported(s, PORTS - {"h11", "urllib"} if s.path == "simulators/boxes/http.py" else PORTS)
    ]


def test_only_the_clock_reads_time() -> None:
    others = [source for source in ours() if source.path != "drivers/clock.py"]
    assert not [line for s in others for line in modules_imported(s, frozenset({"time", "timeit", "sched"}))]
    assert not [s.at(call) for s in others for call in s.calls() if TIME.fullmatch(name_of(call.func))]


def test_only_the_data_file_s_folder_touches_hdf5() -> None:
    others = [source for source in ours() if not source.path.startswith("acquisition/datafile/")]
    assert not [line for s in others for line in modules_imported(s, frozenset({"h5py", "hdf5plugin", "tables"}))]


def test_only_the_ledger_makes_tickets() -> None:
    made = [s.at(call) for s in ours() for call in s.calls() if name_of(call.func).split(".")[-1] == "Ticket"]
    assert [place.partition(":")[0] for place in made] == ["acquisition/ledger.py"]


def test_a_codec_neither_waits_nor_opens_nor_logs() -> None:
    allowed = re.compile(r"drivers\.(?:wire|errors)\b|physics\b|(?!drivers\b)(?!logging\b|threading\b)\w")
    wrong = [
        f"{source.at(node)} imports {name}"
        for source in sources("drivers/wire")
        for node, name in source.imports()
        if name != "drivers" and not allowed.match(name)
    ]
    assert not wrong


def test_a_step_makes_no_bytes() -> None:
    steps = sources("protocols/steps")
    literals = [s.at(n) for s in steps for n in s.nodes if isinstance(n, ast.Constant) and type(n.value) is bytes]
    wires = [s.at(n) for s in steps for n, name in s.imports() if re.match(r"drivers\.(wire|links)\b", name)]
    assert not literals + wires


def test_the_engine_names_no_device() -> None:
    engine = (ROOT / "acquisition" / "engine.py").read_text(encoding="utf-8")
    devices = ["cryostat", "stage", "needle", "beams", "milling", "column", "scan", "camera", "eds"]
    assert not [name for name in devices if re.search(rf"\b{name}\b", engine)]


def test_everything_that_fails_is_caught_only_where_the_rig_is_made_safe() -> None:
    wrong = [
        source.at(handler)
        for source in ours()
        for handler, function in _handlers(source)
        if not _may_catch(handler, source, function)
    ]
    assert not wrong


def test_nothing_changes_at_module_level() -> None:
    assert not [line for source in ours() for line in _state(source)]


def test_importing_does_nothing() -> None:
    assert not [source.at(node) for source in ours() for node in source.tree.body if not _is_definition(node, source)]


@pytest.mark.parametrize("folder", [*PACKAGES, "tests", "benchmarks"])
def test_a_file_of_more_than_400_lines_is_two_files(folder: str) -> None:
    assert not [s.path for s in sources(folder) if len(s.text.splitlines()) > LONGEST]


def test_names_say_what_a_thing_is() -> None:
    files = [s.path for s in sources(*PACKAGES, "tests", "benchmarks") if VAGUE.search(s.path.split("/")[-1][:-3])]
    classes = [
        f"{s.at(n)} {n.name}"
        for s in ours()
        for n in s.nodes
        if isinstance(n, ast.ClassDef) and re.search(r"Manager|Helper|Utils|V\d$", n.name)
    ]
    assert not files + classes


def test_everything_public_says_what_it_is() -> None:
    unsaid = []
    for source in ours():
        public = [n for n in source.tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name[0] != "_"]
        unsaid += [source.at(node) for node in (source.tree, *public) if not ast.get_docstring(node)]
    assert not unsaid


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
    lines = [(s.path, n, line) for s in ours() for n, line in enumerate(s.text.splitlines(), 1)]
    assert not [f"{path}:{number} {line.strip()}" for path, number, line in lines if marks.search(line)]


def test_every_number_in_a_data_file_says_where_it_is_from() -> None:
    data = [
        path
        for folder in PACKAGES
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".yaml", ".csv") and path.parent.name in ("data", "samples")
    ]
    assert data
    named = re.compile(r"\bsource\b|\bassumed\b|\((?:19|20)\d\d\)")
    assert not [path for path in data if not named.search(path.read_text(encoding="utf-8"))]


def test_nothing_needs_posix() -> None:
    # one serves serial lines, where the system has pseudo-terminals; elsewhere they are ports
    others = [source for source in ours() if source.path != "simulators/serve/serial_line.py"]
    assert not [line for source in others for line in modules_imported(source, POSIX)]
    forks = re.compile(r"os\.(fork\w*|kill|getuid|geteuid|mkfifo)|signal\.SIG(KILL|USR1|USR2|ALRM|HUP)|signal\.alarm")
    names = ((s, n) for s in ours() for n in s.nodes if isinstance(n, ast.Attribute))
    assert not [f"{source.at(node)} {name_of(node)}" for source, node in names if forks.fullmatch(name_of(node))]


def test_text_files_are_read_and_written_as_utf_8() -> None:
    wrong = [
        source.at(call)
        for source in ours()
        for call in source.calls()
        if name_of(call.func).split(".")[-1] in ("read_text", "write_text")
        and not any(keyword.arg == "encoding" for keyword in call.keywords)
    ]
    assert not wrong


def test_our_own_classes_are_never_mocked() -> None:
    wrong = []
    for source in sources("tests"):
        froms = [node for node in source.nodes if isinstance(node, ast.ImportFrom)]
        ours_here = [node for node in froms if (node.module or "").split(".")[0] in PACKAGES]
        own = {alias.asname or alias.name for node in ours_here for alias in node.names}
        wrong += modules_imported(source, frozenset({"mock"}))
        wrong += [source.at(node) for node, name in source.imports() if name.startswith("unittest.mock")]
        for call in source.calls():
            if re.match(r"mocker\.", name_of(call.func)) and any(_is_ours(given, own) for given in call.args):
                wrong.append(source.at(call))
    assert not wrong


def test_a_place_on_somebody_s_disk_is_nowhere() -> None:
    places = re.compile(
        r"(?<![\w.~<>*])/(?:root|home|Users|tmp|mnt|opt|var)/\w|[A-Z]:\\\\?(?:Users|Program)|-{2}(?:extra-)?index"
    )
    texts = [p for p in ROOT.glob("*") if p.is_file() and p.suffix in (".md", ".toml", ".txt", ".yaml", "")]
    for folder in (*PACKAGES, "tests", "docs", "benchmarks", ".ci"):
        texts += [p for p in (ROOT / folder).rglob("*") if p.is_file() and p.suffix not in (".pyc", ".png", ".nxs")]
    wrong = []
    for path in sorted(texts):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if places.search(line):
                wrong.append(f"{path.relative_to(ROOT).as_posix()}:{number} {line.strip()}")
    assert not wrong


def _handlers(source: Source) -> Iterator[tuple[ast.ExceptHandler, str]]:
    """Every except clause with the name of the function around it."""

    def walk(node: ast.AST, function: str) -> Iterator[tuple[ast.ExceptHandler, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ExceptHandler):
                yield child, function
            yield from walk(child, child.name if isinstance(child, ast.FunctionDef) else function)

    return walk(source.tree, "")


def _may_catch(handler: ast.ExceptHandler, source: Source, function: str) -> bool:
    """Exception only in make_safe; BaseException only on its way up: after the engine's frame or a tidying up."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {name_of(kind) if kind is not None else "" for kind in kinds}
    last = handler.body[-1]
    goes_on_up = isinstance(last, ast.Raise) and last.exc is None
    if "Exception" in names or "" in names:
        return function == "make_safe" or (source.path == "acquisition/engine.py" and goes_on_up)
    return "BaseException" not in names or goes_on_up


def _is_definition(node: ast.stmt, source: Source) -> bool:
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'")
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or source.path == "protocols/__main__.py"
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign)


def _state(source: Source) -> Iterator[str]:
    """Names at module level that are not constants or types, and constants that something changes."""
    kept = set()
    for node in source.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
            kept |= names
            allowed = r"_?[A-Z]\w*|__all__|_[a-z]\w*" if _is_alias(node.value) else r"_?[A-Z]\w*|__all__"
            changing = [name for name in names if not re.fullmatch(allowed, name)]
            excused = COMMANDS if source.path == "protocols/cli.py" else set()
            yield from (f"{source.at(node)} {name}" for name in changing if name not in excused)
    for node in source.nodes:
        if isinstance(node, ast.Global):
            yield f"{source.at(node)} global"
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and name_of(node.value) in kept:
            yield f"{source.at(node)} changes {name_of(node.value)}"
        elif isinstance(node, ast.Call):
            changed, _, verb = name_of(node.func).rpartition(".")
            if verb in MUTATORS and changed in kept:
                yield f"{source.at(node)} changes {changed}"


def _is_alias(value: ast.expr | None) -> bool:
    """A shorter name for something that has one."""
    parts = value.elts if isinstance(value, ast.Tuple) else [value]
    return all(isinstance(part, ast.Name | ast.Attribute) for part in parts)


def _is_ours(given: ast.expr, own: set[str]) -> bool:
    if isinstance(given, ast.Constant) and isinstance(given.value, str):
        return given.value.split(".")[0] in PACKAGES and not given.value.split(".")[-1].isupper()  # a constant may be
    return name_of(given).split(".")[0] in own
