// nudge::cache_append_, cached_attention, choose: what generation does besides the model.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>

#include "support.h"

namespace nudge::kernels {

namespace {

// A cache of one layer is [blocks, kv heads, positions of a block, head dim]; a slot is block · positions + place.
void check_cache(const at::Tensor& keys, const at::Tensor& values) {
  TORCH_CHECK(keys.dim() == 4 && keys.sizes() == values.sizes() && keys.is_contiguous() && values.is_contiguous() &&
                  keys.scalar_type() == values.scalar_type(),
              "expected two contiguous caches [blocks, heads, positions, dim], got ", keys.sizes(), " and ", values.sizes());
}

void append_by_aten(const at::Tensor& keys, const at::Tensor& values, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& slots) {
  const at::Tensor block = slots.div(keys.size(2), "floor"), place = slots.remainder(keys.size(2));
  // [blocks, positions, heads, dim], so that both indices come first.
  keys.transpose(1, 2).index_put_({block, place}, k);
  values.transpose(1, 2).index_put_({block, place}, v);
}

void cache_append_(const at::Tensor& keys, const at::Tensor& values, const at::Tensor& k, const at::Tensor& v,
                   const at::Tensor& slots) {
  check_cache(keys, values);
  const int64_t rows = k.size(0), heads = keys.size(1), places = keys.size(2), dim = keys.size(3);
  TORCH_CHECK(k.dim() == 3 && k.size(1) == heads && k.size(2) == dim && k.sizes() == v.sizes() && slots.dim() == 1 &&
                  slots.size(0) == rows && slots.scalar_type() == at::kLong,
              "cache_append_: expected k and v [N, ", heads, ", ", dim, "] and int64 slots [N], got ", k.sizes(), ", ", v.sizes(),
              " and ", slots.sizes());
  check_range<int64_t>(slots, 0, keys.size(0) * places - 1, "slots");
  if (kernels_for(keys, k, v) == nullptr || !slots.is_cpu()) return append_by_aten(keys, values, k, v, slots);
  const at::Tensor new_keys = k.contiguous(), new_values = v.contiguous(), where = slots.contiguous();
  const auto* slot = pointer<const int64_t>(where);
  const int64_t bytes = dim * static_cast<int64_t>(keys.element_size());
  const auto copy = [&](const at::Tensor& cache, const at::Tensor& from, int64_t row, int64_t head) {
    char* to = pointer<char>(cache) + ((slot[row] / places * heads + head) * places + slot[row] % places) * bytes;
    std::memcpy(to, pointer<const char>(from) + (row * heads + head) * bytes, bytes);
  };
  at::parallel_for(0, rows, std::max<int64_t>(1, 32768 / (heads * dim)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t head = 0; head < heads; ++head) {
        copy(keys, new_keys, row, head);
        copy(values, new_values, row, head);
      }
    }
  });
}

at::Tensor attention_by_aten(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values, const at::Tensor& table,
                             const at::Tensor& lengths, double scale) {
  const int64_t rows = q.size(0), width = table.size(1), places = keys.size(2);
  const auto gather = [&](const at::Tensor& cache) {  // -> [rows, kv heads, width · places, dim]
    return cache.index_select(0, table.reshape({-1}).to(at::kLong))
        .view({rows, width, keys.size(1), places, keys.size(3)})
        .transpose(1, 2)
        .reshape({rows, keys.size(1), width * places, keys.size(3)});
  };
  const at::Tensor position = at::arange(width * places, lengths.options());
  const at::Tensor visible = position.unsqueeze(0).lt(lengths.unsqueeze(1)).view({rows, 1, 1, width * places});  // true: attend
  // What was never written may be NaN, which no mask and no weight of 0 takes away.
  const at::Tensor unwritten = visible.logical_not().view({rows, 1, width * places, 1});
  const at::Tensor k = gather(keys).masked_fill(unwritten, 0), v = gather(values).masked_fill(unwritten, 0);
  return at::scaled_dot_product_attention(q.unsqueeze(2), k, v, visible, 0.0, false, scale, true).squeeze(2);
}

at::Tensor cached_attention(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values, const at::Tensor& table,
                            const at::Tensor& lengths, double scale) {
  check_cache(keys, values);
  const int64_t rows = q.size(0), heads = q.size(1), kv_heads = keys.size(1), places = keys.size(2), dim = keys.size(3);
  TORCH_CHECK(q.dim() == 3 && q.size(2) == dim && heads % kv_heads == 0 && table.dim() == 2 && table.size(0) == rows &&
                  lengths.dim() == 1 && lengths.size(0) == rows && table.scalar_type() == at::kInt &&
                  lengths.scalar_type() == at::kInt,
              "cached_attention: expected q [N, H, ", dim, "], int32 table [N, B] and int32 lengths [N], got ", q.sizes(), ", ",
              table.sizes(), " and ", lengths.sizes());
  check_range<int32_t>(table, 0, keys.size(0) - 1, "blocks");
  check_range<int32_t>(lengths, 1, table.size(1) * places, "lengths");
  const Kernels* kernels = kernels_for(q, keys, values);
  if (kernels == nullptr || !table.is_cpu() || dim % 16 != 0 || places % 16 != 0 || rows == 0) {
    return attention_by_aten(q, keys, values, table, lengths, scale);
  }
  const at::Tensor query = q.contiguous(), blocks = table.contiguous(), ends = lengths.contiguous();
  at::Tensor y = at::empty(q.sizes(), q.options());
  const int32_t* length = pointer<const int32_t>(ends);
  const int64_t longest = *std::max_element(length, length + rows);
  with_type(q.scalar_type(), [&]<typename T>(T) {
    const Attention<T> work{pointer<const T>(query), pointer<const T>(keys), pointer<const T>(values),
                            pointer<const int32_t>(blocks), length, pointer<T>(y), table.size(1), heads,
                            kv_heads, dim, places, static_cast<float>(scale)};
    const int64_t each = longest * dim * (heads / kv_heads) / 8;
    at::parallel_for(0, rows * kv_heads, std::max<int64_t>(1, 4096 / each), [&](int64_t begin, int64_t end) {
      static thread_local Scratch scratch;
      float* scores = scratch.get<float>(4 * ((longest + 15) / 16 * 16) * sizeof(float));
      kernels->of<T>().attention(work, begin, end, scores);
    });
  });
  return y;
}

// The columns of `choices`.
enum Column : int64_t { kTemperature, kTopK, kTopP, kMinP, kDraw, kColumns };

// Each row's weights relative to its largest, those not kept set to 0. See Choice in kernels.h.
at::Tensor kept_weights(const at::Tensor& weights, const at::Tensor& choices) {
  const auto column = [&](Column index) { return choices.select(1, index).unsqueeze(1); };  // [B, 1]
  const int64_t size = weights.size(1);
  const at::Tensor sorted = std::get<0>(at::sort(weights, 1, /*descending=*/true));
  const at::Tensor asked = column(kTopK).to(at::kLong);
  const at::Tensor k = at::where(asked.le(0), at::full_like(asked, size), asked.clamp_max(size));
  const at::Tensor rank = at::arange(size, asked.options()).unsqueeze(0);
  const at::Tensor among = at::where(rank.lt(k), sorted, at::zeros_like(sorted));
  const at::Tensor upto = at::cumsum(among, 1);
  const at::Tensor wanted = upto.select(1, size - 1).unsqueeze(1) * column(kTopP);
  const at::Tensor last = upto.lt(wanted).sum(1, true);  // the rank that completes the nucleus
  const at::Tensor nucleus = sorted.gather(1, at::where(column(kTopP).lt(1), last.minimum(k - 1), k - 1));
  return at::where(weights.ge(nucleus.maximum(column(kMinP))), weights, at::zeros_like(weights));
}

std::tuple<at::Tensor, at::Tensor> choose_by_aten(const at::Tensor& logits, const at::Tensor& choices) {
  const at::Tensor rows = choices.to(logits.device());
  const at::Tensor temperature = rows.select(1, kTemperature).unsqueeze(1);
  const at::Tensor greedy = temperature.le(0);
  const at::Tensor scaled = logits.to(at::kDouble) / at::where(greedy, at::full_like(temperature, 1), temperature);
  const at::Tensor weights = at::exp(scaled - scaled.amax(1, true));
  const at::Tensor kept = kept_weights(weights, rows);
  const at::Tensor upto = at::cumsum(kept, 1);
  const at::Tensor wanted = upto.select(1, upto.size(1) - 1) * rows.select(1, kDraw);
  const at::Tensor drawn = upto.le(wanted.unsqueeze(1)).sum(1);
  const at::Tensor places = at::arange(kept.size(1), drawn.options()).unsqueeze(0);
  const at::Tensor last = at::where(kept.gt(0), places, at::zeros_like(places)).amax(1);
  const at::Tensor token = at::where(greedy.squeeze(1), at::argmax(logits, 1), drawn.minimum(last));
  const at::Tensor log_probability = at::log_softmax(scaled, 1).gather(1, token.unsqueeze(1)).squeeze(1);
  return {token, log_probability.to(at::kFloat)};
}

// logits [B, V], choices float64 [B, 5] -> tokens int64 [B], log-probabilities float32 [B]
std::tuple<at::Tensor, at::Tensor> choose(const at::Tensor& logits, const at::Tensor& choices) {
  TORCH_CHECK(logits.dim() == 2 && logits.size(1) > 0 && choices.dim() == 2 && choices.size(0) == logits.size(0) &&
                  choices.size(1) == kColumns && choices.scalar_type() == at::kDouble,
              "choose: expected logits [B, V] and float64 choices [B, 5], got ", logits.sizes(), " and ", choices.sizes());
  const Kernels* kernels = kernels_for(logits);
  if (kernels == nullptr || !choices.is_cpu()) return choose_by_aten(logits, choices);
  const at::Tensor input = logits.contiguous(), table = choices.contiguous();
  const int64_t rows = logits.size(0), size = logits.size(1);
  at::Tensor tokens = at::empty({rows}, logits.options().dtype(at::kLong));
  at::Tensor log_probabilities = at::empty({rows}, logits.options().dtype(at::kFloat));
  with_type(logits.scalar_type(), [&]<typename T>(T) {
    at::parallel_for(0, rows, grain(size), [&](int64_t begin, int64_t end) {
      static thread_local Scratch scratch;
      auto* memory = scratch.get<float>(2 * size * sizeof(float));
      for (int64_t row = begin; row < end; ++row) {
        const auto* column = pointer<const double>(table) + row * kColumns;
        const Choice choice{static_cast<float>(column[kTemperature]), static_cast<int64_t>(column[kTopK]),
                            static_cast<float>(column[kTopP]), static_cast<float>(column[kMinP]), column[kDraw]};
        pointer<int64_t>(tokens)[row] = kernels->of<T>().choose(pointer<const T>(input) + row * size, size, choice, memory,
                                                                pointer<float>(log_probabilities) + row);
      }
    });
  });
  return {tokens, log_probabilities};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(nudge, library) {
  library.def("cache_append_(Tensor(a!) keys, Tensor(b!) values, Tensor k, Tensor v, Tensor slots) -> ()", cache_append_);
  library.def("cached_attention(Tensor q, Tensor keys, Tensor values, Tensor table, Tensor lengths, float scale) -> Tensor",
              cached_attention);
  library.def("choose(Tensor logits, Tensor choices) -> (Tensor tokens, Tensor log_probabilities)", choose);
}

}  // namespace nudge::kernels
