/** Simulated labellers with a hidden rubric, and the rubric as the gold judge. Loads without libtorch. */

export type { Features } from './features.ts';
export type { Profile, Verdict } from './labeller.ts';
export {
  createPool,
  type LabelOptions,
  labelTasks,
  type Pool,
  PoolConfig,
  type PoolLabeller,
  type PoolOptions,
} from './pool.ts';
export { type PoolReport, poolReport } from './report.ts';
export {
  goldScore,
  RUBRICS,
  type Rubric,
  type RubricInput,
  type RubricName,
  RubricSchema,
  rubricFeatures,
} from './rubric.ts';
