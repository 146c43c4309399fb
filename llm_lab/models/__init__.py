"""Models by name, under the path that users of the fine-tuning framework type.

`from llm_lab.models import load_llama3_model` is `llm_lab.finetune.load_llama3_model`; the page is nbs/07_finetune.ipynb."""
from ..finetune import (KNOWN_MODELS, ModelSettings, load_llama3_1b_model, load_llama3_model, load_model_by_name, load_phi4_model,
                        resolve_model, save_finetuned)

__all__ = ['KNOWN_MODELS', 'ModelSettings', 'load_llama3_1b_model', 'load_llama3_model', 'load_model_by_name', 'load_phi4_model',
           'resolve_model', 'save_finetuned']
