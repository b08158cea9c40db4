/** Reward models: training, scoring, what is saved, and the report. */
export { RewardConfig, type RewardOptions, type RewardSettings } from './config.ts';
export {
  ENSEMBLE_RULES,
  type EnsembleRule,
  memberName,
  type Normalisation,
  type RewardFile,
  RewardModel,
  type RewardModelOptions,
  readRewardFile,
} from './model.ts';
export type { RewardInputs } from './prepare.ts';
export { type CalibrationBin, type ReportInput, type RewardReport, reportReward, type Share } from './report.ts';
export { type RewardFormat, type RewardRow, rewardRows, type ScoredGroup } from './rows.ts';
export { type ScoreOptions, scoreCompletions, scoreTensor } from './score.ts';
export {
  type EnsembleResult,
  type RewardResult,
  trainReward,
  trainRewardEnsemble,
} from './trainer.ts';
