/** A fine-tuning in a process of its own, which a test can kill: `node sft-child.ts DIRECTORY`. */
import { trainSft } from '../sft.ts';
import { tinyModel, tokenizer } from './index.ts';
import { mapping } from './rows.ts';

const [directory = ''] = process.argv.slice(2);
const rows = mapping();
const result = await trainSft(
  { model: tinyModel(), tokenizer, format: 'prompt-completion', train: rows, evaluation: rows.slice(0, 4) },
  {
    batchSize: 5,
    numTrainEpochs: 14,
    saveSteps: 4,
    evalSteps: 6,
    learningRate: 5e-3,
    loadBestModelAtEnd: true,
    lora: { rank: 4, dropout: 0.1 },
    gradientCheckpointing: true,
    microBatchTokens: 20,
    layersToTrain: 2,
  },
  { directory, onEvent: (event) => process.stdout.write(`${JSON.stringify(event)}\n`) },
);
process.stdout.write(`${JSON.stringify({ type: 'result', result })}\n`);
