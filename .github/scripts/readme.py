"""README.md from nbs/index.ipynb without Quarto.

    readme.py          write README.md
    readme.py --check  exit 1 and show the first difference unless README.md says what the page says: same words, same order
"""
import re, sys
from pathlib import Path
from nbdev.process import NBProcessor

root = Path(__file__).resolve().parents[2]

def output_text(cell):
    "What a code cell printed or returned, as text."
    for out in cell.get('outputs', []):
        text = out.get('text') or out.get('data', {}).get('text/plain')
        if text: yield ''.join(text)

def blocks(path):
    "The page as Markdown blocks: prose as it is, code fenced, printed output indented."
    for cell in NBProcessor(path, process=False).nb.cells:
        source = ''.join(cell.source).strip()
        if not source or {'hide', 'default_exp'} & set(getattr(cell, 'directives_', None) or ()): continue
        if cell.cell_type == 'markdown': yield source
        elif cell.cell_type == 'code':
            yield '```python\n' + re.sub(r'(?m)^#\s*\|.*\n', '', source) + '\n```'
            for text in output_text(cell): yield '\n'.join('    ' + line for line in text.rstrip().splitlines())

def readme():
    "The page with its relative links turned to where the files lie as seen from the README."
    return re.sub(r'\]\((?!https?:|#)', '](nbs/', '\n\n'.join(blocks(root/'nbs'/'index.ipynb'))) + '\n'

def words(markdown):
    "The words alone, so that wrapping, escapes and link forms of another renderer do not count."
    return re.findall(r'\w+', markdown.replace('](nbs/', ']('))

if __name__ == '__main__':
    target = root/'README.md'
    if '--check' not in sys.argv: target.write_text(readme(), encoding='utf-8'); sys.exit()
    here, page = words(target.read_text(encoding='utf-8')), words(readme())
    if here != page:
        i = next((i for i, (a, b) in enumerate(zip(here, page)) if a != b), min(len(here), len(page)))
        sys.exit(f'README.md and nbs/index.ipynb differ at word {i}: README "{" ".join(here[i:i+8])}", page "{" ".join(page[i:i+8])}". Run: python .github/scripts/readme.py')
