"""Tokens per second of `generate` beside transformers' own, in one interleaved run.

    python benchmarks/generation.py [--json] [--tokens 64] [--rounds 5] [--no-compile] [--only tiny|small|124M]

Both sides hold the same weights, keep keys and values, decode greedily in float32 and must give the same ids. The compiled loop is ours with `compile=True`; its
compile time is printed apart. One row at a time, every token needs every weight once, and memory sets the pace of a large model: for scale, how often a second all weights can be summed up is printed too.
"""
import argparse, json, os, statistics, sys, time
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]
SIZES = {'tiny': dict(arch='qwen3', vocab_size=512, block_size=256, n_layer=4, n_head=4, n_embd=128), 'small': dict(arch='qwen3', vocab_size=4096, block_size=256, n_layer=6, n_head=6, n_embd=384), '124M': dict(arch='gpt2', vocab_size=50257, block_size=256, n_layer=12, n_head=12, n_embd=768)}

def timed(f):
    "Seconds that a call takes."
    begin = time.perf_counter(); f()
    return time.perf_counter() - begin

def measure(name, args):
    "All sides in turn on one model; medians, ratios, spread."
    import torch
    from llm_lab.gpt_model import GPT, GPTConfig
    model = GPT(GPTConfig(**SIZES[name])).eval()
    with torch.no_grad():
        g = torch.Generator().manual_seed(0)
        for p in model.parameters(): p += 0.5*model.config.n_embd**-0.5*torch.randn(p.shape, generator=g)   # first weights would write the same token for ever
    theirs = model.to_hf()
    weights = [p for n,p in model.named_parameters() if 'embedding' not in n or model.config.tie_weights and n.startswith('token')]
    def read(): return sum(w.sum() for w in weights)
    V,n = model.config.vocab_size,args.tokens
    one,eight = torch.randint(1, V, (1, 16), generator=g),torch.randint(1, V, (8, 16), generator=g)   # 0 pads: transformers would hide it
    def hf(x): return theirs.generate(x, max_new_tokens=n, min_new_tokens=n, do_sample=False, pad_token_id=0, eos_token_id=None)
    def mine(x, **kw): return model.generate(x, n, temperature=0, **kw)
    once = min(timed(read) for _ in range(5))
    sides = {'transformers, batch 1': lambda: hf(one), 'ours, batch 1': lambda: mine(one), 'transformers, batch 8': lambda: hf(eight), 'ours, batch 8': lambda: mine(eight)}
    out = dict(same_ids=bool((hf(one) == mine(one)).all()) and bool((hf(eight) == mine(eight)).all()))
    if not args.no_compile:
        begin = time.perf_counter()
        out['compiled_same_ids'] = bool((mine(one, compile=True) == mine(one)).all()); out['compile_s'] = time.perf_counter() - begin
        sides['ours compiled, batch 1'] = lambda: mine(one, compile=True)
    times,cpu = {k: [] for k in sides},{k: [] for k in sides}
    for _ in range(args.rounds):
        for k,f in sides.items():
            begin,begin_cpu = time.perf_counter(),time.process_time()
            f()
            times[k].append(time.perf_counter() - begin); cpu[k].append(time.process_time() - begin_cpu)
    rate = {k: (8 if 'batch 8' in k else 1)*n/statistics.median(t) for k,t in times.items()}
    ratio = {k: rate[k]/rate[f'transformers, batch {k[-1]}'] for k in sides if 'ours' in k}
    cpu_ratio = {k: statistics.median(cpu[f'transformers, batch {k[-1]}'])/statistics.median(cpu[k]) for k in ratio}   # what is left of the ratio when others use the machine too
    for k,t in times.items(): print(f'{name:6} {k:24} {rate[k]:8.1f} tokens/s  {"×%.2f" % ratio[k] if k in ratio else "     "}  spread {(max(t) - min(t))/statistics.median(t):.0%}{"  by processor time ×%.2f" % cpu_ratio[k] if k in ratio else ""}', flush=True)
    print(f'{name:6} {"summing all weights up":24} {1/once:8.1f} times/s   ×{1/once/rate["transformers, batch 1"]:.2f}  ({sum(w.numel() for w in weights)*4/1e6:.0f} MB)', flush=True)
    print(f'{name:6} same ids as transformers: {out["same_ids"]}' + (f', compiled: {out["compiled_same_ids"]} (compiling took {out["compile_s"]:.0f} s)' if 'compile_s' in out else ''), flush=True)
    return out | dict(sums_of_weights_per_s=1/once, tokens_per_s=rate, ratio=ratio, cpu_ratio=cpu_ratio)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--json', action='store_true'); p.add_argument('--tokens', type=int, default=64); p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--no-compile', action='store_true'); p.add_argument('--only', choices=list(SIZES))
    args = p.parse_args()
    from training import machine
    import transformers; transformers.utils.logging.set_verbosity_error()
    about = machine()
    print(' · '.join(f'{k} {v}' for k,v in about.items()))
    result = {name: measure(name, args) for name in SIZES if args.only in (None, name)}
    print('no GPU was at hand' if not about['gpu'] else 'measured on the CPU; a GPU was there but not used')
    if args.json: print(json.dumps(dict(machine=about, **result)))

if __name__ == '__main__': main()
