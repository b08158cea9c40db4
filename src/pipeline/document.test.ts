import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { errorOf } from '../../tests/support/errors.ts';
import { parseYaml } from './document.ts';

const schema = z.strictObject({
  name: z.string(),
  ppo: z
    .strictObject({
      learningRate: z.number().positive().default(1e-4),
      scheduler: z.enum(['linear', 'cosine']).default('linear'),
    })
    .prefault({}),
  seeds: z.array(z.int()).optional(),
});

const complaint = (text: string) => errorOf(() => parseYaml(text, schema, 'nudge.yaml')).received;

describe('a configuration file', () => {
  it('is parsed, with its defaults', () => {
    expect(parseYaml('name: a\nppo:\n  learningRate: 0.5\n', schema, 'nudge.yaml')).toEqual({
      name: 'a',
      ppo: { learningRate: 0.5, scheduler: 'linear' },
    });
  });

  it('shows the line of a wrong key, and the nearest right one', () => {
    expect(complaint('name: a\nppo:\n  learningrate: 1\n')).toBe(
      'nudge.yaml:3:3  ppo.learningrate: there is no such key; did you mean learningRate?',
    );
  });

  it('lists the keys where none is near', () => {
    expect(complaint('name: a\nppo:\n  momentum: 1\n')).toBe(
      'nudge.yaml:3:3  ppo.momentum: there is no such key; there are learningRate, scheduler',
    );
  });

  it('shows the line of a wrong value, and the nearest right one', () => {
    expect(complaint('name: a\nppo:\n  scheduler: cosin\n')).toBe(
      'nudge.yaml:3:3  ppo.scheduler: must be one of linear, cosine; did you mean cosine?',
    );
    expect(complaint('name: a\nppo: {learningRate: -1}\n')).toMatch(/^nudge.yaml:2:7 {2}ppo.learningRate: .*>0/);
    expect(complaint('name: a\nseeds:\n  - 1\n  - two\n')).toMatch(/^nudge.yaml:4:5 {2}seeds.1: expected/);
  });

  it('shows the object in which something is missing', () => {
    expect(complaint('ppo: {}\n')).toMatch(/^nudge.yaml:1:1 {2}name: expected string/);
  });

  it('tells all mistakes at once, in their order', () => {
    const lines = complaint('nam: a\nppo:\n  scheduler: x\n')!.split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[2]).toContain('ppo.scheduler');
  });

  it.each([
    ['a: [1', /nudge.yaml:\d+:\d+/],
    ['name: a\nname: b', /nudge.yaml:2:1/],
    ['name: "a', /nudge.yaml:1:\d+/],
  ])('refuses what is no YAML: %j', (text, place) => {
    const error = errorOf(() => parseYaml(text, schema, 'nudge.yaml'));
    expect(error.code).toBe('BAD_FILE');
    expect(error.path).toMatch(place);
  });

  it('does not fall for bombs of aliases', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefghi'.split('').map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(',')}]`),
    ].join('\n');
    expect(() => parseYaml(bomb, schema, 'nudge.yaml')).toThrow();
  });
});
