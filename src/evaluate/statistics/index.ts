/** Statistics on plain numbers: no tensors, nothing to set up. */
export {
  cohenKappa,
  fleissKappa,
  type KappaWeights,
  kendallTauB,
  krippendorffAlpha,
  krippendorffAlphaInterval,
  type MeasurementLevel,
  type Ratings,
} from './agreement.ts';
export { bestOfN, bestOfNKl } from './bestOfN.ts';
export { type BootstrapOptions, bootstrap, bootstrapMean, pairedBootstrap } from './bootstrap.ts';
export { bradleyTerryCeiling, type Calibration, type CalibrationBin, calibration } from './calibration.ts';
export { type Clusters, clustersOf, type Estimate, type IntervalOptions, mean, standardDeviation } from './estimate.ts';
export {
  type LengthControlledInputs,
  type LengthControlledOptions,
  type LengthControlledWinRate,
  lengthControlledWinRate,
} from './lengthControlled.ts';
export { type LogisticFit, type LogisticOptions, logisticRegression } from './logistic.ts';
export { normalQuantile } from './normal.ts';
export { accuracy, outcomeOf, type WinRate, wilson, winRate } from './proportions.ts';
export { bradleyTerryStrengths, type Match, type Strength } from './strengths.ts';
export { type Diversity, distinct, diversity, repetition, type Summary, selfBleu, summary, words } from './texts.ts';
