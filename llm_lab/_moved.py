"TRANSITION: names that moved to another module, found where they live now. Goes away when every page imports from the new place."
import ast
from importlib import import_module
from pathlib import Path

def finder(module):
    "A module-level `__getattr__` that looks through the other modules."
    def __getattr__(name):
        if name.startswith('__'): raise AttributeError(name)
        here = Path(__file__).parent
        for p in sorted(here.glob('*.py')):
            if p.stem.startswith('_') or p.stem == module.rpartition('.')[2]: continue
            tree = ast.parse(p.read_text(encoding='utf-8'))
            for n in tree.body:
                names = [n.name] if isinstance(n, (ast.FunctionDef, ast.ClassDef)) else [t.id for t in getattr(n, 'targets', []) if isinstance(t, ast.Name)]
                patched = any('patch' in ast.dump(d) for d in getattr(n, 'decorator_list', []))
                if name in names and not patched: return getattr(import_module(f'llm_lab.{p.stem}'), name)
        raise AttributeError(f'module {module!r} has no attribute {name!r}')
    return __getattr__
