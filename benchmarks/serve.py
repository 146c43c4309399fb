"""Many clients at once: answers a second, time to the first token, memory; each engine beside the others, on this machine.

    serve.py [--clients 50] [--requests 20] [--steady 1000] [--servers own transformers llama.cpp "transformers serve" "llama.cpp server"]

The first three are `llm-lab serve` with each engine; the last two are the servers of transformers and of llama.cpp themselves, on the same
weights (`transformers serve` needs fastapi: a Python that has it may be named with --python). Every answer is compared with the one the same
server gives to the same prompt alone: lost or mixed answers are counted; and of these, how many are the text that our own engine writes.
Load comes from this process, the servers run beside it, so on few cores both share them: read the ratios.
"""
import argparse, asyncio, json, os, re, signal, socket, statistics, subprocess, sys, tempfile, time
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

LLAMA_SERVER = """
import sys, threading, xllamacpp
p = xllamacpp.CommonParams()
p.model.path = sys.argv[1]
p.hostnames = ['127.0.0.1']
p.port = 0
p.n_parallel = 8
p.n_ctx = 8*256
p.cpuparams.n_threads = 1
p.verbosity = -1
server = xllamacpp.Server(p)
print(server.listening_address, flush=True)
threading.Event().wait()
"""

def free_port():
    "A port that nobody uses now."
    with socket.create_server(('127.0.0.1', 0)) as s: return s.getsockname()[1]

def command(server, folder, python):
    "(command of a server, its address where it does not tell it)."
    ours = [sys.executable, '-c', 'from llm_lab.cli import main; main()']
    if server == 'transformers serve':
        port = free_port()
        code = 'from transformers.cli.transformers import main; main()'
        return [python, '-c', code, 'serve', str(folder), '--host', '127.0.0.1', '--port', str(port), '--device', 'cpu'], f'http://127.0.0.1:{port}'
    if server == 'llama.cpp server':
        from llm_lab.export import export_gguf
        gguf = folder.parent/'model.gguf'
        if not gguf.exists(): export_gguf(folder, gguf)
        return [sys.executable, '-c', LLAMA_SERVER, str(gguf)], None
    return [*ours, 'serve', str(folder), '--port', '0', '--engine', server], None

def start(server, folder, python):
    "(process, address, model's name) of a server that answers."
    env = dict(os.environ, PYTHONPATH=str(root), OMP_NUM_THREADS='1', HF_HUB_OFFLINE='1', DO_NOT_TRACK='1')
    args, url = command(server, folder, python)
    out = tempfile.TemporaryFile('w+')
    process = subprocess.Popen(args, env=env, stdout=out, stderr=subprocess.STDOUT, text=True)
    end = time.time() + 120
    while time.time() < end and process.poll() is None:
        out.seek(0)
        url = url or next(iter(re.findall(r'http://[\d.:]+\d', out.read())), None)
        try:
            if url and httpx.get(url + '/health').status_code == 200:
                if server == 'transformers serve': return process, url, str(folder)     # its list of models asks the Hub
                return process, url, httpx.get(url + '/v1/models').json()['data'][0]['id']
        except httpx.TransportError: pass
        time.sleep(.2)
    out.seek(0)
    process.kill()
    raise RuntimeError(f'{server} did not start: {out.read()[-2000:]}')

async def one(client, url, body):
    "(text, seconds to the first token, number of tokens) of a streamed answer."
    begin = time.perf_counter()
    if not body['is_quiet']: body |= dict(stream_options=dict(include_usage=True))
    body = {k: v for k, v in body.items() if k != 'is_quiet'}
    for attempt in range(3):             # a server may close a connection just when it is used again: then nothing was answered, and every client asks once more
        first, text, n = None, '', 0
        try:
            async with client.stream('POST', url + '/v1/completions', json=body | dict(stream=True)) as r:
                if r.status_code != 200: return None, None, 0
                async for line in r.aiter_lines():
                    if not line.startswith('data: {'): continue
                    told = json.loads(line[6:])
                    n = (told.get('usage') or {}).get('completion_tokens') or n
                    choices = told.get('choices') or [{}]
                    if choices[0].get('text'):
                        first = first or time.perf_counter() - begin
                        text += choices[0]['text']
            return text, first, n
        except httpx.TransportError:
            if text: break
    return None, None, 0

async def load(url, name, prompts, clients, requests, tokens, is_quiet):
    "What many clients saw."
    def body(p): return dict(model=name, prompt=p, max_tokens=tokens, temperature=0, is_quiet=is_quiet)
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
    return alone, dict(answers=len(seen), lost=sum(s[1] for s in seen), mixed=sum(not s[0] and not s[1] for s in seen), wall_s=round(wall, 1),
                tokens_per_s=round(sum(s[3] for s in seen)/wall, 1), first_token_s=round(statistics.median(firsts), 3) if firsts else None)

def rss(process): return sum(p.memory_info().rss for p in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)])

async def steady(process, url, name, prompts, n, tokens=4):
    "Memory after a quarter, a half and all of n requests, in MB."
    sizes = []
    async with httpx.AsyncClient(timeout=600) as client:
        for part in (n//4, n//4, n//2):
            for i in range(0, part, 8): await asyncio.gather(*(one(client, url, dict(model=name, prompt=prompts[(i + k) % len(prompts)], max_tokens=tokens, is_quiet=True)) for k in range(8)))
            sizes.append(round(rss(process)/1e6, 1))
    return sizes

def main():
    p = argparse.ArgumentParser()
    p.add_argument('--clients', type=int, default=50)
    p.add_argument('--requests', type=int, default=20)
    p.add_argument('--tokens', type=int, default=16)
    p.add_argument('--steady', type=int, default=1000)
    p.add_argument('--servers', nargs='*', default=['own', 'transformers', 'llama.cpp', 'transformers serve', 'llama.cpp server'])
    p.add_argument('--python', default=sys.executable, help='that has fastapi')
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        folder, text = prepare(Path(tmp))
        prompts = [text[i:i + 40] for i in range(0, 20*3001, 3001)]
        of_own = None
        for server in a.servers:
            process, url, name = start(server, folder, a.python)
            try:
                alone, found = asyncio.run(load(url, name, prompts, a.clients, a.requests, a.tokens, is_quiet=server == 'transformers serve'))
                of_own = of_own or alone
                found['as_own'] = sum(alone[p] == of_own[p] for p in prompts)
                if a.steady: found['mb_after'] = asyncio.run(steady(process, url, name, prompts, a.steady))
                print(json.dumps(dict(server=server) | found), flush=True)
            finally:
                process.send_signal(signal.SIGTERM)
                try: process.wait(60)
                except subprocess.TimeoutExpired: process.kill()

if __name__ == '__main__': main()
