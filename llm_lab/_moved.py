"Names that moved to a module of their own since 0.1 are still found where they were: `from llm_lab.packing import Tokenizer` works."
import ast
from functools import lru_cache
from importlib import import_module
from pathlib import Path

@lru_cache
def _homes() -> dict:
    "Name → module, for everything that the modules define."
    found = {}
    for path in sorted(Path(__file__).parent.glob('[!_]*.py')):
        for node in ast.parse(path.read_text(encoding='utf-8')).body:
            is_def = isinstance(node, (ast.FunctionDef, ast.ClassDef))
            names = [node.name] if is_def else [t.id for t in getattr(node, 'targets', ()) if isinstance(t, ast.Name)]
            for name in names: found.setdefault(name, path.stem) if path.stem != 'cli' else None
    return found

def finder(module):
    "A module-level `__getattr__` that looks where a name lives now."
    def __getattr__(name):
        home = None if name.startswith('__') else _homes().get(name)
        if home is None or home == module.rpartition('.')[2]: raise AttributeError(f'module {module!r} has no attribute {name!r}')
        return getattr(import_module(f'llm_lab.{home}'), name)
    return __getattr__
