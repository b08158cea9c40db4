import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { torch } from '../tensor/index.ts';
import '../../tests/support/allClose.ts';
import { readConfigJson } from './config.ts';
import {
  type CausalModel,
  createModel,
  loadModel,
  loadSafetensors,
  PackedAttention,
  saveModel,
  saveSafetensors,
} from './index.ts';
import { errorOf, GOLDEN, GOLDEN_FAMILIES, inTemporaryDirectory } from './testing.ts';

const ids = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6], { dtype: 'int64' });
const context = new PackedAttention([5, 3]);
const hiddenOf = (model: CausalModel) => torch.noGrad(() => model.forward(ids, context));

const json = {
  model_type: 'llama',
  vocab_size: 16,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  max_position_embeddings: 32,
  tie_word_embeddings: true,
};

describe('what is saved loads again', () => {
  test.each(GOLDEN_FAMILIES)('%s, whole and in shards', async (family) => {
    await inTemporaryDirectory(async (directory) => {
      using model = await loadModel(join(GOLDEN, family));
      for (const [name, options] of Object.entries({ whole: {}, sharded: { maxShardBytes: 20_000 } })) {
        const paths = await saveModel(join(directory, name), model, options);
        expect(paths.some((path) => path.endsWith('.index.json'))).toBe(name === 'sharded');
        using again = await loadModel(join(directory, name));
        const theirs = again.stateDict();
        for (const [key, tensor] of model.stateDict()) expect(theirs.get(key)!.bytes(), key).toEqual(tensor.bytes());
        expect(await readConfigJson(join(directory, name))).toEqual(await readConfigJson(join(GOLDEN, family)));
      }
    });
  });

  test('in another precision, which config.json then says', async () => {
    await inTemporaryDirectory(async (directory) => {
      using model = await loadModel(join(GOLDEN, 'qwen2'), { dtype: 'bfloat16' });
      await saveModel(directory, model);
      expect((await readConfigJson(directory)).dtype).toBe('bfloat16');
      using again = await loadModel(directory);
      expect(again.dtype).toBe('bfloat16');
      const stored = await loadSafetensors(directory);
      expect([...stored.values()].every(({ dtype }) => dtype === 'bfloat16')).toBe(true);
      expect(stored.has('lm_head.weight')).toBe(false);
    });
  });

  test('a reward model, with its offset where it has one', async () => {
    await inTemporaryDirectory(async (directory) => {
      using model = await loadModel(join(GOLDEN, 'llama'), { head: 'score', dtype: 'bfloat16' });
      await saveModel(directory, model);
      const stored = await loadSafetensors(directory);
      expect(stored.has('score.bias')).toBe(false);
      expect(stored.get('score.weight')!.dtype).toBe('float32');
      expect(await readConfigJson(directory)).toMatchObject({ architectures: ['LlamaForSequenceClassification'] });
      torch.noGrad(() => model.score!.bias.fill_(0.25));
      await saveModel(directory, model, { overwrite: true });
      using again = await loadModel(directory);
      expect(again.scores(hiddenOf(again), context)).toBeCloseToTensor(model.scores(hiddenOf(model), context));
      const wrong = await errorOf(() => loadModel(directory, { head: 'lm' }));
      expect(wrong.remedy).toContain("{ head: 'score' }");
    });
  });

  test('the tokenizer and the licence go along', async () => {
    await inTemporaryDirectory(async (directory) => {
      const source = join(directory, 'source');
      await saveModel(source, createModel(json));
      const companions = ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json', 'merges.txt', 'LICENSE'];
      for (const name of companions) await writeFile(join(source, name), `{"name": "${name}"}`);
      await writeFile(join(source, 'training.log'), 'not part of the model');
      using model = await loadModel(source);
      const files = new Map([['merges.txt', 'mine']]);
      const written = await saveModel(join(directory, 'copy'), model, { files });
      const names = written.map((path) => path.slice(directory.length + '/copy/'.length)).sort();
      expect(names).toEqual([...companions, 'config.json', 'model.safetensors'].sort());
      expect(await readFile(join(directory, 'copy/merges.txt'), 'utf8')).toBe('mine');
      expect(await readFile(join(directory, 'copy/tokenizer.json'), 'utf8')).toBe('{"name": "tokenizer.json"}');
      // Over itself, too.
      await saveModel(source, model, { overwrite: true });
      expect(await readFile(join(source, 'training.log'), 'utf8')).toBe('not part of the model');
      expect(await readFile(join(source, 'tokenizer.json'), 'utf8')).toBe('{"name": "tokenizer.json"}');
    });
  });
});

describe('saving replaces nothing unasked', () => {
  test('a model that is there', async () => {
    await inTemporaryDirectory(async (directory) => {
      const [first, second] = [createModel(json), createModel(json)];
      await saveModel(directory, first);
      const error = await errorOf(() => saveModel(directory, second));
      expect(error.code).toBe('FILE_EXISTS');
      using kept = await loadModel(directory);
      expect(kept.stateDict().get('model.norm.weight')).toBeDefined();
      await saveModel(directory, second, { overwrite: true, maxShardBytes: 2000 });
      await saveModel(directory, first, { overwrite: true });
      using replaced = await loadModel(directory);
      expect(hiddenOf(replaced)).toBeCloseToTensor(hiddenOf(first));
    });
  });

  test('a file that is in the way', async () => {
    await inTemporaryDirectory(async (directory) => {
      await writeFile(join(directory, 'pytorch_model.bin'), 'an older model');
      const error = await errorOf(() => saveModel(directory, createModel(json)));
      expect(error.code).toBe('FILE_EXISTS');
      expect(await readFile(join(directory, 'pytorch_model.bin'), 'utf8')).toBe('an older model');
    });
  });
});

describe('weights that do not fit are reported together, before memory is spent', () => {
  test('missing, unexpected and misshapen tensors', async () => {
    await inTemporaryDirectory(async (directory) => {
      await saveModel(directory, createModel(json));
      const tensors = await loadSafetensors(directory);
      tensors.delete('model.norm.weight');
      tensors.set('model.layers.1.mlp.up_proj.weight', torch.zeros([24, 15]));
      tensors.set('model.layers.0.mlp.up_proj.weight', torch.zeros([24, 16], { dtype: 'int8' }));
      tensors.set('model.extra.weight', torch.zeros([2]));
      await saveSafetensors(join(directory, 'model.safetensors'), tensors, { overwrite: true });
      const before = torch.memory().tensors;
      const error = await errorOf(() => loadModel(directory));
      expect(error.code).toBe('BAD_FILE');
      expect(error.received).toContain('model.layers.1.mlp.up_proj.weight is F32 [24, 15], not [24, 16]');
      expect(error.received).toContain('model.layers.0.mlp.up_proj.weight is I8 [24, 16], not [24, 16]');
      expect(error.received).toContain('1 missing: "model.norm.weight"');
      expect(error.received).toContain('1 unexpected: "model.extra.weight"');
      expect(torch.memory().tensors).toBeLessThanOrEqual(before);
    });
  });

  test('strict: false draws what is missing, and says so', async () => {
    await inTemporaryDirectory(async (directory) => {
      await saveModel(directory, createModel(json));
      const tensors = await loadSafetensors(directory);
      tensors.delete('model.norm.weight');
      tensors.set('model.extra.weight', torch.zeros([2]));
      await saveSafetensors(join(directory, 'model.safetensors'), tensors, { overwrite: true });
      const warnings: string[] = [];
      const listen = (warning: Error) => warnings.push(warning.message);
      process.on('warning', listen);
      using model = await loadModel(directory, { strict: false });
      await new Promise(setImmediate);
      process.off('warning', listen);
      expect(model.stateDict().get('model.norm.weight')).toBeCloseToTensor(torch.ones([16]));
      expect(warnings[0]).toMatch(/drew 1 missing tensors anew: model\.norm\.weight; left 1 tensors out/);
    });
  });

  test('names of older files', async () => {
    await inTemporaryDirectory(async (directory) => {
      const renamed = async (family: string, rename: (name: string) => string, extra: string) => {
        const to = join(directory, family);
        using model = await loadModel(join(GOLDEN, family));
        await saveModel(to, model);
        const tensors = await loadSafetensors(to);
        const old = new Map([...tensors].map(([name, tensor]) => [rename(name), tensor]));
        old.set(extra, torch.ones([4], { dtype: 'uint8' }));
        await saveSafetensors(join(to, 'model.safetensors'), old, { overwrite: true });
        using again = await loadModel(to);
        expect(hiddenOf(again)).toBeCloseToTensor(hiddenOf(model));
      };
      await renamed('gpt2', (name) => name.replace('transformer.', ''), 'h.0.attn.bias');
      await renamed(
        'gpt_neox',
        (name) => name.replace('lm_head.', 'embed_out.'),
        'gpt_neox.layers.0.attention.rotary_emb.inv_freq',
      );
      await renamed('llama', (name) => name, 'model.layers.0.self_attn.rotary_emb.inv_freq');
    });
  });

  test('tied embeddings under either name, or both', async () => {
    await inTemporaryDirectory(async (directory) => {
      using model = createModel(json);
      await saveModel(directory, model);
      const tensors = await loadSafetensors(directory);
      const embedding = tensors.get('model.embed_tokens.weight')!;
      tensors.set('lm_head.weight', embedding);
      await saveSafetensors(join(directory, 'model.safetensors'), tensors, { overwrite: true });
      using both = await loadModel(directory);
      expect(both.lm_head!.weight).toBe(both.backbone.stateDict().get('embed_tokens.weight'));
      tensors.delete('model.embed_tokens.weight');
      await saveSafetensors(join(directory, 'model.safetensors'), tensors, { overwrite: true });
      using headOnly = await loadModel(directory);
      expect(hiddenOf(headOnly)).toBeCloseToTensor(hiddenOf(model));
    });
  });

  test('an empty directory, and one whose config is broken', async () => {
    await inTemporaryDirectory(async (directory) => {
      expect((await errorOf(() => loadModel(directory))).code).toBe('IO_FAILED');
      await writeFile(join(directory, 'config.json'), '{"model_type": ');
      expect((await errorOf(() => loadModel(directory))).message).toContain('not valid JSON');
      await writeFile(join(directory, 'config.json'), JSON.stringify(json));
      expect((await errorOf(() => loadModel(directory))).message).toContain('no safetensors model');
    });
  });
});

describe('forward', () => {
  test('refuses ids that do not fit the context, and the wrong head', () => {
    using model = createModel(json);
    expect(() => model.forward(ids.narrow(0, 0, 7), context)).toThrow('do not fit the attention context');
    expect(() => model.forward(ids.view([2, 4]), context)).toThrow('[2,4]');
    expect(() => model.values(hiddenOf(model))).toThrow("Load it with { head: 'score' }");
  });

  test("GPT-2's learned positions end", () => {
    using model = createModel({
      model_type: 'gpt2',
      vocab_size: 16,
      n_embd: 16,
      n_layer: 1,
      n_head: 2,
      n_positions: 4,
    });
    expect(() => model.forward(ids, context)).toThrow('at most 4 tokens');
  });

  test('leaves nothing behind', () => {
    using model = createModel(json);
    hiddenOf(model).dispose();
    const before = torch.memory().tensors;
    torch.scope(() => {
      model.logits(model.forward(ids, context)).sum().backward();
      model.zeroGrad();
    });
    expect(torch.memory().tensors).toBe(before);
  });

  test('works in inference mode first and with gradients after', () => {
    using model = createModel(json);
    const inferred = torch.inferenceMode(() => model.forward(ids, context).toFloat32Array());
    const hidden = model.forward(ids, context);
    // In inference mode kernels round elsewhere.
    expect(hidden.detach()).toBeCloseToTensor(torch.fromTypedArray(inferred, hidden.shape), { rtol: 1e-5, atol: 1e-5 });
    hidden.sum().backward();
    expect(model.lm_head!.weight.grad).not.toBeNull();
  });
});
