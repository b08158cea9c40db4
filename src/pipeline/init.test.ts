import { describe, expect, it } from 'vitest';
import { RunConfigSchema } from './config.ts';
import { parseYaml } from './document.ts';
import { initialConfig, jsonSchema } from './init.ts';

describe('the configuration that init writes', () => {
  const text = initialConfig('./nudge.schema.json');

  it('is valid as it stands', () => {
    const config = parseYaml(text, RunConfigSchema, 'nudge.yaml');
    expect(config).toMatchObject({ name: 'my-run', model: { name: 'smollm2-135m-instruct' }, rounds: 1 });
    expect(config.ppo?.klCoef).toBe(0.05);
    expect(config.sft).toBeUndefined();
  });

  it('explains every key, and names the schema for editors', () => {
    expect(text).toMatch(/^# yaml-language-server: \$schema=\.\/nudge\.schema\.json\n/);
    for (const key of ['klCoef', 'layersToTrain', 'judgementsPerTask', 'numGenerations']) {
      expect(text).toMatch(new RegExp(`# [^\\n]+\\n *# ${key}:|# [^\\n]+\\n *${key}:`));
    }
  });

  it('shows each default as it is', () => {
    expect(text).toContain('# klCoef: 0.05');
    expect(text).toContain('# lrSchedulerType: "linear"');
  });
});

describe('the schema for editors', () => {
  it('knows the stages and their keys', () => {
    const schema = JSON.parse(JSON.stringify(jsonSchema())) as {
      properties: Record<string, { properties?: Record<string, { description?: string }> }>;
    };
    expect(Object.keys(schema.properties)).toEqual(expect.arrayContaining(['model', 'prompts', 'ppo', 'evaluate']));
    expect(schema.properties.ppo!.properties!.klCoef!.description).toMatch(/β/);
  });
});

describe('rules across stages', () => {
  const base = { model: 'm', prompts: { file: 'p.jsonl' } };
  const messages = (config: object) =>
    RunConfigSchema.safeParse({ ...base, ...config }).error?.issues.map(({ message }) => message);

  it('names the stage that another one needs', () => {
    expect(messages({ ppo: {} })).toEqual(['needs the stage reward: add `reward: {}`']);
    expect(messages({ sample: {}, label: {}, reward: {}, ppo: {} })).toBeUndefined();
  });

  it('wants a policy for a second round', () => {
    expect(messages({ rounds: 2, sample: {} })).toEqual(['more than one round needs the stage ppo']);
  });
});
