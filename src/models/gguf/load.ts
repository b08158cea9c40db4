/** Loading many tensors at once. */

import type { Device, DType, Tensor } from '../../tensor/index.ts';
import { checkReadable } from './dequantise.ts';
import type { GgufTensorInfo } from './header.ts';
import { type GgufReader, openGguf } from './reader.ts';

export interface GgufLoadOptions {
  /** Only these, by their names in the file, each of which must be there. Default: all. */
  names?: readonly string[];
  /** Default: the CPU. */
  device?: Device;
  /** Precision for quantised and floating-point tensors; integers stay as they are. Default: float32, or as stored if plain. */
  dtype?: DType;
}

/**
 * Loads tensors under their names in the file. For a model's weights as transformers names and arranges them, see
 * `loadGgufModel`.
 *
 * Peak memory: the tensors asked for and a few megabytes (of plain tensors that are converted, the largest as stored).
 *
 * @param model an open reader, or a path as for `openGguf`.
 * @throws NudgeError BAD_FILE for a damaged model or a quantisation that cannot be read, before any tensor is read;
 * BAD_ARGUMENT for a name that is not there; IO_FAILED. The tensors made until then are freed.
 */
export async function loadGguf(
  model: GgufReader | string,
  options: GgufLoadOptions = {},
): Promise<Map<string, Tensor>> {
  if (typeof model === 'string') {
    await using opened = await openGguf(model);
    return await loadGguf(opened, options);
  }
  const { device = 'cpu', dtype, names = [...model.tensors.keys()] } = options;
  const chosen = [...new Set(names)].map((name) => model.info(name));
  for (const { name, type } of chosen) checkReadable(model.path, name, type);
  const { GgufTensorLoader } = await import('./tensor.ts');
  using loader = new GgufTensorLoader(model);
  const tensors = new Map<string, Tensor>();
  try {
    for (const info of chosen) {
      const convert = dtype !== undefined && !isInteger(info);
      tensors.set(info.name, await loader.load(info.name, convert ? { device, dtype } : { device }));
    }
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  }
  return tensors;
}

function isInteger({ type }: GgufTensorInfo): boolean {
  return /^I\d+$/.test(type);
}
