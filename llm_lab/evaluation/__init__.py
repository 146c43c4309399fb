"""Scores, under the path that users of the fine-tuning framework type.

`evaluate_task` is on nbs/07_finetune.ipynb, the metrics on nbs/06a_text_metrics.ipynb, the curves on nbs/06e_curves.ipynb."""
from ..finetune import evaluate_task
from ..curves import plot_training_curves
from ..text_metrics import compute_answer_scores, compute_classification_scores, compute_rouge_scores, compute_translation_scores

__all__ = ['compute_answer_scores', 'compute_classification_scores', 'compute_rouge_scores', 'compute_translation_scores', 'evaluate_task',
           'plot_training_curves']
