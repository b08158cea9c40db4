/** Loading many tensors at once. */

import type { Device, DType, Tensor } from '../../tensor/index.ts';
import { isFloatingPoint } from './format.ts';
import type { TensorInfo } from './header.ts';
import { openSafetensors, type SafetensorsReader } from './reader.ts';

export interface LoadOptions {
  /** Only these, each of which must be there. Default: all. */
  names?: readonly string[];
  /** Only those for which this returns true. */
  filter?: (info: TensorInfo) => boolean;
  /** Default: the CPU. */
  device?: Device;
  /** Precision for the floating-point tensors; integers and booleans stay as they are. Default: as stored. */
  dtype?: DType;
}

/**
 * Loads tensors from a `.safetensors` file, a sharded model's index or a model's directory.
 *
 *     const weights = await loadSafetensors('models/SmolLM2-135M', { dtype: 'bfloat16' });
 *
 * Peak memory: the tensors asked for, and, when they are converted or moved, the largest of them as stored.
 *
 * @returns the tensors by name, in the order of the data.
 * @throws NudgeError BAD_FILE for a damaged model, before any tensor is read; BAD_ARGUMENT for a name that is not there;
 * IO_FAILED. The tensors made until then are freed.
 */
export async function loadSafetensors(path: string, options: LoadOptions = {}): Promise<Map<string, Tensor>> {
  const { device = 'cpu', dtype } = options;
  await using model = await openSafetensors(path);
  const chosen = select(model, options);
  const { TensorLoader } = await import('./tensor.ts');
  using loader = new TensorLoader(
    model,
    chosen.reduce((most, { begin, end }) => Math.max(most, end - begin), 0),
  );
  const tensors = new Map<string, Tensor>();
  try {
    for (const { name, dtype: stored } of chosen) {
      const convert = dtype !== undefined && isFloatingPoint(stored);
      tensors.set(name, await loader.load(name, convert ? { device, dtype } : { device }));
    }
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  }
  return tensors;
}

function select(model: SafetensorsReader, { names, filter }: LoadOptions): TensorInfo[] {
  // Every name is looked up before the first byte is read, so that a typo costs nothing.
  const wanted = names === undefined ? null : new Set(names.map((name) => model.info(name).name));
  return model.names
    .map((name) => model.info(name))
    .filter((info) => (wanted === null || wanted.has(info.name)) && (filter === undefined || filter(info)));
}
