"""Config keys that mean the same in every family: carried as they are, or refused.

A key that is in none of the lists (these, and the family's own `config`, `defaults`, `carried`,
`sizes`) is refused: what it does to the model is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Keys every family reads: what class it is, how it is stored, whether the head is tied.
READ = frozenset({"model_type", "architectures", "dtype", "torch_dtype", "tie_word_embeddings"})

# Keys that do not change what the model computes in eval mode, by what they are about.
_CARRIED: Mapping[str, str] = {
    "bookkeeping": """
        _name_or_path name_or_path _commit_hash transformers_version attn_implementation _attn_implementation
        _attn_implementation_autoset _attn_implementation_internal _experts_implementation use_bfloat16
        torchscript tf_legacy_loss tokenizer_class prefix task_specific_params finetuning_task""",
    "outputs and labels": """
        output_hidden_states output_attentions return_dict use_cache tie_last_hidden_states id2label label2id
        num_labels problem_type chunk_size_feed_forward""",
    "training": "initializer_range initializer_factor gradient_checkpointing",
    "tokens": """
        bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id mask_token_id unk_token_id
        decoder_start_token_id""",
    "generation parameters, kept in old configs": """
        max_length min_length max_new_tokens min_new_tokens do_sample early_stopping num_beams
        num_beam_groups diversity_penalty temperature top_k top_p min_p typical_p epsilon_cutoff eta_cutoff
        repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids
        force_words_ids num_return_sequences output_scores output_logits return_dict_in_generate
        forced_bos_token_id forced_eos_token_id remove_invalid_values exponential_decay_length_penalty
        suppress_tokens begin_suppress_tokens renormalize_logits guidance_scale cache_implementation""",
}
CARRIED = frozenset(word for words in _CARRIED.values() for word in words.split())


@dataclass(frozen=True)
class Refusal:
    """Values a key may have, and the way out where it has another."""

    allowed: tuple[Any, ...]
    help: str


# Keys that change what the model computes, in any family.
REFUSED: Mapping[str, Refusal] = {
    "is_decoder": Refusal((False, None), "only the model's usual direction of attention is handled"),
    "is_encoder_decoder": Refusal((False, None), "encoder-decoder models are not handled"),
    "add_cross_attention": Refusal((False, None), "cross-attention is not handled"),
    "cross_attention_hidden_size": Refusal((None,), "cross-attention is not handled"),
    "tie_encoder_decoder": Refusal((False, None), "encoder-decoder models are not handled"),
    "pruned_heads": Refusal(({}, None), "pruned heads are not handled, nor loaded by transformers 5"),
    "quantization_config": Refusal((None,), "dequantize first: `model.dequantize().save_pretrained(DIR)`"),
    "per_layer_config": Refusal((None, {}), "all layers must have the same sizes"),
    "auto_map": Refusal((None, {}), "the model runs its own code, which may compute something else"),
}
