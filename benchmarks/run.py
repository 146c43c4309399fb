"""What `llm-lab run` makes of texts of many kinds, beside opponents that may read the same training text.

    python benchmarks/run.py [--minutes 5] [--seeds 2] [--texts python-docs,shakespeare,…|FILE|FOLDER] [--out FOLDER] [--no-nanogpt] [--table]

One line a text: bits per byte on the held-out documents of the run's own split, on all of them and on those that share no 13 words in a row with the
training text, of

  run      the model, by its plan
  pairs    token pairs, at the best of three vocabularies (512, 1024, 2048 entries)
  xz+      xz -9 after the training text, its window as large as both
  PPMd+    PPMd after the training text, contexts of 6 and of 12 bytes, the better one (needs pyppmd)
  nanoGPT  its README's recipe for CPUs (characters, 4 layers, 128 wide, rows of 64, batches of 12), for as much processor time as the run trained

Texts that every installation has: `python-docs` (what `run` reads without an input), `licences`, `man` (pages of section 1), `source` (Python's own modules).
`shakespeare`, `stories`, `wikitext` come from LLM_LAB_DATA; any other word is a file or a folder.
A run is planned in steps, so a busy machine stretches the clock and leaves the result alone; `cpu s` is what the run's process used.
Runs lie in --out and are not repeated; --table only prints what is there. The last line is one JSON object.
"""
import argparse, gzip, json, os, platform, re, statistics, subprocess, sys, sysconfig, time
from pathlib import Path

VOCABS = (512, 1024, 2048)
WANTED = 1_500_000           # bytes of a text that is put together here
DATA = Path(os.environ.get('LLM_LAB_DATA', 'shared/data'))/'text'
KNOWN = dict(shakespeare='tinyshakespeare.txt', stories='tinystories-650.txt', wikitext='wikitext-2-raw.valid.txt')
DEFAULT = 'python-docs,shakespeare,stories,wikitext,licences,man,source'

# ---- texts

def evenly(files, wanted):
    "Files from the whole list that hold about so many bytes."
    sizes = [f.stat().st_size for f in files]
    keep = min(1, wanted/max(1, sum(sizes)))
    return [f for i,f in enumerate(files) if int((i + 1)*keep) > int(i*keep)]

def licences():
    "Licence texts of Debian and of the packages beside this Python, each text once."
    site = Path(sysconfig.get_path('purelib'))
    found = sorted(Path('/usr/share/common-licenses').glob('*')) + sorted(site.glob('*.dist-info/**/LICEN[SC]E*'))
    texts = [f.read_text(errors='replace') for f in found if f.is_file()]
    return list(dict.fromkeys(texts))

def man():
    "Manual pages as they are stored, without the lines that only lay them out."
    pages = evenly(sorted(Path('/usr/share/man/man1').glob('*.gz')), WANTED//3)       # packed to a third
    texts = [gzip.open(f, 'rt', errors='replace').read() for f in pages if not f.is_symlink()]
    return [re.sub(r'(?m)^[.\'\\].*\n?', '', t) for t in texts]

def source():
    "Modules of Python's standard library."
    files = sorted(Path(sysconfig.get_path('stdlib')).glob('*.py'))
    return [f.read_text(errors='replace') for f in evenly(files, WANTED)]

def place(name, folder):
    "The file or folder of a text; None is what `run` reads by itself."
    if name == 'python-docs': return None
    if name in KNOWN: return DATA/KNOWN[name]
    made = dict(licences=licences, man=man, source=source)
    if name not in made: return Path(name)
    target = folder/'texts'/name
    if not target.exists():
        target.mkdir(parents=True)
        for i,text in enumerate(made[name]()): (target/f'{i:04}.txt').write_text(text)
    return target

# ---- one run, in a process of its own

def settings_of(text, minutes, seed):
    "What a run is asked for: nothing but these."
    from llm_lab.plan import RunSettings
    return RunSettings(input=None if text is None else str(text), minutes=minutes, seed=seed)

def run_one(text, minutes, seed, folder, name):
    "The report of a run, with the processor seconds it took."
    from llm_lab.run import run_lab
    report = run_lab(settings_of(text, minutes, seed), name, str(folder), progress=False, show=lambda line: print(line, flush=True))
    note = folder/name/'processor.json'
    if not note.exists(): note.write_text(json.dumps(sum(os.times()[:4])))
    return report

# ---- opponents on the run's own split

def token_pairs(train, held, places):
    "Bits per byte of token pairs on some held-out documents, at the best vocabulary."
    from llm_lab.opponents import TokenCounts
    from llm_lab.tokenizer import train_bpe
    n_bytes = [sum(len(held[i].encode()) for i in at) for at in places]
    found = []
    for size in VOCABS:
        tok = train_bpe(train, size)
        counts = TokenCounts([t.tolist() for t in tok.encode_batch(train, as_arrays=True)], tok.vocab_size)
        bits = counts.bits([t.tolist() for t in tok.encode_batch(held, as_arrays=True)])['bigram']
        found.append([float(bits[at].sum()/n) for at,n in zip(places, n_bytes)])
    return [min(values) for values in zip(*found)]

def packers(train, held, places):
    "xz and PPMd, each after the training text."
    from llm_lab.opponents import _xz_len, has_ppmd
    before = ''.join(train).encode()
    alone = _xz_len(before)
    out = []
    for at in places:
        data = ''.join(held[i] for i in at).encode()
        row = {'xz+': 8*(_xz_len(before + data) - alone)/len(data)}
        if has_ppmd(): row['PPMd+'] = min(8*(ppmd(before + data, order) - ppmd(before, order))/len(data) for order in (6, 12))
        out.append(row)
    return out

def ppmd(data, order):
    "Bytes that PPMd needs."
    import pyppmd
    packer = pyppmd.Ppmd7Encoder(order, 512 << 20)
    return len(packer.encode(data)) + len(packer.flush(endmark=False))

def nanogpt(train, held, places, cpu_s):
    "nanoGPT's recipe for CPUs, on one stream of characters, for so many processor seconds."
    import math, numpy as np, torch
    from llm_lab.gpt_model import GPT, GPTConfig
    torch.manual_seed(1337)
    text = '\n\n'.join(train)
    chars = {c: i for i,c in enumerate(sorted(set(text + ''.join(held))))}                # as its prepare.py: of all the text
    ids = torch.tensor([chars[c] for c in text])
    model = GPT(GPTConfig(arch='gpt2', vocab_size=len(chars), block_size=64, n_layer=4, n_head=4, n_embd=128, batch_size=12, dropout=0.))
    decays = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW([dict(params=decays, weight_decay=0.1), dict(params=others, weight_decay=0.)], lr=1e-3, betas=(0.9, 0.99))
    def step(rate):
        for group in optimizer.param_groups: group['lr'] = rate
        at = torch.randint(len(ids) - 65, (12, 1)) + torch.arange(65)
        rows = ids[at]
        loss = torch.nn.functional.cross_entropy(model(rows[:, :-1])[0].flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
        optimizer.step()
    def seconds(): return sum(os.times()[:2])
    start = seconds()
    for _ in range(50): step(1e-5)                                                        # how long a step takes
    n_steps = max(100, int(50*cpu_s/(seconds() - start)))
    for i in range(n_steps):
        step((i + 1)/100*1e-3 if i < 100 else 1e-4 + 4.5e-4*(1 + math.cos(math.pi*(i - 100)/max(1, n_steps - 100))))
    model.eval()
    bits = np.array([char_bits(model, chars, t) for t in held])
    sizes = np.array([len(t.encode()) for t in held])
    return [float(bits[at].sum()/sizes[at].sum()) for at in places], n_steps

def char_bits(model, chars, text):
    "What one document costs a character model, each character seen behind at least 32 others."
    import math, torch
    import torch.nn.functional as F
    ids = torch.tensor([chars['\n'], chars['\n']] + [chars[c] for c in text])
    total = 0.
    with torch.no_grad():
        for start in range(0, max(1, len(ids) - 2), 32):
            window = ids[max(0, start - 32):start + 34]                                   # the last 32 of it are counted
            n = len(window) - 1
            logp = F.log_softmax(model(window[None, :-1])[0][0].float(), -1)
            fresh = n if start == 0 else n - 32
            if start == 0: fresh = n - 1
            total -= logp[torch.arange(n), window[1:]][n - fresh:].sum().item()
    return total/math.log(2)

# ---- the table

def measure(text, minutes, seed, folder, name, with_nanogpt):
    "A run, its opponents and what they need: one row."
    from llm_lab.opponents import clean_documents
    from llm_lab.run import Run, share, splits
    report = run_one(text, minutes, seed, folder, name)
    run = Run(settings_of(text, minutes, seed), name, str(folder))
    train,held = splits(run)
    train,held = share(train, 20_000_000)['text'][:],share(held, 1_000_000)['text'][:]    # as the run scores
    clean = clean_documents(held, train)
    places = [list(range(len(held)))] + ([clean] if clean else [])
    row = dict(text=name.rsplit('-', 1)[0], seed=seed, minutes=minutes, train_bytes=sum(len(t.encode()) for t in train),
               clean_documents=len(clean), documents=len(held), plan=report['plan'], wall_s=report['wall_s'],
               cpu_s=json.loads((folder/name/'processor.json').read_text()), last_step=report['training']['history'][-1]['step'])
    steps = {s['name']: s['wall_s'] for s in report['steps']}
    row['train_cpu_s'] = row['cpu_s']*steps['train']/sum(steps.values())
    pairs,packed = token_pairs(train, held, places),packers(train, held, places)
    peer,n_steps = nanogpt(train, held, places, row['train_cpu_s']) if with_nanogpt else ([None]*len(places), None)
    for i,part in enumerate(('all', 'clean')[:len(places)]):
        row[part] = dict(run=report['heldout']['parts'][part]['bits_per_byte']['model'], pairs=pairs[i], **packed[i])
        if peer[i] is not None: row[part]['nanoGPT'] = peer[i]
    return dict(row, nanogpt_steps=n_steps)

def median_rows(rows):
    "One line a text and part: medians over the seeds."
    texts = list(dict.fromkeys(r['text'] for r in rows))
    for text in texts:
        of_text = [r for r in rows if r['text'] == text]
        for part in ('clean', 'all'):
            values = [r[part] for r in of_text if part in r]
            if not values: continue
            names = [n for n in values[0] if all(n in v for v in values)]
            yield text, part, len(values), of_text[0], {n: statistics.median(v[n] for v in values) for n in names}

def say(rows):
    "The table."
    print(f'{"text":12} {"part":5} {"MB":>5} {"n":>1} {"run":>6} {"pairs":>6} {"xz+":>6} {"PPMd+":>6} {"nanoGPT":>7} {"of best":>7} {"of xz+":>6}  {"cpu s":>6}  plan')
    for text,part,n,row,v in median_rows(rows):
        best = min(v[k] for k in ('pairs', 'xz+', 'PPMd+') if k in v)
        shown = ' '.join(f'{v[k]:6.3f}' if k in v else f'{"–":>6}' for k in ('run', 'pairs', 'xz+', 'PPMd+')) + (f' {v["nanoGPT"]:7.3f}' if 'nanoGPT' in v else f' {"–":>7}')
        p = row['plan']
        print(f'{text:12} {part:5} {row["train_bytes"]/1e6:5.2f} {n} {shown} {v["run"]/best:7.3f} {v["run"]/v["xz+"]:6.3f}  {row["cpu_s"]:6.0f}  '
              f'V{p["vocab_size"]} {p["n_layer"]}x{p["n_embd"]} dropout {p["dropout"]:g}, {row["last_step"]}/{p["train_steps"]} steps, {p["passes"]:.1f} passes')

def main():
    parse = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parse.add_argument('--minutes', type=float, default=5)
    parse.add_argument('--seeds', type=int, default=2)
    parse.add_argument('--texts', default=DEFAULT)
    parse.add_argument('--out', type=Path, default=Path('runs/benchmark'))
    parse.add_argument('--no-nanogpt', action='store_true')
    parse.add_argument('--table', action='store_true')
    parse.add_argument('--one', nargs=3, metavar=('TEXT', 'SEED', 'NAME'), help=argparse.SUPPRESS)
    a = parse.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    if a.one:
        text,seed,name = a.one
        row = measure(place(text, a.out), a.minutes, int(seed), a.out, name, not a.no_nanogpt)
        return (a.out/f'{name}.json').write_text(json.dumps(row))
    for seed in range(0 if a.table else a.seeds):
        for text in a.texts.split(','):
            name = f'{Path(text).stem}-{seed}'
            if (a.out/f'{name}.json').exists(): continue
            flags = ['--minutes', str(a.minutes), '--out', str(a.out), *(['--no-nanogpt'] if a.no_nanogpt else [])]
            subprocess.run([sys.executable, __file__, *flags, '--one', text, str(seed), name], check=True)
            say([json.loads((a.out/f'{name}.json').read_text())])
    rows = [json.loads(f.read_text()) for f in sorted(a.out.glob('*-[0-9]*.json'))]
    say(rows)
    print(json.dumps(dict(machine=f'{platform.machine()}, {os.cpu_count()} cores', minutes=a.minutes, rows=rows)))

if __name__ == '__main__': main()
