/** Tokenizers and chat templates. Loads without libtorch. */

export type { AddedToken } from './added.ts';
export { BUILTIN_TEMPLATES, type BuiltinTemplateName } from './chat/builtin.ts';
export type { ChatMessage } from './chat/messages.ts';
export {
  type ChatOptions,
  type RenderedChat,
  type RenderOptions,
  renderChat,
  renderTrainingChat,
  type TrainingChat,
  type TrainingOptions,
} from './chat/render.ts';
export { ChatTemplate } from './chat/template.ts';
export type { DecodeOptions, StreamDecoder } from './decode.ts';
export { type GgufTokenizerMetadata, tokenizerFromGguf } from './formats/gguf.ts';
export type { TiktokenOptions } from './formats/tiktoken.ts';
export { type LoadTokenizerOptions, loadTokenizer } from './load.ts';
export { type EncodedPair, encodePair, type PairOptions } from './pair.ts';
export { type SaveTokenizerOptions, saveTokenizer, tokenizerFiles } from './save.ts';
export type { PadChoice } from './special.ts';
export {
  type EncodeOptions,
  type Encoding,
  Tokenizer,
  type TokenizerFiles,
  type TokenizerOptions,
} from './tokenizer.ts';
