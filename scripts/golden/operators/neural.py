"""Layers, losses, attention, convolution, pooling, and the operators on lists of tensors that optimisers are made of."""

import torch

from inputs import bf16, bools, f16, f32, f64, ids, ints, unit

from .dsl import case

# The order in which a matrix product adds is the machine's own; a sum over a few dozen terms moves the last bits of a float32.
SUMMED = 1e-5


def layers() -> None:
    x = f32(2, 5, 8)
    case("linear", x, f32(6, 8), loose=SUMMED)
    case("linear", x, f32(6, 8), f32(6), loose=SUMMED)
    case("linear", x, f32(6, 8), bias=None, loose=SUMMED)
    case("linear", bf16(3, 8), bf16(4, 8), bf16(4), ulps=2)
    case("bilinear", f32(3, 4), f32(3, 5), f32(2, 4, 5), f32(2), loose=SUMMED)
    case("layer_norm", x, [8], loose=SUMMED)
    case("layer_norm", x, [8], f32(8), f32(8), 1e-6, loose=SUMMED)
    case("layer_norm", x, [8], weight=f32(8), eps=1e-3, loose=SUMMED)
    case("native_layer_norm", x, [5, 8], None, None, 1e-5, loose=SUMMED)
    case("rms_norm", x, [8], loose=SUMMED)
    case("rms_norm", x, [8], f32(8), 1e-6, loose=SUMMED)
    case("rms_norm", bf16(3, 8), [8], weight=bf16(8), eps=1e-6, ulps=1)
    case("group_norm", f32(2, 6, 3), 3, f32(6), f32(6), loose=SUMMED)
    case("batch_norm", f32(4, 3), f32(3), None, f32(3), unit(3), False, 0.1, 1e-5, False, loose=SUMMED)
    case("instance_norm", f32(2, 3, 5), None, None, None, None, True, 0.1, 1e-5, False, loose=SUMMED)
    case("dropout", x, 0.5, False)
    case("softmax.int", x, -1)
    case("softmax.int", x, 1, dtype=torch.float64)
    case("softmax.int", bf16(3, 8), -1, torch.float32)
    case("softmax.int", f16(3, 8), 0, ulps=1)
    case("_softmax", x, 2, False)
    case("log_softmax.int", x, -1)
    case("log_softmax.int", bf16(3, 8), -1, dtype=torch.float32)
    case("_log_softmax", x, 0, False)
    case("cosine_similarity", f32(3, 8), f32(3, 8), loose=SUMMED)
    case("cosine_similarity", f32(3, 8), f32(3, 8), 0, eps=1e-6, loose=SUMMED)
    case("pairwise_distance", f32(3, 8), f32(3, 8), 1, keepdim=True)


def losses() -> None:
    logits, targets = f32(5, 7), ints(0, 7, 5)
    case("cross_entropy_loss", logits, targets)
    case("cross_entropy_loss", logits, targets, None, 0)
    case("cross_entropy_loss", logits, targets, weight=unit(7), reduction=2)
    case("cross_entropy_loss", logits, ids(1, -100, 3, -100, 0))
    case("cross_entropy_loss", logits, ids(1, 2, 3, 2, 0), ignore_index=2, label_smoothing=0.1)
    case("cross_entropy_loss", logits, torch.softmax(f32(5, 7), -1))
    case("nll_loss", torch.log_softmax(logits, -1), targets)
    case("nll_loss", torch.log_softmax(logits, -1), targets, None, 2, ignore_index=3)
    case("nll_loss_nd", torch.log_softmax(f32(2, 4, 3), 1), ints(0, 4, 2, 3), reduction=0)
    case("nll_loss_forward", torch.log_softmax(logits, -1), targets, None, 1, -100)
    x, y = f32(4, 3), f32(4, 3)
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss"):
        case(name, x, y)
        case(name, x, y, 0)
        case(name, x, y, reduction=2)
    case("huber_loss", x, y, delta=0.3)
    case("smooth_l1_loss", x, y, 1, 0.5)
    case("binary_cross_entropy", unit(6), unit(6))
    case("binary_cross_entropy_with_logits", f32(6), unit(6))
    case("binary_cross_entropy_with_logits", f32(6), unit(6), None, unit(6), 0)
    case("kl_div", torch.log_softmax(x, -1), torch.softmax(y, -1))
    case("kl_div", torch.log_softmax(x, -1), torch.log_softmax(y, -1), 0, log_target=True)
    case("poisson_nll_loss", x, unit(4, 3) * 5, True, False, 1e-8, 1)
    case("margin_ranking_loss", f32(5), f32(5), torch.tensor([1.0, -1, 1, 1, -1]), 0.5)
    case("hinge_embedding_loss", f32(5), torch.tensor([1.0, -1, 1, 1, -1]))
    case("cosine_embedding_loss", f32(3, 5), f32(3, 5), torch.tensor([1.0, -1, 1]), loose=SUMMED)
    case("triplet_margin_loss", f32(3, 5), f32(3, 5), f32(3, 5), loose=SUMMED)
    case("multi_margin_loss", logits, targets)
    case("multilabel_margin_loss", f32(2, 4), ids(3, 0, -1, 1, 1, -1, 2, 0).view(2, 4))
    case("ctc_loss.Tensor", torch.log_softmax(f32(6, 2, 5), -1), ints(1, 5, 2, 3), ids(6, 5), ids(3, 2), loose=SUMMED)


def attention() -> None:
    q, k, v = f32(2, 4, 5, 8), f32(2, 4, 6, 8), f32(2, 4, 6, 8)
    name = "scaled_dot_product_attention"
    case(name, q, k, v, loose=SUMMED)
    case(name, q, k, v, scale=0.5, loose=SUMMED)
    case(name, q, k, v, bools(5, 6).logical_or(torch.eye(5, 6).bool()), loose=SUMMED)
    case(name, q, k, v, attn_mask=f32(2, 1, 5, 6), loose=SUMMED)
    case(name, q, q, q, is_causal=True, loose=SUMMED)
    case(name, q, f32(2, 2, 6, 8), f32(2, 2, 6, 8), enable_gqa=True, loose=SUMMED)
    case(name, f64(1, 2, 3, 4), f64(1, 2, 3, 4), f64(1, 2, 3, 4), None, 0.0, True)


def convolution_and_pooling() -> None:
    case("conv1d", f32(2, 3, 9), f32(4, 3, 3), loose=SUMMED)
    case("conv1d", f32(2, 3, 9), f32(4, 3, 3), f32(4), 2, 1, loose=SUMMED)
    case("conv1d", f32(2, 4, 9), f32(4, 1, 3), None, [1], [2], groups=4, loose=SUMMED)
    case("conv1d.padding", f32(1, 3, 9), f32(2, 3, 3), None, 1, "same", loose=SUMMED)
    case("conv2d", f32(1, 2, 5, 5), f32(3, 2, 3, 3), f32(3), padding=1, loose=SUMMED)
    case("conv2d", f32(1, 2, 6, 6), f32(3, 2, 2, 2), stride=[2, 1], dilation=2, loose=SUMMED)
    case("conv_transpose1d", f32(1, 3, 4), f32(3, 2, 3), stride=2, loose=SUMMED)
    case("conv_transpose2d.input", f32(1, 2, 3, 3), f32(2, 1, 2, 2), loose=SUMMED)
    case("max_pool1d", f32(1, 2, 8), 2)
    case("max_pool2d", f32(1, 2, 4, 6), [2, 3], stride=1)
    case("max_pool2d_with_indices", f32(1, 1, 4, 4), 2)
    case("avg_pool1d", f32(1, 2, 8), 3, 2, 1, count_include_pad=False)
    case("avg_pool2d", f32(1, 1, 4, 4), 2)
    case("adaptive_avg_pool1d", f32(1, 2, 7), 3)
    case("adaptive_avg_pool2d", f32(1, 1, 5, 5), [2, 3])
    case("im2col", f32(1, 2, 4, 4), [2, 2], 1, 0, 1)
    case("upsample_nearest1d", f32(1, 2, 3), 6)
    case("upsample_bilinear2d", f32(1, 1, 2, 2), [4, 4], False, loose=SUMMED)
    case("channel_shuffle", f32(1, 4, 2, 1), 2)
    case("lstm_cell", f32(2, 3), [f32(2, 4), f32(2, 4)], f32(16, 3), f32(16, 4), f32(16), f32(16), loose=SUMMED)
    case("gru_cell", f32(2, 3), f32(2, 4), f32(12, 3), f32(12, 4), loose=SUMMED)


def lists_of_tensors() -> None:
    def some() -> list[torch.Tensor]:
        return [f32(3), f32(2, 2), f32()]

    case("_foreach_add.Scalar", some(), 1.5)
    case("_foreach_add.List", some(), some(), alpha=2)
    case("_foreach_add.ScalarList", some(), [1.0, 2.5, -3.0])
    case("_foreach_add.Tensor", some(), torch.tensor(0.5))
    case("_foreach_mul.Scalar", some(), 2)
    case("_foreach_mul.List", some(), some())
    case("_foreach_div.Scalar", some(), 4)
    case("_foreach_sqrt", [unit(3), unit(2)])
    case("_foreach_neg", some())
    case("_foreach_exp", some())
    case("_foreach_maximum.Scalar", some(), 0)
    case("_foreach_norm.Scalar", some())
    case("_foreach_norm.Scalar", some(), 1)
    case("_foreach_lerp.Scalar", some(), some(), 0.25)
    case("_foreach_addcmul.Scalar", some(), some(), some(), 0.5)
    case("_foreach_addcdiv.ScalarList", some(), some(), [unit(3), unit(2, 2), unit()], [1.0, -1.0, 0.5])
    case("_foreach_add_.Scalar", some(), -1)
    case("_foreach_add_.List", some(), some())
    case("_foreach_mul_.Tensor", some(), torch.tensor(0.5))
    case("_foreach_zero_", some())
    case("_foreach_copy_", some(), some())
    case("_fused_adamw_", [f32(3), f32(2, 2)], [f32(3), f32(2, 2)], [f32(3), f32(2, 2)], [unit(3), unit(2, 2)], [],
         [torch.tensor(3.0), torch.tensor(3.0)], lr=0.01, beta1=0.9, beta2=0.95, weight_decay=0.1, eps=1e-8, amsgrad=False, maximize=False)


def define() -> None:
    for part in (layers, losses, attention, convolution_and_pooling, lists_of_tensors):
        part()
