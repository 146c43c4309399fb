"""Every page in a real browser: JupyterLab opens it, runs all cells, and what a reader would see is looked at.

    browser.py [PAGE ...]     pages by name (00_loader …); without names all of them. Needs Chromium and playwright; says so where they are missing.
"""
import os, re, shutil, socket, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

root = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root))
LIMIT_S = 300    # longest a page may take on a loaded machine

def chromium():
    "Path of a Chromium that is installed."
    return next((p for p in map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome')) if p), None)

def start_lab(folder):
    "JupyterLab on the learner's copies; (process, address)."
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    env = {**os.environ, 'PYTHONPATH': str(root), 'MPLBACKEND': ''}
    env.pop('MPLBACKEND')
    cmd = [sys.executable, '-m', 'jupyterlab', f'--notebook-dir={folder}', f'--port={port}', '--no-browser', '--allow-root', '--IdentityProvider.token=', '--LabApp.news_url=None', '--LabApp.expose_app_in_browser=True']
    lab = subprocess.Popen(cmd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        try: urllib.request.urlopen(f'http://127.0.0.1:{port}/lab', timeout=2); break
        except OSError: time.sleep(0.3)
    return lab, f'http://127.0.0.1:{port}'

def run_all(browser, address, name, shots):
    "Open a page, run all cells to the end, save it; the seconds it took."
    tab = browser.new_page(viewport=dict(width=1440, height=900))
    tab.goto(f'{address}/lab/workspaces/{name}/tree/{name}.ipynb?reset')
    tab.wait_for_selector('.jp-Notebook .jp-Cell', timeout=60_000)
    tab.wait_for_function("window.jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'", timeout=120_000)
    tab.screenshot(path=shots/f'{name}.png')
    start = time.time()
    tab.evaluate("""async limit => {
        const run = window.jupyterapp.commands.execute('notebook:run-all-cells');
        await Promise.race([run, new Promise(done => setTimeout(done, limit))]);
        await window.jupyterapp.commands.execute('docmanager:save');
        await window.jupyterapp.serviceManager.sessions.shutdownAll();
    }""", LIMIT_S*1000)
    seconds = time.time() - start
    tab.screenshot(path=shots/f'{name}_end.png')
    tab.close()
    return seconds

def look(page):
    "What a saved page holds: errors, code cells that did not run, pictures."
    import json
    cells = [c for c in json.loads(page.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code' and ''.join(c['source']).strip()]
    outs = [o for c in cells for o in c['outputs']]
    errors = [f"{o['ename']}: {o['evalue'][:200]}" for o in outs if o['output_type'] == 'error']
    pictures = sum(any(k.startswith('image/') for k in o.get('data', {})) for o in outs)
    return errors, sum(c['execution_count'] is None for c in cells), pictures

def main(names):
    try: from playwright.sync_api import sync_playwright
    except ImportError: return print('left out: playwright is not installed (pip install playwright)')
    if not (exe := chromium()): return print('left out: no Chromium on this machine')
    from llm_lab.lab import copy_pages
    bad = []
    with tempfile.TemporaryDirectory() as d:
        folder, shots = Path(d)/'pages', Path(os.environ.get('BROWSER_SHOTS', d))
        copy_pages(root/'nbs', folder)
        kept = {p.stem: look(p)[2] for p in folder.glob('*.ipynb')}
        lab, address = start_lab(folder)
        try:
            with sync_playwright() as play:
                flags = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
                browser = play.chromium.launch(executable_path=exe, args=flags)
                for name in names or sorted(kept):
                    seconds = run_all(browser, address, name, shots)
                    errors, left, pictures = look(folder/f'{name}.ipynb')
                    ok = not errors and not left and pictures >= kept[name]
                    print(f'{"passed" if ok else "failed":7} {name:22} {seconds:5.0f} s  {pictures} pictures (of {kept[name]})'
                          + (f'  {left} cells did not run' if left else '') + (f'  {errors[0]}' if errors else ''), flush=True)
                    if not ok: bad.append(name)
        finally: lab.terminate(); lab.wait(20)
    print(f'{len(names or kept)-len(bad)} passed, {len(bad)} failed')
    return len(bad)

if __name__ == '__main__': sys.exit(1 if main(sys.argv[1:]) else 0)
