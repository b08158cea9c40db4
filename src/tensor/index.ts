/** The tensor library: libtorch's operators, autograd, memory and devices. See docs/tensor-api.md. */

export type { TensorData, TensorOptions } from './create.ts';
export type { DType, TypedArray } from './dtype.ts';
export { DTYPES, dtypeBytes, isDType } from './dtype.ts';
export type { Complex } from './elements.ts';
export type { Index, Slice } from './indexing.ts';
export { slice } from './indexing.ts';
export type { MemoryReport } from './memory.ts';
export type { AutocastOptions } from './modes.ts';
export type { EngineVersion } from './native.ts';
export type { Nested } from './print.ts';
export { Generator } from './random.ts';
export type { ComplexScalar, FloatScalar, Scalar } from './scalars.ts';
export { Scope } from './scope.ts';
export type { BackwardOptions, Device, ExpectedSize } from './tensor.ts';
export { Tensor } from './tensor.ts';
export type { GradOptions, Torch } from './torch.ts';
export { torch } from './torch.ts';
