"""Cleaning, measured beside other tools: the same documents, one interleaved run, medians and ratios.

    python benchmarks/cleaning.py filters [--rule quality] [--peers PYTHON]   Gopher's quality and repetition rules, beside datatrove
    python benchmarks/cleaning.py dedup   [--peers PYTHON]                    near duplicates, beside rensa, datasketch, text-dedup and datatrove
    python benchmarks/cleaning.py readers                                     reading beside the loaders of `datasets`, and the whole default run on python_docs()

PYTHON is the interpreter of a virtual environment that holds the other tools (`pip install "datatrove[processing]" datasketch rensa text-dedup spacy`);
without it they are left out. Every measurement is a fresh process with one thread per worker. Ours goes through `clean_dataset`, ledger included;
theirs is the bare call of their filter on texts in memory, so the ratio is a lower bound.

The corpus has at least 50 MB: the documentation of installed packages, one document per module, then copies of it with 1 to 20 % of the words exchanged.
Slow tools get its first documents only (`--slow_mb`), and their ratio is taken against our figure on the same documents.
"""
import argparse, itertools, json, os, random, resource, statistics, subprocess, sys, tempfile, time
from pathlib import Path
for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'): os.environ[name] = '1'
os.environ['TOKENIZERS_PARALLELISM'] = 'false'
root = Path(__file__).resolve().parent.parent

def build_corpus(path, mb):
    "Write the corpus to a Parquet file, in an order that mixes originals and copies."
    from datasets import Dataset
    from importlib import util
    from llm_lab.data_cleaning import column
    names = ['stdlib', 'topic', *(n for n in 'numpy pandas sympy torch networkx matplotlib nltk transformers datasets peft trl accelerate'.split() if util.find_spec(n))]
    docs = python_docs(names)
    modules = itertools.groupby(zip(column(docs, 'source'), column(docs, 'text')), key=lambda row: row[0].rsplit('.', 1)[0])
    texts = [text for text in ('\n\n'.join(t for _,t in rows) for _,rows in modules) if len(text) > 300]
    rng,size,originals = random.Random(0),sum(len(t.encode()) for t in texts),list(texts)
    while size < mb*1e6:
        share,text = rng.choice((.01, .02, .05, .1, .2)),rng.choice(originals)
        lines = [' '.join(f'w{rng.randrange(10**5)}' if rng.random() < share else w for w in line.split(' ')) for line in text.split('\n')]
        texts.append('\n'.join(lines)); size += len(texts[-1].encode())
    rng.shuffle(texts)
    Dataset.from_dict({'text': texts}).to_parquet(path)

def read(path, mb=None, n_docs=None):
    "The first texts of the corpus."
    import pyarrow.parquet as pq
    texts = pq.read_table(path)['text'].to_pylist()[:n_docs]
    if mb:
        sizes = itertools.accumulate(len(t.encode()) for t in texts)
        texts = texts[:next((i for i,s in enumerate(sizes, 1) if s >= mb*1e6), len(texts))]
    return texts

def datatrove_filter(name):
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
    return GopherQualityFilter() if name == 'quality' else GopherRepetitionFilter()

def trove_chunk(args):
    name,texts = args
    from datatrove.data import Document
    rule = datatrove_filter(name)
    return [rule.filter(Document(text=t, id=str(i))) is True for i,t in enumerate(texts)]

# ---- one measurement per process: `work_NAME(texts, workers)` does the work and gives something to compare

def our_filter(name):
    def work(texts, workers):
        from datasets import Dataset
        from llm_lab import data_cleaning as lab
        rule = lab.gopher_quality_filter() if name == 'quality' else lab.gopher_repetition_filter()
        ds = Dataset.from_dict({'text': texts})
        return lambda: lab.clean_dataset(ds, [rule], num_proc=workers, progress=False)[1].kept
    return work

def our_bare_filter(name):
    def work(texts, workers):
        from llm_lab import data_cleaning as lab
        rule = lab.gopher_quality_filter() if name == 'quality' else lab.gopher_repetition_filter()
        return lambda: sum(not rule.judge(t)[1].dropped for t in texts)
    return work

def trove_filter(name):
    def work(texts, workers):
        trove_chunk((name, texts[:3]))                                    # load spaCy before the clock starts
        if workers == 1: return lambda: sum(trove_chunk((name, texts)))
        from multiprocessing import Pool
        def parallel():
            with Pool(workers) as pool: return sum(map(sum, pool.map(trove_chunk, [(name, texts[i::workers]) for i in range(workers)])))
        return parallel
    return work

def same_decisions(name):
    "Both rules on the same words and symbols: in how many documents do decision and reason agree?"
    def work(texts, workers):
        from datatrove.data import Document
        from datatrove.utils.text import PUNCTUATION_SET, split_into_words
        from llm_lab import data_cleaning as lab
        theirs = datatrove_filter(name)
        ours = lab.gopher_quality_filter(words=split_into_words, symbols=frozenset(PUNCTUATION_SET)) if name == 'quality' else lab.gopher_repetition_filter(words=split_into_words)
        reasons = dict(gopher_short_doc='words', gopher_long_doc='words', gopher_below_avg_threshold='mean word length', gopher_above_avg_threshold='mean word length', gopher_too_many_hashes='hashes per word',
                       gopher_too_many_ellipsis='ellipses per word', gopher_too_many_bullets='bullet lines', gopher_too_many_end_ellipsis='lines ending in an ellipsis', gopher_below_alpha_threshold='words with a letter',
                       gopher_enough_stop_words='stop words', dup_para_frac='repeated paragraphs', dup_para_char_frac='characters in repeated paragraphs', dup_line_frac='repeated lines', dup_line_char_frac='characters in repeated lines')
        reasons |= {f'top_{n}_gram': f'most frequent {n}-gram' for n in range(2, 5)} | {f'duplicated_{n}_n_grams': f'repeated {n}-grams' for n in range(5, 11)}
        def compare():
            same = 0
            for i,text in enumerate(texts):
                a,b = theirs.filter(Document(text=text, id=str(i))),ours.judge(text)[1]
                same += (a is True and not b.dropped) or (a is not True and b.dropped and reasons[a[1]] == b.measure)
            return [same, len(texts)]
        return compare
    return work

def our_dedup(texts, workers):
    from datasets import Dataset
    from llm_lab import data_cleaning as lab
    ds = Dataset.from_dict({'text': texts})
    return lambda: len(lab.clean_dataset(ds, [lab.near_deduplication()], num_proc=workers, progress=False)[1].dropped)

def shingles(text):
    words = text.lower().split()
    return {' '.join(words[i:i+5]) for i in range(max(len(words)-4, 1))}

def rensa_dedup(texts, workers):
    from rensa import RMinHash, RMinHashLSH
    def run():
        lsh,kept,gone = RMinHashLSH(threshold=0.8, num_perm=128, num_bands=16),{},0
        for i,text in enumerate(texts):
            m = RMinHash(num_perm=128, seed=0); m.update(list(shingles(text)))
            if any(m.jaccard(kept[j]) >= 0.8 for j in lsh.query(m)): gone += 1        # estimated similarity
            else: lsh.insert(i, m); kept[i] = m
        return gone
    return run

def datasketch_dedup(texts, workers):
    from datasketch import MinHash, MinHashLSH
    def run():
        lsh,gone = MinHashLSH(threshold=0.8, num_perm=128),0
        for i,text in enumerate(texts):
            m = MinHash(num_perm=128); m.update_batch([s.encode() for s in shingles(text)])
            if lsh.query(m): gone += 1                                                # candidates, not verified
            else: lsh.insert(i, m)
        return gone
    return run

def text_dedup(texts, workers):
    import numpy as np
    from text_dedup.minhash import embed_func
    import inspect, re
    from text_dedup.utils import UnionFind
    from text_dedup.utils.hashfunc import xxh3_32hash
    bands,wide = 16,8
    rng = np.random.RandomState(42); prime,top = np.uint64((1 << 61)-1),np.uint64((1 << 32)-1)
    perms = (rng.randint(1, prime, size=(bands*wide,), dtype=np.uint64), rng.randint(0, prime, size=(bands*wide,), dtype=np.uint64))
    known = dict(num_perm=bands*wide, ngram_size=5, min_length=1, hashranges=[(i*wide, (i+1)*wide) for i in range(bands)], permutations=perms, hash_func=xxh3_32hash, dtype=np.uint64, max_hash=top, modulo_prime=prime)
    known = {k: v for k,v in known.items() if k in inspect.signature(embed_func).parameters}
    def run():
        tables,union = [{} for _ in range(bands)],UnionFind()
        for i,text in enumerate(texts):
            for table,key in zip(tables, embed_func(content=text, idx=i, **known)['__signatures__']):
                if key in table: union.union(table[key], i)
                else: table[key] = i
        return sum(union.find(i) != i for i in range(len(texts)))                     # candidates, not verified
    return run

def trove_dedup(texts, workers):
    import contextlib, io
    from datatrove.data import Document
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.utils.logging import logger
    logger.remove()
    def run(texts=texts):
        with tempfile.TemporaryDirectory() as tmp:
            config = MinhashConfig()
            MinhashDedupSignature(output_folder=f'{tmp}/sig', config=config).run((Document(text=t, id=str(i)) for i,t in enumerate(texts)), 0, 1)
            for bucket in range(config.num_buckets): MinhashDedupBuckets(input_folder=f'{tmp}/sig', output_folder=f'{tmp}/buckets', config=config).run(None, bucket, config.num_buckets)
            MinhashDedupCluster(input_folder=f'{tmp}/buckets', output_folder=f'{tmp}/remove', config=config).run(None, 0, 1)
            return sum(p.stat().st_size//4 for p in Path(tmp, 'remove').glob('*'))    # candidates, not verified
    run(texts[:3])                                                        # load spaCy before the clock starts
    return run

WORK = {f'{who}-{name}': make(name) for who,make in (('ours', our_filter), ('bare', our_bare_filter), ('datatrove', trove_filter), ('same', same_decisions)) for name in ('quality', 'repetition')}
WORK |= {'ours-dedup': our_dedup, 'rensa-dedup': rensa_dedup, 'datasketch-dedup': datasketch_dedup, 'text_dedup-dedup': text_dedup, 'datatrove-dedup': trove_dedup}

def worker(name, corpus, mb, n_docs, workers):
    "Run one measurement in this process and print it as JSON."
    sys.path.append(str(root)); sys.path += [p for p in os.environ.get('LLM_LAB_SITE', '').split(os.pathsep) if p]
    texts = read(corpus, mb, n_docs)
    work = WORK[name](texts, workers)
    def cpu(): return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
    start,start_cpu = time.perf_counter(),cpu(); result = work(); wall,used = time.perf_counter()-start,cpu()-start_cpu
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))/1024
    print(json.dumps(dict(wall=wall, cpu=used, result=result, docs=len(texts), mb=sum(len(t.encode()) for t in texts)/1e6, peak_mb=peak)))

def measure(python, name, corpus, mb=None, n_docs=None, workers=1):
    import site
    env = {**os.environ, 'LLM_LAB_SITE': os.pathsep.join(site.getsitepackages())}
    args = [python, __file__, 'worker', name, corpus, str(mb or 0), str(n_docs or 0), str(workers)]
    done = subprocess.run(args, capture_output=True, text=True, env=env)
    if done.returncode: return dict(error=done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else f'exit {done.returncode}')
    return json.loads(done.stdout.strip().splitlines()[-1])

def show(rows, first):
    "A line per tool: median rates by the clock and by processor time, spread, memory, and how many times ours is faster on the same documents."
    for label,runs in rows.items():
        bad = [r['error'] for r in runs if 'error' in r]
        if bad: print(f'  {label:34} failed: {bad[0]}', flush=True); continue
        median = lambda key, runs=runs: statistics.median(r[key] for r in runs)
        walls,r = [x['wall'] for x in runs],runs[0]
        same = label != first and 'error' not in rows[first][0] and rows[first][0]['docs'] == r['docs']
        ratio = f"   ours is {median('wall')/median('wall', rows[first]):.1f} x as fast ({median('cpu')/median('cpu', rows[first]):.1f} x by processor time)" if same else ''
        print(f"  {label:34} {r['docs']/median('wall'):9,.0f} documents/s {r['mb']/median('wall'):7.2f} MB/s ({r['mb']/median('cpu'):.2f} per processor second)   spread {(max(walls)-min(walls))/median('wall'):4.0%}"
              f"   peak {max(x['peak_mb'] for x in runs):6,.0f} MB   result {r['result']}{ratio}", flush=True)

def main():
    if len(sys.argv) > 1 and sys.argv[1] == 'worker':
        name,corpus,mb,n_docs,workers = sys.argv[2:]
        return worker(name, corpus, float(mb) or None, int(n_docs) or None, int(workers))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('what', choices=['filters', 'dedup', 'readers'])
    p.add_argument('--rule', choices=['quality', 'repetition'], default=None, help='only one of the filters')
    p.add_argument('--peers', default=None); p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--mb', type=float, default=50); p.add_argument('--slow_mb', type=float, default=4); p.add_argument('--slow_docs', type=int, default=2000)
    p.add_argument('--corpus', default=str(Path(tempfile.gettempdir())/'llm_lab_cleaning_corpus.parquet'))
    a = p.parse_args()
    sys.path.insert(0, str(root))
    import datasets, numpy, platform, pyarrow
    print(f'{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {numpy.__version__}, datasets {datasets.__version__}, pyarrow {pyarrow.__version__}; load {os.getloadavg()[0]:.1f}')
    if a.peers and not Path(a.peers).exists(): print(f'no interpreter {a.peers}: the other tools are left out'); a.peers = None
    if a.peers:
        code = 'import importlib.metadata as m; print(", ".join(f"{n} {m.version(n)}" for n in ("datatrove", "datasketch", "rensa", "text-dedup", "spacy")))'
        print('peers:', subprocess.run([a.peers, '-c', code], capture_output=True, text=True).stdout.strip())
    ours = sys.executable
    if a.what == 'readers': return readers()
    if not Path(a.corpus).exists(): build_corpus(a.corpus, a.mb)
    texts = read(a.corpus); print(f'corpus: {len(texts):,} documents, {sum(len(t.encode()) for t in texts)/1e6:.1f} MB'); del texts
    if a.what == 'filters':
        for name in [a.rule] if a.rule else ['quality', 'repetition']:
            print(f'Gopher {name}')
            rows = {}
            for _ in range(max(a.rounds-1, 1)):                          # interleaved: every tool once per round
                for label,python,work,size,workers in [('ours, all, 1 worker', ours, 'ours', None, 1), ('ours, all, 2 workers', ours, 'ours', None, 2), ('ours, rule alone, all', ours, 'bare', None, 1)]:
                    rows.setdefault(label, []).append(measure(python, f'{work}-{name}', a.corpus, size, None, workers))
            show(rows, 'ours, all, 1 worker')
            if not a.peers: continue
            for workers in (1, 2):
                rows = {}
                for _ in range(a.rounds):
                    rows.setdefault(f'ours, first {a.slow_mb:g} MB, {workers} worker', []).append(measure(ours, f'ours-{name}', a.corpus, a.slow_mb, None, workers))
                    rows.setdefault(f'datatrove, the same, {workers} worker', []).append(measure(a.peers, f'datatrove-{name}', a.corpus, a.slow_mb, None, workers))
                show(rows, next(iter(rows)))
            same = measure(a.peers, f'same-{name}', a.corpus, a.slow_mb)
            print(f"  with datatrove's words: {same['result'][0]:,} of {same['result'][1]:,} documents get the same decision for the same reason" if 'result' in same else f'  {same}')
    else:
        for n_docs,tools,workers in [(None, ['rensa', 'datasketch'], 1), (None, [], 2), (a.slow_docs, ['text_dedup', 'datatrove'], 1)]:
            rows = {}
            for _ in range(a.rounds if n_docs else max(a.rounds-1, 1)):
                rows.setdefault(f'ours, {n_docs or "all"} documents, {workers} worker', []).append(measure(ours, 'ours-dedup', a.corpus, None, n_docs, workers))
                for tool in tools if a.peers else []: rows.setdefault(tool, []).append(measure(a.peers, f'{tool}-dedup', a.corpus, None, n_docs, workers))
            show(rows, next(iter(rows)))

def write_formats(folder, mb):
    "The same documents as JSON lines, CSV and Parquet."
    from datasets import Dataset
    from llm_lab.documents import python_docs, python_docs
    texts,size = [],0
    docs = python_docs()['text'][:]
    for i in range(10**9):
        text = f'copy {i//len(docs)}: ' + docs[i%len(docs)]
        texts.append(text); size += len(text.encode())
        if size >= mb*1e6: break
    ds = Dataset.from_dict({'text': texts, 'id': list(range(len(texts)))})
    ds.to_json(f'{folder}/docs.jsonl', force_ascii=False); ds.to_csv(f'{folder}/docs.csv', index=False); ds.to_parquet(f'{folder}/docs.parquet')
    return len(texts)

def read_ours(path):
    from llm_lab.reading import read_with_ledger
    ds,ledger = read_with_ledger(path, progress=False)
    assert ledger.check().kept == len(ds)
    return ds

def read_theirs(path):
    from datasets import load_dataset
    with tempfile.TemporaryDirectory() as cache:                          # nothing is found in a cache: both read the file
        return load_dataset({'.jsonl': 'json', '.csv': 'csv', '.parquet': 'parquet'}[Path(path).suffix], data_files=path, split='train', cache_dir=cache)

def reading(mb=50, repeats=5):
    "Text from a file to a dataset that is mapped from disk: ours with its ledger, and the loader of `datasets`."
    import datasets; datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        n = write_formats(folder, mb)
        for kind in ('jsonl', 'csv', 'parquet'):
            path,times = f'{folder}/docs.{kind}',{read_ours: [], read_theirs: []}
            for _ in range(repeats):
                for work in times:
                    start = time.process_time(); ds = work(path); times[work].append(time.process_time()-start)
                    assert len(ds) == n
            ours,theirs = (statistics.median(t) for t in times.values())
            print(f'{kind:8} {n:,} documents, {mb} MB: {mb/ours:6.1f} MB/s with the ledger, load_dataset {mb/theirs:6.1f} MB/s, ratio {theirs/ours:.2f} (processor time, medians of {repeats}, interleaved)')

def readers():
    from llm_lab import data_cleaning as lab
    reading()
    start = time.perf_counter(); docs = lab.python_docs(); read_s = time.perf_counter()-start
    mb = sum(map(len, lab.column(docs, 'text')))/1e6
    print(f'python_docs: {len(docs):,} documents, {mb:.1f} million characters in {read_s:.1f} s')
    start = time.perf_counter(); out,ledger = lab.clean_dataset(docs, progress=False); clean_s = time.perf_counter()-start
    for step in ledger.funnel(): print(f"  {step['rule']:22} {step['wall_s']:5.2f} s {mb/step['wall_s']:7.1f} million characters/s   left {step['left']:,}")
    print(f'default rules: {clean_s:.1f} s; kept {len(out):,} documents, {sum(map(len, lab.column(out, "text")))/1e6:.1f} million characters; peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024:,.0f} MB')

if __name__ == '__main__': main()
