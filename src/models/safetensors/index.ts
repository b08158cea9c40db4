/**
 * The safetensors format, read and written. Opening a file, its headers and its raw bytes need no libtorch; `tensor()` and
 * `loadSafetensors` load it on first use.
 */

export { SAFETENSORS_DTYPES, type SafetensorsDtype, safetensorsDtype, torchDtype } from './format.ts';
export { parseHeader, type SafetensorsHeader, type TensorInfo } from './header.ts';
export type { RawTensor } from './layout.ts';
export { type LoadOptions, loadSafetensors } from './load.ts';
export { type ConvertOptions, openSafetensors, type SafetensorsReader } from './reader.ts';
export { saveSafetensors } from './save.ts';
export { type SaveOptions, writeSafetensors } from './write.ts';
