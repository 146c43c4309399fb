"""`kill -9` in the middle of every step of a run, then the same call again: the weights and scores of a run that nobody disturbed.

    python benchmarks/killed.py [--input FILE] [--minutes 0.06] [--dir FOLDER] [--again 1] [--signals KILL TERM HUP INT]

One run is left alone. The other, with the same settings, is killed in each step in turn (reading, cleaning, tokenizer, packing, training, fine-tuning, scoring, report),
at a random instant of the time that this step took in the undisturbed run; --again kills so often in each. Then the call is made a last time. Compared are the sha256 of
the best, the last and the merged weights, all scores, the history of training, and the hash chain. Prints one row a kill; exit 1 where anything differs.
With other signals than KILL it is the command `llm-lab run` that gets them, and it must end in a line of its own with exit code 130.
"""
import argparse, contextlib, hashlib, json, os, random, signal, sys, tempfile, threading, time
from pathlib import Path
from crashes import in_child

os.environ.update(HF_HUB_OFFLINE='1', OMP_NUM_THREADS='1')

def settings(a):
    "A small model that is held back by everything there is."
    from llm_lab.plan import RunSettings
    return RunSettings(input=a.input, minutes=a.minutes, speed=1., vocab_size=384, block_size=64, n_layer=1, n_head=2, n_embd=32, dropout=0.1,
                       merge_dropout=0.1, passes=4)

def run_killed(a, name, step=None, after_s=0., which=signal.SIGKILL):
    "A run; inside the named step it gets a signal after so many seconds."
    from llm_lab import cli, run as lab
    def armed(work):
        def step_of(run):
            threading.Timer(after_s, lambda: os.kill(os.getpid(), which)).start()
            return work(run)
        return step_of
    if step == 'report': lab.finish_run = armed(lab.finish_run)
    elif step: lab._steps[step] = armed(lab._steps[step])
    if which == signal.SIGKILL: return lab.run_lab(settings(a), name, a.dir, progress=False) and 0
    signal.signal(signal.SIGHUP, signal.SIG_DFL)                 # whoever started this may have said nohup
    s = {k: v for k,v in vars(settings(a)).items() if v is not None and k != 'reading'}
    defaults = vars(type(settings(a))())
    line = [w for k,v in s.items() if v != defaults[k] for w in (f'--{k.replace("_", "-")}', str(v))]
    with open(Path(a.dir)/f'{name}.said', 'w') as said, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try: cli.main(['run', *line, '--name', name, '--root', a.dir, '--no-progress'])
        except SystemExit as e: return e.code or 0

def sha(path): return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]

def result(folder):
    "What must be the same."
    report = json.loads((folder/'report.json').read_text())
    history = [{k: v for k,v in r.items() if k != 'tokens_per_s'} for r in report['training']['history']]
    found = {f'weights of {n}': sha(folder/n/'model.safetensors') for n in ('checkpoints/best', 'checkpoints/final', 'merged')}
    return dict(found, scores=report['heldout'], history=history, words=report['words'], tokens=sha(folder/'data/train.bin'), samples=report['samples'])

def main():
    parse = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parse.add_argument('--input')
    parse.add_argument('--minutes', type=float, default=0.06)
    parse.add_argument('--dir')
    parse.add_argument('--again', type=int, default=1)
    parse.add_argument('--seed', type=int, default=0)
    parse.add_argument('--signals', nargs='*', default=['KILL'], choices=['KILL', 'TERM', 'HUP', 'INT'])
    a = parse.parse_args()
    a.dir = a.dir or tempfile.mkdtemp()
    import llm_lab.checkpoint, llm_lab.opponents, llm_lab.report, llm_lab.run, llm_lab.sft          # once, for all children
    rng = random.Random(a.seed)
    if in_child(lambda: run_killed(a, 'whole')): sys.exit('the undisturbed run failed')
    whole = json.loads((Path(a.dir)/'whole'/'run.json').read_text())['steps']
    took = {name: record['wall_s'] for name,record in whole.items()} | {'report': 0.5}
    n_wrong = 0
    for name in a.signals:
        which = getattr(signal, f'SIG{name}')
        for step,seconds in took.items():
            for _ in range(a.again):
                after_s = rng.uniform(0.05, 0.95)*seconds
                start = time.time()
                code = in_child(lambda: run_killed(a, name, step, after_s, which))
                said = Path(a.dir)/f'{name}.said'
                last = (said.read_text().strip().splitlines() or [''])[-1] if said.is_file() else ''
                how = {-9: 'killed', 130: f'ended: {last}', 0: 'was over before'}.get(code, f'EXIT {code}: {last}')
                if code not in (0, 130 if name != 'KILL' else -9): n_wrong += 1
                print(f'{name:5}{step:10} after {after_s:6.2f} of {seconds:6.2f} s: {how}, {time.time() - start:.0f} s', flush=True)
        if in_child(lambda: run_killed(a, name)): sys.exit('the last call failed')
        one,other = result(Path(a.dir)/'whole'),result(Path(a.dir)/name)
        wrong = [k for k in one if one[k] != other[k]]
        n_wrong += len(wrong)
        print(f'{name:5}{len(one)} results compared, different: {", ".join(wrong) or "none"}', flush=True)
    sys.exit(bool(n_wrong))

if __name__ == '__main__': main()
