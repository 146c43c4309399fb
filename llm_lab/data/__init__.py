"""Datasets by name, under the path that users of the fine-tuning framework type.

`from llm_lab.data import load_sst2` is `llm_lab.finetune.load_sst2`; the page is nbs/07_finetune.ipynb."""
from ..finetune import KNOWN_DATA, clear_token_cache, load_cnn_dailymail, load_dataset_by_name, load_sst2, load_wmt14, prompt_of, show_token_cache

__all__ = ['KNOWN_DATA', 'clear_token_cache', 'load_cnn_dailymail', 'load_dataset_by_name', 'load_sst2', 'load_wmt14', 'prompt_of',
           'show_token_cache']
