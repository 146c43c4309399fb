"""What nbdev_clean leaves to us: cells for machines are folded for people, and opening a page in JupyterLab changes nothing.

    tidy.py            write the pages that need it
    tidy.py --check    exit 1 and name them
"""
import json, re, sys
from pathlib import Path

root = Path(__file__).resolve().parents[2]
language = dict(codemirror_mode=dict(name='ipython', version=3), file_extension='.py', mimetype='text/x-python', name='python',
                nbconvert_exporter='python', pygments_lexer='ipython3')

def is_folded(source):
    "Cells that a reader may skip: hidden ones, and answers."
    lines = [l for l in source.splitlines() if l.strip() and not re.match(r'#\s*\|', l)]
    only_imports = 'export' in source and all(re.match(r'(from|import|__getattr__)\b', l) for l in lines)
    return only_imports or bool(re.search(r'(?m)^#\s*\|\s*(hide\b|default_exp\b|code-fold:\s*true)', source))

def is_note_of_a_library(output):
    "A warning that names a file of this machine."
    return output.get('name') == 'stderr' and 'site-packages' in ''.join(output['text'])

def tidy(book):
    "The same notebook, folded."
    book['metadata']['kernelspec'] = dict(display_name='python3', language='python', name='python3')
    book['metadata']['language_info'] = language
    for cell in book['cells']:
        if cell['cell_type'] != 'code': continue
        cell['outputs'] = [o for o in cell['outputs'] if not is_note_of_a_library(o)]
        jupyter = {k: v for k, v in cell['metadata'].get('jupyter', {}).items() if k != 'source_hidden'}
        if is_folded(''.join(cell['source'])): jupyter['source_hidden'] = True
        cell['metadata'] = {k: v for k, v in cell['metadata'].items() if k != 'jupyter'}
        if jupyter: cell['metadata']['jupyter'] = jupyter
    return book

if __name__ == '__main__':
    wrong = []
    for page in sorted((root/'nbs').glob('*.ipynb')):
        was = page.read_text(encoding='utf-8')
        now = json.dumps(tidy(json.loads(was)), indent=1, ensure_ascii=False, sort_keys=True) + '\n'
        if json.loads(was) == json.loads(now): continue
        wrong.append(page.name)
        if '--check' not in sys.argv: page.write_text(now, encoding='utf-8')
    if '--check' in sys.argv and wrong: sys.exit(f'not folded: {", ".join(wrong)}; run python .github/scripts/tidy.py')
