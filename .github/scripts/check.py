"""All checks of the project, one line each, then `N passed, N failed`; exit 1 unless all passed.

    check.py                 every check                check.py NAME [NAME ...]   only these (see `checks` below)
    check.py --slow pages    pages with their slow cells
"""
import filecmp, json, os, re, shutil, subprocess, sys, tempfile, time, venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

root = Path(__file__).resolve().parents[2]
pages = sorted(p for p in (root/'nbs').glob('*.ipynb') if not p.name.startswith('_'))
bin_dir = Path(sys.executable).parent
slow = '--slow' in sys.argv
posix = os.name == 'posix'
results = []                       # (name, 'passed' | 'failed')

def note(name, ok, why=''):
    "Record one result and show it."
    state = 'passed' if ok else 'failed'
    results.append((name, state)); print(f'{state:7} {name}' + (f'\n        {why.strip()}'.replace('\n', '\n        ') if why and state != 'passed' else ''), flush=True)

def sh(*cmd, cwd=root, **env):
    "Run a command; (exit code, everything it printed)."
    done = subprocess.run([str(c) for c in cmd], cwd=cwd, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')
    return done.returncode, done.stdout


def differing(a, b):
    "Names of files that are not the same bytes in folders `a` and `b`."
    files = lambda d: {p.relative_to(d) for p in d.rglob('*') if p.is_file() and '__pycache__' not in p.parts and '.ipynb_checkpoints' not in p.parts}
    fa, fb = files(a), files(b)
    return sorted(str(f) for f in fa ^ fb | {f for f in fa & fb if not filecmp.cmp(a/f, b/f, shallow=False)})

def copy_of_source(tmp):
    "The notebooks and what nbdev needs to work on them, somewhere it may change them."
    for d in ('nbs', 'llm_lab'): shutil.copytree(root/d, tmp/d, ignore=shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints', 'runs'))
    for f in ('settings.ini', 'README.md'): shutil.copy(root/f, tmp/f)
    return tmp

def check_clean():
    "Notebooks hold no churn: nbdev_clean changes nothing."
    with tempfile.TemporaryDirectory() as d:
        code, out = sh(bin_dir/'nbdev_clean', cwd=copy_of_source(Path(d)))
        changed = differing(root/'nbs', Path(d)/'nbs')
        untidy, said = sh(sys.executable, '.github/scripts/tidy.py', '--check')
    note('notebooks are clean', code == 0 and not changed and not untidy, f'run nbdev_clean: it changes {", ".join(changed)}' if changed else out + said)

def check_sync():
    "The package is what the notebooks export, and every module has its page."
    with tempfile.TemporaryDirectory() as d:
        tmp = copy_of_source(Path(d))
        for f in (tmp/'llm_lab').glob('*.py'):
                if f.name not in ('__init__.py', '_moved.py'): f.unlink()   # these two are written by hand
        code, out = sh(bin_dir/'nbdev_export', cwd=tmp)
        changed = differing(root/'llm_lab', tmp/'llm_lab')
    note('package and notebooks agree', code == 0 and not changed,
         f'these differ from what the notebooks export: {", ".join(changed)}; edit the page, run nbdev_export (a module without a page: delete it)' if changed else out)

def check_readme():
    code, out = sh(sys.executable, '.github/scripts/readme.py', '--check')
    note('README and index page agree', code == 0, out)

def check_pages():
    "Every page runs, and the number of pages that ran is the number there is."
    workers = '2' if posix and (os.cpu_count() or 1) > 1 else '0'
    cmd = [bin_dir/'nbdev_test', '--do_print', '--timing', '--n_workers', workers, *(['--flags', 'slow'] if slow else [])]
    start = time.time()
    code, out = sh(*cmd, PYTHONUNBUFFERED='1', MPLBACKEND='agg', **({'OMP_NUM_THREADS': '1'} if workers == '2' else {}))
    ran, failed = set(re.findall(r'- Completed .*?([\w.-]+\.ipynb)', out)), set(re.findall(r'^\t(\S+\.ipynb)', out, re.M))
    took = dict(re.findall(r'^(\S+\.ipynb): (\d+) secs', out, re.M))           # printed where all pages passed
    for p in pages:
        passed = p.name in ran and p.name not in failed and (code == 0 or bool(failed))
        note(f'page {p.name}' + (f', {took[p.name]} s' if p.name in took else ''), passed, '' if p.name in ran else 'it did not run')
    note(f'{len(ran)} of {len(pages)} pages ran in {time.time()-start:.0f} s', len(ran) == len(pages) > 0 and (code == 0) == (not failed))
    if code: print(out[-6000:])

def check_wheel():
    "sdist → wheel → a fresh environment that sees the tested dependencies: it imports, lazily, and its command answers."
    no_path = dict(PYTHONPATH='')
    with tempfile.TemporaryDirectory() as d:
        tmp = Path(d)
        code, out = sh(sys.executable, '-m', 'build', '--no-isolation', '--outdir', tmp/'dist', root, **no_path)
        wheels = list((tmp/'dist').glob('*.whl'))
        if code or len(wheels) != 1: return note('wheel builds from the sdist', False, out[-2000:])
        note('wheel builds from the sdist', True)
        venv.create(tmp/'env', with_pip=True)
        py = tmp/'env'/('bin/python' if posix else 'Scripts/python.exe')
        code, out = sh(py, '-m', 'pip', 'install', '-q', '--no-deps', '--no-index', wheels[0], **no_path)
        if code: return note('wheel installs', False, out)
        site = next(p for p in map(Path, sys.path) if p.name == 'site-packages')
        own = sh(py, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))', **no_path)[1].strip()
        (Path(own)/'tested_dependencies.pth').write_text(str(site))
        check = ("import sys, llm_lab; from pathlib import Path; assert Path(llm_lab.__file__).is_relative_to(Path(sys.prefix).resolve()) or Path(llm_lab.__file__).is_relative_to(sys.prefix), llm_lab.__file__; "
                 "heavy = {'torch','transformers','datasets','pandas','matplotlib'} & sys.modules.keys(); assert not heavy, heavy; "
                 "[getattr(llm_lab, n) for n in llm_lab.__all__]; print(len(llm_lab.__all__))")
        code, out = sh(py, '-c', check, cwd=tmp, **no_path)
        note('wheel imports: lazily at first, then every main name', code == 0, out[-2000:])
        check = "from llm_lab.lab import copy_pages, pages_folder; copy_pages(pages_folder(), 'mine'); print(pages_folder())"
        code, out = sh(py, '-c', check, cwd=tmp, **no_path)
        n_pages = len(list((tmp/'mine').glob('*.ipynb')))
        note('wheel has the lessons', code == 0 and '_pages' in out and n_pages == len(pages), f'{n_pages} of {len(pages)}\n{out[-2000:]}')
        code, out = sh(py.parent/'llm-lab', '--help', cwd=tmp, **no_path)
        note('wheel has the llm-lab command', code == 0 and 'finetune' in out, out[-2000:])

def check_run():
    "A small whole run in an empty folder with every network socket blocked; then the same command finds it finished; then a wrong path."
    with tempfile.TemporaryDirectory() as d:
        tmp = Path(d)
        (tmp/'blocked').mkdir()
        (tmp/'blocked'/'sitecustomize.py').write_text(
            'import socket\n'
            'def refuse(self, address, *a):\n'
            '    if self.family in (socket.AF_INET, socket.AF_INET6): raise OSError(f"network is blocked in this check: {address}")\n'
            '    return connect(self, address, *a)\n'
            'connect, socket.socket.connect, socket.socket.connect_ex = socket.socket.connect, refuse, refuse\n')
        env = dict(PYTHONPATH=os.pathsep.join([str(tmp/'blocked'), str(root)]), HF_HOME=str(tmp/'hf'))
        run = [bin_dir/'llm-lab', 'run', '--minutes', '0.2', '--speed', '1', '--vocab-size', '1024', '--n-layer', '2', '--n-head', '2', '--n-embd', '64', '--no-progress']
        code, out = sh(*run, '--name', 'small', cwd=tmp, **env)
        small = tmp/'runs'/'small'
        note('small run, network blocked', code == 0 and (small/'report.html').exists(), out[-3000:])
        if code: return
        r = json.loads((small/'report.json').read_text(encoding='utf-8'))
        b, l = r['bits_per_byte'], r['lora']
        ok = {'wall_s', 'peak_bytes', 'steps'} <= r.keys() and b.keys() >= {'model', 'gzip', 'xz', 'unigram', 'bigram'} and 0 < b['model'] < b['unigram'] < 8 and l['merge_max_diff'] < 1e-3
        note('its report holds the numbers', ok, json.dumps({'bits_per_byte': b, 'lora': {k: v for k, v in l.items() if not isinstance(v, list)}}))
        before = (small/'report.json').read_bytes()
        code, out = sh(*run, '--name', 'small', cwd=tmp, **env)
        note('the same command again changes nothing', code == 0 and (small/'report.json').read_bytes() == before, out[-2000:])
        code, out = sh(*run, '--name', 'small', '--seed', '5', cwd=tmp, **env)
        note('other settings under the same name are refused', code == 1 and 'seed' in out and 'Traceback' not in out, out[-2000:])
        code, out = sh(*run, '--input', 'no-such-file.txt', cwd=tmp, **env)
        note('a wrong path is one clear line', code == 1 and 'no-such-file.txt' in out and 'Traceback' not in out and not (tmp/'runs'/'no-such-file').exists(), out[-2000:])
        killed = tmp/'runs'/'killed'
        for where, sign in (('its first step', '.lock'), ('training', 'checkpoints/step-*')):
            p = subprocess.Popen([str(c) for c in run] + ['--name', 'killed'], cwd=tmp, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while p.poll() is None and not any(killed.glob(sign)): time.sleep(0.01)
            was_running = p.poll() is None
            p.kill(); p.wait()
            note(f'kill -9 reached it in {where}', was_running and not (killed/'merged').exists())
        code, out = sh(*run, '--name', 'killed', cwd=tmp, **env)
        same = [f for f in ('checkpoints/final/model.safetensors', 'checkpoints/final/optimizer.safetensors', 'adapter/adapter_model.safetensors', 'merged/model.safetensors')
                if code == 0 and (killed/f).read_bytes() == (small/f).read_bytes()]
        note('killed and repeated: the weights of an undisturbed run', len(same) == 4, f'the same: {same}\n{out[-2000:]}')

def directives(cell):
    "The `#| key: value` lines at the head of a code cell."
    for line in ''.join(cell['source']).splitlines():
        if not line.startswith('#|'): return
        if ':' in line: yield line[2:].strip()

def bad_links(page, cell):
    "Relative links and pictures of a text cell that lead nowhere."
    for target in re.findall(r'\]\(([^)\s]+)\)', ''.join(cell['source'])):
        file = target.partition('#')[0]
        if file and not re.match(r'[a-z]+:', file) and not (page.parent/file).exists(): yield target

def lost_anchors(proc):
    "Links of a prepared site to a name (`page.html#name`, `page.ipynb#name`) that its page has no place for."
    texts = {p: p.read_text(encoding='utf-8') for p in [*proc.glob('*.ipynb'), *proc.glob('reference/*.qmd')]}
    spots = {p.with_suffix(''): set(re.findall(r'\{#([\w.]+)\}', text)) for p, text in texts.items()}
    shown_as = {p.parent/made[1]: spots[p.with_suffix('')] for p, text in texts.items() if (made := re.search(r'output-file: (\S+?)\.html', text))}
    for p, text in texts.items():
        for place, spot in re.findall(r'\]\(([\w./]+)\.(?:html|ipynb|qmd)#([\w.]+)\)', text):
            target = Path(os.path.normpath(p.parent/place))
            if spot not in (shown_as | spots).get(target, ()): yield f'{p.name}: {place}#{spot}'

def check_docs():
    "What the site needs and no Quarto: directives are YAML, links lead somewhere, the sidebar has every page, nbdev processes all of them."
    import yaml
    wrong = []
    for page in pages:
        for i, cell in enumerate(json.loads(page.read_text(encoding='utf-8'))['cells']):
            if cell['cell_type'] == 'markdown': wrong += [f'{page.name} cell {i}: link to {t}' for t in bad_links(page, cell)]
            for line in directives(cell) if cell['cell_type'] == 'code' else ():
                try: yaml.safe_load(line)
                except yaml.YAMLError: wrong.append(f'{page.name} cell {i}: not YAML: {line}')
    note('directives are YAML and links lead somewhere', not wrong, '\n'.join(wrong[:20]))
    quarto = (root/'_quarto.yml').read_text(encoding='utf-8')
    yaml.safe_load(quarto)
    missing = {p.name for p in pages} ^ set(re.findall(r'href: (\S+\.ipynb)', quarto))
    note('the sidebar has every page', not missing, ', '.join(sorted(missing)))
    with tempfile.TemporaryDirectory() as d:
        why = prepared_site(Path(d))
        proc = Path(d)/'_proc'
        absent = [p.name for p in pages if not (proc/p.name).exists()]
        places = [m for p in proc.glob('*.ipynb') for m in re.findall(r'output-file: (\S+?\.html)', p.read_text(encoding='utf-8'))]
        twice = sorted({x for x in places if places.count(x) > 1})
        listed = (proc/'reference'/'index.qmd').read_text(encoding='utf-8') if not why else ''
        import llm_lab
        unnamed = [n for n, module in llm_lab._where.items() if f'({module}.qmd#{n})' not in listed]
        lost = list(lost_anchors(proc))
    note('every page, guide and name is prepared for the site', not why and not absent and not unnamed and not twice and not lost,
         why or f'no page: {absent}; not in the reference: {unnamed}; two pages in one place: {twice}; links to no place: {lost}')

def blocks(text):
    "Fenced blocks that run: (language, code), in order."
    return re.findall(r'(?ms)^```(python|sh)\n(.*?)^```$', text)

def as_script(page):
    "A guide as one program: its Python as it stands, its shell lines run by bash."
    text = page.read_text(encoding='utf-8')
    parts = ['import subprocess', f'PAGE = {text!r}']
    for language, code in blocks(text):
        parts.append(code if language == 'python' else f"subprocess.run(['bash', '-euc', {code!r}], check=True)")
    return '\n'.join(parts) if len(parts) > 2 else ''

def not_parsed(text):
    "Recipes for other machines, which cannot run here: bash and YAML that does not parse."
    import yaml
    for code in re.findall(r'(?ms)^```bash\n(.*?)^```$', text):
        status, out = sh('bash', '-n', '-c', code) if posix else (0, '')
        if status: yield out
    for code in re.findall(r'(?ms)^```yaml\n(.*?)^```$', text):
        try: list(yaml.safe_load_all(code))
        except yaml.YAMLError as e: yield str(e)

def unknown_messages(text, code):
    "Messages of the first column of a table that no module says."
    for said in re.findall(r'(?m)^\| `([^`]+)` \|', text):
        if not all(part.strip() in code for part in said.split('…') if part.strip()): yield said

def check_guides():
    "Every guide of docs/ does what it says, in an empty folder and without network; the messages it explains exist."
    code = ''.join(p.read_text(encoding='utf-8') for p in (root/'llm_lab').glob('*.py'))
    for page in sorted((root/'docs').glob('*.md')):
        text = page.read_text(encoding='utf-8')
        links = [t for t in re.findall(r'\]\(([^)\s]+)\)', text) if not re.match(r'[a-z]+:|#', t)]
        gone = [t for t in links if not (page.parent/t.partition('#')[0]).exists()]
        unknown = list(unknown_messages(text, code)) if '| message |' in text else []
        broken = list(not_parsed(text))
        script = as_script(page)
        with tempfile.TemporaryDirectory() as d:
            env = dict(PYTHONPATH=str(root), HF_HUB_OFFLINE='1', MPLBACKEND='agg', PATH=f'{bin_dir}{os.pathsep}{os.environ["PATH"]}', HF_HOME=str(Path(d)/'hf'))
            code_, out = sh(sys.executable, '-c', script, cwd=d, **env) if script and posix else (0, '')
        why = [f'leads nowhere: {t}' for t in gone] + [f'no module says: {m}' for m in unknown] + broken + ([out[-2000:]] if code_ else [])
        note(f'guide {page.stem}' + (f' ({len(blocks(text))} blocks ran)' if script else ''), not why, '\n'.join(why))

def check_commands():
    "Every `llm-lab …` line that a page, a guide or the help shows runs, offline, in prepared folders."
    code, out = sh(sys.executable, '.github/scripts/commands.py', PYTHONPATH=str(root), OMP_NUM_THREADS='1')
    note((out.strip().splitlines() or ['commands.py said nothing'])[-1], code == 0, out[-3000:])

def prepared_site(tmp):
    "What `make docs` makes before Quarto: nbdev's pages, the reference, the guides; what went wrong, or ''."
    copy_of_source(tmp)
    for d in ('docs', '.github'): shutil.copytree(root/d, tmp/d)
    for f in ('_quarto.yml', 'CHANGELOG.md'): shutil.copy(root/f, tmp/f)
    env = dict(PYTHONPATH=str(tmp), MPLBACKEND='agg', OMP_NUM_THREADS='1')
    code, out = sh(sys.executable, '.github/scripts/site.py', 'prepare', cwd=tmp, **env)
    return out[-3000:] if code else ''

def show_pages():
    "How the pages look to a reader: cells, lines, density. Information, not a check."
    print('page                    cells   exported lines   code cell median   prose')
    for page in pages:
        cells = [c for c in json.loads(page.read_text(encoding='utf-8'))['cells'] if ''.join(c['source']).strip()]
        code = [''.join(c['source']).splitlines() for c in cells if c['cell_type'] == 'code']
        sizes = sorted(len([l for l in c if l.strip() and not l.startswith('#|')]) for c in code) or [0]
        exported = sum(len([l for l in c if l.strip() and not l.startswith('#|')]) for c in code if any(l.startswith('#| export') for l in c))
        print(f'{page.name:24}{len(cells):5}{exported:17}{sizes[len(sizes)//2]:19}{1-len(code)/len(cells):8.0%}')

checks = dict(clean=check_clean, sync=check_sync, readme=check_readme, docs=check_docs, run=check_run, guides=check_guides, commands=check_commands, wheel=check_wheel, pages=check_pages)
alone = ('pages',)                 # has two workers of its own; the others run two at a time

def run_check(name):
    "One check; whatever goes wrong in it is its result."
    try: checks[name]()
    except Exception as e: note(name, False, f'{type(e).__name__}: {e}')

if __name__ == '__main__':
    asked = [a for a in sys.argv[1:] if not a.startswith('-')]
    if set(sys.argv[1:]) - {*asked, '--slow'}: sys.exit(__doc__)
    if unknown := set(asked) - checks.keys(): sys.exit(f'no check named {", ".join(unknown)}; there are: {", ".join(checks)}')
    names = asked or list(checks)
    os.environ.setdefault('OMP_NUM_THREADS', '1')   # two programs of two threads each on two cores take ten times as long
    with ThreadPoolExecutor(2) as two: list(two.map(run_check, [n for n in names if n not in alone]))
    for name in names:
        if name in alone: run_check(name)
    if not asked: show_pages()
    n = {s: sum(state == s for _, state in results) for s in ('passed', 'failed')}
    print(f'{n["passed"]} passed, {n["failed"]} failed')
    sys.exit(1 if n['failed'] or not n['passed'] else 0)
