"""Run every `llm-lab …` line that a page, a guide or the help shows, in prepared folders, offline. Prints what failed; exit 1 if anything did.

    commands.py            all lines             commands.py --list   only show them
"""
import contextlib, io, json, os, re, shlex, shutil, sys, tempfile, time
from pathlib import Path

root = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root))

# Words that stand for something of the reader's
places = dict(NAME='some-model', FOLDER='some-folder', OUTPUT_DIR='some-folder', DIR='new-dir', FILE='my.txt', INPUT='my.txt', DATA='data', OLD='old-model', NEW='new-folder')
# Lines that are run with something added, and why
added = [(r'llm-lab run\b', '--dry-run', 'a whole run takes minutes: the check named run makes one'), (r'llm-lab lab\b', '--copy-only', 'a server would not end'), (r'llm-lab serve\b', '--dry-run', 'a server would not end'),
         (r'llm-lab train\b(?!.*max.iters)', '--max-iters 3', 'the usual number takes minutes'),
         (r'llm-lab finetune\b.*--task(?!.*max.steps)', '--max-steps 1 --max-eval 2', 'the usual number takes minutes')]
flags = {'--accept', '--verify', '--json', '--exercises', '--force', '--show-info', '--show_info'}   # options that take no value
# Lines that are not run, and why
left_out = [(r'^llm-lab \w+: ', 'what a command says, not a command'), (r'COMMAND', 'stands for any command'), (r'llm-lab …', 'stands for any command')]

def texts(path):
    "What a reader sees of a document: prose as it is, outputs as code."
    if path.suffix == '.md': return [re.sub(r'```sh\n.*?```', '', path.read_text(encoding='utf-8'), flags=re.S)]   # those are run as they stand by the check guides
    found = []
    for cell in json.loads(path.read_text(encoding='utf-8'))['cells']:
        if cell['cell_type'] == 'markdown': found.append(''.join(cell['source']))
        for out in cell.get('outputs', []): found.append('```\n' + ''.join(out.get('text', [])) + '\n```')
    return found

def lines_of(text):
    "The command lines in a text: lines of code blocks, and code within sentences."
    for block in re.findall(r'```[^\n]*\n(.*?)```', text, re.S):
        yield from re.findall(r'^\s*(?:[$>] )?(?:\S*/)?(llm-lab [^\n]*?)(?:\s+#.*)?$', block, re.M)
    for line in re.findall(r'`(?:\S*/)?(llm-lab [^`]+)`', re.sub(r'```.*?```', '', text, flags=re.S)): yield ' '.join(line.split())

def documents():
    "Name of a document → its command lines, in order."
    from llm_lab import cli
    paths = [*sorted(root.glob('nbs/*.ipynb')), *sorted(root.glob('docs/*.md')), root/'README.md', root/'CONTRIBUTING.md']
    found = {p.name: [line for text in texts(p) for line in lines_of(text)] for p in paths}
    found |= {f'help of {c.name}': list(c.examples) for c in cli.commands}
    return {name: lines for name, lines in found.items() if lines}

def run(args):
    "Run one command line in this process; (exit code, what it said)."
    from llm_lab import cli
    said = io.StringIO()
    usual, sys.stdin = sys.stdin, io.StringIO('The night\n')
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said): cli.main(args)
    except SystemExit as e: return e.code or 0, said.getvalue()
    finally: sys.stdin = usual
    return 0, said.getvalue()

verses = [f'The night was {a} and the road was {b}.\nNo {c} was seen, no {c} was heard that night.'
          for a in ('long', 'dark', 'cold', 'still') for b in ('wet', 'bare', 'white', 'steep') for c in ('bird', 'light', 'cart', 'man', 'star', 'fox', 'boat', 'friend')]

def prepare(folder):
    "One small thing of each kind that a command reads."
    import torch
    from llm_lab.opening import load_model
    folder.mkdir()
    os.chdir(folder)
    Path('my.txt').write_text('\n\n'.join(verses))
    pairs = [dict(prompt=f'{a} plus {b}', completion=f'{a+b}') for a in range(8) for b in range(8)]
    Path('pairs.jsonl').write_text('\n'.join(map(json.dumps, pairs)))
    tiny = '--n-layer 1 --n-head 2 --n-embd 32 --block-size 64 --vocab-size 300'
    steps = [f'train one my.txt --max-iters 5 {tiny}', 'clean my.txt --output cleaned.parquet', 'pack cleaned.parquet --output data --vocab-size 300',
             'finetune one pairs.jsonl --output tuned --max-steps 2']
    for step in steps:
        code, said = run(shlex.split(step))
        if code: sys.exit(f'while preparing: {step}: {said}')
    model = load_model('one')
    model.to_hf().save_pretrained('plain')
    model.tokenizer.save('plain')
    torch.save(old_model(), 'ckpt.pt')

def old_model():
    "What an old .pt file of MyPT holds."
    import torch
    C, T, chars = 8, 16, sorted(set('\n\n'.join(verses)))
    V = len(chars)
    w = {'token_embedding_table.weight': torch.randn(V, C), 'position_embedding_table.weight': torch.randn(T, C), 'ln_f.weight': torch.ones(C),
         'ln_f.bias': torch.zeros(C), 'lm_head.weight': torch.randn(V, C), 'lm_head.bias': torch.zeros(V), 'blocks.0.sa.heads.0.tril': torch.ones(T, T).tril()}
    for n in ('key', 'query', 'value'): w[f'blocks.0.sa.heads.0.{n}.weight'] = torch.randn(C, C)
    for n, shape in {'sa.proj': (C, C), 'fwd.net.0': (4*C, C), 'fwd.net.2': (C, 4*C)}.items():
        w |= {f'blocks.0.{n}.weight': torch.randn(shape), f'blocks.0.{n}.bias': torch.zeros(shape[0])}
    for n in ('ln1', 'ln2'): w |= {f'blocks.0.{n}.weight': torch.ones(C), f'blocks.0.{n}.bias': torch.zeros(C)}
    config = dict(batch_size=4, block_size=T, vocab_size=V, n_embd=C, n_head=1, n_layer=1, dropout=0., bias=False)
    return dict(model_state_dict=w, config=config, tokenizer=dict(token_kind='char', chars=chars), step=20)

def bring(args, prepared):
    "Copy into this folder what a line names and what is not here."
    command, *rest = args
    value_of = {a.lstrip('-').replace('_', '-'): b for a, b in zip(rest, rest[1:]) if a.startswith('--')}
    words = [w for w, before in zip(rest, ['', *rest]) if not w.startswith('-') and (before in flags or not before.startswith('--'))]
    for word in [*words, *value_of.values()]:
        kind = Path(word).suffix
        if Path(word).exists() or kind not in ('.txt', '.jsonl', '.parquet', '.pt') or word == value_of.get('output'): continue
        Path(word).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(prepared/{'.txt': 'my.txt', '.jsonl': 'pairs.jsonl', '.parquet': 'cleaned.parquet', '.pt': 'ckpt.pt'}[kind], word)
    models = {'generate': words[:1], 'chat': words[:1], 'serve': words[:1], 'inspect': words[:1], 'eval': words[:1], 'finetune': words[:1], 'merge': words[:1], 'verify': words[:1],
              'export': words[:1], 'compare': words, 'runs': words, 'convert': words[:1]}.get(command, [])
    models = [*models, *[value_of[n] for n in ('init-from-model', 'model', 'model-name', 'name') if n in value_of]]
    if command == 'train':
        has_text = {'input-file', 'input'} & value_of.keys() or 'init-from-model' in value_of or len(words) > 1
        models = [m for m in [*words[:1], *models] if not has_text or m == value_of.get('init-from-model')]
    if command in ('download', 'run', 'lab', 'clean', 'pack'): models = []
    for name in models: bring_model(name, prepared)
    for word in words:
        if word.endswith('/adapter') and not Path(word).exists(): shutil.copytree(prepared/'tuned'/'adapter', word)
        if word == 'data' and not Path(word).exists(): shutil.copytree(prepared/'data', word)

def bring_model(name, prepared):
    "A model under a name or at a path."
    if Path(name).exists() or (Path('checkpoints')/name).exists(): return
    if name == 'old-model':
        Path(name).mkdir()
        shutil.copy(prepared/'ckpt.pt', Path(name)/'ckpt.pt')
    elif name.startswith('models/'): shutil.copytree(prepared/'plain', name)
    elif '/' in name: shutil.copytree(prepared/'checkpoints'/'one'/'final', name)
    else: shutil.copytree(prepared/'checkpoints'/'one', Path('checkpoints')/name)

def prepared_line(line):
    "(arguments, reason why it is left out) of a line."
    for pattern, why in left_out:
        if re.search(pattern, line): return None, why
    for pattern, more, why in added:
        if re.search(pattern, line) and '--help' not in line: line = f'{line} {more}'
    args = [places.get(a, a) for a in shlex.split(line)[1:]]
    if len(args) == 1 and not args[0].startswith('-'): args.append('--help')        # only the name of a command
    return args, None

def main():
    from llm_lab.practice import practice_hub
    found = documents()
    if '--list' in sys.argv: return print('\n'.join(f'{name}: {line}' for name, lines in found.items() for line in lines))
    back, failed, n, skipped, seen = os.getcwd(), [], 0, [], set()
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        prepare(tmp/'prepared')
        names = {args[1] for lines in found.values() for line in lines if (args := prepared_line(line)[0]) and args[0] == 'download' and not args[1].startswith('-')}
        with practice_hub(tmp/'practice', n_steps=1, n_train=16, families=['llama']) as hub:
            hub.models |= {name: tmp/'prepared'/'plain' for name in names | {'some-model'}}
            os.environ |= dict(HF_HOME=str(tmp/'hf'), LLM_LAB_CACHE=str(tmp/'cache'))
            for i, (name, lines) in enumerate(found.items()):
                here = tmp/str(i)
                here.mkdir()
                os.chdir(here)
                for line in lines:
                    args, why = prepared_line(line)
                    if why: skipped.append(f'{name}: {line} ({why})')
                    if args is None or (args[0] not in ('train', 'pack') and tuple(args) in seen): continue
                    seen.add(tuple(args))
                    bring(args, tmp/'prepared')
                    start = time.time()
                    code, said = run(args)
                    n += 1
                    if '--times' in sys.argv: print(f'{time.time()-start:6.1f} s  {name}: {line}', flush=True)
                    if code: failed.append(f'{name}: {line}\n    {(said.strip().splitlines() or ["(nothing said)"])[-1]}')
                os.chdir(back)
    print('\n'.join([*(f'left out  {s}' for s in skipped), *(f'failed    {f}' for f in failed)]))
    print(f'{n - len(failed)} of {n} command lines run, {len(skipped)} left out')
    sys.exit(1 if failed or not n else 0)

if __name__ == '__main__': main()
