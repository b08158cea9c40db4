/** Reads tensors that have elements but no memory behind them. Each once crashed the process. */
import { type Tensor, torch } from '../../src/tensor/index.ts';

const attempt = (fn: () => unknown): unknown => {
  try {
    return fn();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
};
const zeros = (): Tensor => torch._efficientzerotensor([2]);
console.log(
  JSON.stringify({
    list: attempt(() => zeros().tolist()),
    bytes: attempt(() => zeros().bytes().length),
    text: attempt(() => String(zeros())),
    sum: attempt(() => zeros().add(1).tolist()),
    map: attempt(() => zeros().map()),
  }),
);
