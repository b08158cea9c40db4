import { describe, expect, test } from 'vitest';
import { errorOf } from '../../../tests/support/errors.ts';
import { entryName, idOfEntry } from './cache.ts';
import { KNOWN_MODELS } from './known-models.ts';
import { isModelId, isRevision, looksLikePath, nearestNames, parseReference } from './names.ts';

describe('a name', () => {
  test.each([
    ['smollm2-135m-instruct', 'HuggingFaceTB/SmolLM2-135M-Instruct', null],
    ['SmolLM2-135M-Instruct', 'HuggingFaceTB/SmolLM2-135M-Instruct', null],
    ['gpt2@v1', 'openai-community/gpt2', 'v1'],
    ['hf:gpt2', 'openai-community/gpt2', null],
    ['hf:owner/name@refs/pr/3', 'owner/name', 'refs/pr/3'],
    ['owner/name', 'owner/name', null],
    ['owner/name@0123abc', 'owner/name', '0123abc'],
  ])('%s', (name, id, revision) => {
    expect(parseReference(name)).toMatchObject({ id, revision });
  });

  test('of the hub that has a short name is known, whatever its case', () => {
    expect(parseReference('huggingfacetb/smollm2-135m-instruct')?.known?.shortName).toBe('smollm2-135m-instruct');
    expect(parseReference('owner/name')?.known).toBe(null);
  });

  test.each(['./model', '../model', '/models/x', '~/x', '.', '..', 'C:\\models', 'model.gguf', 'a/model.safetensors'])(
    '%s is a path',
    (name) => {
      expect(looksLikePath(name)).toBe(true);
      expect(parseReference(name)).toBe(null);
    },
  );

  test('that nobody has: the nearest', () => {
    expect(errorOf(() => parseReference('smollm-135m-instruct'))).toMatchObject({
      code: 'MODEL_NOT_FOUND',
      remedy: expect.stringContaining('Did you mean smollm2-135m-instruct'),
    });
    expect(errorOf(() => parseReference('zzzzzzzz')).remedy).toBe('`nudge models list` shows the short names.');
    expect(errorOf(() => parseReference(''))).toMatchObject({ code: 'MODEL_NOT_FOUND' });
  });

  test.each(['a/b/c', 'a--b/c', 'a/../b', 'owner/', 'a/b c', 'a/b?x', `a/${'b'.repeat(100)}`, 'a/.b', 'a/b-'])(
    '%s cannot be one',
    (name) => {
      expect(errorOf(() => parseReference(name)).code).toBe('BAD_ARGUMENT');
    },
  );

  test.each(['owner/name@', 'owner/name@../x', 'owner/name@a b', 'owner/name@-x', 'owner/name@a//b'])(
    '%s has no revision that can be one',
    (name) => {
      expect(errorOf(() => parseReference(name)).message).toMatch(/not the name of a revision/);
    },
  );

  test('two revisions must agree', () => {
    expect(parseReference('gpt2@v1', 'v1')?.revision).toBe('v1');
    expect(errorOf(() => parseReference('gpt2@v1', 'v2')).message).toMatch(/Two revisions were asked for/);
  });
});

test('nearestNames forgives owners, dots and dashes', () => {
  expect(nearestNames('qwen25-05b-instruct')[0]).toBe('qwen2.5-0.5b-instruct');
  expect(nearestNames('meta/Llama-3.2-1B-Instruct')[0]).toBe('meta-llama/Llama-3.2-1B-Instruct');
  expect(nearestNames('smollm2')).toContain('smollm2-135m-instruct');
});

test('the names of folders can be read back', () => {
  for (const { id } of KNOWN_MODELS) expect(idOfEntry(entryName(id, 'a'.repeat(40)))).toBe(id);
  expect(entryName('a/b', 'a'.repeat(40))).toBe('a--b@aaaaaaaaaaaa');
  for (const name of ['a/b@c', 'a--b', 'a--b@', '..--x@1', 'a--b@../c', '../a--b@c', 'gpt2@v1'])
    expect(idOfEntry(name)).toBe(null);
});

test('every short name is one, and every id', () => {
  for (const { shortName, id } of KNOWN_MODELS) {
    expect(shortName).toMatch(/^[a-z0-9][a-z0-9.-]+$/);
    expect(isModelId(id), id).toBe(true);
  }
  expect(new Set(KNOWN_MODELS.flatMap(({ shortName, id }) => [shortName, id])).size).toBe(2 * KNOWN_MODELS.length);
  expect(isRevision('main')).toBe(true);
});
