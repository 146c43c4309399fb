"""Training speed beside nanoGPT, in one interleaved run.

    python benchmarks/training.py --peer DIR --data FILE [--json] [--only shakespeare|loop|gpu] [--no-budget] [--seeds 3] [--rounds 3]

DIR is a checkout of nanoGPT (nothing is written into it), FILE the TinyShakespeare text. Three questions:

  shakespeare  nanoGPT's README run for CPUs (characters, 4 layers, 128 wide, context 64, 2000 steps): how long does each side take, as a whole
               process from start to end, to a validation loss of 1.898 (the whole split, in windows of 64 tokens)? Several seeds must all reach it.
  budget       what does our recipe reach in as much time as nanoGPT needed?
  loop         tokens per second of the plain training loop at equal shape and dtype, AdamW on both sides, at three shapes; and with bfloat16 autocast.
  gpu          where there is one: GPT-2 124M in bfloat16, compiled on both sides, tokens per second and model FLOPs utilisation.

The last line with --json is one JSON object: wall_ratio, val_loss per seed, peer_val_loss, tokens/s.
"""
import argparse, json, os, platform, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve()
TARGET = 1.898      # nanoGPT's best checkpoint on the whole validation split, in windows of 64 tokens
STEPS = 122      # of our recipe: enough for every seed to pass TARGET
SHAPES = {'4L/128/64': (4, 4, 128, 64, 12, 65), '6L/384/256': (6, 6, 384, 256, 16, 65), '124M': (12, 12, 768, 256, 4, 50257)}  # layers, heads, width, context, rows, vocabulary

def machine():
    "What the numbers were measured on."
    import torch, transformers
    name = platform.processor()
    if Path('/proc/cpuinfo').exists(): name = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')), name)
    return dict(cpu=name, cores=os.cpu_count(), threads=torch.get_num_threads(), torch=torch.__version__, transformers=transformers.__version__, python=platform.python_version(), gpu=torch.cuda.is_available())

# ---- the sides of the Shakespeare run, each a process of its own

def characters(path):
    "Ids of a text, one per character, cut as nanoGPT cuts them."
    text = Path(path).read_text()
    table = {c: i for i,c in enumerate(sorted(set(text)))}
    ids = np.array([table[c] for c in text], np.uint16)
    n = int(len(text)*0.9)
    return ids[:n],ids[n:],sorted(table)

def validation_loss(score, val, T=64):
    "Mean loss over the whole split in windows of T tokens; `score(x, y)` gives the sum over a batch."
    import torch
    n = (len(val) - 1)//T
    x,y = (torch.from_numpy(val[i:i+n*T].astype(np.int64)).view(n, T) for i in (0, 1))
    with torch.no_grad(): return sum(score(a, b) for a,b in zip(x.split(256), y.split(256)))/(n*T)

class Windows:
    "Random windows of a token stream, as nanoGPT draws them; a batch depends on seed and step alone."
    def __init__(self, train, T, batch_size, seed):
        import torch
        self.train,self.T,self.batch_size,self.seed = torch.from_numpy(train.astype(np.int64)),T,batch_size,seed
    def n_rows(self, split): return 0 if split == 'val' else len(self.train)//self.T
    def get_batch(self, split, step):
        import torch
        g = torch.Generator().manual_seed(self.seed*1_000_003 + step)
        at = torch.randint(len(self.train) - self.T - 1, (self.batch_size, 1), generator=g) + torch.arange(self.T)
        return self.train[at],self.train[at+1]

def ours(data, seed, steps, out):
    "Train our recipe and save its weights under the names of transformers."
    sys.path.insert(0, str(HERE.parent.parent))
    from llm_lab.gpt_model import GPT, GPTConfig
    train,_,chars = characters(data)
    model = GPT(GPTConfig(vocab_size=len(chars), block_size=64, n_layer=4, n_head=4, n_embd=128, arch='qwen3', tie_weights=False), seed=1337 + seed)
    optimizer = model.configure_optimizer(0.03, muon=True, adam_lr=0.025, momentum=0.9)
    begin = time.perf_counter()
    model.fit(Windows(train, 64, 24, seed), optimizer, max_iters=steps, eval_interval=0, log_interval=50, progress=False)
    train_s = time.perf_counter() - begin
    from safetensors.torch import save_file
    save_file(model.hf_state_dict(), Path(out)/'model.safetensors', metadata={'format': 'pt'})
    (Path(out)/'ours.json').write_text(json.dumps(model.config.to_dict()))
    print(json.dumps(dict(train_s=train_s, n_params=model.n_params)))

def our_score(out, data):
    "Our saved weights on the whole validation split, after the clock has stopped, as for the peer."
    sys.path.insert(0, str(HERE.parent.parent))
    from safetensors.torch import load_file
    from llm_lab.gpt_model import GPT, GPTConfig
    model = GPT(GPTConfig.from_dict(json.loads((Path(out)/'ours.json').read_text()))).load_hf_state_dict(load_file(Path(out)/'model.safetensors')).eval()
    _,val,_ = characters(data)
    return validation_loss(lambda x,y: model.sum_loss(x, y).item(), val)

def opens_in_transformers(data, out):
    "Load the saved weights in transformers and score them there: the proof that no private trick is in the architecture."
    sys.path.insert(0, str(HERE.parent.parent))
    import torch, torch.nn.functional as F, transformers
    from safetensors.torch import load_file
    from llm_lab.gpt_model import GPTConfig
    config = GPTConfig.from_dict(json.loads((Path(out)/'ours.json').read_text()))
    theirs = transformers.Qwen3ForCausalLM(config.to_hf_config())
    theirs.load_state_dict(load_file(Path(out)/'model.safetensors')); theirs.eval()
    _,val,_ = characters(data)
    return validation_loss(lambda x,y: F.cross_entropy(theirs(x).logits.flatten(0, 1), y.flatten(), reduction='sum').item(), val)

def peer_files(peer, data, folder):
    "A working copy of nanoGPT with its data prepared, so that nothing is written into DIR."
    for name in ('train.py', 'model.py', 'configurator.py'): shutil.copy(Path(peer)/name, folder)
    shutil.copytree(Path(peer)/'config', folder/'config')
    d = folder/'data'/'shakespeare_char'; d.mkdir(parents=True)
    train,val,chars = characters(data)
    train.tofile(d/'train.bin'); val.tofile(d/'val.bin')
    import pickle
    (d/'meta.pkl').write_bytes(pickle.dumps(dict(vocab_size=len(chars), itos=dict(enumerate(chars)), stoi={c: i for i,c in enumerate(chars)})))

README_RUN = ('config/train_shakespeare_char.py --device=cpu --compile=False --eval_iters=20 --log_interval=100 --block_size=64 --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 '
              '--max_iters=2000 --lr_decay_iters=2000 --dropout=0.0').split()

def peer_score(folder, data):
    "nanoGPT's best checkpoint on the whole validation split."
    import torch, torch.nn.functional as F
    sys.path.insert(0, str(folder))
    from model import GPT, GPTConfig
    saved = torch.load(folder/'out-shakespeare-char'/'ckpt.pt', weights_only=True)
    model = GPT(GPTConfig(**saved['model_args'])); model.load_state_dict(saved['model']); model.eval()
    _,val,_ = characters(data)
    return validation_loss(lambda x,y: model(x, y)[1].item()*y.numel(), val)

def timed(command, cwd):
    "Run a process to its end; seconds by the clock and by the processors, and its last line."
    begin, begin_cpu = time.perf_counter(), cpu_of_children()
    done = subprocess.run([sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True)
    if done.returncode: sys.exit(f'{command} failed:\n{done.stderr[-2000:]}')
    return time.perf_counter() - begin, cpu_of_children() - begin_cpu, done.stdout.splitlines()[-1]

def cpu_of_children():
    "Processor seconds of the processes that have ended: what a shared machine does not stretch."
    return sum(os.times()[2:4])

def shakespeare(args):
    "Both sides to the end, our seeds spread before and after the peer's run."
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder); peer_files(args.peer, args.data, folder)
        runs,outs = [],[]
        def one(seed, steps=STEPS):
            out = folder/f'ours-{seed}-{steps}'; out.mkdir(); outs.append(out)
            wall_s,cpu_s,line = timed([HERE, '--data', args.data, '--worker', json.dumps(dict(seed=seed, steps=steps, out=str(out)))], folder)
            return dict(wall_s=wall_s, cpu_s=cpu_s, val_loss=our_score(out, args.data), **json.loads(line))
        runs = [one(0)]
        peer_wall_s,peer_cpu_s,_ = timed(['train.py', *README_RUN], folder)
        runs += [one(seed) for seed in range(1, args.seeds)]
        peer_loss,hf_loss = peer_score(folder, args.data),opens_in_transformers(args.data, outs[0])
        wall = statistics.median(r['wall_s'] for r in runs)
        cpu_ratio = peer_cpu_s/statistics.median(r['cpu_s'] for r in runs)       # what is left of the ratio when others use the machine too
        result = dict(wall_ratio=peer_wall_s/wall, cpu_ratio=cpu_ratio, peer_wall_s=peer_wall_s, wall_s=[r['wall_s'] for r in runs], train_s=[r['train_s'] for r in runs], val_loss=[r['val_loss'] for r in runs],
                      peer_val_loss=peer_loss, val_loss_in_transformers=hf_loss, n_params=runs[0]['n_params'], all_reached=all(r['val_loss'] <= TARGET for r in runs))
        print(f'nanoGPT README run   {peer_wall_s:6.1f} s  validation loss {peer_loss:.3f}')
        for i,r in enumerate(runs): print(f'ours, seed {i}         {r["wall_s"]:6.1f} s  validation loss {r["val_loss"]:.3f}  (training alone {r["train_s"]:.1f} s)')
        print(f'wall time: nanoGPT / ours = {result["wall_ratio"]:.1f} (median of {len(runs)}), by processor time {cpu_ratio:.1f}; all seeds at or under {TARGET}: {result["all_reached"]}; seed 0 scored by transformers: {hf_loss:.4f}')
        if not args.no_budget:
            per_step = statistics.median(r['train_s'] for r in runs)/STEPS
            steps = int(0.9*(peer_wall_s - (wall - per_step*STEPS))/per_step)   # a tenth in reserve
            long = one(7, steps)
            result |= dict(budget_val_loss=long['val_loss'], budget_wall_s=long['wall_s'], budget_steps=steps)
            print(f'in nanoGPT\'s time    {long["wall_s"]:6.1f} s  validation loss {long["val_loss"]:.3f}  ({steps} steps)')
        return result

# ---- the plain loop, step by step in one process

def loop(args):
    "Tokens per second of forward, backward, clipping and AdamW, ours and theirs in turn."
    sys.path[:0] = [str(HERE.parent.parent), str(args.peer)]
    import torch
    from model import GPT as PeerGPT, GPTConfig as PeerConfig
    from llm_lab.gpt_model import GPT, GPTConfig
    from llm_lab.training import train_step
    has_bf16 = torch.cpu._is_avx512_bf16_supported() if hasattr(torch.cpu, '_is_avx512_bf16_supported') else False
    out = {}
    for name in args.shapes:
        L,H,C,T,B,V = SHAPES[name]
        ids = torch.randint(V, (B, T + 1)); x,y = ids[:, :-1].contiguous(),ids[:, 1:].contiguous()
        peer = PeerGPT(PeerConfig(block_size=T, vocab_size=V, n_layer=L, n_head=H, n_embd=C, dropout=0., bias=False))
        peer_opt = peer.configure_optimizers(0.1, 1e-3, (0.9, 0.95), 'cpu')
        model = GPT(GPTConfig(vocab_size=V, block_size=T, n_layer=L, n_head=H, n_embd=C, bias=False, activation='gelu'))
        opt = model.configure_optimizer(1e-3, muon=False)
        def peer_step():
            loss = peer(x, y)[1]; loss.backward()
            torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
            peer_opt.step(); peer_opt.zero_grad(set_to_none=True); loss.item()
        sides = {'nanoGPT fp32': peer_step, 'ours fp32': lambda: train_step(model, opt, [(x, y)])}
        if has_bf16: sides['ours bf16'] = lambda: train_step(model, opt, [(x, y)], dtype=torch.bfloat16)
        n = {'4L/128/64': 20, '6L/384/256': 2, '124M': 1}[name]                 # steps per reading
        times,cpu = {k: [] for k in sides},{k: [] for k in sides}
        for f in sides.values(): f()
        for _ in range(args.rounds*2 + 1):
            for k,f in sides.items():
                begin,begin_cpu = time.perf_counter(),time.process_time()
                for _ in range(n): f()
                times[k].append((time.perf_counter() - begin)/n); cpu[k].append((time.process_time() - begin_cpu)/n)
        rates = {k: B*T/statistics.median(t) for k,t in times.items()}
        spread = {k: (max(t) - min(t))/statistics.median(t) for k,t in times.items()}
        base,base_cpu = rates['nanoGPT fp32'],statistics.median(cpu['nanoGPT fp32'])
        cpu_ratio = {k: base_cpu/statistics.median(t) for k,t in cpu.items()}      # what is left of the ratio when others use the machine too
        for k in sides: print(f'{name:11} {k:13} {rates[k]:9,.0f} tokens/s  ×{rates[k]/base:.2f}  spread {spread[k]:.0%}  by processor time ×{cpu_ratio[k]:.2f}', flush=True)
        out[name] = dict(tokens_per_s=rates, ratio={k: rates[k]/base for k in sides if k != 'nanoGPT fp32'}, cpu_ratio=cpu_ratio, spread=spread)
    return dict(loop=out)

# ---- a GPU, where there is one

PEAKS = {'A100': 312e12, 'H100': 989e12, 'H200': 989e12, 'L4': 121e12, '4090': 165e12}   # bfloat16 FLOPs per second without sparsity, from the data sheets

def gpu(args, B=16, T=1024, steps=20):
    "GPT-2 124M beside nanoGPT, both compiled, in turn."
    import torch
    if not torch.cuda.is_available(): return dict(gpu='no GPU was at hand: GPT-2 124M on a GPU was not measured')
    sys.path[:0] = [str(HERE.parent.parent), str(args.peer)]
    from model import GPT as PeerGPT, GPTConfig as PeerConfig
    from llm_lab.gpt_model import GPT, GPTConfig
    from llm_lab.training import train_step
    torch.set_float32_matmul_precision('high')
    shape = dict(block_size=T, vocab_size=50304, n_layer=12, n_head=12, n_embd=768, bias=False)
    ids = torch.randint(50304, (B, T + 1), device='cuda'); x,y = ids[:, :-1].contiguous(),ids[:, 1:].contiguous()
    peer = PeerGPT(PeerConfig(dropout=0., **shape)).cuda(); peer_opt = peer.configure_optimizers(0.1, 1e-4, (0.9, 0.95), 'cuda'); peer_call = torch.compile(peer)
    model = GPT(GPTConfig(activation='gelu', **shape)).cuda(); opt = model.configure_optimizer(1e-4, muon=False); sum_loss = torch.compile(model.sum_loss)
    def peer_step():
        with torch.autocast('cuda', torch.bfloat16): loss = peer_call(x, y)[1]
        loss.backward(); torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0); peer_opt.step(); peer_opt.zero_grad(set_to_none=True); loss.item()
    sides = {'nanoGPT': peer_step, 'ours': lambda: train_step(model, opt, [(x, y)], sum_loss, dtype=torch.bfloat16)}
    times = {k: [] for k in sides}
    for f in sides.values(): [f() for _ in range(5)]
    for _ in range(args.rounds):
        for k,f in sides.items():
            torch.cuda.synchronize(); begin = time.perf_counter()
            for _ in range(steps): f()
            torch.cuda.synchronize(); times[k].append((time.perf_counter() - begin)/steps)
    name = torch.cuda.get_device_name(); peak = next((v for k,v in PEAKS.items() if k in name), None)
    flops = 6*(model.n_params - T*768) + 12*12*768*T                           # per token, as nanoGPT counts them (PaLM, appendix B)
    rates = {k: B*T/statistics.median(t) for k,t in times.items()}
    mfu = {k: r*flops/peak if peak else None for k,r in rates.items()}
    for k,r in rates.items(): print(f'124M on {name:20} {k:8} {r:9,.0f} tokens/s  ×{r/rates["nanoGPT"]:.2f}  ' + (f'{mfu[k]:.0%} of the peak' if peak else 'peak unknown'), flush=True)
    return dict(gpu=dict(device=name, tokens_per_s=rates, mfu=mfu))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--peer', type=Path, help='a checkout of nanoGPT')
    p.add_argument('--data', type=Path, help='the TinyShakespeare text')
    p.add_argument('--json', action='store_true', help='end with one JSON line')
    p.add_argument('--only', choices=['shakespeare', 'loop', 'gpu'], help='one part alone; shakespeare includes the budget question unless left out by --no-budget')
    p.add_argument('--no-budget', action='store_true', help='leave out the run that uses all of the peer\'s time')
    p.add_argument('--shapes', nargs='+', choices=list(SHAPES), default=list(SHAPES), help='of the loop')
    p.add_argument('--seeds', type=int, default=3); p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--worker', help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.worker: w = json.loads(args.worker); return ours(args.data, w['seed'], w['steps'], w['out'])
    if args.peer is None or not (args.peer/'train.py').is_file(): print('nanoGPT is not there (--peer DIR): nothing to compare with, left out'); return
    args.peer,result = args.peer.resolve(),dict(machine=machine())
    print(' · '.join(f'{k} {v}' for k,v in result['machine'].items()))
    if args.only in (None, 'shakespeare'):
        if args.data is None: sys.exit('--data FILE is needed: the TinyShakespeare text')
        args.data = args.data.resolve()
        result |= shakespeare(args)
    if args.only in (None, 'loop'): result |= loop(args)
    if args.only in (None, 'gpu'):
        result |= gpu(args)
        if isinstance(result['gpu'], str): print(result['gpu'])
    if args.json: print(json.dumps(result))

if __name__ == '__main__': main()
