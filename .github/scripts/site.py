"""The website around what nbdev processed: lessons with their code, a reference made from the exports, guides, nothing from third parties.

    site.py prepare         nbdev's work on the pages into _proc; finish them there, add the reference and the guides of docs/
    site.py finish          after quarto render: what a third party would serve goes, the notebooks lie beside the pages
    site.py check [FOLDER]  exit 1 unless the site in FOLDER (_docs) is whole: pages, pictures, links, anchors, nothing raw, nothing from elsewhere
"""
import ast, importlib, inspect, json, re, shutil, sys, textwrap
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
import yaml

root = Path(__file__).resolve().parents[2]
proc, docs = root/'_proc', root/'_docs'
home = 'https://llm-lab.github.io/llm_lab/'
source = 'https://github.com/llm-lab/llm_lab/blob/main/'
colab = 'https://colab.research.google.com/github/llm-lab/llm_lab/blob/main/nbs/'

# ---- prepare

def chapters():
    "For each page of the sidebar: (chapter, what people read)."
    found = {}
    for part in yaml.safe_load((root/'_quarto.yml').read_text(encoding='utf-8'))['website']['sidebar']['contents']:
        for page in part.get('contents', []) if isinstance(part.get('contents'), list) else [part]:
            if 'href' in page: found[page['href']] = (part.get('section', ''), page['text'])
    return found

def module_of(page):
    "The module that a page exports to, or ''."
    found = re.search(r'#\s*\|\s*default_exp (\w+)', (root/'nbs'/page.name).read_text(encoding='utf-8'))
    return found[1] if found else ''

def name_on_site(page):
    "Two pages may end in the same word (03f_experiments and the module experiments): one without a module keeps its whole name."
    return module_of(page) or page.stem

def definitions(code):
    "Names of the functions, classes and methods a cell defines, and second names it gives."
    try: tree = ast.parse(code)
    except SyntaxError: return []
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = [o.name for o in tree.body if isinstance(o, (*functions, ast.ClassDef))]
    names += [f'{c.name}.{m.name}' for c in tree.body if isinstance(c, ast.ClassDef) for m in c.body if isinstance(m, functions) and not m.name.startswith('_')]
    return names + [o.targets[0].id for o in tree.body if isinstance(o, ast.Assign) and isinstance(o.targets[0], ast.Name) and isinstance(o.value, ast.Name)]

def anchors(names, taken):
    "Places to link to: each name once, also in small letters, as nbdev's links spell it."
    new = dict.fromkeys(n for name in names for n in (name, name.lower()) if n not in taken)
    taken.update(new)
    return ''.join(f'[]{{#{n}}}' for n in new)

def is_plumbing(code):
    "Cells that say something to nbdev or to Colab only."
    return code.startswith('#| default_exp') or '__getattr__ = finder(__name__)' in code or "not find_spec('llm_lab')" in code

def only_imports(code):
    said = [l for l in code.splitlines() if l.strip() and not l.startswith(('#', ' ', ')'))]
    return bool(said) and all(re.match(r'(from|import)\b', l) for l in said)

def fold(code, summary):
    return f'#| code-fold: true\n#| code-summary: "{summary}"\n{code}'

def lines(text):
    "A cell's source as Quarto wants it: one string a line."
    return text.splitlines(keepends=True)

def markdown(text):
    return dict(cell_type='markdown', metadata={}, source=lines(text))

def numbered(name, chapter, text):
    "The title of a page: its number and what it is about."
    number = re.match(r'\d\d[a-z]?', name)
    return f'{number[0]} · {text}' if number and chapter else text

def without_foreign_badges(text):
    "A page of the site asks nobody else for pictures."
    return re.sub(r'\[!\[[^\]]*\]\(https:[^)]*\)\]\([^)]*\)\n?', '', text)

def finish_page(path, chapter, text):
    "One processed notebook: its title in words, links to its module, an anchor at each definition."
    book = json.loads(path.read_text(encoding='utf-8'))
    cells, taken = [], set()
    for cell in book['cells']:
        code = ''.join(cell.get('source', ''))
        if cell['cell_type'] == 'raw' and 'title:' in code and path.stem != 'index':
            code = re.sub(r'(?m)^title:.*', f'title: "{numbered(path.stem, chapter, text)}"', code)
            code = re.sub(r'(?m)^output-file:.*', f'output-file: {name_on_site(path)}.html', code)
            name = module_of(path)
            links = [f'[Open in Colab]({colab}{path.name})', f'<a href="notebooks/{path.name}" download>this page as a notebook</a>']
            if name: links[:0] = [f'module `llm_lab.{name}`', f'[reference](reference/{name}.qmd)']
            cells += [{**cell, 'source': lines(code)}, markdown('[' + ' · '.join(links) + ']{.page-links}')]
            continue
        if cell['cell_type'] == 'code':
            if not code.strip() or is_plumbing(code): continue
            if spots := anchors(definitions(code), taken): cells.append(markdown(spots))
            if only_imports(code) and 'code-fold' not in code: code = fold(code, 'Imports')
        cells.append({**cell, 'source': lines(without_foreign_badges(code.replace(home, '')))})
    book['cells'] = cells
    path.write_text(json.dumps(book), encoding='utf-8')

def head_of(value):
    "The source of a function down to its docstring, or of a class down to its first method: signature and docments as they are written."
    code = textwrap.dedent(inspect.getsource(value))
    node = ast.parse(code).body[0]
    is_class = isinstance(node, ast.ClassDef)
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    if is_class: first = next((o for o in body if isinstance(o, (ast.FunctionDef, ast.AsyncFunctionDef))), None)
    else: first = node.body[0]
    all_lines = code.splitlines()
    end = (min([first.lineno, *(d.lineno for d in getattr(first, 'decorator_list', []))]) - 1) if first else len(all_lines)
    if first and not is_class and first.lineno == node.lineno: end = node.lineno   # one line
    kept = all_lines[node.lineno-1:end]
    if is_class: kept = [l for l in kept if not re.match(r'\s*"(?!"").*"\s*$', l)]
    return '\n'.join(kept).rstrip()

def methods(value):
    "Public methods of a class, also those patched in, that are ours."
    for name, f in inspect.getmembers(value, inspect.isfunction):
        if (name == '__init__' or not name.startswith('_')) and f.__module__.startswith('llm_lab.') and not inspect.unwrap(f).__code__.co_filename.startswith('<'): yield name, f

def entry(name, value, page):
    "One name of the reference: signature with docments, first line, and where it is explained."
    text = [f'## {name} {{#{name}}}', f'```python\n{head_of(value)}\n```', summary(value), f'[on the page](../{page.name}#{name})']
    if inspect.isclass(value):
        for method, f in methods(value):
            text += [f'### {name}.{method} {{#{name}.{method}}}', f'```python\n{head_of(f)}\n```', summary(f)]
    return '\n\n'.join(text) + '\n'

def public_names(module):
    "Exported names of a module that are functions or classes of its own."
    for name in module.__all__:
        value = getattr(module, name)
        if (inspect.isfunction(value) or inspect.isclass(value)) and getattr(value, '__module__', None) == module.__name__: yield name, value

def summary(value):
    "First line of a docstring."
    return (inspect.getdoc(value) or '').partition('\n')[0]

def reference():
    "A page for each module, generated from its exports, and one that lists all names."
    import llm_lab
    folder = proc/'reference'
    folder.mkdir(exist_ok=True)
    listing = []
    for page in sorted((root/'nbs').glob('[0-9]*.ipynb')):
        name = module_of(page)
        if not name: continue
        module = importlib.import_module(f'llm_lab.{name}')
        names = list(public_names(module))
        head = f'---\ntitle: "llm_lab.{name}"\n---\n\nThe lesson behind it: [{page.stem}](../{page.name}) · [source]({source}llm_lab/{name}.py)\n\n'
        (folder/f'{name}.qmd').write_text(head + '\n'.join(entry(n, v, page) for n, v in names), encoding='utf-8')
        main = set(llm_lab._names.get(name, '').split())
        rows = [f'| {"**" if n in main else ""}[`{n}`]({name}.qmd#{n}){"**" if n in main else ""} | {summary(v)} |' for n, v in names]
        if rows: listing.append(f'## [{name}]({name}.qmd)\n\n| name | |\n| --- | --- |\n' + '\n'.join(rows) + '\n')
    head = '---\ntitle: Reference\n---\n\nEvery exported name by module. **Bold** ones also come with `from llm_lab import …`.\n\n'
    (folder/'index.qmd').write_text(head + '\n'.join(listing), encoding='utf-8')

def guides():
    "The pages of docs/, their links to lessons turned to where these lie on the site."
    for page in sorted((root/'docs').glob('*.md')):
        text = page.read_text(encoding='utf-8').replace('](../nbs/', '](../').replace('](../CHANGELOG.md', '](changelog.md')
        (proc/'docs').mkdir(exist_ok=True)
        (proc/'docs'/page.name).write_text(text, encoding='utf-8')
    (proc/'docs'/'changelog.md').write_text((root/'CHANGELOG.md').read_text(encoding='utf-8'), encoding='utf-8')

def plain_list():
    "llms.txt: what there is, for programs that read."
    text = ['# llm_lab', '', '> Learn and do language-model work end to end, in notebooks', '', '## Lessons', '']
    for href, (chapter, title) in chapters().items():
        if href.endswith('.ipynb') and href != 'index.ipynb': text.append(f'- [{numbered(href, chapter, title)}]({home}{name_on_site(Path(href))}.html)')
    text += ['', '## Reference and guides', '', f'- [Reference]({home}reference/index.html)']
    for page in sorted((root/'docs').glob('*.md')):
        text.append(f'- [{page.stem}]({home}docs/{page.stem}.html): {title_of(page)}')
    (proc/'llms.txt').write_text('\n'.join(text) + '\n', encoding='utf-8')

def title_of(page):
    return re.search(r'(?m)^title: *"?(.*?)"?$', page.read_text(encoding='utf-8'))[1]

def processed():
    "What the command nbdev_proc_nbs does, but for one thing: where there is no Quarto it asks for root and installs one."
    from nbdev import quarto
    quarto._ensure_quarto = lambda: None
    quarto.nbdev_proc_nbs.__wrapped__()

def prepare():
    processed()
    for page, (chapter, text) in chapters().items():
        if (proc/page).suffix == '.ipynb': finish_page(proc/page, chapter, text)
    shutil.copytree(root/'nbs'/'images', proc/'images', dirs_exist_ok=True)
    shutil.copytree(root/'docs'/'theme', proc/'theme', dirs_exist_ok=True)
    reference()
    guides()
    plain_list()

# ---- finish

def finish():
    "No script or font of a third party; each page as a notebook beside it."
    for page in docs.rglob('*.html'):
        text = page.read_text(encoding='utf-8')
        less = re.sub(r'<script[^>]+src="https?://[^"]+"[^>]*></script>\s*', '', text)
        less = re.sub(r'<script type="application/javascript">define\(\'jquery\'.*?</script>\s*', '', less, flags=re.S)
        if less != text: page.write_text(less, encoding='utf-8')
    (docs/'notebooks').mkdir(exist_ok=True)
    for page in (root/'nbs').glob('*.ipynb'): shutil.copy(page, docs/'notebooks'/page.name)
    shutil.copy(proc/'llms.txt', docs/'llms.txt')

# ---- check

class Page(HTMLParser):
    "What a page links to, loads, and offers as anchors."
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.links, self.loads, self.ids, self.text, self.skip = [], [], set(), [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if 'id' in attrs: self.ids.add(attrs['id'])
        if tag == 'a' and attrs.get('href'): self.links.append(attrs['href'])
        for key in ('src', 'data-src'):
            if attrs.get(key): self.loads.append(attrs[key])
        if tag == 'link' and attrs.get('rel') in ('stylesheet', 'icon', 'shortcut icon', 'preload'): self.loads.append(attrs.get('href', ''))
        if tag in ('script', 'style'): self.skip += 1

    def handle_endtag(self, tag):
        if tag in ('script', 'style'): self.skip -= 1

    def handle_data(self, data):
        if not self.skip: self.text.append(data)

def faults(site):
    "Everything that is wrong with a rendered site."
    pages = {p: Page(p.read_text(encoding='utf-8')) for p in site.rglob('*.html')}
    wanted = [site/f'{name_on_site(p)}.html' for p in (root/'nbs').glob('[0-9]*.ipynb')]
    wanted += [site/'index.html', site/'reference'/'index.html', site/'search.json', site/'llms.txt']
    wanted += [site/'docs'/f'{p.stem}.html' for p in (root/'docs').glob('*.md')]
    yield from (f'not there: {p.relative_to(site)}' for p in wanted if not p.exists() or not p.stat().st_size)
    for path, page in pages.items():
        name = path.relative_to(site)
        yield from (f'{name}: loads {url}' for url in page.loads if re.match(r'(https?:)?//', url))
        yield from (f'{name}: shows {m}' for m in re.findall(r'(?m)^\s*#\s?\|\s*(?:export|hide|default_exp|fig-alt|code-fold).*', ''.join(page.text)))
        for link in page.links + page.loads:
            if re.match(r'[a-z]+:|//|#$', link): continue
            file, _, anchor = unquote(link).partition('#')
            target = (path.parent/file.partition('?')[0]).resolve() if file else path
            if target.is_dir(): target = target/'index.html'
            if not target.exists(): yield f'{name}: no such file: {link}'
            elif anchor and target.suffix == '.html' and anchor not in pages[target].ids: yield f'{name}: no such place: {link}'
    for style in site.rglob('*.css'):
        for url in re.findall(r'@import\s+(?:url\()?["\']?(https?:[^"\')]+)', style.read_text(encoding='utf-8')): yield f'{style.name}: loads {url}'

def check(site):
    wrong = sorted(set(faults(site)))
    print('\n'.join(wrong[:60]))
    print(f'{len(list(site.rglob("*.html")))} pages, {len(wrong)} faults')
    return 1 if wrong else 0

if __name__ == '__main__':
    what = sys.argv[1] if len(sys.argv) > 1 else ''
    if what == 'prepare': prepare()
    elif what == 'finish': finish()
    elif what == 'check': sys.exit(check(Path(sys.argv[2]) if len(sys.argv) > 2 else docs))
    else: sys.exit(__doc__)
