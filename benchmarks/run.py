"""What `llm-lab run` makes of texts of many kinds, beside opponents that may read the same training text.

    python benchmarks/run.py [--minutes 5] [--speed S] [--seeds 2] [--texts python-docs,shakespeare,…|FILE|FOLDER] [--out FOLDER] [--sides run,opponents,nanogpt] [--table]

One line a text: bits per byte on the held-out documents of the run's own split, on all of them and on those that share no 13 words in a row with the
training text, of

  run      the model, by its plan
  pairs    token pairs, at the best of three vocabularies (512, 1024, 2048 entries)
  xz+      xz -9 after the training text, its window as large as both
  PPMd+    PPMd after the training text, contexts of 6 and of 12 bytes, the better one (needs pyppmd)
  nanoGPT  its README's recipe for CPUs (characters, 4 layers, 128 wide, rows of 64, batches of 12), for the time that the run's plan has for training

Texts that every installation has: `python-docs` (what `run` reads without an input), `licences`, `man` (pages of section 1), `source` (Python's own modules).
`shakespeare`, `stories`, `wikitext` come from LLM_LAB_DATA; any other word is a file or a folder.
Everything is counted in steps, so a busy machine stretches the clock and leaves the result alone: a run's come from its plan, for a machine of --speed
(left out: measured, once for all texts), nanoGPT's from the time of one of its steps beside one of the run's, measured in turn.
One file a text, side and seed lies in --out; what is there is not done again, and a run that was killed goes on. --table only prints what there is.
The last line is one JSON object.
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

# ---- the three sides: each gives plain numbers

def settings_of(text, a, seed):
    "What a run is asked for: nothing but these."
    from llm_lab.plan import RunSettings
    return RunSettings(input=None if text is None else str(text), minutes=a.minutes, seed=seed, speed=a.speed)

def the_run(run):
    "The run itself."
    from llm_lab.run import run_lab
    before = sum(os.times()[:4])
    report = run_lab(run.settings, run.name, str(run.path.parent), progress=False, show=lambda line: print(line, flush=True))
    steps = {s['name']: s['wall_s'] for s in report['steps']}
    return dict(parts={k: dict(run=v['bits_per_byte']['model'], interval=v['interval'], documents=v['documents'], bytes=v['bytes'])
                       for k,v in report['heldout']['parts'].items()},
                train_bytes=report['heldout']['train_bytes'], plan=report['plan'], wall_s=report['wall_s'], steps=steps, verdict=report['heldout']['verdict'],
                last_step=report['training']['history'][-1]['step'], best_step=report['training']['best_step'],
                cpu_s=sum(os.times()[:4]) - before if report['attempts'] == 1 else None)

def documents(run):
    "Texts to learn from, held-out ones, and the places of the parts that are scored, as the run has them."
    from llm_lab.opponents import clean_documents
    from llm_lab.run import share, splits
    train,held = splits(run)
    train,held = share(train, 20_000_000)['text'][:],share(held, 1_000_000)['text'][:]
    clean = clean_documents(held, train)
    return train, held, {'all': list(range(len(held)))} | ({'clean': clean} if clean else {})

def the_opponents(run):
    "Token pairs and packers."
    train,held,places = documents(run)
    pairs,packed = token_pairs(train, held, places.values()),packers(train, held, places.values())
    return dict(parts={k: dict(pairs=pairs[i], **packed[i]) for i,k in enumerate(places)})

def the_nanogpt(run):
    "nanoGPT's recipe, for as long."
    train,held,places = documents(run)
    values,n_steps,ratio = nanogpt(train, held, places.values(), run)
    return dict(parts={k: dict(nanoGPT=values[i]) for i,k in enumerate(places)}, nanogpt_steps=n_steps, step_ratio=ratio)

SIDES = dict(run=the_run, opponents=the_opponents, nanogpt=the_nanogpt)

# ---- opponents on the run's own split

def token_pairs(train, held, places):
    "Bits per byte of token pairs on some held-out documents, at the best vocabulary."
    places = list(places)
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
    packer = pyppmd.Ppmd7Encoder(order, 400 << 20)
    return len(packer.encode(data)) + len(packer.flush(endmark=False))

def nanogpt(train, held, places, run):
    "nanoGPT's recipe for CPUs, on one stream of characters, for as long as the plan of a run trains."
    import math, numpy as np, torch
    from llm_lab.batches import GPTDataLoader
    from llm_lab.gpt_model import GPT, GPTConfig
    from llm_lab.run import model_config, tokenizer_of
    from llm_lab.training import train_step
    torch.manual_seed(1337 + run.settings.seed)
    text = '\n\n'.join(train)
    chars = {c: i for i,c in enumerate(sorted(set('\n' + text + ''.join(held))))}         # as its prepare.py: of all the text
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
    tok = tokenizer_of(run)
    config = model_config(run.plan, tok.vocab_size)
    loader = GPTDataLoader.from_folder(config, run.path/'data', tok)
    peer = GPT(config, tok).train()
    mover = peer.configure_optimizer()
    def seconds(do):
        start = time.process_time()
        do()
        return time.process_time() - start
    rounds = [(seconds(lambda: train_step(peer, mover, [loader.get_batch('train', i)])), seconds(lambda: [step(1e-5) for _ in range(4)])/4) for i in range(14)][2:]
    ratio = statistics.median(ours/theirs for ours,theirs in rounds)                      # one of ours, in steps of nanoGPT
    n_steps = max(100, int(ratio*run.plan.train_steps))
    del peer, mover, loader
    print(f'nanoGPT: {n_steps} steps, {ratio:.2f} for each of {run.plan.train_steps}', flush=True)
    for i in range(n_steps):
        step((i + 1)/100*1e-3 if i < 100 else 1e-4 + 4.5e-4*(1 + math.cos(math.pi*(i - 100)/max(1, n_steps - 100))))
    model.eval()
    bits = np.array([char_bits(model, chars, t) for t in held])
    sizes = np.array([len(t.encode()) for t in held])
    return [float(bits[at].sum()/sizes[at].sum()) for at in places], n_steps, ratio

def char_bits(model, chars, text):
    "What one document costs a character model, each character behind at least 32 others."
    import math, torch
    import torch.nn.functional as F
    ids = torch.tensor([chars['\n'], chars['\n']] + [chars[c] for c in text])
    total = 0.
    with torch.no_grad():
        for start in range(0, max(1, len(ids) - 2), 32):
            window = ids[max(0, start - 31):start + 34]                                   # 64 that are read, the last 32 of them are counted
            n = len(window) - 1
            logp = F.log_softmax(model(window[None, :-1])[0][0].float(), -1)
            fresh = n if start == 0 else n - 32
            if start == 0: fresh = n - 1
            total -= logp[torch.arange(n), window[1:]][n - fresh:].sum().item()
    return total/math.log(2)

# ---- the table

def rows_of(folder):
    "What lies there: one row a text and seed, its sides put together."
    rows = {}
    for file in sorted(folder.glob('*.json')):
        found = json.loads(file.read_text())
        row = rows.setdefault((found['text'], found['minutes'], found['seed']), {})
        parts = row.get('parts', {})
        for k,v in found.pop('parts').items(): parts.setdefault(k, {}).update(v)
        row.update(found, parts=parts)
    return [r for r in rows.values() if 'plan' in r]

def median_rows(rows):
    "One line a text and part: medians over the seeds."
    for text,minutes in dict.fromkeys((r['text'], r['minutes']) for r in rows):
        of_text = [r for r in rows if (r['text'], r['minutes']) == (text, minutes)]
        for part in ('clean', 'all'):
            values = [r['parts'][part] for r in of_text if part in r['parts']]
            names = [n for n in ('run', 'pairs', 'xz+', 'PPMd+', 'nanoGPT') if any(n in v for v in values)]
            if values: yield text, minutes, part, len(values), of_text[0], {n: statistics.median(v[n] for v in values if n in v) for n in names}

def say(rows):
    "The table."
    print(f'{"text":12} {"min":>3} {"part":5} {"MB":>5} {"n":>1} {"run":>6} {"pairs":>6} {"xz+":>6} {"PPMd+":>6} {"nanoGPT":>7} {"of best":>7} {"of xz+":>6}  plan')
    for text,minutes,part,n,row,v in median_rows(rows):
        shown = ' '.join(f'{v[k]:{w}.3f}' if k in v else f'{"–":>{w}}' for k,w in (('run', 6), ('pairs', 6), ('xz+', 6), ('PPMd+', 6), ('nanoGPT', 7)))
        others = [v[k] for k in ('pairs', 'xz+', 'PPMd+') if k in v]
        ratios = f'{v["run"]/min(others):7.3f} {v["run"]/v["xz+"]:6.3f}' if others else f'{"–":>7} {"–":>6}'
        p = row['plan']
        print(f'{text:12} {minutes:3g} {part:5} {row["train_bytes"]/1e6:5.2f} {n} {shown} {ratios}  '
              f'speed {p["speed"]:g}, V{p["vocab_size"]} {p["n_layer"]}x{p["n_embd"]} dropout {p["dropout"]:g}/{p["merge_dropout"]:g}, '
              f'step {row["best_step"]} of {row["last_step"]} of {p["train_steps"]}, {p["passes"]:.1f} passes', flush=True)

def do_side(a, text, seed, side):
    "One text, side and seed, into its file."
    from llm_lab.run import Run
    name = f'{Path(text).stem}-{a.minutes:g}-{seed}'
    run = Run(settings_of(place(text, a.out), a, seed), name, str(a.out/'runs'))
    found = dict(text=Path(text).stem, minutes=a.minutes, seed=seed, side=side, **SIDES[side](run))
    part = a.out/f'{name}.{side}.part'
    part.write_text(json.dumps(found))
    os.replace(part, a.out/f'{name}.{side}.json')

def the_speed(a):
    "That of this machine, measured once and kept in --out."
    note = a.out/'speed.txt'
    if a.speed: return a.speed
    if not note.exists():
        from llm_lab.plan import measure_speed
        note.write_text(str(measure_speed()))
    return float(note.read_text())

def main():
    parse = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parse.add_argument('--minutes', type=float, default=5)
    parse.add_argument('--speed', type=float, help='of the machine that the runs are planned for; left out: of this one')
    parse.add_argument('--seeds', default='2', help='how many, or which: 0,1')
    parse.add_argument('--texts', default=DEFAULT)
    parse.add_argument('--out', type=Path, default=Path('runs/benchmark'))
    parse.add_argument('--sides', default='run,opponents,nanogpt')
    parse.add_argument('--table', action='store_true')
    parse.add_argument('--one', nargs=3, metavar=('TEXT', 'SEED', 'SIDE'), help=argparse.SUPPRESS)
    a = parse.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    a.speed = the_speed(a)
    if a.one: return do_side(a, a.one[0], int(a.one[1]), a.one[2])
    seeds = range(int(a.seeds)) if ',' not in a.seeds else map(int, a.seeds.split(','))
    groups = [[s for s in a.sides.split(',') if s != 'nanogpt'], ['nanogpt'] if 'nanogpt' in a.sides else []]
    work = [(text, seed, side) for seed in seeds for sides in groups for text in a.texts.split(',') for side in sides]
    for text,seed,side in [] if a.table else work:
        if (a.out/f'{Path(text).stem}-{a.minutes:g}-{seed}.{side}.json').exists(): continue
        print(f'---- {text}, seed {seed}, {side}: {time.strftime("%H:%M:%S")}', flush=True)
        command = [sys.executable, __file__, '--minutes', str(a.minutes), '--speed', str(a.speed), '--out', str(a.out), '--one', text, str(seed), side]
        done = subprocess.run(command)
        if done.returncode: print(f'---- {text}, seed {seed}, {side}: failed with {done.returncode}, left for the next call', flush=True)
        else: say([r for r in rows_of(a.out) if r['text'] == Path(text).stem])
    rows = rows_of(a.out)
    say(rows)
    print(json.dumps(dict(machine=f'{platform.machine()}, {os.cpu_count()} cores', rows=rows)))

if __name__ == '__main__': main()
