"""Speed of `llm_lab.packing` beside its peers, in one process, one round of each after the other.

    python benchmarks/packing.py [--only pack,text,bpe,batch] [--data DIR] [--peers DIR] [--docs N]

--data   a folder with text/tinyshakespeare.txt and tokenizer/gpt2; without it: Python's own documentation and a vocabulary trained on it
--peers  a folder with checkouts of karpathy/minbpe (`minbpe`) and karpathy/nanochat (`nanochat`); without it they are left out
Every line gives the median of the rounds, their range, and how often faster the first line was: the median of the rounds' ratios, and their range.
"""
import argparse, contextlib, gc, importlib.metadata as metadata, io, os, platform, statistics, sys, tempfile, time
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault('OMP_NUM_THREADS', '1')
import numpy as np
import pyarrow as pa

from llm_lab.batches import GPTDataLoader
from llm_lab.bpe import count_words, learn_merges
from llm_lab.packing import pack_sequences
from llm_lab.tokenizer import Tokenizer


def race(title, contenders, unit, amount, rounds=5, clock=time.process_time):
    """Time each contender once per round; `amount` is the work they do, in `unit`.
    The clock counts the processor seconds of this process, which other programs disturb least; where threads share the work it is the wall's."""
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name,f in contenders.items():
            gc.collect()
            t = clock(); f(); times[name].append(clock()-t)
    amount = amount if isinstance(amount, dict) else dict.fromkeys(contenders, amount)
    first = next(iter(contenders))
    rate = {n: [amount[n]/t for t in ts] for n,ts in times.items()}
    print(f'\n{title} ({rounds} rounds, {"processor" if clock is time.process_time else "wall"} time)')
    for n in contenders:
        ratios = [a/b for a,b in zip(rate[first], rate[n])]
        print(f'  {n:52} {statistics.median(rate[n]):12,.1f} {unit:9} [{min(rate[n]):,.1f} to {max(rate[n]):,.1f}]  {statistics.median(times[n])*1e3:10,.2f} ms   '
              f'first is {statistics.median(ratios):.2f} x [{min(ratios):.2f} to {max(ratios):.2f}]', flush=True)
    return rate


def bench_pack(args, block_size=2048):
    n_docs = args.docs
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar
    from trl import pack_dataset
    disable_progress_bar()
    rng = np.random.default_rng(0)
    lens = rng.lognormal(5.5, 1.1, n_docs).astype(int).clip(1)
    total = int(lens.sum())
    flat = rng.integers(0, 50_000, total).astype(np.int32)
    column = pa.ListArray.from_arrays(np.append(0, lens.cumsum()).astype(np.int32), pa.array(flat))
    arrays = np.split(flat, lens.cumsum()[:-1])
    ds = Dataset(pa.table({'input_ids': column}))
    made = {}
    def ours(seqs, strategy='best_fit', everything=False, name=None):
        rows = pack_sequences(seqs, block_size, strategy)
        if everything: rows.doc_ids, rows.position_ids, rows.labels
        if name not in made: made[name] = (rows.fill_rate, rows.ledger.dropped/total)
    def theirs(strategy, batch_size, name):
        packed = pack_dataset(ds, block_size, strategy, map_kwargs=dict(batch_size=batch_size, load_from_cache_file=False, keep_in_memory=True))
        if name not in made:
            kept = len(packed.data.column('input_ids').combine_chunks().flatten())
            made[name] = (kept/len(packed)/block_size, 1-kept/total)
    runs = {'ours, Arrow column': lambda name: ours(column, name=name), 'ours, list of arrays': lambda name: ours(arrays, name=name),
            'ours, Arrow, and doc_ids, position_ids, labels too': lambda name: ours(column, everything=True, name=name),
            'ours, concat': lambda name: ours(column, 'concat', name=name)}
    for strategy,batch in ('bfd_split', 1000), ('bfd_split', None), ('bfd', 1000):
        label = f"TRL {strategy}, {'all at once' if batch is None else f'{batch} at a time'}"
        runs[label] = lambda name, strategy=strategy, batch=batch: theirs(strategy, batch, name)
    contenders = {name: (lambda f=f, name=name: f(name)) for name,f in runs.items()}
    race(f'packing {n_docs:,} documents, {total:,} tokens, log-normal(5.5, 1.1), rows of {block_size}', contenders, 'docs/s', n_docs, args.rounds)
    bound = total/(-(-total//block_size)*block_size)
    print(f'  fill (bound {bound:.6f}) and tokens lost: ' + '; '.join(f'{n}: {f:.5f}, {l:.1%}' for n,(f,l) in made.items()))
    if args.peers and (args.peers/'nanochat').is_dir(): bench_nanochat(args, arrays[:4000], block_size)
    else: print('  nanochat: left out (no --peers folder with a checkout)')


def bench_nanochat(args, arrays, block_size, B=8):
    "nanochat's loader, its tokenizer and its files replaced by finished lists of ids; it never pads, and crops instead."
    sys.path.insert(0, str(args.peers/'nanochat'))
    import nanochat.dataloader as theirs
    docs = [a.tolist() for a in arrays]
    theirs._document_batches = lambda split, resume, n: ((docs[i:i+n], (0, 0, 1)) for i in range(0, len(docs), n))
    tokenizer = SimpleNamespace(get_bos_token_id=lambda: 0, encode=lambda docs, **kw: list(docs))
    made = {}
    def nanochat():
        batches = theirs.tokenizing_distributed_data_loader_with_state_bos_bestfit(tokenizer, B, block_size-1, 'train', device='cpu')
        rows,buffer = 0,None
        with contextlib.suppress(RuntimeError, StopIteration):  # the loader has no end of its own: it breaks off when the documents run out
            while True:
                next(batches); rows += B
                buffer = batches.gi_frame.f_locals['doc_buffer'] if buffer is None else buffer
        made.update(docs=len(docs)-len(buffer), read=sum(map(len, docs))-sum(map(len, buffer)), used=rows*block_size)
    nanochat()
    race(f'{len(docs):,} of the documents as Python lists', {'ours': lambda: pack_sequences(docs, block_size), 'nanochat, best fit with cropping': nanochat},
         'docs/s', {'ours': len(docs), 'nanochat, best fit with cropping': made['docs']}, args.rounds)
    print(f"  nanochat never pads; it cropped away {1-made['used']/made['read']:.0%} of the tokens of the {made['docs']:,} documents that left its buffer")
    print('  litgpt has no packer of its own (it cuts a stream with litdata): not compared')


def corpus(args):
    if args.data: return (args.data/'text/tinyshakespeare.txt').read_text(encoding='utf-8')
    from pydoc_data.topics import topics
    return '\n\n'.join(topics[k] for k in sorted(topics))


def bench_text(args):
    text = corpus(args)
    docs = text.split('\n\n')
    docs = ['\n\n'.join(docs[i:i+50]) for i in range(0, len(docs), 50)]
    bpe = Tokenizer('gpt2', path=args.data/'tokenizer/gpt2') if args.data else Tokenizer('bpe', text=text, vocab_size=16_384)
    tt,hf = bpe.to_tiktoken(),bpe.to_tokenizers()
    mb = sum(len(d.encode()) for d in docs)/1e6
    def library(parallel):
        os.environ['TOKENIZERS_PARALLELISM'] = str(parallel).lower()
        return [e.ids for e in hf.encode_batch(docs, add_special_tokens=False)]
    assert bpe.encode_batch(docs) == tt.encode_ordinary_batch(docs, num_threads=1) == library(True)
    for n in 1, 2:
        race(f'encoding {mb:.2f} MB in {len(docs)} documents with {bpe.token_kind!r}, {n} thread{"s"*(n > 1)}',
             {'ours, lists': lambda: bpe.encode_batch(docs, num_threads=n), 'ours, arrays': lambda: bpe.encode_batch(docs, num_threads=n, as_arrays=True),
              'tiktoken, lists': lambda: [tt.encode_ordinary(d) for d in docs] if n == 1 else tt.encode_ordinary_batch(docs, num_threads=n),
              'tokenizers, lists': lambda: library(n > 1)}, 'MB/s', mb, args.rounds, time.process_time if n == 1 else time.perf_counter)
    char,byte = Tokenizer('char', text=text),Tokenizer()
    mb = len(text.encode())/1e6
    race('characters and bytes', {'char, array': lambda: char.encode_array(text), 'byte, array': lambda: byte.encode_array(text),
         'char, list': lambda: char.encode(text), 'a dict and a list comprehension': lambda d={c: i for i,c in enumerate(char._codec.chars)}: [d[c] for c in text]}, 'MB/s', mb, args.rounds)


def bench_bpe(args, n_merges=4096, n_short=20):
    text = corpus(args)
    from llm_lab.bpe import _train_merges
    assert learn_merges(count_words(text), n_merges) == _train_merges(text, n_merges)
    race(f'training BPE, {n_merges} merges on {len(text.encode())/1e6:.2f} MB, cutting included', {'ours (page, plain Python)': lambda: learn_merges(count_words(text), n_merges),
         'tokenizers (Rust)': lambda: _train_merges(text, n_merges)}, 'merges/s', n_merges, args.rounds)
    if not (args.peers and (args.peers/'minbpe').is_dir()): return print('  minbpe: left out (no --peers folder with a checkout)')
    sys.path.insert(0, str(args.peers/'minbpe'))
    from minbpe import RegexTokenizer
    from minbpe.regex import GPT2_SPLIT_PATTERN
    def minbpe():
        with contextlib.redirect_stdout(io.StringIO()): RegexTokenizer(GPT2_SPLIT_PATTERN).train(text, 256+n_short)
    race(f'the same, only {n_short} merges (minbpe counts the whole text for each)', {'ours': lambda: learn_merges(count_words(text), n_short), 'minbpe': minbpe}, 'merges/s', n_short, 3)


def bench_batch(args, n_tokens=200_000_000):
    import torch
    torch.set_num_threads(1)
    config,rng = SimpleNamespace(block_size=256, batch_size=64),np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        rng.integers(0, 50_000, n_tokens).astype('<u2').tofile(f'{folder}/train.bin')
        tokenizer = SimpleNamespace(vocab_size=65_536, eos_id=7, pad_id=None)  # about one token in 50 000 ends a document …
        with open(f'{folder}/train.bin', 'r+b') as f:                          # … and we add more, one in 400
            tokens = np.memmap(f, '<u2', 'r+'); tokens[rng.integers(0, n_tokens, n_tokens//400)] = 7; tokens.flush(); del tokens
        loaders = {f'ours, {pack}': GPTDataLoader.from_folder(config, folder, tokenizer, pack=pack) for pack in ('best_fit', 'concat')}
        def windows():
            data = np.memmap(f'{folder}/train.bin', np.uint16, 'r')
            at = torch.randint(len(data)-256, (64,))
            return tuple(torch.stack([torch.from_numpy(data[i+k:i+k+256].astype(np.int64)) for i in at]) for k in (0, 1))
        repeat = lambda f: lambda: [f() for _ in range(200)]
        race(f'batches of 64 x 256 from {n_tokens:,} tokens on disk (uint16)', {**{n: repeat(lambda l=l: l.get_batch('train')) for n,l in loaders.items()},
             'random windows, no documents (nanoGPT)': repeat(windows)}, 'batches/s', 200, args.rounds)
        del loaders


if __name__ == '__main__':
    parts = dict(pack=bench_pack, text=bench_text, bpe=bench_bpe, batch=bench_batch)
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--only', default=','.join(parts)); p.add_argument('--data', type=Path); p.add_argument('--peers', type=Path); p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--docs', type=int, default=200_000, help='documents to pack')
    args = p.parse_args()
    print(f'{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, OMP_NUM_THREADS={os.environ["OMP_NUM_THREADS"]}, '
          + ', '.join(f'{m} {metadata.version(m)}' for m in ('numpy', 'torch', 'trl', 'datasets', 'pyarrow', 'tiktoken', 'tokenizers')))
    for name in args.only.split(','): parts[name](args)
