"""What a member does with its own modules; each line of CHECKS is tried in a request. It is copied into a member."""

from tests.hosts.apps import installed

CHECKS = {
    "a lazy import": "models() is __import__('shop').models",
    "a lazy import of a submodule": "__import__('shop.late', fromlist=['x']).VALUE == 7",
    "importlib with a name": "importlib.import_module('shop.models') is models()",
    "importlib with a relative name": "importlib.import_module('.models', 'shop') is models()",
    "a relative import": "importlib.import_module('shop.late').SAME is models()",
    "a dataclass of strings": "[each.name for each in dataclasses.fields(models().Order)] == ['number', 'next']",
    "hints of types": "typing.get_type_hints(models().Order)['next'] == typing.Optional[models().Order]",
    "pickle": "pickle.loads(pickle.dumps(models().Order(3))) == models().Order(3)",
    "a copy": "copy.deepcopy(models().Order(3, models().Order(4))).next.number == 4",
    "its source": "'class Order' in inspect.getsource(models().Order)",
    "resources": "importlib.resources.files('shop').joinpath('data.txt').read_text() == 'data'",
    "a spec": "importlib.util.find_spec('shop.late').origin.endswith('shop/late.py')",
    "no such module": "missing('shop.absent') == \"No module named 'shop.absent'\"",
    "an optional module": "missing('local_settings') == \"No module named 'local_settings'\"",
    "its own calendar": "__import__('calendar').OWN",
    "others' calendar": "importlib.import_module('mailbox').calendar.timegm is not None",
    "a folder put on the path": "[sys.path.insert(0, os.path.join(HERE, 'more')), __import__('extra').EXTRA][1] == 5",
    "told by name to a library": "pydoc.locate('shop.models.Order') is models().Order",
    "a relative folder put on the path": "[sys.path.insert(0, 'even/more'), __import__('extra2').EXTRA][1] == 6",
    "a folder of PYTHONPATH": "__import__('extra3').EXTRA == 7",
    "the version of its project": "importlib.metadata.version('Shop.Project') == '7'",
    "the loop that it was imported with": "LOOP.is_running()",
    "reloading": "importlib.reload(importlib.import_module('shop.late')).VALUE == 7",
    "an environment of its own": "[os.environ.update(X='1'), os.getenv('X')][1] == '1'",
    "its environment as bytes": "os.environb[b'WHO'] == b'me'",
    "a child's environment": "subprocess.run(['printenv', 'WHO'], capture_output=True).stdout == b'me\\n'",
    "a child's output": "subprocess.run(['echo', 'from a child']).returncode == 0",
    "a folder of its own": "open('shop/data.txt').read() == 'data' and thread(os.getcwd) == HERE",
    "a thread's environment": "thread(lambda: os.environ['WHO']) == 'me'",
    "a pool's": "ThreadPoolExecutor(1).submit(lambda: os.environ['WHO']).result() == 'me'",
    "a process pool": "ProcessPoolExecutor(1).submit(os.getenv, 'WHO').result() == 'me'",
    "the name of a logger": "logging.getLogger(importlib.import_module('shop.late').__name__).name == 'shop.late'",
}

FILES = {
    "app.py": """
import asyncio, atexit, copy, dataclasses, importlib, importlib.metadata, importlib.resources, importlib.util
import inspect, json, logging, os, pickle, pydoc
import subprocess, sys, threading, traceback, typing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from checks import CHECKS
HERE = os.path.dirname(os.path.abspath(__file__))
logging.basicConfig(level=logging.DEBUG, format="mine %(name)s %(message)s")

LOOP = asyncio.get_event_loop()
atexit.register(print, "at its end")

def models():
    import shop.models
    return shop.models

def missing(name):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        assert error.name == name
        return str(error)

def thread(call):
    found = []
    each = threading.Thread(target=lambda: found.append(call()))
    each.start()
    each.join()
    return found[0]

def app(environ, start_response):
    failed = {}
    for name, check in CHECKS.items():
        try:
            if not eval(check):
                failed[name] = "no"
        except BaseException:
            failed[name] = traceback.format_exc()
    logging.getLogger("shop").debug("a debug line")
    logging.getLogger("asyncio").info("of a library")
    start_response("200 OK", [])
    return [json.dumps(failed).encode()]
""",
    "calendar.py": "OWN = True\n",
    "more/extra.py": "EXTRA = 5\n",
    "even/more/extra2.py": "EXTRA = 6\n",
    "third/extra3.py": "EXTRA = 7\n",
    **installed("shop_project", "7", {"shop_project.py": ""}, local=True),
    "shop/__init__.py": "",
    "shop/data.txt": "data",
    "shop/late.py": "from . import models as SAME\nfrom shop.models import Order\nVALUE = 7\n",
    "shop/models.py": """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar, Optional

@dataclass
class Order:
    kind: ClassVar[str] = "order"
    number: int = 0
    next: Optional[Order] = None
""",
    "checks.py": f"CHECKS = {CHECKS!r}\n",
}
