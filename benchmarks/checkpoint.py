"""Saving and loading a 124M model with its AdamW state, beside torch.save, safetensors and the disk itself.

    python benchmarks/checkpoint.py [--dir FOLDER] [--rounds 5] [--threads 2] [--json]

Every round runs each contestant once, in turn, on the same state and the same disk; all are flushed to it. Printed are medians, the spread (least to most), the processor
seconds of all threads (which a busy machine disturbs less), and ratios of the medians, which say more than the seconds. `--dir` chooses the disk; nothing is left there.
"""
import argparse, gc, hashlib, json, os, platform, shutil, statistics, subprocess, sys, tempfile, textwrap, threading, time
from pathlib import Path

def flush(path):
    fd = os.open(path, os.O_RDWR)
    try: os.fsync(fd)
    finally: os.close(fd)

compiled = Path(tempfile.gettempdir())/'llm_lab_benchmark_compiled'

def fresh(code, *args):
    "Seconds that a piece of code took in a fresh interpreter, which prints them itself."
    cached = {k: v for k,v in os.environ.items() if k != 'PYTHONDONTWRITEBYTECODE'}     # compiled once, as for everybody
    cached['PYTHONPYCACHEPREFIX'] = str(compiled)
    done = subprocess.run([sys.executable, '-c', textwrap.dedent(code), *map(str, args)], capture_output=True, text=True, env=cached)
    if done.returncode: raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])

def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--dir', type=Path, help='where to write (default: a temporary folder)')
    args.add_argument('--rounds', type=int, default=5)
    args.add_argument('--threads', type=int, default=2)
    args.add_argument('--n-layer', type=int, default=12, help='12: 124M parameters')
    args.add_argument('--json', action='store_true', help='end with one line of JSON')
    args = args.parse_args()
    os.environ.update(OMP_NUM_THREADS=str(args.threads), HF_HUB_OFFLINE='1')
    import torch, safetensors, transformers
    from safetensors.torch import save_file
    from llm_lab.checkpoint import CheckpointManager, checkpoint_files
    from llm_lab.gpt_model import GPT, GPTConfig
    torch.set_num_threads(args.threads)
    here = Path(tempfile.mkdtemp(dir=args.dir))
    print(f'{platform.machine()}, {os.cpu_count()} cores, {args.threads} threads; python {platform.python_version()}, torch {torch.__version__}, safetensors {safetensors.__version__}, transformers {transformers.__version__}')

    model = GPT(GPTConfig(vocab_size=50257, block_size=1024, n_layer=args.n_layer, n_head=12, n_embd=768, arch='gpt2'))
    optimizer = model.configure_optimizer(learning_rate=1e-4, muon=False)
    ids = torch.randint(50257, (1, 8)); model(ids, ids)[1].backward(); optimizer.step(); optimizer.zero_grad()
    model.train_state = dict(step=1, tokens=8, history=[], data=None, fit={}, rng={'torch': torch.get_rng_state()})
    moments = {f'{i}.{k}': v for i,s in optimizer.state_dict()['state'].items() for k,v in s.items()}
    weights = model.hf_state_dict()
    n_bytes = sum(t.numel()*t.element_size() for t in [*weights.values(), *moments.values()])
    print(f'{model.n_params/1e6:.0f}M parameters, {n_bytes/1e9:.2f} GB with their averages\n')
    manager,later = CheckpointManager('ours', here),CheckpointManager('later', here, async_save=True)
    manager.save(model, optimizer, 'kept'); later.save(model, optimizer, 'kept'); later.wait()     # imports, and the buffers of the copy

    def memory_copy(): return [t.clone() for t in [*model.parameters(), *moments.values()]]
    def raw():
        for name,tensors in (('w', weights), ('m', moments)):
            with open(here/f'raw.{name}', 'wb', buffering=0) as f:
                if hasattr(os, 'posix_fallocate'): os.posix_fallocate(f.fileno(), 0, sum(t.numel()*t.element_size() for t in tensors.values()))
                for t in tensors.values():
                    part,at = memoryview(t.detach().contiguous().reshape(-1).view(torch.uint8).numpy()),0
                    while at < len(part): at += f.write(part[at:at + (1 << 24)])
                os.fsync(f.fileno())
    def with_safetensors():
        for name,tensors in (('w', weights), ('m', moments)): save_file(tensors, here/f'st.{name}'); flush(here/f'st.{name}')
    def with_torch(): torch.save(dict(model=model.state_dict(), optimizer=optimizer.state_dict()), here/'torch.pt'); flush(here/'torch.pt')
    def hashing():
        parts = [t.detach().contiguous().reshape(-1).view(torch.uint8).numpy() for t in [*weights.values(), *moments.values()]]
        def take(k):
            total = hashlib.sha256()
            for p in parts[k::2]: total.update(p)
        threads = [threading.Thread(target=take, args=(k,)) for k in (0, 1)]
        for t in threads: t.start()
        for t in threads: t.join()
    def ours(): manager.save(model, optimizer, 'new')
    def ours_async(): later.save(model, optimizer, 'new')
    saves = {'save, ours': ours, 'torch.save': with_torch, 'safetensors': with_safetensors, 'raw write': raw, 'sha256, 2 threads': hashing, 'async save, blocked': ours_async, 'copy in memory': memory_copy}

    def resume():
        m,state = manager.load('kept'); return m, m.configure_optimizer(learning_rate=1e-4, muon=False, state=state)
    def torch_resume(**kw):
        state = torch.load(here/'torch.pt', weights_only=True, **kw)
        m = GPT(model.config); m.load_state_dict(state['model']); o = m.configure_optimizer(learning_rate=1e-4, muon=False); o.load_state_dict(state['optimizer']); return m, o
    def torch_load(**kw): return torch.load(here/'torch.pt', weights_only=True, **kw)
    loads = {'resume, ours': resume, 'torch.load': torch_load, 'torch.load, mmap': lambda: torch_load(mmap=True), 'resume, torch': torch_resume, 'resume, torch mmap': lambda: torch_resume(mmap=True)}

    where = here/'ours/kept'
    model_code = '''
        import sys, time, torch; began = time.perf_counter()
        from llm_lab.opening import load_model
        load_model(sys.argv[1], device='cpu'); print(time.perf_counter() - began)'''
    hf_code = '''
        import sys, time, torch; began = time.perf_counter()
        from transformers import AutoModelForCausalLM
        AutoModelForCausalLM.from_pretrained(sys.argv[1]); print(time.perf_counter() - began)'''
    info_code = '''
        import sys, time; began = time.perf_counter()
        from llm_lab.opening import get_model_info
        get_model_info(sys.argv[1]); seconds = time.perf_counter() - began
        assert "torch" not in sys.modules; print(seconds)'''
    starts = {'load_model after import torch': lambda: fresh(model_code, where), 'from_pretrained after import torch': lambda: fresh(hf_code, where), 'get_model_info': lambda: fresh(info_code, where)}

    for start in starts.values(): start()                        # compiles what is not yet compiled
    took,cpu = {},{}
    for group,timed in ((saves, True), (loads, True), (starts, False)):
        for _ in range(args.rounds):
            for name,run in group.items():
                for left in ('raw.w', 'raw.m', 'st.w', 'st.m'): (here/left).unlink(missing_ok=True)
                if run is with_torch: (here/'torch.pt').unlink(missing_ok=True)
                if group is saves: os.sync() if hasattr(os, 'sync') else None
                began,busy = time.perf_counter(),time.process_time(); out = run(); seconds = time.perf_counter() - began
                if timed: cpu.setdefault(name, []).append(time.process_time() - busy)
                took.setdefault(name, []).append(seconds if timed else out)
                later.wait(); del out; gc.collect()
    manager.close(); later.close(); shutil.rmtree(here)
    shutil.rmtree(compiled, ignore_errors=True)
    median = {k: statistics.median(v) for k,v in took.items()}
    for k,v in took.items(): print(f'{k:36}{median[k]:8.3f} s   ({min(v):.3f} to {max(v):.3f})' + (f'   {statistics.median(cpu[k]):8.3f} s of processor' if k in cpu else ''))
    ratios = {'save / the larger of safetensors and hashing': (median['save, ours']/max(median['safetensors'], median['sha256, 2 threads']), 1.0),
              'save / torch.save': (median['save, ours']/median['torch.save'], None),
              'async save blocks / copy in memory': (median['async save, blocked']/median['copy in memory'], None),
              'resume / torch.load': (median['resume, ours']/median['torch.load'], 0.5),
              'load_model after import torch, seconds': (median['load_model after import torch'], 0.35),
              'resume / resume with torch.load': (median['resume, ours']/median['resume, torch'], None)}
    print()
    for k,(r,limit) in ratios.items(): print(f'{k:48}{r:6.2f}' + (f'   (at most {limit})' if limit else ''))
    if args.json: print(json.dumps(dict(n_bytes=n_bytes, median=median, spread={k: [min(v), max(v)] for k,v in took.items()}, cpu={k: statistics.median(v) for k,v in cpu.items()}, ratios={k: r for k,(r,_) in ratios.items()})))

if __name__ == '__main__': main()
