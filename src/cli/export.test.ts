/** `nudge export` as a program, over a tiny model: what is written loads again and computes the same. */
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LoraAdapters, loadAdapter, loadModel, openGguf, PackedAttention, saveAdapter } from '../models/index.ts';
import { openPretrained, type Pretrained } from '../pretrained/index.ts';
import { torch } from '../tensor/index.ts';
import { renderChat } from '../text/index.ts';
import { nudge, saveTinyModel, temporaryFolder } from './testing/tiny.ts';

const folder = temporaryFolder();
const at = (name: string) => join(folder.path, name);
const tiny = at('tiny');

beforeAll(async () => {
  await saveTinyModel(tiny, { generation: { temperature: 0.6 } });
  using model = await loadModel(tiny);
  using lora = new LoraAdapters(model);
  for (const [name, head] of [
    ['policy', false],
    ['reward', true],
  ] as const) {
    const adapter = lora.add(name, { rank: 4, head });
    torch.noGrad(() => {
      for (const { lora_B } of Object.values(adapter.pairs)) lora_B.normal_(0, 0.3);
      adapter.score?.bias.fill_(0.5);
    });
    await saveAdapter(at(name), lora, name);
  }
});
afterAll(() => folder[Symbol.dispose]());

const IDS = [5, 9, 40, 12, 77];

/** What comes out at each token: logits, or a score. */
function outputs({ model }: Pick<Pretrained, 'model'>): number[] {
  return torch.scope(() =>
    torch.noGrad(() => {
      const hidden = model.forward(torch.tensor(IDS, { dtype: 'int64' }), new PackedAttention([IDS.length])); // [N, D]
      return (model.lm_head === null ? model.values(hidden) : model.logits(hidden))
        .float()
        .flatten()
        .tolist() as number[];
    }),
  );
}

async function outputsOf(path: string): Promise<number[]> {
  using opened = await openPretrained(path);
  return outputs(opened);
}

/** The base with an adapter on top, unmerged. */
async function adapted(name: string): Promise<number[]> {
  using opened = await openPretrained(tiny, name === 'reward' ? { head: 'score' } : {});
  using lora = new LoraAdapters(opened.model);
  await loadAdapter(at(name), lora, name);
  return outputs(opened);
}

const furthest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)), a.length === b.length ? 0 : Number.POSITIVE_INFINITY);

const exported = (...args: string[]) => nudge(['export', tiny, ...args]);

describe('nudge export', () => {
  test('--help has examples', async () => {
    const { code, stdout } = await nudge(['export', '--help']);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('Examples:\n  nudge export') });
  });

  test('writes a directory with the tokenizer and the generation settings, and says what', async () => {
    const { code, stdout } = await exported('--to', at('hf'));
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Wrote \d+ kB as safetensors, for transformers and vLLM, to .*\/hf\n/);
    for (const name of readdirSync(at('hf'))) expect(stdout).toContain(`  ${join(at('hf'), name)}\n`);
    expect(await outputsOf(at('hf'))).toEqual(await outputsOf(tiny));
    expect(JSON.parse(readFileSync(join(at('hf'), 'generation_config.json'), 'utf8'))).toEqual({ temperature: 0.6 });
  });

  test('in another precision', async () => {
    const { code } = await exported('--to', at('half'), '--dtype', 'bfloat16');
    expect(code).toBe(0);
    using opened = await openPretrained(at('half'), { dtype: 'float32' });
    using rounded = await openPretrained(tiny, { dtype: 'bfloat16' });
    rounded.model.to('float32');
    expect(outputs(opened)).toEqual(outputs(rounded));
    expect(JSON.parse(readFileSync(join(at('half'), 'config.json'), 'utf8'))).toMatchObject({ dtype: 'bfloat16' });
  });

  test.each([
    ['f32', 'F32', 0],
    ['bf16', 'BF16', 0.1],
    ['f16', 'F16', 0.02],
    ['q8_0', 'Q8_0', 0.2],
  ])('as GGUF in %s, and back', async (type, stored, tolerance) => {
    const { code, stdout } = await exported('--to', at(`m-${type}.gguf`), '--gguf-type', type);
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('as GGUF, for llama.cpp, to') });
    await using file = await openGguf(at(`m-${type}.gguf`));
    expect(file.info('blk.0.attn_q.weight').type).toBe(stored);
    const before = await outputsOf(tiny);
    expect(furthest(await outputsOf(at(`m-${type}.gguf`)), before)).toBeLessThanOrEqual(tolerance);
    if (type !== 'f32') return;
    expect((await nudge(['export', at('m-f32.gguf'), '--to', at('back')])).code).toBe(0);
    using back = await openPretrained(at('back'));
    using first = await openPretrained(tiny);
    expect(outputs(back)).toEqual(before);
    const chat = [{ role: 'user', content: 'Why?' }];
    expect(renderChat(back.tokenizer, chat)).toEqual(renderChat(first.tokenizer, chat));
    expect(back.tokenizer.eosIds).toContain(first.tokenizer.eosId);
  });

  test('with an adapter in its weights', async () => {
    const args = ['--adapter', at('policy'), '--merge'];
    const { stdout } = await exported('--to', at('merged'), ...args, '--json');
    const { files, ...result } = JSON.parse(stdout);
    expect(result).toEqual({ ok: true, format: 'hf', path: at('merged'), merged: at('policy') });
    expect(files).toContainEqual({ path: join(at('merged'), 'model.safetensors'), bytes: expect.any(Number) });
    expect((await exported('--to', at('merged.gguf'), '--gguf-type', 'f32', ...args)).code).toBe(0);
    const expected = await adapted('policy');
    expect(furthest(expected, await outputsOf(tiny))).toBeGreaterThan(0.1);
    for (const name of ['merged', 'merged.gguf'])
      expect(furthest(await outputsOf(at(name)), expected)).toBeLessThan(1e-4);
  });

  test('with a reward adapter, as a reward model; GGUF has no place for one', async () => {
    expect((await exported('--to', at('scorer'), '--adapter', at('reward'), '--merge')).code).toBe(0);
    expect(furthest(await outputsOf(at('scorer')), await adapted('reward'))).toBeLessThan(1e-4);
    expect(JSON.parse(readFileSync(join(at('scorer'), 'config.json'), 'utf8')).architectures).toEqual([
      'LlamaForSequenceClassification',
    ]);
    const gguf = await nudge(['export', at('scorer'), '--to', at('scorer.gguf')]);
    expect(gguf).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('A reward model cannot be saved as GGUF'),
    });
    expect(existsSync(at('scorer.gguf'))).toBe(false);
  });

  test('the adapter alone, checked against its base', async () => {
    const { code, stdout } = await exported('--to', at('peft'), '--format', 'peft', '--adapter', at('policy'));
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('an adapter, for PEFT and vLLM'),
    });
    const weights = (name: string) => readFileSync(join(at(name), 'adapter_model.safetensors'));
    expect(weights('peft').equals(weights('policy'))).toBe(true);
    expect(JSON.parse(readFileSync(join(at('peft'), 'adapter_config.json'), 'utf8'))).toMatchObject({
      peft_type: 'LORA',
      base_model_name_or_path: tiny,
      r: 4,
    });
    cpSync(at('policy'), at('alien'), { recursive: true });
    const config = JSON.parse(readFileSync(join(at('alien'), 'adapter_config.json'), 'utf8'));
    writeFileSync(join(at('alien'), 'adapter_config.json'), JSON.stringify({ ...config, r: 5 }));
    const alien = await exported('--to', at('never'), '--format', 'peft', '--adapter', at('alien'));
    expect(alien).toMatchObject({ code: 2, stderr: expect.stringContaining('does not fit the model') });
    expect(existsSync(at('never'))).toBe(false);
  });

  test('replaces nothing without --force, and leaves what is not its own', async () => {
    expect((await exported('--to', at('mine'))).code).toBe(0);
    writeFileSync(join(at('mine'), 'notes.txt'), 'precious');
    writeFileSync(at('mine.gguf'), 'precious');
    for (const to of ['mine', 'mine.gguf']) {
      const refused = await exported('--to', at(to));
      expect(refused).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/There is a model already[\s\S]*--force/),
      });
    }
    expect(readFileSync(at('mine.gguf'), 'utf8')).toBe('precious');
    expect((await exported('--to', at('mine'), '--force', '--dtype', 'float16')).code).toBe(0);
    expect((await exported('--to', at('mine.gguf'), '--force')).code).toBe(0);
    expect(readFileSync(join(at('mine'), 'notes.txt'), 'utf8')).toBe('precious');
    expect(readdirSync(folder.path).filter((name) => name.includes('.tmp'))).toEqual([]);
  });

  test.each([
    [['--to', 'x', '--format', 'gguf'], /A GGUF model is one file/],
    [['--to', 'x.gguf', '--format', 'hf'], /This format is a directory/],
    [['--to', import.meta.filename], /There is a file at this path/],
    [['--to', 'x', '--format', 'peft'], /no adapter to export/],
    [['--to', 'x', '--merge'], /no adapter to merge/],
    [['--to', 'x', '--adapter', 'a'], /Add --merge, or --format peft/],
    [['--to', 'x', '--format', 'peft', '--adapter', 'a', '--merge'], /A merged adapter is none any more/],
    [['--to', 'x.gguf', '--dtype', 'float16'], /Use --gguf-type/],
    [['--to', 'x', '--gguf-type', 'f16'], /--gguf-type is for gguf/],
    [['--to', 'x.gguf', '--gguf-type', 'q4_0'], /Allowed choices are q8_0/],
  ])('%s is refused before a model is opened', async (args, message) => {
    const { code, stderr } = await nudge(['export', 'no-such-model', ...args]);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });
});
