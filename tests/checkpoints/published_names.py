"""Names of tensors as published models have them, with their shapes and what they are for, by architecture.

One line a name: shape ("-" for a scalar), name, role. Integers have their type in front of the shape.
"""

from __future__ import annotations

TABLES = {
    "Llama, Mistral": """
        128x64 model.embed_tokens.weight embedding
        64x64 model.layers.0.self_attn.q_proj.weight weight
        16x64 model.layers.0.self_attn.k_proj.weight weight
        16x64 model.layers.0.self_attn.v_proj.weight weight
        64x64 model.layers.0.self_attn.o_proj.weight weight
        172x64 model.layers.31.mlp.gate_proj.weight weight
        64x172 model.layers.31.mlp.down_proj.weight weight
        64 model.layers.31.input_layernorm.weight norm
        64 model.layers.31.post_attention_layernorm.weight norm
        32 model.layers.0.self_attn.rotary_emb.inv_freq buffer
        64 model.norm.weight norm
        128x64 lm_head.weight weight
        128x64 tok_embeddings.weight embedding
        64x64 layers.0.attention.wq.weight weight
        64x172 layers.0.feed_forward.w2.weight weight
        64 layers.0.attention_norm.weight norm
        64 layers.0.ffn_norm.weight norm
        128x64 output.weight weight
        32 rope.freqs buffer
        64x32 freqs_cis buffer
    """,
    "Qwen, Gemma": """
        192 model.layers.0.self_attn.q_proj.bias bias
        16 model.layers.0.self_attn.q_norm.weight norm
        16 model.layers.0.self_attn.k_norm.weight norm
        64 model.layers.0.pre_feedforward_layernorm.weight norm
        128x64 transformer.wte.weight embedding
        192x64 transformer.h.0.attn.c_attn.weight weight
        192 transformer.h.0.attn.c_attn.bias bias
        64 transformer.h.0.ln_1.weight norm
        64 transformer.ln_f.weight norm
        64x172 model.language_model.layers.0.mlp.down_proj.weight weight
        64x3x14x14 vision_tower.vision_model.embeddings.patch_embedding.weight weight
        196x64 vision_tower.vision_model.embeddings.position_embedding.weight embedding
        64x48 multi_modal_projector.mm_input_projection_weight weight
        64 multi_modal_projector.mm_soft_emb_norm.weight norm
        64x3x2x14x14 model.visual.patch_embed.proj.weight weight
        128x512 model.language_model.embed_tokens_per_layer.weight embedding
        64 model.language_model.norm.weight norm
    """,
    "GPT-2": """
        128x64 wte.weight embedding
        32x64 wpe.weight embedding
        64x192 h.0.attn.c_attn.weight weight
        192 h.0.attn.c_attn.bias bias
        1x1x32x32 h.0.attn.bias buffer
        - h.0.attn.masked_bias buffer
        64x64 h.0.attn.c_proj.weight weight
        64 h.0.ln_1.weight norm
        64 h.0.ln_1.bias norm
        64x256 h.11.mlp.c_fc.weight weight
        256 h.11.mlp.c_fc.bias bias
        64 ln_f.bias norm
    """,
    "GPT-J, NeoX, BLOOM, Falcon, OPT": """
        128x64 gpt_neox.embed_in.weight embedding
        128x64 embed_out.weight weight
        192x64 gpt_neox.layers.0.attention.query_key_value.weight weight
        bool:1x1x32x32 gpt_neox.layers.0.attention.bias buffer
        1x1x32x32 transformer.h.0.attn.attention.bias buffer
        8 gpt_neox.layers.0.attention.rotary_emb.inv_freq buffer
        256x64 gpt_neox.layers.0.mlp.dense_h_to_4h.weight weight
        64 gpt_neox.final_layer_norm.bias norm
        128x64 transformer.word_embeddings.weight embedding
        64 transformer.word_embeddings_layernorm.weight norm
        64 transformer.h.0.ln_attn.weight norm
        128x64 model.decoder.embed_tokens.weight embedding
        34x64 model.decoder.embed_positions.weight embedding
        256 model.decoder.layers.0.fc1.bias bias
        64 model.decoder.layers.0.self_attn_layer_norm.weight norm
        64x32 model.decoder.project_in.weight weight
    """,
    "BERT, RoBERTa, ALBERT, DeBERTa": """
        128x64 bert.embeddings.word_embeddings.weight embedding
        32x64 bert.embeddings.position_embeddings.weight embedding
        2x64 bert.embeddings.token_type_embeddings.weight embedding
        64 bert.embeddings.LayerNorm.weight norm
        64 bert.embeddings.LayerNorm.gamma norm
        64 bert.embeddings.LayerNorm.beta norm
        int64:1x32 bert.embeddings.position_ids buffer
        64x64 bert.encoder.layer.0.attention.self.query.weight weight
        64 bert.encoder.layer.0.attention.output.LayerNorm.bias norm
        128 cls.predictions.bias bias
        64x64 cls.predictions.transform.dense.weight weight
        128x64 cls.predictions.decoder.weight weight
        2x64 cls.seq_relationship.weight weight
        64x64 bert.pooler.dense.weight weight
        64x32 albert.encoder.embedding_hidden_mapping_in.weight weight
        64x64 deberta.encoder.rel_embeddings.weight embedding
        64 deberta.encoder.LayerNorm.weight norm
        2x64 classifier.weight weight
    """,
    "T5, BART": """
        128x64 shared.weight embedding
        128x64 encoder.embed_tokens.weight embedding
        64x64 encoder.block.0.layer.0.SelfAttention.q.weight weight
        32x8 encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight embedding
        64 encoder.block.0.layer.0.layer_norm.weight norm
        128x64 encoder.block.0.layer.1.DenseReluDense.wi_0.weight weight
        64 encoder.final_layer_norm.weight norm
        64x64 model.decoder.layers.0.encoder_attn.out_proj.weight weight
        64 model.encoder.layernorm_embedding.weight norm
        1x128 final_logits_bias bias
    """,
    "Whisper": """
        64x80x3 encoder.conv1.weight weight
        64 encoder.conv1.bias bias
        150x64 encoder.positional_embedding embedding
        128x64 decoder.token_embedding.weight embedding
        64 decoder.blocks.0.attn_ln.weight norm
        64 decoder.blocks.0.cross_attn_ln.bias norm
        64 decoder.blocks.0.mlp_ln.weight norm
        256x64 decoder.blocks.0.mlp.0.weight weight
        64 decoder.ln.weight norm
        64 encoder.ln_post.weight norm
        32x32 decoder.mask buffer
        150x64 model.encoder.embed_positions.weight embedding
        80x201 mel_filters buffer
    """,
    "wav2vec 2, HuBERT, Conformer": """
        64x1x10 wav2vec2.feature_extractor.conv_layers.0.conv.weight weight
        64 wav2vec2.feature_extractor.conv_layers.0.layer_norm.weight norm
        64x4x128 wav2vec2.encoder.pos_conv_embed.conv.weight_v weight
        64 wav2vec2.masked_spec_embed embedding
        1x64x32 quantizer.codevectors weight
        4x16 encoder.layers.0.self_attn.pos_bias_u bias
        64x1x31 encoder.layers.0.conv.depthwise_conv.weight weight
        64 encoder.layers.0.conv.batch_norm.running_var buffer
        64x64 encoder.layers.0.self_attn.linear_pos.weight weight
        1x80x257 preprocessor.featurizer.fb buffer
        400 preprocessor.featurizer.window buffer
    """,
    "ViT, CLIP, DINO, Swin (timm and others)": """
        1x1x64 cls_token embedding
        1x197x64 pos_embed embedding
        64x3x16x16 patch_embed.proj.weight weight
        64 patch_embed.proj.bias bias
        64 blocks.0.norm1.weight norm
        192x64 blocks.0.attn.qkv.weight weight
        64 blocks.0.ls1.gamma norm
        64 blocks.0.gamma_1 norm
        64 encoder.layer.0.layer_scale1.lambda1 norm
        1x4x64 register_tokens embedding
        1x64 mask_token embedding
        64 class_embedding embedding
        77x64 positional_embedding embedding
        64x64 text_projection weight
        - logit_scale buffer
        192x64 transformer.resblocks.0.attn.in_proj_weight weight
        192 transformer.resblocks.0.attn.in_proj_bias bias
        64 visual.ln_pre.weight norm
        169x4 layers.0.blocks.0.attn.relative_position_bias_table embedding
        int64:49x49 layers.0.blocks.0.attn.relative_position_index buffer
        64x49x49 layers.0.blocks.1.attn_mask buffer
        4x1x1 layers.0.blocks.0.attn.logit_scale weight
        64x128 layers.0.downsample.reduction.weight weight
        1000x64 head.weight weight
        1000 head.bias bias
        127x64 image_encoder.blocks.0.attn.rel_pos_h embedding
        1x14x14x64 image_encoder.pos_embed embedding
    """,
    "ResNet, EfficientNet, ConvNeXt (torchvision and timm)": """
        64x3x7x7 conv1.weight weight
        64 bn1.weight norm
        64 bn1.bias norm
        64 bn1.running_mean buffer
        64 layer1.0.bn2.running_var buffer
        int64:- bn1.num_batches_tracked buffer
        64 layer2.0.downsample.1.weight norm
        64x64x1x1 layer2.0.downsample.0.weight weight
        1000x64 fc.weight weight
        32x1x3x3 features.1.0.block.0.0.weight weight
        32 features.1.0.block.0.1.weight norm
        64 stages.0.blocks.0.gamma norm
        64x1x7x7 stages.0.blocks.0.conv_dw.weight weight
        64x1x1 features.1.0.layer_scale norm
        64x64x1x1 classifier.1.weight weight
    """,
    "YOLO, DETR, SAM": """
        32x3x3x3 model.0.conv.weight weight
        32 model.0.bn.weight norm
        1x16x1x1 model.22.dfl.conv.weight weight
        3x3x2 model.24.anchors buffer
        3x1x3x1x1x2 model.24.anchor_grid buffer
        3 model.24.stride buffer
        100x64 query_embed.weight embedding
        50x32 backbone.1.row_embed.weight embedding
        64x64 transformer.decoder.layers.0.multihead_attn.in_proj_weight weight
        92x64 class_embed.weight embedding
        2x128 prompt_encoder.pe_layer.positional_encoding_gaussian_matrix weight
        1x64 mask_decoder.iou_token.weight embedding
        3x1x1 pixel_mean buffer
        3x1x1 pixel_std buffer
    """,
    "Stable Diffusion, DiT, Flux, VAE": """
        1000 betas buffer
        1000 alphas_cumprod buffer
        1000 sqrt_one_minus_alphas_cumprod buffer
        1000 posterior_variance buffer
        1000 log_one_minus_alphas_cumprod buffer
        1000 lvlb_weights buffer
        64x32 model.diffusion_model.time_embed.0.weight weight
        64x4x3x3 model.diffusion_model.input_blocks.0.0.weight weight
        64 model.diffusion_model.input_blocks.1.0.in_layers.0.weight norm
        64 model.diffusion_model.input_blocks.1.1.norm.weight norm
        64x64 model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight weight
        64 first_stage_model.decoder.mid.block_1.norm1.weight norm
        4x4x1x1 first_stage_model.post_quant_conv.weight weight
        64x64x3x3 down_blocks.0.resnets.0.conv1.weight weight
        64 up_blocks.3.resnets.2.norm2.bias norm
        64 conv_norm_out.weight norm
        64x64 time_embedding.linear_1.weight weight
        - scale_factor buffer
        64x16 x_embedder.weight weight
        8x64 y_embedder.embedding_table.weight embedding
        64x64 t_embedder.mlp.0.weight weight
        384x64 blocks.0.adaLN_modulation.1.weight weight
        384x64 transformer_blocks.0.norm1.linear.weight weight
        16 single_blocks.0.norm.query_norm.scale norm
        16 transformer_blocks.0.attn.norm_q.weight norm
        6x64 scale_shift_table weight
        64x8 loss.lpips.scaling_layer.shift buffer
    """,
    "codecs and vocoders": """
        128x16 quantizer.vq.layers.0._codebook.embed embedding
        128x16 quantizer.vq.layers.0._codebook.embed_avg buffer
        128 quantizer.vq.layers.0._codebook.cluster_size buffer
        1 quantizer.vq.layers.0._codebook.inited buffer
        128x16 quantizer.quantizers.0.codebook.weight embedding
        8x128x16 codebooks embedding
        64x32x16 ups.0.weight_v weight
        64x1x1 ups.0.weight_g weight
        32 ups.0.bias bias
        64x32x16 decoder.model.3.convtr.convtr.weight weight
        32x16x7 dec.resblocks.0.convs1.0.parametrizations.weight.original1 weight
        1x64x1 decoder.model.0.alpha weight
        128x64 speaker_embedding.weight embedding
        513 istft.window buffer
    """,
    "Mamba, RWKV": """
        128x64 backbone.embeddings.weight embedding
        256x64 backbone.layers.0.mixer.in_proj.weight weight
        128x16 backbone.layers.0.mixer.A_log weight
        128 backbone.layers.0.mixer.D weight
        8 backbone.layers.0.mixer.dt_bias weight
        128x1x4 backbone.layers.0.mixer.conv1d.weight weight
        128 backbone.layers.0.mixer.conv1d.bias bias
        128x4 backbone.layers.0.mixer.dt_proj.weight weight
        64 backbone.layers.0.norm.weight norm
        64 backbone.norm_f.weight norm
        128x64 emb.weight embedding
        64 blocks.0.ln0.weight norm
        4x16 blocks.0.att.time_faaaa weight
        64 blocks.0.att.time_mix_k weight
        64 blocks.0.att.ln_x.weight norm
    """,
    "mixtures of experts": """
        8x64 model.layers.0.block_sparse_moe.gate.weight weight
        96x64 model.layers.0.block_sparse_moe.experts.0.w1.weight weight
        8x64x192 model.layers.0.mlp.experts.gate_up_proj weight
        8x192 model.layers.0.mlp.experts.gate_up_proj_bias bias
        8x96x64 model.layers.0.mlp.experts.down_proj weight
        8 model.layers.0.mlp.router.bias bias
        8 model.layers.0.mlp.gate.e_score_correction_bias bias
        4 model.layers.0.self_attn.sinks weight
        32 model.layers.0.self_attn.kv_a_layernorm.weight norm
        576x64 model.layers.0.self_attn.kv_a_proj_with_mqa.weight weight
        64x96 model.layers.0.mlp.shared_experts.down_proj.weight weight
        768x64 transformer.blocks.0.ffn.experts.mlp.w2 weight
        8x64 transformer.blocks.0.ffn.router.layer.weight weight
    """,
    "GGUF": """
        128x64 token_embd.weight embedding
        64 token_embd_norm.weight norm
        2x64 token_types.weight embedding
        64 blk.0.attn_norm.weight norm
        64x64 blk.0.attn_q.weight weight
        64 blk.0.attn_q.bias bias
        16 blk.0.attn_q_norm.weight norm
        64x64 blk.0.attn_output.weight weight
        8x64 blk.0.ffn_gate_inp.weight weight
        8x96x64 blk.0.ffn_gate_exps.weight weight
        8x64x96 blk.0.ffn_down_exps.weight weight
        8 blk.0.exp_probs_b.bias bias
        64 output_norm.weight norm
        64x64 v.blk.0.attn_out.weight weight
        32 rope_freqs.weight buffer
        32 rope_factors_long.weight buffer
        128x4 blk.0.ssm_conv1d.weight weight
        128 blk.0.ssm_dt.bias bias
        32x8 enc.blk.0.attn_rel_b.weight embedding
        64x3x14x14 v.patch_embd.weight weight
        196x64 v.position_embd.weight embedding
        64 v.blk.0.ln1.weight norm
    """,
    "Flax and JAX": """
        128x64 params/transformer/wte/embedding embedding
        64x192 params/transformer/h/0/attn/c_attn/kernel weight
        64 params/transformer/h/0/ln_1/scale norm
        64 params/transformer/h/0/ln_1/bias norm
        64 params/encoder/LayerNorm_0/scale norm
        3x3x8x16 params/Conv_0/kernel weight
        16 params/BatchNorm_0/scale norm
        16 batch_stats/BatchNorm_0/mean buffer
        16 batch_stats/BatchNorm_0/var buffer
        64x4x16 params/MultiHeadDotProductAttention_0/query/kernel weight
        4x16 params/MultiHeadDotProductAttention_0/query/bias bias
        64x192 opt_state/0/mu/h/0/attn/c_attn/kernel optimizer
        64x192 opt_state/0/nu/h/0/attn/c_attn/kernel optimizer
        int32:- opt_state/0/count optimizer
        64 transformer/layer_0/pre_attention_norm/scale norm
        4x64x16 transformer/layer_0/attn/q_einsum/w weight
        128x64 transformer/embedder/input_embedding embedding
    """,
    "Keras and TensorFlow": """
        64x32 dense/kernel:0 weight
        32 dense/bias:0 bias
        3x3x8x1 depthwise_conv2d/depthwise_kernel:0 weight
        32 batch_normalization/gamma:0 norm
        32 batch_normalization/beta:0 norm
        32 batch_normalization/moving_mean:0 buffer
        32 batch_normalization/moving_variance:0 buffer
        32x128 lstm/lstm_cell/recurrent_kernel:0 weight
        100x16 embedding/embeddings:0 embedding
        64x32 Adam/m/dense/kernel:0 optimizer
        64x32 dense/kernel/Adam optimizer
        64x32 dense/kernel/Adam_1 optimizer
        - beta1_power optimizer
        64x32 bert/encoder/layer_0/attention/self/query/kernel weight
        64x32 bert/encoder/layer_0/attention/self/query/kernel/adam_m optimizer
        128x64 bert/embeddings/word_embeddings embedding
        64 bert/embeddings/LayerNorm/gamma norm
        64x32 optimizer/dense_kernel_momentum optimizer
        3x3x8x16 MobilenetV1/Conv2d_0/weights weight
        16 MobilenetV1/Conv2d_0/biases bias
    """,
    "recurrent networks": """
        128x64 lstm.weight_ih_l0 weight
        128x32 lstm.weight_hh_l0_reverse weight
        128 lstm.bias_ih_l0 bias
        128 lstm.bias_hh_l0_reverse bias
        16x32 lstm.weight_hr_l0 weight
        96x64 decoder.rnn.weight_ih weight
        100x16 encoder.embedding.weight embedding
    """,
    "LoRA": """
        8x64 base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight weight
        64x8 base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight weight
        64 base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector weight
        8x64 lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight weight
        - lora_unet_down_blocks_0_attentions_0_proj_in.alpha buffer
        8x64 blk.0.attn_q.weight.lora_a weight
    """,
    "parts of quantized layers": """
        int32:8x64 l.qzeros scale
        64x2 l.scales scale
        int32:64 l.g_idx scale
        64 l.SCB scale
        16 l.weight.quant_map scale
        256 l.weight.absmax scale
        1 l.input_scale scale
        1 l.self_attn.k_scale scale
        64 l.pre_quant_scale scale
        - l.weight_global_scale scale
        - l.input_quantizer._amax scale
        64 l.weight_fake_quant.scale scale
        int32:64 l.weight_fake_quant.zero_point scale
        - l.activation_post_process.min_val scale
        2x2 l.weight_scale_inv scale
        64x1 l.weight_scale scale
        int64:2 l.weight_shape scale
    """,
    "training checkpoints": """
        32x64 module._orig_mod.fc.weight weight
        32x64 _forward_module.fc.weight weight
        64 model.layers.0._checkpoint_wrapped_module.norm.weight norm
        32x64 optimizer.state.0.exp_avg optimizer
        32x64 optimizer.state.0.exp_avg_sq optimizer
        - optimizer.state.0.step optimizer
        32x64 optimizer_states.0.state.0.momentum_buffer optimizer
        32x64 optimizer_state_dict.state.0.exp_avg optimizer
        32x64 optim0.state.0.square_avg optimizer
        32x64 optimizer_G.state.0.exp_avg optimizer
        32x64 g_optim.state.0.exp_avg optimizer
        32x64 state.0.exp_avg optimizer
        32x64 state.3.sum optimizer
        32 state.fc.weight.exp_avg_sq_row optimizer
        64x8 lr_scheduler.base optimizer
        - grad_scaler.scale optimizer
        uint8:5056 rng_state buffer
        - epoch buffer
        1 swa_model.n_averaged buffer
        64x8 callbacks.best_scores optimizer
        32x64 optimizer_state.state.0.exp_avg optimizer
        64x128 queue buffer
        16x64 fc_mu.weight weight
        16x64 encoder.mu.weight weight
        64 layers.0.mega.ema_gate.damping weight
        128 flow.log_std buffer
        64x8 model.scaler.weight weight
    """,
}
