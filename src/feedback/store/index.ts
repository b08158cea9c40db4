/** The preference store: what was shown to whom, and what they said. Loads without libtorch. */

export type { AssignOptions } from './assign.ts';
export {
  canCompare,
  type MarginSource,
  type PreferenceOptions,
  toPreferences,
  toRankings,
  toUnpaired,
} from './derive.ts';
export {
  type Completion,
  type Display,
  type Flag,
  type Judgement,
  type Labeller,
  type LabellerKind,
  type NewCompletion,
  type NewDisplay,
  type NewJudgement,
  NewJudgementSchema,
  type NewLabeller,
  type NewPrompt,
  type NewTask,
  type Origin,
  type Prompt,
  type Snapshot,
  type SnapshotFilter,
  SnapshotFilterSchema,
  type Task,
} from './records.ts';
export type { JudgedTask, Lineage } from './snapshots.ts';
export { openStore, PreferenceStore, type StoreOptions } from './store.ts';
export type { StoreSummary } from './summary.ts';
export {
  type Exported,
  type ExportOptions,
  exportRecords,
  type Imported,
  type ImportOptions,
  importRecords,
} from './transfer/index.ts';
export type { Verification } from './verify.ts';
