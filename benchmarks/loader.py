"""Warm loads of a 124M GPT-2 and a 1.1B Llama from a folder: ours, plain `from_pretrained`, raw safetensors.

    python benchmarks/loader.py [--rounds 15] [--models gpt2 llama] [--work FOLDER]

Each round runs every contestant once, in turn; medians, their ratio and the middle half of the times are printed. Memory is the peak of a fresh
process above what it held before, divided by the size of the weights in the dtype asked for. Models are made in FOLDER (a temporary one), 2.7 GB.
"""
import argparse, gc, os, platform, resource, statistics, subprocess, sys, tempfile, time
from pathlib import Path

shapes = {
    'gpt2': ('gpt2', 'float32', dict()),
    'llama': ('llama', 'bfloat16', dict(vocab_size=32000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_attention_heads=32, num_key_value_heads=4)),
}
other = dict(float32='bfloat16', bfloat16='float32')

def make(name, folder):
    "Write a model of the right shape; the numbers do not matter for the time."
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    kind,dtype,sizes = shapes[name]
    with torch.device('meta'): model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes), dtype=getattr(torch, dtype))
    model = model.to_empty(device='cpu')
    for p in model.parameters(): p.data.uniform_(-.02, .02)
    model.tie_weights()
    model.save_pretrained(folder, max_shard_size='1GB')
    from llm_lab.files import write_manifest
    write_manifest(folder, 'model')

def contestants(folder, dtype):
    "Name → a call that loads the folder."
    import transformers
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM
    from llm_lab import ModelLoader
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return {'ours': lambda: ModelLoader(folder, dtype=dtype, device_map='cpu', offline=True).load_model(),
            'from_pretrained': lambda: AutoModelForCausalLM.from_pretrained(folder, dtype=dtype or 'auto'),
            'safetensors': lambda: [load_file(f) for f in sorted(Path(folder).glob('*.safetensors'))]}

def time_all(calls, rounds):
    "Seconds of every call, interleaved; the order turns from round to round."
    seconds,names = {name: [] for name in calls},list(calls)
    for i in range(rounds + 2):                                  # the first two rounds warm up
        for name in names[i % len(names):] + names[:i % len(names)]:
            gc.collect()
            start = time.perf_counter(); loaded = calls[name](); took = time.perf_counter() - start
            del loaded
            if i >= 2: seconds[name].append(took)
    return seconds

def peak():
    "Most bytes that this process has held. (Linux's ru_maxrss also counts the parent, before the program was started; VmHWM does not.)"
    status = Path('/proc/self/status')
    if status.exists(): return 1024*int(status.read_text().split('VmHWM:')[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)

def memory_child(folder, dtype, name):
    "In a fresh process: load, read every page, print the peak above the start and the size of the weights."
    import torch
    from transformers import GPT2LMHeadModel, LlamaForCausalLM   # so that imports are not counted
    call = contestants(folder, None if dtype == 'stored' else dtype)[name]
    before = peak()
    loaded = call()
    tensors = list(loaded.parameters()) if hasattr(loaded, 'parameters') else [t for part in loaded for t in part.values()]
    sum(float(t.view(-1)[::512].float().sum()) for t in tensors)
    print('PEAK', peak() - before, sum(t.nbytes for t in tensors))

def memory(folder, dtype, name):
    out = subprocess.run([sys.executable, __file__, '--child', str(folder), dtype, name], capture_output=True, text=True, check=True).stdout
    n,weights = map(int, out.split('PEAK')[1].split())
    return n/weights

def import_ms(clock, times=9):
    code = f"import time; t = time.{clock}(); from llm_lab import ModelLoader; s = time.{clock}() - t; import sys; assert 'torch' not in sys.modules; print(s)"
    return sorted(1e3*float(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout) for _ in range(times))

def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--rounds', type=int, default=15); args.add_argument('--models', nargs='*', default=list(shapes)); args.add_argument('--work'); args.add_argument('--child', nargs=3)
    args = args.parse_args()
    if args.child: return memory_child(*args.child)
    import safetensors, torch, transformers
    print(f'{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, '
          f'torch {torch.__version__}, transformers {transformers.__version__}, safetensors {safetensors.__version__}')
    wall,cpu = import_ms('perf_counter'),import_ms('process_time')
    print(f'from llm_lab import ModelLoader: {statistics.median(wall):.0f} ms (best {wall[0]:.0f}), of that processor time {statistics.median(cpu):.0f} ms; no torch')
    with tempfile.TemporaryDirectory() as tmp:
        for name in args.models:
            folder = Path(args.work or tmp)/name
            if not (folder/'config.json').exists(): make(name, folder)
            for dtype in (None, other[shapes[name][1]]):
                calls = contestants(folder, dtype)
                if dtype: del calls['safetensors']               # it does not convert
                seconds = time_all(calls, args.rounds if not dtype else max(5, args.rounds//3))
                print(f"\n{name}, stored as {shapes[name][1]}, loaded as {dtype or 'stored'}")
                for who,s in seconds.items():
                    q = statistics.quantiles(s, n=4)
                    print(f"  {who:16}{1e3*statistics.median(s):9.1f} ms  (middle half {1e3*q[0]:.1f} to {1e3*q[2]:.1f}, best {1e3*min(s):.1f})  peak {memory(folder, dtype or 'stored', who):.2f} × weights")
                ratios = sorted(a/b for a,b in zip(seconds['ours'], seconds['from_pretrained']))
                print(f"  ours / from_pretrained: {statistics.median(seconds['ours'])/statistics.median(seconds['from_pretrained']):.2f} (round by round: median {statistics.median(ratios):.2f}, middle half {ratios[len(ratios)//4]:.2f} to {ratios[-1-len(ratios)//4]:.2f})")

if __name__ == '__main__': main()
