"""What damaged or hostile files do to the functions that open them: a table of outcomes, and every one that is not as it should be.

    python benchmarks/damage.py [--cases 5000] [--seed 0] [--only GROUP ...] [--show]

Small folders of every kind are built (checkpoint, transformers, shards, another architecture, download, adapter, tokenizer, tokens, .pt, meta.pkl, llama2.c). Each case
copies one, damages one file (bytes, JSON values, the table of a .safetensors file, a pickle, a link) and opens it. As it should be: the open refuses in words of its own
(a ValueError, OSError or RuntimeError raised by llm_lab that names a path), or gives a result that computes. Not so: any other error, an open that takes longer
than 60 s or more than 3 GB, a process that ends, a file touched that is not a temporary one, anything at all written where something is only opened. Exit 1 then.
Every case has a process of its own.
"""
import argparse, collections, contextlib, hashlib, io, json, os, pickle, random, shutil, signal, struct, sys, tempfile, time, traceback, warnings
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE='1', TOKENIZERS_PARALLELISM='false', RUST_BACKTRACE='0', OMP_NUM_THREADS=os.environ.get('OMP_NUM_THREADS', '1'))

def text_of(n): return [f'the cat number {i} sat on the mat, and the dog {i*i % 97} on the log' for i in range(n)]

# Folders to damage

def small_gpt(arch='llama', tokenizer=None, **changes):
    from llm_lab.gpt_model import GPT, GPTConfig
    from llm_lab.tokenizer import Tokenizer
    settings = dict(block_size=32, n_layer=2, n_head=2, n_embd=16, arch=arch) | changes
    return GPT(GPTConfig(**settings), tokenizer or Tokenizer('byte'))

def make_checkpoint(folder):
    import torch
    from llm_lab.checkpoint import CheckpointManager
    model = small_gpt()
    optimizer = model.configure_optimizer(learning_rate=1e-3)
    ids = torch.randint(250, (2, 9))
    model(ids[:, :-1], ids[:, 1:])[1].backward()
    optimizer.step()
    model.train_state = dict(step=3, tokens=48, history=[dict(step=3, loss=5.5, eval_loss=5.4)], data=None, fit={}, rng={'torch': torch.get_rng_state()})
    with CheckpointManager(folder.name, root=folder.parent) as manager: made = manager.save(model, optimizer, 'final')
    for p in made.iterdir(): os.rename(p, folder/p.name)
    made.rmdir()
    (folder/'.lock').unlink(missing_ok=True)

def make_transformers(folder, **kw):
    model = small_gpt()
    model.to_hf().save_pretrained(folder, **kw)
    model.tokenizer.save(folder)

def make_shards(folder): make_transformers(folder, max_shard_size='9KB')

def make_other(folder):
    import torch, transformers
    from llm_lab.tokenizer import Tokenizer
    torch.manual_seed(0)
    config = transformers.GPTNeoXConfig(vocab_size=257, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=32, bos_token_id=256, eos_token_id=256)
    transformers.GPTNeoXForCausalLM(config).save_pretrained(folder)
    Tokenizer('byte').save(folder)

def make_download(folder):
    from llm_lab.files import write_manifest
    make_transformers(folder)
    write_manifest(folder, 'model', repo='own/tiny', revision='0'*40)

def make_adapter(folder):
    from llm_lab.adapters import save_adapter
    from llm_lab.lora import add_lora
    make_transformers(folder/'base')
    model = small_gpt().to_hf()
    add_lora(model, r=2)
    save_adapter(model, folder/'adapter', base_model=str(folder/'base'))

def make_tokenizer(folder):
    from llm_lab.tokenizer import train_bpe
    train_bpe(text_of(40), 300).save(folder)

def make_tokens(folder):
    from llm_lab.batches import GPTDataLoader
    from llm_lab.gpt_model import GPTConfig
    from llm_lab.tokenizer import Tokenizer
    tok = Tokenizer('byte')
    GPTDataLoader(GPTConfig(vocab_size=257, block_size=16, batch_size=2), tok).prepare_data(text_of(30), folder=folder)

def make_mypt(folder):
    import torch
    C,H,L,T = 16,2,2,16
    chars = sorted(set(''.join(text_of(9))))
    V = len(chars)
    torch.manual_seed(0)
    state = {'token_embedding_table.weight': torch.randn(V, C), 'position_embedding_table.weight': torch.randn(T, C), 'ln_f.weight': torch.ones(C), 'ln_f.bias': torch.zeros(C),
             'lm_head.weight': torch.randn(V, C), 'lm_head.bias': torch.zeros(V)}
    for i in range(L):
        at = f'blocks.{i}.'
        for h in range(H):
            for n in ('query', 'key', 'value'): state[f'{at}sa.heads.{h}.{n}.weight'] = torch.randn(C//H, C)
        shapes = {'sa.proj': (C, C), 'fwd.net.0': (4*C, C), 'fwd.net.2': (C, 4*C)}
        for n,s in shapes.items(): state |= {f'{at}{n}.weight': torch.randn(*s), f'{at}{n}.bias': torch.zeros(s[0])}
        for n in ('ln1', 'ln2'): state |= {f'{at}{n}.weight': torch.ones(C), f'{at}{n}.bias': torch.zeros(C)}
    config = dict(batch_size=4, block_size=T, vocab_size=V, n_embd=C, n_head=H, n_layer=L, dropout=0.1, bias=False)
    torch.save(dict(model_state_dict=state, config=config, step=7, tokenizer=dict(token_kind='char', chars=chars)), folder/'latest.pt')

def make_nanogpt(folder):
    import torch
    C,L,T = 16,2,16
    chars = sorted(set(''.join(text_of(9))))
    V = len(chars)
    table = torch.randn(V, C)
    state = {'transformer.wte.weight': table, 'transformer.wpe.weight': torch.randn(T, C), 'transformer.ln_f.weight': torch.ones(C), 'transformer.ln_f.bias': torch.zeros(C), 'lm_head.weight': table}
    for i in range(L):
        at = f'transformer.h.{i}.'
        for n,s in {'attn.c_attn': (3*C, C), 'attn.c_proj': (C, C), 'mlp.c_fc': (4*C, C), 'mlp.c_proj': (C, 4*C)}.items(): state |= {f'{at}{n}.weight': torch.randn(*s), f'{at}{n}.bias': torch.zeros(s[0])}
        for n in ('ln_1', 'ln_2'): state |= {f'{at}{n}.weight': torch.ones(C), f'{at}{n}.bias': torch.zeros(C)}
    torch.save(dict(model=state, model_args=dict(block_size=T, n_layer=L, n_head=2, n_embd=C, dropout=0., bias=True, vocab_size=V), iter_num=5, best_val_loss=2.5), folder/'ckpt.pt')
    with open(folder/'meta.pkl', 'wb') as f: pickle.dump(dict(vocab_size=V, itos=dict(enumerate(chars)), stoi={c: i for i,c in enumerate(chars)}), f)

def make_llama2c(folder):
    import numpy as np
    C,n_inner,L,H,V,T = 16,32,2,2,20,16
    D = C//H
    sizes = [V*C, L*C, L*C*C, L*C*C, L*C*C, L*C*C, L*C, L*n_inner*C, L*C*n_inner, L*n_inner*C, C, T*D]
    numbers = np.random.default_rng(0).standard_normal(sum(sizes)).astype('<f4')
    (folder/'model.bin').write_bytes(struct.pack('<7i', C, n_inner, L, H, H, V, T) + numbers.tobytes())
    pieces = [b'<unk>', b'<s>', b'</s>', *(bytes([97 + i]) for i in range(V - 3))]
    (folder/f'tok{V}.bin').write_bytes(struct.pack('<i', 6) + b''.join(struct.pack('<fi', -float(i), len(p)) + p for i,p in enumerate(pieces)))

# Functions that open them; each computes something with what it got

def computes(model, n=250):
    import torch
    from llm_lab.runtime import logits_of
    ids = torch.tensor([[1, 2, 3, min(4, n)]])
    with torch.no_grad(): return logits_of(model(ids)).shape

def encodes(tok):
    "A vocabulary may lack a letter, and then says which."
    try: tok.encode('the cat')
    except ValueError as e:
        if 'is not among' not in str(e): raise

def open_it(folder):
    from llm_lab.opening import open_model
    model,tok = open_model(folder, device='cpu', root=folder/'nowhere')
    computes(model, 4)
    if tok is not None: encodes(tok)

def open_file(name):
    def opened(folder): open_it(folder/name)
    opened.__name__ = f'open_model({name})'
    return opened

def resume(folder):
    from llm_lab.checkpoint import CheckpointManager
    from llm_lab.files import naming_errors
    model,state = CheckpointManager('', root=folder.parent).load(folder)
    with naming_errors(folder): model.configure_optimizer(learning_rate=1e-3, state=state)       # whoever calls this knows the folder

def info(folder):
    from llm_lab.opening import get_model_info
    json.dumps(get_model_info(folder), default=str)

def verified(folder):
    from llm_lab.files import find_damage
    from llm_lab.loader import verify_model
    repr(verify_model(folder))
    find_damage(folder, verify=True)

def loader(folder):
    from llm_lab.loader import ModelLoader
    model,tok = ModelLoader(folder, offline=True, device_map='cpu', progress=False).load_model_and_tokenizer()
    computes(model)
    tok('the cat')

def adapter(folder):
    from llm_lab.adapters import load_adapter
    computes(load_adapter(small_gpt().to_hf(), folder/'adapter'))

def adapted(folder): open_it(folder/'adapter')

def tokenizer(folder):
    from llm_lab.tokenizer import Tokenizer
    tok = Tokenizer.load(folder)
    tok.decode(tok.encode('the cat sat'))

def tokens(folder):
    from llm_lab.batches import GPTDataLoader
    from llm_lab.gpt_model import GPTConfig
    data = GPTDataLoader.from_folder(GPTConfig(vocab_size=257, block_size=16, batch_size=2), folder)
    data.get_batch('train', 0)

def chars(folder):
    from llm_lab.tokenizer import Tokenizer
    Tokenizer('char', path=folder/'meta.pkl')

groups = {'checkpoint': (make_checkpoint, (open_it, resume, info, verified)),
          'transformers': (make_transformers, (open_it, loader, info, verified)),
          'shards': (make_shards, (open_it, loader)),
          'another architecture': (make_other, (open_it, loader)),
          'download': (make_download, (open_it, loader, verified)),
          'adapter': (make_adapter, (adapter, adapted)),
          'tokenizer': (make_tokenizer, (tokenizer,)),
          'tokens': (make_tokens, (tokens,)),
          'MyPT': (make_mypt, (open_it, info)),
          'nanoGPT': (make_nanogpt, (open_it, chars)),
          'llama2.c': (make_llama2c, (open_file('model.bin'),))}

# Damage

nasty = [None, True, -1, 0, 1, 2**31, 2**63, 10**40, 1e308, -1.5, '', 'x', '../../victim', '/etc/passwd', '\x00', 'ä'*300, [], {}, [[]], {'a': None}, ['x'], [1, 2], 'float8_e4m3fn', 'null']

def paths_in(value, at=()):
    "Every place in a JSON value."
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value[:50]) if isinstance(value, list) else ()
    for k,v in items: yield from paths_in(v, (*at, k))

def damage_json(rng, data):
    "Change one value, drop or rename a key, or put something else in the place of all."
    value = json.loads(data)
    what = rng.random()
    if what < .06: return json.dumps(rng.choice(nasty)).encode()
    if what < .09: return b'\xef\xbb\xbf' + data
    if what < .11: return data.decode().encode('utf-16')
    if what < .13: return b'['*rng.choice([900, 3000, 100_000])
    if what < .15: return b'{"a":'*3000 + b'1' + b'}'*3000
    if what < .17: return data.replace(b': ', b': ' + b'9'*5000, 1)
    places = [p for p in paths_in(value) if p]
    if not places: return json.dumps(rng.choice(nasty)).encode()
    *head,last = rng.choice(places)
    inside = value
    for k in head: inside = inside[k]
    if what < .35 and isinstance(inside, dict): del inside[last]
    elif what < .42 and isinstance(inside, dict): inside[rng.choice(['x', '../x', '', last.upper() + '_', '\x00'])] = inside.pop(last)
    else: inside[last] = rng.choice(nasty)
    return json.dumps(value).encode()

def damage_table(rng, data):
    "Change the table of contents of a .safetensors file."
    n = int.from_bytes(data[:8], 'little')
    table,rest = json.loads(data[8:8+n]),data[8+n:]
    what = rng.random()
    if what < .15: return rng.choice([0, 1, n + 1, 2**40, 2**63, 2**64 - 1]).to_bytes(8, 'little') + data[8:]
    names = [k for k in table if k != '__metadata__']
    name = rng.choice(names)
    entry = table[name]
    if what < .25: del table[name]
    elif what < .4: table[rng.choice(['_orig_mod.', 'module.', '', 'x.', '../']) + name + rng.choice(['', '_'])] = table.pop(name)
    elif what < .5: entry['dtype'] = rng.choice(['F64', 'F16', 'BF16', 'I64', 'U8', 'BOOL', 'X', None, 7])
    elif what < .65: entry['shape'] = rng.choice([[], [0], [-1], [2**40], entry['shape'][::-1], [1, *entry['shape']], entry['shape'][:-1], 'x', None, [1.5]])
    elif what < .85: entry['data_offsets'] = rng.choice([[0, 0], [5, 3], [-8, 8], [0, 2**62], entry['data_offsets'][::-1], [0], None, 'x', [0., 1.]])
    elif what < .93: table['__metadata__'] = rng.choice([None, 7, {'format': 'tf'}, {'format': 'np'}, {'a': 1}, [], {}])
    else: return 8*b'\0' if what < .96 else (n).to_bytes(8, 'little') + b'['*n + rest
    head = json.dumps(table).encode()
    head += b' ' * (-len(head) % 8)
    return len(head).to_bytes(8, 'little') + head + rest

class Evil:
    "A pickle that would touch a file."
    def __init__(self, path): self.path = str(path)
    def __reduce__(self): return os.system, (f'echo hacked > {self.path}',)

def damage_pickle(rng, path, victim):
    "Put something else into a file of torch, or of pickle."
    import torch
    is_torch = path.suffix == '.pt'
    found = torch.load(path, weights_only=True) if is_torch else pickle.loads(path.read_bytes())
    what = rng.random()
    if what < .2: found = Evil(victim)
    elif what < .3: found = rng.choice(nasty)
    else:
        inside = found[rng.choice([k for k,v in found.items() if isinstance(v, dict)] or [None])] if what < .85 else found
        key = rng.choice(list(inside))
        how = rng.random()
        if how < .3: del inside[key]
        elif how < .4: inside[key] = Evil(victim)
        elif how < .6: inside[key] = torch.randn(rng.choice([(1,), (3, 4), (0,), ()]))
        else: inside[key] = rng.choice(nasty)
    out = io.BytesIO()
    if is_torch: torch.save(found, out)
    else: pickle.dump(found, out)
    return out.getvalue()

def damage_bytes(rng, data):
    "Cut, flip, blank, lengthen."
    what = rng.random()
    at = rng.randrange(max(1, len(data)))
    if what < .3: return data[:at]
    if what < .35: return b''
    if what < .7:
        changed = bytearray(data)
        for _ in range(rng.choice([1, 1, 4, 50])):
            if changed: changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)
    if what < .8: return data[:at] + bytes(min(64, len(data) - at)) + data[at+64:]
    if what < .88: return data + rng.randbytes(rng.choice([1, 8, 1000]))
    if what < .92: return b'version https://git-lfs.github.com/spec/v1\noid sha256:' + b'0'*64 + b'\nsize 1049\n'
    if what < .95: return b'<!DOCTYPE html><html>404</html>'
    return rng.randbytes(rng.choice([1, 16, 300]))

def damage_one(rng, path, victim):
    "Damage a file; what was done, in words."
    what = rng.random()
    data = path.read_bytes()
    if what < .04:
        path.unlink()
        return 'removed'
    if what < .07:
        path.unlink()
        path.symlink_to(rng.choice([victim, victim.parent/'new', path.parent, path]))
        return 'a link'
    if what < .09:
        path.unlink()
        path.mkdir()
        return 'a folder'
    if what < .1:
        path.unlink()
        os.mkfifo(path)
        return 'a pipe'
    if path.suffix == '.json' and what < .75: new,how = damage_json(rng, data),'JSON'
    elif path.suffix == '.safetensors' and what < .7: new,how = damage_table(rng, data),'table'
    elif path.suffix in ('.pt', '.pkl') and what < .7: new,how = damage_pickle(rng, path, victim.parent/'hacked'),'pickle'
    else: new,how = damage_bytes(rng, data),'bytes'
    path.write_bytes(new)
    return how

def state_of(folder):
    "Every file below, its time and its content."
    out = {}
    for p in sorted(folder.rglob('*')):
        if p.is_symlink(): out[str(p)] = os.readlink(p)
        elif p.is_file(): out[str(p)] = (p.stat().st_mtime_ns, hashlib.sha1(p.read_bytes()).hexdigest())
        else: out[str(p)] = ''
    return out

# Judging

class TooLong(BaseException): "It took more than a minute."

def ring(*args): raise TooLong

def judge(error, folder):
    "('refused' | 'by accident' | 'foreign', where it came from) of an error."
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f'{os.sep}llm_lab{os.sep}' in f.filename]
    where = f'{Path(frames[-1].filename).name}:{frames[-1].lineno}'
    if ours: where = f'{Path(ours[-1].filename).name}:{ours[-1].lineno}' + ('' if ours[-1] is frames[-1] else f' <- {where}')
    if not isinstance(error, (ValueError, OSError, RuntimeError)) or isinstance(error, (RecursionError, NotImplementedError)): return 'foreign', where
    is_own = ours and ours[-1] is frames[-1]
    names_it = str(folder) in str(error)
    return ('refused' if is_own and names_it else 'by accident'), where

def one_case(rng, base, group, work):
    "Copy, damage, open; the outcome, what was done, and the error."
    from llm_lab.files import write_manifest, read_manifest
    shutil.rmtree(work, ignore_errors=True)
    folder,outside = work/'here'/'folder',work/'outside'
    folder.parent.mkdir(parents=True)
    outside.mkdir()
    victim = outside/'victim'
    victim.write_text('precious')
    shutil.copytree(base, folder)
    make,openers = groups[group]
    if group == 'adapter':
        at = folder/'adapter/adapter_config.json'
        at.write_text(at.read_text().replace(str(base), str(folder)))
        for f in (folder/'adapter',):
            if (f/'manifest.json').exists(): write_manifest(f, 'adapter')
    files = sorted(p for p in folder.rglob('*') if p.is_file())
    if group == 'adapter' and rng.random() < .9: files = [p for p in files if p.parent.name == 'adapter']
    path = rng.choice(files)
    how = damage_one(rng, path, victim)
    listed = path.parent/'manifest.json'
    if listed.is_file() and listed != path and path.is_file() and not path.is_symlink() and rng.random() < .6:      # as if it had been written so
        manifest = read_manifest(path.parent)
        if path.name in manifest['files']:
            entry = manifest['files'][path.name]
            entry |= dict(size=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
            listed.write_text(json.dumps(manifest))
            how += ', listed'
    opener = rng.choice(openers)
    before = state_of(work)
    done = f'{group}: {path.name} ({how}) -> {opener.__name__}'
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter('ignore')
            opener(folder)
        outcome,error = ('accepted', ''),None
    except TooLong: outcome,error = ('hang', ''),None
    except KeyboardInterrupt: raise
    except BaseException as e: outcome,error = judge(e, folder),e
    finally: signal.setitimer(signal.ITIMER_REAL, 0)
    if state_of(work) != before: outcome = 'touched',outcome[1]
    return outcome, done, error

def in_child(work):
    "What a function returns, run in a forked process; None: that process did not come to its end."
    out,into = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(out)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)             # a library that aborts says so there
            with os.fdopen(into, 'wb') as f: pickle.dump(work(), f)
        finally: os._exit(0)
    os.close(into)
    with os.fdopen(out, 'rb') as f: said = f.read()
    os.waitpid(pid, 0)
    try: return pickle.loads(said)
    except (EOFError, pickle.UnpicklingError): return None

def tried(rng, base, group, work):
    "One case, as plain values: outcome, where, what was done, kind of error, its words, its traceback."
    (outcome,where),done,error = one_case(rng, base, group, work)
    trace = ''.join(traceback.format_exception(error)) if error else ''
    return outcome, where, done, type(error).__name__, str(error)[:160], trace

def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--cases', type=int, default=5000)
    args.add_argument('--seed', type=int, default=0)
    args.add_argument('--only', nargs='*', choices=groups)
    args.add_argument('--case', type=int, help='run this one alone, with its traceback')
    args.add_argument('--show', action='store_true', help='an example of every kind that is not as it should be')
    args = args.parse_args()
    if not hasattr(signal, 'setitimer'): sys.exit('this needs a POSIX system')
    import resource, torch, transformers
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity(60)
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter('ignore')
    signal.signal(signal.SIGALRM, ring)
    names = args.only or list(groups)
    table = collections.defaultdict(collections.Counter)
    odd = collections.Counter()
    examples = {}
    began = time.time()
    with tempfile.TemporaryDirectory() as d:
        bases = {}
        for name in names:
            bases[name] = Path(d)/'bases'/name
            bases[name].mkdir(parents=True)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()): groups[name][0](bases[name])
            for opener in groups[name][1]:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()): opener(bases[name])       # whole, it opens
        used = int(Path('/proc/self/statm').read_text().split()[0])*os.sysconf('SC_PAGE_SIZE') if Path('/proc/self/statm').exists() else 0
        if used: resource.setrlimit(resource.RLIMIT_AS, (used + 3*2**30, resource.RLIM_INFINITY))
        for i in range(args.cases) if args.case is None else [args.case]:
            rng = random.Random(f'{args.seed}.{i}')
            group = names[i % len(names)]
            found = in_child(lambda: tried(rng, bases[group], group, Path(d)/'work'))
            outcome,where,done,kind,said,trace = found or ('ended', '', group, '', '', '')
            table[group][outcome] += 1
            if args.case is not None: print(outcome, where, '|', done, trace, sep='\n')
            if outcome in ('refused', 'accepted'): continue
            odd[outcome, kind, where] += 1
            examples.setdefault((outcome, kind, where), (i, done, said))
    kinds = ['refused', 'accepted', 'by accident', 'foreign', 'hang', 'ended', 'touched']
    print(f'{"":22}' + ''.join(f'{k:>13}' for k in ['cases', *kinds]))
    for group,row in table.items(): print(f'{group:22}{sum(row.values()):13,}' + ''.join(f'{row[k]:13,}' for k in kinds))
    total = collections.Counter()
    for row in table.values(): total.update(row)
    print(f'{"together":22}{sum(total.values()):13,}' + ''.join(f'{total[k]:13,}' for k in kinds))
    print(f'{time.time() - began:.0f} s')
    for kind,n in odd.most_common():
        i,done,said = examples[kind]
        print(f'{n:5}  {" ".join(kind)}' + (f'\n       case {i}: {done}: {said!r}' if args.show else ''))
    sys.exit(1 if odd else 0)

if __name__ == '__main__': main()
