"""LoRA on two counts, each beside its peer in one interleaved run: a training step (forward and backward) of our adapters
against PEFT's, and a step with our loss (logits for the completions only) against the loss of TRL's SFTTrainer.

    python benchmarks/lora.py [--rounds 7] [--threads 1]
"""
import argparse, copy, os, platform, statistics, tempfile, time

args = argparse.ArgumentParser(description=__doc__)
args.add_argument('--rounds', type=int, default=7)
args.add_argument('--threads', type=int, default=1)
args = args.parse_args()
os.environ['OMP_NUM_THREADS'] = str(args.threads)

import peft, torch, transformers, trl
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from llm_lab.lora import add_lora, lora_layers
from llm_lab.sft import collate_pairs, sft_trainer

torch.set_num_threads(args.threads)
print(f'{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {args.threads} threads; torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}, trl {trl.__version__}')

V,T,B = 4096,256,8
torch.manual_seed(0)
base = Qwen3ForCausalLM(Qwen3Config(vocab_size=V, hidden_size=256, intermediate_size=704, num_hidden_layers=6, num_attention_heads=4, num_key_value_heads=4,
    head_dim=64, max_position_embeddings=T, tie_word_embeddings=True, bos_token_id=None, eos_token_id=0))
rows = [dict(input_ids=torch.randint(1, V, (n,)).tolist(), labels=[-100]*(n - 16) + torch.randint(1, V, (16,)).tolist()) for n in range(T - 8*B, T, 8)]   # prompts of 176 to 232, completions of 16 tokens
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({'<|endoftext|>': 0}, unk_token='<|endoftext|>')), eos_token='<|endoftext|>', pad_token='<|endoftext|>')

ours = add_lora(copy.deepcopy(base)).train()
theirs = peft.get_peft_model(copy.deepcopy(base), peft.LoraConfig(r=8, lora_alpha=16, target_modules='all-linear', task_type='CAUSAL_LM')).train()
for n,m in lora_layers(ours).items(): theirs.base_model.model.get_submodule(n).lora_A.default.weight.data.copy_(m.lora_A.data)
scratch = tempfile.mkdtemp()
trainer = sft_trainer(add_lora(copy.deepcopy(base)).train(), Dataset.from_list(rows), tokenizer, scratch, max_steps=1, progress=False)
TRL = type(trainer).__mro__[1]
ids = torch.randint(1, V, (B, T))

def lora_step(model): loss = model(input_ids=ids, labels=ids).loss; loss.backward(); return loss.item()
def ours_loss(): loss = trainer.compute_loss(trainer.model, collate_pairs(rows)); loss.backward(); return loss.item()
def trl_loss(): loss = TRL.compute_loss(trainer, trainer.model, DataCollatorForLanguageModeling(pad_token_id=0)(rows)); loss.backward(); return loss.item()

def compare(title, mine, peer):
    values = mine(), peer()   # also the warm-up
    times = {f: [] for f in (mine, peer)}
    for _ in range(args.rounds):
        for f in times: t = time.process_time(); f(); times[f].append(time.process_time() - t)   # CPU seconds: other programs do not count
    (a,b),ratios = (statistics.median(v) for v in times.values()),[p/m for m,p in zip(times[mine], times[peer])]
    print(f'{title}: ours {a:.3f} CPU s, peer {b:.3f} CPU s, peer/ours {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f}); losses {values[0]:.5f} and {values[1]:.5f}')

compare('adapters, against PEFT', lambda: lora_step(ours), lambda: lora_step(theirs))
compare('completion loss, against TRL', ours_loss, trl_loss)
