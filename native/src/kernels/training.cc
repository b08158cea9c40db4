// Linear maps outside inference mode, with their gradients: in bfloat16 where the processor has no instructions for it, and with
// a LoRA update on them. bfloat16 is widened to float32 a block at a time, multiplied by ATen's float32 product and rounded once:
// five times as fast as ATen's bfloat16 product there.
#include "training.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include "support.h"

namespace nudge::kernels {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Widened weights and float32 results of a block: so many elements, that both stay in a cache until they are used.
constexpr int64_t kBlockElements = 1 << 20;

// Outputs computed together: all of them where nothing has to be widened.
int64_t block_of(int64_t rows, int64_t in, int64_t out, bool widens) {
  if (!widens) return out;
  const int64_t most = std::max<int64_t>(256, kBlockElements / std::max(rows, in));
  const int64_t blocks = (out + most - 1) / most;
  return (out + blocks - 1) / blocks;
}

at::Tensor wide(const at::Tensor& x) { return x.to(at::kFloat); }

// The columns or rows of a block; the tensor itself where that is all of it, so that its layout is known to the product.
at::Tensor part(const at::Tensor& x, int64_t dim, int64_t begin, int64_t count) {
  return count == x.size(dim) ? x : x.narrow(dim, begin, count);
}

// y = x Wᵀ + b + scaling (x Aᵀ) Bᵀ; b, A and B may be undefined.
struct Map {
  at::Tensor weight, bias, a, b;
  double scaling;
};

// x [N, in] -> y [N, out]; narrow [N, r] float32 becomes x Aᵀ.
at::Tensor forward_of(const at::Tensor& x, const Map& map, at::Tensor& narrow) {
  const int64_t rows = x.size(0), in = map.weight.size(1), out = map.weight.size(0);
  const bool widens = x.scalar_type() != at::kFloat;
  const at::Tensor input = wide(x);
  if (map.a.defined()) narrow = at::mm(input, wide(map.a).t());
  const at::Tensor b = map.b.defined() ? wide(map.b) : at::Tensor();
  at::Tensor y = widens ? at::empty({rows, out}, x.options()) : at::Tensor();
  const int64_t block = block_of(rows, in, out, widens);
  for (int64_t begin = 0; begin < out; begin += block) {
    const int64_t count = std::min(block, out - begin);
    const at::Tensor weight = wide(part(map.weight, 0, begin, count));
    at::Tensor product = map.bias.defined() ? at::addmm(wide(part(map.bias, 0, begin, count)), input, weight.t())
                                            : at::mm(input, weight.t());
    if (b.defined()) product.addmm_(narrow, part(b, 0, begin, count).t(), 1, map.scaling);
    if (!widens) return product;
    part(y, 1, begin, count).copy_(product);
  }
  return y;
}

struct Wanted {
  bool x, weight, bias, a, b;
};

struct Gradients {
  at::Tensor x, weight, bias, a, b;
};

// From dy [N, out], without a graph of its own.
Gradients backward_of(const at::Tensor& dy, const at::Tensor& x, const Map& map, const at::Tensor& narrow, const Wanted& wanted) {
  const int64_t rows = dy.size(0), in = map.weight.size(1), out = map.weight.size(0);
  const bool widens = dy.scalar_type() != at::kFloat, low_rank = map.a.defined();
  const at::Tensor input = wanted.weight || wanted.a ? wide(x) : at::Tensor();
  const at::Tensor b = low_rank ? wide(map.b) : at::Tensor();
  Gradients to;
  at::Tensor dx, dnarrow, db;
  if (wanted.weight && widens) to.weight = at::empty({out, in}, map.weight.options());
  if (wanted.bias) to.bias = at::empty({out}, map.bias.options());
  if (wanted.b) db = at::empty(map.b.sizes(), dy.options().dtype(at::kFloat));
  const int64_t block = block_of(rows, in, out, widens);
  for (int64_t begin = 0; begin < out; begin += block) {
    const int64_t count = std::min(block, out - begin);
    const at::Tensor g = wide(part(dy, 1, begin, count));
    if (wanted.x) {
      const at::Tensor weight = wide(part(map.weight, 0, begin, count));
      if (begin == 0) dx = at::mm(g, weight);
      else dx.addmm_(g, weight);
    }
    if (wanted.weight) {
      const at::Tensor dw = at::mm(g.t(), input);
      if (widens) part(to.weight, 0, begin, count).copy_(dw);
      else to.weight = dw;
    }
    if (wanted.bias) part(to.bias, 0, begin, count).copy_(g.sum(0));
    if (low_rank) {
      if (begin == 0) dnarrow = at::mm(g, part(b, 0, begin, count));
      else dnarrow.addmm_(g, part(b, 0, begin, count));
      if (wanted.b) part(db, 0, begin, count).copy_(at::mm(narrow.t(), g).t());
    }
  }
  if (low_rank) {
    if (wanted.x) dx.addmm_(dnarrow, wide(map.a), 1, map.scaling);
    if (wanted.a) to.a = at::mm(dnarrow.t(), input).mul_(map.scaling).to(map.a.scalar_type());
    if (wanted.b) to.b = db.mul_(map.scaling).to(map.b.scalar_type());
  }
  if (wanted.x) to.x = dx.to(dy.scalar_type());
  return to;
}

// The same with a graph, for gradients of gradients.
Gradients differentiable_backward_of(const at::Tensor& dy, const at::Tensor& x, const Map& map, const Wanted& wanted) {
  const at::Tensor g = wide(dy), input = wide(x);
  Gradients to;
  at::Tensor dnarrow;
  if (map.a.defined()) dnarrow = at::mm(g, wide(map.b)) * map.scaling;
  if (wanted.x) {
    const at::Tensor dx = at::mm(g, wide(map.weight));
    to.x = (map.a.defined() ? dx + at::mm(dnarrow, wide(map.a)) : dx).to(dy.scalar_type());
  }
  if (wanted.weight) to.weight = at::mm(g.t(), input).to(map.weight.scalar_type());
  if (wanted.bias) to.bias = g.sum(0).to(map.bias.scalar_type());
  if (wanted.a) to.a = at::mm(dnarrow.t(), input).to(map.a.scalar_type());
  if (wanted.b) to.b = (at::mm(g.t(), at::mm(input, wide(map.a).t())) * map.scaling).to(map.b.scalar_type());
  return to;
}

// An undefined tensor cannot be an argument of such a function, hence the optional ones.
using MaybeTensor = std::optional<at::Tensor>;

MaybeTensor maybe(const at::Tensor& x) { return x.defined() ? MaybeTensor(x) : std::nullopt; }

struct MapFunction : torch::autograd::Function<MapFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, const MaybeTensor& bias,
                            const MaybeTensor& a, const MaybeTensor& b, double scaling) {
    const Map map{weight, bias.value_or(at::Tensor()), a.value_or(at::Tensor()), b.value_or(at::Tensor()), scaling};
    at::Tensor narrow;
    at::Tensor y = forward_of(x, map, narrow);
    // x is kept for the weights' gradients only.
    const bool learns = weight.requires_grad() || (a && a->requires_grad()) || (b && b->requires_grad());
    context->save_for_backward({learns ? x : at::Tensor(), weight, map.bias, map.a, map.b, narrow});
    context->saved_data["scaling"] = scaling;
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& outputs) {
    const variable_list saved = context->get_saved_variables();
    const Map map{saved[1], saved[2], saved[3], saved[4], context->saved_data["scaling"].toDouble()};
    // Arguments that are there are numbered, the others not.
    size_t next = 0;
    const auto wants = [&](const at::Tensor& argument) { return argument.defined() && context->needs_input_grad(next++); };
    Wanted wanted{};
    wanted.x = context->needs_input_grad(next++);
    wanted.weight = wants(map.weight);
    wanted.bias = wants(map.bias);
    wanted.a = wants(map.a);
    wanted.b = wants(map.b);
    const at::Tensor& dy = outputs[0];
    if (!dy.defined()) return variable_list(6);
    const Gradients to = at::GradMode::is_enabled() ? differentiable_backward_of(dy, saved[0], map, wanted)
                                                    : backward_of(dy, saved[0], map, saved[5], wanted);
    return {to.x, to.weight, to.bias, to.a, to.b, at::Tensor()};
  }
};

}  // namespace

bool widens(const at::Tensor& x) {
  const Kernels* kernels = selected();
  return kernels != nullptr && kernels->widens && x.is_cpu() && x.scalar_type() == at::kBFloat16;
}

at::Tensor trainable_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& a,
                            const at::Tensor& b, double scaling) {
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = weight.size(0);
  const at::Tensor rows = x.reshape({-1, weight.size(1)});
  return MapFunction::apply(rows, weight, maybe(bias), maybe(a), maybe(b), scaling).view(shape);
}

}  // namespace nudge::kernels
