// nudge::token_log_probs: log softmax(logits / temperature) at given tokens. One pass over the logits finds the largest, one sums;
// the backward pass reads them once more and writes their gradient: float32 copies, gathered and scattered, are not made.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "support.h"

namespace nudge::kernels {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename T>
LogProbs<T> work_of(const at::Tensor& logits, const at::Tensor& tokens, const at::Tensor& result, const at::Tensor& tops,
                    const at::Tensor& log_totals, double temperature) {
  return {pointer<const T>(logits), pointer<const int64_t>(tokens), static_cast<float>(1 / temperature),
          result.defined() ? pointer<float>(result) : nullptr, pointer<float>(tops), pointer<float>(log_totals), logits.size(1)};
}

// Contiguous logits [N, V] and tokens [N] -> [N] float32; also what the backward pass needs, [N] each.
at::Tensor forward_of(const at::Tensor& logits, const at::Tensor& tokens, double temperature, at::Tensor& tops,
                      at::Tensor& log_totals) {
  const auto floats = logits.options().dtype(at::kFloat);
  at::Tensor result = at::empty({logits.size(0)}, floats);
  tops = at::empty({logits.size(0)}, floats);
  log_totals = at::empty({logits.size(0)}, floats);
  with_type(logits.scalar_type(), [&]<typename T>(T) {
    const auto work = work_of<T>(logits, tokens, result, tops, log_totals, temperature);
    at::parallel_for(0, logits.size(0), grain(logits.size(1)), [&](int64_t begin, int64_t end) {
      selected()->of<T>().log_probs(work, begin, end);
    });
  });
  return result;
}

struct LogProbsFunction : torch::autograd::Function<LogProbsFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& logits, const at::Tensor& tokens, double temperature) {
    at::Tensor tops, log_totals;
    at::Tensor result = forward_of(logits, tokens, temperature, tops, log_totals);
    context->save_for_backward({logits, tokens, tops, log_totals});
    context->saved_data["temperature"] = temperature;
    return result;
  }

  static variable_list backward(AutogradContext* context, const variable_list& outputs) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &logits = saved[0], &tokens = saved[1];
    const double temperature = context->saved_data["temperature"].toDouble();
    if (!outputs[0].defined()) return variable_list(3);
    if (at::GradMode::is_enabled() || selected() == nullptr) {
      const at::Tensor weights = at::softmax(logits.to(at::kFloat) / temperature, 1);
      const at::Tensor ones = at::zeros_like(weights).scatter_(1, tokens.unsqueeze(1), 1);
      return {((ones - weights) * (outputs[0] / temperature).unsqueeze(1)).to(logits.scalar_type()), {}, {}};
    }
    const at::Tensor gradient = outputs[0].contiguous();
    at::Tensor to = at::empty_like(logits);
    with_type(logits.scalar_type(), [&]<typename T>(T) {
      const auto work = work_of<T>(logits, tokens, {}, saved[2], saved[3], temperature);
      at::parallel_for(0, logits.size(0), grain(logits.size(1)), [&](int64_t begin, int64_t end) {
        selected()->of<T>().log_probs_backward(work, pointer<const float>(gradient), pointer<T>(to), begin, end);
      });
    });
    return {to, {}, {}};
  }
};

at::Tensor token_log_probs(const at::Tensor& logits, const at::Tensor& tokens, double temperature) {
  TORCH_CHECK(logits.dim() == 2 && tokens.dim() == 1 && tokens.size(0) == logits.size(0) && tokens.scalar_type() == at::kLong &&
                  temperature > 0,
              "token_log_probs: expected logits [N, V], int64 tokens [N] and a positive temperature, got ", logits.sizes(), ", ",
              tokens.sizes(), " and ", temperature);
  if (kernels_for(logits) == nullptr || !tokens.is_cpu() || logits.numel() == 0) {
    const at::Tensor wide = logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
    const at::Tensor scaled = temperature == 1 ? wide : wide / temperature;
    return scaled.gather(1, tokens.unsqueeze(1)).squeeze(1) - at::logsumexp(scaled, 1);
  }
  const at::Tensor chosen = tokens.contiguous();
  check_range<int64_t>(chosen, 0, logits.size(1) - 1, "tokens");
  const at::Tensor input = logits.contiguous();
  if (input.requires_grad() && at::GradMode::is_enabled()) return LogProbsFunction::apply(input, chosen, temperature);
  at::Tensor tops, log_totals;
  return forward_of(input, chosen, temperature, tops, log_totals);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(nudge, library) {
  library.def("token_log_probs(Tensor logits, Tensor tokens, float temperature=1) -> Tensor", token_log_probs);
}

}  // namespace nudge::kernels
