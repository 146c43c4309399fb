"""Tokens per second of `generate` beside transformers' own and llama.cpp's, in one interleaved run.

    python benchmarks/generation.py [--json] [--tokens 64] [--rounds 5] [--threads 1] [--only tiny small 124M] [--no-llama] [--device cuda] [--dtype bfloat16]

All sides hold the same weights, keep keys and values, read a prompt of 16 tokens and decode greedily. transformers and ours compute in float32 and must give the same ids.
llama.cpp (through xllamacpp, left out where it is not installed) reads the file that `export_gguf` makes of the model, as f32 and as q8_0; how many of its first ids agree is printed too.
One row at a time, every token needs every weight once, and memory sets the pace of a large model: for scale, how often a second all weights can be summed up is printed.
"""
import argparse, json, statistics, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]
SIZES = {'tiny': dict(arch='qwen3', vocab_size=512, block_size=256, n_layer=4, n_head=4, n_embd=128),
         'small': dict(arch='qwen3', vocab_size=4096, block_size=256, n_layer=6, n_head=6, n_embd=384),
         '124M': dict(arch='gpt2', vocab_size=50257, block_size=256, n_layer=12, n_head=12, n_embd=768)}
BASE = 'transformers'

def timed(f):
    "Seconds that a call takes, by the clock and by the processors; a graphics card is waited for."
    import torch
    wait = torch.cuda.synchronize if torch.cuda.is_initialized() else lambda: None
    wait()
    begin, begin_cpu = time.perf_counter(), time.process_time()
    f()
    wait()
    return time.perf_counter() - begin, time.process_time() - begin_cpu

def random_model(name, device, dtype):
    "A model that does not write the same token for ever, as first weights would; its vocabulary is only there for the export."
    import torch
    from llm_lab.gpt_model import GPT, GPTConfig
    g = torch.Generator().manual_seed(0)
    model = GPT(GPTConfig(**SIZES[name])).eval()
    with torch.no_grad():
        for p in model.parameters(): p += 0.5*model.config.n_embd**-0.5*torch.randn(p.shape, generator=g)
    return model.to(device, getattr(torch, dtype)), g

class LlamaCpp:
    "llama.cpp with one file, writing for up to so many rows at once."
    def __init__(self, path, n_rows, n_tokens, threads):
        import xllamacpp
        p = xllamacpp.CommonParams()
        p.model.path, p.warmup, p.verbosity, p.n_gpu_layers = str(path), False, -1, 0
        p.n_parallel, p.n_ctx = n_rows, n_rows*max(256, 16 + n_tokens)
        p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
        self.server, self.n_tokens, self.pool = xllamacpp.Server(p), n_tokens, ThreadPoolExecutor(n_rows)

    def one(self, ids, **more):
        asked = dict(prompt=ids, n_predict=self.n_tokens, temperature=0, top_k=1, ignore_eos=True, cache_prompt=False, **more)
        return self.server.handle_completions(asked)['choices'][0]

    def __call__(self, rows): return list(self.pool.map(self.one, rows))

    def ids(self, row): return [t['id'] for t in self.one(row, logprobs=1)['logprobs']['content']]

def llama_sides(model, one, eight, n, threads, folder):
    "llama.cpp's sides, and its first ids for one prompt."
    from llm_lab import python_docs, train_bpe
    from llm_lab.export import export_gguf
    model.tokenizer = train_bpe(python_docs()['text'][:20], 400)
    sides, ids = {}, {}
    for dtype in ('f32', 'q8_0'):
        path = Path(folder)/f'model-{dtype}.gguf'
        export_gguf(model, path, dtype, force=True)        # random weights suffer from coarse numbers more than trained ones do
        single, several = LlamaCpp(path, 1, n, threads), LlamaCpp(path, 8, n, threads)
        ids[dtype] = single.ids(one[0].tolist())
        sides[f'llama.cpp {dtype}, batch 1'] = lambda c=single: c(one.tolist())
        sides[f'llama.cpp {dtype}, batch 8'] = lambda c=several: c(eight.tolist())
    model.tokenizer = None
    return sides, ids

def measure(name, args, folder):
    "All sides in turn on one model; medians, ratios, spread."
    import torch
    model, g = random_model(name, args.device, args.dtype)
    theirs = model.to_hf().to(args.device, next(model.parameters()).dtype)
    weights = [p for n,p in model.named_parameters() if 'embedding' not in n or model.config.tie_weights and n.startswith('token')]
    V, n = model.config.vocab_size, args.tokens
    one, eight = (torch.randint(1, V, (n_rows, 16), generator=g).to(args.device) for n_rows in (1, 8))   # 0 pads: transformers would hide it
    def hf(x): return theirs.generate(x, max_new_tokens=n, min_new_tokens=n, do_sample=False, pad_token_id=0, eos_token_id=None)
    def mine(x): return model.generate(x, n, temperature=0)
    once = min(timed(lambda: sum(w.sum() for w in weights))[0] for _ in range(5))
    sides = {f'{BASE}, batch 1': lambda: hf(one), 'ours, batch 1': lambda: mine(one), f'{BASE}, batch 8': lambda: hf(eight), 'ours, batch 8': lambda: mine(eight)}
    ours = mine(one)
    out = dict(same_ids=bool((hf(one) == ours).all()) and bool((hf(eight) == mine(eight)).all()))
    if args.llama:
        more, ids = llama_sides(model, one, eight, n, args.threads, folder)
        sides |= more
        wanted = ours[0, 16:].tolist()
        out['llama_first_ids_equal'] = {k: next((i for i,(a,b) in enumerate(zip(found, wanted)) if a != b), n) for k,found in ids.items()}
    times, cpu = {k: [] for k in sides}, {k: [] for k in sides}
    for i in range(args.rounds + 1):
        for k,f in sides.items():
            wall_s, cpu_s = timed(f)
            if i: times[k].append(wall_s); cpu[k].append(cpu_s)             # the first round warms up
    rate = {k: (8 if 'batch 8' in k else 1)*n/statistics.median(t) for k,t in times.items()}
    base = {k: f'{BASE}, batch {k[-1]}' for k in sides}
    ratio = {k: statistics.median(b/a for a,b in zip(times[k], times[base[k]])) for k in sides}         # of neighbours in time, so that others' work hits both
    cpu_ratio = {k: statistics.median(cpu[base[k]])/statistics.median(cpu[k]) for k in sides}           # what is left of the ratio when others use the machine too
    for k,t in times.items():
        print(f'{name:6} {k:24} {rate[k]:8.1f} tokens/s  ×{ratio[k]:5.2f}  spread {(max(t) - min(t))/statistics.median(t):4.0%}  by processor time ×{cpu_ratio[k]:5.2f}', flush=True)
    print(f'{name:6} {"summing all weights up":24} {1/once:8.1f} times/s   ×{1/once/rate[f"{BASE}, batch 1"]:5.2f}  ({sum(w.numel()*w.element_size() for w in weights)/1e6:.0f} MB)')
    print(f'{name:6} same ids as transformers: {out["same_ids"]}' + (f'; of {n} ids llama.cpp agrees with the first {out["llama_first_ids_equal"]}' if args.llama else ''), flush=True)
    return out | dict(sums_of_weights_per_s=1/once, tokens_per_s=rate, ratio=ratio, cpu_ratio=cpu_ratio)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--json', action='store_true', help='end with one JSON line')
    p.add_argument('--tokens', type=int, default=64)
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--threads', type=int, default=1, help='of every side')
    p.add_argument('--only', nargs='+', choices=list(SIZES), default=list(SIZES))
    p.add_argument('--device', default='cpu', help='cuda: transformers and ours alone')
    p.add_argument('--dtype', default='float32')
    p.add_argument('--no-llama', action='store_true', help='leave llama.cpp out')
    args = p.parse_args()
    import torch, transformers
    from training import machine
    torch.set_num_threads(args.threads)
    transformers.utils.logging.set_verbosity_error()
    args.llama = not args.no_llama and args.device == 'cpu' and find_spec('xllamacpp') is not None
    if not args.llama: print('llama.cpp is left out' + ('' if args.no_llama else ': pip install xllamacpp'))
    about = machine()
    print(' · '.join(f'{k} {v}' for k,v in about.items()))
    result = {}
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder: result[name] = measure(name, args, folder)
    where = torch.cuda.get_device_name() if args.device == 'cuda' else 'the CPU'
    print(f'measured on {where}, {args.dtype}' + ('' if args.device == 'cuda' else '; no GPU was at hand' if not about['gpu'] else '; a GPU was there but not used'))
    if args.json: print(json.dumps(dict(machine=about, **result)))

if __name__ == '__main__': main()
