"""The headline of a finished run a second way, with nothing of llm_lab: python benchmarks/headline.py runs/NAME

Which held-out documents are clean (sets of 13 words), what xz needs (the program xz, cold and after the training text), and bits per byte of the model
(transformers on the checkpoint, window by window). Prints what it finds beside what report.json says; exits 1 where a number differs.
"""
import argparse, json, math, os, re, subprocess, sys, tempfile
from pathlib import Path
import numpy as np, pyarrow.parquet as pq, torch

def split(run):
    "Texts to learn from and texts held out, as the run noted them."
    texts = pq.read_table(run/'data/cleaned.parquet')['text'].to_pylist()
    held = set(json.loads((run/'data/held_out.json').read_text()))
    return [t for i,t in enumerate(texts) if i not in held], [t for i,t in enumerate(texts) if i in held]

def words(text): return re.findall(r'[^\W_]+', text.lower())

def runs_of(text, n):
    w = words(text)
    return {tuple(w[i:i+n]) for i in range(len(w) - n + 1)}

def clean(held, train, longest):
    "Places of the documents that share no run of words with the training text; a shorter document is one run. For scripts with spaces."
    known = {}
    out = []
    for i,t in enumerate(held):
        n = min(longest, len(words(t)))
        if n not in known: known[n] = set().union(*(runs_of(s, n) for s in train)) if n else set()
        if not n or not runs_of(t, n) & known[n]: out.append(i)
    return out

def xz(data):
    "Bytes that the program xz needs."
    window = max(16, len(data).bit_length())
    with tempfile.TemporaryDirectory() as d:
        path = Path(d)/'text'
        path.write_bytes(data)
        return len(subprocess.run(['xz', '--check=crc64', f'--lzma2=preset=9,dict={1 << window}', '-c', '-T1', str(path)], capture_output=True, check=True).stdout)

def model_bits(folder, texts):
    "Bits of each text by transformers; the first token of a text costs log2 V where nothing stands before it."
    from transformers import AutoModelForCausalLM, AutoTokenizer
    model,tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(),AutoTokenizer.from_pretrained(folder)
    size = getattr(model.config, 'max_position_embeddings', None) or model.config.n_positions
    bits = []
    for t in texts:
        ids = tokenizer(t)['input_ids']
        if tokenizer.bos_token_id is not None and ids[:1] != [tokenizer.bos_token_id]: ids = [tokenizer.bos_token_id, *ids]
        nats = 0. if tokenizer.bos_token_id is not None else math.log(model.config.vocab_size)
        known = 1                                                    # tokens that are counted already
        for begin in range(0, len(ids) - 1, size//2):                 # a run scores each token behind at least half a window
            window = torch.tensor(ids[begin:begin+size])
            with torch.no_grad(): logits = model(window[None, :-1]).logits[0].float()
            fresh = min(begin + len(window) - known, len(window) - 1)
            nats += torch.nn.functional.cross_entropy(logits[-fresh:], window[-fresh:], reduction='sum').item()
            known = begin + len(window)
            if known == len(ids): break
        bits.append(nats/math.log(2))
    return np.array(bits)

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    run = parser.parse_args().run
    report = json.loads((run/'report.json').read_text())
    heldout = report['heldout']
    train,held = split(run)
    if len(held) != heldout['documents'] or len(''.join(train).encode()) != heldout['train_bytes']: sys.exit('this run was scored on a share of its documents only (20 MB of training text, 1 MB held out): nothing to compare')
    model = next(p for p in (run/'checkpoints/best', run/'checkpoints/final') if p.exists())
    bits,n_bytes = model_bits(model, held),np.array([len(t.encode()) for t in held])
    before = ''.join(train).encode()
    places = {'all': list(range(len(held))), 'clean': clean(held, train, heldout['n_words'])}
    wrong = 0
    for name,part in heldout['parts'].items():
        at = places[name]
        data = ''.join(held[i] for i in at).encode()
        found = {'documents': len(at), 'bytes': len(data), 'model': bits[at].sum()/n_bytes[at].sum(), 'xz': 8*xz(data)/len(data), 'xz+train': 8*(xz(before + data) - xz(before))/len(data)}
        said = {**{k: part[k] for k in ('documents', 'bytes')}, **part['bits_per_byte']}
        for k,v in found.items():
            same = math.isclose(v, said[k], rel_tol=1e-4)
            wrong += not same
            print(f'{name:6} {k:10} {v:12.6f} here, {said[k]:12.6f} in the report{"" if same else "   DIFFERS"}')
    sys.exit(bool(wrong))
