import type { Device, DType, Generator } from '../../tensor/index.ts';

/** Options that every layer with weights takes. */
export interface LayerOptions {
  /** Default `float32`. */
  dtype?: DType;
  /** Default `cpu`. */
  device?: Device;
  /**
   * `default` draws PyTorch's initial values. `none` leaves the memory as it is, for weights that are loaded right after: on a
   * model of 1B parameters that saves the seconds that drawing them takes. Reading such a layer before loading gives garbage.
   */
  init?: 'default' | 'none';
  /** Draws the initial values from this generator instead of the device's default one. */
  generator?: Generator;
}

/** The tensor options of a layer, ready for `torch.empty`. */
export function tensorOptions(options: LayerOptions): { dtype: DType; device: Device } {
  return { dtype: options.dtype ?? 'float32', device: options.device ?? 'cpu' };
}

/** The generator as the random operators take it. */
export function randomOptions(options: LayerOptions): { generator?: Generator } {
  return options.generator === undefined ? {} : { generator: options.generator };
}
