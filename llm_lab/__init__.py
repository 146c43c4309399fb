"""Language-model work end to end, in notebooks: clean, pack, train, checkpoint, fine-tune, measure."""
__version__ = "0.2.0"

import warnings as _warnings
from importlib import import_module as _import

_warnings.filterwarnings('ignore', message='IProgress not found')   # tqdm's, once in every page: our bars need no widgets

# Main names and the module each is defined in: importing the package loads none of them, the first use of a name loads its module.
_names = {
    'loader': 'ModelLoader load_model_with_fallback download_model_manually verify_model estimate_memory',
    'runtime': 'resolve_device resolve_dtype',
    'hub': 'ModelFilesError LocalHub',
    'uncertainty': 'bootstrap paired_bootstrap',
    'data_cleaning': '''paragraph_length_filter paragraph_repetition_filter deduplication default_rules clean_dataset
        Ledger''',
    'reading': '''ReadingOptions read_with_ledger clean_files read_txt_folder read_jsonl read_csv read_parquet read_documents
        prepare_dataset load_text_data''',
    'documents': 'python_docs cut_documents chunk_texts split_documents summary_pairs',
    'quality': '''unicode_repair length_filter gopher_quality_filter gopher_repetition_filter c4_filter fineweb_filter pii_masking
        language_filter''',
    'duplicates': 'near_deduplication duplicate_clusters decontamination',
    'tokenizer': 'Tokenizer train_bpe add_special_tokens count_tokens front_id',
    'packing': 'pack_sequences PackedRows leak',
    'batches': 'GPTDataLoader',
    'gpt_model': 'GPTConfig GPT create_model',
    'generation': 'Generator',
    'slots': 'SlotEngine TextRequest',
    'chat': 'Chat ChatModel add_chat_tokens grow_vocab python_questions',
    'calls': 'find_calls describe_functions',
    'api': 'Service',
    'serve': 'ServeSettings serving',
    'server': 'open_service',
    'llama_cpp': 'LlamaCppEngine',
    'checkpoint': 'CheckpointManager',
    'opening': 'open_model load_model get_model_info',
    'museum': 'convert_legacy_checkpoint',
    'lora': 'LoRALinear LoRASettings add_lora merge_lora',
    'adapters': 'save_adapter load_adapter save_merged check_certificate',
    'pairs': 'read_examples PromptForm read_prompt_form',
    'sft': 'preflight SFTSettings',
    'smolora': 'SmoLoRA LoRATrainer',
    'eval': 'perplexity bits_per_byte plot_token_losses',
    'opponents': 'compression_bits_per_byte ngram_bits_per_byte clean_documents heldout_scores',
    'text_metrics': 'compute_rouge_scores compute_translation_scores compute_classification_scores compute_answer_scores',
    'compare': 'compare_models multiple_choice benchmark_model lm_eval_scores',
    'practice': 'practice_hub',
    'finetune': '''load_model_by_name load_llama3_model load_llama3_1b_model load_phi4_model ModelSettings load_dataset_by_name
        load_cnn_dailymail load_wmt14 load_sst2 TrainingConfig get_training_args create_trainer get_recommended_config evaluate_task
        save_finetuned write_answers fit_gpt''',
    'curves': 'read_history plot_training_curves',
    'report': 'write_report write_model_card',
    'experiments': 'read_config plan_experiment run_experiment run_experiments',
    'memory': 'get_memory_optimized_config training_memory',
    'export': 'export_gguf export_onnx quantize_int8 read_gguf',
    'scale': 'spread shard_model gather_model bytes_per_step estimate_time',
    'sharded': 'ShardedCheckpoints read_sharded',
    'shards': 'shard_files clean_shards read_shards stream_shards encode_shards',
    'plan': 'RunSettings',
    'run': 'run_lab',
}
_where = {name: module for module, names in _names.items() for name in names.split()}
__all__ = sorted(_where)

def __getattr__(name):
    if name not in _where: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = globals()[name] = getattr(_import(f'.{_where[name]}', __name__), name)
    return value

def __dir__(): return sorted({*globals(), *__all__})
