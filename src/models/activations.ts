/** The nonlinearities that configurations name. */
import { kernels } from '../nn/index.ts';
import { type Tensor, torch } from '../tensor/index.ts';

/** Elementwise. */
export type Activation = (x: Tensor) => Tensor;

const tanhGelu: Activation = (x) => torch.gelu(x, { approximate: 'tanh' }); // same shape
const gelu: Activation = (x) => torch.gelu(x); // same shape
const silu: Activation = (x) => torch.silu(x); // same shape

/** By transformers' names. Its `gelu_new`, `gelu_fast` and `gelu_pytorch_tanh` are one formula written three ways. */
export const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  silu,
  swish: silu,
  gelu,
  gelu_python: gelu,
  gelu_new: tanhGelu,
  gelu_fast: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  relu: (x) => torch.relu(x), // same shape
};

/** activation(gate) · up, in one pass where there is a kernel for it: [N, I] each. */
export function gated(activation: Activation, gate: Tensor, up: Tensor): Tensor {
  return activation === silu ? kernels.swiglu(gate, up) : activation(gate).mul(up); // [N, I]
}
