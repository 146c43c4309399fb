"""`kill -9` in the middle of every step of a run, then the same call again: the weights and scores of a run that nobody disturbed.

    python benchmarks/killed.py [--input FILE] [--minutes 0.06] [--dir FOLDER] [--again 1]

One run is left alone. The other, with the same settings, is killed in each step in turn (reading, cleaning, tokenizer, packing, training, fine-tuning, scoring, report),
at a random instant of the time that this step took in the undisturbed run; --again kills so often in each. Then the call is made a last time. Compared are the sha256 of
the best, the last and the merged weights, all scores, the history of training, and the hash chain. Prints one row a kill; exit 1 where anything differs.
"""
import argparse, hashlib, json, os, random, signal, sys, tempfile, threading, time
from pathlib import Path
from crashes import in_child

os.environ.update(HF_HUB_OFFLINE='1', OMP_NUM_THREADS='1')

def settings(a):
    "A small model that is held back by everything there is."
    from llm_lab.plan import RunSettings
    return RunSettings(input=a.input, minutes=a.minutes, speed=1., vocab_size=384, block_size=64, n_layer=1, n_head=2, n_embd=32, dropout=0.1,
                       merge_dropout=0.1, passes=4)

def run_killed(a, name, step=None, after_s=0.):
    "A run; inside the named step it is killed after so many seconds."
    from llm_lab import run as lab
    def armed(work):
        def step_of(run):
            threading.Timer(after_s, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
            return work(run)
        return step_of
    if step == 'report': lab.finish_run = armed(lab.finish_run)
    elif step: lab._steps[step] = armed(lab._steps[step])
    lab.run_lab(settings(a), name, a.dir, progress=False)

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
    a = parse.parse_args()
    a.dir = a.dir or tempfile.mkdtemp()
    import llm_lab.checkpoint, llm_lab.opponents, llm_lab.report, llm_lab.run, llm_lab.sft          # once, for all children
    rng = random.Random(a.seed)
    if in_child(lambda: run_killed(a, 'whole')): sys.exit('the undisturbed run failed')
    whole = json.loads((Path(a.dir)/'whole'/'run.json').read_text())['steps']
    took = {name: record['wall_s'] for name,record in whole.items()} | {'report': 0.5}
    for step,seconds in took.items():
        for _ in range(a.again):
            after_s = rng.uniform(0.05, 0.95)*seconds
            start = time.time()
            code = in_child(lambda: run_killed(a, 'killed', step, after_s))
            print(f'{step:10} after {after_s:6.2f} of {seconds:6.2f} s: {"killed" if code == -9 else f"was over before (exit {code})"}, {time.time() - start:.0f} s', flush=True)
    if in_child(lambda: run_killed(a, 'killed')): sys.exit('the last call failed')
    one,other = result(Path(a.dir)/'whole'),result(Path(a.dir)/'killed')
    wrong = [name for name in one if one[name] != other[name]]
    print(f'{len(one)} results compared, different: {", ".join(wrong) or "none"}')
    sys.exit(bool(wrong))

if __name__ == '__main__': main()
