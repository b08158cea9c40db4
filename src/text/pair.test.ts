import { describe, expect, test } from 'vitest';
import { encodePair } from './pair.ts';
import { goldenTokenizer } from './testing/golden.ts';

const llama3 = goldenTokenizer('llama3', { 'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>' } });
const llama = goldenTokenizer('llama', { 'tokenizer_config.json': { bos_token: '<s>', eos_token: '</s>' } });

describe('a prompt and its completion', () => {
  test("the prompt's ids are those that generation begins with", () => {
    for (const tokenizer of [llama3, llama]) {
      for (const [prompt, completion] of [
        ['Question: Why?\nAnswer:', ' Because 12'],
        ['Once upon a', ' time'],
        ['', 'A fox'],
        ['A: ', '42'],
      ]) {
        const pair = encodePair(tokenizer, prompt!, completion!, { appendEos: true });
        expect(pair.ids.slice(0, pair.promptLength)).toEqual(tokenizer.encode(prompt!));
        expect([...pair.completionMask]).toEqual(pair.ids.map((_, i) => (i >= pair.promptLength ? 1 : 0)));
        expect(pair.ids.at(-1)).toBe(tokenizer.eosId);
        expect(tokenizer.decode(pair.ids, { skipSpecialTokens: true })).toBe(prompt! + completion!);
      }
    }
  });

  test('a token that would reach over the boundary is reported', () => {
    expect(encodePair(llama3, 'Question: Why?\nAnswer:', ' Because').mergesAcrossBoundary).toBe(false);
    expect(encodePair(llama3, 'Question: Why?\nAnswer: ', 'Because').mergesAcrossBoundary).toBe(true);
    expect(encodePair(llama3, 'over th', 'e dog').mergesAcrossBoundary).toBe(true);
    expect(encodePair(llama, 'Once upon a', ' time').mergesAcrossBoundary).toBe(false);
  });

  test('after a special token the completion begins as the tokenizer has it', () => {
    const pair = encodePair(llama, 'the</s>', 'the', { addSpecialTokens: false });
    expect(pair.ids).toEqual(llama.encode('the</s>the', { addSpecialTokens: false }));
    expect(pair.mergesAcrossBoundary).toBe(false);
  });

  test('an end of text that the tokenizer does not have is an error', () => {
    expect(() => encodePair(goldenTokenizer('gpt2'), 'a', 'b', { appendEos: true })).toThrow(/no end-of-text token/);
  });
});
