/** Runs: stages, their plan and manifests, the report. */

export { type RunConfig, type RunConfigInput, RunConfigSchema } from './config.ts';
export { parseYaml } from './document.ts';
export { estimatePlan, type StepEstimate } from './estimate.ts';
export { initialConfig, jsonSchema } from './init.ts';
export { type Manifest, readManifest } from './manifest.ts';
export { type PipelineOptions, type PipelineResult, planPipeline, runPipeline } from './pipeline.ts';
export type { Step } from './plan.ts';
export { findRun, listRuns, type RunRecord, type StoredRun } from './record.ts';
export type { ReportData } from './report/data.ts';
export { resolvePaths } from './rows.ts';
export type { ModelFacts, Stage, StageEvent, StageName } from './stage.ts';
