/**
 * A reward model on human preferences (Anthropic's hh_harmless, test split), beside TRL's RewardTrainer:
 *
 *     node scripts/experiments/reward-hh.ts --out /tmp/reward-hh [--model smollm2-135m-instruct] [--train 400] [--eval 300]
 *         [--layers 10] [--epochs 1] [--batch 16] [--lr 2e-4] [--length 384] [--seed 0] [--threads N] [--data ../shared/data]
 *     python bench/peers/reward_trl.py /tmp/reward-hh                # the same run in TRL; needs torch, transformers, peft, trl, datasets
 *
 * The peer gets the same token ids in the same order, the same base weights (as a Hugging Face directory) and the same fresh
 * adapter with its head, so that the losses of all steps can be laid beside each other, not only the outcomes. --prepare writes
 * these and ends. Prints one JSON object at the end; the losses are in OUT/nudge/metrics.jsonl.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { loadRecords, type PreferenceRecord, splitByPrompt } from '../../src/data/index.ts';
import { saveAdapter, saveModel } from '../../src/models/index.ts';
import { companionFiles, openPretrained } from '../../src/pretrained/index.ts';
import { torch } from '../../src/tensor/index.ts';
import { ChatTemplate } from '../../src/text/index.ts';
import {
  Batches,
  parseConfig,
  RewardConfig,
  type RewardRow,
  readMetrics,
  rewardRows,
  Trainable,
  trainReward,
} from '../../src/train/index.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    model: { type: 'string', default: 'smollm2-135m-instruct' },
    data: { type: 'string', default: join(import.meta.dirname, '../../../shared/data') },
    train: { type: 'string', default: '400' },
    eval: { type: 'string', default: '300' },
    layers: { type: 'string' },
    epochs: { type: 'string', default: '1' },
    batch: { type: 'string', default: '16' },
    lr: { type: 'string', default: '2e-4' },
    length: { type: 'string', default: '384' },
    seed: { type: 'string', default: '0' },
    threads: { type: 'string' },
    prepare: { type: 'boolean', default: false },
  },
});
const out = values.out ?? '/tmp/reward-hh';
if (values.threads !== undefined) torch.setNumThreads(Number(values.threads));

const config = parseConfig(
  RewardConfig,
  {
    seed: Number(values.seed),
    numTrainEpochs: Number(values.epochs),
    batchSize: Number(values.batch),
    learningRate: Number(values.lr),
    maxLength: Number(values.length),
    warmupRatio: 0,
    centerRewardsCoefficient: 0.01,
    lora: { rank: 16, alpha: 32 },
    evalSteps: 1_000_000,
    ...(values.layers === undefined ? {} : { layersToTrain: Number(values.layers) }),
  },
  'reward',
);

mkdirSync(out, { recursive: true });
const loaded = await loadRecords(join(values.data, 'preference/hh_harmless/test.jsonl.gz'), {
  format: 'preference',
  // A few transcripts of the source are damaged.
  skipBadRows: { to: join(out, 'bad.jsonl') },
});
using opened = await openPretrained(values.model, { dtype: 'float32' });
const { model, tokenizer, resolved } = opened;
// Base models have no template of their own; this one needs no tokens of its own.
const template = tokenizer.chatTemplate ?? ChatTemplate.builtin('zephyr');
const encode = (records: readonly PreferenceRecord[]) =>
  rewardRows(tokenizer, 'preference', records, { maxLength: config.maxLength, template });
// Rows that are too long are left out here, so that both sides see the same ones.
const fitting = encode(loaded.records).sources.map((i) => loaded.records[i]!);
// By prompt, never by pair. A part's share is met roughly: ask for a little more than needed.
const share = Math.min(0.5, (1.3 * Number(values.eval)) / fitting.length);
const parts = splitByPrompt(fitting, { parts: { train: 1 - share, heldOut: share }, seed: config.seed });
const train = parts.train!.slice(0, Number(values.train));
const evaluation = parts.heldOut!.slice(0, Number(values.eval));

const { rows } = encode(train);
const trainable = Trainable.of(model, { ...config, adapter: 'reward', head: true });
await preparePeer();
if (values.prepare) process.exit(0);

const directory = join(out, 'nudge');
rmSync(directory, { recursive: true, force: true });
const cpuSeconds: number[] = [];
const begun = performance.now();
const result = await trainReward(
  { model, tokenizer, resolved, format: 'preference', template, train, evaluation },
  config,
  {
    directory,
    onEvent: (event) => {
      if (event.type === 'note') process.stderr.write(`${event.text}\n`);
      if (event.type === 'step') cpuSeconds.push(process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6);
      if (event.type === 'step') process.stderr.write(`${event.step}/${event.totalSteps} ${event.metrics.loss}\n`);
    },
  },
);
const seconds = (performance.now() - begun) / 1000;
const steps = readMetrics(directory).filter(({ metrics }) => metrics.tokensPerSecond !== undefined);
const trainSeconds = steps.at(-1)!.time - steps[0]!.time;
const { accuracy, ece, length, margin, scores } = result.report!;
process.stdout.write(
  `${JSON.stringify({
    side: 'nudge',
    pairs: train.length,
    heldOut: evaluation.length,
    steps: result.steps,
    losses: steps.map(({ metrics }) => metrics.loss),
    // With the centring term, as TRL has it.
    evalLoss: result.evaluation!.loss! + config.centerRewardsCoefficient * result.evaluation!.centring!,
    accuracy,
    ece,
    length,
    margin,
    scores,
    seconds,
    secondsPerStep: trainSeconds / (steps.length - 1),
    cpuSecondsPerStep: (cpuSeconds.at(-1)! - cpuSeconds[0]!) / (cpuSeconds.length - 1),
    peakRssMiB: process.resourceUsage().maxRSS / 1024,
  })}\n`,
);

/** What the peer needs: base weights, the fresh adapter, token ids in the order of training, settings. */
async function preparePeer(): Promise<void> {
  const base = join(out, 'base');
  if (!existsSync(join(base, 'config.json'))) await saveModel(base, model, { files: companionFiles(opened) });
  await saveAdapter(join(out, 'fresh'), trainable.adapters!, 'reward', { overwrite: true, baseModel: base });
  const batches = new Batches({ lengths: rows.map(() => 1), seed: config.seed, rows: config.batchSize });
  const totalSteps = batches.steps(config.numTrainEpochs);
  const order = Array.from({ length: totalSteps }, (_, step) => batches.at(step).rows).flat();
  const heldOutRows = encode(evaluation).rows;
  const line = ({ promptIds, completions: [chosen, rejected] }: RewardRow) =>
    `${JSON.stringify({ chosen_ids: [...promptIds, ...chosen!], rejected_ids: [...promptIds, ...rejected!] })}\n`;
  writeFileSync(join(out, 'train.jsonl'), order.map((row) => line(rows[row]!)).join(''));
  writeFileSync(join(out, 'eval.jsonl'), heldOutRows.map(line).join(''));
  writeFileSync(
    join(out, 'settings.json'),
    JSON.stringify({
      ...config,
      totalSteps,
      rowsPerEpoch: rows.length,
      padId: tokenizer.padId,
      threads: torch.getNumThreads(),
    }),
  );
}
