// Made by `npm run generate` from the operators of libtorch 2.13.0. Do not edit.

/** The schemas of every operator's overloads. */
export const SCHEMAS: Readonly<Record<string, readonly string[]>> = {
  "__and__": [
    "aten::__and__.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::__and__.Tensor(Tensor self, Tensor other) -> Tensor",
  ],
  "__iand__": [
    "aten::__iand__.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::__iand__.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "__ilshift__": [
    "aten::__ilshift__.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::__ilshift__.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "__ior__": [
    "aten::__ior__.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::__ior__.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "__irshift__": [
    "aten::__irshift__.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::__irshift__.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "__ixor__": [
    "aten::__ixor__.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::__ixor__.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "__lshift__": [
    "aten::__lshift__.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::__lshift__.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::__lshift__.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::__lshift__.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "__or__": [
    "aten::__or__.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::__or__.Tensor(Tensor self, Tensor other) -> Tensor",
  ],
  "__rshift__": [
    "aten::__rshift__.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::__rshift__.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::__rshift__.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::__rshift__.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "__xor__": [
    "aten::__xor__.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::__xor__.Tensor(Tensor self, Tensor other) -> Tensor",
  ],
  "_adaptive_avg_pool2d": [
    "aten::_adaptive_avg_pool2d(Tensor self, SymInt[2] output_size) -> Tensor",
    "aten::_adaptive_avg_pool2d.out(Tensor self, SymInt[2] output_size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_adaptive_avg_pool2d_backward": [
    "aten::_adaptive_avg_pool2d_backward(Tensor grad_output, Tensor self) -> Tensor",
    "aten::_adaptive_avg_pool2d_backward.out(Tensor grad_output, Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_adaptive_avg_pool3d": [
    "aten::_adaptive_avg_pool3d(Tensor self, SymInt[3] output_size) -> Tensor",
    "aten::_adaptive_avg_pool3d.out(Tensor self, SymInt[3] output_size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_adaptive_avg_pool3d_backward": [
    "aten::_adaptive_avg_pool3d_backward(Tensor grad_output, Tensor self) -> Tensor",
    "aten::_adaptive_avg_pool3d_backward.out(Tensor grad_output, Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_add_batch_dim": [
    "aten::_add_batch_dim(Tensor self, int batch_dim, int level) -> Tensor",
  ],
  "_add_relu": [
    "aten::_add_relu.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor",
    "aten::_add_relu.Scalar_out(Tensor self, Scalar other, Scalar alpha=1, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::_add_relu.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor",
    "aten::_add_relu.out(Tensor self, Tensor other, *, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_add_relu_": [
    "aten::_add_relu_.Scalar(Tensor(a!) self, Scalar other, Scalar alpha=1) -> Tensor(a!)",
    "aten::_add_relu_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)",
  ],
  "_addmm_activation": [
    "aten::_addmm_activation(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1, bool use_gelu=False) -> Tensor",
    "aten::_addmm_activation.out(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1, bool use_gelu=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_aminmax": [
    "aten::_aminmax(Tensor self) -> (Tensor, Tensor)",
    "aten::_aminmax.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor, Tensor)",
    "aten::_aminmax.dim_out(Tensor self, int dim, bool keepdim=False, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
    "aten::_aminmax.out(Tensor self, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "_amp_foreach_non_finite_check_and_unscale": [
    "aten::_amp_foreach_non_finite_check_and_unscale(Tensor[] self, Tensor found_inf, Tensor inv_scale) -> (Tensor[] self_out, Tensor found_inf_out)",
    "aten::_amp_foreach_non_finite_check_and_unscale.out(Tensor[] self, Tensor(b!) found_inf, Tensor inv_scale, *, Tensor(a!)[] out) -> ()",
  ],
  "_amp_foreach_non_finite_check_and_unscale_": [
    "aten::_amp_foreach_non_finite_check_and_unscale_(Tensor(a!)[] self, Tensor(b!) found_inf, Tensor inv_scale) -> ()",
  ],
  "_amp_update_scale": [
    "aten::_amp_update_scale(Tensor self, Tensor growth_tracker, Tensor found_inf, float scale_growth_factor, float scale_backoff_factor, int growth_interval) -> (Tensor, Tensor growth_tracker_out)",
    "aten::_amp_update_scale.out(Tensor self, Tensor(b!) growth_tracker, Tensor found_inf, float scale_growth_factor, float scale_backoff_factor, int growth_interval, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_amp_update_scale_": [
    "aten::_amp_update_scale_(Tensor(a!) self, Tensor(b!) growth_tracker, Tensor found_inf, float scale_growth_factor, float scale_backoff_factor, int growth_interval) -> Tensor(a!)",
  ],
  "_assert_async": [
    "aten::_assert_async(Tensor self) -> ()",
    "aten::_assert_async.msg(Tensor self, str assert_msg) -> ()",
  ],
  "_assert_scalar": [
    "aten::_assert_scalar(Scalar self, str assert_msg) -> ()",
  ],
  "_assert_tensor_metadata": [
    "aten::_assert_tensor_metadata(Tensor a, SymInt[]? size=None, SymInt[]? stride=None, ScalarType? dtype=None, *, Device? device=None, Layout? layout=None) -> ()",
  ],
  "_autocast_to_full_precision": [
    "aten::_autocast_to_full_precision(Tensor(a) self, bool cuda_enabled, bool cpu_enabled) -> Tensor(a)",
  ],
  "_autocast_to_reduced_precision": [
    "aten::_autocast_to_reduced_precision(Tensor(a) self, bool cuda_enabled, bool cpu_enabled, ScalarType cuda_dtype, ScalarType cpu_dtype) -> Tensor(a)",
  ],
  "_backward": [
    "aten::_backward(Tensor self, Tensor[] inputs, Tensor? gradient=None, bool? retain_graph=None, bool create_graph=False) -> ()",
  ],
  "_batch_norm_impl_index": [
    "aten::_batch_norm_impl_index(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps, bool cudnn_enabled) -> (Tensor, Tensor, Tensor, Tensor, int)",
  ],
  "_batch_norm_impl_index_backward": [
    "aten::_batch_norm_impl_index_backward(int impl_index, Tensor input, Tensor grad_output, Tensor? weight, Tensor? running_mean, Tensor? running_var, Tensor? save_mean, Tensor? save_var_transform, bool train, float eps, bool[3] output_mask, Tensor reservedSpace) -> (Tensor, Tensor, Tensor)",
  ],
  "_batch_norm_no_update": [
    "aten::_batch_norm_no_update(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, float momentum, float eps) -> (Tensor, Tensor, Tensor, Tensor)",
    "aten::_batch_norm_no_update.out(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, float momentum, float eps, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2, Tensor(d!) out3) -> (Tensor(a!), Tensor(b!), Tensor(c!), Tensor(d!))",
  ],
  "_batch_norm_with_update": [
    "aten::_batch_norm_with_update(Tensor input, Tensor? weight, Tensor? bias, Tensor(a!) running_mean, Tensor(b!) running_var, float momentum, float eps) -> (Tensor, Tensor, Tensor, Tensor)",
    "aten::_batch_norm_with_update.out(Tensor input, Tensor? weight, Tensor? bias, Tensor(a!) running_mean, Tensor(b!) running_var, float momentum, float eps, *, Tensor(d!) out, Tensor(e!) save_mean, Tensor(f!) save_invstd, Tensor(g!) reserve) -> (Tensor(d!), Tensor(e!), Tensor(f!), Tensor(g!))",
  ],
  "_batch_norm_with_update_functional": [
    "aten::_batch_norm_with_update_functional(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, float momentum, float eps) -> (Tensor, Tensor, Tensor, Tensor, Tensor running_mean_out, Tensor running_var_out)",
  ],
  "_cast_Byte": [
    "aten::_cast_Byte(Tensor self, bool non_blocking=False) -> Tensor",
  ],
  "_cast_Char": [
    "aten::_cast_Char(Tensor self, bool non_blocking=False) -> Tensor",
  ],
  "_cast_Double": [
    "aten::_cast_Double(Tensor self, bool non_blocking=False) -> Tensor",
  ],
  "_cast_Float": [
    "aten::_cast_Float(Tensor self, bool non_blocking=False) -> Tensor",
  ],
  "_cast_Half": [
    "aten::_cast_Half(Tensor self, bool non_blocking=False) -> Tensor",
  ],
  "_cast_Int": [
    "aten::_cast_Int(Tensor self, bool non_blocking=False) -> Tensor",
  ],
  "_cast_Long": [
    "aten::_cast_Long(Tensor self, bool non_blocking=False) -> Tensor",
  ],
  "_cast_Short": [
    "aten::_cast_Short(Tensor self, bool non_blocking=False) -> Tensor",
  ],
  "_cdist_backward": [
    "aten::_cdist_backward(Tensor grad, Tensor x1, Tensor x2, float p, Tensor cdist) -> Tensor",
    "aten::_cdist_backward.out(Tensor grad, Tensor x1, Tensor x2, float p, Tensor cdist, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_cdist_forward": [
    "aten::_cdist_forward(Tensor x1, Tensor x2, float p, int? compute_mode) -> Tensor",
    "aten::_cdist_forward.out(Tensor x1, Tensor x2, float p, int? compute_mode, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_cholesky_solve_helper": [
    "aten::_cholesky_solve_helper(Tensor self, Tensor A, bool upper) -> Tensor",
    "aten::_cholesky_solve_helper.out(Tensor self, Tensor A, bool upper, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_choose_qparams_per_tensor": [
    "aten::_choose_qparams_per_tensor(Tensor self, bool reduce_range=False) -> (float, int)",
  ],
  "_chunk_cat": [
    "aten::_chunk_cat(Tensor[] tensors, int dim, int num_chunks) -> Tensor",
    "aten::_chunk_cat.out(Tensor[] tensors, int dim, int num_chunks, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_coalesce": [
    "aten::_coalesce(Tensor self) -> Tensor",
    "aten::_coalesce.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_coalesced": [
    "aten::_coalesced(Tensor self, bool coalesced) -> Tensor",
    "aten::_coalesced.out(Tensor self, bool coalesced, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_coalesced_": [
    "aten::_coalesced_(Tensor(a!) self, bool coalesced) -> Tensor(a!)",
  ],
  "_compute_linear_combination": [
    "aten::_compute_linear_combination(Tensor input, Tensor coefficients) -> Tensor",
    "aten::_compute_linear_combination.out(Tensor input, Tensor coefficients, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_conj": [
    "aten::_conj(Tensor(a) self) -> Tensor(a)",
  ],
  "_conj_copy": [
    "aten::_conj_copy(Tensor self) -> Tensor",
    "aten::_conj_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_conj_physical": [
    "aten::_conj_physical(Tensor self) -> Tensor",
    "aten::_conj_physical.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_conv_depthwise2d": [
    "aten::_conv_depthwise2d(Tensor self, Tensor weight, SymInt[2] kernel_size, Tensor? bias, SymInt[2] stride, SymInt[2] padding, SymInt[2] dilation) -> Tensor",
    "aten::_conv_depthwise2d.out(Tensor self, Tensor weight, SymInt[2] kernel_size, Tensor? bias, SymInt[2] stride, SymInt[2] padding, SymInt[2] dilation, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_convert_indices_from_coo_to_csr": [
    "aten::_convert_indices_from_coo_to_csr(Tensor self, int size, *, bool out_int32=False) -> Tensor",
    "aten::_convert_indices_from_coo_to_csr.out(Tensor self, int size, *, bool out_int32=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_convert_indices_from_csr_to_coo": [
    "aten::_convert_indices_from_csr_to_coo(Tensor crow_indices, Tensor col_indices, *, bool out_int32=False, bool transpose=False) -> Tensor",
    "aten::_convert_indices_from_csr_to_coo.out(Tensor crow_indices, Tensor col_indices, *, bool out_int32=False, bool transpose=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_convert_weight_to_int4pack": [
    "aten::_convert_weight_to_int4pack(Tensor self, int innerKTiles) -> Tensor",
  ],
  "_convert_weight_to_int4pack_for_cpu": [
    "aten::_convert_weight_to_int4pack_for_cpu(Tensor self, int innerKTiles) -> Tensor",
  ],
  "_convolution": [
    "aten::_convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, bool benchmark, bool deterministic, bool cudnn_enabled, bool allow_tf32) -> Tensor",
    "aten::_convolution.deprecated(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, int[] output_padding, SymInt groups, bool benchmark, bool deterministic, bool cudnn_enabled) -> Tensor",
    "aten::_convolution.out(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, bool benchmark, bool deterministic, bool cudnn_enabled, bool allow_tf32, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_convolution_double_backward": [
    "aten::_convolution_double_backward(Tensor? ggI, Tensor? ggW, Tensor? ggb, Tensor gO, Tensor weight, Tensor self, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
  ],
  "_convolution_mode": [
    "aten::_convolution_mode(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, str padding, SymInt[] dilation, SymInt groups) -> Tensor",
  ],
  "_copy_from": [
    "aten::_copy_from(Tensor self, Tensor dst, bool non_blocking=False) -> Tensor",
    "aten::_copy_from.out(Tensor self, Tensor dst, bool non_blocking=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_copy_from_and_resize": [
    "aten::_copy_from_and_resize(Tensor self, Tensor dst) -> Tensor",
    "aten::_copy_from_and_resize.out(Tensor self, Tensor dst, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_cslt_compress": [
    "aten::_cslt_compress(Tensor input) -> Tensor",
  ],
  "_cslt_sparse_mm": [
    "aten::_cslt_sparse_mm(Tensor compressed_A, Tensor dense_B, Tensor? bias=None, Tensor? alpha=None, ScalarType? out_dtype=None, bool transpose_result=False, int alg_id=0, int split_k=1, int split_k_mode=-1) -> Tensor",
  ],
  "_cslt_sparse_mm_search": [
    "aten::_cslt_sparse_mm_search(Tensor compressed_A, Tensor dense_B, Tensor? bias=None, Tensor? alpha=None, ScalarType? out_dtype=None, bool transpose_result=False) -> int",
  ],
  "_ctc_loss": [
    "aten::_ctc_loss(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank=0, bool zero_infinity=False) -> (Tensor, Tensor)",
    "aten::_ctc_loss.Tensor(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank=0, bool zero_infinity=False) -> (Tensor, Tensor)",
    "aten::_ctc_loss.Tensor_out(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank=0, bool zero_infinity=False, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
    "aten::_ctc_loss.out(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank=0, bool zero_infinity=False, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "_ctc_loss_backward": [
    "aten::_ctc_loss_backward(Tensor grad, Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, Tensor neg_log_likelihood, Tensor log_alpha, int blank, bool zero_infinity=False) -> Tensor",
    "aten::_ctc_loss_backward.Tensor(Tensor grad, Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, Tensor neg_log_likelihood, Tensor log_alpha, int blank, bool zero_infinity=False) -> Tensor",
    "aten::_ctc_loss_backward.out(Tensor grad, Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, Tensor neg_log_likelihood, Tensor log_alpha, int blank, bool zero_infinity=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_cudnn_attention_backward": [
    "aten::_cudnn_attention_backward(Tensor grad_out, Tensor query, Tensor key, Tensor value, Tensor out, Tensor logsumexp, Tensor philox_seed, Tensor philox_offset, Tensor attn_bias, Tensor cum_seq_q, Tensor cum_seq_k, SymInt max_q, SymInt max_k, float dropout_p, bool is_causal, *, float? scale=None) -> (Tensor, Tensor, Tensor)",
  ],
  "_cudnn_attention_forward": [
    "aten::_cudnn_attention_forward(Tensor query, Tensor key, Tensor value, Tensor? attn_bias, Tensor? cum_seq_q, Tensor? cum_seq_k, SymInt max_q, SymInt max_k, bool compute_log_sumexp, float dropout_p=0., bool is_causal=False, bool return_debug_mask=False, *, float? scale=None) -> (Tensor output, Tensor logsumexp, Tensor cum_seq_q, Tensor cum_seq_k, SymInt max_q, SymInt max_k, Tensor philox_seed, Tensor philox_offset, Tensor debug_attn_mask)",
  ],
  "_cudnn_ctc_loss": [
    "aten::_cudnn_ctc_loss(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank, bool deterministic, bool zero_infinity) -> (Tensor, Tensor)",
    "aten::_cudnn_ctc_loss.Tensor(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank, bool deterministic, bool zero_infinity) -> (Tensor, Tensor)",
    "aten::_cudnn_ctc_loss.out(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank, bool deterministic, bool zero_infinity, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "_cudnn_init_dropout_state": [
    "aten::_cudnn_init_dropout_state(float dropout, bool train, int dropout_seed, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
    "aten::_cudnn_init_dropout_state.out(float dropout, bool train, int dropout_seed, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_cudnn_rnn": [
    "aten::_cudnn_rnn(Tensor input, Tensor[] weight, int weight_stride0, Tensor? weight_buf, Tensor hx, Tensor? cx, int mode, SymInt hidden_size, SymInt proj_size, int num_layers, bool batch_first, float dropout, bool train, bool bidirectional, SymInt[] batch_sizes, Tensor? dropout_state) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "aten::_cudnn_rnn.out(Tensor input, Tensor[] weight, int weight_stride0, Tensor? weight_buf, Tensor hx, Tensor? cx, int mode, SymInt hidden_size, SymInt proj_size, int num_layers, bool batch_first, float dropout, bool train, bool bidirectional, SymInt[] batch_sizes, Tensor? dropout_state, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2, Tensor(d!) out3, Tensor(e!) out4) -> (Tensor(a!), Tensor(b!), Tensor(c!), Tensor(d!), Tensor(e!))",
  ],
  "_cudnn_rnn_backward": [
    "aten::_cudnn_rnn_backward(Tensor input, Tensor[] weight, int weight_stride0, Tensor weight_buf, Tensor hx, Tensor? cx, Tensor output, Tensor? grad_output, Tensor? grad_hy, Tensor? grad_cy, int mode, SymInt hidden_size, SymInt proj_size, int num_layers, bool batch_first, float dropout, bool train, bool bidirectional, SymInt[] batch_sizes, Tensor? dropout_state, Tensor reserve, bool[4] output_mask) -> (Tensor, Tensor, Tensor, Tensor[])",
    "aten::_cudnn_rnn_backward.out(Tensor input, Tensor[] weight, int weight_stride0, Tensor weight_buf, Tensor hx, Tensor? cx, Tensor output, Tensor? grad_output, Tensor? grad_hy, Tensor? grad_cy, int mode, SymInt hidden_size, SymInt proj_size, int num_layers, bool batch_first, float dropout, bool train, bool bidirectional, SymInt[] batch_sizes, Tensor? dropout_state, Tensor reserve, bool[4] output_mask, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2, Tensor(d!)[] out3) -> ()",
  ],
  "_cudnn_rnn_flatten_weight": [
    "aten::_cudnn_rnn_flatten_weight(Tensor[] weight_arr, int weight_stride0, SymInt input_size, int mode, SymInt hidden_size, SymInt proj_size, int num_layers, bool batch_first, bool bidirectional) -> Tensor",
    "aten::_cudnn_rnn_flatten_weight.out(Tensor[] weight_arr, int weight_stride0, SymInt input_size, int mode, SymInt hidden_size, SymInt proj_size, int num_layers, bool batch_first, bool bidirectional, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_cufft_clear_plan_cache": [
    "aten::_cufft_clear_plan_cache(int device_index) -> ()",
  ],
  "_cufft_get_plan_cache_max_size": [
    "aten::_cufft_get_plan_cache_max_size(int device_index) -> int",
  ],
  "_cufft_get_plan_cache_size": [
    "aten::_cufft_get_plan_cache_size(int device_index) -> int",
  ],
  "_cufft_set_plan_cache_max_size": [
    "aten::_cufft_set_plan_cache_max_size(int device_index, int max_size) -> ()",
  ],
  "_cummax_helper": [
    "aten::_cummax_helper(Tensor self, Tensor(a!) values, Tensor(b!) indices, int dim) -> ()",
  ],
  "_cummin_helper": [
    "aten::_cummin_helper(Tensor self, Tensor(a!) values, Tensor(b!) indices, int dim) -> ()",
  ],
  "_debug_has_internal_overlap": [
    "aten::_debug_has_internal_overlap(Tensor self) -> int",
  ],
  "_dimI": [
    "aten::_dimI(Tensor self) -> int",
  ],
  "_dimV": [
    "aten::_dimV(Tensor self) -> int",
  ],
  "_dim_arange": [
    "aten::_dim_arange(Tensor like, int dim) -> Tensor",
  ],
  "_dirichlet_grad": [
    "aten::_dirichlet_grad(Tensor x, Tensor alpha, Tensor total) -> Tensor",
    "aten::_dirichlet_grad.out(Tensor x, Tensor alpha, Tensor total, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_dyn_quant_matmul_4bit": [
    "aten::_dyn_quant_matmul_4bit(Tensor inp, Tensor packed_weights, int block_size, int in_features, int out_features) -> Tensor",
  ],
  "_dyn_quant_pack_4bit_weight": [
    "aten::_dyn_quant_pack_4bit_weight(Tensor weights, Tensor scales_zeros, Tensor? bias, int block_size, int in_features, int out_features) -> Tensor",
  ],
  "_efficient_attention_backward": [
    "aten::_efficient_attention_backward(Tensor grad_out_, Tensor query, Tensor key, Tensor value, Tensor? bias, Tensor out, Tensor? cu_seqlens_q, Tensor? cu_seqlens_k, SymInt max_seqlen_q, SymInt max_seqlen_k, Tensor logsumexp, float dropout_p, Tensor philox_seed, Tensor philox_offset, int custom_mask_type, bool bias_requires_grad, *, float? scale=None, int? num_splits_key=None, int? window_size=None, bool shared_storage_dqdkdv=False) -> (Tensor, Tensor, Tensor, Tensor)",
  ],
  "_efficient_attention_forward": [
    "aten::_efficient_attention_forward(Tensor query, Tensor key, Tensor value, Tensor? bias, Tensor? cu_seqlens_q, Tensor? cu_seqlens_k, SymInt? max_seqlen_q, SymInt? max_seqlen_k, float dropout_p, int custom_mask_type, bool compute_log_sumexp=False, *, float? scale=None, Tensor? seqlen_k=None, int? window_size=None) -> (Tensor output, Tensor logsumexp, Tensor philox_seed, Tensor philox_offset, SymInt max_seqlen_batch_q, SymInt max_seqlen_batch_k)",
  ],
  "_efficientzerotensor": [
    "aten::_efficientzerotensor(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::_efficientzerotensor.out(SymInt[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_embedding_bag": [
    "aten::_embedding_bag(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq=False, int mode=0, bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False, int padding_idx=-1) -> (Tensor, Tensor, Tensor, Tensor)",
    "aten::_embedding_bag.out(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq=False, int mode=0, bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False, int padding_idx=-1, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2, Tensor(d!) out3) -> (Tensor(a!), Tensor(b!), Tensor(c!), Tensor(d!))",
  ],
  "_embedding_bag_backward": [
    "aten::_embedding_bag_backward(Tensor grad, Tensor indices, Tensor offsets, Tensor offset2bag, Tensor bag_size, Tensor maximum_indices, SymInt num_weights, bool scale_grad_by_freq, int mode, bool sparse, Tensor? per_sample_weights, int padding_idx=-1) -> Tensor",
  ],
  "_embedding_bag_dense_backward": [
    "aten::_embedding_bag_dense_backward(Tensor grad, Tensor indices, Tensor offset2bag, Tensor bag_size, Tensor maximum_indices, SymInt num_weights, bool scale_grad_by_freq, int mode, Tensor? per_sample_weights, int padding_idx=-1) -> Tensor",
    "aten::_embedding_bag_dense_backward.out(Tensor grad, Tensor indices, Tensor offset2bag, Tensor bag_size, Tensor maximum_indices, SymInt num_weights, bool scale_grad_by_freq, int mode, Tensor? per_sample_weights, int padding_idx=-1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_embedding_bag_forward_only": [
    "aten::_embedding_bag_forward_only(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq=False, int mode=0, bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False, int padding_idx=-1) -> (Tensor, Tensor, Tensor, Tensor)",
    "aten::_embedding_bag_forward_only.out(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq=False, int mode=0, bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False, int padding_idx=-1, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2, Tensor(d!) out3) -> (Tensor(a!), Tensor(b!), Tensor(c!), Tensor(d!))",
  ],
  "_embedding_bag_per_sample_weights_backward": [
    "aten::_embedding_bag_per_sample_weights_backward(Tensor grad, Tensor weight, Tensor indices, Tensor offsets, Tensor offset2bag, int mode, int padding_idx=-1) -> Tensor",
    "aten::_embedding_bag_per_sample_weights_backward.out(Tensor grad, Tensor weight, Tensor indices, Tensor offsets, Tensor offset2bag, int mode, int padding_idx=-1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_embedding_bag_sparse_backward": [
    "aten::_embedding_bag_sparse_backward(Tensor grad, Tensor indices, Tensor offsets, Tensor offset2bag, Tensor bag_size, SymInt num_weights, bool scale_grad_by_freq, int mode, Tensor? per_sample_weights, int padding_idx=-1) -> Tensor",
  ],
  "_empty_affine_quantized": [
    "aten::_empty_affine_quantized(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, float scale=1., int zero_point=0, MemoryFormat? memory_format=0) -> Tensor",
    "aten::_empty_affine_quantized.out(SymInt[] size, *, float scale=1., int zero_point=0, MemoryFormat? memory_format=0, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_empty_per_channel_affine_quantized": [
    "aten::_empty_per_channel_affine_quantized(SymInt[] size, *, Tensor scales, Tensor zero_points, int axis, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=0) -> Tensor",
    "aten::_empty_per_channel_affine_quantized.out(SymInt[] size, *, Tensor scales, Tensor zero_points, int axis, MemoryFormat? memory_format=0, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_euclidean_dist": [
    "aten::_euclidean_dist(Tensor x1, Tensor x2) -> Tensor",
    "aten::_euclidean_dist.out(Tensor x1, Tensor x2, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_fake_quantize_learnable_per_channel_affine": [
    "aten::_fake_quantize_learnable_per_channel_affine(Tensor self, Tensor scale, Tensor zero_point, int axis, int quant_min, int quant_max, float grad_factor=1.) -> Tensor",
    "aten::_fake_quantize_learnable_per_channel_affine.out(Tensor self, Tensor scale, Tensor zero_point, int axis, int quant_min, int quant_max, float grad_factor=1., *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_fake_quantize_learnable_per_channel_affine_backward": [
    "aten::_fake_quantize_learnable_per_channel_affine_backward(Tensor grad, Tensor self, Tensor scale, Tensor zero_point, int axis, int quant_min, int quant_max, float grad_factor=1.) -> (Tensor, Tensor, Tensor)",
  ],
  "_fake_quantize_learnable_per_tensor_affine": [
    "aten::_fake_quantize_learnable_per_tensor_affine(Tensor self, Tensor scale, Tensor zero_point, int quant_min, int quant_max, float grad_factor=1.) -> Tensor",
    "aten::_fake_quantize_learnable_per_tensor_affine.out(Tensor self, Tensor scale, Tensor zero_point, int quant_min, int quant_max, float grad_factor=1., *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_fake_quantize_learnable_per_tensor_affine_backward": [
    "aten::_fake_quantize_learnable_per_tensor_affine_backward(Tensor grad, Tensor self, Tensor scale, Tensor zero_point, int quant_min, int quant_max, float grad_factor=1.) -> (Tensor, Tensor, Tensor)",
  ],
  "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams": [
    "aten::_fake_quantize_per_tensor_affine_cachemask_tensor_qparams(Tensor self, Tensor scale, Tensor zero_point, Tensor fake_quant_enabled, int quant_min, int quant_max) -> (Tensor output, Tensor mask)",
    "aten::_fake_quantize_per_tensor_affine_cachemask_tensor_qparams.out(Tensor self, Tensor scale, Tensor zero_point, Tensor fake_quant_enabled, int quant_min, int quant_max, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "_fft_c2c": [
    "aten::_fft_c2c(Tensor self, SymInt[] dim, int normalization, bool forward) -> Tensor",
    "aten::_fft_c2c.out(Tensor self, SymInt[] dim, int normalization, bool forward, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_fft_c2r": [
    "aten::_fft_c2r(Tensor self, int[] dim, int normalization, SymInt last_dim_size) -> Tensor",
    "aten::_fft_c2r.out(Tensor self, int[] dim, int normalization, SymInt last_dim_size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_fft_r2c": [
    "aten::_fft_r2c(Tensor self, int[] dim, int normalization, bool onesided) -> Tensor",
    "aten::_fft_r2c.out(Tensor self, int[] dim, int normalization, bool onesided, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_fill_mem_eff_dropout_mask_": [
    "aten::_fill_mem_eff_dropout_mask_(Tensor(a!) self, float dropout_p, int seed, int offset) -> Tensor(a!)",
  ],
  "_flash_attention_backward": [
    "aten::_flash_attention_backward(Tensor grad_out, Tensor query, Tensor key, Tensor value, Tensor out, Tensor logsumexp, Tensor cum_seq_q, Tensor cum_seq_k, SymInt max_q, SymInt max_k, float dropout_p, bool is_causal, Tensor rng_state, Tensor unused, *, float? scale=None, SymInt? window_size_left=None, SymInt? window_size_right=None) -> (Tensor, Tensor, Tensor)",
  ],
  "_flash_attention_forward": [
    "aten::_flash_attention_forward(Tensor query, Tensor key, Tensor value, Tensor? cum_seq_q, Tensor? cum_seq_k, SymInt max_q, SymInt max_k, float dropout_p, bool is_causal, bool return_debug_mask, *, float? scale=None, SymInt? window_size_left=None, SymInt? window_size_right=None, Tensor? seqused_k=None, Tensor? alibi_slopes=None, Tensor? block_table=None, int? num_splits=None) -> (Tensor output, Tensor softmax_logsumexp, Tensor rng_state, Tensor unused, Tensor debug_attn_mask)",
    "aten::_flash_attention_forward.quantized(Tensor query, Tensor key, Tensor value, Tensor? cum_seq_q, Tensor? cum_seq_k, SymInt max_q, SymInt max_k, float dropout_p, bool is_causal, bool return_debug_mask, Tensor? q_descale, Tensor? k_descale, Tensor? v_descale, *, float? scale=None, SymInt? window_size_left=None, SymInt? window_size_right=None, Tensor? seqused_k=None, Tensor? alibi_slopes=None) -> (Tensor output, Tensor softmax_logsumexp, Tensor rng_state, Tensor unused, Tensor debug_attn_mask)",
  ],
  "_flash_attention_forward_no_dropout_inplace": [
    "aten::_flash_attention_forward_no_dropout_inplace(Tensor(a!) out, Tensor query, Tensor key, Tensor value, Tensor? cum_seq_q, Tensor? cum_seq_k, SymInt max_q, SymInt max_k, float dropout_p, bool is_causal, bool return_debug_mask, *, float? scale=None, SymInt? window_size_left=None, SymInt? window_size_right=None, Tensor? seqused_k=None, Tensor? alibi_slopes=None, Tensor? block_table=None, int? num_splits=None) -> Tensor softmax_logsumexp",
  ],
  "_foobar": [
    "aten::_foobar(Tensor self, bool arg1=True, bool arg2=True, *, bool arg3=True) -> Tensor",
    "aten::_foobar.out(Tensor self, bool arg1=True, bool arg2=True, *, bool arg3=True, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_foreach_abs": [
    "aten::_foreach_abs(Tensor[] self) -> Tensor[]",
    "aten::_foreach_abs.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_abs_": [
    "aten::_foreach_abs_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_acos": [
    "aten::_foreach_acos(Tensor[] self) -> Tensor[]",
    "aten::_foreach_acos.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_acos_": [
    "aten::_foreach_acos_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_add": [
    "aten::_foreach_add.List(Tensor[] self, Tensor[] other, *, Scalar alpha=1) -> Tensor[]",
    "aten::_foreach_add.List_out(Tensor[] self, Tensor[] other, *, Scalar alpha=1, Tensor(a!)[] out) -> ()",
    "aten::_foreach_add.Scalar(Tensor[] self, Scalar scalar) -> Tensor[]",
    "aten::_foreach_add.ScalarList(Tensor[] self, Scalar[] scalars) -> Tensor[]",
    "aten::_foreach_add.ScalarList_out(Tensor[] self, Scalar[] scalars, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_add.Scalar_out(Tensor[] self, Scalar scalar, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_add.Tensor(Tensor[] self, Tensor other, *, Scalar alpha=1) -> Tensor[]",
    "aten::_foreach_add.Tensor_out(Tensor[] self, Tensor other, *, Scalar alpha=1, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_add_": [
    "aten::_foreach_add_.List(Tensor(a!)[] self, Tensor[] other, *, Scalar alpha=1) -> ()",
    "aten::_foreach_add_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()",
    "aten::_foreach_add_.ScalarList(Tensor(a!)[] self, Scalar[] scalars) -> ()",
    "aten::_foreach_add_.Tensor(Tensor(a!)[] self, Tensor other, *, Scalar alpha=1) -> ()",
  ],
  "_foreach_addcdiv": [
    "aten::_foreach_addcdiv.Scalar(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar value=1) -> Tensor[]",
    "aten::_foreach_addcdiv.ScalarList(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar[] scalars) -> Tensor[]",
    "aten::_foreach_addcdiv.ScalarList_out(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar[] scalars, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_addcdiv.Scalar_out(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar value=1, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_addcdiv.Tensor(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Tensor scalars) -> Tensor[]",
    "aten::_foreach_addcdiv.Tensor_out(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Tensor scalars, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_addcdiv_": [
    "aten::_foreach_addcdiv_.Scalar(Tensor(a!)[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar value=1) -> ()",
    "aten::_foreach_addcdiv_.ScalarList(Tensor(a!)[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar[] scalars) -> ()",
    "aten::_foreach_addcdiv_.Tensor(Tensor(a!)[] self, Tensor[] tensor1, Tensor[] tensor2, Tensor scalars) -> ()",
  ],
  "_foreach_addcmul": [
    "aten::_foreach_addcmul.Scalar(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar value=1) -> Tensor[]",
    "aten::_foreach_addcmul.ScalarList(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar[] scalars) -> Tensor[]",
    "aten::_foreach_addcmul.ScalarList_out(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar[] scalars, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_addcmul.Scalar_out(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar value=1, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_addcmul.Tensor(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Tensor scalars) -> Tensor[]",
    "aten::_foreach_addcmul.Tensor_out(Tensor[] self, Tensor[] tensor1, Tensor[] tensor2, Tensor scalars, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_addcmul_": [
    "aten::_foreach_addcmul_.Scalar(Tensor(a!)[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar value=1) -> ()",
    "aten::_foreach_addcmul_.ScalarList(Tensor(a!)[] self, Tensor[] tensor1, Tensor[] tensor2, Scalar[] scalars) -> ()",
    "aten::_foreach_addcmul_.Tensor(Tensor(a!)[] self, Tensor[] tensor1, Tensor[] tensor2, Tensor scalars) -> ()",
  ],
  "_foreach_asin": [
    "aten::_foreach_asin(Tensor[] self) -> Tensor[]",
    "aten::_foreach_asin.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_asin_": [
    "aten::_foreach_asin_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_atan": [
    "aten::_foreach_atan(Tensor[] self) -> Tensor[]",
    "aten::_foreach_atan.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_atan_": [
    "aten::_foreach_atan_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_ceil": [
    "aten::_foreach_ceil(Tensor[] self) -> Tensor[]",
    "aten::_foreach_ceil.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_ceil_": [
    "aten::_foreach_ceil_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_clamp_max": [
    "aten::_foreach_clamp_max.List(Tensor[] self, Tensor[] other) -> Tensor[]",
    "aten::_foreach_clamp_max.List_out(Tensor[] self, Tensor[] other, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_clamp_max.Scalar(Tensor[] self, Scalar scalar) -> Tensor[]",
    "aten::_foreach_clamp_max.ScalarList(Tensor[] self, Scalar[] scalars) -> Tensor[]",
    "aten::_foreach_clamp_max.ScalarList_out(Tensor[] self, Scalar[] scalars, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_clamp_max.Scalar_out(Tensor[] self, Scalar scalar, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_clamp_max_": [
    "aten::_foreach_clamp_max_.List(Tensor(a!)[] self, Tensor[] other) -> ()",
    "aten::_foreach_clamp_max_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()",
    "aten::_foreach_clamp_max_.ScalarList(Tensor(a!)[] self, Scalar[] scalars) -> ()",
  ],
  "_foreach_clamp_min": [
    "aten::_foreach_clamp_min.List(Tensor[] self, Tensor[] other) -> Tensor[]",
    "aten::_foreach_clamp_min.List_out(Tensor[] self, Tensor[] other, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_clamp_min.Scalar(Tensor[] self, Scalar scalar) -> Tensor[]",
    "aten::_foreach_clamp_min.ScalarList(Tensor[] self, Scalar[] scalars) -> Tensor[]",
    "aten::_foreach_clamp_min.ScalarList_out(Tensor[] self, Scalar[] scalars, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_clamp_min.Scalar_out(Tensor[] self, Scalar scalar, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_clamp_min_": [
    "aten::_foreach_clamp_min_.List(Tensor(a!)[] self, Tensor[] other) -> ()",
    "aten::_foreach_clamp_min_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()",
    "aten::_foreach_clamp_min_.ScalarList(Tensor(a!)[] self, Scalar[] scalars) -> ()",
  ],
  "_foreach_clone": [
    "aten::_foreach_clone(Tensor[] self, *, MemoryFormat? memory_format=None) -> Tensor[]",
    "aten::_foreach_clone.out(Tensor[] self, *, MemoryFormat? memory_format=None, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_copy": [
    "aten::_foreach_copy(Tensor[] self, Tensor[] src, bool non_blocking=False) -> Tensor[] self_out",
    "aten::_foreach_copy.out(Tensor[] self, Tensor[] src, bool non_blocking=False, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_copy_": [
    "aten::_foreach_copy_(Tensor(a!)[] self, Tensor[] src, bool non_blocking=False) -> ()",
  ],
  "_foreach_cos": [
    "aten::_foreach_cos(Tensor[] self) -> Tensor[]",
    "aten::_foreach_cos.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_cos_": [
    "aten::_foreach_cos_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_cosh": [
    "aten::_foreach_cosh(Tensor[] self) -> Tensor[]",
    "aten::_foreach_cosh.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_cosh_": [
    "aten::_foreach_cosh_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_div": [
    "aten::_foreach_div.List(Tensor[] self, Tensor[] other) -> Tensor[]",
    "aten::_foreach_div.List_out(Tensor[] self, Tensor[] other, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_div.Scalar(Tensor[] self, Scalar scalar) -> Tensor[]",
    "aten::_foreach_div.ScalarList(Tensor[] self, Scalar[] scalars) -> Tensor[]",
    "aten::_foreach_div.ScalarList_out(Tensor[] self, Scalar[] scalars, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_div.Scalar_out(Tensor[] self, Scalar scalar, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_div.Tensor(Tensor[] self, Tensor other) -> Tensor[]",
    "aten::_foreach_div.Tensor_out(Tensor[] self, Tensor other, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_div_": [
    "aten::_foreach_div_.List(Tensor(a!)[] self, Tensor[] other) -> ()",
    "aten::_foreach_div_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()",
    "aten::_foreach_div_.ScalarList(Tensor(a!)[] self, Scalar[] scalars) -> ()",
    "aten::_foreach_div_.Tensor(Tensor(a!)[] self, Tensor other) -> ()",
  ],
  "_foreach_erf": [
    "aten::_foreach_erf(Tensor[] self) -> Tensor[]",
    "aten::_foreach_erf.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_erf_": [
    "aten::_foreach_erf_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_erfc": [
    "aten::_foreach_erfc(Tensor[] self) -> Tensor[]",
    "aten::_foreach_erfc.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_erfc_": [
    "aten::_foreach_erfc_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_exp": [
    "aten::_foreach_exp(Tensor[] self) -> Tensor[]",
    "aten::_foreach_exp.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_exp_": [
    "aten::_foreach_exp_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_expm1": [
    "aten::_foreach_expm1(Tensor[] self) -> Tensor[]",
    "aten::_foreach_expm1.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_expm1_": [
    "aten::_foreach_expm1_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_floor": [
    "aten::_foreach_floor(Tensor[] self) -> Tensor[]",
    "aten::_foreach_floor.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_floor_": [
    "aten::_foreach_floor_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_frac": [
    "aten::_foreach_frac(Tensor[] self) -> Tensor[]",
    "aten::_foreach_frac.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_frac_": [
    "aten::_foreach_frac_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_lerp": [
    "aten::_foreach_lerp.List(Tensor[] self, Tensor[] tensors1, Tensor[] weights) -> Tensor[]",
    "aten::_foreach_lerp.List_out(Tensor[] self, Tensor[] tensors1, Tensor[] weights, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_lerp.Scalar(Tensor[] self, Tensor[] tensors1, Scalar weight) -> Tensor[]",
    "aten::_foreach_lerp.ScalarList(Tensor[] self, Tensor[] tensors1, Scalar[] weight) -> Tensor[]",
    "aten::_foreach_lerp.ScalarList_out(Tensor[] self, Tensor[] tensors1, Scalar[] weight, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_lerp.Scalar_out(Tensor[] self, Tensor[] tensors1, Scalar weight, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_lerp_": [
    "aten::_foreach_lerp_.List(Tensor(a!)[] self, Tensor[] tensors1, Tensor[] weights) -> ()",
    "aten::_foreach_lerp_.Scalar(Tensor(a!)[] self, Tensor[] tensors1, Scalar weight) -> ()",
    "aten::_foreach_lerp_.ScalarList(Tensor(a!)[] self, Tensor[] tensors1, Scalar[] weight) -> ()",
  ],
  "_foreach_lgamma": [
    "aten::_foreach_lgamma(Tensor[] self) -> Tensor[]",
    "aten::_foreach_lgamma.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_lgamma_": [
    "aten::_foreach_lgamma_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_log": [
    "aten::_foreach_log(Tensor[] self) -> Tensor[]",
    "aten::_foreach_log.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_log10": [
    "aten::_foreach_log10(Tensor[] self) -> Tensor[]",
    "aten::_foreach_log10.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_log10_": [
    "aten::_foreach_log10_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_log1p": [
    "aten::_foreach_log1p(Tensor[] self) -> Tensor[]",
    "aten::_foreach_log1p.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_log1p_": [
    "aten::_foreach_log1p_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_log2": [
    "aten::_foreach_log2(Tensor[] self) -> Tensor[]",
    "aten::_foreach_log2.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_log2_": [
    "aten::_foreach_log2_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_log_": [
    "aten::_foreach_log_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_max": [
    "aten::_foreach_max(Tensor[] self) -> Tensor[]",
    "aten::_foreach_max.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_maximum": [
    "aten::_foreach_maximum.List(Tensor[] self, Tensor[] other) -> Tensor[]",
    "aten::_foreach_maximum.List_out(Tensor[] self, Tensor[] other, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_maximum.Scalar(Tensor[] self, Scalar scalar) -> Tensor[]",
    "aten::_foreach_maximum.ScalarList(Tensor[] self, Scalar[] scalars) -> Tensor[]",
    "aten::_foreach_maximum.ScalarList_out(Tensor[] self, Scalar[] scalars, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_maximum.Scalar_out(Tensor[] self, Scalar scalar, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_maximum_": [
    "aten::_foreach_maximum_.List(Tensor(a!)[] self, Tensor[] other) -> ()",
    "aten::_foreach_maximum_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()",
    "aten::_foreach_maximum_.ScalarList(Tensor(a!)[] self, Scalar[] scalars) -> ()",
  ],
  "_foreach_minimum": [
    "aten::_foreach_minimum.List(Tensor[] self, Tensor[] other) -> Tensor[]",
    "aten::_foreach_minimum.List_out(Tensor[] self, Tensor[] other, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_minimum.Scalar(Tensor[] self, Scalar scalar) -> Tensor[]",
    "aten::_foreach_minimum.ScalarList(Tensor[] self, Scalar[] scalars) -> Tensor[]",
    "aten::_foreach_minimum.ScalarList_out(Tensor[] self, Scalar[] scalars, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_minimum.Scalar_out(Tensor[] self, Scalar scalar, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_minimum_": [
    "aten::_foreach_minimum_.List(Tensor(a!)[] self, Tensor[] other) -> ()",
    "aten::_foreach_minimum_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()",
    "aten::_foreach_minimum_.ScalarList(Tensor(a!)[] self, Scalar[] scalars) -> ()",
  ],
  "_foreach_mm": [
    "aten::_foreach_mm(Tensor[] self, Tensor[] mat2) -> Tensor[]",
  ],
  "_foreach_mul": [
    "aten::_foreach_mul.List(Tensor[] self, Tensor[] other) -> Tensor[]",
    "aten::_foreach_mul.List_out(Tensor[] self, Tensor[] other, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_mul.Scalar(Tensor[] self, Scalar scalar) -> Tensor[]",
    "aten::_foreach_mul.ScalarList(Tensor[] self, Scalar[] scalars) -> Tensor[]",
    "aten::_foreach_mul.ScalarList_out(Tensor[] self, Scalar[] scalars, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_mul.Scalar_out(Tensor[] self, Scalar scalar, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_mul.Tensor(Tensor[] self, Tensor other) -> Tensor[]",
    "aten::_foreach_mul.Tensor_out(Tensor[] self, Tensor other, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_mul_": [
    "aten::_foreach_mul_.List(Tensor(a!)[] self, Tensor[] other) -> ()",
    "aten::_foreach_mul_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()",
    "aten::_foreach_mul_.ScalarList(Tensor(a!)[] self, Scalar[] scalars) -> ()",
    "aten::_foreach_mul_.Tensor(Tensor(a!)[] self, Tensor other) -> ()",
  ],
  "_foreach_neg": [
    "aten::_foreach_neg(Tensor[] self) -> Tensor[]",
    "aten::_foreach_neg.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_neg_": [
    "aten::_foreach_neg_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_norm": [
    "aten::_foreach_norm.Scalar(Tensor[] self, Scalar ord=2, ScalarType? dtype=None) -> Tensor[]",
    "aten::_foreach_norm.Scalar_out(Tensor[] self, Scalar ord=2, ScalarType? dtype=None, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_pow": [
    "aten::_foreach_pow.List(Tensor[] self, Tensor[] exponent) -> Tensor[]",
    "aten::_foreach_pow.List_out(Tensor[] self, Tensor[] exponent, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_pow.Scalar(Tensor[] self, Scalar exponent) -> Tensor[]",
    "aten::_foreach_pow.ScalarAndTensor(Scalar self, Tensor[] exponent) -> Tensor[]",
    "aten::_foreach_pow.ScalarList(Tensor[] self, Scalar[] exponent) -> Tensor[]",
    "aten::_foreach_pow.ScalarList_out(Tensor[] self, Scalar[] exponent, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_pow.Scalar_out(Tensor[] self, Scalar exponent, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_pow_": [
    "aten::_foreach_pow_.List(Tensor(a!)[] self, Tensor[] exponent) -> ()",
    "aten::_foreach_pow_.Scalar(Tensor(a!)[] self, Scalar exponent) -> ()",
    "aten::_foreach_pow_.ScalarList(Tensor(a!)[] self, Scalar[] exponent) -> ()",
  ],
  "_foreach_powsum": [
    "aten::_foreach_powsum.Scalar(Tensor[] self, Scalar ord=2, ScalarType? dtype=None) -> Tensor[]",
    "aten::_foreach_powsum.Scalar_out(Tensor[] self, Scalar ord=2, ScalarType? dtype=None, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_reciprocal": [
    "aten::_foreach_reciprocal(Tensor[] self) -> Tensor[]",
    "aten::_foreach_reciprocal.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_reciprocal_": [
    "aten::_foreach_reciprocal_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_round": [
    "aten::_foreach_round(Tensor[] self) -> Tensor[]",
    "aten::_foreach_round.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_round_": [
    "aten::_foreach_round_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_rsqrt": [
    "aten::_foreach_rsqrt(Tensor[] self) -> Tensor[]",
    "aten::_foreach_rsqrt.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_rsqrt_": [
    "aten::_foreach_rsqrt_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_sigmoid": [
    "aten::_foreach_sigmoid(Tensor[] self) -> Tensor[]",
    "aten::_foreach_sigmoid.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_sigmoid_": [
    "aten::_foreach_sigmoid_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_sign": [
    "aten::_foreach_sign(Tensor[] self) -> Tensor[]",
    "aten::_foreach_sign.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_sign_": [
    "aten::_foreach_sign_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_sin": [
    "aten::_foreach_sin(Tensor[] self) -> Tensor[]",
    "aten::_foreach_sin.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_sin_": [
    "aten::_foreach_sin_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_sinh": [
    "aten::_foreach_sinh(Tensor[] self) -> Tensor[]",
    "aten::_foreach_sinh.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_sinh_": [
    "aten::_foreach_sinh_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_sqrt": [
    "aten::_foreach_sqrt(Tensor[] self) -> Tensor[]",
    "aten::_foreach_sqrt.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_sqrt_": [
    "aten::_foreach_sqrt_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_sub": [
    "aten::_foreach_sub.List(Tensor[] self, Tensor[] other, *, Scalar alpha=1) -> Tensor[]",
    "aten::_foreach_sub.List_out(Tensor[] self, Tensor[] other, *, Scalar alpha=1, Tensor(a!)[] out) -> ()",
    "aten::_foreach_sub.Scalar(Tensor[] self, Scalar scalar) -> Tensor[]",
    "aten::_foreach_sub.ScalarList(Tensor[] self, Scalar[] scalars) -> Tensor[]",
    "aten::_foreach_sub.ScalarList_out(Tensor[] self, Scalar[] scalars, *, Tensor(a!)[] out) -> ()",
    "aten::_foreach_sub.Scalar_out(Tensor[] self, Scalar scalar, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_sub_": [
    "aten::_foreach_sub_.List(Tensor(a!)[] self, Tensor[] other, *, Scalar alpha=1) -> ()",
    "aten::_foreach_sub_.Scalar(Tensor(a!)[] self, Scalar scalar) -> ()",
    "aten::_foreach_sub_.ScalarList(Tensor(a!)[] self, Scalar[] scalars) -> ()",
  ],
  "_foreach_tan": [
    "aten::_foreach_tan(Tensor[] self) -> Tensor[]",
    "aten::_foreach_tan.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_tan_": [
    "aten::_foreach_tan_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_tanh": [
    "aten::_foreach_tanh(Tensor[] self) -> Tensor[]",
    "aten::_foreach_tanh.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_tanh_": [
    "aten::_foreach_tanh_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_trunc": [
    "aten::_foreach_trunc(Tensor[] self) -> Tensor[]",
    "aten::_foreach_trunc.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_trunc_": [
    "aten::_foreach_trunc_(Tensor(a!)[] self) -> ()",
  ],
  "_foreach_zero": [
    "aten::_foreach_zero(Tensor[] self) -> Tensor[] self_out",
    "aten::_foreach_zero.out(Tensor[] self, *, Tensor(a!)[] out) -> ()",
  ],
  "_foreach_zero_": [
    "aten::_foreach_zero_(Tensor(a!)[] self) -> ()",
  ],
  "_functional_assert_async": [
    "aten::_functional_assert_async.msg(Tensor self, str assert_msg, Tensor dep_token) -> Tensor",
  ],
  "_functional_assert_scalar": [
    "aten::_functional_assert_scalar(Scalar self, str assert_msg, Tensor dep_token) -> Tensor",
  ],
  "_functional_sym_constrain_range": [
    "aten::_functional_sym_constrain_range(Scalar size, int? min, int? max, Tensor dep_token) -> Tensor",
  ],
  "_functional_sym_constrain_range_for_size": [
    "aten::_functional_sym_constrain_range_for_size(Scalar size, int? min, int? max, Tensor dep_token) -> Tensor",
  ],
  "_fused_adagrad": [
    "aten::_fused_adagrad(Tensor[] self, Tensor[] grads, Tensor[] state_sums, Tensor[] state_steps, *, float lr, float lr_decay, float weight_decay, float eps, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> (Tensor[] self_out, Tensor[] grads_out, Tensor[] state_sums_out, Tensor[] state_steps_out)",
    "aten::_fused_adagrad.out(Tensor[] self, Tensor(b!)[] grads, Tensor(c!)[] state_sums, Tensor(d!)[] state_steps, *, float lr, float lr_decay, float weight_decay, float eps, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None, Tensor(a!)[] out) -> ()",
    "aten::_fused_adagrad.tensor_lr(Tensor[] self, Tensor[] grads, Tensor[] state_sums, Tensor[] state_steps, *, Tensor lr, float lr_decay, float weight_decay, float eps, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> (Tensor[] self_out, Tensor[] grads_out, Tensor[] state_sums_out)",
    "aten::_fused_adagrad.tensor_lr_out(Tensor[] self, Tensor(b!)[] grads, Tensor(c!)[] state_sums, Tensor[] state_steps, *, Tensor lr, float lr_decay, float weight_decay, float eps, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None, Tensor(a!)[] out) -> ()",
  ],
  "_fused_adagrad_": [
    "aten::_fused_adagrad_(Tensor(a!)[] self, Tensor(b!)[] grads, Tensor(c!)[] state_sums, Tensor(d!)[] state_steps, *, float lr, float lr_decay, float weight_decay, float eps, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> ()",
    "aten::_fused_adagrad_.tensor_lr(Tensor(a!)[] self, Tensor(b!)[] grads, Tensor(c!)[] state_sums, Tensor[] state_steps, *, Tensor lr, float lr_decay, float weight_decay, float eps, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> ()",
  ],
  "_fused_adam": [
    "aten::_fused_adam(Tensor[] self, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_avg_sqs, Tensor[] max_exp_avg_sqs, Tensor[] state_steps, *, float lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> (Tensor[] self_out, Tensor[] grads_out, Tensor[] exp_avgs_out, Tensor[] exp_avg_sqs_out, Tensor[] max_exp_avg_sqs_out)",
    "aten::_fused_adam.out(Tensor[] self, Tensor(b!)[] grads, Tensor(c!)[] exp_avgs, Tensor(d!)[] exp_avg_sqs, Tensor(e!)[] max_exp_avg_sqs, Tensor[] state_steps, *, float lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None, Tensor(a!)[] out) -> ()",
    "aten::_fused_adam.tensor_lr(Tensor[] self, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_avg_sqs, Tensor[] max_exp_avg_sqs, Tensor[] state_steps, *, Tensor lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> (Tensor[] self_out, Tensor[] grads_out, Tensor[] exp_avgs_out, Tensor[] exp_avg_sqs_out, Tensor[] max_exp_avg_sqs_out)",
    "aten::_fused_adam.tensor_lr_out(Tensor[] self, Tensor(b!)[] grads, Tensor(c!)[] exp_avgs, Tensor(d!)[] exp_avg_sqs, Tensor(e!)[] max_exp_avg_sqs, Tensor[] state_steps, *, Tensor lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None, Tensor(a!)[] out) -> ()",
  ],
  "_fused_adam_": [
    "aten::_fused_adam_(Tensor(a!)[] self, Tensor(b!)[] grads, Tensor(c!)[] exp_avgs, Tensor(d!)[] exp_avg_sqs, Tensor(e!)[] max_exp_avg_sqs, Tensor[] state_steps, *, float lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> ()",
    "aten::_fused_adam_.tensor_lr(Tensor(a!)[] self, Tensor(b!)[] grads, Tensor(c!)[] exp_avgs, Tensor(d!)[] exp_avg_sqs, Tensor(e!)[] max_exp_avg_sqs, Tensor[] state_steps, *, Tensor lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> ()",
  ],
  "_fused_adamw": [
    "aten::_fused_adamw(Tensor[] self, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_avg_sqs, Tensor[] max_exp_avg_sqs, Tensor[] state_steps, *, float lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> (Tensor[] self_out, Tensor[] grads_out, Tensor[] exp_avgs_out, Tensor[] exp_avg_sqs_out, Tensor[] max_exp_avg_sqs_out)",
    "aten::_fused_adamw.out(Tensor[] self, Tensor(b!)[] grads, Tensor(c!)[] exp_avgs, Tensor(d!)[] exp_avg_sqs, Tensor(e!)[] max_exp_avg_sqs, Tensor[] state_steps, *, float lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None, Tensor(a!)[] out) -> ()",
    "aten::_fused_adamw.tensor_lr(Tensor[] self, Tensor[] grads, Tensor[] exp_avgs, Tensor[] exp_avg_sqs, Tensor[] max_exp_avg_sqs, Tensor[] state_steps, *, Tensor lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> (Tensor[] self_out, Tensor[] grads_out, Tensor[] exp_avgs_out, Tensor[] exp_avg_sqs_out, Tensor[] max_exp_avg_sqs_out)",
    "aten::_fused_adamw.tensor_lr_out(Tensor[] self, Tensor(b!)[] grads, Tensor(c!)[] exp_avgs, Tensor(d!)[] exp_avg_sqs, Tensor(e!)[] max_exp_avg_sqs, Tensor[] state_steps, *, Tensor lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None, Tensor(a!)[] out) -> ()",
  ],
  "_fused_adamw_": [
    "aten::_fused_adamw_(Tensor(a!)[] self, Tensor(b!)[] grads, Tensor(c!)[] exp_avgs, Tensor(d!)[] exp_avg_sqs, Tensor(e!)[] max_exp_avg_sqs, Tensor[] state_steps, *, float lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> ()",
    "aten::_fused_adamw_.tensor_lr(Tensor(a!)[] self, Tensor(b!)[] grads, Tensor(c!)[] exp_avgs, Tensor(d!)[] exp_avg_sqs, Tensor(e!)[] max_exp_avg_sqs, Tensor[] state_steps, *, Tensor lr, float beta1, float beta2, float weight_decay, float eps, bool amsgrad, bool maximize, Tensor? grad_scale=None, Tensor? found_inf=None) -> ()",
  ],
  "_fused_dropout": [
    "aten::_fused_dropout(Tensor self, float p, Generator? generator=None) -> (Tensor, Tensor)",
    "aten::_fused_dropout.out(Tensor self, float p, Generator? generator=None, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "_fused_moving_avg_obs_fq_helper": [
    "aten::_fused_moving_avg_obs_fq_helper(Tensor self, Tensor observer_on, Tensor fake_quant_on, Tensor(a!) running_min, Tensor(b!) running_max, Tensor(c!) scale, Tensor(d!) zero_point, float averaging_const, int quant_min, int quant_max, int ch_axis, bool per_row_fake_quant=False, bool symmetric_quant=False) -> (Tensor output, Tensor mask)",
    "aten::_fused_moving_avg_obs_fq_helper.out(Tensor self, Tensor observer_on, Tensor fake_quant_on, Tensor(a!) running_min, Tensor(b!) running_max, Tensor(c!) scale, Tensor(d!) zero_point, float averaging_const, int quant_min, int quant_max, int ch_axis, bool per_row_fake_quant=False, bool symmetric_quant=False, *, Tensor(e!) out0, Tensor(f!) out1) -> (Tensor(e!), Tensor(f!))",
  ],
  "_fused_moving_avg_obs_fq_helper_functional": [
    "aten::_fused_moving_avg_obs_fq_helper_functional(Tensor self, Tensor observer_on, Tensor fake_quant_on, Tensor running_min, Tensor running_max, Tensor scale, Tensor zero_point, float averaging_const, int quant_min, int quant_max, int ch_axis, bool per_row_fake_quant=False, bool symmetric_quant=False) -> (Tensor output, Tensor mask, Tensor running_min_out, Tensor running_max_out, Tensor scale_out, Tensor zero_point_out)",
  ],
  "_fused_rms_norm": [
    "aten::_fused_rms_norm(Tensor input, int[] normalized_shape, Tensor? weight, float? eps) -> (Tensor, Tensor)",
  ],
  "_fused_rms_norm_backward": [
    "aten::_fused_rms_norm_backward(Tensor grad_out, Tensor input, int[] normalized_shape, Tensor rstd, Tensor? weight, bool[2] output_mask) -> (Tensor, Tensor)",
  ],
  "_fused_sdp_choice": [
    "aten::_fused_sdp_choice(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0., bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> int",
  ],
  "_fused_sgd": [
    "aten::_fused_sgd(Tensor[] self, Tensor[] grads, Tensor[] momentum_buffer_list, *, float weight_decay, float momentum, float lr, float dampening, bool nesterov, bool maximize, bool is_first_step, Tensor? grad_scale=None, Tensor? found_inf=None) -> (Tensor[] self_out, Tensor[] grads_out, Tensor[] momentum_buffer_list_out)",
    "aten::_fused_sgd.out(Tensor[] self, Tensor(b!)[] grads, Tensor(c!)[] momentum_buffer_list, *, float weight_decay, float momentum, float lr, float dampening, bool nesterov, bool maximize, bool is_first_step, Tensor? grad_scale=None, Tensor? found_inf=None, Tensor(a!)[] out) -> ()",
    "aten::_fused_sgd.tensor_lr(Tensor[] self, Tensor[] grads, Tensor[] momentum_buffer_list, *, float weight_decay, float momentum, Tensor lr, float dampening, bool nesterov, bool maximize, bool is_first_step, Tensor? grad_scale=None, Tensor? found_inf=None) -> (Tensor[] self_out, Tensor[] grads_out, Tensor[] momentum_buffer_list_out)",
    "aten::_fused_sgd.tensor_lr_out(Tensor[] self, Tensor(b!)[] grads, Tensor(c!)[] momentum_buffer_list, *, float weight_decay, float momentum, Tensor lr, float dampening, bool nesterov, bool maximize, bool is_first_step, Tensor? grad_scale=None, Tensor? found_inf=None, Tensor(a!)[] out) -> ()",
  ],
  "_fused_sgd_": [
    "aten::_fused_sgd_(Tensor(a!)[] self, Tensor(b!)[] grads, Tensor(c!)[] momentum_buffer_list, *, float weight_decay, float momentum, float lr, float dampening, bool nesterov, bool maximize, bool is_first_step, Tensor? grad_scale=None, Tensor? found_inf=None) -> ()",
    "aten::_fused_sgd_.tensor_lr(Tensor(a!)[] self, Tensor(b!)[] grads, Tensor(c!)[] momentum_buffer_list, *, float weight_decay, float momentum, Tensor lr, float dampening, bool nesterov, bool maximize, bool is_first_step, Tensor? grad_scale=None, Tensor? found_inf=None) -> ()",
  ],
  "_fw_primal": [
    "aten::_fw_primal(Tensor(a) self, int level) -> Tensor(a)",
  ],
  "_fw_primal_copy": [
    "aten::_fw_primal_copy(Tensor self, int level) -> Tensor",
    "aten::_fw_primal_copy.out(Tensor self, int level, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_gather_sparse_backward": [
    "aten::_gather_sparse_backward(Tensor self, int dim, Tensor index, Tensor grad) -> Tensor",
  ],
  "_grid_sampler_2d_cpu_fallback": [
    "aten::_grid_sampler_2d_cpu_fallback(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners) -> Tensor",
    "aten::_grid_sampler_2d_cpu_fallback.out(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_grid_sampler_2d_cpu_fallback_backward": [
    "aten::_grid_sampler_2d_cpu_fallback_backward(Tensor grad_output, Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners) -> (Tensor, Tensor)",
  ],
  "_grouped_mm": [
    "aten::_grouped_mm(Tensor self, Tensor mat2, Tensor? offs=None, Tensor? bias=None, ScalarType? out_dtype=None) -> Tensor",
  ],
  "_has_compatible_shallow_copy_type": [
    "aten::_has_compatible_shallow_copy_type(Tensor self, Tensor from) -> bool",
  ],
  "_has_same_storage_numel": [
    "aten::_has_same_storage_numel(Tensor self, Tensor other) -> bool",
  ],
  "_histogramdd_bin_edges": [
    "aten::_histogramdd_bin_edges(Tensor self, int[] bins, *, float[]? range=None, Tensor? weight=None, bool density=False) -> Tensor[]",
    "aten::_histogramdd_bin_edges.out(Tensor self, int[] bins, *, float[]? range=None, Tensor? weight=None, bool density=False, Tensor(a!)[] out) -> ()",
  ],
  "_histogramdd_from_bin_cts": [
    "aten::_histogramdd_from_bin_cts(Tensor self, int[] bins, *, float[]? range=None, Tensor? weight=None, bool density=False) -> Tensor",
    "aten::_histogramdd_from_bin_cts.out(Tensor self, int[] bins, *, float[]? range=None, Tensor? weight=None, bool density=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_histogramdd_from_bin_tensors": [
    "aten::_histogramdd_from_bin_tensors(Tensor self, Tensor[] bins, *, Tensor? weight=None, bool density=False) -> Tensor",
    "aten::_histogramdd_from_bin_tensors.out(Tensor self, Tensor[] bins, *, Tensor? weight=None, bool density=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_index_put_impl": [
    "aten::_index_put_impl(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False, bool unsafe=False) -> Tensor",
    "aten::_index_put_impl.out(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False, bool unsafe=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_index_put_impl_": [
    "aten::_index_put_impl_(Tensor(a!) self, Tensor?[] indices, Tensor values, bool accumulate=False, bool unsafe=False) -> Tensor(a!)",
  ],
  "_indices": [
    "aten::_indices(Tensor(a) self) -> Tensor(a)",
  ],
  "_indices_copy": [
    "aten::_indices_copy(Tensor self) -> Tensor",
    "aten::_indices_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_int_mm": [
    "aten::_int_mm(Tensor self, Tensor mat2) -> Tensor",
    "aten::_int_mm.out(Tensor self, Tensor mat2, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_is_all_true": [
    "aten::_is_all_true(Tensor self) -> Tensor",
  ],
  "_is_any_true": [
    "aten::_is_any_true(Tensor self) -> Tensor",
  ],
  "_is_zerotensor": [
    "aten::_is_zerotensor(Tensor self) -> bool",
  ],
  "_jagged_to_padded_dense_forward": [
    "aten::_jagged_to_padded_dense_forward(Tensor values, Tensor[] offsets, SymInt[] max_lengths, float padding_value=0.) -> Tensor",
  ],
  "_lazy_clone": [
    "aten::_lazy_clone(Tensor self) -> Tensor",
  ],
  "_linalg_check_errors": [
    "aten::_linalg_check_errors(Tensor info, str api_name, *, bool is_matrix) -> ()",
  ],
  "_linalg_det": [
    "aten::_linalg_det(Tensor A) -> (Tensor result, Tensor LU, Tensor pivots)",
    "aten::_linalg_det.result(Tensor A, *, Tensor(a!) result, Tensor(b!) LU, Tensor(c!) pivots) -> (Tensor(a!) result, Tensor(b!) LU, Tensor(c!) pivots)",
  ],
  "_linalg_eigh": [
    "aten::_linalg_eigh(Tensor A, str UPLO=\"L\", bool compute_v=True) -> (Tensor eigenvalues, Tensor eigenvectors)",
    "aten::_linalg_eigh.eigenvalues(Tensor A, str UPLO=\"L\", bool compute_v=True, *, Tensor(a!) eigenvalues, Tensor(b!) eigenvectors) -> (Tensor(a!) eigenvalues, Tensor(b!) eigenvectors)",
  ],
  "_linalg_eigvals": [
    "aten::_linalg_eigvals(Tensor self) -> Tensor",
  ],
  "_linalg_slogdet": [
    "aten::_linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet, Tensor LU, Tensor pivots)",
    "aten::_linalg_slogdet.sign(Tensor A, *, Tensor(a!) sign, Tensor(b!) logabsdet, Tensor(c!) LU, Tensor(d!) pivots) -> (Tensor(a!) sign, Tensor(b!) logabsdet, Tensor(c!) LU, Tensor(d!) pivots)",
  ],
  "_linalg_solve_ex": [
    "aten::_linalg_solve_ex(Tensor A, Tensor B, *, bool left=True, bool check_errors=False) -> (Tensor result, Tensor LU, Tensor pivots, Tensor info)",
    "aten::_linalg_solve_ex.result(Tensor A, Tensor B, *, bool left=True, bool check_errors=False, Tensor(a!) result, Tensor(b!) LU, Tensor(c!) pivots, Tensor(d!) info) -> (Tensor(a!) result, Tensor(b!) LU, Tensor(c!) pivots, Tensor(d!) info)",
  ],
  "_linalg_svd": [
    "aten::_linalg_svd(Tensor A, bool full_matrices=False, bool compute_uv=True, *, str? driver=None) -> (Tensor U, Tensor S, Tensor Vh)",
    "aten::_linalg_svd.U(Tensor A, bool full_matrices=False, bool compute_uv=True, *, str? driver=None, Tensor(a!) U, Tensor(b!) S, Tensor(c!) Vh) -> (Tensor(a!) U, Tensor(b!) S, Tensor(c!) Vh)",
  ],
  "_local_scalar_dense": [
    "aten::_local_scalar_dense(Tensor self) -> Scalar",
  ],
  "_log_softmax": [
    "aten::_log_softmax(Tensor self, int dim, bool half_to_float) -> Tensor",
    "aten::_log_softmax.out(Tensor self, int dim, bool half_to_float, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_log_softmax_backward_data": [
    "aten::_log_softmax_backward_data(Tensor grad_output, Tensor output, int dim, ScalarType input_dtype) -> Tensor",
    "aten::_log_softmax_backward_data.out(Tensor grad_output, Tensor output, int dim, ScalarType input_dtype, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_logcumsumexp": [
    "aten::_logcumsumexp(Tensor self, int dim) -> Tensor",
    "aten::_logcumsumexp.out(Tensor self, int dim, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_lstm_mps": [
    "aten::_lstm_mps(Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    "aten::_lstm_mps.out(Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2, Tensor(d!) out3, Tensor(e!) out4, Tensor(f!) out5) -> (Tensor(a!), Tensor(b!), Tensor(c!), Tensor(d!), Tensor(e!), Tensor(f!))",
  ],
  "_lu_with_info": [
    "aten::_lu_with_info(Tensor self, bool pivot=True, bool check_errors=True) -> (Tensor LU, Tensor pivots, Tensor info)",
  ],
  "_make_dep_token": [
    "aten::_make_dep_token(*, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
  ],
  "_make_dual": [
    "aten::_make_dual(Tensor(a) primal, Tensor tangent, int level) -> Tensor(a)",
  ],
  "_make_dual_copy": [
    "aten::_make_dual_copy(Tensor primal, Tensor tangent, int level) -> Tensor",
    "aten::_make_dual_copy.out(Tensor primal, Tensor tangent, int level, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_make_per_channel_quantized_tensor": [
    "aten::_make_per_channel_quantized_tensor(Tensor self, Tensor scale, Tensor zero_point, int axis) -> Tensor",
    "aten::_make_per_channel_quantized_tensor.out(Tensor self, Tensor scale, Tensor zero_point, int axis, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_make_per_tensor_quantized_tensor": [
    "aten::_make_per_tensor_quantized_tensor(Tensor self, float scale, int zero_point) -> Tensor",
    "aten::_make_per_tensor_quantized_tensor.out(Tensor self, float scale, int zero_point, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_masked_scale": [
    "aten::_masked_scale(Tensor self, Tensor mask, float scale) -> Tensor",
    "aten::_masked_scale.out(Tensor self, Tensor mask, float scale, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_masked_softmax": [
    "aten::_masked_softmax(Tensor self, Tensor mask, int? dim=None, int? mask_type=None) -> Tensor",
    "aten::_masked_softmax.out(Tensor self, Tensor mask, int? dim=None, int? mask_type=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_masked_softmax_backward": [
    "aten::_masked_softmax_backward(Tensor grad_output, Tensor output, Tensor mask, int? dim=None) -> Tensor",
    "aten::_masked_softmax_backward.out(Tensor grad_output, Tensor output, Tensor mask, int? dim=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_mixed_dtypes_linear": [
    "aten::_mixed_dtypes_linear(Tensor input, Tensor weight, Tensor scale, *, Tensor? bias=None, str? activation=None) -> Tensor",
  ],
  "_mkldnn_reshape": [
    "aten::_mkldnn_reshape(Tensor self, int[] shape) -> Tensor",
    "aten::_mkldnn_reshape.out(Tensor self, int[] shape, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_mkldnn_transpose": [
    "aten::_mkldnn_transpose(Tensor self, int dim0, int dim1) -> Tensor",
    "aten::_mkldnn_transpose.out(Tensor self, int dim0, int dim1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_mkldnn_transpose_": [
    "aten::_mkldnn_transpose_(Tensor(a!) self, int dim0, int dim1) -> Tensor(a!)",
  ],
  "_mps_convolution": [
    "aten::_mps_convolution(Tensor self, Tensor weight, Tensor? bias, SymInt[] padding, SymInt[] stride, SymInt[] dilation, SymInt groups) -> Tensor",
    "aten::_mps_convolution.out(Tensor self, Tensor weight, Tensor? bias, SymInt[] padding, SymInt[] stride, SymInt[] dilation, SymInt groups, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_mps_convolution_transpose": [
    "aten::_mps_convolution_transpose(Tensor self, Tensor weight, SymInt[] padding, SymInt[] output_padding, SymInt[] stride, SymInt[] dilation, SymInt groups) -> Tensor",
    "aten::_mps_convolution_transpose.out(Tensor self, Tensor weight, SymInt[] padding, SymInt[] output_padding, SymInt[] stride, SymInt[] dilation, SymInt groups, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_native_batch_norm_legit": [
    "aten::_native_batch_norm_legit(Tensor input, Tensor? weight, Tensor? bias, Tensor(a!) running_mean, Tensor(b!) running_var, bool training, float momentum, float eps) -> (Tensor, Tensor, Tensor)",
    "aten::_native_batch_norm_legit.no_stats(Tensor input, Tensor? weight, Tensor? bias, bool training, float momentum, float eps) -> (Tensor, Tensor, Tensor)",
    "aten::_native_batch_norm_legit.no_stats_out(Tensor input, Tensor? weight, Tensor? bias, bool training, float momentum, float eps, *, Tensor(a!) out, Tensor(b!) save_mean, Tensor(c!) save_invstd) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
    "aten::_native_batch_norm_legit.out(Tensor input, Tensor? weight, Tensor? bias, Tensor(a!) running_mean, Tensor(b!) running_var, bool training, float momentum, float eps, *, Tensor(d!) out, Tensor(e!) save_mean, Tensor(f!) save_invstd) -> (Tensor(d!), Tensor(e!), Tensor(f!))",
  ],
  "_native_batch_norm_legit_functional": [
    "aten::_native_batch_norm_legit_functional(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, bool training, float momentum, float eps) -> (Tensor, Tensor, Tensor, Tensor running_mean_out, Tensor running_var_out)",
  ],
  "_native_batch_norm_legit_no_training": [
    "aten::_native_batch_norm_legit_no_training(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, float momentum, float eps) -> (Tensor, Tensor, Tensor)",
    "aten::_native_batch_norm_legit_no_training.out(Tensor input, Tensor? weight, Tensor? bias, Tensor running_mean, Tensor running_var, float momentum, float eps, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "_native_multi_head_attention": [
    "aten::_native_multi_head_attention(Tensor query, Tensor key, Tensor value, int embed_dim, int num_head, Tensor qkv_weight, Tensor qkv_bias, Tensor proj_weight, Tensor proj_bias, Tensor? mask=None, bool need_weights=True, bool average_attn_weights=True, int? mask_type=None) -> (Tensor, Tensor)",
    "aten::_native_multi_head_attention.out(Tensor query, Tensor key, Tensor value, int embed_dim, int num_head, Tensor qkv_weight, Tensor qkv_bias, Tensor proj_weight, Tensor proj_bias, Tensor? mask=None, bool need_weights=True, bool average_attn_weights=True, int? mask_type=None, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "_neg_view": [
    "aten::_neg_view(Tensor(a) self) -> Tensor(a)",
  ],
  "_neg_view_copy": [
    "aten::_neg_view_copy(Tensor self) -> Tensor",
    "aten::_neg_view_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_nested_compute_contiguous_strides_offsets": [
    "aten::_nested_compute_contiguous_strides_offsets(Tensor nested_size) -> (Tensor, Tensor)",
  ],
  "_nested_from_padded": [
    "aten::_nested_from_padded(Tensor padded, Tensor cpu_nested_shape_example, bool fuse_transform_0213=False) -> Tensor",
    "aten::_nested_from_padded.out(Tensor padded, Tensor cpu_nested_shape_example, bool fuse_transform_0213=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_nested_from_padded_and_nested_example": [
    "aten::_nested_from_padded_and_nested_example(Tensor padded, Tensor nt_example) -> Tensor",
    "aten::_nested_from_padded_and_nested_example.out(Tensor padded, Tensor nt_example, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_nested_from_padded_tensor": [
    "aten::_nested_from_padded_tensor(Tensor padded, Tensor offsets, Tensor dummy, int ragged_idx=1, Tensor? min_seqlen=None, Tensor? max_seqlen=None, SymInt? sum_S=None) -> Tensor",
  ],
  "_nested_get_jagged_dummy": [
    "aten::_nested_get_jagged_dummy(Tensor any) -> Tensor",
  ],
  "_nested_get_lengths": [
    "aten::_nested_get_lengths(Tensor self) -> Tensor",
  ],
  "_nested_get_max_seqlen": [
    "aten::_nested_get_max_seqlen(Tensor self) -> Tensor",
  ],
  "_nested_get_min_seqlen": [
    "aten::_nested_get_min_seqlen(Tensor self) -> Tensor",
  ],
  "_nested_get_offsets": [
    "aten::_nested_get_offsets(Tensor self) -> Tensor",
  ],
  "_nested_get_ragged_idx": [
    "aten::_nested_get_ragged_idx(Tensor self) -> int",
  ],
  "_nested_get_values": [
    "aten::_nested_get_values(Tensor(a) self) -> Tensor(a)",
  ],
  "_nested_get_values_copy": [
    "aten::_nested_get_values_copy(Tensor self) -> Tensor",
    "aten::_nested_get_values_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_nested_select_backward": [
    "aten::_nested_select_backward(Tensor grad_output, Tensor self, int dim, SymInt index) -> Tensor",
  ],
  "_nested_sum_backward": [
    "aten::_nested_sum_backward(Tensor grad, Tensor self, int[1]? dim, bool keepdim=False) -> Tensor",
  ],
  "_nested_tensor_from_mask": [
    "aten::_nested_tensor_from_mask(Tensor t, Tensor mask, bool mask_check=True) -> Tensor",
    "aten::_nested_tensor_from_mask.out(Tensor t, Tensor mask, bool mask_check=True, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_nested_tensor_from_mask_left_aligned": [
    "aten::_nested_tensor_from_mask_left_aligned(Tensor t, Tensor mask) -> bool",
  ],
  "_nested_tensor_from_tensor_list": [
    "aten::_nested_tensor_from_tensor_list(Tensor[] list, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::_nested_tensor_from_tensor_list.out(Tensor[] list, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_nested_tensor_size": [
    "aten::_nested_tensor_size(Tensor self) -> Tensor",
    "aten::_nested_tensor_size.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_nested_tensor_softmax_with_shape": [
    "aten::_nested_tensor_softmax_with_shape(Tensor self, Tensor query) -> Tensor",
  ],
  "_nested_tensor_storage_offsets": [
    "aten::_nested_tensor_storage_offsets(Tensor self) -> Tensor",
    "aten::_nested_tensor_storage_offsets.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_nested_tensor_strides": [
    "aten::_nested_tensor_strides(Tensor self) -> Tensor",
    "aten::_nested_tensor_strides.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_nested_view_from_buffer": [
    "aten::_nested_view_from_buffer(Tensor(a) self, Tensor nested_size, Tensor nested_strides, Tensor offsets) -> Tensor(a)",
  ],
  "_nested_view_from_buffer_copy": [
    "aten::_nested_view_from_buffer_copy(Tensor self, Tensor nested_size, Tensor nested_strides, Tensor offsets) -> Tensor",
    "aten::_nested_view_from_buffer_copy.out(Tensor self, Tensor nested_size, Tensor nested_strides, Tensor offsets, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_nested_view_from_jagged": [
    "aten::_nested_view_from_jagged(Tensor(a) self, Tensor offsets, Tensor dummy, Tensor? lengths=None, int ragged_idx=1, Tensor? min_seqlen=None, Tensor? max_seqlen=None) -> Tensor(a)",
  ],
  "_nested_view_from_jagged_copy": [
    "aten::_nested_view_from_jagged_copy(Tensor self, Tensor offsets, Tensor dummy, Tensor? lengths=None, int ragged_idx=1, Tensor? min_seqlen=None, Tensor? max_seqlen=None) -> Tensor",
    "aten::_nested_view_from_jagged_copy.out(Tensor self, Tensor offsets, Tensor dummy, Tensor? lengths=None, int ragged_idx=1, Tensor? min_seqlen=None, Tensor? max_seqlen=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_new_zeros_with_same_feature_meta": [
    "aten::_new_zeros_with_same_feature_meta(Tensor self, Tensor other, *, int self_num_batch_dims=0) -> Tensor",
    "aten::_new_zeros_with_same_feature_meta.out(Tensor self, Tensor other, *, int self_num_batch_dims=0, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_nnpack_available": [
    "aten::_nnpack_available() -> bool",
  ],
  "_nnpack_spatial_convolution": [
    "aten::_nnpack_spatial_convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[2] padding, SymInt[2] stride=[1, 1]) -> Tensor",
    "aten::_nnpack_spatial_convolution.out(Tensor input, Tensor weight, Tensor? bias, SymInt[2] padding, SymInt[2] stride=[1, 1], *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_nnz": [
    "aten::_nnz(Tensor self) -> int",
  ],
  "_pack_padded_sequence": [
    "aten::_pack_padded_sequence(Tensor input, Tensor lengths, bool batch_first) -> (Tensor, Tensor)",
    "aten::_pack_padded_sequence.out(Tensor input, Tensor lengths, bool batch_first, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "_pack_padded_sequence_backward": [
    "aten::_pack_padded_sequence_backward(Tensor grad, SymInt[] input_size, Tensor batch_sizes, bool batch_first) -> Tensor",
  ],
  "_pad_circular": [
    "aten::_pad_circular(Tensor self, SymInt[] pad) -> Tensor",
  ],
  "_pad_enum": [
    "aten::_pad_enum(Tensor self, SymInt[] pad, int mode, float? value=None) -> Tensor",
  ],
  "_pad_packed_sequence": [
    "aten::_pad_packed_sequence(Tensor data, Tensor batch_sizes, bool batch_first, Scalar padding_value, int total_length) -> (Tensor, Tensor)",
  ],
  "_padded_dense_to_jagged_forward": [
    "aten::_padded_dense_to_jagged_forward(Tensor dense, Tensor[] offsets, SymInt? total_L=None) -> Tensor",
  ],
  "_pdist_backward": [
    "aten::_pdist_backward(Tensor grad, Tensor self, float p, Tensor pdist) -> Tensor",
    "aten::_pdist_backward.out(Tensor grad, Tensor self, float p, Tensor pdist, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_pdist_forward": [
    "aten::_pdist_forward(Tensor self, float p=2.) -> Tensor",
    "aten::_pdist_forward.out(Tensor self, float p=2., *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_philox_key_fold_in": [
    "aten::_philox_key_fold_in(Tensor key, int data) -> Tensor",
  ],
  "_philox_key_split": [
    "aten::_philox_key_split(Tensor key, int num_splits) -> Tensor",
  ],
  "_philox_normal": [
    "aten::_philox_normal(Tensor self, Tensor key, float mean=0., float std=1.) -> Tensor",
    "aten::_philox_normal.out(Tensor self, Tensor key, float mean=0., float std=1., *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_philox_normal_": [
    "aten::_philox_normal_(Tensor(a!) self, Tensor key, float mean=0., float std=1.) -> Tensor(a!)",
  ],
  "_philox_uniform": [
    "aten::_philox_uniform(Tensor self, Tensor key, float low=0., float high=1.) -> Tensor",
    "aten::_philox_uniform.out(Tensor self, Tensor key, float low=0., float high=1., *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_philox_uniform_": [
    "aten::_philox_uniform_(Tensor(a!) self, Tensor key, float low=0., float high=1.) -> Tensor(a!)",
  ],
  "_pin_memory": [
    "aten::_pin_memory(Tensor self, Device? device=None) -> Tensor",
    "aten::_pin_memory.out(Tensor self, Device? device=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_prelu_kernel": [
    "aten::_prelu_kernel(Tensor self, Tensor weight) -> Tensor",
  ],
  "_prelu_kernel_backward": [
    "aten::_prelu_kernel_backward(Tensor grad_output, Tensor self, Tensor weight) -> (Tensor, Tensor)",
  ],
  "_print": [
    "aten::_print(str s) -> ()",
  ],
  "_propagate_xla_data": [
    "aten::_propagate_xla_data(Tensor input, Tensor output) -> ()",
  ],
  "_remove_batch_dim": [
    "aten::_remove_batch_dim(Tensor self, int level, SymInt batch_size, int out_dim) -> Tensor",
  ],
  "_reshape_alias": [
    "aten::_reshape_alias(Tensor(a) self, SymInt[] size, SymInt[] stride) -> Tensor(a)",
  ],
  "_reshape_alias_copy": [
    "aten::_reshape_alias_copy(Tensor self, SymInt[] size, SymInt[] stride) -> Tensor",
    "aten::_reshape_alias_copy.out(Tensor self, SymInt[] size, SymInt[] stride, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_reshape_copy": [
    "aten::_reshape_copy(Tensor self, SymInt[] size) -> Tensor",
  ],
  "_reshape_from_tensor": [
    "aten::_reshape_from_tensor(Tensor self, Tensor shape) -> Tensor",
  ],
  "_resize_output": [
    "aten::_resize_output(Tensor self, SymInt[] size, Device device) -> Tensor",
    "aten::_resize_output.out(Tensor self, SymInt[] size, Device device, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_resize_output_": [
    "aten::_resize_output_(Tensor(a!) self, SymInt[] size, Device device) -> Tensor(a!)",
  ],
  "_rowwise_prune": [
    "aten::_rowwise_prune(Tensor weight, Tensor mask, ScalarType compressed_indices_dtype) -> (Tensor, Tensor)",
  ],
  "_safe_softmax": [
    "aten::_safe_softmax(Tensor self, int dim, ScalarType? dtype=None) -> Tensor",
  ],
  "_sample_dirichlet": [
    "aten::_sample_dirichlet(Tensor self, Generator? generator=None) -> Tensor",
    "aten::_sample_dirichlet.out(Tensor self, Generator? generator=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_saturate_weight_to_fp16": [
    "aten::_saturate_weight_to_fp16(Tensor weight) -> Tensor",
  ],
  "_scaled_dot_product_attention_math": [
    "aten::_scaled_dot_product_attention_math(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0., bool is_causal=False, Tensor? dropout_mask=None, *, float? scale=None, bool enable_gqa=False) -> (Tensor, Tensor)",
  ],
  "_scaled_dot_product_attention_math_for_mps": [
    "aten::_scaled_dot_product_attention_math_for_mps(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0., bool is_causal=False, Tensor? dropout_mask=None, *, float? scale=None, bool enable_gqa=False) -> (Tensor, Tensor)",
  ],
  "_scaled_dot_product_cudnn_attention": [
    "aten::_scaled_dot_product_cudnn_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_bias, bool compute_log_sumexp, float dropout_p=0., bool is_causal=False, bool return_debug_mask=False, *, float? scale=None) -> (Tensor output, Tensor logsumexp, Tensor cum_seq_q, Tensor cum_seq_k, SymInt max_q, SymInt max_k, Tensor philox_seed, Tensor philox_offset, Tensor debug_attn_mask)",
  ],
  "_scaled_dot_product_cudnn_attention_backward": [
    "aten::_scaled_dot_product_cudnn_attention_backward(Tensor grad_out, Tensor query, Tensor key, Tensor value, Tensor out, Tensor logsumexp, Tensor philox_seed, Tensor philox_offset, Tensor attn_bias, Tensor cum_seq_q, Tensor cum_seq_k, SymInt max_q, SymInt max_k, float dropout_p, bool is_causal, *, float? scale=None) -> (Tensor, Tensor, Tensor)",
  ],
  "_scaled_dot_product_efficient_attention": [
    "aten::_scaled_dot_product_efficient_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_bias, bool compute_log_sumexp, float dropout_p=0., bool is_causal=False, *, float? scale=None) -> (Tensor output, Tensor log_sumexp, Tensor philox_seed, Tensor philox_offset)",
  ],
  "_scaled_dot_product_efficient_attention_backward": [
    "aten::_scaled_dot_product_efficient_attention_backward(Tensor grad_out_, Tensor query, Tensor key, Tensor value, Tensor attn_bias, Tensor out, Tensor logsumexp, Tensor philox_seed, Tensor philox_offset, float dropout_p, bool[4] grad_input_mask, bool is_causal=False, *, float? scale=None) -> (Tensor, Tensor, Tensor, Tensor)",
  ],
  "_scaled_dot_product_flash_attention": [
    "aten::_scaled_dot_product_flash_attention(Tensor query, Tensor key, Tensor value, float dropout_p=0., bool is_causal=False, bool return_debug_mask=False, *, float? scale=None) -> (Tensor output, Tensor logsumexp, Tensor cum_seq_q, Tensor cum_seq_k, SymInt max_q, SymInt max_k, Tensor rng_state, Tensor unused, Tensor debug_attn_mask)",
    "aten::_scaled_dot_product_flash_attention.quantized(Tensor query, Tensor key, Tensor value, Tensor? q_descale, Tensor? k_descale, Tensor? v_descale, float dropout_p=0., bool is_causal=False, bool return_debug_mask=False, *, float? scale=None) -> (Tensor output, Tensor logsumexp, Tensor cum_seq_q, Tensor cum_seq_k, SymInt max_q, SymInt max_k, Tensor rng_state, Tensor unused, Tensor debug_attn_mask)",
  ],
  "_scaled_dot_product_flash_attention_backward": [
    "aten::_scaled_dot_product_flash_attention_backward(Tensor grad_out, Tensor query, Tensor key, Tensor value, Tensor out, Tensor logsumexp, Tensor cum_seq_q, Tensor cum_seq_k, SymInt max_q, SymInt max_k, float dropout_p, bool is_causal, Tensor philox_seed, Tensor philox_offset, *, float? scale=None) -> (Tensor grad_query, Tensor grad_key, Tensor grad_value)",
  ],
  "_scaled_dot_product_flash_attention_for_cpu": [
    "aten::_scaled_dot_product_flash_attention_for_cpu(Tensor query, Tensor key, Tensor value, float dropout_p=0., bool is_causal=False, *, Tensor? attn_mask=None, float? scale=None) -> (Tensor output, Tensor logsumexp)",
  ],
  "_scaled_dot_product_flash_attention_for_cpu_backward": [
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward(Tensor grad_out, Tensor query, Tensor key, Tensor value, Tensor out, Tensor logsumexp, float dropout_p, bool is_causal, *, Tensor? attn_mask=None, float? scale=None) -> (Tensor grad_query, Tensor grad_key, Tensor grad_value)",
  ],
  "_scaled_dot_product_fused_attention_overrideable": [
    "aten::_scaled_dot_product_fused_attention_overrideable(Tensor query, Tensor key, Tensor value, Tensor? attn_bias=None, float dropout_p=0., bool is_causal=False, bool return_debug_mask=False, *, float? scale=None) -> (Tensor output, Tensor logsumexp, Tensor cum_seq_q, Tensor cum_seq_k, SymInt max_q, SymInt max_k, Tensor philox_seed, Tensor philox_offset, Tensor debug_attn_mask)",
  ],
  "_scaled_dot_product_fused_attention_overrideable_backward": [
    "aten::_scaled_dot_product_fused_attention_overrideable_backward(Tensor grad_out, Tensor query, Tensor key, Tensor value, Tensor attn_bias, bool[4] grad_input_mask, Tensor out, Tensor logsumexp, Tensor cum_seq_q, Tensor cum_seq_k, SymInt max_q, SymInt max_k, float dropout_p, bool is_causal, Tensor philox_seed, Tensor philox_offset, *, float? scale=None) -> (Tensor grad_query, Tensor grad_key, Tensor grad_value, Tensor grad_attn_bias)",
  ],
  "_scaled_grouped_mm": [
    "aten::_scaled_grouped_mm(Tensor self, Tensor mat2, Tensor scale_a, Tensor scale_b, Tensor? offs=None, Tensor? bias=None, Tensor? scale_result=None, ScalarType? out_dtype=None, bool use_fast_accum=False) -> Tensor",
  ],
  "_scaled_grouped_mm_v2": [
    "aten::_scaled_grouped_mm_v2(Tensor self, Tensor mat2, Tensor[] scale_a, int[] recipe_a, int[] swizzle_a, Tensor[] scale_b, int[] recipe_b, int[] swizzle_b, Tensor? offs=None, Tensor? bias=None, ScalarType? out_dtype=None, int[] contraction_dim=[], bool use_fast_accum=False) -> Tensor",
  ],
  "_scaled_mm": [
    "aten::_scaled_mm(Tensor self, Tensor mat2, Tensor scale_a, Tensor scale_b, Tensor? bias=None, Tensor? scale_result=None, ScalarType? out_dtype=None, bool use_fast_accum=False) -> Tensor",
    "aten::_scaled_mm.out(Tensor self, Tensor mat2, Tensor scale_a, Tensor scale_b, Tensor? bias=None, Tensor? scale_result=None, ScalarType? out_dtype=None, bool use_fast_accum=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_scaled_mm_v2": [
    "aten::_scaled_mm_v2(Tensor self, Tensor mat2, Tensor[] scale_a, int[] recipe_a, int[] swizzle_a, Tensor[] scale_b, int[] recipe_b, int[] swizzle_b, Tensor? bias, ScalarType? out_dtype, int[] contraction_dim=[], bool use_fast_accum=False) -> Tensor",
    "aten::_scaled_mm_v2.out(Tensor self, Tensor mat2, Tensor[] scale_a, int[] recipe_a, int[] swizzle_a, Tensor[] scale_b, int[] recipe_b, int[] swizzle_b, Tensor? bias, ScalarType? out_dtype, int[] contraction_dim=[], bool use_fast_accum=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_segment_reduce_backward": [
    "aten::_segment_reduce_backward(Tensor grad, Tensor output, Tensor data, str reduce, *, Tensor? lengths=None, Tensor? offsets=None, int axis=0, Scalar? initial=None) -> Tensor",
    "aten::_segment_reduce_backward.out(Tensor grad, Tensor output, Tensor data, str reduce, *, Tensor? lengths=None, Tensor? offsets=None, int axis=0, Scalar? initial=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_shape_as_tensor": [
    "aten::_shape_as_tensor(Tensor self) -> Tensor",
  ],
  "_slow_conv2d_backward": [
    "aten::_slow_conv2d_backward.grad_input(Tensor grad_output, Tensor self, Tensor weight, SymInt[2] kernel_size, SymInt[2] stride, SymInt[2] padding, *, Tensor(a!) grad_input, Tensor(b!) grad_weight, Tensor(c!) grad_bias) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
    "aten::_slow_conv2d_backward.output_mask(Tensor grad_output, Tensor self, Tensor weight, SymInt[2] kernel_size, SymInt[2] stride, SymInt[2] padding, bool[3] output_mask) -> (Tensor grad_input, Tensor grad_weight, Tensor grad_bias)",
    "aten::_slow_conv2d_backward.output_mask_out(Tensor grad_output, Tensor self, Tensor weight, SymInt[2] kernel_size, SymInt[2] stride, SymInt[2] padding, bool[3] output_mask, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "_slow_conv2d_forward": [
    "aten::_slow_conv2d_forward(Tensor self, Tensor weight, SymInt[2] kernel_size, Tensor? bias, SymInt[2] stride, SymInt[2] padding) -> Tensor",
    "aten::_slow_conv2d_forward.output(Tensor self, Tensor weight, SymInt[2] kernel_size, Tensor? bias, SymInt[2] stride, SymInt[2] padding, *, Tensor(a!) output) -> Tensor(a!)",
  ],
  "_sobol_engine_draw": [
    "aten::_sobol_engine_draw(Tensor quasi, int n, Tensor sobolstate, int dimension, int num_generated, ScalarType? dtype) -> (Tensor, Tensor)",
  ],
  "_sobol_engine_ff_": [
    "aten::_sobol_engine_ff_(Tensor(a!) self, int n, Tensor sobolstate, int dimension, int num_generated) -> Tensor(a!)",
  ],
  "_sobol_engine_initialize_state_": [
    "aten::_sobol_engine_initialize_state_(Tensor(a!) self, int dimension) -> Tensor(a!)",
  ],
  "_sobol_engine_scramble_": [
    "aten::_sobol_engine_scramble_(Tensor(a!) self, Tensor ltm, int dimension) -> Tensor(a!)",
  ],
  "_softmax": [
    "aten::_softmax(Tensor self, int dim, bool half_to_float) -> Tensor",
    "aten::_softmax.out(Tensor self, int dim, bool half_to_float, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_softmax_backward_data": [
    "aten::_softmax_backward_data(Tensor grad_output, Tensor output, int dim, ScalarType input_dtype) -> Tensor",
    "aten::_softmax_backward_data.out(Tensor grad_output, Tensor output, int dim, ScalarType input_dtype, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "_sparse_addmm": [
    "aten::_sparse_addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
    "aten::_sparse_addmm.out(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_sparse_broadcast_to": [
    "aten::_sparse_broadcast_to(Tensor(a) self, int[] size) -> Tensor(a)",
  ],
  "_sparse_broadcast_to_copy": [
    "aten::_sparse_broadcast_to_copy(Tensor self, int[] size) -> Tensor",
    "aten::_sparse_broadcast_to_copy.out(Tensor self, int[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_sparse_bsc_tensor_unsafe": [
    "aten::_sparse_bsc_tensor_unsafe(Tensor ccol_indices, Tensor row_indices, Tensor values, int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
  ],
  "_sparse_bsr_tensor_unsafe": [
    "aten::_sparse_bsr_tensor_unsafe(Tensor crow_indices, Tensor col_indices, Tensor values, int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
  ],
  "_sparse_compressed_tensor_unsafe": [
    "aten::_sparse_compressed_tensor_unsafe(Tensor compressed_indices, Tensor plain_indices, Tensor values, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
  ],
  "_sparse_compressed_tensor_with_dims": [
    "aten::_sparse_compressed_tensor_with_dims(int nnz, int dense_dim, int[] size, int[] blocksize, ScalarType index_dtype, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
  ],
  "_sparse_coo_tensor_unsafe": [
    "aten::_sparse_coo_tensor_unsafe(Tensor indices, Tensor values, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, bool? is_coalesced=None) -> Tensor",
  ],
  "_sparse_coo_tensor_with_dims": [
    "aten::_sparse_coo_tensor_with_dims(int sparse_dim, int dense_dim, int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
    "aten::_sparse_coo_tensor_with_dims.out(int sparse_dim, int dense_dim, int[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_sparse_coo_tensor_with_dims_and_tensors": [
    "aten::_sparse_coo_tensor_with_dims_and_tensors(int sparse_dim, int dense_dim, SymInt[] size, Tensor indices, Tensor values, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False, bool? is_coalesced=None) -> Tensor",
    "aten::_sparse_coo_tensor_with_dims_and_tensors.out(int sparse_dim, int dense_dim, SymInt[] size, Tensor indices, Tensor values, *, bool? is_coalesced=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_sparse_csc_tensor_unsafe": [
    "aten::_sparse_csc_tensor_unsafe(Tensor ccol_indices, Tensor row_indices, Tensor values, int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
  ],
  "_sparse_csr_prod": [
    "aten::_sparse_csr_prod.dim_dtype(Tensor self, int[1] dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    "aten::_sparse_csr_prod.dim_dtype_out(Tensor self, int[1] dim, bool keepdim=False, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_sparse_csr_sum": [
    "aten::_sparse_csr_sum.dim_dtype(Tensor self, int[1] dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    "aten::_sparse_csr_sum.dim_dtype_out(Tensor self, int[1] dim, bool keepdim=False, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_sparse_csr_tensor_unsafe": [
    "aten::_sparse_csr_tensor_unsafe(Tensor crow_indices, Tensor col_indices, Tensor values, int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
  ],
  "_sparse_log_softmax": [
    "aten::_sparse_log_softmax(Tensor self, int dim, bool half_to_float) -> Tensor",
    "aten::_sparse_log_softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor",
    "aten::_sparse_log_softmax.out(Tensor self, int dim, bool half_to_float, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_sparse_log_softmax_backward_data": [
    "aten::_sparse_log_softmax_backward_data(Tensor grad_output, Tensor output, int dim, Tensor self) -> Tensor",
    "aten::_sparse_log_softmax_backward_data.out(Tensor grad_output, Tensor output, int dim, Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_sparse_mask_projection": [
    "aten::_sparse_mask_projection(Tensor self, Tensor mask, bool accumulate_matches=False) -> Tensor",
    "aten::_sparse_mask_projection.out(Tensor self, Tensor mask, bool accumulate_matches=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_sparse_mm": [
    "aten::_sparse_mm(Tensor sparse, Tensor dense) -> Tensor",
    "aten::_sparse_mm.reduce(Tensor sparse, Tensor dense, str reduce) -> Tensor",
  ],
  "_sparse_mm_reduce_impl": [
    "aten::_sparse_mm_reduce_impl(Tensor self, Tensor other, str reduce) -> (Tensor, Tensor)",
  ],
  "_sparse_mm_reduce_impl_backward": [
    "aten::_sparse_mm_reduce_impl_backward(Tensor self, Tensor grad_out, Tensor weight, str reduce, Tensor arg_out, bool[2] output_mask) -> (Tensor, Tensor)",
  ],
  "_sparse_semi_structured_addmm": [
    "aten::_sparse_semi_structured_addmm(Tensor input, Tensor mat1, Tensor mat1_meta, Tensor mat2, *, Scalar alpha=1, Scalar beta=1, ScalarType? out_dtype=None) -> Tensor",
  ],
  "_sparse_semi_structured_apply": [
    "aten::_sparse_semi_structured_apply(Tensor input, Tensor thread_masks) -> (Tensor, Tensor)",
  ],
  "_sparse_semi_structured_apply_dense": [
    "aten::_sparse_semi_structured_apply_dense(Tensor input, Tensor thread_masks) -> Tensor",
  ],
  "_sparse_semi_structured_linear": [
    "aten::_sparse_semi_structured_linear(Tensor input, Tensor weight, Tensor meta, *, Tensor? bias=None, str? activation=None, ScalarType? out_dtype=None) -> Tensor",
  ],
  "_sparse_semi_structured_mm": [
    "aten::_sparse_semi_structured_mm(Tensor mat1, Tensor mat1_meta, Tensor mat2, *, ScalarType? out_dtype=None) -> Tensor",
  ],
  "_sparse_semi_structured_tile": [
    "aten::_sparse_semi_structured_tile(Tensor input, str algorithm=\"\", bool use_cutlass=True) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
  ],
  "_sparse_softmax": [
    "aten::_sparse_softmax(Tensor self, int dim, bool half_to_float) -> Tensor",
    "aten::_sparse_softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor",
    "aten::_sparse_softmax.out(Tensor self, int dim, bool half_to_float, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_sparse_softmax_backward_data": [
    "aten::_sparse_softmax_backward_data(Tensor grad_output, Tensor output, int dim, Tensor self) -> Tensor",
    "aten::_sparse_softmax_backward_data.out(Tensor grad_output, Tensor output, int dim, Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_sparse_sparse_matmul": [
    "aten::_sparse_sparse_matmul(Tensor self, Tensor other) -> Tensor",
    "aten::_sparse_sparse_matmul.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_sparse_sum": [
    "aten::_sparse_sum(Tensor self) -> Tensor",
    "aten::_sparse_sum.dim(Tensor self, int[1] dim) -> Tensor",
    "aten::_sparse_sum.dim_dtype(Tensor self, int[1] dim, *, ScalarType dtype) -> Tensor",
    "aten::_sparse_sum.dim_out(Tensor self, int[1] dim, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::_sparse_sum.dtype(Tensor self, *, ScalarType dtype) -> Tensor",
  ],
  "_sparse_sum_backward": [
    "aten::_sparse_sum_backward(Tensor grad, Tensor self, int[] dim) -> Tensor",
    "aten::_sparse_sum_backward.out(Tensor grad, Tensor self, int[] dim, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_spdiags": [
    "aten::_spdiags(Tensor diagonals, Tensor offsets, int[] shape, Layout? layout=None) -> Tensor",
    "aten::_spdiags.out(Tensor diagonals, Tensor offsets, int[] shape, Layout? layout=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_spsolve": [
    "aten::_spsolve(Tensor A, Tensor B, *, bool left=True) -> Tensor",
  ],
  "_stack": [
    "aten::_stack(Tensor[] tensors, int dim=0) -> Tensor",
    "aten::_stack.out(Tensor[] tensors, int dim=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_standard_gamma": [
    "aten::_standard_gamma(Tensor self, Generator? generator=None) -> Tensor",
    "aten::_standard_gamma.out(Tensor self, Generator? generator=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_standard_gamma_grad": [
    "aten::_standard_gamma_grad(Tensor self, Tensor output) -> Tensor",
    "aten::_standard_gamma_grad.out(Tensor self, Tensor output, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_test_ambiguous_defaults": [
    "aten::_test_ambiguous_defaults.a(Tensor dummy, int a=1, int b=1) -> Tensor",
    "aten::_test_ambiguous_defaults.b(Tensor dummy, int a=2, str b=\"2\") -> Tensor",
  ],
  "_test_autograd_multiple_dispatch": [
    "aten::_test_autograd_multiple_dispatch.fullcoverage(Tensor self) -> Tensor",
    "aten::_test_autograd_multiple_dispatch.fullcoverage_out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::_test_autograd_multiple_dispatch.ntonly(Tensor self, bool b) -> Tensor",
  ],
  "_test_autograd_multiple_dispatch_view": [
    "aten::_test_autograd_multiple_dispatch_view(Tensor(a) self) -> Tensor(a)",
  ],
  "_test_autograd_multiple_dispatch_view_copy": [
    "aten::_test_autograd_multiple_dispatch_view_copy(Tensor self) -> Tensor",
    "aten::_test_autograd_multiple_dispatch_view_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_test_check_tensor": [
    "aten::_test_check_tensor(Tensor self) -> Tensor",
  ],
  "_test_functorch_fallback": [
    "aten::_test_functorch_fallback(Tensor self, Tensor other) -> Tensor",
    "aten::_test_functorch_fallback.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_test_optional_filled_intlist": [
    "aten::_test_optional_filled_intlist(Tensor values, int[2]? addends) -> Tensor",
    "aten::_test_optional_filled_intlist.out(Tensor values, int[2]? addends, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_test_optional_floatlist": [
    "aten::_test_optional_floatlist(Tensor values, float[]? addends) -> Tensor",
    "aten::_test_optional_floatlist.out(Tensor values, float[]? addends, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_test_optional_intlist": [
    "aten::_test_optional_intlist(Tensor values, int[]? addends) -> Tensor",
    "aten::_test_optional_intlist.out(Tensor values, int[]? addends, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_test_parallel_materialize": [
    "aten::_test_parallel_materialize(Tensor self, int num_parallel, bool skip_first=False) -> Tensor",
  ],
  "_test_serialization_subcmul": [
    "aten::_test_serialization_subcmul(Tensor self, Tensor other, Scalar alpha=1) -> Tensor",
  ],
  "_test_string_default": [
    "aten::_test_string_default(Tensor dummy, str a=\"\\\"\\'\\\\\", str b=\"\\\"\\'\\\\\") -> Tensor",
  ],
  "_test_warn_in_autograd": [
    "aten::_test_warn_in_autograd(Tensor self) -> Tensor",
    "aten::_test_warn_in_autograd.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_thnn_differentiable_gru_cell_backward": [
    "aten::_thnn_differentiable_gru_cell_backward(Tensor grad_hy, Tensor input_gates, Tensor hidden_gates, Tensor hx, Tensor? input_bias, Tensor? hidden_bias) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
  ],
  "_thnn_differentiable_lstm_cell_backward": [
    "aten::_thnn_differentiable_lstm_cell_backward(Tensor? grad_hy, Tensor? grad_cy, Tensor input_gates, Tensor hidden_gates, Tensor? input_bias, Tensor? hidden_bias, Tensor cx, Tensor cy) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
  ],
  "_thnn_fused_gru_cell": [
    "aten::_thnn_fused_gru_cell(Tensor input_gates, Tensor hidden_gates, Tensor hx, Tensor? input_bias=None, Tensor? hidden_bias=None) -> (Tensor, Tensor)",
    "aten::_thnn_fused_gru_cell.out(Tensor input_gates, Tensor hidden_gates, Tensor hx, Tensor? input_bias=None, Tensor? hidden_bias=None, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "_thnn_fused_gru_cell_backward": [
    "aten::_thnn_fused_gru_cell_backward(Tensor grad_hy, Tensor workspace, bool has_bias) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "aten::_thnn_fused_gru_cell_backward.out(Tensor grad_hy, Tensor workspace, bool has_bias, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2, Tensor(d!) out3, Tensor(e!) out4) -> (Tensor(a!), Tensor(b!), Tensor(c!), Tensor(d!), Tensor(e!))",
  ],
  "_thnn_fused_lstm_cell": [
    "aten::_thnn_fused_lstm_cell(Tensor input_gates, Tensor hidden_gates, Tensor cx, Tensor? input_bias=None, Tensor? hidden_bias=None) -> (Tensor, Tensor, Tensor)",
    "aten::_thnn_fused_lstm_cell.out(Tensor input_gates, Tensor hidden_gates, Tensor cx, Tensor? input_bias=None, Tensor? hidden_bias=None, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "_thnn_fused_lstm_cell_backward": [
    "aten::_thnn_fused_lstm_cell_backward(Tensor? grad_hy, Tensor? grad_cy, Tensor cx, Tensor cy, Tensor workspace, bool has_bias) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
  ],
  "_thnn_fused_lstm_cell_backward_impl": [
    "aten::_thnn_fused_lstm_cell_backward_impl(Tensor? grad_hy, Tensor? grad_cy, Tensor cx, Tensor cy, Tensor workspace, bool has_bias) -> (Tensor, Tensor, Tensor)",
    "aten::_thnn_fused_lstm_cell_backward_impl.out(Tensor? grad_hy, Tensor? grad_cy, Tensor cx, Tensor cy, Tensor workspace, bool has_bias, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "_to_copy": [
    "aten::_to_copy(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, bool non_blocking=False, MemoryFormat? memory_format=None) -> Tensor",
    "aten::_to_copy.out(Tensor self, *, bool non_blocking=False, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_to_cpu": [
    "aten::_to_cpu(Tensor[] tensors) -> Tensor[]",
  ],
  "_to_dense": [
    "aten::_to_dense(Tensor self, ScalarType? dtype=None, bool? masked_grad=None) -> Tensor",
    "aten::_to_dense.out(Tensor self, ScalarType? dtype=None, bool? masked_grad=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_to_sparse": [
    "aten::_to_sparse(Tensor self, *, Layout? layout=None, int[2]? blocksize=None, int? dense_dim=None) -> Tensor",
    "aten::_to_sparse.out(Tensor self, *, Layout? layout=None, int[2]? blocksize=None, int? dense_dim=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::_to_sparse.sparse_dim(Tensor self, int sparse_dim) -> Tensor",
    "aten::_to_sparse.sparse_dim_out(Tensor self, int sparse_dim, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_to_sparse_bsc": [
    "aten::_to_sparse_bsc(Tensor self, int[2] blocksize, int? dense_dim=None) -> Tensor",
    "aten::_to_sparse_bsc.out(Tensor self, int[2] blocksize, int? dense_dim=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_to_sparse_bsr": [
    "aten::_to_sparse_bsr(Tensor self, int[2] blocksize, int? dense_dim=None) -> Tensor",
    "aten::_to_sparse_bsr.out(Tensor self, int[2] blocksize, int? dense_dim=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_to_sparse_csc": [
    "aten::_to_sparse_csc(Tensor self, int? dense_dim=None) -> Tensor",
    "aten::_to_sparse_csc.out(Tensor self, int? dense_dim=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_to_sparse_csr": [
    "aten::_to_sparse_csr(Tensor self, int? dense_dim=None) -> Tensor",
    "aten::_to_sparse_csr.out(Tensor self, int? dense_dim=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_to_sparse_semi_structured": [
    "aten::_to_sparse_semi_structured(Tensor dense) -> (Tensor, Tensor)",
  ],
  "_transform_bias_rescale_qkv": [
    "aten::_transform_bias_rescale_qkv(Tensor qkv, Tensor qkv_bias, int num_heads) -> (Tensor, Tensor, Tensor)",
    "aten::_transform_bias_rescale_qkv.out(Tensor qkv, Tensor qkv_bias, int num_heads, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "_transformer_encoder_layer_fwd": [
    "aten::_transformer_encoder_layer_fwd(Tensor src, int embed_dim, int num_heads, Tensor qkv_weight, Tensor qkv_bias, Tensor proj_weight, Tensor proj_bias, bool use_gelu, bool norm_first, float eps, Tensor norm_weight_1, Tensor norm_bias_1, Tensor norm_weight_2, Tensor norm_bias_2, Tensor ffn_weight_1, Tensor ffn_bias_1, Tensor ffn_weight_2, Tensor ffn_bias_2, Tensor? mask=None, int? mask_type=None) -> Tensor",
    "aten::_transformer_encoder_layer_fwd.out(Tensor src, int embed_dim, int num_heads, Tensor qkv_weight, Tensor qkv_bias, Tensor proj_weight, Tensor proj_bias, bool use_gelu, bool norm_first, float eps, Tensor norm_weight_1, Tensor norm_bias_1, Tensor norm_weight_2, Tensor norm_bias_2, Tensor ffn_weight_1, Tensor ffn_bias_1, Tensor ffn_weight_2, Tensor ffn_bias_2, Tensor? mask=None, int? mask_type=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_trilinear": [
    "aten::_trilinear(Tensor i1, Tensor i2, Tensor i3, int[] expand1, int[] expand2, int[] expand3, int[] sumdim, int unroll_dim=1) -> Tensor",
    "aten::_trilinear.out(Tensor i1, Tensor i2, Tensor i3, int[] expand1, int[] expand2, int[] expand3, int[] sumdim, int unroll_dim=1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_triton_multi_head_attention": [
    "aten::_triton_multi_head_attention(Tensor query, Tensor key, Tensor value, int embed_dim, int num_head, Tensor qkv_weight, Tensor qkv_bias, Tensor proj_weight, Tensor proj_bias, Tensor? mask=None) -> Tensor",
    "aten::_triton_multi_head_attention.out(Tensor query, Tensor key, Tensor value, int embed_dim, int num_head, Tensor qkv_weight, Tensor qkv_bias, Tensor proj_weight, Tensor proj_bias, Tensor? mask=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_triton_scaled_dot_attention": [
    "aten::_triton_scaled_dot_attention(Tensor q, Tensor k, Tensor v, float dropout_p=0.) -> Tensor",
    "aten::_triton_scaled_dot_attention.out(Tensor q, Tensor k, Tensor v, float dropout_p=0., *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_unique": [
    "aten::_unique(Tensor self, bool sorted=True, bool return_inverse=False) -> (Tensor, Tensor)",
    "aten::_unique.out(Tensor self, bool sorted=True, bool return_inverse=False, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "_unique2": [
    "aten::_unique2(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False) -> (Tensor, Tensor, Tensor)",
    "aten::_unique2.out(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "_unpack_dual": [
    "aten::_unpack_dual(Tensor(a) dual, int level) -> (Tensor(a) primal, Tensor tangent)",
  ],
  "_unsafe_index": [
    "aten::_unsafe_index.Tensor(Tensor self, Tensor?[] indices) -> Tensor",
  ],
  "_unsafe_index_put": [
    "aten::_unsafe_index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor",
  ],
  "_unsafe_masked_index": [
    "aten::_unsafe_masked_index(Tensor self, Tensor mask, Tensor?[] indices, Scalar fill) -> Tensor",
  ],
  "_unsafe_masked_index_put_accumulate": [
    "aten::_unsafe_masked_index_put_accumulate(Tensor self, Tensor mask, Tensor?[] indices, Tensor values) -> Tensor",
  ],
  "_unsafe_view": [
    "aten::_unsafe_view(Tensor self, SymInt[] size) -> Tensor",
    "aten::_unsafe_view.out(Tensor self, SymInt[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_upsample_bicubic2d_aa": [
    "aten::_upsample_bicubic2d_aa(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::_upsample_bicubic2d_aa.out(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::_upsample_bicubic2d_aa.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor",
  ],
  "_upsample_bicubic2d_aa_backward": [
    "aten::_upsample_bicubic2d_aa_backward(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::_upsample_bicubic2d_aa_backward.grad_input(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, bool align_corners, float? scales_h=None, float? scales_w=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "_upsample_bilinear2d_aa": [
    "aten::_upsample_bilinear2d_aa(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::_upsample_bilinear2d_aa.out(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::_upsample_bilinear2d_aa.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor",
  ],
  "_upsample_bilinear2d_aa_backward": [
    "aten::_upsample_bilinear2d_aa_backward(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::_upsample_bilinear2d_aa_backward.grad_input(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, bool align_corners, float? scales_h=None, float? scales_w=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "_upsample_lanczos2d_aa": [
    "aten::_upsample_lanczos2d_aa(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::_upsample_lanczos2d_aa.out(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::_upsample_lanczos2d_aa.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor",
  ],
  "_upsample_lanczos2d_aa_backward": [
    "aten::_upsample_lanczos2d_aa_backward(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::_upsample_lanczos2d_aa_backward.grad_input(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, bool align_corners, float? scales_h=None, float? scales_w=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "_upsample_nearest_exact1d": [
    "aten::_upsample_nearest_exact1d(Tensor self, SymInt[1] output_size, float? scales=None) -> Tensor",
    "aten::_upsample_nearest_exact1d.out(Tensor self, SymInt[1] output_size, float? scales=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::_upsample_nearest_exact1d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor",
  ],
  "_upsample_nearest_exact1d_backward": [
    "aten::_upsample_nearest_exact1d_backward(Tensor grad_output, SymInt[1] output_size, SymInt[3] input_size, float? scales=None) -> Tensor",
    "aten::_upsample_nearest_exact1d_backward.grad_input(Tensor grad_output, SymInt[1] output_size, SymInt[3] input_size, float? scales=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "_upsample_nearest_exact2d": [
    "aten::_upsample_nearest_exact2d(Tensor self, SymInt[2] output_size, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::_upsample_nearest_exact2d.out(Tensor self, SymInt[2] output_size, float? scales_h=None, float? scales_w=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::_upsample_nearest_exact2d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor",
  ],
  "_upsample_nearest_exact2d_backward": [
    "aten::_upsample_nearest_exact2d_backward(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::_upsample_nearest_exact2d_backward.grad_input(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, float? scales_h=None, float? scales_w=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "_upsample_nearest_exact3d": [
    "aten::_upsample_nearest_exact3d(Tensor self, SymInt[3] output_size, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::_upsample_nearest_exact3d.out(Tensor self, SymInt[3] output_size, float? scales_d=None, float? scales_h=None, float? scales_w=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::_upsample_nearest_exact3d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor",
  ],
  "_upsample_nearest_exact3d_backward": [
    "aten::_upsample_nearest_exact3d_backward(Tensor grad_output, SymInt[3] output_size, SymInt[5] input_size, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::_upsample_nearest_exact3d_backward.grad_input(Tensor grad_output, SymInt[3] output_size, SymInt[5] input_size, float? scales_d=None, float? scales_h=None, float? scales_w=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "_use_cudnn_ctc_loss": [
    "aten::_use_cudnn_ctc_loss(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank) -> bool",
    "aten::_use_cudnn_ctc_loss.Tensor(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank) -> bool",
  ],
  "_use_cudnn_rnn_flatten_weight": [
    "aten::_use_cudnn_rnn_flatten_weight() -> bool",
  ],
  "_use_miopen_ctc_loss": [
    "aten::_use_miopen_ctc_loss(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank) -> bool",
    "aten::_use_miopen_ctc_loss.Tensor(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank) -> bool",
  ],
  "_validate_compressed_sparse_indices": [
    "aten::_validate_compressed_sparse_indices(bool is_crow, Tensor compressed_idx, Tensor plain_idx, int cdim, int dim, int nnz) -> ()",
  ],
  "_validate_sparse_bsc_tensor_args": [
    "aten::_validate_sparse_bsc_tensor_args(Tensor ccol_indices, Tensor row_indices, Tensor values, int[] size, bool? check_pinning=None) -> ()",
  ],
  "_validate_sparse_bsr_tensor_args": [
    "aten::_validate_sparse_bsr_tensor_args(Tensor crow_indices, Tensor col_indices, Tensor values, int[] size, bool? check_pinning=None) -> ()",
  ],
  "_validate_sparse_compressed_tensor_args": [
    "aten::_validate_sparse_compressed_tensor_args(Tensor compressed_indices, Tensor plain_indices, Tensor values, int[] size, Layout layout, bool? check_pinning=None) -> ()",
  ],
  "_validate_sparse_coo_tensor_args": [
    "aten::_validate_sparse_coo_tensor_args(Tensor indices, Tensor values, int[] size, bool? is_coalesced=None, bool? check_pinning=None) -> ()",
  ],
  "_validate_sparse_csc_tensor_args": [
    "aten::_validate_sparse_csc_tensor_args(Tensor ccol_indices, Tensor row_indices, Tensor values, int[] size, bool? check_pinning=None) -> ()",
  ],
  "_validate_sparse_csr_tensor_args": [
    "aten::_validate_sparse_csr_tensor_args(Tensor crow_indices, Tensor col_indices, Tensor values, int[] size, bool? check_pinning=None) -> ()",
  ],
  "_values": [
    "aten::_values(Tensor(a) self) -> Tensor(a)",
  ],
  "_values_copy": [
    "aten::_values_copy(Tensor self) -> Tensor",
    "aten::_values_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "_version": [
    "aten::_version(Tensor self) -> int",
  ],
  "_weight_int4pack_mm": [
    "aten::_weight_int4pack_mm(Tensor self, Tensor mat2, int qGroupSize, Tensor qScaleAndZeros) -> Tensor",
  ],
  "_weight_int4pack_mm_for_cpu": [
    "aten::_weight_int4pack_mm_for_cpu(Tensor self, Tensor mat2, int qGroupSize, Tensor qScaleAndZeros) -> Tensor",
  ],
  "_weight_int4pack_mm_with_scales_and_zeros": [
    "aten::_weight_int4pack_mm_with_scales_and_zeros(Tensor self, Tensor mat2, int qGroupSize, Tensor qScale, Tensor qZeros) -> Tensor",
  ],
  "_weight_int8pack_mm": [
    "aten::_weight_int8pack_mm(Tensor self, Tensor mat2, Tensor scales) -> Tensor",
  ],
  "_weight_norm": [
    "aten::_weight_norm(Tensor v, Tensor g, int dim=0) -> Tensor",
  ],
  "_weight_norm_differentiable_backward": [
    "aten::_weight_norm_differentiable_backward(Tensor grad_w, Tensor saved_v, Tensor saved_g, Tensor saved_norms, int dim) -> (Tensor, Tensor)",
  ],
  "_weight_norm_interface": [
    "aten::_weight_norm_interface(Tensor v, Tensor g, int dim=0) -> (Tensor, Tensor)",
    "aten::_weight_norm_interface.out(Tensor v, Tensor g, int dim=0, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "_weight_norm_interface_backward": [
    "aten::_weight_norm_interface_backward(Tensor grad_w, Tensor saved_v, Tensor saved_g, Tensor saved_norms, int dim) -> (Tensor, Tensor)",
    "aten::_weight_norm_interface_backward.out(Tensor grad_w, Tensor saved_v, Tensor saved_g, Tensor saved_norms, int dim, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "_wrapped_linear_prepack": [
    "aten::_wrapped_linear_prepack(Tensor weight, Tensor weight_scale, Tensor weight_zero_point, Tensor bias) -> Tensor",
  ],
  "_wrapped_quantized_linear_prepacked": [
    "aten::_wrapped_quantized_linear_prepacked(Tensor input, Tensor input_scale, Tensor input_zero_point, Tensor packed_weight, Tensor output_scale, Tensor output_zero_point, int out_channel) -> Tensor",
  ],
  "abs": [
    "aten::abs(Tensor self) -> Tensor",
    "aten::abs.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "abs_": [
    "aten::abs_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "absolute": [
    "aten::absolute(Tensor self) -> Tensor",
    "aten::absolute.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "absolute_": [
    "aten::absolute_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "acos": [
    "aten::acos(Tensor self) -> Tensor",
    "aten::acos.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "acos_": [
    "aten::acos_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "acosh": [
    "aten::acosh(Tensor self) -> Tensor",
    "aten::acosh.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "acosh_": [
    "aten::acosh_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "adaptive_avg_pool1d": [
    "aten::adaptive_avg_pool1d(Tensor self, int[1] output_size) -> Tensor",
    "aten::adaptive_avg_pool1d.out(Tensor self, int[1] output_size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "adaptive_avg_pool2d": [
    "aten::adaptive_avg_pool2d(Tensor self, SymInt[2] output_size) -> Tensor",
    "aten::adaptive_avg_pool2d.out(Tensor self, SymInt[2] output_size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "adaptive_avg_pool3d": [
    "aten::adaptive_avg_pool3d(Tensor self, SymInt[3] output_size) -> Tensor",
    "aten::adaptive_avg_pool3d.out(Tensor self, SymInt[3] output_size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "adaptive_avg_pool3d_backward": [
    "aten::adaptive_avg_pool3d_backward.grad_input(Tensor grad_output, Tensor self, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "adaptive_max_pool1d": [
    "aten::adaptive_max_pool1d(Tensor self, int[1] output_size) -> (Tensor, Tensor)",
  ],
  "adaptive_max_pool2d": [
    "aten::adaptive_max_pool2d(Tensor self, int[2] output_size) -> (Tensor, Tensor)",
    "aten::adaptive_max_pool2d.out(Tensor self, int[2] output_size, *, Tensor(a!) out, Tensor(b!) indices) -> (Tensor(a!), Tensor(b!))",
  ],
  "adaptive_max_pool2d_backward": [
    "aten::adaptive_max_pool2d_backward(Tensor grad_output, Tensor self, Tensor indices) -> Tensor",
    "aten::adaptive_max_pool2d_backward.grad_input(Tensor grad_output, Tensor self, Tensor indices, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "adaptive_max_pool3d": [
    "aten::adaptive_max_pool3d(Tensor self, int[3] output_size) -> (Tensor, Tensor)",
    "aten::adaptive_max_pool3d.out(Tensor self, int[3] output_size, *, Tensor(a!) out, Tensor(b!) indices) -> (Tensor(a!), Tensor(b!))",
  ],
  "adaptive_max_pool3d_backward": [
    "aten::adaptive_max_pool3d_backward(Tensor grad_output, Tensor self, Tensor indices) -> Tensor",
    "aten::adaptive_max_pool3d_backward.grad_input(Tensor grad_output, Tensor self, Tensor indices, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "add": [
    "aten::add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor",
    "aten::add.Scalar_out(Tensor self, Scalar other, Scalar alpha=1, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor",
    "aten::add.out(Tensor self, Tensor other, *, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "add_": [
    "aten::add_.Scalar(Tensor(a!) self, Scalar other, Scalar alpha=1) -> Tensor(a!)",
    "aten::add_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)",
  ],
  "addbmm": [
    "aten::addbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
    "aten::addbmm.out(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "addbmm_": [
    "aten::addbmm_(Tensor(a!) self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor(a!)",
  ],
  "addcdiv": [
    "aten::addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor",
    "aten::addcdiv.out(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "addcdiv_": [
    "aten::addcdiv_(Tensor(a!) self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor(a!)",
  ],
  "addcmul": [
    "aten::addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor",
    "aten::addcmul.out(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "addcmul_": [
    "aten::addcmul_(Tensor(a!) self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor(a!)",
  ],
  "addmm": [
    "aten::addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
    "aten::addmm.dtype(Tensor self, Tensor mat1, Tensor mat2, ScalarType out_dtype, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
    "aten::addmm.dtype_out(Tensor self, Tensor mat1, Tensor mat2, ScalarType out_dtype, *, Scalar beta=1, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
    "aten::addmm.out(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "addmm_": [
    "aten::addmm_(Tensor(a!) self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor(a!)",
  ],
  "addmv": [
    "aten::addmv(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
    "aten::addmv.out(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "addmv_": [
    "aten::addmv_(Tensor(a!) self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) -> Tensor(a!)",
  ],
  "addr": [
    "aten::addr(Tensor self, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
    "aten::addr.out(Tensor self, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "addr_": [
    "aten::addr_(Tensor(a!) self, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1) -> Tensor(a!)",
  ],
  "adjoint": [
    "aten::adjoint(Tensor(a) self) -> Tensor(a)",
  ],
  "affine_grid_generator": [
    "aten::affine_grid_generator(Tensor theta, SymInt[] size, bool align_corners) -> Tensor",
    "aten::affine_grid_generator.out(Tensor theta, SymInt[] size, bool align_corners, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "affine_grid_generator_backward": [
    "aten::affine_grid_generator_backward(Tensor grad, SymInt[] size, bool align_corners) -> Tensor",
  ],
  "alias": [
    "aten::alias(Tensor(a) self) -> Tensor(a)",
  ],
  "alias_copy": [
    "aten::alias_copy(Tensor self) -> Tensor",
    "aten::alias_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "all": [
    "aten::all(Tensor self) -> Tensor",
    "aten::all.all_out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::all.dim(Tensor self, int dim, bool keepdim=False) -> Tensor",
    "aten::all.dims(Tensor self, int[]? dim=None, bool keepdim=False) -> Tensor",
    "aten::all.dims_out(Tensor self, int[]? dim=None, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::all.out(Tensor self, int dim, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "allclose": [
    "aten::allclose(Tensor self, Tensor other, float rtol=1.0000000000000001e-05, float atol=1e-08, bool equal_nan=False) -> bool",
  ],
  "alpha_dropout": [
    "aten::alpha_dropout(Tensor input, float p, bool train) -> Tensor",
  ],
  "alpha_dropout_": [
    "aten::alpha_dropout_(Tensor(a!) self, float p, bool train) -> Tensor(a!)",
  ],
  "amax": [
    "aten::amax(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor",
    "aten::amax.out(Tensor self, int[1] dim=[], bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "amin": [
    "aten::amin(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor",
    "aten::amin.out(Tensor self, int[1] dim=[], bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "aminmax": [
    "aten::aminmax(Tensor self, *, int? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)",
    "aten::aminmax.out(Tensor self, *, int? dim=None, bool keepdim=False, Tensor(a!) min, Tensor(b!) max) -> (Tensor(a!) min, Tensor(b!) max)",
  ],
  "angle": [
    "aten::angle(Tensor self) -> Tensor",
    "aten::angle.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "any": [
    "aten::any(Tensor self) -> Tensor",
    "aten::any.all_out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::any.dim(Tensor self, int dim, bool keepdim=False) -> Tensor",
    "aten::any.dims(Tensor self, int[]? dim=None, bool keepdim=False) -> Tensor",
    "aten::any.dims_out(Tensor self, int[]? dim=None, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::any.out(Tensor self, int dim, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "arange": [
    "aten::arange(Scalar end, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::arange.out(Scalar end, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::arange.start(Scalar start, Scalar end, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::arange.start_out(Scalar start, Scalar end, Scalar step=1, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::arange.start_step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
  ],
  "arccos": [
    "aten::arccos(Tensor self) -> Tensor",
    "aten::arccos.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "arccos_": [
    "aten::arccos_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "arccosh": [
    "aten::arccosh(Tensor self) -> Tensor",
    "aten::arccosh.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "arccosh_": [
    "aten::arccosh_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "arcsin": [
    "aten::arcsin(Tensor self) -> Tensor",
    "aten::arcsin.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "arcsin_": [
    "aten::arcsin_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "arcsinh": [
    "aten::arcsinh(Tensor self) -> Tensor",
    "aten::arcsinh.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "arcsinh_": [
    "aten::arcsinh_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "arctan": [
    "aten::arctan(Tensor self) -> Tensor",
    "aten::arctan.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "arctan2": [
    "aten::arctan2(Tensor self, Tensor other) -> Tensor",
    "aten::arctan2.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "arctan2_": [
    "aten::arctan2_(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "arctan_": [
    "aten::arctan_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "arctanh": [
    "aten::arctanh(Tensor self) -> Tensor",
    "aten::arctanh.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "arctanh_": [
    "aten::arctanh_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "argmax": [
    "aten::argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor",
    "aten::argmax.out(Tensor self, int? dim=None, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "argmin": [
    "aten::argmin(Tensor self, int? dim=None, bool keepdim=False) -> Tensor",
    "aten::argmin.out(Tensor self, int? dim=None, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "argsort": [
    "aten::argsort(Tensor self, int dim=-1, bool descending=False) -> Tensor",
    "aten::argsort.stable(Tensor self, *, bool stable, int dim=-1, bool descending=False) -> Tensor",
    "aten::argsort.stable_out(Tensor self, *, bool stable, int dim=-1, bool descending=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "argwhere": [
    "aten::argwhere(Tensor self) -> Tensor",
  ],
  "as_strided": [
    "aten::as_strided(Tensor(a) self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor(a)",
  ],
  "as_strided_": [
    "aten::as_strided_(Tensor(a!) self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor(a!)",
  ],
  "as_strided_copy": [
    "aten::as_strided_copy(Tensor self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor",
    "aten::as_strided_copy.out(Tensor self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "as_strided_scatter": [
    "aten::as_strided_scatter(Tensor self, Tensor src, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor",
    "aten::as_strided_scatter.out(Tensor self, Tensor src, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "asin": [
    "aten::asin(Tensor self) -> Tensor",
    "aten::asin.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "asin_": [
    "aten::asin_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "asinh": [
    "aten::asinh(Tensor self) -> Tensor",
    "aten::asinh.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "asinh_": [
    "aten::asinh_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "atan": [
    "aten::atan(Tensor self) -> Tensor",
    "aten::atan.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "atan2": [
    "aten::atan2(Tensor self, Tensor other) -> Tensor",
    "aten::atan2.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "atan2_": [
    "aten::atan2_(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "atan_": [
    "aten::atan_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "atanh": [
    "aten::atanh(Tensor self) -> Tensor",
    "aten::atanh.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "atanh_": [
    "aten::atanh_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "atleast_1d": [
    "aten::atleast_1d(Tensor self) -> Tensor",
    "aten::atleast_1d.Sequence(Tensor[] tensors) -> Tensor[]",
  ],
  "atleast_2d": [
    "aten::atleast_2d(Tensor self) -> Tensor",
    "aten::atleast_2d.Sequence(Tensor[] tensors) -> Tensor[]",
  ],
  "atleast_3d": [
    "aten::atleast_3d(Tensor self) -> Tensor",
    "aten::atleast_3d.Sequence(Tensor[] tensors) -> Tensor[]",
  ],
  "avg_pool1d": [
    "aten::avg_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], bool ceil_mode=False, bool count_include_pad=True) -> Tensor",
    "aten::avg_pool1d.out(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], bool ceil_mode=False, bool count_include_pad=True, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "avg_pool2d": [
    "aten::avg_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor",
    "aten::avg_pool2d.out(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "avg_pool2d_backward": [
    "aten::avg_pool2d_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride, int[2] padding, bool ceil_mode, bool count_include_pad, int? divisor_override) -> Tensor",
    "aten::avg_pool2d_backward.grad_input(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride, int[2] padding, bool ceil_mode, bool count_include_pad, int? divisor_override, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "avg_pool3d": [
    "aten::avg_pool3d(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor",
    "aten::avg_pool3d.out(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "avg_pool3d_backward": [
    "aten::avg_pool3d_backward(Tensor grad_output, Tensor self, int[3] kernel_size, int[3] stride, int[3] padding, bool ceil_mode, bool count_include_pad, int? divisor_override) -> Tensor",
    "aten::avg_pool3d_backward.grad_input(Tensor grad_output, Tensor self, int[3] kernel_size, int[3] stride, int[3] padding, bool ceil_mode, bool count_include_pad, int? divisor_override, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "baddbmm": [
    "aten::baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
    "aten::baddbmm.dtype(Tensor self, Tensor batch1, Tensor batch2, ScalarType out_dtype, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
    "aten::baddbmm.dtype_out(Tensor self, Tensor batch1, Tensor batch2, ScalarType out_dtype, *, Scalar beta=1, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
    "aten::baddbmm.out(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "baddbmm_": [
    "aten::baddbmm_(Tensor(a!) self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1) -> Tensor(a!)",
  ],
  "bartlett_window": [
    "aten::bartlett_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::bartlett_window.out(int window_length, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::bartlett_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::bartlett_window.periodic_out(int window_length, bool periodic, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "batch_norm": [
    "aten::batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps, bool cudnn_enabled) -> Tensor",
  ],
  "batch_norm_backward": [
    "aten::batch_norm_backward(Tensor grad_out, Tensor input, Tensor weight, Tensor? running_mean, Tensor? running_var, Tensor? save_mean, Tensor? save_var, bool update, float eps, bool[3] output_mask, Tensor reserve) -> (Tensor, Tensor, Tensor)",
  ],
  "batch_norm_backward_elemt": [
    "aten::batch_norm_backward_elemt(Tensor grad_out, Tensor input, Tensor mean, Tensor invstd, Tensor? weight, Tensor sum_dy, Tensor sum_dy_xmu, Tensor count) -> Tensor",
    "aten::batch_norm_backward_elemt.out(Tensor grad_out, Tensor input, Tensor mean, Tensor invstd, Tensor? weight, Tensor sum_dy, Tensor sum_dy_xmu, Tensor count, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "batch_norm_backward_reduce": [
    "aten::batch_norm_backward_reduce(Tensor grad_out, Tensor input, Tensor mean, Tensor invstd, Tensor? weight, bool input_g, bool weight_g, bool bias_g) -> (Tensor, Tensor, Tensor, Tensor)",
    "aten::batch_norm_backward_reduce.out(Tensor grad_out, Tensor input, Tensor mean, Tensor invstd, Tensor? weight, bool input_g, bool weight_g, bool bias_g, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2, Tensor(d!) out3) -> (Tensor(a!), Tensor(b!), Tensor(c!), Tensor(d!))",
  ],
  "batch_norm_elemt": [
    "aten::batch_norm_elemt(Tensor input, Tensor? weight, Tensor? bias, Tensor mean, Tensor invstd, float eps) -> Tensor",
    "aten::batch_norm_elemt.out(Tensor input, Tensor? weight, Tensor? bias, Tensor mean, Tensor invstd, float eps, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "batch_norm_gather_stats": [
    "aten::batch_norm_gather_stats(Tensor input, Tensor mean, Tensor invstd, Tensor? running_mean, Tensor? running_var, float momentum, float eps, int count) -> (Tensor, Tensor)",
    "aten::batch_norm_gather_stats.out(Tensor input, Tensor mean, Tensor invstd, Tensor? running_mean, Tensor? running_var, float momentum, float eps, int count, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "batch_norm_gather_stats_with_counts": [
    "aten::batch_norm_gather_stats_with_counts(Tensor input, Tensor mean, Tensor invstd, Tensor? running_mean, Tensor? running_var, float momentum, float eps, Tensor counts) -> (Tensor, Tensor)",
    "aten::batch_norm_gather_stats_with_counts.out(Tensor input, Tensor mean, Tensor invstd, Tensor? running_mean, Tensor? running_var, float momentum, float eps, Tensor counts, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "batch_norm_stats": [
    "aten::batch_norm_stats(Tensor input, float eps) -> (Tensor, Tensor)",
    "aten::batch_norm_stats.out(Tensor input, float eps, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "batch_norm_update_stats": [
    "aten::batch_norm_update_stats(Tensor input, Tensor? running_mean, Tensor? running_var, float momentum) -> (Tensor, Tensor)",
    "aten::batch_norm_update_stats.out(Tensor input, Tensor? running_mean, Tensor? running_var, float momentum, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "bernoulli": [
    "aten::bernoulli(Tensor self, *, Generator? generator=None) -> Tensor",
    "aten::bernoulli.Tensor(Tensor self, Tensor p, *, Generator? generator=None) -> Tensor",
    "aten::bernoulli.Tensor_out(Tensor self, Tensor p, *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::bernoulli.float_out(Tensor self, float p=0.5, *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::bernoulli.out(Tensor self, *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::bernoulli.p(Tensor self, float p, *, Generator? generator=None) -> Tensor",
  ],
  "bernoulli_": [
    "aten::bernoulli_.Tensor(Tensor(a!) self, Tensor p, *, Generator? generator=None) -> Tensor(a!)",
    "aten::bernoulli_.float(Tensor(a!) self, float p=0.5, *, Generator? generator=None) -> Tensor(a!)",
  ],
  "bilinear": [
    "aten::bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None) -> Tensor",
  ],
  "binary_cross_entropy": [
    "aten::binary_cross_entropy(Tensor self, Tensor target, Tensor? weight=None, int reduction=1) -> Tensor",
    "aten::binary_cross_entropy.out(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "binary_cross_entropy_backward": [
    "aten::binary_cross_entropy_backward(Tensor grad_output, Tensor self, Tensor target, Tensor? weight=None, int reduction=1) -> Tensor",
    "aten::binary_cross_entropy_backward.grad_input(Tensor grad_output, Tensor self, Tensor target, Tensor? weight=None, int reduction=1, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "binary_cross_entropy_with_logits": [
    "aten::binary_cross_entropy_with_logits(Tensor self, Tensor target, Tensor? weight=None, Tensor? pos_weight=None, int reduction=1) -> Tensor",
    "aten::binary_cross_entropy_with_logits.out(Tensor self, Tensor target, Tensor? weight=None, Tensor? pos_weight=None, int reduction=1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "bincount": [
    "aten::bincount(Tensor self, Tensor? weights=None, SymInt minlength=0) -> Tensor",
    "aten::bincount.out(Tensor self, Tensor? weights=None, SymInt minlength=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "binomial": [
    "aten::binomial(Tensor count, Tensor prob, Generator? generator=None) -> Tensor",
    "aten::binomial.out(Tensor count, Tensor prob, Generator? generator=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "bitwise_and": [
    "aten::bitwise_and.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::bitwise_and.Scalar_Tensor(Scalar self, Tensor other) -> Tensor",
    "aten::bitwise_and.Scalar_Tensor_out(Scalar self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::bitwise_and.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::bitwise_and.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::bitwise_and.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "bitwise_and_": [
    "aten::bitwise_and_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::bitwise_and_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "bitwise_left_shift": [
    "aten::bitwise_left_shift.Scalar_Tensor(Scalar self, Tensor other) -> Tensor",
    "aten::bitwise_left_shift.Scalar_Tensor_out(Scalar self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::bitwise_left_shift.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::bitwise_left_shift.Tensor_Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::bitwise_left_shift.Tensor_Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::bitwise_left_shift.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "bitwise_left_shift_": [
    "aten::bitwise_left_shift_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
    "aten::bitwise_left_shift_.Tensor_Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
  ],
  "bitwise_not": [
    "aten::bitwise_not(Tensor self) -> Tensor",
    "aten::bitwise_not.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "bitwise_not_": [
    "aten::bitwise_not_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "bitwise_or": [
    "aten::bitwise_or.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::bitwise_or.Scalar_Tensor(Scalar self, Tensor other) -> Tensor",
    "aten::bitwise_or.Scalar_Tensor_out(Scalar self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::bitwise_or.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::bitwise_or.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::bitwise_or.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "bitwise_or_": [
    "aten::bitwise_or_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::bitwise_or_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "bitwise_right_shift": [
    "aten::bitwise_right_shift.Scalar_Tensor(Scalar self, Tensor other) -> Tensor",
    "aten::bitwise_right_shift.Scalar_Tensor_out(Scalar self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::bitwise_right_shift.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::bitwise_right_shift.Tensor_Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::bitwise_right_shift.Tensor_Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::bitwise_right_shift.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "bitwise_right_shift_": [
    "aten::bitwise_right_shift_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
    "aten::bitwise_right_shift_.Tensor_Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
  ],
  "bitwise_xor": [
    "aten::bitwise_xor.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::bitwise_xor.Scalar_Tensor(Scalar self, Tensor other) -> Tensor",
    "aten::bitwise_xor.Scalar_Tensor_out(Scalar self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::bitwise_xor.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::bitwise_xor.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::bitwise_xor.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "bitwise_xor_": [
    "aten::bitwise_xor_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::bitwise_xor_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "blackman_window": [
    "aten::blackman_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::blackman_window.out(int window_length, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::blackman_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::blackman_window.periodic_out(int window_length, bool periodic, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "block_diag": [
    "aten::block_diag(Tensor[] tensors) -> Tensor",
    "aten::block_diag.out(Tensor[] tensors, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "bmm": [
    "aten::bmm(Tensor self, Tensor mat2) -> Tensor",
    "aten::bmm.dtype(Tensor self, Tensor mat2, ScalarType out_dtype) -> Tensor",
    "aten::bmm.dtype_out(Tensor self, Tensor mat2, ScalarType out_dtype, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::bmm.out(Tensor self, Tensor mat2, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "broadcast_tensors": [
    "aten::broadcast_tensors(Tensor[] tensors) -> Tensor[]",
  ],
  "broadcast_to": [
    "aten::broadcast_to(Tensor(a) self, SymInt[] size) -> Tensor(a)",
  ],
  "bucketize": [
    "aten::bucketize.Scalar(Scalar self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor",
    "aten::bucketize.Scalar_out(Scalar self, Tensor boundaries, *, bool out_int32=False, bool right=False, Tensor(a!) out) -> Tensor(a!)",
    "aten::bucketize.Tensor(Tensor self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor",
    "aten::bucketize.Tensor_out(Tensor self, Tensor boundaries, *, bool out_int32=False, bool right=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "can_cast": [
    "aten::can_cast(ScalarType from_, ScalarType to) -> bool",
  ],
  "cartesian_prod": [
    "aten::cartesian_prod(Tensor[] tensors) -> Tensor",
  ],
  "cat": [
    "aten::cat(Tensor[] tensors, int dim=0) -> Tensor",
    "aten::cat.out(Tensor[] tensors, int dim=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cauchy": [
    "aten::cauchy(Tensor self, float median=0., float sigma=1., *, Generator? generator=None) -> Tensor",
    "aten::cauchy.out(Tensor self, float median=0., float sigma=1., *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cauchy_": [
    "aten::cauchy_(Tensor(a!) self, float median=0., float sigma=1., *, Generator? generator=None) -> Tensor(a!)",
  ],
  "ccol_indices": [
    "aten::ccol_indices(Tensor(a) self) -> Tensor(a)",
  ],
  "ccol_indices_copy": [
    "aten::ccol_indices_copy(Tensor self) -> Tensor",
    "aten::ccol_indices_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cdist": [
    "aten::cdist(Tensor x1, Tensor x2, float p=2., int? compute_mode=None) -> Tensor",
  ],
  "ceil": [
    "aten::ceil(Tensor self) -> Tensor",
    "aten::ceil.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "ceil_": [
    "aten::ceil_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "celu": [
    "aten::celu(Tensor self, Scalar alpha=1.) -> Tensor",
    "aten::celu.out(Tensor self, Scalar alpha=1., *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "celu_": [
    "aten::celu_(Tensor(a!) self, Scalar alpha=1.) -> Tensor(a!)",
  ],
  "chain_matmul": [
    "aten::chain_matmul(Tensor[] matrices) -> Tensor",
    "aten::chain_matmul.out(Tensor[] matrices, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "chalf": [
    "aten::chalf(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor",
  ],
  "channel_shuffle": [
    "aten::channel_shuffle(Tensor self, SymInt groups) -> Tensor",
    "aten::channel_shuffle.out(Tensor self, SymInt groups, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cholesky": [
    "aten::cholesky(Tensor self, bool upper=False) -> Tensor",
    "aten::cholesky.out(Tensor self, bool upper=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cholesky_inverse": [
    "aten::cholesky_inverse(Tensor self, bool upper=False) -> Tensor",
    "aten::cholesky_inverse.out(Tensor self, bool upper=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cholesky_solve": [
    "aten::cholesky_solve(Tensor self, Tensor input2, bool upper=False) -> Tensor",
    "aten::cholesky_solve.out(Tensor self, Tensor input2, bool upper=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "choose_qparams_optimized": [
    "aten::choose_qparams_optimized(Tensor input, int numel, int n_bins, float ratio, int bit_width) -> (Tensor, Tensor)",
  ],
  "chunk": [
    "aten::chunk(Tensor(a -> *) self, int chunks, int dim=0) -> Tensor(a)[]",
  ],
  "clamp": [
    "aten::clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor",
    "aten::clamp.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor",
    "aten::clamp.Tensor_out(Tensor self, Tensor? min=None, Tensor? max=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::clamp.out(Tensor self, Scalar? min=None, Scalar? max=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "clamp_": [
    "aten::clamp_(Tensor(a!) self, Scalar? min=None, Scalar? max=None) -> Tensor(a!)",
    "aten::clamp_.Tensor(Tensor(a!) self, Tensor? min=None, Tensor? max=None) -> Tensor(a!)",
  ],
  "clamp_max": [
    "aten::clamp_max(Tensor self, Scalar max) -> Tensor",
    "aten::clamp_max.Tensor(Tensor self, Tensor max) -> Tensor",
    "aten::clamp_max.Tensor_out(Tensor self, Tensor max, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::clamp_max.out(Tensor self, Scalar max, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "clamp_max_": [
    "aten::clamp_max_(Tensor(a!) self, Scalar max) -> Tensor(a!)",
    "aten::clamp_max_.Tensor(Tensor(a!) self, Tensor max) -> Tensor(a!)",
  ],
  "clamp_min": [
    "aten::clamp_min(Tensor self, Scalar min) -> Tensor",
    "aten::clamp_min.Tensor(Tensor self, Tensor min) -> Tensor",
    "aten::clamp_min.Tensor_out(Tensor self, Tensor min, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::clamp_min.out(Tensor self, Scalar min, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "clamp_min_": [
    "aten::clamp_min_(Tensor(a!) self, Scalar min) -> Tensor(a!)",
    "aten::clamp_min_.Tensor(Tensor(a!) self, Tensor min) -> Tensor(a!)",
  ],
  "clip": [
    "aten::clip(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor",
    "aten::clip.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor",
    "aten::clip.Tensor_out(Tensor self, Tensor? min=None, Tensor? max=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::clip.out(Tensor self, Scalar? min=None, Scalar? max=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "clip_": [
    "aten::clip_(Tensor(a!) self, Scalar? min=None, Scalar? max=None) -> Tensor(a!)",
    "aten::clip_.Tensor(Tensor(a!) self, Tensor? min=None, Tensor? max=None) -> Tensor(a!)",
  ],
  "clone": [
    "aten::clone(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor",
    "aten::clone.out(Tensor self, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "coalesce": [
    "aten::coalesce(Tensor(a) self) -> Tensor(a)",
  ],
  "col2im": [
    "aten::col2im(Tensor self, SymInt[2] output_size, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride) -> Tensor",
    "aten::col2im.out(Tensor self, SymInt[2] output_size, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "col_indices": [
    "aten::col_indices(Tensor(a) self) -> Tensor(a)",
  ],
  "col_indices_copy": [
    "aten::col_indices_copy(Tensor self) -> Tensor",
    "aten::col_indices_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "column_stack": [
    "aten::column_stack(Tensor[] tensors) -> Tensor",
    "aten::column_stack.out(Tensor[] tensors, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "combinations": [
    "aten::combinations(Tensor self, int r=2, bool with_replacement=False) -> Tensor",
  ],
  "complex": [
    "aten::complex(Tensor real, Tensor imag) -> Tensor",
    "aten::complex.out(Tensor real, Tensor imag, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "concat": [
    "aten::concat(Tensor[] tensors, int dim=0) -> Tensor",
    "aten::concat.out(Tensor[] tensors, int dim=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "concatenate": [
    "aten::concatenate(Tensor[] tensors, int dim=0) -> Tensor",
    "aten::concatenate.out(Tensor[] tensors, int dim=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "conj": [
    "aten::conj(Tensor(a) self) -> Tensor(a)",
  ],
  "conj_physical": [
    "aten::conj_physical(Tensor self) -> Tensor",
    "aten::conj_physical.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "conj_physical_": [
    "aten::conj_physical_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "constant_pad_nd": [
    "aten::constant_pad_nd(Tensor self, SymInt[] pad, Scalar value=0) -> Tensor",
    "aten::constant_pad_nd.out(Tensor self, SymInt[] pad, Scalar value=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "contiguous": [
    "aten::contiguous(Tensor(a) self, *, MemoryFormat memory_format=0) -> Tensor(a)",
  ],
  "conv1d": [
    "aten::conv1d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=[1], SymInt[1] padding=[0], SymInt[1] dilation=[1], SymInt groups=1) -> Tensor",
    "aten::conv1d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=[1], str padding=\"valid\", SymInt[1] dilation=[1], SymInt groups=1) -> Tensor",
  ],
  "conv2d": [
    "aten::conv2d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], SymInt[2] dilation=[1, 1], SymInt groups=1) -> Tensor",
    "aten::conv2d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], str padding=\"valid\", SymInt[2] dilation=[1, 1], SymInt groups=1) -> Tensor",
  ],
  "conv3d": [
    "aten::conv3d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], SymInt[3] padding=[0, 0, 0], SymInt[3] dilation=[1, 1, 1], SymInt groups=1) -> Tensor",
    "aten::conv3d.padding(Tensor input, Tensor weight, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], str padding=\"valid\", SymInt[3] dilation=[1, 1, 1], SymInt groups=1) -> Tensor",
  ],
  "conv_depthwise3d": [
    "aten::conv_depthwise3d(Tensor self, Tensor weight, SymInt[3] kernel_size, Tensor? bias, SymInt[3] stride, SymInt[3] padding, SymInt[3] dilation) -> Tensor",
    "aten::conv_depthwise3d.out(Tensor self, Tensor weight, SymInt[3] kernel_size, Tensor? bias, SymInt[3] stride, SymInt[3] padding, SymInt[3] dilation, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "conv_tbc": [
    "aten::conv_tbc(Tensor self, Tensor weight, Tensor bias, int pad=0) -> Tensor",
    "aten::conv_tbc.out(Tensor self, Tensor weight, Tensor bias, int pad=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "conv_tbc_backward": [
    "aten::conv_tbc_backward(Tensor self, Tensor input, Tensor weight, Tensor bias, int pad) -> (Tensor, Tensor, Tensor)",
  ],
  "conv_transpose1d": [
    "aten::conv_transpose1d(Tensor input, Tensor weight, Tensor? bias=None, SymInt[1] stride=[1], SymInt[1] padding=[0], SymInt[1] output_padding=[0], SymInt groups=1, SymInt[1] dilation=[1]) -> Tensor",
  ],
  "conv_transpose2d": [
    "aten::conv_transpose2d.input(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], SymInt[2] output_padding=[0, 0], SymInt groups=1, SymInt[2] dilation=[1, 1]) -> Tensor",
  ],
  "conv_transpose3d": [
    "aten::conv_transpose3d.input(Tensor input, Tensor weight, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], SymInt[3] padding=[0, 0, 0], SymInt[3] output_padding=[0, 0, 0], SymInt groups=1, SymInt[3] dilation=[1, 1, 1]) -> Tensor",
  ],
  "convolution": [
    "aten::convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups) -> Tensor",
    "aten::convolution.out(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "convolution_backward": [
    "aten::convolution_backward(Tensor grad_output, Tensor input, Tensor weight, SymInt[]? bias_sizes, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
    "aten::convolution_backward.out(Tensor grad_output, Tensor input, Tensor weight, SymInt[]? bias_sizes, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, bool[3] output_mask, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "convolution_backward_overrideable": [
    "aten::convolution_backward_overrideable(Tensor grad_output, Tensor input, Tensor weight, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, bool[3] output_mask) -> (Tensor grad_input, Tensor grad_weight, Tensor grad_bias)",
    "aten::convolution_backward_overrideable.out(Tensor grad_output, Tensor input, Tensor weight, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, bool[3] output_mask, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "convolution_overrideable": [
    "aten::convolution_overrideable(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups) -> Tensor",
    "aten::convolution_overrideable.out(Tensor input, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, bool transposed, SymInt[] output_padding, SymInt groups, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "copy": [
    "aten::copy(Tensor self, Tensor src, bool non_blocking=False) -> Tensor",
    "aten::copy.out(Tensor self, Tensor src, bool non_blocking=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "copy_": [
    "aten::copy_(Tensor(a!) self, Tensor src, bool non_blocking=False) -> Tensor(a!)",
  ],
  "copy_sparse_to_sparse": [
    "aten::copy_sparse_to_sparse(Tensor self, Tensor src, bool non_blocking=False) -> Tensor",
    "aten::copy_sparse_to_sparse.out(Tensor self, Tensor src, bool non_blocking=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "copy_sparse_to_sparse_": [
    "aten::copy_sparse_to_sparse_(Tensor(a!) self, Tensor src, bool non_blocking=False) -> Tensor(a!)",
  ],
  "copysign": [
    "aten::copysign.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::copysign.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::copysign.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::copysign.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "copysign_": [
    "aten::copysign_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::copysign_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "corrcoef": [
    "aten::corrcoef(Tensor self) -> Tensor",
  ],
  "cos": [
    "aten::cos(Tensor self) -> Tensor",
    "aten::cos.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cos_": [
    "aten::cos_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "cosh": [
    "aten::cosh(Tensor self) -> Tensor",
    "aten::cosh.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cosh_": [
    "aten::cosh_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "cosine_embedding_loss": [
    "aten::cosine_embedding_loss(Tensor input1, Tensor input2, Tensor target, float margin=0., int reduction=1) -> Tensor",
  ],
  "cosine_similarity": [
    "aten::cosine_similarity(Tensor x1, Tensor x2, int dim=1, float eps=1e-08) -> Tensor",
  ],
  "count_nonzero": [
    "aten::count_nonzero(Tensor self, int? dim=None) -> Tensor",
    "aten::count_nonzero.dim_IntList(Tensor self, int[] dim) -> Tensor",
    "aten::count_nonzero.dim_IntList_out(Tensor self, int[] dim, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::count_nonzero.out(Tensor self, int? dim=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cov": [
    "aten::cov(Tensor self, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None) -> Tensor",
  ],
  "cross": [
    "aten::cross(Tensor self, Tensor other, int? dim=None) -> Tensor",
    "aten::cross.out(Tensor self, Tensor other, int? dim=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cross_entropy_loss": [
    "aten::cross_entropy_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100, float label_smoothing=0.) -> Tensor",
  ],
  "crow_indices": [
    "aten::crow_indices(Tensor(a) self) -> Tensor(a)",
  ],
  "crow_indices_copy": [
    "aten::crow_indices_copy(Tensor self) -> Tensor",
    "aten::crow_indices_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "ctc_loss": [
    "aten::ctc_loss.IntList(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank=0, int reduction=1, bool zero_infinity=False) -> Tensor",
    "aten::ctc_loss.Tensor(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank=0, int reduction=1, bool zero_infinity=False) -> Tensor",
  ],
  "cudnn_affine_grid_generator": [
    "aten::cudnn_affine_grid_generator(Tensor theta, int N, int C, int H, int W) -> Tensor grid",
    "aten::cudnn_affine_grid_generator.out(Tensor theta, int N, int C, int H, int W, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cudnn_affine_grid_generator_backward": [
    "aten::cudnn_affine_grid_generator_backward(Tensor grad, int N, int C, int H, int W) -> Tensor grad_theta",
    "aten::cudnn_affine_grid_generator_backward.out(Tensor grad, int N, int C, int H, int W, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cudnn_batch_norm": [
    "aten::cudnn_batch_norm(Tensor input, Tensor weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float exponential_average_factor, float epsilon) -> (Tensor, Tensor, Tensor, Tensor)",
    "aten::cudnn_batch_norm.out(Tensor input, Tensor weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float exponential_average_factor, float epsilon, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2, Tensor(d!) out3) -> (Tensor(a!), Tensor(b!), Tensor(c!), Tensor(d!))",
  ],
  "cudnn_batch_norm_backward": [
    "aten::cudnn_batch_norm_backward(Tensor input, Tensor grad_output, Tensor weight, Tensor? running_mean, Tensor? running_var, Tensor? save_mean, Tensor? save_var, float epsilon, Tensor reserveSpace) -> (Tensor, Tensor, Tensor)",
    "aten::cudnn_batch_norm_backward.out(Tensor input, Tensor grad_output, Tensor weight, Tensor? running_mean, Tensor? running_var, Tensor? save_mean, Tensor? save_var, float epsilon, Tensor reserveSpace, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "cudnn_convolution": [
    "aten::cudnn_convolution(Tensor self, Tensor weight, SymInt[] padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool benchmark, bool deterministic, bool allow_tf32) -> Tensor",
    "aten::cudnn_convolution.out(Tensor self, Tensor weight, SymInt[] padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool benchmark, bool deterministic, bool allow_tf32, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cudnn_convolution_add_relu": [
    "aten::cudnn_convolution_add_relu(Tensor self, Tensor weight, Tensor z, Scalar? alpha, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups) -> Tensor",
    "aten::cudnn_convolution_add_relu.out(Tensor self, Tensor weight, Tensor z, Scalar? alpha, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cudnn_convolution_relu": [
    "aten::cudnn_convolution_relu(Tensor self, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups) -> Tensor",
    "aten::cudnn_convolution_relu.out(Tensor self, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cudnn_convolution_transpose": [
    "aten::cudnn_convolution_transpose(Tensor self, Tensor weight, SymInt[] padding, SymInt[] output_padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool benchmark, bool deterministic, bool allow_tf32) -> Tensor",
    "aten::cudnn_convolution_transpose.out(Tensor self, Tensor weight, SymInt[] padding, SymInt[] output_padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool benchmark, bool deterministic, bool allow_tf32, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cudnn_grid_sampler": [
    "aten::cudnn_grid_sampler(Tensor self, Tensor grid) -> Tensor output",
    "aten::cudnn_grid_sampler.out(Tensor self, Tensor grid, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cudnn_grid_sampler_backward": [
    "aten::cudnn_grid_sampler_backward(Tensor self, Tensor grid, Tensor grad_output) -> (Tensor grad_self, Tensor grad_grid)",
    "aten::cudnn_grid_sampler_backward.out(Tensor self, Tensor grid, Tensor grad_output, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "cudnn_is_acceptable": [
    "aten::cudnn_is_acceptable(Tensor self) -> bool",
  ],
  "cummax": [
    "aten::cummax(Tensor self, int dim) -> (Tensor values, Tensor indices)",
    "aten::cummax.out(Tensor self, int dim, *, Tensor(a!) values, Tensor(b!) indices) -> (Tensor(a!) values, Tensor(b!) indices)",
  ],
  "cummaxmin_backward": [
    "aten::cummaxmin_backward(Tensor grad, Tensor input, Tensor indices, int dim) -> Tensor",
  ],
  "cummin": [
    "aten::cummin(Tensor self, int dim) -> (Tensor values, Tensor indices)",
    "aten::cummin.out(Tensor self, int dim, *, Tensor(a!) values, Tensor(b!) indices) -> (Tensor(a!) values, Tensor(b!) indices)",
  ],
  "cumprod": [
    "aten::cumprod(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor",
    "aten::cumprod.out(Tensor self, int dim, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cumprod_": [
    "aten::cumprod_(Tensor(a!) self, int dim, *, ScalarType? dtype=None) -> Tensor(a!)",
  ],
  "cumprod_backward": [
    "aten::cumprod_backward(Tensor grad, Tensor input, int dim, Tensor output) -> Tensor",
  ],
  "cumsum": [
    "aten::cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor",
    "aten::cumsum.out(Tensor self, int dim, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "cumsum_": [
    "aten::cumsum_(Tensor(a!) self, int dim, *, ScalarType? dtype=None) -> Tensor(a!)",
  ],
  "cumulative_trapezoid": [
    "aten::cumulative_trapezoid.dx(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor",
    "aten::cumulative_trapezoid.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor",
  ],
  "data": [
    "aten::data(Tensor self) -> Tensor",
  ],
  "deg2rad": [
    "aten::deg2rad(Tensor self) -> Tensor",
    "aten::deg2rad.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "deg2rad_": [
    "aten::deg2rad_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "dense_dim": [
    "aten::dense_dim(Tensor self) -> int",
  ],
  "dequantize": [
    "aten::dequantize.self(Tensor self) -> Tensor",
    "aten::dequantize.self_out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::dequantize.tensors(Tensor[] tensors) -> Tensor[]",
    "aten::dequantize.tensors_out(Tensor[] tensors, *, Tensor(a!)[] out) -> ()",
  ],
  "det": [
    "aten::det(Tensor self) -> Tensor",
  ],
  "detach": [
    "aten::detach(Tensor(a) self) -> Tensor(a)",
  ],
  "detach_": [
    "aten::detach_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "detach_copy": [
    "aten::detach_copy(Tensor self) -> Tensor",
    "aten::detach_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "diag": [
    "aten::diag(Tensor self, int diagonal=0) -> Tensor",
    "aten::diag.out(Tensor self, int diagonal=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "diag_embed": [
    "aten::diag_embed(Tensor self, int offset=0, int dim1=-2, int dim2=-1) -> Tensor",
    "aten::diag_embed.out(Tensor self, int offset=0, int dim1=-2, int dim2=-1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "diagflat": [
    "aten::diagflat(Tensor self, int offset=0) -> Tensor",
  ],
  "diagonal": [
    "aten::diagonal(Tensor(a) self, int offset=0, int dim1=0, int dim2=1) -> Tensor(a)",
  ],
  "diagonal_backward": [
    "aten::diagonal_backward(Tensor grad_output, SymInt[] input_sizes, int offset, int dim1, int dim2) -> Tensor",
    "aten::diagonal_backward.out(Tensor grad_output, SymInt[] input_sizes, int offset, int dim1, int dim2, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "diagonal_copy": [
    "aten::diagonal_copy(Tensor self, int offset=0, int dim1=0, int dim2=1) -> Tensor",
    "aten::diagonal_copy.out(Tensor self, int offset=0, int dim1=0, int dim2=1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "diagonal_scatter": [
    "aten::diagonal_scatter(Tensor self, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor",
    "aten::diagonal_scatter.out(Tensor self, Tensor src, int offset=0, int dim1=0, int dim2=1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "diff": [
    "aten::diff(Tensor self, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None) -> Tensor",
    "aten::diff.out(Tensor self, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "digamma": [
    "aten::digamma(Tensor self) -> Tensor",
    "aten::digamma.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "digamma_": [
    "aten::digamma_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "dim": [
    "aten::dim(Tensor self) -> int",
  ],
  "dist": [
    "aten::dist(Tensor self, Tensor other, Scalar p=2) -> Tensor",
    "aten::dist.out(Tensor self, Tensor other, Scalar p=2, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "div": [
    "aten::div.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::div.Scalar_mode(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor",
    "aten::div.Scalar_mode_out(Tensor self, Scalar other, *, str? rounding_mode, Tensor(a!) out) -> Tensor(a!)",
    "aten::div.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::div.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor",
    "aten::div.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::div.out_mode(Tensor self, Tensor other, *, str? rounding_mode, Tensor(a!) out) -> Tensor(a!)",
  ],
  "div_": [
    "aten::div_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::div_.Scalar_mode(Tensor(a!) self, Scalar other, *, str? rounding_mode) -> Tensor(a!)",
    "aten::div_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
    "aten::div_.Tensor_mode(Tensor(a!) self, Tensor other, *, str? rounding_mode) -> Tensor(a!)",
  ],
  "divide": [
    "aten::divide.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::divide.Scalar_mode(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor",
    "aten::divide.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::divide.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor",
    "aten::divide.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::divide.out_mode(Tensor self, Tensor other, *, str? rounding_mode, Tensor(a!) out) -> Tensor(a!)",
  ],
  "divide_": [
    "aten::divide_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::divide_.Scalar_mode(Tensor(a!) self, Scalar other, *, str? rounding_mode) -> Tensor(a!)",
    "aten::divide_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
    "aten::divide_.Tensor_mode(Tensor(a!) self, Tensor other, *, str? rounding_mode) -> Tensor(a!)",
  ],
  "dot": [
    "aten::dot(Tensor self, Tensor tensor) -> Tensor",
    "aten::dot.out(Tensor self, Tensor tensor, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "dropout": [
    "aten::dropout(Tensor input, float p, bool train) -> Tensor",
  ],
  "dropout_": [
    "aten::dropout_(Tensor(a!) self, float p, bool train) -> Tensor(a!)",
  ],
  "dsplit": [
    "aten::dsplit.array(Tensor(a -> *) self, int[] indices) -> Tensor(a)[]",
    "aten::dsplit.int(Tensor(a -> *) self, int sections) -> Tensor(a)[]",
  ],
  "dstack": [
    "aten::dstack(Tensor[] tensors) -> Tensor",
    "aten::dstack.out(Tensor[] tensors, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "einsum": [
    "aten::einsum(str equation, Tensor[] tensors, *, int[]? path=None) -> Tensor",
  ],
  "elu": [
    "aten::elu(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor",
    "aten::elu.out(Tensor self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "elu_": [
    "aten::elu_(Tensor(a!) self, Scalar alpha=1, Scalar scale=1, Scalar input_scale=1) -> Tensor(a!)",
  ],
  "elu_backward": [
    "aten::elu_backward(Tensor grad_output, Scalar alpha, Scalar scale, Scalar input_scale, bool is_result, Tensor self_or_result) -> Tensor",
    "aten::elu_backward.grad_input(Tensor grad_output, Scalar alpha, Scalar scale, Scalar input_scale, bool is_result, Tensor self_or_result, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "embedding": [
    "aten::embedding(Tensor weight, Tensor indices, SymInt padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False) -> Tensor",
    "aten::embedding.out(Tensor weight, Tensor indices, SymInt padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "embedding_backward": [
    "aten::embedding_backward(Tensor grad, Tensor indices, SymInt num_weights, SymInt padding_idx, bool scale_grad_by_freq, bool sparse) -> Tensor",
  ],
  "embedding_bag": [
    "aten::embedding_bag(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq=False, int mode=0, bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False) -> (Tensor, Tensor, Tensor, Tensor)",
    "aten::embedding_bag.padding_idx(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq, int mode, bool sparse, Tensor? per_sample_weights, bool include_last_offset, int? padding_idx) -> (Tensor, Tensor, Tensor, Tensor)",
  ],
  "embedding_dense_backward": [
    "aten::embedding_dense_backward(Tensor grad_output, Tensor indices, SymInt num_weights, SymInt padding_idx, bool scale_grad_by_freq) -> Tensor",
    "aten::embedding_dense_backward.out(Tensor grad_output, Tensor indices, SymInt num_weights, SymInt padding_idx, bool scale_grad_by_freq, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "embedding_renorm": [
    "aten::embedding_renorm(Tensor self, Tensor indices, float max_norm, float norm_type) -> Tensor",
    "aten::embedding_renorm.out(Tensor self, Tensor indices, float max_norm, float norm_type, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "embedding_renorm_": [
    "aten::embedding_renorm_(Tensor(a!) self, Tensor indices, float max_norm, float norm_type) -> Tensor(a!)",
  ],
  "embedding_sparse_backward": [
    "aten::embedding_sparse_backward(Tensor grad, Tensor indices, int num_weights, int padding_idx, bool scale_grad_by_freq) -> Tensor",
  ],
  "empty": [
    "aten::empty.memory_format(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::empty.out(SymInt[] size, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "empty_like": [
    "aten::empty_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::empty_like.out(Tensor self, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "empty_permuted": [
    "aten::empty_permuted(SymInt[] size, int[] physical_layout, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::empty_permuted.out(SymInt[] size, int[] physical_layout, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "empty_quantized": [
    "aten::empty_quantized(int[] size, Tensor qtensor, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::empty_quantized.out(int[] size, Tensor qtensor, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "empty_strided": [
    "aten::empty_strided(SymInt[] size, SymInt[] stride, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::empty_strided.out(SymInt[] size, SymInt[] stride, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "eq": [
    "aten::eq.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::eq.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::eq.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::eq.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "eq_": [
    "aten::eq_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::eq_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "equal": [
    "aten::equal(Tensor self, Tensor other) -> bool",
  ],
  "erf": [
    "aten::erf(Tensor self) -> Tensor",
    "aten::erf.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "erf_": [
    "aten::erf_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "erfc": [
    "aten::erfc(Tensor self) -> Tensor",
    "aten::erfc.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "erfc_": [
    "aten::erfc_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "erfinv": [
    "aten::erfinv(Tensor self) -> Tensor",
    "aten::erfinv.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "erfinv_": [
    "aten::erfinv_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "exp": [
    "aten::exp(Tensor self) -> Tensor",
    "aten::exp.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "exp2": [
    "aten::exp2(Tensor self) -> Tensor",
    "aten::exp2.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "exp2_": [
    "aten::exp2_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "exp_": [
    "aten::exp_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "expand": [
    "aten::expand(Tensor(a) self, SymInt[] size, *, bool implicit=False) -> Tensor(a)",
  ],
  "expand_as": [
    "aten::expand_as(Tensor(a) self, Tensor other) -> Tensor(a)",
  ],
  "expand_copy": [
    "aten::expand_copy(Tensor self, SymInt[] size, *, bool implicit=False) -> Tensor",
    "aten::expand_copy.out(Tensor self, SymInt[] size, *, bool implicit=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "expm1": [
    "aten::expm1(Tensor self) -> Tensor",
    "aten::expm1.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "expm1_": [
    "aten::expm1_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "exponential": [
    "aten::exponential(Tensor self, float lambd=1., *, Generator? generator=None) -> Tensor",
    "aten::exponential.out(Tensor self, float lambd=1., *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "exponential_": [
    "aten::exponential_(Tensor(a!) self, float lambd=1., *, Generator? generator=None) -> Tensor(a!)",
  ],
  "eye": [
    "aten::eye(SymInt n, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::eye.m(SymInt n, SymInt m, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::eye.m_out(SymInt n, SymInt m, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::eye.out(SymInt n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fake_quantize_per_channel_affine": [
    "aten::fake_quantize_per_channel_affine(Tensor self, Tensor scale, Tensor zero_point, int axis, int quant_min, int quant_max) -> Tensor",
  ],
  "fake_quantize_per_channel_affine_cachemask": [
    "aten::fake_quantize_per_channel_affine_cachemask(Tensor self, Tensor scale, Tensor zero_point, int axis, int quant_min, int quant_max) -> (Tensor output, Tensor mask)",
    "aten::fake_quantize_per_channel_affine_cachemask.out(Tensor self, Tensor scale, Tensor zero_point, int axis, int quant_min, int quant_max, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "fake_quantize_per_channel_affine_cachemask_backward": [
    "aten::fake_quantize_per_channel_affine_cachemask_backward(Tensor grad, Tensor mask) -> Tensor",
  ],
  "fake_quantize_per_tensor_affine": [
    "aten::fake_quantize_per_tensor_affine(Tensor self, float scale, int zero_point, int quant_min, int quant_max) -> Tensor",
    "aten::fake_quantize_per_tensor_affine.tensor_qparams(Tensor self, Tensor scale, Tensor zero_point, int quant_min, int quant_max) -> Tensor",
  ],
  "fake_quantize_per_tensor_affine_cachemask": [
    "aten::fake_quantize_per_tensor_affine_cachemask(Tensor self, float scale, int zero_point, int quant_min, int quant_max) -> (Tensor output, Tensor mask)",
    "aten::fake_quantize_per_tensor_affine_cachemask.out(Tensor self, float scale, int zero_point, int quant_min, int quant_max, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "fake_quantize_per_tensor_affine_cachemask_backward": [
    "aten::fake_quantize_per_tensor_affine_cachemask_backward(Tensor grad, Tensor mask) -> Tensor",
  ],
  "fbgemm_linear_fp16_weight": [
    "aten::fbgemm_linear_fp16_weight(Tensor input, Tensor packed_weight, Tensor bias) -> Tensor",
    "aten::fbgemm_linear_fp16_weight.out(Tensor input, Tensor packed_weight, Tensor bias, Tensor(a!) output) -> Tensor",
  ],
  "fbgemm_linear_fp16_weight_fp32_activation": [
    "aten::fbgemm_linear_fp16_weight_fp32_activation(Tensor input, Tensor packed_weight, Tensor? bias) -> Tensor",
    "aten::fbgemm_linear_fp16_weight_fp32_activation.out(Tensor input, Tensor packed_weight, Tensor? bias, Tensor(a!) output) -> Tensor",
  ],
  "fbgemm_linear_int8_weight": [
    "aten::fbgemm_linear_int8_weight(Tensor input, Tensor weight, Tensor packed, Tensor col_offsets, Scalar weight_scale, Scalar weight_zero_point, Tensor bias) -> Tensor",
  ],
  "fbgemm_linear_int8_weight_fp32_activation": [
    "aten::fbgemm_linear_int8_weight_fp32_activation(Tensor input, Tensor weight, Tensor packed, Tensor col_offsets, Scalar weight_scale, Scalar weight_zero_point, Tensor bias) -> Tensor",
  ],
  "fbgemm_linear_quantize_weight": [
    "aten::fbgemm_linear_quantize_weight(Tensor input) -> (Tensor, Tensor, float, int)",
  ],
  "fbgemm_pack_gemm_matrix_fp16": [
    "aten::fbgemm_pack_gemm_matrix_fp16(Tensor input) -> Tensor",
  ],
  "fbgemm_pack_quantized_matrix": [
    "aten::fbgemm_pack_quantized_matrix(Tensor input) -> Tensor",
    "aten::fbgemm_pack_quantized_matrix.KN(Tensor input, int K, int N) -> Tensor",
  ],
  "feature_alpha_dropout": [
    "aten::feature_alpha_dropout(Tensor input, float p, bool train) -> Tensor",
  ],
  "feature_alpha_dropout_": [
    "aten::feature_alpha_dropout_(Tensor(a!) self, float p, bool train) -> Tensor(a!)",
  ],
  "feature_dropout": [
    "aten::feature_dropout(Tensor input, float p, bool train) -> Tensor",
  ],
  "feature_dropout_": [
    "aten::feature_dropout_(Tensor(a!) self, float p, bool train) -> Tensor(a!)",
  ],
  "fft_fft": [
    "aten::fft_fft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor",
    "aten::fft_fft.out(Tensor self, SymInt? n=None, int dim=-1, str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_fft2": [
    "aten::fft_fft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor",
    "aten::fft_fft2.out(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_fftfreq": [
    "aten::fft_fftfreq(int n, float d=1., *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::fft_fftfreq.out(int n, float d=1., *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_fftn": [
    "aten::fft_fftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor",
    "aten::fft_fftn.out(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_fftshift": [
    "aten::fft_fftshift(Tensor self, int[1]? dim=None) -> Tensor",
  ],
  "fft_hfft": [
    "aten::fft_hfft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor",
    "aten::fft_hfft.out(Tensor self, SymInt? n=None, int dim=-1, str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_hfft2": [
    "aten::fft_hfft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor",
    "aten::fft_hfft2.out(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_hfftn": [
    "aten::fft_hfftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor",
    "aten::fft_hfftn.out(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_ifft": [
    "aten::fft_ifft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor",
    "aten::fft_ifft.out(Tensor self, SymInt? n=None, int dim=-1, str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_ifft2": [
    "aten::fft_ifft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor",
    "aten::fft_ifft2.out(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_ifftn": [
    "aten::fft_ifftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor",
    "aten::fft_ifftn.out(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_ifftshift": [
    "aten::fft_ifftshift(Tensor self, int[1]? dim=None) -> Tensor",
  ],
  "fft_ihfft": [
    "aten::fft_ihfft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor",
    "aten::fft_ihfft.out(Tensor self, SymInt? n=None, int dim=-1, str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_ihfft2": [
    "aten::fft_ihfft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor",
    "aten::fft_ihfft2.out(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_ihfftn": [
    "aten::fft_ihfftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor",
    "aten::fft_ihfftn.out(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_irfft": [
    "aten::fft_irfft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor",
    "aten::fft_irfft.out(Tensor self, SymInt? n=None, int dim=-1, str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_irfft2": [
    "aten::fft_irfft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor",
    "aten::fft_irfft2.out(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_irfftn": [
    "aten::fft_irfftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor",
    "aten::fft_irfftn.out(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_rfft": [
    "aten::fft_rfft(Tensor self, SymInt? n=None, int dim=-1, str? norm=None) -> Tensor",
    "aten::fft_rfft.out(Tensor self, SymInt? n=None, int dim=-1, str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_rfft2": [
    "aten::fft_rfft2(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None) -> Tensor",
    "aten::fft_rfft2.out(Tensor self, SymInt[1]? s=None, int[1] dim=[-2, -1], str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_rfftfreq": [
    "aten::fft_rfftfreq(int n, float d=1., *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::fft_rfftfreq.out(int n, float d=1., *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fft_rfftn": [
    "aten::fft_rfftn(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None) -> Tensor",
    "aten::fft_rfftn.out(Tensor self, SymInt[1]? s=None, int[1]? dim=None, str? norm=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fill": [
    "aten::fill.Scalar(Tensor self, Scalar value) -> Tensor",
    "aten::fill.Scalar_out(Tensor self, Scalar value, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::fill.Tensor(Tensor self, Tensor value) -> Tensor",
    "aten::fill.Tensor_out(Tensor self, Tensor value, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fill_": [
    "aten::fill_.Scalar(Tensor(a!) self, Scalar value) -> Tensor(a!)",
    "aten::fill_.Tensor(Tensor(a!) self, Tensor value) -> Tensor(a!)",
  ],
  "fill_diagonal_": [
    "aten::fill_diagonal_(Tensor(a!) self, Scalar fill_value, bool wrap=False) -> Tensor(a!)",
  ],
  "fix": [
    "aten::fix(Tensor self) -> Tensor",
    "aten::fix.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fix_": [
    "aten::fix_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "flatten": [
    "aten::flatten.using_ints(Tensor(a) self, int start_dim=0, int end_dim=-1) -> Tensor(a)",
  ],
  "flatten_dense_tensors": [
    "aten::flatten_dense_tensors(Tensor[] tensors) -> Tensor",
  ],
  "flip": [
    "aten::flip(Tensor self, int[] dims) -> Tensor",
    "aten::flip.out(Tensor self, int[] dims, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fliplr": [
    "aten::fliplr(Tensor self) -> Tensor",
  ],
  "flipud": [
    "aten::flipud(Tensor self) -> Tensor",
  ],
  "float_power": [
    "aten::float_power.Scalar(Scalar self, Tensor exponent) -> Tensor",
    "aten::float_power.Scalar_out(Scalar self, Tensor exponent, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::float_power.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor",
    "aten::float_power.Tensor_Scalar_out(Tensor self, Scalar exponent, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::float_power.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor",
    "aten::float_power.Tensor_Tensor_out(Tensor self, Tensor exponent, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "float_power_": [
    "aten::float_power_.Scalar(Tensor(a!) self, Scalar exponent) -> Tensor(a!)",
    "aten::float_power_.Tensor(Tensor(a!) self, Tensor exponent) -> Tensor(a!)",
  ],
  "floor": [
    "aten::floor(Tensor self) -> Tensor",
    "aten::floor.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "floor_": [
    "aten::floor_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "floor_divide": [
    "aten::floor_divide(Tensor self, Tensor other) -> Tensor",
    "aten::floor_divide.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::floor_divide.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::floor_divide.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "floor_divide_": [
    "aten::floor_divide_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::floor_divide_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "fmax": [
    "aten::fmax(Tensor self, Tensor other) -> Tensor",
    "aten::fmax.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fmin": [
    "aten::fmin(Tensor self, Tensor other) -> Tensor",
    "aten::fmin.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fmod": [
    "aten::fmod.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::fmod.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::fmod.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::fmod.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fmod_": [
    "aten::fmod_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::fmod_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "frac": [
    "aten::frac(Tensor self) -> Tensor",
    "aten::frac.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "frac_": [
    "aten::frac_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "fractional_max_pool2d": [
    "aten::fractional_max_pool2d(Tensor self, int[2] kernel_size, int[2] output_size, Tensor random_samples) -> (Tensor, Tensor)",
    "aten::fractional_max_pool2d.output(Tensor self, int[2] kernel_size, int[2] output_size, Tensor random_samples, *, Tensor(a!) output, Tensor(b!) indices) -> (Tensor(a!), Tensor(b!))",
  ],
  "fractional_max_pool2d_backward": [
    "aten::fractional_max_pool2d_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] output_size, Tensor indices) -> Tensor",
    "aten::fractional_max_pool2d_backward.grad_input(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] output_size, Tensor indices, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "fractional_max_pool3d": [
    "aten::fractional_max_pool3d(Tensor self, int[3] kernel_size, int[3] output_size, Tensor random_samples) -> (Tensor, Tensor)",
    "aten::fractional_max_pool3d.output(Tensor self, int[3] kernel_size, int[3] output_size, Tensor random_samples, *, Tensor(a!) output, Tensor(b!) indices) -> (Tensor(a!), Tensor(b!))",
  ],
  "fractional_max_pool3d_backward": [
    "aten::fractional_max_pool3d_backward(Tensor grad_output, Tensor self, int[3] kernel_size, int[3] output_size, Tensor indices) -> Tensor",
    "aten::fractional_max_pool3d_backward.grad_input(Tensor grad_output, Tensor self, int[3] kernel_size, int[3] output_size, Tensor indices, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "frexp": [
    "aten::frexp.Tensor(Tensor self) -> (Tensor mantissa, Tensor exponent)",
    "aten::frexp.Tensor_out(Tensor self, *, Tensor(a!) mantissa, Tensor(b!) exponent) -> (Tensor(a!) mantissa, Tensor(b!) exponent)",
  ],
  "frobenius_norm": [
    "aten::frobenius_norm.dim(Tensor self, int[1] dim, bool keepdim=False) -> Tensor",
    "aten::frobenius_norm.out(Tensor self, int[1] dim, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "from_file": [
    "aten::from_file(str filename, bool? shared=None, int? size=0, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::from_file.out(str filename, bool? shared=None, int? size=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "full": [
    "aten::full(SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::full.out(SymInt[] size, Scalar fill_value, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "full_like": [
    "aten::full_like(Tensor self, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::full_like.out(Tensor self, Scalar fill_value, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "fused_moving_avg_obs_fake_quant": [
    "aten::fused_moving_avg_obs_fake_quant(Tensor self, Tensor observer_on, Tensor fake_quant_on, Tensor(a!) running_min, Tensor(b!) running_max, Tensor(c!) scale, Tensor(d!) zero_point, float averaging_const, int quant_min, int quant_max, int ch_axis, bool per_row_fake_quant=False, bool symmetric_quant=False) -> Tensor",
  ],
  "gather": [
    "aten::gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor",
    "aten::gather.out(Tensor self, int dim, Tensor index, *, bool sparse_grad=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "gather_backward": [
    "aten::gather_backward(Tensor grad, Tensor self, int dim, Tensor index, bool sparse_grad) -> Tensor",
  ],
  "gcd": [
    "aten::gcd(Tensor self, Tensor other) -> Tensor",
    "aten::gcd.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "gcd_": [
    "aten::gcd_(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "ge": [
    "aten::ge.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::ge.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::ge.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::ge.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "ge_": [
    "aten::ge_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::ge_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "gelu": [
    "aten::gelu(Tensor self, *, str approximate=\"none\") -> Tensor",
    "aten::gelu.out(Tensor self, *, str approximate=\"none\", Tensor(a!) out) -> Tensor(a!)",
  ],
  "gelu_": [
    "aten::gelu_(Tensor(a!) self, *, str approximate=\"none\") -> Tensor(a!)",
  ],
  "gelu_backward": [
    "aten::gelu_backward(Tensor grad_output, Tensor self, *, str approximate=\"none\") -> Tensor",
    "aten::gelu_backward.grad_input(Tensor grad_output, Tensor self, *, str approximate=\"none\", Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "geometric": [
    "aten::geometric(Tensor self, float p, *, Generator? generator=None) -> Tensor",
    "aten::geometric.out(Tensor self, float p, *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "geometric_": [
    "aten::geometric_(Tensor(a!) self, float p, *, Generator? generator=None) -> Tensor(a!)",
  ],
  "geqrf": [
    "aten::geqrf(Tensor self) -> (Tensor a, Tensor tau)",
    "aten::geqrf.a(Tensor self, *, Tensor(a!) a, Tensor(b!) tau) -> (Tensor(a!) a, Tensor(b!) tau)",
  ],
  "ger": [
    "aten::ger(Tensor self, Tensor vec2) -> Tensor",
    "aten::ger.out(Tensor self, Tensor vec2, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "get_device": [
    "aten::get_device(Tensor self) -> int",
  ],
  "glu": [
    "aten::glu(Tensor self, int dim=-1) -> Tensor",
    "aten::glu.out(Tensor self, int dim=-1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "glu_backward": [
    "aten::glu_backward(Tensor grad_output, Tensor self, int dim) -> Tensor",
    "aten::glu_backward.grad_input(Tensor grad_output, Tensor self, int dim, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "glu_backward_jvp": [
    "aten::glu_backward_jvp(Tensor grad_x, Tensor grad_glu, Tensor x, Tensor dgrad_glu, Tensor dx, int dim) -> Tensor",
    "aten::glu_backward_jvp.out(Tensor grad_x, Tensor grad_glu, Tensor x, Tensor dgrad_glu, Tensor dx, int dim, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "glu_jvp": [
    "aten::glu_jvp(Tensor glu, Tensor x, Tensor dx, int dim) -> Tensor",
    "aten::glu_jvp.out(Tensor glu, Tensor x, Tensor dx, int dim, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "gradient": [
    "aten::gradient.array(Tensor self, *, int[] dim, int edge_order=1) -> Tensor[]",
    "aten::gradient.scalararray(Tensor self, *, Scalar spacing, int[] dim, int edge_order=1) -> Tensor[]",
    "aten::gradient.scalarint(Tensor self, *, Scalar? spacing=None, int? dim=None, int edge_order=1) -> Tensor[]",
    "aten::gradient.scalarrayarray(Tensor self, *, Scalar[] spacing, int[] dim, int edge_order=1) -> Tensor[]",
    "aten::gradient.scalarrayint(Tensor self, *, Scalar[] spacing, int? dim=None, int edge_order=1) -> Tensor[]",
    "aten::gradient.tensorarray(Tensor self, *, Tensor[] spacing, int[] dim, int edge_order=1) -> Tensor[]",
    "aten::gradient.tensorarrayint(Tensor self, *, Tensor[] spacing, int? dim=None, int edge_order=1) -> Tensor[]",
  ],
  "greater": [
    "aten::greater.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::greater.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::greater.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::greater.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "greater_": [
    "aten::greater_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::greater_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "greater_equal": [
    "aten::greater_equal.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::greater_equal.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::greater_equal.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::greater_equal.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "greater_equal_": [
    "aten::greater_equal_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::greater_equal_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "grid_sampler": [
    "aten::grid_sampler(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners) -> Tensor",
  ],
  "grid_sampler_2d": [
    "aten::grid_sampler_2d(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners) -> Tensor",
    "aten::grid_sampler_2d.out(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "grid_sampler_2d_backward": [
    "aten::grid_sampler_2d_backward(Tensor grad_output, Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners, bool[2] output_mask) -> (Tensor, Tensor)",
    "aten::grid_sampler_2d_backward.out(Tensor grad_output, Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners, bool[2] output_mask, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "grid_sampler_3d": [
    "aten::grid_sampler_3d(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners) -> Tensor",
    "aten::grid_sampler_3d.out(Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "grid_sampler_3d_backward": [
    "aten::grid_sampler_3d_backward(Tensor grad_output, Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners, bool[2] output_mask) -> (Tensor, Tensor)",
    "aten::grid_sampler_3d_backward.out(Tensor grad_output, Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners, bool[2] output_mask, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "group_norm": [
    "aten::group_norm(Tensor input, int num_groups, Tensor? weight=None, Tensor? bias=None, float eps=1.0000000000000001e-05, bool cudnn_enabled=True) -> Tensor",
  ],
  "gru": [
    "aten::gru.data(Tensor data, Tensor batch_sizes, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional) -> (Tensor, Tensor)",
    "aten::gru.input(Tensor input, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)",
  ],
  "gru_cell": [
    "aten::gru_cell(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> Tensor",
  ],
  "gt": [
    "aten::gt.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::gt.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::gt.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::gt.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "gt_": [
    "aten::gt_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::gt_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "hamming_window": [
    "aten::hamming_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::hamming_window.out(int window_length, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::hamming_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::hamming_window.periodic_alpha(int window_length, bool periodic, float alpha, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::hamming_window.periodic_alpha_beta(int window_length, bool periodic, float alpha, float beta, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::hamming_window.periodic_alpha_beta_out(int window_length, bool periodic, float alpha, float beta, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::hamming_window.periodic_alpha_out(int window_length, bool periodic, float alpha, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::hamming_window.periodic_out(int window_length, bool periodic, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "hann_window": [
    "aten::hann_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::hann_window.out(int window_length, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::hann_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::hann_window.periodic_out(int window_length, bool periodic, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "hardshrink": [
    "aten::hardshrink(Tensor self, Scalar lambd=0.5) -> Tensor",
    "aten::hardshrink.out(Tensor self, Scalar lambd=0.5, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "hardshrink_backward": [
    "aten::hardshrink_backward(Tensor grad_out, Tensor self, Scalar lambd) -> Tensor",
    "aten::hardshrink_backward.grad_input(Tensor grad_out, Tensor self, Scalar lambd, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "hardsigmoid": [
    "aten::hardsigmoid(Tensor self) -> Tensor",
    "aten::hardsigmoid.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "hardsigmoid_": [
    "aten::hardsigmoid_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "hardsigmoid_backward": [
    "aten::hardsigmoid_backward(Tensor grad_output, Tensor self) -> Tensor",
    "aten::hardsigmoid_backward.grad_input(Tensor grad_output, Tensor self, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "hardswish": [
    "aten::hardswish(Tensor self) -> Tensor",
    "aten::hardswish.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "hardswish_": [
    "aten::hardswish_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "hardswish_backward": [
    "aten::hardswish_backward(Tensor grad_output, Tensor self) -> Tensor",
    "aten::hardswish_backward.out(Tensor grad_output, Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "hardtanh": [
    "aten::hardtanh(Tensor self, Scalar min_val=-1, Scalar max_val=1) -> Tensor",
    "aten::hardtanh.out(Tensor self, Scalar min_val=-1, Scalar max_val=1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "hardtanh_": [
    "aten::hardtanh_(Tensor(a!) self, Scalar min_val=-1, Scalar max_val=1) -> Tensor(a!)",
  ],
  "hardtanh_backward": [
    "aten::hardtanh_backward(Tensor grad_output, Tensor self, Scalar min_val, Scalar max_val) -> Tensor",
    "aten::hardtanh_backward.grad_input(Tensor grad_output, Tensor self, Scalar min_val, Scalar max_val, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "hash_tensor": [
    "aten::hash_tensor(Tensor self, int[1] dim=[], *, bool keepdim=False, int mode=0) -> Tensor",
    "aten::hash_tensor.out(Tensor self, int[1] dim=[], *, bool keepdim=False, int mode=0, Tensor(a!) out) -> Tensor(a!)",
  ],
  "heaviside": [
    "aten::heaviside(Tensor self, Tensor values) -> Tensor",
    "aten::heaviside.out(Tensor self, Tensor values, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "heaviside_": [
    "aten::heaviside_(Tensor(a!) self, Tensor values) -> Tensor(a!)",
  ],
  "hinge_embedding_loss": [
    "aten::hinge_embedding_loss(Tensor self, Tensor target, float margin=1., int reduction=1) -> Tensor",
  ],
  "histc": [
    "aten::histc(Tensor self, int bins=100, Scalar min=0, Scalar max=0) -> Tensor",
    "aten::histc.out(Tensor self, int bins=100, Scalar min=0, Scalar max=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "histogram": [
    "aten::histogram.bin_ct(Tensor self, int bins=100, *, float[]? range=None, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor bin_edges)",
    "aten::histogram.bin_ct_out(Tensor self, int bins=100, *, float[]? range=None, Tensor? weight=None, bool density=False, Tensor(a!) hist, Tensor(b!) bin_edges) -> (Tensor(a!) hist, Tensor(b!) bin_edges)",
    "aten::histogram.bins_tensor(Tensor self, Tensor bins, *, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor bin_edges)",
    "aten::histogram.bins_tensor_out(Tensor self, Tensor bins, *, Tensor? weight=None, bool density=False, Tensor(a!) hist, Tensor(b!) bin_edges) -> (Tensor(a!) hist, Tensor(b!) bin_edges)",
  ],
  "histogramdd": [
    "aten::histogramdd(Tensor self, int[] bins, float[]? range=None, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor[] bin_edges)",
    "aten::histogramdd.TensorList_bins(Tensor self, Tensor[] bins, float[]? range=None, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor[] bin_edges)",
    "aten::histogramdd.int_bins(Tensor self, int bins, float[]? range=None, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor[] bin_edges)",
  ],
  "hsplit": [
    "aten::hsplit.array(Tensor(a -> *) self, int[] indices) -> Tensor(a)[]",
    "aten::hsplit.int(Tensor(a -> *) self, int sections) -> Tensor(a)[]",
  ],
  "hspmm": [
    "aten::hspmm(Tensor mat1, Tensor mat2) -> Tensor",
    "aten::hspmm.out(Tensor mat1, Tensor mat2, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "hstack": [
    "aten::hstack(Tensor[] tensors) -> Tensor",
    "aten::hstack.out(Tensor[] tensors, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "huber_loss": [
    "aten::huber_loss(Tensor self, Tensor target, int reduction=1, float delta=1.) -> Tensor",
    "aten::huber_loss.out(Tensor self, Tensor target, int reduction=1, float delta=1., *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "huber_loss_backward": [
    "aten::huber_loss_backward(Tensor grad_output, Tensor self, Tensor target, int reduction, float delta) -> Tensor",
    "aten::huber_loss_backward.out(Tensor grad_output, Tensor self, Tensor target, int reduction, float delta, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "hypot": [
    "aten::hypot(Tensor self, Tensor other) -> Tensor",
    "aten::hypot.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "hypot_": [
    "aten::hypot_(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "i0": [
    "aten::i0(Tensor self) -> Tensor",
    "aten::i0.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "i0_": [
    "aten::i0_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "igamma": [
    "aten::igamma(Tensor self, Tensor other) -> Tensor",
    "aten::igamma.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "igamma_": [
    "aten::igamma_(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "igammac": [
    "aten::igammac(Tensor self, Tensor other) -> Tensor",
    "aten::igammac.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "igammac_": [
    "aten::igammac_(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "im2col": [
    "aten::im2col(Tensor self, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride) -> Tensor",
    "aten::im2col.out(Tensor self, int[2] kernel_size, int[2] dilation, int[2] padding, int[2] stride, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "imag": [
    "aten::imag(Tensor(a) self) -> Tensor(a)",
  ],
  "index": [
    "aten::index.Tensor(Tensor self, Tensor?[] indices) -> Tensor",
    "aten::index.Tensor_out(Tensor self, Tensor?[] indices, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "index_add": [
    "aten::index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor",
    "aten::index_add.out(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "index_add_": [
    "aten::index_add_(Tensor(a!) self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor(a!)",
  ],
  "index_copy": [
    "aten::index_copy(Tensor self, int dim, Tensor index, Tensor source) -> Tensor",
    "aten::index_copy.out(Tensor self, int dim, Tensor index, Tensor source, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "index_copy_": [
    "aten::index_copy_(Tensor(a!) self, int dim, Tensor index, Tensor source) -> Tensor(a!)",
  ],
  "index_fill": [
    "aten::index_fill.int_Scalar(Tensor self, int dim, Tensor index, Scalar value) -> Tensor",
    "aten::index_fill.int_Scalar_out(Tensor self, int dim, Tensor index, Scalar value, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::index_fill.int_Tensor(Tensor self, int dim, Tensor index, Tensor value) -> Tensor",
    "aten::index_fill.int_Tensor_out(Tensor self, int dim, Tensor index, Tensor value, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "index_fill_": [
    "aten::index_fill_.int_Scalar(Tensor(a!) self, int dim, Tensor index, Scalar value) -> Tensor(a!)",
    "aten::index_fill_.int_Tensor(Tensor(a!) self, int dim, Tensor index, Tensor value) -> Tensor(a!)",
  ],
  "index_put": [
    "aten::index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor",
    "aten::index_put.out(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "index_put_": [
    "aten::index_put_(Tensor(a!) self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor(a!)",
  ],
  "index_reduce": [
    "aten::index_reduce(Tensor self, int dim, Tensor index, Tensor source, str reduce, *, bool include_self=True) -> Tensor",
    "aten::index_reduce.out(Tensor self, int dim, Tensor index, Tensor source, str reduce, *, bool include_self=True, Tensor(a!) out) -> Tensor(a!)",
  ],
  "index_reduce_": [
    "aten::index_reduce_(Tensor(a!) self, int dim, Tensor index, Tensor source, str reduce, *, bool include_self=True) -> Tensor(a!)",
  ],
  "index_select": [
    "aten::index_select(Tensor self, int dim, Tensor index) -> Tensor",
    "aten::index_select.out(Tensor self, int dim, Tensor index, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "index_select_backward": [
    "aten::index_select_backward(Tensor grad, SymInt[] self_sizes, int dim, Tensor index) -> Tensor",
  ],
  "indices": [
    "aten::indices(Tensor(a) self) -> Tensor(a)",
  ],
  "indices_copy": [
    "aten::indices_copy(Tensor self) -> Tensor",
    "aten::indices_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "infinitely_differentiable_gelu_backward": [
    "aten::infinitely_differentiable_gelu_backward(Tensor grad, Tensor self) -> Tensor",
  ],
  "inner": [
    "aten::inner(Tensor self, Tensor other) -> Tensor",
    "aten::inner.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "instance_norm": [
    "aten::instance_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool use_input_stats, float momentum, float eps, bool cudnn_enabled) -> Tensor",
  ],
  "int_repr": [
    "aten::int_repr(Tensor self) -> Tensor",
    "aten::int_repr.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "inverse": [
    "aten::inverse(Tensor self) -> Tensor",
    "aten::inverse.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "is_coalesced": [
    "aten::is_coalesced(Tensor self) -> bool",
  ],
  "is_complex": [
    "aten::is_complex(Tensor self) -> bool",
  ],
  "is_conj": [
    "aten::is_conj(Tensor self) -> bool",
  ],
  "is_contiguous": [
    "aten::is_contiguous(Tensor self) -> bool",
    "aten::is_contiguous.memory_format(Tensor self, MemoryFormat memory_format) -> bool",
  ],
  "is_distributed": [
    "aten::is_distributed(Tensor self) -> bool",
  ],
  "is_floating_point": [
    "aten::is_floating_point(Tensor self) -> bool",
  ],
  "is_inference": [
    "aten::is_inference(Tensor self) -> bool",
  ],
  "is_leaf": [
    "aten::is_leaf(Tensor self) -> bool",
  ],
  "is_neg": [
    "aten::is_neg(Tensor self) -> bool",
  ],
  "is_nonzero": [
    "aten::is_nonzero(Tensor self) -> bool",
  ],
  "is_pinned": [
    "aten::is_pinned(Tensor self, Device? device=None) -> bool",
  ],
  "is_same_size": [
    "aten::is_same_size(Tensor self, Tensor other) -> bool",
  ],
  "is_set_to": [
    "aten::is_set_to(Tensor self, Tensor tensor) -> bool",
  ],
  "is_signed": [
    "aten::is_signed(Tensor self) -> bool",
  ],
  "is_vulkan_available": [
    "aten::is_vulkan_available() -> bool",
  ],
  "isclose": [
    "aten::isclose(Tensor self, Tensor other, float rtol=1.0000000000000001e-05, float atol=1e-08, bool equal_nan=False) -> Tensor",
  ],
  "isfinite": [
    "aten::isfinite(Tensor self) -> Tensor",
  ],
  "isin": [
    "aten::isin.Scalar_Tensor(Scalar element, Tensor test_elements, *, bool assume_unique=False, bool invert=False) -> Tensor",
    "aten::isin.Scalar_Tensor_out(Scalar element, Tensor test_elements, *, bool assume_unique=False, bool invert=False, Tensor(a!) out) -> Tensor(a!)",
    "aten::isin.Tensor_Scalar(Tensor elements, Scalar test_element, *, bool assume_unique=False, bool invert=False) -> Tensor",
    "aten::isin.Tensor_Scalar_out(Tensor elements, Scalar test_element, *, bool assume_unique=False, bool invert=False, Tensor(a!) out) -> Tensor(a!)",
    "aten::isin.Tensor_Tensor(Tensor elements, Tensor test_elements, *, bool assume_unique=False, bool invert=False) -> Tensor",
    "aten::isin.Tensor_Tensor_out(Tensor elements, Tensor test_elements, *, bool assume_unique=False, bool invert=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "isinf": [
    "aten::isinf(Tensor self) -> Tensor",
    "aten::isinf.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "isnan": [
    "aten::isnan(Tensor self) -> Tensor",
    "aten::isnan.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "isneginf": [
    "aten::isneginf(Tensor self) -> Tensor",
    "aten::isneginf.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "isposinf": [
    "aten::isposinf(Tensor self) -> Tensor",
    "aten::isposinf.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "isreal": [
    "aten::isreal(Tensor self) -> Tensor",
  ],
  "istft": [
    "aten::istft(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, bool center=True, bool normalized=False, bool? onesided=None, int? length=None, bool return_complex=False) -> Tensor",
  ],
  "item": [
    "aten::item(Tensor self) -> Scalar",
  ],
  "kaiser_window": [
    "aten::kaiser_window(int window_length, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::kaiser_window.beta(int window_length, bool periodic, float beta, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::kaiser_window.beta_out(int window_length, bool periodic, float beta, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::kaiser_window.out(int window_length, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::kaiser_window.periodic(int window_length, bool periodic, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::kaiser_window.periodic_out(int window_length, bool periodic, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "kl_div": [
    "aten::kl_div(Tensor self, Tensor target, int reduction=1, *, bool log_target=False) -> Tensor",
  ],
  "kron": [
    "aten::kron(Tensor self, Tensor other) -> Tensor",
    "aten::kron.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "kthvalue": [
    "aten::kthvalue(Tensor self, SymInt k, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)",
    "aten::kthvalue.values(Tensor self, SymInt k, int dim=-1, bool keepdim=False, *, Tensor(a!) values, Tensor(b!) indices) -> (Tensor(a!) values, Tensor(b!) indices)",
  ],
  "l1_loss": [
    "aten::l1_loss(Tensor self, Tensor target, int reduction=1) -> Tensor",
  ],
  "layer_norm": [
    "aten::layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, Tensor? bias=None, float eps=1.0000000000000001e-05, bool cudnn_enable=True) -> Tensor",
  ],
  "lcm": [
    "aten::lcm(Tensor self, Tensor other) -> Tensor",
    "aten::lcm.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "lcm_": [
    "aten::lcm_(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "ldexp": [
    "aten::ldexp.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::ldexp.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "ldexp_": [
    "aten::ldexp_(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "le": [
    "aten::le.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::le.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::le.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::le.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "le_": [
    "aten::le_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::le_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "leaky_relu": [
    "aten::leaky_relu(Tensor self, Scalar negative_slope=0.01) -> Tensor",
    "aten::leaky_relu.out(Tensor self, Scalar negative_slope=0.01, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "leaky_relu_": [
    "aten::leaky_relu_(Tensor(a!) self, Scalar negative_slope=0.01) -> Tensor(a!)",
  ],
  "leaky_relu_backward": [
    "aten::leaky_relu_backward(Tensor grad_output, Tensor self, Scalar negative_slope, bool self_is_result) -> Tensor",
    "aten::leaky_relu_backward.grad_input(Tensor grad_output, Tensor self, Scalar negative_slope, bool self_is_result, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "lerp": [
    "aten::lerp.Scalar(Tensor self, Tensor end, Scalar weight) -> Tensor",
    "aten::lerp.Scalar_out(Tensor self, Tensor end, Scalar weight, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::lerp.Tensor(Tensor self, Tensor end, Tensor weight) -> Tensor",
    "aten::lerp.Tensor_out(Tensor self, Tensor end, Tensor weight, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "lerp_": [
    "aten::lerp_.Scalar(Tensor(a!) self, Tensor end, Scalar weight) -> Tensor(a!)",
    "aten::lerp_.Tensor(Tensor(a!) self, Tensor end, Tensor weight) -> Tensor(a!)",
  ],
  "less": [
    "aten::less.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::less.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::less.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::less.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "less_": [
    "aten::less_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::less_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "less_equal": [
    "aten::less_equal.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::less_equal.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::less_equal.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::less_equal.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "less_equal_": [
    "aten::less_equal_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::less_equal_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "lgamma": [
    "aten::lgamma(Tensor self) -> Tensor",
    "aten::lgamma.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "lgamma_": [
    "aten::lgamma_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "lift": [
    "aten::lift(Tensor self) -> Tensor",
    "aten::lift.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "lift_fresh": [
    "aten::lift_fresh(Tensor(a) self) -> Tensor(a)",
  ],
  "lift_fresh_copy": [
    "aten::lift_fresh_copy(Tensor self) -> Tensor",
    "aten::lift_fresh_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg__powsum": [
    "aten::linalg__powsum(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
  ],
  "linalg_cholesky": [
    "aten::linalg_cholesky(Tensor self, *, bool upper=False) -> Tensor",
    "aten::linalg_cholesky.out(Tensor self, *, bool upper=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_cholesky_ex": [
    "aten::linalg_cholesky_ex(Tensor self, *, bool upper=False, bool check_errors=False) -> (Tensor L, Tensor info)",
    "aten::linalg_cholesky_ex.L(Tensor self, *, bool upper=False, bool check_errors=False, Tensor(a!) L, Tensor(b!) info) -> (Tensor(a!) L, Tensor(b!) info)",
  ],
  "linalg_cond": [
    "aten::linalg_cond(Tensor self, Scalar? p=None) -> Tensor",
    "aten::linalg_cond.out(Tensor self, Scalar? p=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::linalg_cond.p_str(Tensor self, str p) -> Tensor",
    "aten::linalg_cond.p_str_out(Tensor self, str p, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_cross": [
    "aten::linalg_cross(Tensor self, Tensor other, *, int dim=-1) -> Tensor",
    "aten::linalg_cross.out(Tensor self, Tensor other, *, int dim=-1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_det": [
    "aten::linalg_det(Tensor A) -> Tensor",
    "aten::linalg_det.out(Tensor A, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_diagonal": [
    "aten::linalg_diagonal(Tensor(a) A, *, int offset=0, int dim1=-2, int dim2=-1) -> Tensor(a)",
  ],
  "linalg_eig": [
    "aten::linalg_eig(Tensor self) -> (Tensor eigenvalues, Tensor eigenvectors)",
    "aten::linalg_eig.out(Tensor self, *, Tensor(a!) eigenvalues, Tensor(b!) eigenvectors) -> (Tensor(a!) eigenvalues, Tensor(b!) eigenvectors)",
  ],
  "linalg_eigh": [
    "aten::linalg_eigh(Tensor self, str UPLO=\"L\") -> (Tensor eigenvalues, Tensor eigenvectors)",
    "aten::linalg_eigh.eigvals(Tensor self, str UPLO=\"L\", *, Tensor(a!) eigvals, Tensor(b!) eigvecs) -> (Tensor(a!) eigenvalues, Tensor(b!) eigenvectors)",
  ],
  "linalg_eigvals": [
    "aten::linalg_eigvals(Tensor self) -> Tensor",
    "aten::linalg_eigvals.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_eigvalsh": [
    "aten::linalg_eigvalsh(Tensor self, str UPLO=\"L\") -> Tensor",
    "aten::linalg_eigvalsh.out(Tensor self, str UPLO=\"L\", *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_householder_product": [
    "aten::linalg_householder_product(Tensor input, Tensor tau) -> Tensor",
    "aten::linalg_householder_product.out(Tensor input, Tensor tau, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_inv": [
    "aten::linalg_inv(Tensor A) -> Tensor",
    "aten::linalg_inv.out(Tensor A, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_inv_ex": [
    "aten::linalg_inv_ex(Tensor A, *, bool check_errors=False) -> (Tensor inverse, Tensor info)",
    "aten::linalg_inv_ex.inverse(Tensor A, *, bool check_errors=False, Tensor(a!) inverse, Tensor(b!) info) -> (Tensor(a!) inverse, Tensor(b!) info)",
  ],
  "linalg_ldl_factor": [
    "aten::linalg_ldl_factor(Tensor self, *, bool hermitian=False) -> (Tensor LD, Tensor pivots)",
    "aten::linalg_ldl_factor.out(Tensor self, *, bool hermitian=False, Tensor(a!) LD, Tensor(b!) pivots) -> (Tensor(a!) LD, Tensor(b!) pivots)",
  ],
  "linalg_ldl_factor_ex": [
    "aten::linalg_ldl_factor_ex(Tensor self, *, bool hermitian=False, bool check_errors=False) -> (Tensor LD, Tensor pivots, Tensor info)",
    "aten::linalg_ldl_factor_ex.out(Tensor self, *, bool hermitian=False, bool check_errors=False, Tensor(a!) LD, Tensor(b!) pivots, Tensor(c!) info) -> (Tensor(a!) LD, Tensor(b!) pivots, Tensor(c!) info)",
  ],
  "linalg_ldl_solve": [
    "aten::linalg_ldl_solve(Tensor LD, Tensor pivots, Tensor B, *, bool hermitian=False) -> Tensor",
    "aten::linalg_ldl_solve.out(Tensor LD, Tensor pivots, Tensor B, *, bool hermitian=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_lstsq": [
    "aten::linalg_lstsq(Tensor self, Tensor b, float? rcond=None, *, str? driver=None) -> (Tensor solution, Tensor residuals, Tensor rank, Tensor singular_values)",
    "aten::linalg_lstsq.out(Tensor self, Tensor b, float? rcond=None, *, str? driver=None, Tensor(a!) solution, Tensor(b!) residuals, Tensor(c!) rank, Tensor(d!) singular_values) -> (Tensor(a!) solution, Tensor(b!) residuals, Tensor(c!) rank, Tensor(d!) singular_values)",
  ],
  "linalg_lu": [
    "aten::linalg_lu(Tensor A, *, bool pivot=True) -> (Tensor P, Tensor L, Tensor U)",
    "aten::linalg_lu.out(Tensor A, *, bool pivot=True, Tensor(a!) P, Tensor(b!) L, Tensor(c!) U) -> (Tensor(a!) P, Tensor(b!) L, Tensor(c!) U)",
  ],
  "linalg_lu_factor": [
    "aten::linalg_lu_factor(Tensor A, *, bool pivot=True) -> (Tensor LU, Tensor pivots)",
    "aten::linalg_lu_factor.out(Tensor A, *, bool pivot=True, Tensor(a!) LU, Tensor(b!) pivots) -> (Tensor(a!) LU, Tensor(b!) pivots)",
  ],
  "linalg_lu_factor_ex": [
    "aten::linalg_lu_factor_ex(Tensor A, *, bool pivot=True, bool check_errors=False) -> (Tensor LU, Tensor pivots, Tensor info)",
    "aten::linalg_lu_factor_ex.out(Tensor A, *, bool pivot=True, bool check_errors=False, Tensor(a!) LU, Tensor(b!) pivots, Tensor(c!) info) -> (Tensor(a!) LU, Tensor(b!) pivots, Tensor(c!) info)",
  ],
  "linalg_lu_solve": [
    "aten::linalg_lu_solve(Tensor LU, Tensor pivots, Tensor B, *, bool left=True, bool adjoint=False) -> Tensor",
    "aten::linalg_lu_solve.out(Tensor LU, Tensor pivots, Tensor B, *, bool left=True, bool adjoint=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_matmul": [
    "aten::linalg_matmul(Tensor self, Tensor other) -> Tensor",
    "aten::linalg_matmul.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_matrix_exp": [
    "aten::linalg_matrix_exp(Tensor self) -> Tensor",
    "aten::linalg_matrix_exp.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_matrix_norm": [
    "aten::linalg_matrix_norm(Tensor self, Scalar ord, int[] dim=[-2, -1], bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    "aten::linalg_matrix_norm.out(Tensor self, Scalar ord, int[] dim=[-2, -1], bool keepdim=False, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::linalg_matrix_norm.str_ord(Tensor self, str ord=\"fro\", int[] dim=[-2, -1], bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    "aten::linalg_matrix_norm.str_ord_out(Tensor self, str ord=\"fro\", int[] dim=[-2, -1], bool keepdim=False, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_matrix_power": [
    "aten::linalg_matrix_power(Tensor self, int n) -> Tensor",
    "aten::linalg_matrix_power.out(Tensor self, int n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_matrix_rank": [
    "aten::linalg_matrix_rank(Tensor self, float tol, bool hermitian=False) -> Tensor",
    "aten::linalg_matrix_rank.atol_rtol_float(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False) -> Tensor",
    "aten::linalg_matrix_rank.atol_rtol_float_out(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False, Tensor(a!) out) -> Tensor(a!)",
    "aten::linalg_matrix_rank.atol_rtol_tensor(Tensor input, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False) -> Tensor",
    "aten::linalg_matrix_rank.atol_rtol_tensor_out(Tensor input, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False, Tensor(a!) out) -> Tensor(a!)",
    "aten::linalg_matrix_rank.out(Tensor self, float tol, bool hermitian=False, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::linalg_matrix_rank.out_tol_tensor(Tensor input, Tensor tol, bool hermitian=False, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::linalg_matrix_rank.tol_tensor(Tensor input, Tensor tol, bool hermitian=False) -> Tensor",
  ],
  "linalg_multi_dot": [
    "aten::linalg_multi_dot(Tensor[] tensors) -> Tensor",
    "aten::linalg_multi_dot.out(Tensor[] tensors, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_norm": [
    "aten::linalg_norm(Tensor self, Scalar? ord=None, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    "aten::linalg_norm.ord_str(Tensor self, str ord, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    "aten::linalg_norm.ord_str_out(Tensor self, str ord, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::linalg_norm.out(Tensor self, Scalar? ord=None, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_pinv": [
    "aten::linalg_pinv(Tensor self, float rcond, bool hermitian=False) -> Tensor",
    "aten::linalg_pinv.atol_rtol_float(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False) -> Tensor",
    "aten::linalg_pinv.atol_rtol_float_out(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False, Tensor(a!) out) -> Tensor(a!)",
    "aten::linalg_pinv.atol_rtol_tensor(Tensor self, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False) -> Tensor",
    "aten::linalg_pinv.atol_rtol_tensor_out(Tensor self, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False, Tensor(a!) out) -> Tensor(a!)",
    "aten::linalg_pinv.out(Tensor self, float rcond, bool hermitian=False, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::linalg_pinv.out_rcond_tensor(Tensor self, Tensor rcond, bool hermitian=False, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::linalg_pinv.rcond_tensor(Tensor self, Tensor rcond, bool hermitian=False) -> Tensor",
  ],
  "linalg_qr": [
    "aten::linalg_qr(Tensor A, str mode=\"reduced\") -> (Tensor Q, Tensor R)",
    "aten::linalg_qr.out(Tensor A, str mode=\"reduced\", *, Tensor(a!) Q, Tensor(b!) R) -> (Tensor(a!) Q, Tensor(b!) R)",
  ],
  "linalg_slogdet": [
    "aten::linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet)",
    "aten::linalg_slogdet.out(Tensor A, *, Tensor(a!) sign, Tensor(b!) logabsdet) -> (Tensor(a!) sign, Tensor(b!) logabsdet)",
  ],
  "linalg_solve": [
    "aten::linalg_solve(Tensor A, Tensor B, *, bool left=True) -> Tensor",
    "aten::linalg_solve.out(Tensor A, Tensor B, *, bool left=True, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_solve_ex": [
    "aten::linalg_solve_ex(Tensor A, Tensor B, *, bool left=True, bool check_errors=False) -> (Tensor result, Tensor info)",
    "aten::linalg_solve_ex.out(Tensor A, Tensor B, *, bool left=True, bool check_errors=False, Tensor(a!) result, Tensor(b!) info) -> (Tensor(a!) result, Tensor(b!) info)",
  ],
  "linalg_solve_triangular": [
    "aten::linalg_solve_triangular(Tensor self, Tensor B, *, bool upper, bool left=True, bool unitriangular=False) -> Tensor",
    "aten::linalg_solve_triangular.out(Tensor self, Tensor B, *, bool upper, bool left=True, bool unitriangular=False, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_svd": [
    "aten::linalg_svd(Tensor A, bool full_matrices=True, *, str? driver=None) -> (Tensor U, Tensor S, Tensor Vh)",
    "aten::linalg_svd.U(Tensor A, bool full_matrices=True, *, str? driver=None, Tensor(a!) U, Tensor(b!) S, Tensor(c!) Vh) -> (Tensor(a!) U, Tensor(b!) S, Tensor(c!) Vh)",
  ],
  "linalg_svdvals": [
    "aten::linalg_svdvals(Tensor A, *, str? driver=None) -> Tensor",
    "aten::linalg_svdvals.out(Tensor A, *, str? driver=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_tensorinv": [
    "aten::linalg_tensorinv(Tensor self, int ind=2) -> Tensor",
    "aten::linalg_tensorinv.out(Tensor self, int ind=2, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_tensorsolve": [
    "aten::linalg_tensorsolve(Tensor self, Tensor other, int[]? dims=None) -> Tensor",
    "aten::linalg_tensorsolve.out(Tensor self, Tensor other, int[]? dims=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_vander": [
    "aten::linalg_vander(Tensor x, *, SymInt? N=None) -> Tensor",
  ],
  "linalg_vecdot": [
    "aten::linalg_vecdot(Tensor x, Tensor y, *, int dim=-1) -> Tensor",
    "aten::linalg_vecdot.out(Tensor x, Tensor y, *, int dim=-1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linalg_vector_norm": [
    "aten::linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    "aten::linalg_vector_norm.out(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linear": [
    "aten::linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor",
    "aten::linear.out(Tensor input, Tensor weight, Tensor? bias=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "linear_backward": [
    "aten::linear_backward(Tensor self, Tensor grad_output, Tensor weight, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
    "aten::linear_backward.out(Tensor self, Tensor grad_output, Tensor weight, bool[3] output_mask, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "linspace": [
    "aten::linspace(Scalar start, Scalar end, int steps, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::linspace.Scalar_Tensor(Scalar start, Tensor end, int steps, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::linspace.Scalar_Tensor_out(Scalar start, Tensor end, int steps, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::linspace.Tensor_Scalar(Tensor start, Scalar end, int steps, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::linspace.Tensor_Scalar_out(Tensor start, Scalar end, int steps, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::linspace.Tensor_Tensor(Tensor start, Tensor end, int steps, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::linspace.Tensor_Tensor_out(Tensor start, Tensor end, int steps, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::linspace.out(Scalar start, Scalar end, int steps, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "log": [
    "aten::log(Tensor self) -> Tensor",
    "aten::log.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "log10": [
    "aten::log10(Tensor self) -> Tensor",
    "aten::log10.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "log10_": [
    "aten::log10_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "log1p": [
    "aten::log1p(Tensor self) -> Tensor",
    "aten::log1p.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "log1p_": [
    "aten::log1p_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "log2": [
    "aten::log2(Tensor self) -> Tensor",
    "aten::log2.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "log2_": [
    "aten::log2_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "log_": [
    "aten::log_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "log_normal": [
    "aten::log_normal(Tensor self, float mean=1., float std=2., *, Generator? generator=None) -> Tensor",
    "aten::log_normal.out(Tensor self, float mean=1., float std=2., *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "log_normal_": [
    "aten::log_normal_(Tensor(a!) self, float mean=1., float std=2., *, Generator? generator=None) -> Tensor(a!)",
  ],
  "log_sigmoid": [
    "aten::log_sigmoid(Tensor self) -> Tensor",
    "aten::log_sigmoid.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "log_sigmoid_backward": [
    "aten::log_sigmoid_backward(Tensor grad_output, Tensor self, Tensor buffer) -> Tensor",
    "aten::log_sigmoid_backward.grad_input(Tensor grad_output, Tensor self, Tensor buffer, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "log_sigmoid_forward": [
    "aten::log_sigmoid_forward(Tensor self) -> (Tensor output, Tensor buffer)",
    "aten::log_sigmoid_forward.output(Tensor self, *, Tensor(a!) output, Tensor(b!) buffer) -> (Tensor(a!), Tensor(b!))",
  ],
  "log_softmax": [
    "aten::log_softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor",
    "aten::log_softmax.int_out(Tensor self, int dim, ScalarType? dtype=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "logaddexp": [
    "aten::logaddexp(Tensor self, Tensor other) -> Tensor",
    "aten::logaddexp.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "logaddexp2": [
    "aten::logaddexp2(Tensor self, Tensor other) -> Tensor",
    "aten::logaddexp2.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "logcumsumexp": [
    "aten::logcumsumexp(Tensor self, int dim) -> Tensor",
    "aten::logcumsumexp.out(Tensor self, int dim, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "logdet": [
    "aten::logdet(Tensor self) -> Tensor",
  ],
  "logical_and": [
    "aten::logical_and(Tensor self, Tensor other) -> Tensor",
    "aten::logical_and.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "logical_and_": [
    "aten::logical_and_(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "logical_not": [
    "aten::logical_not(Tensor self) -> Tensor",
    "aten::logical_not.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "logical_not_": [
    "aten::logical_not_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "logical_or": [
    "aten::logical_or(Tensor self, Tensor other) -> Tensor",
    "aten::logical_or.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "logical_or_": [
    "aten::logical_or_(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "logical_xor": [
    "aten::logical_xor(Tensor self, Tensor other) -> Tensor",
    "aten::logical_xor.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "logical_xor_": [
    "aten::logical_xor_(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "logit": [
    "aten::logit(Tensor self, float? eps=None) -> Tensor",
    "aten::logit.out(Tensor self, float? eps=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "logit_": [
    "aten::logit_(Tensor(a!) self, float? eps=None) -> Tensor(a!)",
  ],
  "logit_backward": [
    "aten::logit_backward(Tensor grad_output, Tensor self, float? eps=None) -> Tensor",
    "aten::logit_backward.grad_input(Tensor grad_output, Tensor self, float? eps=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "logspace": [
    "aten::logspace(Scalar start, Scalar end, int steps, float base=10., *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::logspace.Scalar_Tensor(Scalar start, Tensor end, int steps, float base=10., *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::logspace.Scalar_Tensor_out(Scalar start, Tensor end, int steps, float base=10., *, Tensor(a!) out) -> Tensor(a!)",
    "aten::logspace.Tensor_Scalar(Tensor start, Scalar end, int steps, float base=10., *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::logspace.Tensor_Scalar_out(Tensor start, Scalar end, int steps, float base=10., *, Tensor(a!) out) -> Tensor(a!)",
    "aten::logspace.Tensor_Tensor(Tensor start, Tensor end, int steps, float base=10., *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::logspace.Tensor_Tensor_out(Tensor start, Tensor end, int steps, float base=10., *, Tensor(a!) out) -> Tensor(a!)",
    "aten::logspace.out(Scalar start, Scalar end, int steps, float base=10., *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "logsumexp": [
    "aten::logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor",
    "aten::logsumexp.out(Tensor self, int[1] dim, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "lstm": [
    "aten::lstm.data(Tensor data, Tensor batch_sizes, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional) -> (Tensor, Tensor, Tensor)",
    "aten::lstm.input(Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor, Tensor)",
  ],
  "lstm_cell": [
    "aten::lstm_cell(Tensor input, Tensor[] hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> (Tensor, Tensor)",
  ],
  "lstm_mps_backward": [
    "aten::lstm_mps_backward(Tensor? grad_y, Tensor? grad_hy, Tensor? grad_cy, Tensor z_state, Tensor cell_state_fwd, Tensor input, Tensor layersOutputs, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor[], Tensor[])",
    "aten::lstm_mps_backward.out(Tensor? grad_y, Tensor? grad_hy, Tensor? grad_cy, Tensor z_state, Tensor cell_state_fwd, Tensor input, Tensor layersOutputs, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first, *, Tensor(a!) out0, Tensor(b!)[] out1, Tensor(c!)[] out2) -> ()",
  ],
  "lt": [
    "aten::lt.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::lt.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::lt.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::lt.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "lt_": [
    "aten::lt_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::lt_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "lu_solve": [
    "aten::lu_solve(Tensor self, Tensor LU_data, Tensor LU_pivots) -> Tensor",
    "aten::lu_solve.out(Tensor self, Tensor LU_data, Tensor LU_pivots, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "lu_unpack": [
    "aten::lu_unpack(Tensor LU_data, Tensor LU_pivots, bool unpack_data=True, bool unpack_pivots=True) -> (Tensor P, Tensor L, Tensor U)",
    "aten::lu_unpack.out(Tensor LU_data, Tensor LU_pivots, bool unpack_data=True, bool unpack_pivots=True, *, Tensor(a!) P, Tensor(b!) L, Tensor(c!) U) -> (Tensor(a!) P, Tensor(b!) L, Tensor(c!) U)",
  ],
  "mH": [
    "aten::mH(Tensor(a) self) -> Tensor(a)",
  ],
  "mT": [
    "aten::mT(Tensor(a) self) -> Tensor(a)",
  ],
  "margin_ranking_loss": [
    "aten::margin_ranking_loss(Tensor input1, Tensor input2, Tensor target, float margin=0., int reduction=1) -> Tensor",
  ],
  "masked_fill": [
    "aten::masked_fill.Scalar(Tensor self, Tensor mask, Scalar value) -> Tensor",
    "aten::masked_fill.Scalar_out(Tensor self, Tensor mask, Scalar value, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::masked_fill.Tensor(Tensor self, Tensor mask, Tensor value) -> Tensor",
    "aten::masked_fill.Tensor_out(Tensor self, Tensor mask, Tensor value, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "masked_fill_": [
    "aten::masked_fill_.Scalar(Tensor(a!) self, Tensor mask, Scalar value) -> Tensor(a!)",
    "aten::masked_fill_.Tensor(Tensor(a!) self, Tensor mask, Tensor value) -> Tensor(a!)",
  ],
  "masked_scatter": [
    "aten::masked_scatter(Tensor self, Tensor mask, Tensor source) -> Tensor",
    "aten::masked_scatter.out(Tensor self, Tensor mask, Tensor source, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "masked_scatter_": [
    "aten::masked_scatter_(Tensor(a!) self, Tensor mask, Tensor source) -> Tensor(a!)",
  ],
  "masked_scatter_backward": [
    "aten::masked_scatter_backward(Tensor grad_output, Tensor mask, SymInt[] sizes) -> Tensor",
  ],
  "masked_select": [
    "aten::masked_select(Tensor self, Tensor mask) -> Tensor",
    "aten::masked_select.out(Tensor self, Tensor mask, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "masked_select_backward": [
    "aten::masked_select_backward(Tensor grad, Tensor input, Tensor mask) -> Tensor",
  ],
  "matmul": [
    "aten::matmul(Tensor self, Tensor other) -> Tensor",
    "aten::matmul.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "matmul_backward": [
    "aten::matmul_backward(Tensor grad, Tensor self, Tensor other, bool[2] mask) -> (Tensor, Tensor)",
    "aten::matmul_backward.out(Tensor grad, Tensor self, Tensor other, bool[2] mask, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "matrix_H": [
    "aten::matrix_H(Tensor(a) self) -> Tensor(a)",
  ],
  "matrix_exp": [
    "aten::matrix_exp(Tensor self) -> Tensor",
  ],
  "matrix_exp_backward": [
    "aten::matrix_exp_backward(Tensor self, Tensor grad) -> Tensor",
  ],
  "matrix_power": [
    "aten::matrix_power(Tensor self, int n) -> Tensor",
    "aten::matrix_power.out(Tensor self, int n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "max": [
    "aten::max(Tensor self) -> Tensor",
    "aten::max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
    "aten::max.dim_max(Tensor self, int dim, bool keepdim=False, *, Tensor(a!) max, Tensor(b!) max_values) -> (Tensor(a!) values, Tensor(b!) indices)",
    "aten::max.other(Tensor self, Tensor other) -> Tensor",
    "aten::max.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::max.unary_out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "max_pool1d": [
    "aten::max_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], int[1] dilation=[1], bool ceil_mode=False) -> Tensor",
  ],
  "max_pool1d_with_indices": [
    "aten::max_pool1d_with_indices(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], int[1] dilation=[1], bool ceil_mode=False) -> (Tensor, Tensor)",
  ],
  "max_pool2d": [
    "aten::max_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> Tensor",
  ],
  "max_pool2d_backward": [
    "aten::max_pool2d_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> Tensor",
    "aten::max_pool2d_backward.out(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "max_pool2d_with_indices": [
    "aten::max_pool2d_with_indices(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
    "aten::max_pool2d_with_indices.out(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False, *, Tensor(a!) out, Tensor(b!) indices) -> (Tensor(a!), Tensor(b!))",
  ],
  "max_pool2d_with_indices_backward": [
    "aten::max_pool2d_with_indices_backward(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride, int[2] padding, int[2] dilation, bool ceil_mode, Tensor indices) -> Tensor",
    "aten::max_pool2d_with_indices_backward.grad_input(Tensor grad_output, Tensor self, int[2] kernel_size, int[2] stride, int[2] padding, int[2] dilation, bool ceil_mode, Tensor indices, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "max_pool3d": [
    "aten::max_pool3d(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False) -> Tensor",
  ],
  "max_pool3d_with_indices": [
    "aten::max_pool3d_with_indices(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False) -> (Tensor, Tensor)",
    "aten::max_pool3d_with_indices.out(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False, *, Tensor(a!) out, Tensor(b!) indices) -> (Tensor(a!), Tensor(b!))",
  ],
  "max_pool3d_with_indices_backward": [
    "aten::max_pool3d_with_indices_backward(Tensor grad_output, Tensor self, int[3] kernel_size, int[3] stride, int[3] padding, int[3] dilation, bool ceil_mode, Tensor indices) -> Tensor",
    "aten::max_pool3d_with_indices_backward.grad_input(Tensor grad_output, Tensor self, int[3] kernel_size, int[3] stride, int[3] padding, int[3] dilation, bool ceil_mode, Tensor indices, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "max_unpool2d": [
    "aten::max_unpool2d(Tensor self, Tensor indices, SymInt[2] output_size) -> Tensor",
    "aten::max_unpool2d.out(Tensor self, Tensor indices, SymInt[2] output_size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "max_unpool3d": [
    "aten::max_unpool3d(Tensor self, Tensor indices, SymInt[3] output_size, int[3] stride, int[3] padding) -> Tensor",
    "aten::max_unpool3d.out(Tensor self, Tensor indices, SymInt[3] output_size, int[3] stride, int[3] padding, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "maximum": [
    "aten::maximum(Tensor self, Tensor other) -> Tensor",
    "aten::maximum.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mean": [
    "aten::mean(Tensor self, *, ScalarType? dtype=None) -> Tensor",
    "aten::mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    "aten::mean.dtype_out(Tensor self, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::mean.out(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "median": [
    "aten::median(Tensor self) -> Tensor",
    "aten::median.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
    "aten::median.dim_values(Tensor self, int dim, bool keepdim=False, *, Tensor(a!) values, Tensor(b!) indices) -> (Tensor(a!) values, Tensor(b!) indices)",
    "aten::median.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "meshgrid": [
    "aten::meshgrid(Tensor[] tensors) -> Tensor[]",
    "aten::meshgrid.indexing(Tensor[] tensors, *, str indexing) -> Tensor[]",
  ],
  "min": [
    "aten::min(Tensor self) -> Tensor",
    "aten::min.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
    "aten::min.dim_min(Tensor self, int dim, bool keepdim=False, *, Tensor(a!) min, Tensor(b!) min_indices) -> (Tensor(a!) values, Tensor(b!) indices)",
    "aten::min.other(Tensor self, Tensor other) -> Tensor",
    "aten::min.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::min.unary_out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "minimum": [
    "aten::minimum(Tensor self, Tensor other) -> Tensor",
    "aten::minimum.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "miopen_batch_norm": [
    "aten::miopen_batch_norm(Tensor input, Tensor weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float exponential_average_factor, float epsilon) -> (Tensor, Tensor, Tensor)",
    "aten::miopen_batch_norm.out(Tensor input, Tensor weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float exponential_average_factor, float epsilon, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "miopen_batch_norm_backward": [
    "aten::miopen_batch_norm_backward(Tensor input, Tensor grad_output, Tensor weight, Tensor? running_mean, Tensor? running_var, Tensor? save_mean, Tensor? save_var, float epsilon) -> (Tensor, Tensor, Tensor)",
    "aten::miopen_batch_norm_backward.out(Tensor input, Tensor grad_output, Tensor weight, Tensor? running_mean, Tensor? running_var, Tensor? save_mean, Tensor? save_var, float epsilon, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "miopen_convolution": [
    "aten::miopen_convolution(Tensor self, Tensor weight, Tensor? bias, SymInt[] padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool benchmark, bool deterministic) -> Tensor",
    "aten::miopen_convolution.out(Tensor self, Tensor weight, Tensor? bias, SymInt[] padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool benchmark, bool deterministic, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "miopen_convolution_add_relu": [
    "aten::miopen_convolution_add_relu(Tensor self, Tensor weight, Tensor z, Scalar? alpha, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups) -> Tensor",
  ],
  "miopen_convolution_relu": [
    "aten::miopen_convolution_relu(Tensor self, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, SymInt groups) -> Tensor",
  ],
  "miopen_convolution_transpose": [
    "aten::miopen_convolution_transpose(Tensor self, Tensor weight, Tensor? bias, SymInt[] padding, SymInt[] output_padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool benchmark, bool deterministic) -> Tensor",
    "aten::miopen_convolution_transpose.out(Tensor self, Tensor weight, Tensor? bias, SymInt[] padding, SymInt[] output_padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool benchmark, bool deterministic, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "miopen_ctc_loss": [
    "aten::miopen_ctc_loss(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank, bool deterministic, bool zero_infinity) -> (Tensor, Tensor)",
    "aten::miopen_ctc_loss.Tensor(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank, bool deterministic, bool zero_infinity) -> (Tensor, Tensor)",
    "aten::miopen_ctc_loss.out(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank, bool deterministic, bool zero_infinity, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "miopen_depthwise_convolution": [
    "aten::miopen_depthwise_convolution(Tensor self, Tensor weight, Tensor? bias, SymInt[] padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool benchmark, bool deterministic) -> Tensor",
    "aten::miopen_depthwise_convolution.out(Tensor self, Tensor weight, Tensor? bias, SymInt[] padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool benchmark, bool deterministic, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "miopen_rnn": [
    "aten::miopen_rnn(Tensor input, Tensor[] weight, int weight_stride0, Tensor hx, Tensor? cx, int mode, int hidden_size, int num_layers, bool batch_first, float dropout, bool train, bool bidirectional, int[] batch_sizes, Tensor? dropout_state) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "aten::miopen_rnn.out(Tensor input, Tensor[] weight, int weight_stride0, Tensor hx, Tensor? cx, int mode, int hidden_size, int num_layers, bool batch_first, float dropout, bool train, bool bidirectional, int[] batch_sizes, Tensor? dropout_state, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2, Tensor(d!) out3, Tensor(e!) out4) -> (Tensor(a!), Tensor(b!), Tensor(c!), Tensor(d!), Tensor(e!))",
  ],
  "miopen_rnn_backward": [
    "aten::miopen_rnn_backward(Tensor input, Tensor[] weight, int weight_stride0, Tensor weight_buf, Tensor hx, Tensor? cx, Tensor output, Tensor? grad_output, Tensor? grad_hy, Tensor? grad_cy, int mode, int hidden_size, int num_layers, bool batch_first, float dropout, bool train, bool bidirectional, int[] batch_sizes, Tensor? dropout_state, Tensor reserve, bool[4] output_mask) -> (Tensor, Tensor, Tensor, Tensor[])",
    "aten::miopen_rnn_backward.out(Tensor input, Tensor[] weight, int weight_stride0, Tensor weight_buf, Tensor hx, Tensor? cx, Tensor output, Tensor? grad_output, Tensor? grad_hy, Tensor? grad_cy, int mode, int hidden_size, int num_layers, bool batch_first, float dropout, bool train, bool bidirectional, int[] batch_sizes, Tensor? dropout_state, Tensor reserve, bool[4] output_mask, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2, Tensor(d!)[] out3) -> ()",
  ],
  "mish": [
    "aten::mish(Tensor self) -> Tensor",
    "aten::mish.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mish_": [
    "aten::mish_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "mish_backward": [
    "aten::mish_backward(Tensor grad_output, Tensor self) -> Tensor",
  ],
  "mkldnn_adaptive_avg_pool2d": [
    "aten::mkldnn_adaptive_avg_pool2d(Tensor self, int[2] output_size) -> Tensor",
    "aten::mkldnn_adaptive_avg_pool2d.out(Tensor self, int[2] output_size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mkldnn_adaptive_avg_pool2d_backward": [
    "aten::mkldnn_adaptive_avg_pool2d_backward(Tensor grad_output, Tensor self) -> Tensor",
    "aten::mkldnn_adaptive_avg_pool2d_backward.out(Tensor grad_output, Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mkldnn_convolution": [
    "aten::mkldnn_convolution(Tensor self, Tensor weight, Tensor? bias, SymInt[] padding, SymInt[] stride, SymInt[] dilation, SymInt groups) -> Tensor",
    "aten::mkldnn_convolution.out(Tensor self, Tensor weight, Tensor? bias, SymInt[] padding, SymInt[] stride, SymInt[] dilation, SymInt groups, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mkldnn_linear": [
    "aten::mkldnn_linear(Tensor self, Tensor weight, Tensor? bias=None) -> Tensor",
    "aten::mkldnn_linear.out(Tensor self, Tensor weight, Tensor? bias=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mkldnn_linear_backward": [
    "aten::mkldnn_linear_backward(Tensor self, Tensor grad_output, Tensor weight, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
    "aten::mkldnn_linear_backward.out(Tensor self, Tensor grad_output, Tensor weight, bool[3] output_mask, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "mkldnn_linear_backward_input": [
    "aten::mkldnn_linear_backward_input(int[] input_size, Tensor grad_output, Tensor weight) -> Tensor",
    "aten::mkldnn_linear_backward_input.out(int[] input_size, Tensor grad_output, Tensor weight, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mkldnn_linear_backward_weights": [
    "aten::mkldnn_linear_backward_weights(Tensor grad_output, Tensor input, Tensor weight, bool bias_defined) -> (Tensor, Tensor)",
    "aten::mkldnn_linear_backward_weights.out(Tensor grad_output, Tensor input, Tensor weight, bool bias_defined, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "mkldnn_max_pool2d": [
    "aten::mkldnn_max_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> Tensor",
    "aten::mkldnn_max_pool2d.out(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mkldnn_max_pool2d_backward": [
    "aten::mkldnn_max_pool2d_backward(Tensor grad_output, Tensor output, Tensor input, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> Tensor",
    "aten::mkldnn_max_pool2d_backward.out(Tensor grad_output, Tensor output, Tensor input, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mkldnn_max_pool3d": [
    "aten::mkldnn_max_pool3d(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False) -> Tensor",
    "aten::mkldnn_max_pool3d.out(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mkldnn_max_pool3d_backward": [
    "aten::mkldnn_max_pool3d_backward(Tensor grad_output, Tensor output, Tensor input, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False) -> Tensor",
    "aten::mkldnn_max_pool3d_backward.out(Tensor grad_output, Tensor output, Tensor input, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mkldnn_reorder_conv2d_weight": [
    "aten::mkldnn_reorder_conv2d_weight(Tensor self, SymInt[2] padding=[0, 0], SymInt[2] stride=[1, 1], SymInt[2] dilation=[1, 1], SymInt groups=1, SymInt[]? input_size=None) -> Tensor",
    "aten::mkldnn_reorder_conv2d_weight.out(Tensor self, SymInt[2] padding=[0, 0], SymInt[2] stride=[1, 1], SymInt[2] dilation=[1, 1], SymInt groups=1, SymInt[]? input_size=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mkldnn_reorder_conv3d_weight": [
    "aten::mkldnn_reorder_conv3d_weight(Tensor self, SymInt[3] padding=[0, 0, 0], SymInt[3] stride=[1, 1, 1], SymInt[3] dilation=[1, 1, 1], SymInt groups=1, SymInt[]? input_size=None) -> Tensor",
    "aten::mkldnn_reorder_conv3d_weight.out(Tensor self, SymInt[3] padding=[0, 0, 0], SymInt[3] stride=[1, 1, 1], SymInt[3] dilation=[1, 1, 1], SymInt groups=1, SymInt[]? input_size=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mkldnn_rnn_layer": [
    "aten::mkldnn_rnn_layer(Tensor input, Tensor weight0, Tensor weight1, Tensor weight2, Tensor weight3, Tensor hx_, Tensor cx_, bool reverse, int[] batch_sizes, int mode, int hidden_size, int num_layers, bool has_biases, bool bidirectional, bool batch_first, bool train) -> (Tensor, Tensor, Tensor, Tensor)",
    "aten::mkldnn_rnn_layer.out(Tensor input, Tensor weight0, Tensor weight1, Tensor weight2, Tensor weight3, Tensor hx_, Tensor cx_, bool reverse, int[] batch_sizes, int mode, int hidden_size, int num_layers, bool has_biases, bool bidirectional, bool batch_first, bool train, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2, Tensor(d!) out3) -> (Tensor(a!), Tensor(b!), Tensor(c!), Tensor(d!))",
  ],
  "mkldnn_rnn_layer_backward": [
    "aten::mkldnn_rnn_layer_backward(Tensor input, Tensor weight1, Tensor weight2, Tensor weight3, Tensor weight4, Tensor hx_, Tensor cx_tmp, Tensor output, Tensor hy_, Tensor cy_, Tensor? grad_output, Tensor? grad_hy, Tensor? grad_cy, bool reverse, int mode, int hidden_size, int num_layers, bool has_biases, bool train, bool bidirectional, int[] batch_sizes, bool batch_first, Tensor workspace) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    "aten::mkldnn_rnn_layer_backward.out(Tensor input, Tensor weight1, Tensor weight2, Tensor weight3, Tensor weight4, Tensor hx_, Tensor cx_tmp, Tensor output, Tensor hy_, Tensor cy_, Tensor? grad_output, Tensor? grad_hy, Tensor? grad_cy, bool reverse, int mode, int hidden_size, int num_layers, bool has_biases, bool train, bool bidirectional, int[] batch_sizes, bool batch_first, Tensor workspace, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2, Tensor(d!) out3, Tensor(e!) out4, Tensor(f!) out5, Tensor(g!) out6) -> (Tensor(a!), Tensor(b!), Tensor(c!), Tensor(d!), Tensor(e!), Tensor(f!), Tensor(g!))",
  ],
  "mm": [
    "aten::mm(Tensor self, Tensor mat2) -> Tensor",
    "aten::mm.dtype(Tensor self, Tensor mat2, ScalarType out_dtype) -> Tensor",
    "aten::mm.dtype_out(Tensor self, Tensor mat2, ScalarType out_dtype, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::mm.out(Tensor self, Tensor mat2, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mode": [
    "aten::mode(Tensor self, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)",
    "aten::mode.values(Tensor self, int dim=-1, bool keepdim=False, *, Tensor(a!) values, Tensor(b!) indices) -> (Tensor(a!) values, Tensor(b!) indices)",
  ],
  "moveaxis": [
    "aten::moveaxis.int(Tensor(a) self, int source, int destination) -> Tensor(a)",
    "aten::moveaxis.intlist(Tensor(a) self, int[] source, int[] destination) -> Tensor(a)",
  ],
  "movedim": [
    "aten::movedim.int(Tensor(a) self, int source, int destination) -> Tensor(a)",
    "aten::movedim.intlist(Tensor(a) self, int[] source, int[] destination) -> Tensor(a)",
  ],
  "mps_convolution_backward": [
    "aten::mps_convolution_backward(Tensor self, Tensor grad_output, Tensor weight, SymInt[] padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
    "aten::mps_convolution_backward.out(Tensor self, Tensor grad_output, Tensor weight, SymInt[] padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool[3] output_mask, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "mps_convolution_transpose_backward": [
    "aten::mps_convolution_transpose_backward(Tensor self, Tensor grad_output, Tensor weight, SymInt[] padding, SymInt[] output_padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool[2] output_mask) -> (Tensor, Tensor)",
    "aten::mps_convolution_transpose_backward.out(Tensor self, Tensor grad_output, Tensor weight, SymInt[] padding, SymInt[] output_padding, SymInt[] stride, SymInt[] dilation, SymInt groups, bool[2] output_mask, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "mse_loss": [
    "aten::mse_loss(Tensor self, Tensor target, int reduction=1) -> Tensor",
    "aten::mse_loss.out(Tensor self, Tensor target, int reduction=1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mse_loss_backward": [
    "aten::mse_loss_backward(Tensor grad_output, Tensor self, Tensor target, int reduction) -> Tensor",
    "aten::mse_loss_backward.grad_input(Tensor grad_output, Tensor self, Tensor target, int reduction, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "msort": [
    "aten::msort(Tensor self) -> Tensor",
    "aten::msort.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mul": [
    "aten::mul.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::mul.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::mul.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::mul.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mul_": [
    "aten::mul_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::mul_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "multi_margin_loss": [
    "aten::multi_margin_loss(Tensor self, Tensor target, Scalar p=1, Scalar margin=1, Tensor? weight=None, int reduction=1) -> Tensor",
    "aten::multi_margin_loss.out(Tensor self, Tensor target, Scalar p=1, Scalar margin=1, Tensor? weight=None, int reduction=1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "multi_margin_loss_backward": [
    "aten::multi_margin_loss_backward(Tensor grad_output, Tensor self, Tensor target, Scalar p, Scalar margin, Tensor? weight=None, int reduction=1) -> Tensor",
    "aten::multi_margin_loss_backward.grad_input(Tensor grad_output, Tensor self, Tensor target, Scalar p, Scalar margin, Tensor? weight=None, int reduction=1, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "multilabel_margin_loss": [
    "aten::multilabel_margin_loss(Tensor self, Tensor target, int reduction=1) -> Tensor",
    "aten::multilabel_margin_loss.out(Tensor self, Tensor target, int reduction=1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "multilabel_margin_loss_backward": [
    "aten::multilabel_margin_loss_backward(Tensor grad_output, Tensor self, Tensor target, int reduction, Tensor is_target) -> Tensor",
    "aten::multilabel_margin_loss_backward.grad_input(Tensor grad_output, Tensor self, Tensor target, int reduction, Tensor is_target, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "multilabel_margin_loss_forward": [
    "aten::multilabel_margin_loss_forward(Tensor self, Tensor target, int reduction) -> (Tensor output, Tensor is_target)",
    "aten::multilabel_margin_loss_forward.output(Tensor self, Tensor target, int reduction, *, Tensor(a!) output, Tensor(b!) is_target) -> (Tensor(a!), Tensor(b!))",
  ],
  "multinomial": [
    "aten::multinomial(Tensor self, SymInt num_samples, bool replacement=False, *, Generator? generator=None) -> Tensor",
    "aten::multinomial.out(Tensor self, SymInt num_samples, bool replacement=False, *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "multiply": [
    "aten::multiply.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::multiply.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::multiply.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "multiply_": [
    "aten::multiply_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::multiply_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "mv": [
    "aten::mv(Tensor self, Tensor vec) -> Tensor",
    "aten::mv.out(Tensor self, Tensor vec, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mvlgamma": [
    "aten::mvlgamma(Tensor self, int p) -> Tensor",
    "aten::mvlgamma.out(Tensor self, int p, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "mvlgamma_": [
    "aten::mvlgamma_(Tensor(a!) self, int p) -> Tensor(a!)",
  ],
  "nan_to_num": [
    "aten::nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor",
    "aten::nan_to_num.out(Tensor self, float? nan=None, float? posinf=None, float? neginf=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "nan_to_num_": [
    "aten::nan_to_num_(Tensor(a!) self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor(a!)",
  ],
  "nanmean": [
    "aten::nanmean(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    "aten::nanmean.out(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "nanmedian": [
    "aten::nanmedian(Tensor self) -> Tensor",
    "aten::nanmedian.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)",
    "aten::nanmedian.dim_values(Tensor self, int dim, bool keepdim=False, *, Tensor(a!) values, Tensor(b!) indices) -> (Tensor(a!) values, Tensor(b!) indices)",
    "aten::nanmedian.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "nanquantile": [
    "aten::nanquantile(Tensor self, Tensor q, int? dim=None, bool keepdim=False, *, str interpolation=\"linear\") -> Tensor",
    "aten::nanquantile.out(Tensor self, Tensor q, int? dim=None, bool keepdim=False, *, str interpolation=\"linear\", Tensor(a!) out) -> Tensor(a!)",
    "aten::nanquantile.scalar(Tensor self, float q, int? dim=None, bool keepdim=False, *, str interpolation=\"linear\") -> Tensor",
    "aten::nanquantile.scalar_out(Tensor self, float q, int? dim=None, bool keepdim=False, *, str interpolation=\"linear\", Tensor(a!) out) -> Tensor(a!)",
  ],
  "nansum": [
    "aten::nansum(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    "aten::nansum.out(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "narrow": [
    "aten::narrow(Tensor(a) self, int dim, SymInt start, SymInt length) -> Tensor(a)",
    "aten::narrow.Tensor(Tensor(a) self, int dim, Tensor start, SymInt length) -> Tensor(a)",
  ],
  "narrow_copy": [
    "aten::narrow_copy(Tensor self, int dim, SymInt start, SymInt length) -> Tensor",
    "aten::narrow_copy.out(Tensor self, int dim, SymInt start, SymInt length, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "native_batch_norm": [
    "aten::native_batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps) -> (Tensor, Tensor, Tensor)",
    "aten::native_batch_norm.out(Tensor input, Tensor? weight, Tensor? bias, Tensor? running_mean, Tensor? running_var, bool training, float momentum, float eps, *, Tensor(a!) out, Tensor(b!) save_mean, Tensor(c!) save_invstd) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "native_batch_norm_backward": [
    "aten::native_batch_norm_backward(Tensor grad_out, Tensor input, Tensor? weight, Tensor? running_mean, Tensor? running_var, Tensor? save_mean, Tensor? save_invstd, bool train, float eps, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
    "aten::native_batch_norm_backward.out(Tensor grad_out, Tensor input, Tensor? weight, Tensor? running_mean, Tensor? running_var, Tensor? save_mean, Tensor? save_invstd, bool train, float eps, bool[3] output_mask, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "native_channel_shuffle": [
    "aten::native_channel_shuffle(Tensor self, SymInt groups) -> Tensor",
  ],
  "native_dropout": [
    "aten::native_dropout(Tensor input, float p, bool? train) -> (Tensor, Tensor)",
    "aten::native_dropout.out(Tensor input, float p, bool? train, *, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
  ],
  "native_dropout_backward": [
    "aten::native_dropout_backward(Tensor grad_output, Tensor mask, float scale) -> Tensor",
    "aten::native_dropout_backward.out(Tensor grad_output, Tensor mask, float scale, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "native_group_norm": [
    "aten::native_group_norm(Tensor input, Tensor? weight, Tensor? bias, SymInt N, SymInt C, SymInt HxW, int group, float eps) -> (Tensor, Tensor, Tensor)",
    "aten::native_group_norm.out(Tensor input, Tensor? weight, Tensor? bias, SymInt N, SymInt C, SymInt HxW, int group, float eps, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "native_group_norm_backward": [
    "aten::native_group_norm_backward(Tensor grad_out, Tensor input, Tensor mean, Tensor rstd, Tensor? weight, SymInt N, SymInt C, SymInt HxW, int group, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
    "aten::native_group_norm_backward.out(Tensor grad_out, Tensor input, Tensor mean, Tensor rstd, Tensor? weight, SymInt N, SymInt C, SymInt HxW, int group, bool[3] output_mask, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "native_layer_norm": [
    "aten::native_layer_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight, Tensor? bias, float eps) -> (Tensor, Tensor, Tensor)",
    "aten::native_layer_norm.out(Tensor input, SymInt[] normalized_shape, Tensor? weight, Tensor? bias, float eps, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "native_layer_norm_backward": [
    "aten::native_layer_norm_backward(Tensor grad_out, Tensor input, SymInt[] normalized_shape, Tensor mean, Tensor rstd, Tensor? weight, Tensor? bias, bool[3] output_mask) -> (Tensor, Tensor, Tensor)",
    "aten::native_layer_norm_backward.out(Tensor grad_out, Tensor input, SymInt[] normalized_shape, Tensor mean, Tensor rstd, Tensor? weight, Tensor? bias, bool[3] output_mask, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "native_norm": [
    "aten::native_norm(Tensor self, Scalar p=2) -> Tensor",
    "aten::native_norm.ScalarOpt_dim_dtype(Tensor self, Scalar? p, int[1] dim, bool keepdim, ScalarType? dtype) -> Tensor",
    "aten::native_norm.ScalarOpt_dim_dtype_out(Tensor self, Scalar? p, int[1] dim, bool keepdim, ScalarType? dtype, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::native_norm.out(Tensor self, Scalar p=2, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "ne": [
    "aten::ne.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::ne.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::ne.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::ne.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "ne_": [
    "aten::ne_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::ne_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "neg": [
    "aten::neg(Tensor self) -> Tensor",
    "aten::neg.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "neg_": [
    "aten::neg_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "negative": [
    "aten::negative(Tensor self) -> Tensor",
    "aten::negative.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "negative_": [
    "aten::negative_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "nested_to_padded_tensor": [
    "aten::nested_to_padded_tensor(Tensor self, float padding, int[]? output_size=None) -> Tensor",
  ],
  "new_empty": [
    "aten::new_empty(Tensor self, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::new_empty.out(Tensor self, SymInt[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "new_empty_strided": [
    "aten::new_empty_strided(Tensor self, SymInt[] size, SymInt[] stride, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::new_empty_strided.out(Tensor self, SymInt[] size, SymInt[] stride, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "new_full": [
    "aten::new_full(Tensor self, SymInt[] size, Scalar fill_value, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::new_full.out(Tensor self, SymInt[] size, Scalar fill_value, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "new_ones": [
    "aten::new_ones(Tensor self, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::new_ones.out(Tensor self, SymInt[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "new_zeros": [
    "aten::new_zeros(Tensor self, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::new_zeros.out(Tensor self, SymInt[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "nextafter": [
    "aten::nextafter(Tensor self, Tensor other) -> Tensor",
    "aten::nextafter.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "nextafter_": [
    "aten::nextafter_(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "nll_loss": [
    "aten::nll_loss(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100) -> Tensor",
    "aten::nll_loss.out(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "nll_loss2d": [
    "aten::nll_loss2d(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100) -> Tensor",
    "aten::nll_loss2d.out(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "nll_loss2d_backward": [
    "aten::nll_loss2d_backward(Tensor grad_output, Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index, Tensor total_weight) -> Tensor",
    "aten::nll_loss2d_backward.grad_input(Tensor grad_output, Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index, Tensor total_weight, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "nll_loss2d_forward": [
    "aten::nll_loss2d_forward(Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index) -> (Tensor output, Tensor total_weight)",
    "aten::nll_loss2d_forward.output(Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index, *, Tensor(a!) output, Tensor(b!) total_weight) -> (Tensor(a!), Tensor(b!))",
  ],
  "nll_loss_backward": [
    "aten::nll_loss_backward(Tensor grad_output, Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index, Tensor total_weight) -> Tensor",
    "aten::nll_loss_backward.grad_input(Tensor grad_output, Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index, Tensor total_weight, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "nll_loss_forward": [
    "aten::nll_loss_forward(Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index) -> (Tensor output, Tensor total_weight)",
    "aten::nll_loss_forward.output(Tensor self, Tensor target, Tensor? weight, int reduction, SymInt ignore_index, *, Tensor(a!) output, Tensor(b!) total_weight) -> (Tensor(a!), Tensor(b!))",
  ],
  "nll_loss_nd": [
    "aten::nll_loss_nd(Tensor self, Tensor target, Tensor? weight=None, int reduction=1, SymInt ignore_index=-100) -> Tensor",
  ],
  "nonzero": [
    "aten::nonzero(Tensor self) -> Tensor",
    "aten::nonzero.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "nonzero_numpy": [
    "aten::nonzero_numpy(Tensor self) -> Tensor[]",
  ],
  "nonzero_static": [
    "aten::nonzero_static(Tensor self, *, SymInt size, int fill_value=-1) -> Tensor",
    "aten::nonzero_static.out(Tensor self, *, SymInt size, int fill_value=-1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "norm": [
    "aten::norm.Scalar(Tensor self, Scalar p=2) -> Tensor",
    "aten::norm.ScalarOpt_dim(Tensor self, Scalar? p, int[1] dim, bool keepdim=False) -> Tensor",
    "aten::norm.ScalarOpt_dim_dtype(Tensor self, Scalar? p, int[1] dim, bool keepdim, *, ScalarType dtype) -> Tensor",
    "aten::norm.ScalarOpt_dtype(Tensor self, Scalar? p, *, ScalarType dtype) -> Tensor",
    "aten::norm.ScalarOpt_dtype_out(Tensor self, Scalar? p, *, ScalarType dtype, Tensor(a!) out) -> Tensor(a!)",
    "aten::norm.Scalar_out(Tensor self, Scalar p=2, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::norm.dtype_out(Tensor self, Scalar? p, int[1] dim, bool keepdim, *, ScalarType dtype, Tensor(a!) out) -> Tensor(a!)",
    "aten::norm.out(Tensor self, Scalar? p, int[1] dim, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "norm_except_dim": [
    "aten::norm_except_dim(Tensor v, int pow=2, int dim=0) -> Tensor",
  ],
  "normal": [
    "aten::normal.Tensor_Tensor(Tensor mean, Tensor std, *, Generator? generator=None) -> Tensor",
    "aten::normal.Tensor_Tensor_out(Tensor mean, Tensor std, *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::normal.Tensor_float(Tensor mean, float std=1., *, Generator? generator=None) -> Tensor",
    "aten::normal.Tensor_float_out(Tensor mean, float std=1., *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::normal.float_Tensor(float mean, Tensor std, *, Generator? generator=None) -> Tensor",
    "aten::normal.float_Tensor_out(float mean, Tensor std, *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::normal.float_float(float mean, float std, SymInt[] size, *, Generator? generator=None, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::normal.float_float_out(float mean, float std, SymInt[] size, *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::normal.out(Tensor self, float mean=0., float std=1., *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "normal_": [
    "aten::normal_(Tensor(a!) self, float mean=0., float std=1., *, Generator? generator=None) -> Tensor(a!)",
  ],
  "normal_functional": [
    "aten::normal_functional(Tensor self, float mean=0., float std=1., *, Generator? generator=None) -> Tensor",
  ],
  "not_equal": [
    "aten::not_equal.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::not_equal.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::not_equal.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::not_equal.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "not_equal_": [
    "aten::not_equal_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::not_equal_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "nuclear_norm": [
    "aten::nuclear_norm(Tensor self, bool keepdim=False) -> Tensor",
    "aten::nuclear_norm.dim(Tensor self, int[2] dim, bool keepdim=False) -> Tensor",
    "aten::nuclear_norm.dim_out(Tensor self, int[2] dim, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::nuclear_norm.out(Tensor self, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "numel": [
    "aten::numel(Tensor self) -> int",
  ],
  "numpy_T": [
    "aten::numpy_T(Tensor(a) self) -> Tensor(a)",
  ],
  "one_hot": [
    "aten::one_hot(Tensor self, int num_classes=-1) -> Tensor",
  ],
  "ones": [
    "aten::ones(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::ones.out(SymInt[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "ones_like": [
    "aten::ones_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::ones_like.out(Tensor self, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "orgqr": [
    "aten::orgqr(Tensor self, Tensor input2) -> Tensor",
    "aten::orgqr.out(Tensor self, Tensor input2, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "ormqr": [
    "aten::ormqr(Tensor self, Tensor input2, Tensor input3, bool left=True, bool transpose=False) -> Tensor",
    "aten::ormqr.out(Tensor self, Tensor input2, Tensor input3, bool left=True, bool transpose=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "outer": [
    "aten::outer(Tensor self, Tensor vec2) -> Tensor",
    "aten::outer.out(Tensor self, Tensor vec2, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "output_nr": [
    "aten::output_nr(Tensor self) -> int",
  ],
  "pad": [
    "aten::pad(Tensor self, SymInt[] pad, str mode=\"constant\", float? value=None) -> Tensor",
  ],
  "pad_sequence": [
    "aten::pad_sequence(Tensor[] sequences, bool batch_first=False, float padding_value=0., str padding_side=\"right\") -> Tensor",
  ],
  "pairwise_distance": [
    "aten::pairwise_distance(Tensor x1, Tensor x2, float p=2., float eps=9.9999999999999995e-07, bool keepdim=False) -> Tensor",
  ],
  "pdist": [
    "aten::pdist(Tensor self, float p=2.) -> Tensor",
  ],
  "permute": [
    "aten::permute(Tensor(a) self, int[] dims) -> Tensor(a)",
  ],
  "permute_copy": [
    "aten::permute_copy(Tensor self, int[] dims) -> Tensor",
    "aten::permute_copy.out(Tensor self, int[] dims, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "pin_memory": [
    "aten::pin_memory(Tensor(a) self, Device? device=None) -> Tensor(a)",
  ],
  "pinverse": [
    "aten::pinverse(Tensor self, float rcond=1.0000000000000001e-15) -> Tensor",
  ],
  "pixel_shuffle": [
    "aten::pixel_shuffle(Tensor self, int upscale_factor) -> Tensor",
    "aten::pixel_shuffle.out(Tensor self, int upscale_factor, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "pixel_unshuffle": [
    "aten::pixel_unshuffle(Tensor self, int downscale_factor) -> Tensor",
    "aten::pixel_unshuffle.out(Tensor self, int downscale_factor, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "poisson": [
    "aten::poisson(Tensor self, Generator? generator=None) -> Tensor",
    "aten::poisson.out(Tensor self, Generator? generator=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "poisson_nll_loss": [
    "aten::poisson_nll_loss(Tensor input, Tensor target, bool log_input, bool full, float eps, int reduction) -> Tensor",
  ],
  "polar": [
    "aten::polar(Tensor abs, Tensor angle) -> Tensor",
    "aten::polar.out(Tensor abs, Tensor angle, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "polygamma": [
    "aten::polygamma(int n, Tensor self) -> Tensor",
    "aten::polygamma.out(int n, Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "polygamma_": [
    "aten::polygamma_(Tensor(a!) self, int n) -> Tensor(a!)",
  ],
  "positive": [
    "aten::positive(Tensor(a) self) -> Tensor(a)",
  ],
  "pow": [
    "aten::pow.Scalar(Scalar self, Tensor exponent) -> Tensor",
    "aten::pow.Scalar_out(Scalar self, Tensor exponent, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::pow.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor",
    "aten::pow.Tensor_Scalar_out(Tensor self, Scalar exponent, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::pow.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor",
    "aten::pow.Tensor_Tensor_out(Tensor self, Tensor exponent, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "pow_": [
    "aten::pow_.Scalar(Tensor(a!) self, Scalar exponent) -> Tensor(a!)",
    "aten::pow_.Tensor(Tensor(a!) self, Tensor exponent) -> Tensor(a!)",
  ],
  "prelu": [
    "aten::prelu(Tensor self, Tensor weight) -> Tensor",
  ],
  "prod": [
    "aten::prod(Tensor self, *, ScalarType? dtype=None) -> Tensor",
    "aten::prod.dim_int(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    "aten::prod.int_out(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::prod.out(Tensor self, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "promote_types": [
    "aten::promote_types(ScalarType type1, ScalarType type2) -> ScalarType",
  ],
  "put": [
    "aten::put(Tensor self, Tensor index, Tensor source, bool accumulate=False) -> Tensor",
    "aten::put.out(Tensor self, Tensor index, Tensor source, bool accumulate=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "put_": [
    "aten::put_(Tensor(a!) self, Tensor index, Tensor source, bool accumulate=False) -> Tensor(a!)",
  ],
  "q_per_channel_axis": [
    "aten::q_per_channel_axis(Tensor self) -> int",
  ],
  "q_per_channel_scales": [
    "aten::q_per_channel_scales(Tensor self) -> Tensor",
    "aten::q_per_channel_scales.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "q_per_channel_zero_points": [
    "aten::q_per_channel_zero_points(Tensor self) -> Tensor",
    "aten::q_per_channel_zero_points.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "q_scale": [
    "aten::q_scale(Tensor self) -> float",
  ],
  "q_zero_point": [
    "aten::q_zero_point(Tensor self) -> int",
  ],
  "qr": [
    "aten::qr(Tensor self, bool some=True) -> (Tensor Q, Tensor R)",
    "aten::qr.Q(Tensor self, bool some=True, *, Tensor(a!) Q, Tensor(b!) R) -> (Tensor(a!) Q, Tensor(b!) R)",
  ],
  "quantile": [
    "aten::quantile(Tensor self, Tensor q, int? dim=None, bool keepdim=False, *, str interpolation=\"linear\") -> Tensor",
    "aten::quantile.out(Tensor self, Tensor q, int? dim=None, bool keepdim=False, *, str interpolation=\"linear\", Tensor(a!) out) -> Tensor(a!)",
    "aten::quantile.scalar(Tensor self, float q, int? dim=None, bool keepdim=False, *, str interpolation=\"linear\") -> Tensor",
    "aten::quantile.scalar_out(Tensor self, float q, int? dim=None, bool keepdim=False, *, str interpolation=\"linear\", Tensor(a!) out) -> Tensor(a!)",
  ],
  "quantize_per_channel": [
    "aten::quantize_per_channel(Tensor self, Tensor scales, Tensor zero_points, int axis, ScalarType dtype) -> Tensor",
    "aten::quantize_per_channel.out(Tensor self, Tensor scales, Tensor zero_points, int axis, ScalarType dtype, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "quantize_per_tensor": [
    "aten::quantize_per_tensor(Tensor self, float scale, int zero_point, ScalarType dtype) -> Tensor",
    "aten::quantize_per_tensor.out(Tensor self, float scale, int zero_point, ScalarType dtype, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::quantize_per_tensor.tensor_qparams(Tensor self, Tensor scale, Tensor zero_point, ScalarType dtype) -> Tensor",
    "aten::quantize_per_tensor.tensor_qparams_out(Tensor self, Tensor scale, Tensor zero_point, ScalarType dtype, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::quantize_per_tensor.tensors(Tensor[] tensors, Tensor scales, Tensor zero_points, ScalarType dtype) -> Tensor[]",
    "aten::quantize_per_tensor.tensors_out(Tensor[] tensors, Tensor scales, Tensor zero_points, ScalarType dtype, *, Tensor(a!)[] out) -> ()",
  ],
  "quantize_per_tensor_dynamic": [
    "aten::quantize_per_tensor_dynamic(Tensor self, ScalarType dtype, bool reduce_range) -> Tensor",
    "aten::quantize_per_tensor_dynamic.out(Tensor self, ScalarType dtype, bool reduce_range, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "quantized_batch_norm": [
    "aten::quantized_batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor mean, Tensor var, float eps, float output_scale, int output_zero_point) -> Tensor",
    "aten::quantized_batch_norm.out(Tensor input, Tensor? weight, Tensor? bias, Tensor mean, Tensor var, float eps, float output_scale, int output_zero_point, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "quantized_gru": [
    "aten::quantized_gru.data_legacy(Tensor data, Tensor batch_sizes, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional) -> (Tensor, Tensor)",
    "aten::quantized_gru.input_legacy(Tensor input, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)",
  ],
  "quantized_gru_cell": [
    "aten::quantized_gru_cell(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor b_ih, Tensor b_hh, Tensor packed_ih, Tensor packed_hh, Tensor col_offsets_ih, Tensor col_offsets_hh, Scalar scale_ih, Scalar scale_hh, Scalar zero_point_ih, Scalar zero_point_hh) -> Tensor",
  ],
  "quantized_lstm": [
    "aten::quantized_lstm.data_legacy(Tensor data, Tensor batch_sizes, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, *, ScalarType? dtype=None, bool use_dynamic=False) -> (Tensor, Tensor, Tensor)",
    "aten::quantized_lstm.input_legacy(Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first, *, ScalarType? dtype=None, bool use_dynamic=False) -> (Tensor, Tensor, Tensor)",
  ],
  "quantized_lstm_cell": [
    "aten::quantized_lstm_cell(Tensor input, Tensor[] hx, Tensor w_ih, Tensor w_hh, Tensor b_ih, Tensor b_hh, Tensor packed_ih, Tensor packed_hh, Tensor col_offsets_ih, Tensor col_offsets_hh, Scalar scale_ih, Scalar scale_hh, Scalar zero_point_ih, Scalar zero_point_hh) -> (Tensor, Tensor)",
  ],
  "quantized_max_pool1d": [
    "aten::quantized_max_pool1d(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], int[1] dilation=[1], bool ceil_mode=False) -> Tensor",
    "aten::quantized_max_pool1d.out(Tensor self, int[1] kernel_size, int[1] stride=[], int[1] padding=[0], int[1] dilation=[1], bool ceil_mode=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "quantized_max_pool2d": [
    "aten::quantized_max_pool2d(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False) -> Tensor",
    "aten::quantized_max_pool2d.out(Tensor self, int[2] kernel_size, int[2] stride=[], int[2] padding=0, int[2] dilation=1, bool ceil_mode=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "quantized_max_pool3d": [
    "aten::quantized_max_pool3d(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False) -> Tensor",
    "aten::quantized_max_pool3d.out(Tensor self, int[3] kernel_size, int[3] stride=[], int[3] padding=0, int[3] dilation=1, bool ceil_mode=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "quantized_rnn_relu_cell": [
    "aten::quantized_rnn_relu_cell(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor b_ih, Tensor b_hh, Tensor packed_ih, Tensor packed_hh, Tensor col_offsets_ih, Tensor col_offsets_hh, Scalar scale_ih, Scalar scale_hh, Scalar zero_point_ih, Scalar zero_point_hh) -> Tensor",
  ],
  "quantized_rnn_tanh_cell": [
    "aten::quantized_rnn_tanh_cell(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor b_ih, Tensor b_hh, Tensor packed_ih, Tensor packed_hh, Tensor col_offsets_ih, Tensor col_offsets_hh, Scalar scale_ih, Scalar scale_hh, Scalar zero_point_ih, Scalar zero_point_hh) -> Tensor",
  ],
  "rad2deg": [
    "aten::rad2deg(Tensor self) -> Tensor",
    "aten::rad2deg.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "rad2deg_": [
    "aten::rad2deg_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "rand": [
    "aten::rand(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::rand.generator(SymInt[] size, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::rand.generator_out(SymInt[] size, *, Generator? generator, Tensor(a!) out) -> Tensor(a!)",
    "aten::rand.out(SymInt[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "rand_like": [
    "aten::rand_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::rand_like.generator(Tensor self, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::rand_like.generator_out(Tensor self, *, Generator? generator, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::rand_like.out(Tensor self, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "randint": [
    "aten::randint(SymInt high, SymInt[] size, *, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::randint.generator(SymInt high, SymInt[] size, *, Generator? generator, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::randint.generator_out(SymInt high, SymInt[] size, *, Generator? generator, Tensor(a!) out) -> Tensor(a!)",
    "aten::randint.low(SymInt low, SymInt high, SymInt[] size, *, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::randint.low_generator(SymInt low, SymInt high, SymInt[] size, *, Generator? generator, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::randint.low_generator_out(SymInt low, SymInt high, SymInt[] size, *, Generator? generator, Tensor(a!) out) -> Tensor(a!)",
    "aten::randint.low_out(SymInt low, SymInt high, SymInt[] size, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::randint.out(SymInt high, SymInt[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "randint_like": [
    "aten::randint_like(Tensor self, SymInt high, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::randint_like.Tensor(Tensor self, Tensor high, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::randint_like.Tensor_generator(Tensor self, Tensor high, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::randint_like.Tensor_generator_out(Tensor self, Tensor high, *, Generator? generator, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::randint_like.Tensor_out(Tensor self, Tensor high, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::randint_like.generator(Tensor self, SymInt high, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::randint_like.generator_out(Tensor self, SymInt high, *, Generator? generator, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::randint_like.low_dtype(Tensor self, SymInt low, SymInt high, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::randint_like.low_dtype_out(Tensor self, SymInt low, SymInt high, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::randint_like.low_generator_dtype(Tensor self, SymInt low, SymInt high, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::randint_like.low_generator_dtype_out(Tensor self, SymInt low, SymInt high, *, Generator? generator, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::randint_like.out(Tensor self, SymInt high, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "randn": [
    "aten::randn(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::randn.generator(SymInt[] size, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::randn.generator_out(SymInt[] size, *, Generator? generator, Tensor(a!) out) -> Tensor(a!)",
    "aten::randn.out(SymInt[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "randn_like": [
    "aten::randn_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::randn_like.generator(Tensor self, *, Generator? generator, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::randn_like.generator_out(Tensor self, *, Generator? generator, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::randn_like.out(Tensor self, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "random": [
    "aten::random(Tensor self, *, Generator? generator=None) -> Tensor",
    "aten::random.from(Tensor self, int from, int? to, *, Generator? generator=None) -> Tensor",
    "aten::random.from_out(Tensor self, int from, int? to, *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::random.out(Tensor self, *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::random.to(Tensor self, int to, *, Generator? generator=None) -> Tensor",
    "aten::random.to_out(Tensor self, int to, *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "random_": [
    "aten::random_(Tensor(a!) self, *, Generator? generator=None) -> Tensor(a!)",
    "aten::random_.from(Tensor(a!) self, int from, int? to, *, Generator? generator=None) -> Tensor(a!)",
    "aten::random_.to(Tensor(a!) self, int to, *, Generator? generator=None) -> Tensor(a!)",
  ],
  "randperm": [
    "aten::randperm(SymInt n, *, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::randperm.generator(SymInt n, *, Generator? generator, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::randperm.generator_out(SymInt n, *, Generator? generator, Tensor(a!) out) -> Tensor(a!)",
    "aten::randperm.out(SymInt n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "range": [
    "aten::range(Scalar start, Scalar end, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::range.out(Scalar start, Scalar end, Scalar step=1, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::range.out_(Scalar start, Scalar end, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::range.step(Scalar start, Scalar end, Scalar step=1, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
  ],
  "ravel": [
    "aten::ravel(Tensor(a) self) -> Tensor(a)",
  ],
  "real": [
    "aten::real(Tensor(a) self) -> Tensor(a)",
  ],
  "reciprocal": [
    "aten::reciprocal(Tensor self) -> Tensor",
    "aten::reciprocal.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "reciprocal_": [
    "aten::reciprocal_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "reflection_pad1d": [
    "aten::reflection_pad1d(Tensor self, SymInt[2] padding) -> Tensor",
    "aten::reflection_pad1d.out(Tensor self, SymInt[2] padding, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "reflection_pad1d_backward": [
    "aten::reflection_pad1d_backward(Tensor grad_output, Tensor self, SymInt[2] padding) -> Tensor",
    "aten::reflection_pad1d_backward.grad_input(Tensor grad_output, Tensor self, SymInt[2] padding, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "reflection_pad2d": [
    "aten::reflection_pad2d(Tensor self, SymInt[4] padding) -> Tensor",
    "aten::reflection_pad2d.out(Tensor self, SymInt[4] padding, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "reflection_pad2d_backward": [
    "aten::reflection_pad2d_backward(Tensor grad_output, Tensor self, SymInt[4] padding) -> Tensor",
    "aten::reflection_pad2d_backward.grad_input(Tensor grad_output, Tensor self, SymInt[4] padding, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "reflection_pad3d": [
    "aten::reflection_pad3d(Tensor self, SymInt[6] padding) -> Tensor",
    "aten::reflection_pad3d.out(Tensor self, SymInt[6] padding, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "reflection_pad3d_backward": [
    "aten::reflection_pad3d_backward(Tensor grad_output, Tensor self, SymInt[6] padding) -> Tensor",
    "aten::reflection_pad3d_backward.grad_input(Tensor grad_output, Tensor self, SymInt[6] padding, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "relu": [
    "aten::relu(Tensor self) -> Tensor",
    "aten::relu.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "relu6": [
    "aten::relu6(Tensor self) -> Tensor",
  ],
  "relu6_": [
    "aten::relu6_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "relu_": [
    "aten::relu_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "remainder": [
    "aten::remainder.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::remainder.Scalar_Tensor(Scalar self, Tensor other) -> Tensor",
    "aten::remainder.Scalar_Tensor_out(Scalar self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::remainder.Scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::remainder.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::remainder.Tensor_out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "remainder_": [
    "aten::remainder_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::remainder_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "renorm": [
    "aten::renorm(Tensor self, Scalar p, int dim, Scalar maxnorm) -> Tensor",
    "aten::renorm.out(Tensor self, Scalar p, int dim, Scalar maxnorm, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "renorm_": [
    "aten::renorm_(Tensor(a!) self, Scalar p, int dim, Scalar maxnorm) -> Tensor(a!)",
  ],
  "repeat": [
    "aten::repeat(Tensor self, SymInt[] repeats) -> Tensor",
    "aten::repeat.out(Tensor self, SymInt[] repeats, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "repeat_interleave": [
    "aten::repeat_interleave.Tensor(Tensor repeats, *, SymInt? output_size=None) -> Tensor",
    "aten::repeat_interleave.Tensor_out(Tensor repeats, *, SymInt? output_size=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::repeat_interleave.self_Tensor(Tensor self, Tensor repeats, int? dim=None, *, SymInt? output_size=None) -> Tensor",
    "aten::repeat_interleave.self_int(Tensor self, SymInt repeats, int? dim=None, *, SymInt? output_size=None) -> Tensor",
  ],
  "replication_pad1d": [
    "aten::replication_pad1d(Tensor self, SymInt[2] padding) -> Tensor",
    "aten::replication_pad1d.out(Tensor self, SymInt[2] padding, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "replication_pad1d_backward": [
    "aten::replication_pad1d_backward(Tensor grad_output, Tensor self, SymInt[2] padding) -> Tensor",
    "aten::replication_pad1d_backward.grad_input(Tensor grad_output, Tensor self, SymInt[2] padding, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "replication_pad2d": [
    "aten::replication_pad2d(Tensor self, SymInt[4] padding) -> Tensor",
    "aten::replication_pad2d.out(Tensor self, SymInt[4] padding, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "replication_pad2d_backward": [
    "aten::replication_pad2d_backward(Tensor grad_output, Tensor self, SymInt[4] padding) -> Tensor",
    "aten::replication_pad2d_backward.grad_input(Tensor grad_output, Tensor self, SymInt[4] padding, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "replication_pad3d": [
    "aten::replication_pad3d(Tensor self, SymInt[6] padding) -> Tensor",
    "aten::replication_pad3d.out(Tensor self, SymInt[6] padding, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "replication_pad3d_backward": [
    "aten::replication_pad3d_backward(Tensor grad_output, Tensor self, SymInt[6] padding) -> Tensor",
    "aten::replication_pad3d_backward.grad_input(Tensor grad_output, Tensor self, SymInt[6] padding, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "requires_grad_": [
    "aten::requires_grad_(Tensor(a!) self, bool requires_grad=True) -> Tensor(a!)",
  ],
  "reshape": [
    "aten::reshape(Tensor(a) self, SymInt[] shape) -> Tensor(a)",
  ],
  "reshape_as": [
    "aten::reshape_as(Tensor(a) self, Tensor other) -> Tensor(a)",
  ],
  "resize": [
    "aten::resize(Tensor self, SymInt[] size, *, MemoryFormat? memory_format=None) -> Tensor",
    "aten::resize.out(Tensor self, SymInt[] size, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "resize_": [
    "aten::resize_(Tensor(a!) self, SymInt[] size, *, MemoryFormat? memory_format=None) -> Tensor(a!)",
  ],
  "resize_as": [
    "aten::resize_as(Tensor self, Tensor the_template, *, MemoryFormat? memory_format=None) -> Tensor",
    "aten::resize_as.out(Tensor self, Tensor the_template, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "resize_as_": [
    "aten::resize_as_(Tensor(a!) self, Tensor the_template, *, MemoryFormat? memory_format=None) -> Tensor(a!)",
  ],
  "resize_as_sparse": [
    "aten::resize_as_sparse(Tensor self, Tensor the_template) -> Tensor",
    "aten::resize_as_sparse.out(Tensor self, Tensor the_template, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "resize_as_sparse_": [
    "aten::resize_as_sparse_(Tensor(a!) self, Tensor the_template) -> Tensor(a!)",
  ],
  "resolve_conj": [
    "aten::resolve_conj(Tensor(a) self) -> Tensor(a)",
  ],
  "resolve_neg": [
    "aten::resolve_neg(Tensor(a) self) -> Tensor(a)",
  ],
  "result_type": [
    "aten::result_type.Scalar(Tensor tensor, Scalar other) -> ScalarType",
    "aten::result_type.Scalar_Scalar(Scalar scalar1, Scalar scalar2) -> ScalarType",
    "aten::result_type.Scalar_Tensor(Scalar scalar, Tensor tensor) -> ScalarType",
    "aten::result_type.Tensor(Tensor tensor, Tensor other) -> ScalarType",
  ],
  "retain_grad": [
    "aten::retain_grad(Tensor(a!) self) -> ()",
  ],
  "retains_grad": [
    "aten::retains_grad(Tensor self) -> bool",
  ],
  "rms_norm": [
    "aten::rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor",
  ],
  "rnn_relu": [
    "aten::rnn_relu.data(Tensor data, Tensor batch_sizes, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional) -> (Tensor, Tensor)",
    "aten::rnn_relu.input(Tensor input, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)",
  ],
  "rnn_relu_cell": [
    "aten::rnn_relu_cell(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> Tensor",
  ],
  "rnn_tanh": [
    "aten::rnn_tanh.data(Tensor data, Tensor batch_sizes, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional) -> (Tensor, Tensor)",
    "aten::rnn_tanh.input(Tensor input, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first) -> (Tensor, Tensor)",
  ],
  "rnn_tanh_cell": [
    "aten::rnn_tanh_cell(Tensor input, Tensor hx, Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None) -> Tensor",
  ],
  "roll": [
    "aten::roll(Tensor self, SymInt[1] shifts, int[1] dims=[]) -> Tensor",
    "aten::roll.out(Tensor self, SymInt[1] shifts, int[1] dims=[], *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "rot90": [
    "aten::rot90(Tensor self, int k=1, int[] dims=[0, 1]) -> Tensor",
    "aten::rot90.out(Tensor self, int k=1, int[] dims=[0, 1], *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "round": [
    "aten::round(Tensor self) -> Tensor",
    "aten::round.decimals(Tensor self, *, int decimals) -> Tensor",
    "aten::round.decimals_out(Tensor self, *, int decimals, Tensor(a!) out) -> Tensor(a!)",
    "aten::round.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "round_": [
    "aten::round_(Tensor(a!) self) -> Tensor(a!)",
    "aten::round_.decimals(Tensor(a!) self, *, int decimals) -> Tensor(a!)",
  ],
  "row_indices": [
    "aten::row_indices(Tensor(a) self) -> Tensor(a)",
  ],
  "row_indices_copy": [
    "aten::row_indices_copy(Tensor self) -> Tensor",
    "aten::row_indices_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "row_stack": [
    "aten::row_stack(Tensor[] tensors) -> Tensor",
    "aten::row_stack.out(Tensor[] tensors, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "rrelu": [
    "aten::rrelu(Tensor self, Scalar lower=0.125, Scalar upper=0.33333333333333331, bool training=False, Generator? generator=None) -> Tensor",
  ],
  "rrelu_": [
    "aten::rrelu_(Tensor(a!) self, Scalar lower=0.125, Scalar upper=0.33333333333333331, bool training=False, Generator? generator=None) -> Tensor(a!)",
  ],
  "rrelu_with_noise": [
    "aten::rrelu_with_noise(Tensor self, Tensor(b!) noise, Scalar lower=0.125, Scalar upper=0.33333333333333331, bool training=False, Generator? generator=None) -> Tensor",
    "aten::rrelu_with_noise.out(Tensor self, Tensor(b!) noise, Scalar lower=0.125, Scalar upper=0.33333333333333331, bool training=False, Generator? generator=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "rrelu_with_noise_": [
    "aten::rrelu_with_noise_(Tensor(a!) self, Tensor(b!) noise, Scalar lower=0.125, Scalar upper=0.33333333333333331, bool training=False, Generator? generator=None) -> Tensor(a!)",
  ],
  "rrelu_with_noise_backward": [
    "aten::rrelu_with_noise_backward(Tensor grad_output, Tensor self, Tensor noise, Scalar lower, Scalar upper, bool training, bool self_is_result) -> Tensor",
    "aten::rrelu_with_noise_backward.out(Tensor grad_output, Tensor self, Tensor noise, Scalar lower, Scalar upper, bool training, bool self_is_result, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "rrelu_with_noise_functional": [
    "aten::rrelu_with_noise_functional(Tensor self, Tensor noise, Scalar lower=0.125, Scalar upper=0.33333333333333331, bool training=False, Generator? generator=None) -> (Tensor, Tensor noise_out)",
  ],
  "rsqrt": [
    "aten::rsqrt(Tensor self) -> Tensor",
    "aten::rsqrt.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "rsqrt_": [
    "aten::rsqrt_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "rsub": [
    "aten::rsub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor",
    "aten::rsub.Scalar_out(Tensor self, Scalar other, Scalar alpha=1, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::rsub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor",
    "aten::rsub.Tensor_out(Tensor self, Tensor other, *, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "scalar_tensor": [
    "aten::scalar_tensor(Scalar s, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::scalar_tensor.out(Scalar s, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "scaled_dot_product_attention": [
    "aten::scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0., bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor",
  ],
  "scatter": [
    "aten::scatter.reduce(Tensor self, int dim, Tensor index, Tensor src, *, str reduce) -> Tensor",
    "aten::scatter.reduce_out(Tensor self, int dim, Tensor index, Tensor src, *, str reduce, Tensor(a!) out) -> Tensor(a!)",
    "aten::scatter.src(Tensor self, int dim, Tensor index, Tensor src) -> Tensor",
    "aten::scatter.src_out(Tensor self, int dim, Tensor index, Tensor src, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::scatter.value(Tensor self, int dim, Tensor index, Scalar value) -> Tensor",
    "aten::scatter.value_out(Tensor self, int dim, Tensor index, Scalar value, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::scatter.value_reduce(Tensor self, int dim, Tensor index, Scalar value, *, str reduce) -> Tensor",
    "aten::scatter.value_reduce_out(Tensor self, int dim, Tensor index, Scalar value, *, str reduce, Tensor(a!) out) -> Tensor(a!)",
  ],
  "scatter_": [
    "aten::scatter_.reduce(Tensor(a!) self, int dim, Tensor index, Tensor src, *, str reduce) -> Tensor(a!)",
    "aten::scatter_.src(Tensor(a!) self, int dim, Tensor index, Tensor src) -> Tensor(a!)",
    "aten::scatter_.value(Tensor(a!) self, int dim, Tensor index, Scalar value) -> Tensor(a!)",
    "aten::scatter_.value_reduce(Tensor(a!) self, int dim, Tensor index, Scalar value, *, str reduce) -> Tensor(a!)",
  ],
  "scatter_add": [
    "aten::scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor",
    "aten::scatter_add.out(Tensor self, int dim, Tensor index, Tensor src, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "scatter_add_": [
    "aten::scatter_add_(Tensor(a!) self, int dim, Tensor index, Tensor src) -> Tensor(a!)",
  ],
  "scatter_reduce": [
    "aten::scatter_reduce.two(Tensor self, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True) -> Tensor",
    "aten::scatter_reduce.two_out(Tensor self, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True, Tensor(a!) out) -> Tensor(a!)",
  ],
  "scatter_reduce_": [
    "aten::scatter_reduce_.two(Tensor(a!) self, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True) -> Tensor(a!)",
  ],
  "searchsorted": [
    "aten::searchsorted.Scalar(Tensor sorted_sequence, Scalar self, *, bool out_int32=False, bool right=False, str? side=None, Tensor? sorter=None) -> Tensor",
    "aten::searchsorted.Scalar_out(Tensor sorted_sequence, Scalar self, *, bool out_int32=False, bool right=False, str? side=None, Tensor? sorter=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::searchsorted.Tensor(Tensor sorted_sequence, Tensor self, *, bool out_int32=False, bool right=False, str? side=None, Tensor? sorter=None) -> Tensor",
    "aten::searchsorted.Tensor_out(Tensor sorted_sequence, Tensor self, *, bool out_int32=False, bool right=False, str? side=None, Tensor? sorter=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "segment_reduce": [
    "aten::segment_reduce(Tensor data, str reduce, *, Tensor? lengths=None, Tensor? indices=None, Tensor? offsets=None, int axis=0, bool unsafe=False, Scalar? initial=None) -> Tensor",
    "aten::segment_reduce.out(Tensor data, str reduce, *, Tensor? lengths=None, Tensor? indices=None, Tensor? offsets=None, int axis=0, bool unsafe=False, Scalar? initial=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "select": [
    "aten::select.int(Tensor(a) self, int dim, SymInt index) -> Tensor(a)",
  ],
  "select_backward": [
    "aten::select_backward(Tensor grad_output, SymInt[] input_sizes, int dim, SymInt index) -> Tensor",
    "aten::select_backward.out(Tensor grad_output, SymInt[] input_sizes, int dim, SymInt index, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "select_copy": [
    "aten::select_copy.int(Tensor self, int dim, SymInt index) -> Tensor",
    "aten::select_copy.int_out(Tensor self, int dim, SymInt index, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "select_scatter": [
    "aten::select_scatter(Tensor self, Tensor src, int dim, SymInt index) -> Tensor",
    "aten::select_scatter.out(Tensor self, Tensor src, int dim, SymInt index, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "selu": [
    "aten::selu(Tensor self) -> Tensor",
  ],
  "selu_": [
    "aten::selu_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "set": [
    "aten::set(Tensor self) -> Tensor",
    "aten::set.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::set.source_Tensor(Tensor self, Tensor source) -> Tensor",
    "aten::set.source_Tensor_out(Tensor self, Tensor source, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "set_": [
    "aten::set_(Tensor(a!) self) -> Tensor(a!)",
    "aten::set_.source_Tensor(Tensor(a!) self, Tensor source) -> Tensor(a!)",
    "aten::set_.source_Tensor_storage_offset(Tensor(a!) self, Tensor source, SymInt storage_offset, SymInt[] size, SymInt[] stride=[]) -> Tensor(a!)",
  ],
  "set_data": [
    "aten::set_data(Tensor(a!) self, Tensor new_data) -> ()",
  ],
  "sgn": [
    "aten::sgn(Tensor self) -> Tensor",
    "aten::sgn.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sgn_": [
    "aten::sgn_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "sigmoid": [
    "aten::sigmoid(Tensor self) -> Tensor",
    "aten::sigmoid.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sigmoid_": [
    "aten::sigmoid_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "sigmoid_backward": [
    "aten::sigmoid_backward(Tensor grad_output, Tensor output) -> Tensor",
    "aten::sigmoid_backward.grad_input(Tensor grad_output, Tensor output, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "sign": [
    "aten::sign(Tensor self) -> Tensor",
    "aten::sign.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sign_": [
    "aten::sign_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "signbit": [
    "aten::signbit(Tensor self) -> Tensor",
    "aten::signbit.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "silu": [
    "aten::silu(Tensor self) -> Tensor",
    "aten::silu.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "silu_": [
    "aten::silu_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "silu_backward": [
    "aten::silu_backward(Tensor grad_output, Tensor self) -> Tensor",
    "aten::silu_backward.grad_input(Tensor grad_output, Tensor self, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "sin": [
    "aten::sin(Tensor self) -> Tensor",
    "aten::sin.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sin_": [
    "aten::sin_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "sinc": [
    "aten::sinc(Tensor self) -> Tensor",
    "aten::sinc.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sinc_": [
    "aten::sinc_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "sinh": [
    "aten::sinh(Tensor self) -> Tensor",
    "aten::sinh.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sinh_": [
    "aten::sinh_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "size": [
    "aten::size.int(Tensor self, int dim) -> int",
  ],
  "slice": [
    "aten::slice.Tensor(Tensor(a) self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor(a)",
  ],
  "slice_backward": [
    "aten::slice_backward(Tensor grad_output, SymInt[] input_sizes, int dim, SymInt start, SymInt end, SymInt step) -> Tensor",
    "aten::slice_backward.out(Tensor grad_output, SymInt[] input_sizes, int dim, SymInt start, SymInt end, SymInt step, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "slice_copy": [
    "aten::slice_copy.Tensor(Tensor self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor",
    "aten::slice_copy.Tensor_out(Tensor self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "slice_inverse": [
    "aten::slice_inverse(Tensor(a) self, Tensor src, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor(a)",
  ],
  "slice_scatter": [
    "aten::slice_scatter(Tensor self, Tensor src, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor",
    "aten::slice_scatter.out(Tensor self, Tensor src, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "slogdet": [
    "aten::slogdet(Tensor self) -> (Tensor sign, Tensor logabsdet)",
    "aten::slogdet.out(Tensor self, *, Tensor(a!) sign, Tensor(b!) logabsdet) -> (Tensor(a!) sign, Tensor(b!) logabsdet)",
  ],
  "slow_conv3d": [
    "aten::slow_conv3d(Tensor self, Tensor weight, SymInt[3] kernel_size, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], SymInt[3] padding=[0, 0, 0]) -> Tensor",
    "aten::slow_conv3d.out(Tensor self, Tensor weight, SymInt[3] kernel_size, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], SymInt[3] padding=[0, 0, 0], *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "slow_conv3d_forward": [
    "aten::slow_conv3d_forward(Tensor self, Tensor weight, SymInt[3] kernel_size, Tensor? bias, SymInt[3] stride, SymInt[3] padding) -> Tensor",
    "aten::slow_conv3d_forward.output(Tensor self, Tensor weight, SymInt[3] kernel_size, Tensor? bias, SymInt[3] stride, SymInt[3] padding, *, Tensor(a!) output) -> Tensor(a!)",
  ],
  "slow_conv_dilated2d": [
    "aten::slow_conv_dilated2d(Tensor self, Tensor weight, SymInt[2] kernel_size, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], SymInt[2] dilation=[1, 1]) -> Tensor",
    "aten::slow_conv_dilated2d.out(Tensor self, Tensor weight, SymInt[2] kernel_size, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], SymInt[2] dilation=[1, 1], *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "slow_conv_dilated3d": [
    "aten::slow_conv_dilated3d(Tensor self, Tensor weight, SymInt[3] kernel_size, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], SymInt[3] padding=[0, 0, 0], SymInt[3] dilation=[1, 1, 1]) -> Tensor",
    "aten::slow_conv_dilated3d.out(Tensor self, Tensor weight, SymInt[3] kernel_size, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], SymInt[3] padding=[0, 0, 0], SymInt[3] dilation=[1, 1, 1], *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "slow_conv_transpose2d": [
    "aten::slow_conv_transpose2d(Tensor self, Tensor weight, SymInt[2] kernel_size, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], SymInt[2] output_padding=[0, 0], SymInt[2] dilation=[1, 1]) -> Tensor",
    "aten::slow_conv_transpose2d.out(Tensor self, Tensor weight, SymInt[2] kernel_size, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], SymInt[2] output_padding=[0, 0], SymInt[2] dilation=[1, 1], *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "slow_conv_transpose3d": [
    "aten::slow_conv_transpose3d(Tensor self, Tensor weight, SymInt[3] kernel_size, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], SymInt[3] padding=[0, 0, 0], SymInt[3] output_padding=[0, 0, 0], SymInt[3] dilation=[1, 1, 1]) -> Tensor",
    "aten::slow_conv_transpose3d.out(Tensor self, Tensor weight, SymInt[3] kernel_size, Tensor? bias=None, SymInt[3] stride=[1, 1, 1], SymInt[3] padding=[0, 0, 0], SymInt[3] output_padding=[0, 0, 0], SymInt[3] dilation=[1, 1, 1], *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "smm": [
    "aten::smm(Tensor self, Tensor mat2) -> Tensor",
  ],
  "smooth_l1_loss": [
    "aten::smooth_l1_loss(Tensor self, Tensor target, int reduction=1, float beta=1.) -> Tensor",
    "aten::smooth_l1_loss.out(Tensor self, Tensor target, int reduction=1, float beta=1., *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "smooth_l1_loss_backward": [
    "aten::smooth_l1_loss_backward(Tensor grad_output, Tensor self, Tensor target, int reduction, float beta) -> Tensor",
    "aten::smooth_l1_loss_backward.grad_input(Tensor grad_output, Tensor self, Tensor target, int reduction, float beta, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "soft_margin_loss": [
    "aten::soft_margin_loss(Tensor self, Tensor target, int reduction=1) -> Tensor",
    "aten::soft_margin_loss.out(Tensor self, Tensor target, int reduction=1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "soft_margin_loss_backward": [
    "aten::soft_margin_loss_backward(Tensor grad_output, Tensor self, Tensor target, int reduction) -> Tensor",
    "aten::soft_margin_loss_backward.grad_input(Tensor grad_output, Tensor self, Tensor target, int reduction, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "softmax": [
    "aten::softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor",
    "aten::softmax.int_out(Tensor self, int dim, ScalarType? dtype=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "softplus": [
    "aten::softplus(Tensor self, Scalar beta=1, Scalar threshold=20) -> Tensor",
    "aten::softplus.out(Tensor self, Scalar beta=1, Scalar threshold=20, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "softplus_backward": [
    "aten::softplus_backward(Tensor grad_output, Tensor self, Scalar beta, Scalar threshold) -> Tensor",
    "aten::softplus_backward.grad_input(Tensor grad_output, Tensor self, Scalar beta, Scalar threshold, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "softshrink": [
    "aten::softshrink(Tensor self, Scalar lambd=0.5) -> Tensor",
    "aten::softshrink.out(Tensor self, Scalar lambd=0.5, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "softshrink_backward": [
    "aten::softshrink_backward(Tensor grad_output, Tensor self, Scalar lambd) -> Tensor",
    "aten::softshrink_backward.grad_input(Tensor grad_output, Tensor self, Scalar lambd, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "sort": [
    "aten::sort(Tensor self, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)",
    "aten::sort.stable(Tensor self, *, bool? stable, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)",
    "aten::sort.values(Tensor self, int dim=-1, bool descending=False, *, Tensor(a!) values, Tensor(b!) indices) -> (Tensor(a!) values, Tensor(b!) indices)",
    "aten::sort.values_stable(Tensor self, *, bool? stable, int dim=-1, bool descending=False, Tensor(a!) values, Tensor(b!) indices) -> (Tensor(a!) values, Tensor(b!) indices)",
  ],
  "sparse_bsc_tensor": [
    "aten::sparse_bsc_tensor.ccol_row_value(Tensor ccol_indices, Tensor row_indices, Tensor values, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
    "aten::sparse_bsc_tensor.ccol_row_value_size(Tensor ccol_indices, Tensor row_indices, Tensor values, int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
  ],
  "sparse_bsr_tensor": [
    "aten::sparse_bsr_tensor.crow_col_value(Tensor crow_indices, Tensor col_indices, Tensor values, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
    "aten::sparse_bsr_tensor.crow_col_value_size(Tensor crow_indices, Tensor col_indices, Tensor values, int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
  ],
  "sparse_compressed_tensor": [
    "aten::sparse_compressed_tensor.comp_plain_value(Tensor compressed_indices, Tensor plain_indices, Tensor values, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
    "aten::sparse_compressed_tensor.comp_plain_value_size(Tensor compressed_indices, Tensor plain_indices, Tensor values, SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
  ],
  "sparse_coo_tensor": [
    "aten::sparse_coo_tensor.indices(Tensor indices, Tensor values, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, bool? is_coalesced=None) -> Tensor",
    "aten::sparse_coo_tensor.indices_size(Tensor indices, Tensor values, int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, bool? is_coalesced=None) -> Tensor",
    "aten::sparse_coo_tensor.size(int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
    "aten::sparse_coo_tensor.size_out(int[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sparse_csc_tensor": [
    "aten::sparse_csc_tensor.ccol_row_value(Tensor ccol_indices, Tensor row_indices, Tensor values, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
    "aten::sparse_csc_tensor.ccol_row_value_size(Tensor ccol_indices, Tensor row_indices, Tensor values, int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
  ],
  "sparse_csr_tensor": [
    "aten::sparse_csr_tensor.crow_col_value(Tensor crow_indices, Tensor col_indices, Tensor values, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
    "aten::sparse_csr_tensor.crow_col_value_size(Tensor crow_indices, Tensor col_indices, Tensor values, int[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=False) -> Tensor",
  ],
  "sparse_dim": [
    "aten::sparse_dim(Tensor self) -> int",
  ],
  "sparse_mask": [
    "aten::sparse_mask(Tensor self, Tensor mask) -> Tensor",
    "aten::sparse_mask.out(Tensor self, Tensor mask, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sparse_resize": [
    "aten::sparse_resize(Tensor self, int[] size, int sparse_dim, int dense_dim) -> Tensor",
    "aten::sparse_resize.out(Tensor self, int[] size, int sparse_dim, int dense_dim, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sparse_resize_": [
    "aten::sparse_resize_(Tensor(a!) self, int[] size, int sparse_dim, int dense_dim) -> Tensor(a!)",
  ],
  "sparse_resize_and_clear": [
    "aten::sparse_resize_and_clear(Tensor self, int[] size, int sparse_dim, int dense_dim) -> Tensor",
    "aten::sparse_resize_and_clear.out(Tensor self, int[] size, int sparse_dim, int dense_dim, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sparse_resize_and_clear_": [
    "aten::sparse_resize_and_clear_(Tensor(a!) self, int[] size, int sparse_dim, int dense_dim) -> Tensor(a!)",
  ],
  "sparse_sampled_addmm": [
    "aten::sparse_sampled_addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
    "aten::sparse_sampled_addmm.out(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_airy_ai": [
    "aten::special_airy_ai(Tensor x) -> Tensor",
    "aten::special_airy_ai.out(Tensor x, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_bessel_j0": [
    "aten::special_bessel_j0(Tensor self) -> Tensor",
    "aten::special_bessel_j0.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_bessel_j1": [
    "aten::special_bessel_j1(Tensor self) -> Tensor",
    "aten::special_bessel_j1.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_bessel_y0": [
    "aten::special_bessel_y0(Tensor self) -> Tensor",
    "aten::special_bessel_y0.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_bessel_y1": [
    "aten::special_bessel_y1(Tensor self) -> Tensor",
    "aten::special_bessel_y1.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_chebyshev_polynomial_t": [
    "aten::special_chebyshev_polynomial_t(Tensor x, Tensor n) -> Tensor",
    "aten::special_chebyshev_polynomial_t.n_scalar(Tensor x, Scalar n) -> Tensor",
    "aten::special_chebyshev_polynomial_t.n_scalar_out(Tensor x, Scalar n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_chebyshev_polynomial_t.out(Tensor x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_chebyshev_polynomial_t.x_scalar(Scalar x, Tensor n) -> Tensor",
    "aten::special_chebyshev_polynomial_t.x_scalar_out(Scalar x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_chebyshev_polynomial_u": [
    "aten::special_chebyshev_polynomial_u(Tensor x, Tensor n) -> Tensor",
    "aten::special_chebyshev_polynomial_u.n_scalar(Tensor x, Scalar n) -> Tensor",
    "aten::special_chebyshev_polynomial_u.n_scalar_out(Tensor x, Scalar n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_chebyshev_polynomial_u.out(Tensor x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_chebyshev_polynomial_u.x_scalar(Scalar x, Tensor n) -> Tensor",
    "aten::special_chebyshev_polynomial_u.x_scalar_out(Scalar x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_chebyshev_polynomial_v": [
    "aten::special_chebyshev_polynomial_v(Tensor x, Tensor n) -> Tensor",
    "aten::special_chebyshev_polynomial_v.n_scalar(Tensor x, Scalar n) -> Tensor",
    "aten::special_chebyshev_polynomial_v.n_scalar_out(Tensor x, Scalar n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_chebyshev_polynomial_v.out(Tensor x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_chebyshev_polynomial_v.x_scalar(Scalar x, Tensor n) -> Tensor",
    "aten::special_chebyshev_polynomial_v.x_scalar_out(Scalar x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_chebyshev_polynomial_w": [
    "aten::special_chebyshev_polynomial_w(Tensor x, Tensor n) -> Tensor",
    "aten::special_chebyshev_polynomial_w.n_scalar(Tensor x, Scalar n) -> Tensor",
    "aten::special_chebyshev_polynomial_w.n_scalar_out(Tensor x, Scalar n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_chebyshev_polynomial_w.out(Tensor x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_chebyshev_polynomial_w.x_scalar(Scalar x, Tensor n) -> Tensor",
    "aten::special_chebyshev_polynomial_w.x_scalar_out(Scalar x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_digamma": [
    "aten::special_digamma(Tensor self) -> Tensor",
    "aten::special_digamma.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_entr": [
    "aten::special_entr(Tensor self) -> Tensor",
    "aten::special_entr.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_erf": [
    "aten::special_erf(Tensor self) -> Tensor",
    "aten::special_erf.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_erfc": [
    "aten::special_erfc(Tensor self) -> Tensor",
    "aten::special_erfc.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_erfcx": [
    "aten::special_erfcx(Tensor self) -> Tensor",
    "aten::special_erfcx.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_erfinv": [
    "aten::special_erfinv(Tensor self) -> Tensor",
    "aten::special_erfinv.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_exp2": [
    "aten::special_exp2(Tensor self) -> Tensor",
    "aten::special_exp2.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_expit": [
    "aten::special_expit(Tensor self) -> Tensor",
    "aten::special_expit.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_expm1": [
    "aten::special_expm1(Tensor self) -> Tensor",
    "aten::special_expm1.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_gammainc": [
    "aten::special_gammainc(Tensor self, Tensor other) -> Tensor",
    "aten::special_gammainc.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_gammaincc": [
    "aten::special_gammaincc(Tensor self, Tensor other) -> Tensor",
    "aten::special_gammaincc.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_gammaln": [
    "aten::special_gammaln(Tensor self) -> Tensor",
    "aten::special_gammaln.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_hermite_polynomial_h": [
    "aten::special_hermite_polynomial_h(Tensor x, Tensor n) -> Tensor",
    "aten::special_hermite_polynomial_h.n_scalar(Tensor x, Scalar n) -> Tensor",
    "aten::special_hermite_polynomial_h.n_scalar_out(Tensor x, Scalar n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_hermite_polynomial_h.out(Tensor x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_hermite_polynomial_h.x_scalar(Scalar x, Tensor n) -> Tensor",
    "aten::special_hermite_polynomial_h.x_scalar_out(Scalar x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_hermite_polynomial_he": [
    "aten::special_hermite_polynomial_he(Tensor x, Tensor n) -> Tensor",
    "aten::special_hermite_polynomial_he.n_scalar(Tensor x, Scalar n) -> Tensor",
    "aten::special_hermite_polynomial_he.n_scalar_out(Tensor x, Scalar n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_hermite_polynomial_he.out(Tensor x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_hermite_polynomial_he.x_scalar(Scalar x, Tensor n) -> Tensor",
    "aten::special_hermite_polynomial_he.x_scalar_out(Scalar x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_i0": [
    "aten::special_i0(Tensor self) -> Tensor",
    "aten::special_i0.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_i0e": [
    "aten::special_i0e(Tensor self) -> Tensor",
    "aten::special_i0e.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_i1": [
    "aten::special_i1(Tensor self) -> Tensor",
    "aten::special_i1.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_i1e": [
    "aten::special_i1e(Tensor self) -> Tensor",
    "aten::special_i1e.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_laguerre_polynomial_l": [
    "aten::special_laguerre_polynomial_l(Tensor x, Tensor n) -> Tensor",
    "aten::special_laguerre_polynomial_l.n_scalar(Tensor x, Scalar n) -> Tensor",
    "aten::special_laguerre_polynomial_l.n_scalar_out(Tensor x, Scalar n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_laguerre_polynomial_l.out(Tensor x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_laguerre_polynomial_l.x_scalar(Scalar x, Tensor n) -> Tensor",
    "aten::special_laguerre_polynomial_l.x_scalar_out(Scalar x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_legendre_polynomial_p": [
    "aten::special_legendre_polynomial_p(Tensor x, Tensor n) -> Tensor",
    "aten::special_legendre_polynomial_p.n_scalar(Tensor x, Scalar n) -> Tensor",
    "aten::special_legendre_polynomial_p.n_scalar_out(Tensor x, Scalar n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_legendre_polynomial_p.out(Tensor x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_legendre_polynomial_p.x_scalar(Scalar x, Tensor n) -> Tensor",
    "aten::special_legendre_polynomial_p.x_scalar_out(Scalar x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_log1p": [
    "aten::special_log1p(Tensor self) -> Tensor",
    "aten::special_log1p.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_log_ndtr": [
    "aten::special_log_ndtr(Tensor self) -> Tensor",
    "aten::special_log_ndtr.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_log_softmax": [
    "aten::special_log_softmax(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor",
  ],
  "special_logit": [
    "aten::special_logit(Tensor self, float? eps=None) -> Tensor",
    "aten::special_logit.out(Tensor self, float? eps=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_logsumexp": [
    "aten::special_logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor",
    "aten::special_logsumexp.out(Tensor self, int[1] dim, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_modified_bessel_i0": [
    "aten::special_modified_bessel_i0(Tensor self) -> Tensor",
    "aten::special_modified_bessel_i0.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_modified_bessel_i1": [
    "aten::special_modified_bessel_i1(Tensor self) -> Tensor",
    "aten::special_modified_bessel_i1.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_modified_bessel_k0": [
    "aten::special_modified_bessel_k0(Tensor self) -> Tensor",
    "aten::special_modified_bessel_k0.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_modified_bessel_k1": [
    "aten::special_modified_bessel_k1(Tensor self) -> Tensor",
    "aten::special_modified_bessel_k1.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_multigammaln": [
    "aten::special_multigammaln(Tensor self, int p) -> Tensor",
    "aten::special_multigammaln.out(Tensor self, int p, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_ndtr": [
    "aten::special_ndtr(Tensor self) -> Tensor",
    "aten::special_ndtr.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_ndtri": [
    "aten::special_ndtri(Tensor self) -> Tensor",
    "aten::special_ndtri.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_polygamma": [
    "aten::special_polygamma(int n, Tensor self) -> Tensor",
    "aten::special_polygamma.out(int n, Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_psi": [
    "aten::special_psi(Tensor self) -> Tensor",
    "aten::special_psi.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_round": [
    "aten::special_round(Tensor self, *, int decimals=0) -> Tensor",
    "aten::special_round.out(Tensor self, *, int decimals=0, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_scaled_modified_bessel_k0": [
    "aten::special_scaled_modified_bessel_k0(Tensor x) -> Tensor",
    "aten::special_scaled_modified_bessel_k0.out(Tensor x, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_scaled_modified_bessel_k1": [
    "aten::special_scaled_modified_bessel_k1(Tensor x) -> Tensor",
    "aten::special_scaled_modified_bessel_k1.out(Tensor x, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_shifted_chebyshev_polynomial_t": [
    "aten::special_shifted_chebyshev_polynomial_t(Tensor x, Tensor n) -> Tensor",
    "aten::special_shifted_chebyshev_polynomial_t.n_scalar(Tensor x, Scalar n) -> Tensor",
    "aten::special_shifted_chebyshev_polynomial_t.n_scalar_out(Tensor x, Scalar n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_shifted_chebyshev_polynomial_t.out(Tensor x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_shifted_chebyshev_polynomial_t.x_scalar(Scalar x, Tensor n) -> Tensor",
    "aten::special_shifted_chebyshev_polynomial_t.x_scalar_out(Scalar x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_shifted_chebyshev_polynomial_u": [
    "aten::special_shifted_chebyshev_polynomial_u(Tensor x, Tensor n) -> Tensor",
    "aten::special_shifted_chebyshev_polynomial_u.n_scalar(Tensor x, Scalar n) -> Tensor",
    "aten::special_shifted_chebyshev_polynomial_u.n_scalar_out(Tensor x, Scalar n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_shifted_chebyshev_polynomial_u.out(Tensor x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_shifted_chebyshev_polynomial_u.x_scalar(Scalar x, Tensor n) -> Tensor",
    "aten::special_shifted_chebyshev_polynomial_u.x_scalar_out(Scalar x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_shifted_chebyshev_polynomial_v": [
    "aten::special_shifted_chebyshev_polynomial_v(Tensor x, Tensor n) -> Tensor",
    "aten::special_shifted_chebyshev_polynomial_v.n_scalar(Tensor x, Scalar n) -> Tensor",
    "aten::special_shifted_chebyshev_polynomial_v.n_scalar_out(Tensor x, Scalar n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_shifted_chebyshev_polynomial_v.out(Tensor x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_shifted_chebyshev_polynomial_v.x_scalar(Scalar x, Tensor n) -> Tensor",
    "aten::special_shifted_chebyshev_polynomial_v.x_scalar_out(Scalar x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_shifted_chebyshev_polynomial_w": [
    "aten::special_shifted_chebyshev_polynomial_w(Tensor x, Tensor n) -> Tensor",
    "aten::special_shifted_chebyshev_polynomial_w.n_scalar(Tensor x, Scalar n) -> Tensor",
    "aten::special_shifted_chebyshev_polynomial_w.n_scalar_out(Tensor x, Scalar n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_shifted_chebyshev_polynomial_w.out(Tensor x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_shifted_chebyshev_polynomial_w.x_scalar(Scalar x, Tensor n) -> Tensor",
    "aten::special_shifted_chebyshev_polynomial_w.x_scalar_out(Scalar x, Tensor n, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_sinc": [
    "aten::special_sinc(Tensor self) -> Tensor",
    "aten::special_sinc.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_softmax": [
    "aten::special_softmax(Tensor self, int dim, ScalarType? dtype=None) -> Tensor",
  ],
  "special_spherical_bessel_j0": [
    "aten::special_spherical_bessel_j0(Tensor x) -> Tensor",
    "aten::special_spherical_bessel_j0.out(Tensor x, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_xlog1py": [
    "aten::special_xlog1py(Tensor self, Tensor other) -> Tensor",
    "aten::special_xlog1py.other_scalar(Tensor self, Scalar other) -> Tensor",
    "aten::special_xlog1py.other_scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_xlog1py.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_xlog1py.self_scalar(Scalar self, Tensor other) -> Tensor",
    "aten::special_xlog1py.self_scalar_out(Scalar self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_xlogy": [
    "aten::special_xlogy(Tensor self, Tensor other) -> Tensor",
    "aten::special_xlogy.other_scalar(Tensor self, Scalar other) -> Tensor",
    "aten::special_xlogy.other_scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_xlogy.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_xlogy.self_scalar(Scalar self, Tensor other) -> Tensor",
    "aten::special_xlogy.self_scalar_out(Scalar self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "special_zeta": [
    "aten::special_zeta(Tensor self, Tensor other) -> Tensor",
    "aten::special_zeta.other_scalar(Tensor self, Scalar other) -> Tensor",
    "aten::special_zeta.other_scalar_out(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_zeta.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::special_zeta.self_scalar(Scalar self, Tensor other) -> Tensor",
    "aten::special_zeta.self_scalar_out(Scalar self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "split": [
    "aten::split.Tensor(Tensor(a -> *) self, SymInt split_size, int dim=0) -> Tensor(a)[]",
    "aten::split.sizes(Tensor(a -> *) self, SymInt[] split_size, int dim=0) -> Tensor(a)[]",
  ],
  "split_copy": [
    "aten::split_copy.Tensor(Tensor self, SymInt split_size, int dim=0) -> Tensor[]",
    "aten::split_copy.Tensor_out(Tensor self, SymInt split_size, int dim=0, *, Tensor(a!)[] out) -> ()",
  ],
  "split_with_sizes": [
    "aten::split_with_sizes(Tensor(a -> *) self, SymInt[] split_sizes, int dim=0) -> Tensor(a)[]",
  ],
  "split_with_sizes_copy": [
    "aten::split_with_sizes_copy(Tensor self, SymInt[] split_sizes, int dim=0) -> Tensor[]",
    "aten::split_with_sizes_copy.out(Tensor self, SymInt[] split_sizes, int dim=0, *, Tensor(a!)[] out) -> ()",
  ],
  "sqrt": [
    "aten::sqrt(Tensor self) -> Tensor",
    "aten::sqrt.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sqrt_": [
    "aten::sqrt_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "square": [
    "aten::square(Tensor self) -> Tensor",
    "aten::square.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "square_": [
    "aten::square_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "squeeze": [
    "aten::squeeze(Tensor(a) self) -> Tensor(a)",
    "aten::squeeze.dim(Tensor(a) self, int dim) -> Tensor(a)",
    "aten::squeeze.dims(Tensor(a) self, int[] dim) -> Tensor(a)",
  ],
  "squeeze_": [
    "aten::squeeze_(Tensor(a!) self) -> Tensor(a!)",
    "aten::squeeze_.dim(Tensor(a!) self, int dim) -> Tensor(a!)",
    "aten::squeeze_.dims(Tensor(a!) self, int[] dim) -> Tensor(a!)",
  ],
  "squeeze_copy": [
    "aten::squeeze_copy(Tensor self) -> Tensor",
    "aten::squeeze_copy.dim(Tensor self, int dim) -> Tensor",
    "aten::squeeze_copy.dim_out(Tensor self, int dim, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::squeeze_copy.dims(Tensor self, int[] dim) -> Tensor",
    "aten::squeeze_copy.dims_out(Tensor self, int[] dim, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::squeeze_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sspaddmm": [
    "aten::sspaddmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor",
    "aten::sspaddmm.out(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "stack": [
    "aten::stack(Tensor[] tensors, int dim=0) -> Tensor",
    "aten::stack.out(Tensor[] tensors, int dim=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "std": [
    "aten::std(Tensor self, bool unbiased=True) -> Tensor",
    "aten::std.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> Tensor",
    "aten::std.correction_out(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False, Tensor(a!) out) -> Tensor(a!)",
    "aten::std.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor",
    "aten::std.out(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "std_mean": [
    "aten::std_mean(Tensor self, bool unbiased=True) -> (Tensor, Tensor)",
    "aten::std_mean.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> (Tensor, Tensor)",
    "aten::std_mean.correction_out(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
    "aten::std_mean.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> (Tensor, Tensor)",
  ],
  "stft": [
    "aten::stft(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, bool normalized=False, bool? onesided=None, bool? return_complex=None, bool? align_to_window=None) -> Tensor",
    "aten::stft.center(Tensor self, int n_fft, int? hop_length=None, int? win_length=None, Tensor? window=None, bool center=True, str pad_mode=\"reflect\", bool normalized=False, bool? onesided=None, bool? return_complex=None, bool? align_to_window=None) -> Tensor",
  ],
  "storage_offset": [
    "aten::storage_offset(Tensor self) -> int",
  ],
  "stride": [
    "aten::stride.int(Tensor self, int dim) -> int",
  ],
  "sub": [
    "aten::sub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor",
    "aten::sub.Scalar_out(Tensor self, Scalar other, Scalar alpha=1, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor",
    "aten::sub.out(Tensor self, Tensor other, *, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sub_": [
    "aten::sub_.Scalar(Tensor(a!) self, Scalar other, Scalar alpha=1) -> Tensor(a!)",
    "aten::sub_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)",
  ],
  "subtract": [
    "aten::subtract.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor",
    "aten::subtract.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor",
    "aten::subtract.out(Tensor self, Tensor other, *, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)",
  ],
  "subtract_": [
    "aten::subtract_.Scalar(Tensor(a!) self, Scalar other, Scalar alpha=1) -> Tensor(a!)",
    "aten::subtract_.Tensor(Tensor(a!) self, Tensor other, *, Scalar alpha=1) -> Tensor(a!)",
  ],
  "sum": [
    "aten::sum(Tensor self, *, ScalarType? dtype=None) -> Tensor",
    "aten::sum.IntList_out(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
    "aten::sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor",
    "aten::sum.out(Tensor self, *, ScalarType? dtype=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "sum_to_size": [
    "aten::sum_to_size(Tensor self, SymInt[] size) -> Tensor",
  ],
  "svd": [
    "aten::svd(Tensor self, bool some=True, bool compute_uv=True) -> (Tensor U, Tensor S, Tensor V)",
    "aten::svd.U(Tensor self, bool some=True, bool compute_uv=True, *, Tensor(a!) U, Tensor(b!) S, Tensor(c!) V) -> (Tensor(a!) U, Tensor(b!) S, Tensor(c!) V)",
  ],
  "swapaxes": [
    "aten::swapaxes(Tensor(a) self, int axis0, int axis1) -> Tensor(a)",
  ],
  "swapaxes_": [
    "aten::swapaxes_(Tensor(a!) self, int axis0, int axis1) -> Tensor(a!)",
  ],
  "swapdims": [
    "aten::swapdims(Tensor(a) self, int dim0, int dim1) -> Tensor(a)",
  ],
  "swapdims_": [
    "aten::swapdims_(Tensor(a!) self, int dim0, int dim1) -> Tensor(a!)",
  ],
  "sym_constrain_range": [
    "aten::sym_constrain_range(Scalar size, *, int? min=None, int? max=None) -> ()",
  ],
  "sym_constrain_range_for_size": [
    "aten::sym_constrain_range_for_size(Scalar size, *, int? min=None, int? max=None) -> ()",
  ],
  "sym_is_contiguous": [
    "aten::sym_is_contiguous(Tensor self, MemoryFormat memory_format=0) -> SymBool",
  ],
  "sym_numel": [
    "aten::sym_numel(Tensor self) -> SymInt",
  ],
  "sym_size": [
    "aten::sym_size.int(Tensor self, int dim) -> SymInt",
  ],
  "sym_storage_offset": [
    "aten::sym_storage_offset(Tensor self) -> SymInt",
  ],
  "sym_stride": [
    "aten::sym_stride.int(Tensor self, int dim) -> SymInt",
  ],
  "t": [
    "aten::t(Tensor(a) self) -> Tensor(a)",
  ],
  "t_": [
    "aten::t_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "t_copy": [
    "aten::t_copy(Tensor self) -> Tensor",
    "aten::t_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "take": [
    "aten::take(Tensor self, Tensor index) -> Tensor",
    "aten::take.out(Tensor self, Tensor index, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "take_along_dim": [
    "aten::take_along_dim(Tensor self, Tensor indices, int? dim=None) -> Tensor",
    "aten::take_along_dim.out(Tensor self, Tensor indices, int? dim=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "tan": [
    "aten::tan(Tensor self) -> Tensor",
    "aten::tan.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "tan_": [
    "aten::tan_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "tanh": [
    "aten::tanh(Tensor self) -> Tensor",
    "aten::tanh.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "tanh_": [
    "aten::tanh_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "tanh_backward": [
    "aten::tanh_backward(Tensor grad_output, Tensor output) -> Tensor",
    "aten::tanh_backward.grad_input(Tensor grad_output, Tensor output, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "tensor_split": [
    "aten::tensor_split.indices(Tensor(a -> *) self, SymInt[] indices, int dim=0) -> Tensor(a)[]",
    "aten::tensor_split.sections(Tensor(a -> *) self, SymInt sections, int dim=0) -> Tensor(a)[]",
    "aten::tensor_split.tensor_indices_or_sections(Tensor(a -> *) self, Tensor tensor_indices_or_sections, int dim=0) -> Tensor(a)[]",
  ],
  "tensordot": [
    "aten::tensordot(Tensor self, Tensor other, int[] dims_self, int[] dims_other) -> Tensor",
    "aten::tensordot.out(Tensor self, Tensor other, int[] dims_self, int[] dims_other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "thnn_conv2d": [
    "aten::thnn_conv2d(Tensor self, Tensor weight, SymInt[2] kernel_size, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0]) -> Tensor",
    "aten::thnn_conv2d.out(Tensor self, Tensor weight, SymInt[2] kernel_size, Tensor? bias=None, SymInt[2] stride=[1, 1], SymInt[2] padding=[0, 0], *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "threshold": [
    "aten::threshold(Tensor self, Scalar threshold, Scalar value) -> Tensor",
    "aten::threshold.out(Tensor self, Scalar threshold, Scalar value, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "threshold_": [
    "aten::threshold_(Tensor(a!) self, Scalar threshold, Scalar value) -> Tensor(a!)",
  ],
  "threshold_backward": [
    "aten::threshold_backward(Tensor grad_output, Tensor self, Scalar threshold) -> Tensor",
    "aten::threshold_backward.grad_input(Tensor grad_output, Tensor self, Scalar threshold, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "tile": [
    "aten::tile(Tensor self, SymInt[] dims) -> Tensor",
  ],
  "to": [
    "aten::to.device(Tensor(a) self, Device device, ScalarType dtype, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)",
    "aten::to.dtype(Tensor(a) self, ScalarType dtype, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)",
    "aten::to.dtype_layout(Tensor(a) self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)",
    "aten::to.other(Tensor(a) self, Tensor other, bool non_blocking=False, bool copy=False, MemoryFormat? memory_format=None) -> Tensor(a)",
  ],
  "to_dense": [
    "aten::to_dense(Tensor self, ScalarType? dtype=None, *, bool? masked_grad=None) -> Tensor",
  ],
  "to_dense_backward": [
    "aten::to_dense_backward(Tensor grad, Tensor input, bool? masked_grad=None) -> Tensor",
  ],
  "to_mkldnn": [
    "aten::to_mkldnn(Tensor self, ScalarType? dtype=None) -> Tensor",
    "aten::to_mkldnn.out(Tensor self, ScalarType? dtype=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "to_mkldnn_backward": [
    "aten::to_mkldnn_backward(Tensor grad, Tensor input) -> Tensor",
  ],
  "to_padded_tensor": [
    "aten::to_padded_tensor(Tensor self, float padding, SymInt[]? output_size=None) -> Tensor",
    "aten::to_padded_tensor.out(Tensor self, float padding, SymInt[]? output_size=None, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "to_sparse": [
    "aten::to_sparse(Tensor self, *, Layout? layout=None, int[2]? blocksize=None, int? dense_dim=None) -> Tensor",
    "aten::to_sparse.sparse_dim(Tensor self, int sparse_dim) -> Tensor",
  ],
  "to_sparse_bsc": [
    "aten::to_sparse_bsc(Tensor self, int[2] blocksize, int? dense_dim=None) -> Tensor",
  ],
  "to_sparse_bsr": [
    "aten::to_sparse_bsr(Tensor self, int[2] blocksize, int? dense_dim=None) -> Tensor",
  ],
  "to_sparse_csc": [
    "aten::to_sparse_csc(Tensor self, int? dense_dim=None) -> Tensor",
  ],
  "to_sparse_csr": [
    "aten::to_sparse_csr(Tensor self, int? dense_dim=None) -> Tensor",
  ],
  "topk": [
    "aten::topk(Tensor self, SymInt k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Tensor indices)",
    "aten::topk.values(Tensor self, SymInt k, int dim=-1, bool largest=True, bool sorted=True, *, Tensor(a!) values, Tensor(b!) indices) -> (Tensor(a!) values, Tensor(b!) indices)",
  ],
  "trace": [
    "aten::trace(Tensor self) -> Tensor",
    "aten::trace.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "trace_backward": [
    "aten::trace_backward(Tensor grad, SymInt[] sizes) -> Tensor",
  ],
  "transpose": [
    "aten::transpose.int(Tensor(a) self, int dim0, int dim1) -> Tensor(a)",
  ],
  "transpose_": [
    "aten::transpose_(Tensor(a!) self, int dim0, int dim1) -> Tensor(a!)",
  ],
  "transpose_copy": [
    "aten::transpose_copy.int(Tensor self, int dim0, int dim1) -> Tensor",
    "aten::transpose_copy.int_out(Tensor self, int dim0, int dim1, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "trapezoid": [
    "aten::trapezoid.dx(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor",
    "aten::trapezoid.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor",
  ],
  "trapz": [
    "aten::trapz.dx(Tensor y, *, float dx=1., int dim=-1) -> Tensor",
    "aten::trapz.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor",
  ],
  "triangular_solve": [
    "aten::triangular_solve(Tensor self, Tensor A, bool upper=True, bool transpose=False, bool unitriangular=False) -> (Tensor solution, Tensor cloned_coefficient)",
    "aten::triangular_solve.X(Tensor self, Tensor A, bool upper=True, bool transpose=False, bool unitriangular=False, *, Tensor(a!) X, Tensor(b!) M) -> (Tensor(a!) solution, Tensor(b!) cloned_coefficient)",
  ],
  "tril": [
    "aten::tril(Tensor self, SymInt diagonal=0) -> Tensor",
    "aten::tril.out(Tensor self, SymInt diagonal=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "tril_": [
    "aten::tril_(Tensor(a!) self, SymInt diagonal=0) -> Tensor(a!)",
  ],
  "tril_indices": [
    "aten::tril_indices(int row, int col, int offset=0, *, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::tril_indices.out(int row, int col, int offset=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "triplet_margin_loss": [
    "aten::triplet_margin_loss(Tensor anchor, Tensor positive, Tensor negative, float margin=1., float p=2., float eps=9.9999999999999995e-07, bool swap=False, int reduction=1) -> Tensor",
  ],
  "triu": [
    "aten::triu(Tensor self, SymInt diagonal=0) -> Tensor",
    "aten::triu.out(Tensor self, SymInt diagonal=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "triu_": [
    "aten::triu_(Tensor(a!) self, SymInt diagonal=0) -> Tensor(a!)",
  ],
  "triu_indices": [
    "aten::triu_indices(int row, int col, int offset=0, *, ScalarType? dtype=4, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::triu_indices.out(int row, int col, int offset=0, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "true_divide": [
    "aten::true_divide.Scalar(Tensor self, Scalar other) -> Tensor",
    "aten::true_divide.Tensor(Tensor self, Tensor other) -> Tensor",
    "aten::true_divide.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "true_divide_": [
    "aten::true_divide_.Scalar(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::true_divide_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "trunc": [
    "aten::trunc(Tensor self) -> Tensor",
    "aten::trunc.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "trunc_": [
    "aten::trunc_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "type_as": [
    "aten::type_as(Tensor self, Tensor other) -> Tensor",
  ],
  "unbind": [
    "aten::unbind.int(Tensor(a -> *) self, int dim=0) -> Tensor(a)[]",
  ],
  "unbind_copy": [
    "aten::unbind_copy.int(Tensor self, int dim=0) -> Tensor[]",
    "aten::unbind_copy.int_out(Tensor self, int dim=0, *, Tensor(a!)[] out) -> ()",
  ],
  "unflatten": [
    "aten::unflatten.int(Tensor(a) self, int dim, SymInt[] sizes) -> Tensor(a)",
  ],
  "unflatten_dense_tensors": [
    "aten::unflatten_dense_tensors(Tensor flat, Tensor[] tensors) -> Tensor[]",
  ],
  "unfold": [
    "aten::unfold(Tensor(a) self, int dimension, int size, int step) -> Tensor(a)",
  ],
  "unfold_backward": [
    "aten::unfold_backward(Tensor grad_in, SymInt[] input_sizes, int dim, int size, int step) -> Tensor",
    "aten::unfold_backward.out(Tensor grad_in, SymInt[] input_sizes, int dim, int size, int step, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "unfold_copy": [
    "aten::unfold_copy(Tensor self, int dimension, int size, int step) -> Tensor",
    "aten::unfold_copy.out(Tensor self, int dimension, int size, int step, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "uniform": [
    "aten::uniform(Tensor self, float from=0., float to=1., *, Generator? generator=None) -> Tensor",
    "aten::uniform.out(Tensor self, float from=0., float to=1., *, Generator? generator=None, Tensor(a!) out) -> Tensor(a!)",
  ],
  "uniform_": [
    "aten::uniform_(Tensor(a!) self, float from=0., float to=1., *, Generator? generator=None) -> Tensor(a!)",
  ],
  "unique_consecutive": [
    "aten::unique_consecutive(Tensor self, bool return_inverse=False, bool return_counts=False, int? dim=None) -> (Tensor, Tensor, Tensor)",
    "aten::unique_consecutive.out(Tensor self, bool return_inverse=False, bool return_counts=False, int? dim=None, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "unique_dim": [
    "aten::unique_dim(Tensor self, int dim, bool sorted=True, bool return_inverse=False, bool return_counts=False) -> (Tensor, Tensor, Tensor)",
    "aten::unique_dim.out(Tensor self, int dim, bool sorted=True, bool return_inverse=False, bool return_counts=False, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "unique_dim_consecutive": [
    "aten::unique_dim_consecutive(Tensor self, int dim, bool return_inverse=False, bool return_counts=False) -> (Tensor, Tensor, Tensor)",
    "aten::unique_dim_consecutive.out(Tensor self, int dim, bool return_inverse=False, bool return_counts=False, *, Tensor(a!) out0, Tensor(b!) out1, Tensor(c!) out2) -> (Tensor(a!), Tensor(b!), Tensor(c!))",
  ],
  "unsafe_chunk": [
    "aten::unsafe_chunk(Tensor self, int chunks, int dim=0) -> Tensor[]",
  ],
  "unsafe_split": [
    "aten::unsafe_split.Tensor(Tensor self, SymInt split_size, int dim=0) -> Tensor[]",
    "aten::unsafe_split.Tensor_out(Tensor self, SymInt split_size, int dim=0, *, Tensor(a!)[] out) -> ()",
  ],
  "unsafe_split_with_sizes": [
    "aten::unsafe_split_with_sizes(Tensor self, SymInt[] split_sizes, int dim=0) -> Tensor[]",
    "aten::unsafe_split_with_sizes.out(Tensor self, SymInt[] split_sizes, int dim=0, *, Tensor(a!)[] out) -> ()",
  ],
  "unsqueeze": [
    "aten::unsqueeze(Tensor(a) self, int dim) -> Tensor(a)",
  ],
  "unsqueeze_": [
    "aten::unsqueeze_(Tensor(a!) self, int dim) -> Tensor(a!)",
  ],
  "unsqueeze_copy": [
    "aten::unsqueeze_copy(Tensor self, int dim) -> Tensor",
    "aten::unsqueeze_copy.out(Tensor self, int dim, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "upsample_bicubic2d": [
    "aten::upsample_bicubic2d(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::upsample_bicubic2d.out(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::upsample_bicubic2d.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor",
  ],
  "upsample_bicubic2d_backward": [
    "aten::upsample_bicubic2d_backward(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::upsample_bicubic2d_backward.grad_input(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, bool align_corners, float? scales_h=None, float? scales_w=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "upsample_bilinear2d": [
    "aten::upsample_bilinear2d(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::upsample_bilinear2d.out(Tensor self, SymInt[2] output_size, bool align_corners, float? scales_h=None, float? scales_w=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::upsample_bilinear2d.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor",
    "aten::upsample_bilinear2d.vec_out(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "upsample_bilinear2d_backward": [
    "aten::upsample_bilinear2d_backward(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, bool align_corners, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::upsample_bilinear2d_backward.grad_input(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, bool align_corners, float? scales_h=None, float? scales_w=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "upsample_linear1d": [
    "aten::upsample_linear1d(Tensor self, SymInt[1] output_size, bool align_corners, float? scales=None) -> Tensor",
    "aten::upsample_linear1d.out(Tensor self, SymInt[1] output_size, bool align_corners, float? scales=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::upsample_linear1d.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor",
  ],
  "upsample_linear1d_backward": [
    "aten::upsample_linear1d_backward(Tensor grad_output, SymInt[1] output_size, SymInt[3] input_size, bool align_corners, float? scales=None) -> Tensor",
    "aten::upsample_linear1d_backward.grad_input(Tensor grad_output, SymInt[1] output_size, SymInt[3] input_size, bool align_corners, float? scales=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "upsample_nearest1d": [
    "aten::upsample_nearest1d(Tensor self, SymInt[1] output_size, float? scales=None) -> Tensor",
    "aten::upsample_nearest1d.out(Tensor self, SymInt[1] output_size, float? scales=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::upsample_nearest1d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor",
  ],
  "upsample_nearest1d_backward": [
    "aten::upsample_nearest1d_backward(Tensor grad_output, SymInt[1] output_size, SymInt[3] input_size, float? scales=None) -> Tensor",
    "aten::upsample_nearest1d_backward.grad_input(Tensor grad_output, SymInt[1] output_size, SymInt[3] input_size, float? scales=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "upsample_nearest2d": [
    "aten::upsample_nearest2d(Tensor self, SymInt[2] output_size, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::upsample_nearest2d.out(Tensor self, SymInt[2] output_size, float? scales_h=None, float? scales_w=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::upsample_nearest2d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor",
    "aten::upsample_nearest2d.vec_out(Tensor input, SymInt[]? output_size, float[]? scale_factors, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "upsample_nearest2d_backward": [
    "aten::upsample_nearest2d_backward(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::upsample_nearest2d_backward.grad_input(Tensor grad_output, SymInt[2] output_size, SymInt[4] input_size, float? scales_h=None, float? scales_w=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "upsample_nearest3d": [
    "aten::upsample_nearest3d(Tensor self, SymInt[3] output_size, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::upsample_nearest3d.out(Tensor self, SymInt[3] output_size, float? scales_d=None, float? scales_h=None, float? scales_w=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::upsample_nearest3d.vec(Tensor input, SymInt[]? output_size, float[]? scale_factors) -> Tensor",
  ],
  "upsample_nearest3d_backward": [
    "aten::upsample_nearest3d_backward(Tensor grad_output, SymInt[3] output_size, SymInt[5] input_size, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::upsample_nearest3d_backward.grad_input(Tensor grad_output, SymInt[3] output_size, SymInt[5] input_size, float? scales_d=None, float? scales_h=None, float? scales_w=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "upsample_trilinear3d": [
    "aten::upsample_trilinear3d(Tensor self, SymInt[3] output_size, bool align_corners, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::upsample_trilinear3d.out(Tensor self, SymInt[3] output_size, bool align_corners, float? scales_d=None, float? scales_h=None, float? scales_w=None, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::upsample_trilinear3d.vec(Tensor input, SymInt[]? output_size, bool align_corners, float[]? scale_factors) -> Tensor",
  ],
  "upsample_trilinear3d_backward": [
    "aten::upsample_trilinear3d_backward(Tensor grad_output, SymInt[3] output_size, SymInt[5] input_size, bool align_corners, float? scales_d=None, float? scales_h=None, float? scales_w=None) -> Tensor",
    "aten::upsample_trilinear3d_backward.grad_input(Tensor grad_output, SymInt[3] output_size, SymInt[5] input_size, bool align_corners, float? scales_d=None, float? scales_h=None, float? scales_w=None, *, Tensor(a!) grad_input) -> Tensor(a!)",
  ],
  "value_selecting_reduction_backward": [
    "aten::value_selecting_reduction_backward(Tensor grad, int dim, Tensor indices, SymInt[] sizes, bool keepdim) -> Tensor",
  ],
  "values": [
    "aten::values(Tensor(a) self) -> Tensor(a)",
  ],
  "values_copy": [
    "aten::values_copy(Tensor self) -> Tensor",
    "aten::values_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "vander": [
    "aten::vander(Tensor x, int? N=None, bool increasing=False) -> Tensor",
  ],
  "var": [
    "aten::var(Tensor self, bool unbiased=True) -> Tensor",
    "aten::var.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> Tensor",
    "aten::var.correction_out(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False, Tensor(a!) out) -> Tensor(a!)",
    "aten::var.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor",
    "aten::var.out(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "var_mean": [
    "aten::var_mean(Tensor self, bool unbiased=True) -> (Tensor, Tensor)",
    "aten::var_mean.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> (Tensor, Tensor)",
    "aten::var_mean.correction_out(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False, Tensor(a!) out0, Tensor(b!) out1) -> (Tensor(a!), Tensor(b!))",
    "aten::var_mean.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> (Tensor, Tensor)",
  ],
  "vdot": [
    "aten::vdot(Tensor self, Tensor other) -> Tensor",
    "aten::vdot.out(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "view": [
    "aten::view(Tensor(a) self, SymInt[] size) -> Tensor(a)",
    "aten::view.dtype(Tensor(a) self, ScalarType dtype) -> Tensor(a)",
  ],
  "view_as": [
    "aten::view_as(Tensor(a) self, Tensor other) -> Tensor(a)",
  ],
  "view_as_complex": [
    "aten::view_as_complex(Tensor(a) self) -> Tensor(a)",
  ],
  "view_as_complex_copy": [
    "aten::view_as_complex_copy(Tensor self) -> Tensor",
    "aten::view_as_complex_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "view_as_real": [
    "aten::view_as_real(Tensor(a) self) -> Tensor(a)",
  ],
  "view_as_real_copy": [
    "aten::view_as_real_copy(Tensor self) -> Tensor",
    "aten::view_as_real_copy.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "view_copy": [
    "aten::view_copy(Tensor self, SymInt[] size) -> Tensor",
    "aten::view_copy.dtype(Tensor self, ScalarType dtype) -> Tensor",
    "aten::view_copy.dtype_out(Tensor self, ScalarType dtype, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::view_copy.out(Tensor self, SymInt[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "vsplit": [
    "aten::vsplit.array(Tensor(a -> *) self, int[] indices) -> Tensor(a)[]",
    "aten::vsplit.int(Tensor(a -> *) self, int sections) -> Tensor(a)[]",
  ],
  "vstack": [
    "aten::vstack(Tensor[] tensors) -> Tensor",
    "aten::vstack.out(Tensor[] tensors, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "where": [
    "aten::where(Tensor condition) -> Tensor[]",
    "aten::where.Scalar(Tensor condition, Scalar self, Scalar other) -> Tensor",
    "aten::where.ScalarOther(Tensor condition, Tensor self, Scalar other) -> Tensor",
    "aten::where.ScalarSelf(Tensor condition, Scalar self, Tensor other) -> Tensor",
    "aten::where.self(Tensor condition, Tensor self, Tensor other) -> Tensor",
    "aten::where.self_out(Tensor condition, Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "xlogy": [
    "aten::xlogy.OutScalar_Other(Tensor self, Scalar other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::xlogy.OutScalar_Self(Scalar self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::xlogy.OutTensor(Tensor self, Tensor other, *, Tensor(a!) out) -> Tensor(a!)",
    "aten::xlogy.Scalar_Other(Tensor self, Scalar other) -> Tensor",
    "aten::xlogy.Scalar_Self(Scalar self, Tensor other) -> Tensor",
    "aten::xlogy.Tensor(Tensor self, Tensor other) -> Tensor",
  ],
  "xlogy_": [
    "aten::xlogy_.Scalar_Other(Tensor(a!) self, Scalar other) -> Tensor(a!)",
    "aten::xlogy_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)",
  ],
  "zero": [
    "aten::zero(Tensor self) -> Tensor",
    "aten::zero.out(Tensor self, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "zero_": [
    "aten::zero_(Tensor(a!) self) -> Tensor(a!)",
  ],
  "zeros": [
    "aten::zeros(SymInt[] size, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None) -> Tensor",
    "aten::zeros.out(SymInt[] size, *, Tensor(a!) out) -> Tensor(a!)",
  ],
  "zeros_like": [
    "aten::zeros_like(Tensor self, *, ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None, MemoryFormat? memory_format=None) -> Tensor",
    "aten::zeros_like.out(Tensor self, *, MemoryFormat? memory_format=None, Tensor(a!) out) -> Tensor(a!)",
  ],
};
