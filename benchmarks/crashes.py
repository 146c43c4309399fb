"""A save killed at every call to the file system, and one that fails there with a full disk or a broken one; whole trainings killed at random instants and resumed.

    python benchmarks/crashes.py [--share 1] [--seed 0] [--dir FOLDER] [--only kills faults trainings] [--processes 1 2]

After every kill and every fault the newest complete checkpoint is loaded, every sha256 compared, and its weights, optimizer and step must belong together; after a share of them
the next save must work and leave nothing behind. A training that was killed goes on until it is finished, and must then have the same weights, optimizer and random state as one
that nobody disturbed; of two processes that train together one is killed, and the other must end by itself or, where the two had not met yet, when torchrun would tell it to. `--share 0.05` does every twentieth. Printed is one row per scene; exit 1 if anything was lost, mixed up or different.
"""
import argparse, errno, hashlib, os, random, shutil, signal, socket, sys, tempfile, time, traceback, warnings
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE='1', OMP_NUM_THREADS='1')
calls = 'open write fsync close rename replace mkdir unlink rmdir posix_fallocate'.split()
wrong = []                                                       # what should not have happened, in words

def model_at(step):
    "A model all of whose weights are its step, and its optimizer."
    import torch
    from llm_lab.gpt_model import GPT, GPTConfig
    model = GPT(GPTConfig(vocab_size=11, block_size=8, n_layer=1, n_head=1, n_embd=8, arch='llama', bias=False))
    with torch.no_grad():
        for p in model.parameters(): p.fill_(step)
    model.train_state = dict(step=step, tokens=step, history=[], data=None, fit={}, rng={})
    optimizer = model.configure_optimizer()
    for group in optimizer.param_groups:
        for p in group['params']: p.grad = None
    return model, optimizer

def in_child(work):
    "Run something in a forked process; its exit code, or minus the signal that ended it."
    pid = os.fork()
    if pid == 0:
        code = 3
        try: code = work() or 0
        finally: os._exit(code)
    _,status = os.waitpid(pid, 0)
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

def watch_calls(act):
    "Let `act(number, name, args, real)` stand before every call to the file system of this process."
    count = 0
    def watched(name, real):
        def run(*args, **kw):
            nonlocal count
            count += 1
            act(count, name, args, real)
            return real(*args, **kw)
        return run
    for name in calls:
        if hasattr(os, name): setattr(os, name, watched(name, getattr(os, name)))

def die(number, real_write=os.write):
    "Kill this process at its n-th call; a write is half done by then."
    def act(count, name, args, real):
        if count != number: return
        if name == 'write': real_write(args[0], bytes(args[1][:len(args[1])//2]))
        os.kill(os.getpid(), signal.SIGKILL)
    return act

def fail(number, code):
    "Let the n-th call fail, and only that one."
    def act(count, name, args, real):
        if count == number and name != 'close': raise OSError(code, os.strerror(code), args[0] if isinstance(args[0], (str, Path)) else None)
    return act

def newest_step(root):
    "The step of the newest complete checkpoint, after checking that all of it belongs together; 0: there is none."
    from llm_lab.checkpoint import CheckpointManager
    from llm_lab.files import find_damage
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        manager = CheckpointManager('run', root)
        path = manager.latest()
        if path is None: return 0
        assert find_damage(path, verify=True) is None, 'the newest checkpoint is damaged'
        model,state = manager.load()
    step = model.train_state['step']
    assert all((p == step).all() for p in model.parameters()), 'weights of another step'
    return step

# One scene: what is there, what is saved, how

def save(root, step, name=None, **kw):
    from llm_lab.checkpoint import CheckpointManager
    manager = CheckpointManager('run', root, **kw)
    model,optimizer = model_at(step)
    try: return manager.save(model, optimizer, name)
    finally: manager.close()

def half_save(root, step, name=None):
    "What a save leaves that is killed in its middle."
    in_child(lambda: (watch_calls(die(9)), save(root, step, name)))

scenes = {'a new step': (lambda r: save(r, 1), dict()),
          'replacing final': (lambda r: save(r, 1, 'final'), dict(name='final')),
          'the oldest goes': (lambda r: save(r, 1), dict(keep_last=1)),
          'in a thread': (lambda r: save(r, 1), dict(async_save=True)),
          'after a crash': (lambda r: (save(r, 1, 'final'), half_save(r, 2, 'final')), dict(name='final')),
          'the first of all': (lambda r: None, dict())}

def try_scene(base, root, scene, act, allowed, check_next, counts):
    "Copy what was there, save in a child under `act`, look at what is left."
    kw = scenes[scene][1]
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(base, root)
    def child():
        from llm_lab.checkpoint import SaveError
        watch_calls(act)
        try: return 0 if save(root, 2, **kw) else 5
        except SaveError: return 4
    code = in_child(child)
    try:
        step = newest_step(root)
        if step not in allowed: raise AssertionError(f'step {step} was loaded, {" or ".join(map(str, allowed))} was there')
        if code == 0 and step != 2: raise AssertionError('save said that it had saved, and had not')
        if code == 3: raise AssertionError('the save ended in an error of another kind')
        counts['new' if step == 2 else 'old'] += 1
        if check_next:
            save(root, 3, **kw)
            assert newest_step(root) == 3, 'the next save failed'
            left = [p.name for p in (root/'run').glob('.*.*')]
            assert not left, f'the next save left {left}'
            counts['next'] += 1
    except Exception as e: wrong.append(f'{scene}: {type(e).__name__}: {e}')
    return code

def n_calls(base, root, scene):
    "How many calls the save of a scene makes."
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(base, root)
    seen = root/'calls'
    def child():
        log = os.open(seen, os.O_WRONLY | os.O_CREAT)
        write = os.write
        watch_calls(lambda count, name, args, real: write(log, b'.'))
        save(root, 2, **scenes[scene][1])
    in_child(child)
    return seen.stat().st_size

def at_every_call(work, kinds, share, rng):
    "Kill or fail at each call of every scene."
    for scene,(prepare,_) in scenes.items():
        base,root = work/'base',work/'root'
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir()
        prepare(base)
        before = newest_step(base)
        n = n_calls(base, root, scene)
        for kind in kinds:
            if kind == 'EIO' and scene not in ('a new step', 'replacing final'): continue
            began = len(wrong)
            counts = dict(old=0, new=0, next=0)
            some = [k for k in range(1, n + 1) if share >= 1 or rng.random() < share] or [n//2]
            for k in some:
                act = die(k) if kind == 'kill' else fail(k, getattr(errno, kind))
                try_scene(base, root, scene, act, {before, 2}, share < 1 or k % 4 == 0, counts)
            print(f'{kind:8}{scene:20}{len(some):6} of {n:4} calls: the checkpoint before was loaded {counts["old"]:4} times, the new one {counts["new"]:4}, '
                  f'{counts["next"]:4} next saves worked, {len(wrong) - began} wrong', flush=True)

# Whole trainings

documents = [' '.join(str(i*j % 97) for j in range(1, 3 + i % 23)) for i in range(60)]
shape = dict(block_size=32, n_layer=1, n_head=2, n_embd=32, arch='llama', dropout=0.1, batch_size=4)

def train(root, settings):
    "Fourteen steps with dropout, packed rows, accumulation; goes on where it was."
    import torch
    from llm_lab.batches import GPTDataLoader
    from llm_lab.checkpoint import CheckpointManager
    from llm_lab.gpt_model import GPT, GPTConfig
    from llm_lab.tokenizer import Tokenizer
    torch.manual_seed(0)
    n = settings['processes']
    how = dict(max_iters=14, save_interval=settings['every'], log_interval=5, grad_accum=settings['accum'], progress=False)
    if n == 1:
        manager = CheckpointManager('run', root, async_save=settings['async_save'], keep_last=settings['keep_last'])
        model,optimizer,_ = manager.initialize_for_training(GPTConfig(**shape), 'char', documents, 1e-2, muon=settings['muon'])
        loader = GPTDataLoader(model.config, model.tokenizer, seed=1).prepare_data(documents)
        model.fit(loader, optimizer, checkpoints=manager, **how)
        return manager.close()
    model = GPT(GPTConfig(**shape), Tokenizer('char', text=documents))
    optimizer = model.configure_optimizer(1e-2, muon=settings['muon'])
    loader = GPTDataLoader(model.config, model.tokenizer, seed=1, rank=int(os.environ['RANK']), world_size=n).prepare_data(documents)
    model.fit(loader, optimizer, checkpoint_dir=root/'run', **how)

def end_of(root):
    "sha256 of the weights, the optimizer and the random state that a training ended with."
    final = root/'run'/'final'
    files = [p for p in sorted(final.iterdir()) if p.suffix == '.safetensors']
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

def alone(root, settings):
    "A training in processes of its own: their ids."
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    n = settings['processes']
    pids = []
    for rank in range(n):
        pid = os.fork()
        if pid:
            pids.append(pid)
            continue
        code = 3
        try:
            said = os.open(f'{root}.said', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(said, 1)
            os.dup2(said, 2)
            if n > 1: os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(n), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
            train(root, settings)
            code = 0
        except BaseException: traceback.print_exc()
        finally: os._exit(code)
    return pids

def over(pids, seconds):
    "Exit codes of processes, by id, once all have ended; None if they have not within so many seconds."
    left = list(pids)
    codes = {}
    until = time.monotonic() + seconds
    while left:
        for pid in left[:]:
            done,status = os.waitpid(pid, os.WNOHANG)
            if not done: continue
            left.remove(pid)
            codes[pid] = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        if left and time.monotonic() > until:
            pids[:] = left
            return None
        time.sleep(.002)
    pids.clear()
    return codes

def hunted(root, settings, usual, rng):
    "Kill a training at random instants until it is done: (kills, the exit codes of its last life)."
    n_kills = 0
    for life in range(7):
        pids = alone(root, settings)
        codes = over(pids, usual*rng.random()*1.1 if life < 6 else 300)
        if codes is None and life == 6: return n_kills, ['not over in 300 s']
        if codes is None:
            prey = rng.choice(pids)                              # of two processes one: the other has to notice
            os.kill(prey, signal.SIGKILL)
            n_kills += 1
            if over(pids, 5) is None:                            # it waits for one that never came: torchrun ends it so
                for pid in pids: os.kill(pid, signal.SIGTERM)
            if pids and over(pids, 60) is None:
                for pid in pids: os.kill(pid, signal.SIGKILL)
                over(pids, 60)
                return n_kills, ['the other process did not end']
            if not (root/'run'/'final').exists(): continue       # else the same call says that nothing is left to do
            codes = {}
        return n_kills, [c for c in codes.values() if c]

def trainings(work, share, rng, processes):
    "Kill trainings at random instants until they are done; each kill and each start is the same process image, with everything imported."
    every = [dict(processes=1, muon=m, accum=a, every=e, async_save=s, keep_last=k) for m in (True, False) for a in (1, 3) for e in (1, 2) for s in (False, True) for k in (None, 2)]
    two = [dict(processes=2, muon=m, accum=a, every=e, async_save=False, keep_last=None) for m in (True, False) for a in (1, 3) for e in (1, 2)]
    kinds = [kind for n,kind in ((1, every), (2, two)) if n in processes]
    some = [s for kind in kinds for s in rng.sample(kind, max(1, round(share*len(kind))))]
    n_kills = n_same = 0
    began = len(wrong)
    for i,settings in enumerate(some):
        calm = work/f'calm{i}'
        start = time.perf_counter()
        codes = over(alone(calm, settings), 300)
        if codes is None or any(codes.values()): sys.exit(f'a training that nobody disturbed failed: {settings}: {Path(f"{calm}.said").read_text()[-500:]}')
        usual = time.perf_counter() - start
        want = end_of(calm)
        for j in range(max(1, round(10*share))):
            root = work/f'hunted{i}-{j}'
            n,failed = hunted(root, settings, usual, rng)
            n_kills += n
            if failed: wrong.append(f'training {settings}: it ended with {failed}: {Path(f"{root}.said").read_text()[-300:]}')
            elif end_of(root) != want: wrong.append(f'training {settings}: it differs from the one that nobody disturbed')
            else: n_same += 1
            shutil.rmtree(root, ignore_errors=True)
        print(f'trainings: setting {i + 1} of {len(some)}, {n_kills} kills so far, {n_same} runs as if undisturbed, {len(wrong) - began} wrong', flush=True)
    print(f'trainings: {len(some)} settings, {n_kills} kills at random instants; {n_same} runs were finished, all as if undisturbed; {len(wrong) - began} wrong', flush=True)

def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--share', type=float, default=1)
    args.add_argument('--seed', type=int, default=0)
    args.add_argument('--dir', type=Path, help='where to write (default: a temporary folder)')
    args.add_argument('--only', nargs='*', default=['kills', 'faults', 'trainings'])
    args.add_argument('--processes', nargs='*', type=int, default=[1, 2], help='of a training')
    args = args.parse_args()
    if not hasattr(os, 'fork'): sys.exit('this needs a POSIX system')
    import torch
    torch.set_num_threads(1)
    rng = random.Random(args.seed)
    began = time.time()
    with tempfile.TemporaryDirectory(dir=args.dir) as d:
        save(Path(d)/'first', 0)                                 # whatever is imported on first use is imported now
        newest_step(Path(d)/'first')
        kinds = ['kill']*('kills' in args.only) + ['ENOSPC', 'EIO']*('faults' in args.only)
        if kinds: at_every_call(Path(d), kinds, args.share, rng)
        if 'trainings' in args.only: trainings(Path(d), args.share, rng, args.processes)
    print(f'{time.time() - began:.0f} s, {len(wrong)} wrong')
    for said in wrong[:20]: print('  ', said)
    sys.exit(1 if wrong else 0)

if __name__ == '__main__': main()
