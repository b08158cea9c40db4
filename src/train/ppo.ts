/**
 * PPO against a reward, held near a reference by a KL penalty (Ziegler et al., 1909.08593; InstructGPT, 2203.02155; the N+
 * implementation details, Huang et al., 2403.17031).
 *
 *     const models = adapterModels(model, { reward: 'reward' });
 *     const rewards = [{ name: 'model', score: rewardModel({ model, adapter: 'reward' }) }];
 *     await trainPpo({ models, prompts, rewards, tokenizer, stopIds: tokenizer.eosIds }, { klCoef: 0.05 }, { directory });
 *
 * Where it deviates from the papers, what every metric means and what was measured: docs/algorithms/ppo.md
 */
import { join } from 'node:path';
import { InvariantError, NudgeError } from '../errors.ts';
import type { TextCodec } from '../generate/index.ts';
import { AdaptiveKlController, FixedKlController, type KlController } from '../losses/index.ts';
import { type LoraAdapters, saveAdapter, saveModel } from '../models/index.ts';
import { percent } from '../setup/progress.mjs';
import type { Json } from './checkpoint.ts';
import { Guard, type GuardState } from './guard.ts';
import type { Metrics } from './metrics.ts';
import { modelFingerprint } from './pack.ts';
import { decisivePart, type PpoConfig, type PpoOptions, resolvePpoConfig, stepsOf } from './ppo/config.ts';
import { experienceOf } from './ppo/experience.ts';
import { Learner, type PretrainingText } from './ppo/learner.ts';
import { CompletionLog } from './ppo/log.ts';
import { assess, CompletionTokens, inputLength, StepTrunk } from './ppo/passes.ts';
import { type RewardTerm, scoreRollouts, viewsOf } from './ppo/rewards.ts';
import { type PpoPrompt, RolloutSampler } from './ppo/rollout.ts';
import { peakMemory, rolloutMetrics, type StepFacts, Stopwatch } from './ppo/statistics.ts';
import { checkModels, type ModelView, type PpoModels, trainedParameters } from './ppo/view.ts';
import type { TrainRun } from './run.ts';
import { fingerprint, TrainSession } from './session.ts';

export interface PpoInputs {
  readonly models: PpoModels;
  readonly prompts: readonly PpoPrompt[];
  /** What is worked for: the weighted sum of these. */
  readonly rewards: readonly RewardTerm[];
  /** Tokens that end a completion, such as `tokenizer.eosIds`. */
  readonly stopIds: readonly number[];
  /** Gives reward functions and the log their texts. */
  readonly tokenizer?: TextCodec;
  /** What belongs beside the policy where a whole model is saved: `companionFiles` of one from a GGUF file. */
  readonly files?: ReadonlyMap<string, string | Uint8Array>;
  /** For PPO-ptx (`ptxCoef`): text that the policy must not forget. */
  readonly pretraining?: readonly PretrainingText[];
}

export interface PpoResult {
  readonly steps: number;
  readonly totalSteps: number;
  /** Whether the run was stopped before its end; called again, it goes on. */
  readonly stopped: boolean;
  /** The last step's. */
  readonly metrics: Metrics;
  /** Directories of policy and value model: adapters in PEFT's format or models in transformers'; null where the run was stopped. */
  readonly output: { readonly policy: string; readonly value: string } | null;
}

/** What a checkpoint holds besides tensors. */
interface Progress {
  readonly controller: { readonly coef: number };
  readonly guard: GuardState;
  readonly metrics: Metrics;
}

/**
 * Trains a policy. @throws NudgeError BAD_ARGUMENT by the preflight or a reward function that does not answer, TRAINING_DIVERGED,
 * DISK_FULL, IO_FAILED.
 */
export async function trainPpo(inputs: PpoInputs, options: PpoOptions, run: TrainRun): Promise<PpoResult> {
  const config = resolvePpoConfig(options);
  const { models } = inputs;
  checkInputs(inputs, config);
  for (const { model } of Object.values(models)) model.eval();
  const totalSteps = stepsOf(config);
  const controller = controllerOf(config);
  const guard = new Guard({ explosions: EXPLOSIONS });
  using session = await openSession(inputs, config, run);
  using log = CompletionLog.open(run.directory, session.resumed?.step ?? null);
  using sampler = new RolloutSampler(models.policy, inputs, config);
  using learner = new Learner(models, config, inputs.pretraining ?? [], guard);
  const tensors = { policy: trainedParameters(models.policy), value: trainedParameters(models.value) };

  let step = session.resumed?.step ?? 0;
  let metrics: Metrics = {};
  if (session.resumed !== null) {
    await session.resumed.restore({ tensors, optimizers: learner.optimizers });
    const progress = session.state as unknown as Progress;
    controller.restore(progress.controller);
    guard.restore(progress.guard);
    metrics = progress.metrics;
  }
  const save = async () => {
    log.flush();
    const state = { controller: controller.state(), guard: guard.state(), metrics };
    await session.save(step, { tensors, optimizers: learner.optimizers, state: state as unknown as Json });
    return Date.now();
  };
  // Before the first step too: the weights from which the run began are kept, and a full disk shows at once.
  let savedAt = session.resumed === null ? await save() : Date.now();

  const first = step + 1;
  let stopped = step < totalSteps && session.stopsAfter(step);
  while (step < totalSteps && !stopped) {
    step++;
    const watch = new Stopwatch();

    // Sample, and score what was sampled.
    const rollouts = await watch.time('generate', () => sampler.sample(step));
    using trunk = new StepTrunk([...Object.values(models), ...viewsOf(inputs.rewards)]);
    const scores = await watch.time('score', () => scoreRollouts(rollouts, inputs.rewards, config, trunk));

    // What policy, reference and value model think of it, and so what each token is worth.
    const plan = learner.plan(step, 0, rollouts);
    const assessment = await watch.time('assess', () => assess(models, rollouts, plan, trunk, config));
    const tokens = new CompletionTokens(rollouts);
    const experience = experienceOf(assessment, tokens, scores.final, controller.coef, config);
    const facts: StepFacts = { rollouts, scores, experience, tokens, klCoef: controller.coef };
    const about = rolloutMetrics(facts);
    if (step === 1) checkStart(facts, about, inputs, config, (text) => session.note(text));
    guard.check(step, { 'kl/sequence': about['kl/sequence']! }, () => 'all rollouts');

    // Learn from it.
    const update = await watch.time('learn', () => learner.learn({ step, rollouts, experience, trunk }));
    if (step === first) checkRatio(update.firstRatioError);
    controller.update(about['kl/sequence']!, rollouts.length);

    metrics = { ...about, ...update.metrics, episodes: step * config.batchSize, ...watch.metrics(), ...peakMemory() };
    session.step(step, totalSteps, metrics, rollouts.reduce((sum, one) => sum + inputLength(one), 0) / watch.total);
    log.write(completionsOf(step, facts, config.logCompletions));
    stopped = step < totalSteps && session.stopsAfter(step);
    const due = step % config.saveSteps === 0 || Date.now() - savedAt > config.saveSeconds * 1000;
    if (due || stopped || step === totalSteps) savedAt = await save();
  }
  if (stopped) return { steps: step, totalSteps, stopped, metrics, output: null };
  const output = { policy: join(run.directory, 'policy'), value: join(run.directory, 'value') };
  for (const role of ['policy', 'value'] as const) await saveView(output[role], models[role], inputs.files);
  return { steps: step, totalSteps, stopped, metrics, output };
}

/** A run whose KL or value loss stays far above what is usual for it has left the text it knew. */
const EXPLOSIONS = {
  'kl/sequence': { ratio: 10, floor: 200 },
  'value/loss': { ratio: 1000, floor: 100 },
  'policy/gradNorm': { ratio: 1000, floor: 100 },
};

function openSession(inputs: PpoInputs, config: PpoConfig, run: TrainRun): Promise<TrainSession> {
  const { models, prompts, rewards, stopIds, pretraining = [] } = inputs;
  const trained = [models.policy, models.value].flatMap((view) => trainedParameters(view).map(([, weight]) => weight));
  const views = Object.entries(models).map(([role, { model, adapter }]) => [
    role,
    modelFingerprint(model, trained),
    adapter,
  ]);
  const terms = rewards.map(({ name, weight = 1 }) => [name, weight]);
  return TrainSession.open(run, {
    kind: 'ppo',
    config: decisivePart(config) as unknown as Json,
    inputs: fingerprint(views, prompts, terms, stopIds, pretraining),
    tensorboard: config.tensorboard,
  });
}

function controllerOf({ adaptiveKl, klCoef, klTarget, klHorizon }: PpoConfig): KlController {
  if (!adaptiveKl) return new FixedKlController(klCoef);
  return new AdaptiveKlController({ coef: klCoef, target: klTarget, horizon: klHorizon });
}

function checkInputs({ models, rewards, pretraining = [] }: PpoInputs, config: PpoConfig): void {
  checkModels(models);
  const refuse = (summary: string, path: string, remedy: string) => {
    throw new NudgeError('BAD_ARGUMENT', summary, { path, remedy });
  };
  if (rewards.length === 0) refuse('There is nothing to work for.', 'rewards', 'Give at least one reward function.');
  if (new Set(rewards.map(({ name }) => name)).size < rewards.length) {
    refuse('Two reward functions have the same name.', 'rewards', 'Name them apart: the metrics are called by it.');
  }
  const short = pretraining.findIndex(({ ids }) => ids.length < 2);
  if (short >= 0) refuse('This text has nothing to predict.', `pretraining[${short}]`, 'Leave out texts of one token.');
  if (config.ptxCoef > 0 === pretraining.length > 0) return;
  refuse(
    'PPO-ptx needs both a weight and text.',
    'ptxCoef, pretraining',
    'Set ptxCoef above 0 and give text, or neither.',
  );
}

/** What is checked once, before the first update: a mistake here would cost hours and show nowhere else. */
function checkStart(
  { rollouts, scores, experience }: StepFacts,
  about: Record<string, number>,
  { models, stopIds }: PpoInputs,
  { startsAtReference, maxCompletionLength }: PpoConfig,
  note: (text: string) => void,
): void {
  // A bfloat16 has eight bits; sums in another order differ in the last ones.
  const tolerance = models.policy.model.dtype === 'float32' ? 1e-4 : 0.05;
  const apart = experience.kl.reduce((most, kl) => Math.max(most, Math.abs(kl)), 0);
  if (startsAtReference && apart > tolerance) {
    throw new NudgeError('BAD_ARGUMENT', 'Policy and reference differ before the first update.', {
      path: 'models.reference',
      expected: 'the same log-probabilities: KL 0',
      received: `log-probabilities up to ${apart.toPrecision(3)} apart, KL ${about['kl/sequence']!.toPrecision(3)} a sequence`,
      remedy: 'Start both from the same weights, or set startsAtReference: false if the policy was trained before.',
    });
  }
  const cut = 1 - about['completion/eosRate']!;
  if (stopIds.length > 0 && cut > 0.9) {
    note(
      `${percent(cut)} of the completions were cut off at maxCompletionLength, ${maxCompletionLength}: ` +
        'raise it, or fine-tune the model on shorter answers first.',
    );
  }
  if (rollouts.length > 1 && scores.final.every((score) => score === scores.final[0])) {
    note(`All completions got the same score, ${scores.final[0]}: nothing can be learned from that.`);
  }
}

/** Log-probabilities are computed for a mini-batch as they will be in its first update: they must agree to the last bit. */
function checkRatio(error: number): void {
  if (error <= 1e-3) return;
  throw new InvariantError(
    `Before the first update of PPO the ratio of new to old probabilities is ${error.toPrecision(3)} away from 1.`,
  );
}

function completionsOf(step: number, { rollouts, scores, experience, tokens }: StepFacts, count: number) {
  const kl = tokens.sums(experience.kl); // [S]
  return rollouts.slice(0, count).map(({ prompt, text, ids, finished }, s) => ({
    step,
    prompt: prompt.prompt ?? '',
    completion: text,
    score: scores.raw[s]!,
    kl: kl[s]!,
    tokens: ids.length,
    finished,
  }));
}

async function saveView(directory: string, { model, adapter }: ModelView, files: PpoInputs['files']): Promise<void> {
  if (adapter === null)
    await saveModel(directory, model, { overwrite: true, ...(files === undefined ? {} : { files }) });
  else await saveAdapter(directory, model.adapters as LoraAdapters, adapter, { overwrite: true });
}

export {
  AdapterModelsConfig,
  type AdapterModelsInput,
  adapterModels,
  addValueAdapter,
  topLayers,
  type ValueAdapterOptions,
} from './ppo/adapters.ts';
export { PpoConfig, type PpoOptions } from './ppo/config.ts';
export type { PretrainingText } from './ppo/learner.ts';
export { COMPLETIONS_FILE, type LoggedCompletion, readCompletions } from './ppo/log.ts';
export {
  type RewardBatch,
  type RewardFunction,
  type RewardScoring,
  type RewardTerm,
  rewardModel,
} from './ppo/rewards.ts';
export type { PpoPrompt } from './ppo/rollout.ts';
export type { ModelView, PpoModels } from './ppo/view.ts';
