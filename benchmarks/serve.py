"""Many clients at once: answers a second, time to the first token, memory; each engine beside the others, on this machine.

    serve.py [--clients 50] [--requests 20] [--steady 1000] [--engines own transformers llama.cpp]

Every answer is compared with the one the same engine gives to the same prompt alone: lost or mixed answers are counted.
Load comes from this process, the servers run beside it, so on few cores both share them: read the ratios.
"""
import argparse, asyncio, json, os, re, signal, statistics, subprocess, sys, tempfile, time
from pathlib import Path

root = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(root))
import httpx, psutil, torch
from pydoc_data.topics import topics

def prepare(folder):
    "A small model of words in a checkpoint folder."
    from llm_lab.batches import GPTDataLoader
    from llm_lab.chat import add_chat_tokens, grow_vocab
    from llm_lab.checkpoint import CheckpointManager
    from llm_lab.gpt_model import GPT, GPTConfig
    from llm_lab.tokenizer import train_bpe
    torch.manual_seed(0)
    text = '\n\n'.join(topics[k] for k in sorted(topics))
    tokenizer = train_bpe([text], 1024)
    config = GPTConfig(arch='qwen3', block_size=256, n_layer=4, n_head=4, n_embd=128, batch_size=16)
    model = GPT(config, tokenizer)
    model.fit(GPTDataLoader(config, tokenizer).prepare_data(text), max_iters=40, eval_interval=0, progress=False)
    return CheckpointManager('bench', root=folder/'checkpoints').save(grow_vocab(model, add_chat_tokens(tokenizer))), text

def start(engine, folder):
    "(process, address, model's name) of a server."
    env = dict(os.environ, PYTHONPATH=str(root), OMP_NUM_THREADS='1', HF_HUB_OFFLINE='1', DO_NOT_TRACK='1')
    code = 'from llm_lab.cli import main; main()'
    process = subprocess.Popen([sys.executable, '-c', code, 'serve', str(folder), '--port', '0', '--engine', engine], env=env, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if found := re.search(r'http://[\d.:]+\d', line): break
    else: raise RuntimeError(f'{engine} did not start')
    url = found[0]
    return process, url, httpx.get(url + '/v1/models').json()['data'][0]['id']

async def one(client, url, body):
    "(text, seconds to the first token, number of pieces) of a streamed answer."
    begin = time.perf_counter()
    first, text, n = None, '', 0
    async with client.stream('POST', url + '/v1/completions', json=body | dict(stream=True)) as r:
        if r.status_code != 200: return None, None, 0
        async for line in r.aiter_lines():
            if not line.startswith('data: {'): continue
            choices = json.loads(line[6:]).get('choices') or [{}]
            if choices[0].get('text'):
                first = first or time.perf_counter() - begin
                text += choices[0]['text']
                n += 1
    return text, first, n

async def load(url, name, prompts, clients, requests, tokens):
    "What many clients saw."
    def body(p): return dict(model=name, prompt=p, max_tokens=tokens, temperature=0)
    async with httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_connections=clients)) as client:
        alone = {p: (await one(client, url, body(p)))[0] for p in prompts}
        seen = []
        async def person(i):
            for j in range(requests):
                p = prompts[(i*7 + j) % len(prompts)]
                text, first, n = await one(client, url, body(p))
                seen.append((text == alone[p], text is None, first, n))
        begin = time.perf_counter()
        await asyncio.gather(*(person(i) for i in range(clients)))
        wall = time.perf_counter() - begin
    firsts = [f for *_, f, _ in seen if f]
    return dict(answers=len(seen), lost=sum(s[1] for s in seen), mixed=sum(not s[0] and not s[1] for s in seen), wall_s=round(wall, 1),
                tokens_per_s=round(sum(s[3] for s in seen)/wall, 1), first_token_s=round(statistics.median(firsts), 3) if firsts else None)

def rss(process): return sum(p.memory_info().rss for p in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)])

async def steady(process, url, name, prompts, n, tokens=4):
    "Memory after a quarter, a half and all of n requests, in MB."
    sizes = []
    async with httpx.AsyncClient(timeout=600) as client:
        for part in (n//4, n//4, n//2):
            for i in range(0, part, 8): await asyncio.gather(*(one(client, url, dict(model=name, prompt=prompts[(i + k) % len(prompts)], max_tokens=tokens)) for k in range(8)))
            sizes.append(round(rss(process)/1e6, 1))
    return sizes

def main():
    p = argparse.ArgumentParser()
    p.add_argument('--clients', type=int, default=50)
    p.add_argument('--requests', type=int, default=20)
    p.add_argument('--tokens', type=int, default=16)
    p.add_argument('--steady', type=int, default=1000)
    p.add_argument('--engines', nargs='*', default=['own', 'transformers', 'llama.cpp'])
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        folder, text = prepare(Path(tmp))
        prompts = [text[i:i + 40] for i in range(0, 20*3001, 3001)]
        for engine in a.engines:
            process, url, name = start(engine, folder)
            try:
                found = asyncio.run(load(url, name, prompts, a.clients, a.requests, a.tokens))
                if a.steady: found['mb_after'] = asyncio.run(steady(process, url, name, prompts, a.steady))
                print(json.dumps(dict(engine=engine) | found), flush=True)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)

if __name__ == '__main__': main()
