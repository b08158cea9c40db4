/** Datasets: records, readers and writers, splits, and records as token ids. Loads without libtorch. */

export { answerMessages, promptKey, promptMessages } from './conversation.ts';
export {
  preferenceToCompletion,
  preferenceToRanking,
  preferenceToUnpaired,
  rankingToPreferences,
  toPrompt,
} from './convert.ts';
export { type Deduplicated, deduplicate } from './duplicates.ts';
export {
  EncodeConfig,
  type EncodedCompletion,
  type EncodeRecordOptions,
  encodeCompletion,
  encodeCompletions,
  encodePrompt,
  encodeText,
} from './encode.ts';
export {
  type AnyLoaded,
  type BadRecord,
  type GoodRecord,
  type Loaded,
  type LoadOptions,
  loadRecords,
  type SkipOptions,
  streamRecords,
} from './load.ts';
export {
  type BadRow,
  type FileKind,
  type GoodRow,
  kindOf,
  type Place,
  type RawRow,
  type ReadOptions,
  readRows,
  showPlace,
} from './read/index.ts';
export {
  type AnyRecord,
  type CompletionRecord,
  type Content,
  checkRecord,
  type Extra,
  type Fault,
  FORMATS,
  type Format,
  type PreferenceRecord,
  type PromptRecord,
  type RankingRecord,
  RECORD_SCHEMAS,
  type RecordsByFormat,
  type TextRecord,
  type UnpairedRecord,
} from './records.ts';
export {
  checkFormat,
  detectFormat,
  type FieldMap,
  parseFieldMap,
  type Row,
  type RowOptions,
  toRecord,
} from './rows.ts';
export { gsm8kAnswer, readFineGrainedQa, readOasstTrees, readUkpConvArg, readXsTest } from './sources/index.ts';
export { recordKey, type SplitOptions, splitByPrompt } from './split.ts';
export {
  type TokenCompletion,
  type TokenExample,
  TokeniseConfig,
  type Tokenised,
  type TokeniseOptions,
  type TokenPreference,
  type TokenPrompt,
  type TokenRanking,
  type TokenReport,
  type TokensByFormat,
  type TokenUnpaired,
  tokenise,
} from './tokenise.ts';
export { isTranscript, parseTranscript } from './transcript.ts';
export { describeTruncation, LengthConfig, type LengthOptions, type TruncationReport } from './truncate.ts';
export { type WriteOptions, writeAtomically } from './write/atomic.ts';
export { toRow } from './write/flatten.ts';
export { writeJsonLines } from './write/jsonl.ts';
export { type ParquetWriteOptions, writeParquet } from './write/parquet.ts';
