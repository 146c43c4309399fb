"""A fine-tuning step on two models, four contestants in one interleaved run: a bare PEFT loop (1.0), TRL's SFTTrainer as it comes,
our `finetune` path, and a bare loop with our adapters. Then merging, and the peak of memory of each in a process of its own.

    python benchmarks/lora.py [--rounds 3] [--threads 1] [--learned 256 64] [--shapes gpt2 llama] [--only ours bare] [--what times memory steps merge]

Rows have 256 tokens, of which the last so many are learned (256: plain text, all but the first; 64: pairs). Times are CPU seconds, which other programs disturb least.
One shape and one of `--learned` take about four minutes on one core; `--only` takes the contestants whose names begin so.
"""
import argparse, copy, json, os, platform, statistics, subprocess, sys, tempfile, time, warnings

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('--rounds', type=int, default=3)
parser.add_argument('--threads', type=int, default=1)
parser.add_argument('--learned', type=int, nargs='+', default=[256, 64])
parser.add_argument('--shapes', nargs='+', default=['gpt2', 'llama'])
parser.add_argument('--only', nargs='+', default=[''], help='contestants whose names begin so: bare, SFTTrainer, ours, our; all: also training all weights')
parser.add_argument('--what', nargs='+', default=['times', 'memory', 'steps', 'merge'], help='what to measure')
parser.add_argument('--alone', help='one contestant, to measure its memory')
args = parser.parse_args()
os.environ.update(OMP_NUM_THREADS=str(args.threads), HF_HUB_OFFLINE='1')
warnings.simplefilter('ignore')

import peft, torch, transformers, trl
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import SFTConfig, SFTTrainer
from llm_lab.lora import _fold_in, add_lora, lora_layers, merge_lora
from llm_lab.runtime import PeakMemory, quiet
from llm_lab.sft import SFTSettings, make_trainer, run_trainer, sft_arguments

torch.set_num_threads(args.threads)
B,T = 4,256
targets = dict(gpt2=['c_attn', 'c_proj', 'c_fc'], llama=['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'])

def model_of(shape):
    "124M parameters as in GPT-2, 135M as in a small Llama, with random weights."
    torch.manual_seed(0)
    if shape == 'gpt2': return GPT2LMHeadModel(GPT2Config(resid_pdrop=0, embd_pdrop=0, attn_pdrop=0))
    sizes = dict(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3)
    return LlamaForCausalLM(LlamaConfig(vocab_size=49152, max_position_embeddings=2048, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0, **sizes))

tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({'<|endoftext|>': 0}, unk_token='<|endoftext|>')), eos_token='<|endoftext|>', pad_token='<|endoftext|>')

def rows_of(learned):
    "The same rows for everybody; nobody learns the first token, which nothing predicts."
    learned = min(learned, T - 1)
    ids = torch.randint(1, 40000, (B*4, T), generator=torch.Generator().manual_seed(1)).tolist()
    return Dataset.from_list([dict(input_ids=r, labels=[-100]*(T - learned) + r[T - learned:]) for r in ids])

class Watch(TrainerCallback):
    "CPU seconds from the end of the first step to the end of the last."
    def on_step_end(self, a, state, control, **kw):
        if state.global_step == 1: self.start = time.process_time()
        self.seconds = (time.process_time() - self.start)/max(1, state.global_step - 1)

def with_peft(shape, start=None):
    "PEFT's model; with our first values where they are given."
    theirs = peft.get_peft_model(model_of(shape), peft.LoraConfig(r=8, lora_alpha=16, target_modules=targets[shape], task_type='CAUSAL_LM', fan_in_fan_out=shape == 'gpt2'))
    for n,m in (start or {}).items(): theirs.base_model.model.get_submodule(n).lora_A.default.weight.data.copy_(m.lora_A.data)
    return theirs

def ours_of(shape): return add_lora(model_of(shape), target_modules=targets[shape])

def loop(model, rows, steps=3):
    "A bare loop: seconds a step, last loss."
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0., fused=True)
    for i in range(steps):
        if i == 1: start = time.process_time()
        batch = {k: torch.tensor(rows[i*B:(i + 1)*B][k]) for k in ('input_ids', 'labels')}
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.)
        optimizer.step(); optimizer.zero_grad()
    return (time.process_time() - start)/(steps - 1), loss.item()

def with_trl(model, rows, steps=3):
    "SFTTrainer as it comes, but silent and in the order of the rows."
    watch = Watch()
    with tempfile.TemporaryDirectory() as d:
        a = SFTConfig(output_dir=d, per_device_train_batch_size=B, max_steps=steps, learning_rate=1e-4, lr_scheduler_type='constant', logging_steps=1, save_strategy='no', report_to='none', use_cpu=True,
                      disable_tqdm=True, bf16=False, train_sampling_strategy='sequential', dataset_kwargs={'skip_prepare_dataset': True}, max_length=T)
        trainer = SFTTrainer(model=model, args=a, train_dataset=rows, processing_class=tokenizer, callbacks=[watch])
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    return watch.seconds, [h['loss'] for h in trainer.state.log_history if 'loss' in h][-1]

def with_ours(model, rows, steps=3):
    "The trainer that finetune uses, in the order of the rows; all weights where there are no adapters."
    watch = Watch()
    with tempfile.TemporaryDirectory() as d:
        a = sft_arguments(d, SFTSettings(batch_size=B, max_steps=steps, learning_rate=1e-4, schedule='constant', warmup_steps=0), train_sampling_strategy='sequential')
        trainer = make_trainer(model, rows, tokenizer, a, progress=False)
        trainer.add_callback(watch)
        history = run_trainer(trainer)
    return watch.seconds, history[-1]['loss']

everybody = {'bare PEFT loop': lambda s, rows: loop(with_peft(s, lora_layers(ours_of(s))), rows), 'SFTTrainer as it comes': lambda s, rows: with_trl(with_peft(s, lora_layers(ours_of(s))), rows),
               'ours (finetune)': lambda s, rows: with_ours(ours_of(s), rows), 'our add_lora, bare loop': lambda s, rows: loop(ours_of(s), rows)}
if 'all' in args.only: everybody['all weights (finetune)'] = lambda s, rows: with_ours(model_of(s), rows)

contestants = {n: run for n,run in everybody.items() if n.startswith(tuple(args.only))}

if args.alone:
    name,shape,learned = args.alone.split('|')
    rows = rows_of(int(learned))
    with PeakMemory() as peak, quiet(): contestants[name](shape, rows)
    print(f'peak {peak.bytes}')
    sys.exit()

print(f'{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {args.threads} threads; torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}, trl {trl.__version__}')

def peak_of(name, shape, learned) -> int:
    "Bytes at the peak of one contestant in a process of its own."
    alone = [sys.executable, __file__, '--threads', str(args.threads), '--only', *args.only, '--alone', f'{name}|{shape}|{learned}']
    return int(subprocess.run(alone, capture_output=True, text=True).stdout.split('peak ')[-1] or 0)

for shape in args.shapes if {'times', 'memory'} & set(args.what) else ():
    for learned in args.learned:
        rows = rows_of(learned)
        times,losses = {n: [] for n in contestants},{}
        for _ in range(args.rounds if 'times' in args.what else 0):
            for name,run in contestants.items():
                with quiet(): seconds,losses[name] = run(shape, rows)
                times[name].append(seconds)
        print(f'\n{shape}, {B} rows of {T} tokens, {min(learned, T - 1)} learned in each')
        first = next(iter(times.values()))
        for name,t in times.items():
            said = f'  {name:26}'
            if t:
                ratios = [a/b for a,b in zip(t, first)]
                said += f' {statistics.median(t):6.2f} CPU s a step, {statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f}), loss {losses[name]:.5f}'
            if 'memory' in args.what: said += f' peak {peak_of(name, shape, learned)/1e9:.2f} GB'
            print(said, flush=True)

def alternating(shape, rows, steps=12) -> list[float]:
    "Our adapters' step as a share of PEFT's, step for step in turns with the same rows: what disturbs one disturbs the other."
    models = {'ours': ours_of(shape), 'PEFT': with_peft(shape)}
    optimizers = {n: torch.optim.AdamW([p for p in m.train().parameters() if p.requires_grad], lr=1e-4, weight_decay=0., fused=True) for n,m in models.items()}
    ratios = []
    for i in range(steps):
        batch = {k: torch.tensor(rows[i%4*B:(i%4 + 1)*B][k]) for k in ('input_ids', 'labels')}
        took = {}
        for name in list(models)[::1 if i % 2 else -1]:
            start = time.process_time()
            models[name](**batch).loss.backward()
            optimizers[name].step(); optimizers[name].zero_grad()
            took[name] = time.process_time() - start
        if i: ratios.append(took['ours']/took['PEFT'])
    return sorted(ratios)

if 'steps' in args.what:
    for shape in args.shapes:
        with quiet(): ratios = alternating(shape, rows_of(args.learned[0]))
        print(f'\n{shape}: a step with our add_lora, PEFT 1.00: {statistics.median(ratios):.3f} (middle half {ratios[len(ratios)//4]:.3f} to {ratios[-1 - len(ratios)//4]:.3f})', flush=True)
if 'merge' not in args.what: sys.exit()

def merging(merge, make):
    "Wall and CPU seconds of one merge, with the model already there."
    model = make()
    for n,p in model.named_parameters():
        if 'lora_B' in n: torch.nn.init.normal_(p.data, std=.01)
    wall,cpu = time.perf_counter(),time.process_time()
    merge(model)
    return time.perf_counter() - wall, time.process_time() - cpu

@torch.no_grad()
def folded(model):
    "What PEFT's `merge_and_unload` does: the steps added, the adapters gone; no outputs compared."
    return [_fold_in(model, n, layer) for n,layer in lora_layers(model).items()]

mergers = {'ours, outputs compared before and after': (merge_lora, lambda: ours_of('gpt2').eval()),
           'ours, folding alone': (folded, lambda: ours_of('gpt2').eval()),
           "PEFT's merge_and_unload": (lambda m: m.merge_and_unload(), lambda: with_peft('gpt2').eval())}
seen = {name: [] for name in mergers}
for _ in range(max(3, args.rounds)):
    for name,contestant in mergers.items(): seen[name].append(merging(*contestant))
print('\nmerging 124M in memory, in turns')
for name,times in seen.items():
    wall,cpu = (statistics.median(t) for t in zip(*times))
    print(f'  {name:40} {wall:.3f} s, {cpu:.3f} CPU s (least {min(c for _,c in times):.3f})')
