"""What several processes cost and bring, on one machine.

    python benchmarks/scale.py [--only train,save,clean] [--rounds N] [--mb 200] [--json FILE]

train  the same steps by one process with two threads, and by two processes of one thread each (DDP, FSDP): tokens a second, whole batches
save   a spread model saved in parts in the background (time that training waits, time until it is there), beside the single folder
clean  the same text cleaned in one process, by two processes, and by two workers of a Ray cluster (where Ray is installed)
Rounds are interleaved; every line gives the median, the range, and the median ratio to the first line. Wall time: several processes share the work.
"""
import argparse, json, os, platform, random, statistics, subprocess, sys, tempfile, time
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve()

def say(title, times, unit='s'):
    "Median, range, ratio to the first."
    first = next(iter(times.values()))
    print(f'\n{title}')
    for name,values in times.items():
        ratio = statistics.median(v/f for v,f in zip(values, first))
        print(f'  {name:44} {statistics.median(values):9,.2f} {unit} [{min(values):,.2f} to {max(values):,.2f}]   x {ratio:.2f}', flush=True)
    return {name: dict(median=statistics.median(values), all=values) for name,values in times.items()}

def launch(n, threads, *words):
    "This file in n processes; what it printed last."
    start = [sys.executable] if n == 1 else [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', str(n)]
    done = subprocess.run([*start, str(HERE), *words], capture_output=True, text=True, env=os.environ | {'OMP_NUM_THREADS': str(threads)})
    if done.returncode: sys.exit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])

def made(width, n_layer, parallel, batch_size=16, block_size=256):
    "A model, its loader and its optimizer."
    import torch
    from llm_lab import GPT, GPTConfig, GPTDataLoader, Tokenizer
    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
    config = GPTConfig(arch='qwen3', vocab_size=4096, block_size=block_size, n_layer=n_layer, n_head=width//64, n_embd=width, batch_size=batch_size)
    rng = random.Random(0)
    texts = [''.join(rng.choices('abcdefgh ', k=4000)) for _ in range(200)]
    loader = GPTDataLoader(config, Tokenizer('byte')).prepare_data(texts)
    return GPT(config, loader.tokenizer), loader

def train_worker(parallel):
    "Seconds of a step, without the first ones."
    model,loader = made(256, 6, parallel)
    marks = []
    model.fit(loader, model.configure_optimizer(), max_iters=8, dtype='float32', progress=False, log_interval=1, eval_interval=0,
              callbacks=(lambda model, record: marks.append(time.perf_counter()),), **({} if parallel == 'one' else dict(parallel=parallel)))
    steps = [b - a for a,b in zip(marks[2:], marks[3:])]
    if os.environ.get('RANK', '0') == '0': print(json.dumps(statistics.median(steps)))

def save_worker(how):
    "[seconds that training waits, seconds until the folder is there] of a save."
    import torch
    from llm_lab.checkpoint import CheckpointManager
    from llm_lab.scale import spread
    from llm_lab.sharded import ShardedCheckpoints
    from llm_lab.training import train_step
    model,loader = made(768, 8, how, batch_size=2, block_size=64)
    if how == 'parts': torch.distributed.init_process_group('gloo')
    exchange = spread(model, 'fsdp') if how == 'parts' else None
    optimizer = model.configure_optimizer(muon=False)
    train_step(model, optimizer, [loader.get_batch('train', 0)], exchange=exchange)
    model.train_state = dict(getattr(model, 'train_state', None) or {}, step=1)
    root = Path(sys.argv[3])
    manager = (ShardedCheckpoints if how == 'parts' else CheckpointManager)(f'{how}-{time.time_ns() if how != "parts" else sys.argv[4]}', root)
    start = time.perf_counter()
    manager.save(model, optimizer)
    waited = time.perf_counter() - start
    manager.wait()
    there = time.perf_counter() - start
    if os.environ.get('RANK', '0') == '0': print(json.dumps([waited, there]))

def bench_train(args):
    times = {'one process, two threads': [], 'two processes, DDP': [], 'two processes, FSDP': []}
    for _ in range(args.rounds):
        for (name,values),(n,threads,how) in zip(times.items(), ((1, 2, 'one'), (2, 1, 'ddp'), (2, 1, 'fsdp'))): values.append(launch(n, threads, 'train-worker', how))
    return say('a step of 16 rows of 256 tokens, 6 layers, 256 wide', times)

def bench_save(args):
    waits = {'single folder': [], 'two parts (DCP)': []}
    there = {'single folder': [], 'two parts (DCP)': []}
    for k in range(args.rounds):
        for name,n,how in (('single folder', 1, 'one'), ('two parts (DCP)', 2, 'parts')):
            with tempfile.TemporaryDirectory() as root: wait,whole = launch(n, 1, 'save-worker', how, root, str(k))
            waits[name].append(wait); there[name].append(whole)
    return dict(waits=say('a save with AdamW, 8 layers, 768 wide: training waits', waits), there=say('until it is there', there))

def bench_clean(args):
    from llm_lab.data_cleaning import default_rules
    from llm_lab.reading import clean_files
    from llm_lab.shards import clean_shards, shard_files
    rng = random.Random(0)
    words = [a + b for a in 'bcdfglmnprst' for b in ('an', 'o', 'ire', 'et', 'ul', 'ing', 'able', 'tion')]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)/'text.jsonl'
        with open(source, 'w') as file:
            n = 0
            while n < args.mb*1e6: n += file.write(json.dumps({'text': ' '.join(rng.choices(words, k=rng.randrange(50, 800)))}) + '\n')
        rules = default_rules('any')
        ways = {'one process (datasets)': lambda: clean_files(source, lang='any')[1],
                'shards, one process': lambda: apart('processes', 1), 'shards, two processes': lambda: apart('processes', 2)}
        if find_spec('ray'): ways['shards, two workers of Ray'] = lambda: apart('ray', 2)
        def apart(engine, n):
            with tempfile.TemporaryDirectory() as work:
                shard_files(source, f'{work}/raw', rows_per_shard=10_000)
                return clean_shards(f'{work}/raw', f'{work}/clean', rules, engine, n)
        times,kept = {name: [] for name in ways},set()
        for _ in range(args.rounds):
            for name,way in ways.items():
                start = time.perf_counter()
                kept.add(way().kept)
                times[name].append(time.perf_counter() - start)
    assert len(kept) == 1, kept                                    # all ways keep the same
    return say(f'{args.mb} MB of JSON lines read and cleaned by the default rules, {kept.pop():,} rows kept', times)

if __name__ == '__main__':
    if sys.argv[1:2] == ['train-worker']: train_worker(sys.argv[2])
    elif sys.argv[1:2] == ['save-worker']: save_worker(sys.argv[2])
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument('--only', default='train,save,clean')
        parser.add_argument('--rounds', type=int, default=3)
        parser.add_argument('--mb', type=int, default=200)
        parser.add_argument('--json', type=Path)
        args = parser.parse_args()
        print(f'{platform.processor() or platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}')
        found = {name: globals()[f'bench_{name}'](args) for name in args.only.split(',')}
        if args.json: args.json.write_text(json.dumps(found, indent=1))
