"""What one choice of a plan is worth on one text: a model is trained with it, and one line says what came out.

    python benchmarks/levers.py novel.txt vocab_size=384 dropout=0 merge_dropout=0.1 steps=560

Other choices: n_layer=3 n_embd=96 batch_size=8 block_size=256 weight_decay=0.5 learning_rate=0.02 seed=0, and pairs=100: embedding and head
learn the table of token pairs, in so many steps, before the training begins. Prints processor seconds and bits per byte on the held-out
documents (the split and the windows of `llm-lab run`, at most 100 kB), by the last weights and by their running averages. Set OMP_NUM_THREADS=1 on a shared machine.
"""
import json, math, sys, time
from pathlib import Path
import torch
from llm_lab.batches import GPTDataLoader
from llm_lab.data_cleaning import clean_dataset, default_rules
from llm_lab.documents import split_documents
from llm_lab.eval import bits_per_byte
from llm_lab.gpt_model import GPT, GPTConfig
from llm_lab.optimizers import lr_share
from llm_lab.reading import read_with_ledger
from llm_lab.run import share
from llm_lab.tokenizer import train_bpe
from llm_lab.training import train_step

AVERAGES = 0.95,0.98

def texts_of(path):
    "Documents to learn from and documents held out, as a run has them."
    ds,_ = read_with_ledger(Path(path), progress=False)
    ds,_ = clean_dataset(ds, default_rules(None), progress=False)
    train,held = split_documents(ds, val_fraction=0.1, seed=0)
    return train['text'][:], share(held, 100_000)['text'][:]

def put(model, weights):
    "Give a model these weights."
    with torch.no_grad():
        for p,w in zip(model.parameters(), weights): p.copy_(w)

def learn_pairs(model, texts, steps):
    "Fit embedding and head to how often each token follows each other one; blocks that are zero at first leave it at that."
    V,end = model.config.vocab_size,model.tokenizer.eos_id
    counts = torch.zeros(V, V)
    for ids in model.tokenizer.encode_batch(texts):
        ids = torch.tensor([end, *ids, end])
        counts.index_put_((ids[:-1], ids[1:]), torch.ones(len(ids) - 1), accumulate=True)
    E,H = model.token_embedding.weight,model.head.weight
    adam = torch.optim.Adam([E, H], betas=(0.9, 0.99))
    for i in range(steps):
        for g in adam.param_groups: g['lr'] = 0.05*(1 - i/steps) + 0.002
        loss = -(counts/counts.sum()*(model.norm(E) @ H.t()).log_softmax(-1)).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()

def main(path, *given):
    c = dict(vocab_size=1024, n_layer=3, n_embd=96, batch_size=8, block_size=256, dropout=0., merge_dropout=0., weight_decay=0.5, learning_rate=0.02, steps=300, seed=0, pairs=0)
    for word in given:
        name,value = word.split('=')
        c[name] = type(c[name])(value)
    train,held = texts_of(path)
    tok = train_bpe(train, c['vocab_size'])
    config = GPTConfig(arch='qwen3', tie_weights=False, vocab_size=tok.vocab_size, n_head=c['n_embd']//32,
                       **{k: c[k] for k in ('n_layer', 'n_embd', 'batch_size', 'block_size', 'dropout')})
    start = time.process_time()
    seen = c['steps']*c['batch_size']*c['block_size']
    n_tokens = sum(map(len, tok.encode_batch(train)))*(1 + c['merge_dropout'])
    copies = math.ceil(seen/n_tokens) if c['merge_dropout'] else 1
    loader = GPTDataLoader(config, tok, seed=c['seed']).prepare_data(train, held, copies=copies, merge_dropout=c['merge_dropout'])
    packed = time.process_time()
    torch.manual_seed(c['seed'])
    model = GPT(config, tok).train()
    learn_pairs(model, train, c['pairs'])
    optimizer = model.configure_optimizer(c['learning_rate'], weight_decay=c['weight_decay'])
    averages = {}
    for step in range(c['steps']):
        rate = lr_share(step, c['steps'], c['steps']//50)
        for g in optimizer.param_groups: g['lr'] = g['initial_lr']*rate
        train_step(model, optimizer, [loader.get_batch('train', step)])
        weights = [p.detach() for p in model.parameters()]
        for decay in AVERAGES:
            if step: torch._foreach_lerp_(averages[decay], weights, 1 - decay)
            else: averages[decay] = [w.clone() for w in weights]
    found = dict(c, passes=round(seen/n_tokens, 1), n_params=model.n_params, pack_s=round(packed - start, 1), train_s=round(time.process_time() - packed))
    for name,weights in (('last', None), *averages.items()):
        if weights: put(model, weights)
        found[f'bits_per_byte {name}'] = round(float(bits_per_byte(model, held, tok, stride=c['block_size']//2, progress=False)), 4)
    print(json.dumps(found))

if __name__ == '__main__': main(*sys.argv[1:])
