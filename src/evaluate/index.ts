/** Measuring what training did: comparisons of policies, and the statistics behind every figure. See docs/evaluate.md. */
export {
  type Answer,
  type ComparedPrompt,
  type ComparisonRun,
  compareAnswers,
  type Judge,
  type JudgeOptions,
  type PolicyAnswer,
} from './compare.ts';
export { ComparisonConfig, ComparisonReport, type ComparisonRow, type JudgeReport } from './report.ts';
export * from './statistics/index.ts';
