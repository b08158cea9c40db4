/**
 * The GGUF format, read and written. Opening a file, its metadata and raw bytes need no libtorch; `tensor()` and the
 * functions that load or save tensors load it on first use.
 */

export { ggufToHf, type HfConfig, type TensorFacts } from './config.ts';
export { READABLE_TYPES } from './dequantise.ts';
export { GGUF_TYPES, type GgufType } from './format.ts';
export { type GgufHeader, type GgufTensorInfo, parseGgufHeader } from './header.ts';
export { hfToGguf, ropeFactors } from './hfConfig.ts';
export type { GgufRawTensor } from './layout.ts';
export { type GgufLoadOptions, loadGguf } from './load.ts';
export {
  type GgufArray,
  type GgufMetadata,
  type GgufValue,
  ggufBoolean,
  ggufCount,
  ggufNumber,
  ggufNumbers,
  ggufString,
  ggufStrings,
} from './metadata.ts';
export { ARCHITECTURES, type Architecture, hfNames, type NameMap } from './names.ts';
export { type GgufConvertOptions, type GgufReader, openGguf } from './reader.ts';
export { type GgufSaveOptions, type SavedType, saveGguf } from './save.ts';
export { type HfModel, saveGgufModel } from './saveModel.ts';
export { type GgufTokenizerOptions, ggufTokenizerMetadata } from './tokenizer.ts';
export { type GgufModel, type GgufModelOptions, GgufWeights, loadGgufModel, readGgufConfig } from './weights.ts';
export { type GgufWriteOptions, writeGguf } from './write.ts';
