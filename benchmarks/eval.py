"""Scores beside the tools they replace, in one process, interleaved: python benchmarks/eval.py [rouge bootstrap perplexity] [--data DIR] [--tokens 100000] [--threads 2]

Needs no network. CNN/DailyMail pairs are read from DIR (or LLM_LAB_DATA) and left out, saying so, when it is not there.
"""
import argparse, json, math, os, platform, random, re, statistics, time
from pathlib import Path
import numpy as np

def timed(f):
    t = time.perf_counter(); out = f(); return time.perf_counter() - t, out

def interleave(ours, theirs, repeats):
    "Seconds of both, alternating, and their last results."
    a,b = [],[]
    for i in range(repeats):
        for f,ts in ((ours, a), (theirs, b)) if i % 2 == 0 else ((theirs, b), (ours, a)):
            t,out = timed(f); ts.append(t)
            if f is ours: x = out
            else: y = out
    return a, b, x, y

def line(name, ours, theirs, unit=None, n=None):
    "Medians, spread and ratio; the ratio is the median of the pairs' ratios."
    r = [t/o for o,t in zip(ours, theirs)]; show = (lambda s: f'{n/s:,.0f} {unit}/s') if n else (lambda s: f'{s:.3f} s')
    print(f'{name}: ours {show(statistics.median(ours))}, theirs {show(statistics.median(theirs))}; ours/theirs time {statistics.median(o/t for o,t in zip(ours, theirs)):.3f}, '
          f'speed-up {statistics.median(r):.2f}x (spread {min(r):.2f} to {max(r):.2f} over {len(r)})', flush=True)

def sentences(text, low=40, high=200):
    return [s.strip() for s in re.split(r'(?<=[.!?])\s+', text) if low <= len(s.strip()) <= high]

def bench_rouge(args):
    from rouge_score.rouge_scorer import RougeScorer
    from llm_lab.text_metrics import ROUGE_TYPES, compute_rouge_scores, rouge_per_example
    sets = {}
    path = Path(args.data or '.')/'tasks/cnn_dailymail/validation-300.jsonl'
    if args.data and path.exists():
        rows = [json.loads(l) for l in path.open(encoding='utf-8')]
        sets['ROUGE, 300 CNN/DailyMail pairs (lead-3 against highlights)'] = (['\n'.join(sentences(r['article'], 1, 10**6)[:3]) for r in rows], [r['highlights'] for r in rows])
    else: print('CNN/DailyMail left out: no --data and no LLM_LAB_DATA')
    from pydoc_data.topics import topics
    pool = [s for t in topics.values() for s in sentences(re.sub(r'\s+', ' ', t))]; rng = random.Random(0)
    def near(s): w = s.split(); return ' '.join(rng.sample(w, len(w)) if rng.random() < .2 else [x for x in w if rng.random() > .3] or w)
    refs = [rng.choice(pool) for _ in range(10_000)]; sets['ROUGE, 10,000 short pairs (a sentence and a damaged copy)'] = ([near(r) for r in refs], refs)
    for name,(preds,refs) in sets.items():
        def theirs():
            scorer = RougeScorer(list(ROUGE_TYPES), use_stemmer=True)
            return [scorer.score(r, p) for p,r in zip(preds, refs)]
        a,b,_,want = interleave(lambda: compute_rouge_scores(preds, refs), theirs, args.repeats)
        want = np.array([[s[t] for t in ROUGE_TYPES] for s in want]); got = rouge_per_example(preds, refs)
        line(name + ', rouge1/2/L/Lsum with stemmer, ours with 1,000 bootstrap resamples', a, b, 'pairs', len(refs))
        print(f'  all {want.size:,} scores equal to the last digit: {np.array_equal(got, want)}')

def bench_bootstrap(args):
    from llm_lab.uncertainty import bootstrap
    from rouge_score.scoring import BootstrapAggregator, Score
    x = np.random.default_rng(0).random(10_000); agg = BootstrapAggregator(n_samples=1000); agg.add_scores({'x': Score(0., 0., 0.)})
    rows = np.stack([x]*3, 1)
    a,b,_,_ = interleave(lambda: bootstrap(x), lambda: agg._bootstrap_resample(rows), args.repeats)
    line('bootstrap, 1,000 resamples of 10,000 examples, beside rouge-score\'s aggregator (three columns)', a, b)

def usual_loop(model, ids, block, stride):
    "The loop of the transformers guide to perplexity, each window weighed by the tokens it scored."
    import torch
    nll,n,done = 0.,0,0
    for begin in range(0, ids.size(1), stride):
        end = min(begin + block, ids.size(1)); new = end - done
        x = ids[:, begin:end]; target = x.clone(); target[:, :-new] = -100
        with torch.no_grad(): loss = model(x, labels=target).loss
        k = int((target[:, 1:] != -100).sum())
        nll += loss.item()*k; n += k; done = end
        if end == ids.size(1): break
    return nll, n

def bench_perplexity(args):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel
    from llm_lab.eval import perplexity
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config()).eval(); block = 1024
    ids = torch.randint(0, 50257, (1, args.tokens)); part = block*args.windows
    a,b,ours,theirs,skipped = [],[],[0.,0],[0.,0],0
    usual_loop(model, ids[:, :64], block, block); perplexity(model, [ids[0, :64].numpy()], stride=block)                # warm-up
    for i,begin in enumerate(range(0, ids.size(1), part)):
        piece = ids[:, begin:begin+part]
        def mine():
            p = perplexity(model, [piece[0].numpy()], stride=block, batch_size=args.batch); ours[0] += p.loss*p.n_tokens; ours[1] += p.n_tokens
        def loop():
            nll,n = usual_loop(model, piece, block, block); theirs[0] += nll; theirs[1] += n
        for f,ts in ((mine, a), (loop, b)) if i % 2 == 0 else ((loop, b), (mine, a)): ts.append(timed(f)[0])
        print(f'  piece {i}: ours {a[-1]:.2f} s, theirs {b[-1]:.2f} s', flush=True)
    line(f'perplexity of a 124M GPT-2 shape over {ids.size(1):,} tokens, fp32, stride = context = {block}, pieces of {part:,} tokens', a, b)
    print(f'  in all: ours {sum(a):.1f} s, theirs {sum(b):.1f} s, ratio {sum(a)/sum(b):.3f}; loss ours {ours[0]/ours[1]:.7f} over {ours[1]:,} tokens, theirs {theirs[0]/theirs[1]:.7f} over {theirs[1]:,}')

if __name__ == '__main__':
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('what', nargs='*', default=['rouge', 'bootstrap', 'perplexity']); ap.add_argument('--data', default=os.environ.get('LLM_LAB_DATA'))
    ap.add_argument('--tokens', type=int, default=100_000); ap.add_argument('--windows', type=int, default=2, help='windows per timed piece'); ap.add_argument('--batch', type=int, default=1)
    ap.add_argument('--threads', type=int, default=2); ap.add_argument('--repeats', type=int, default=5)
    args = ap.parse_args()
    import torch, transformers, importlib.metadata as md
    torch.set_num_threads(args.threads)
    print(f"{platform.machine()}, {os.cpu_count()} cores, {args.threads} threads, Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, rouge-score {md.version('rouge-score')}")
    for w in args.what: {'rouge': bench_rouge, 'bootstrap': bench_bootstrap, 'perplexity': bench_perplexity}[w](args)
